"""The page: what it shows, and that it needs nothing else."""

import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from written_study import edit_file, make_study

from asid.ablation.report import samples
from asid.ablation.report.explore import explorable
from asid.ablation.report.page import to_html
from asid.ablation.report.results import StudyResults, load_results
from asid.ablation.report.samples import Sample, cut_samples
from asid.ablation.report.sentences import conclude, describe, explain
from asid.ablation.report.write import write_report
from asid.files import ERROR, RECORD
from asid.runs.record import read_record, write_record


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study with its report, written once."""
    folder = make_study(tmp_path_factory.mktemp("written"))
    write_report(load_results(folder))
    return folder


def page(results: StudyResults, *notes: str) -> str:
    """The page without figures."""
    return to_html(results, [], notes)


def words(html: str) -> str:
    """The text of a page."""
    return " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", html, flags=re.S).split())


class Resources(HTMLParser):
    """What a page would load or lead to, and the anchors in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.sources += [values[name] for name in ("src", "srcset", "data", "poster") if name in values]
        self.links += [values["href"]] if "href" in values else []
        self.anchors += [values["id"]] if "id" in values else []


def test_the_page_needs_no_other_file(written: Path) -> None:
    html = (written / "report.html").read_text()
    page = Resources(html)
    assert len(page.sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert {"link", "iframe", "object"} & set(page.tags) == set()
    inside = [link for link in page.links if link.startswith("#")]
    assert all(link[1:] in page.anchors for link in inside)
    assert len(inside) == 8
    assert all(link.startswith("data:") for link in page.links if link not in inside)
    code = re.sub(r'<script type="image/svg\+xml">.*?</script>', "", html, flags=re.DOTALL)  # text to download
    code = code.replace('"http://www.w3.org/2000/svg"', "")  # a name, not an address
    assert not re.search(r"@import|url\(|https?:|fetch\(", re.sub(r'(src|href)="[^"]*"', "", code))


def test_the_page_shows_tables_statistics_and_where_they_come_from(written: Path) -> None:
    results = load_results(written)
    text = words((written / "report.html").read_text())
    assert "What does 50 % of_that do &amp; why?" in text
    for sentence in [*conclude(results), *explain(results), *describe(results)]:
        assert sentence.replace("'", "&#39;") in text
    for expected in (
        "attention sharing: none ▲ better 60 964 6.10 30.75 0.707 0.9100 – +0.750 [+0.750, +0.750] &lt;0.001",
        "does not cover new trainings",
        "Change of PSNR against base.",
        "From 6 records.",
        "git checkout 0123456789ab",
        "asid report results/results",
        "machine Amiga 68k, cpus 77",
        "finished 2030-01-02 03:04 UTC",
        "runs/no_sharing-1",
    ):
        assert expected in text, expected


def test_the_page_names_controls_dropped_variants_profile_and_command(tmp_path: Path) -> None:
    folder = make_study(
        tmp_path,
        matched={"100%-meso": "no_sharing"},
        dropped=[{"variant": "sharing-none-ratio-0", "rule": "ratio: 0"}],
        profile="laptop",
        command="asid ablate run ablations/mine.yaml --profile laptop --output '../far away'",
    )
    html = page(load_results(folder), "No crops: gone.")
    assert 'class="control"' in html
    text = words(html)
    for expected in (
        "control of no_sharing, matched in size",
        "Dropped by the rule ratio: 0: sharing-none-ratio-0.",
        "· laptop",
        "asid ablate run ablations/mine.yaml --profile laptop --output &#39;../far away&#39;",
        "asid report &#39;../far away&#39;",
        "No crops: gone.",
    ):
        assert expected in text, expected


def test_the_page_says_why_a_run_has_no_record(tmp_path: Path) -> None:
    folder = make_study(tmp_path, missing=(("no_sharing", 1), ("base", 1)))
    (folder / "runs" / "base-1").mkdir()
    (folder / "runs" / "base-1" / ERROR).write_text("Traceback\n  File x\nValueError: no <space> left\n")
    text = words(page(load_results(folder)))
    assert "base 1 failed: ValueError: no &lt;space&gt; left" in text
    assert "no_sharing 1 no record" in text
    assert "Without a record, not in the table: base seed 1, no_sharing seed 1." in text
    assert "4 of 6" in text


def test_the_page_shows_a_resumed_run(tmp_path: Path) -> None:
    folder = make_study(tmp_path, seconds={"train": 7200.0, "evaluate": 3.0, "upscale": 0.5})
    path = folder / "runs" / "base-1" / RECORD
    edit_file(path, lambda record: record.update(execution={"exit": "done", "resumed_at": [40]}))
    text = words(page(load_results(folder)))
    assert "base 0 done 2 h 0 min 3 s 250 2030-01-02 03:04 runs/base-0" in text
    assert "base 1 done, resumed at step 40 2 h 0 min" in text
    assert "training 12 h 0 min, the sum over all runs" in text


def test_the_page_shows_which_study_a_run_is_from(tmp_path: Path) -> None:
    folder = make_study(tmp_path)
    path = folder / "runs" / "base-1"
    write_record(read_record(path).override(origin="sharing-laptop"), path)
    text = words(page(load_results(folder)))
    assert "base 1 done, from sharing-laptop" in text
    assert "base 0 done –" in text


def test_one_seed_is_reported_on_the_page(tmp_path: Path) -> None:
    text = words(page(load_results(make_study(tmp_path, seeds=(1,)))))
    assert "One seed: no interval and no test over seeds, so no verdict." in text
    assert "no_sharing attention sharing: none one seed 60 964" in text


def test_text_of_a_study_is_not_markup(tmp_path: Path) -> None:
    html = page(
        load_results(
            make_study(tmp_path, question="Is <b>a</b> & <script>b</script>?", command="asid ablate run 'a' > log")
        )
    )
    assert Resources(html).tags.count("script") == 2, "the page's own: its data and its code"
    assert "Is &lt;b&gt;a&lt;/b&gt; &amp; &lt;script&gt;b&lt;/script&gt;?" in html
    assert "asid ablate run &#39;a&#39; &gt; log" in html


def test_what_can_be_explored_is_what_the_records_say(written: Path) -> None:
    results = load_results(written)
    html = (written / "report.html").read_text()
    content = json.loads(re.search(r'id="explorable">(.*?)</script>', html)[1])
    assert content == explorable(results, cut_samples(results))
    (run,) = [run for run in content["runs"] if (run["variant"], run["seed"]) == ("no_sharing", 1)]
    assert run["scores"]["set_5"]["psnr"] == 31.25
    assert content["lines"] == {"set_5": {"bicubic": 27.5}}
    assert [(sample["image"], sample["change"]) for sample in content["samples"]] == [("ant", 1.0), ("bee", 0.5)]
    names = ["HR", "bicubic", "base", "no_sharing", "100%-meso"]
    assert [crop["name"] for crop in content["samples"][0]["crops"]] == names


def test_samples_are_whole_images_or_details_that_fit_the_page(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = load_results(written)
    whole = cut_samples(results)
    sizes = [Image.open(BytesIO(sample.crops[0].png)).size for sample in whole]
    assert all(sample.is_whole for sample in whole)
    pixels = sum(width * height for width, height in sizes) * len(whole[0].crops)
    monkeypatch.setattr(samples, "_LEAST_SIDE", 16)
    monkeypatch.setattr(samples, "_MOST_PIXELS", pixels - 1)
    details = cut_samples(results)
    assert [(sample.image, sample.is_whole) for sample in details] == [("ant", False), ("bee", False)]
    cut = [crop for sample in details for crop in sample.crops]
    shown = [Image.open(BytesIO(crop.png)).size for crop in cut]
    assert pixels / 2 < sum(width * height for width, height in shown) < pixels


def test_text_in_the_data_of_the_script_cannot_end_it(tmp_path: Path) -> None:
    results = load_results(make_study(tmp_path))
    sample = Sample("</script><b>", "<!--", None, (), is_whole=True)
    html = to_html(results, [], [], [sample])
    assert "</script><b>" not in html
    assert "<!--" not in html
    assert Resources(html).tags.count("script") == 2
