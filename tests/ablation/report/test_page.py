"""The report: every file of it, the same bytes each time, one page that needs nothing else, and nothing trained."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console
from written_study import FINISHED, PSNR, QUESTION, make_study, seeded

from asid.ablation.report import page as report
from asid.ablation.report.figures import draw, find_examples, interaction
from asid.ablation.report.page import ReportError, load_results, to_html, to_json, write_report
from asid.ablation.report.results import Study, comparison, score_table, statistics
from asid.ablation.report.tables import conclude, describe, explain
from asid.cli import main as cli
from asid.files import ERROR, RECORD

TABLES = {f"comparison.{ending}" for ending in ("csv", "json", "md", "tex")}
"""What does not depend on the machine."""
FILES = (
    TABLES
    | {"scores.csv", "timings.csv", "report.html"}
    | {
        f"figures/{name}.{ending}"
        for name in ("forest", "pareto", "seeds", "curves", "crops")
        for ending in ("png", "svg")
    }
)
LEVELS = {
    "base": {"sharing": "all", "ratio": "1/4", "esa": "on"},
    "no_sharing": {"sharing": "none", "ratio": "1/4", "esa": "on"},
    "100%-meso": {"sharing": "none", "ratio": "1/8", "esa": "on"},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study with its report, written once."""
    folder = make_study(tmp_path_factory.mktemp("written"))
    assert {path.relative_to(folder).as_posix() for path in write_report(folder)} == FILES
    return folder


def contents(folder: Path, names: set[str] = FILES) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


def page(study: Study, *skipped: str) -> str:
    """The page without pictures."""
    return to_html(study, comparison(study), statistics(study), [], skipped)


def words(html: str) -> str:
    """The text of a page."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.S).split())


# Files


def test_the_files_hold_the_numbers(written: Path) -> None:
    for name, content in contents(written).items():
        assert len(content) > 100, name
        if name.endswith(".png"):
            with Image.open(written / name) as image:
                assert min(image.size) > 200
                assert np.asarray(image.convert("L")).std() > 1, f"{name} is empty"
    read = pd.read_csv(written / "comparison.csv")
    expected = comparison(load_results(written))
    assert list(read.columns) == list(expected.columns)
    for column in ("psnr", "ssim", "delta", "low", "high", "p_holm", "macs"):
        np.testing.assert_allclose(read[column].astype(float), expected[column].astype(float))
    assert len(pd.read_csv(written / "scores.csv")) == len(score_table(load_results(written))) == 14
    assert len(pd.read_csv(written / "timings.csv")) == 6


def test_another_process_writes_the_same_bytes_and_needs_no_torch(written: Path) -> None:
    """Nothing is trained: the module that could is not even loaded."""
    first = contents(written)
    for name in FILES:
        (written / name).unlink()
    code = (
        "import sys\n"
        "from asid.ablation.report.page import write_report\n"
        f"write_report({str(written)!r})\n"
        "print({'torch', 'lightning', 'asid.training.train', 'asid.model.network'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr
    assert [name for name, content in contents(written).items() if content != first[name]] == []


def test_the_tables_are_the_same_on_another_machine_and_the_times_are_not(tmp_path: Path, written: Path) -> None:
    first = contents(written)
    folder = shutil.copytree(written, tmp_path / "results")
    for path in (folder / "runs").rglob(RECORD):
        content = json.loads(path.read_text())
        content["seconds"] = {"train": 60.0, "evaluate": 3.0, "upscale": 0.5}
        content["provenance"] |= {"machine": "another", "cpus": 3, "finished": "2031-01-01T00:00:00+00:00"}
        path.write_text(json.dumps(content))
    write_report(folder)
    second = contents(folder)
    assert {name for name in FILES if second[name] != first[name]} == {
        "timings.csv",
        "report.html",
        "figures/pareto.png",
        "figures/pareto.svg",
    }
    assert "time in the network" in second["figures/pareto.svg"].decode()
    assert "time in the network" not in first["figures/pareto.svg"].decode()
    assert FINISHED not in b"".join(first[name] for name in TABLES).decode()


def test_a_study_without_a_finished_run_is_told(tmp_path: Path) -> None:
    folder = make_study(tmp_path, missing=tuple((variant, seed) for variant in PSNR for seed in (0, 1)))
    with pytest.raises(ReportError, match="no finished run"):
        write_report(folder)
    assert not (folder / "comparison.md").exists()


def test_without_base_and_photographs_the_rest_is_written_and_shown(tmp_path: Path) -> None:
    folder = make_study(tmp_path, missing=(("base", 0), ("base", 1)))
    shutil.rmtree(tmp_path / "set_5")
    write_report(folder)
    text = (folder / "comparison.md").read_text()
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert pictures == [f"figures/{name}.png" for name in ("pareto", "seeds", "curves")]
    assert {path.name for path in (folder / "figures").glob("*.png")} == {Path(name).name for name in pictures}
    assert f"- No crops: no folder of images at {tmp_path / 'set_5'}" in text
    html = words((folder / "report.html").read_text())
    assert "No crops: no folder of images" in html
    assert "No variant can be compared with base" in html


# JSON


def test_the_json_holds_table_statistics_and_provenance(tmp_path: Path) -> None:
    dropped = [{"variant": "x", "rule": "esa: false"}]
    folder = make_study(tmp_path, seeded({"more": [0.1, 0.2, 0.1]}), matched={"more": "base"}, dropped=dropped)
    study = load_results(folder)
    table, found = comparison(study), statistics(study)
    content = json.loads(to_json(study, table, found), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    read = pd.DataFrame(content["table"])
    assert list(read.columns) == list(table.columns)
    for name in table.columns:
        expected = [None if pd.isna(value) else value for value in table[name]]
        assert [None if pd.isna(value) else value for value in read[name]] == expected, name
    result = content["statistics"]["set_5"]
    assert result["comparisons"]["more"]["seeds"]["mean"] == pytest.approx(0.4 / 3)
    assert result["comparisons"]["more"]["verdict"] == "undecided"
    assert result["noise_floor"] == pytest.approx(np.std([0.01, -0.02, 0.03], ddof=1))
    assert (result["images"], result["seeds"]) == (["ant", "bee"], [0, 1, 2])
    assert content["conclusions"] == conclude(study, found)
    assert content["explanations"] == explain(study, found)
    assert content["description"] == describe(study)
    assert (content["matched"], content["dropped"]) == ({"more": "base"}, dropped)
    assert (content["margin"], content["level"], content["base"]) == (0.05, 0.95, "base")
    assert content["provenance"] == {"commit": ["0123456789ab"], "asid": ["0.1.0"], "torch": ["2.6.0"]}
    assert [run["run_id"] for run in content["runs"]] == [
        f"{name}-{seed}" for name in ("base", "more") for seed in range(3)
    ]
    assert content["data"][f"evaluate {tmp_path / 'set_5'}"]["images"] == ["ant.png", "bee.png"]


def test_infinite_scores_are_valid_json(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path, {"base": {0: {"ant": np.inf, "bee": 30.0}}}))
    content = json.loads(
        to_json(study, comparison(study), statistics(study)), parse_constant=lambda name: pytest.fail(name)
    )
    assert content["table"][1]["psnr"] == "inf"


# The page


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
    found = Resources(html)
    assert len(found.sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in found.sources)
    assert {"script", "link", "iframe", "object"} & set(found.tags) == set()
    assert all(link.startswith("#") and link[1:] in found.anchors for link in found.links)
    assert len(found.links) == 7
    assert not re.search(r"@import|url\(|https?:", re.sub(r'src="[^"]*"', "", html))


def test_the_page_shows_tables_statistics_and_where_they_come_from(written: Path) -> None:
    study = load_results(written)
    text = words((written / "report.html").read_text())
    assert "What does 50 % of_that do &amp; why?" in text
    for sentence in [*conclude(study, statistics(study)), *explain(study, statistics(study)), *describe(study)]:
        assert sentence.replace("'", "&#39;") in text
    for expected in (
        "no_sharing attention sharing: none 60 964 6.10 30.75 0.9100 +0.750 [+0.750, +0.750] &lt;0.001 ▲ better 2",
        "it covers no new training",
        "Change of PSNR against base.",
        "From 6 records.",
        "git checkout 0123456789ab",
        "asid report results/results",
        "machine Amiga 68k, cpus 77",
        "finished 2030-01-02 03:04 UTC",
        "runs/no_sharing-1",
    ):
        assert expected in text, expected


def test_the_page_names_controls_dropped_cells_profile_and_command(tmp_path: Path) -> None:
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
        "Dropped from the grid by the rule ratio: 0: sharing-none-ratio-0.",
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
    path.write_text(json.dumps({**json.loads(path.read_text()), "execution": {"exit": "done", "resumed_at": [40]}}))
    text = words(page(load_results(folder)))
    assert "base 0 done 2 h 0 min 3 s 250 2030-01-02 03:04 runs/base-0" in text
    assert "base 1 done, resumed at step 40 2 h 0 min" in text
    assert "training 12 h 0 min, the sum over all runs" in text


def test_one_seed_is_told_on_the_page(tmp_path: Path) -> None:
    text = words(page(load_results(make_study(tmp_path, seeds=(1,)))))
    assert "One seed: no interval and no test over seeds, so no verdict." in text
    assert "+0.750 – – one seed 1" in text


def test_words_of_a_study_are_no_markup(tmp_path: Path) -> None:
    html = page(
        load_results(
            make_study(tmp_path, question="Is <b>a</b> & <script>b</script>?", command="asid ablate run 'a' > log")
        )
    )
    assert "script" not in Resources(html).tags
    assert "Is &lt;b&gt;a&lt;/b&gt; &amp; &lt;script&gt;b&lt;/script&gt;?" in html
    assert "asid ablate run &#39;a&#39; &gt; log" in html


# Figures


def draw_names(study: Study) -> list[str]:
    return [picture.name for picture in draw(study, comparison(study), statistics(study))[0]]


def test_each_evaluation_set_has_figures_of_its_own(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path, sets=("set_5", "set 14"), factors=["sharing", "ratio"], levels=LEVELS))
    assert draw_names(study) == [
        *(f"{name}-{data}" for data in ("set_5", "set-14") for name in ("forest", "pareto", "interaction", "seeds")),
        "curves",
        "crops",
    ]


def test_one_seed_has_no_strips_and_its_forest_shows_images(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path, seeds=(0,)))
    pictures, skipped = draw(study, comparison(study), statistics(study))
    assert [picture.name for picture in pictures] == ["forest", "pareto", "curves", "crops"]
    assert skipped == []
    assert "no interval over seeds" in pictures[0].caption
    labels = [text.get_text() for text in pictures[0].figure.legends[0].get_texts()]
    assert labels == ["margin, ±0.05 dB", "one image (one seed: no interval over seeds)"]


def test_the_interaction_averages_over_other_factors() -> None:
    levels = {
        "base": {"sharing": "all", "ratio": "1/4", "esa": "on"},
        "b": {"sharing": "all", "ratio": "1/4", "esa": "off"},
        "c": {"sharing": "none", "ratio": "1/4", "esa": "on"},
        "d": {"sharing": "none", "ratio": "1/8", "esa": "on"},
    }
    rows = pd.DataFrame(
        {"variant": ["bicubic", "base", "b", "c", "d", "control"], "delta": [-3.0, 0.0, 0.2, 0.3, -0.4, 9.0]}
    )
    table = interaction(rows, levels, ["sharing", "ratio"])
    assert (list(table.index), list(table.columns)) == (["all", "none"], ["1/4", "1/8"])
    np.testing.assert_allclose(table.to_numpy(), [[0.1, np.nan], [0.3, -0.4]])


@pytest.mark.parametrize("levels", [{}, LEVELS])
def test_without_two_crossed_factors_there_is_no_interaction(levels: dict[str, dict[str, str]], tmp_path: Path) -> None:
    factors = ["sharing"] if levels else ["sharing", "ratio"]
    assert "interaction" not in draw_names(
        load_results(make_study(tmp_path, seeds=(0,), factors=factors, levels=levels))
    )


def test_a_control_of_matched_size_is_no_cell_of_the_interaction(tmp_path: Path) -> None:
    """It has the levels of its variant, at another size."""
    folder = make_study(tmp_path, factors=["sharing", "ratio"], levels=LEVELS, matched={"100%-meso": "no_sharing"})
    study = load_results(folder)
    (picture,) = [p for p in draw(study, comparison(study), statistics(study))[0] if p.name == "interaction"]
    assert [text.get_text() for text in picture.figure.axes[0].texts] == ["+0.000", "–", "+0.750", "–"]


def test_the_best_and_the_worst_image_are_shown(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path))
    best, worst = find_examples(study)
    # ant: no_sharing +1, 100%-meso -0.5; bee: no_sharing +0.5, 100%-meso -0.5
    assert (best.image, best.variants) == ("ant", ("no_sharing",))
    assert best.reason == "ant: best change no_sharing, +1.00 dB"
    assert worst.reason == "bee: worst change 100%-meso, −0.50 dB"
    (crops,) = [picture for picture in draw(study, comparison(study), statistics(study))[0] if picture.name == "crops"]
    titles = [[ax.get_title() for ax in part.axes] for part in crops.figure.subfigs]
    assert titles[0] == [
        "HR\nant",
        "bicubic\n27.00 dB",
        "base\n29.00 dB",
        "no_sharing\n30.00 dB",
        "100%-meso\n28.00 dB",
    ]
    assert [title.split("\n")[1] for title in titles[1]] == ["bee", "28.00 dB", "30.00 dB", "30.50 dB", "29.00 dB"]
    assert "seed 0." in crops.caption


def test_an_example_names_its_set_where_there_are_several(tmp_path: Path) -> None:
    best, worst = find_examples(load_results(make_study(tmp_path, sets=("set_5", "set_14"))))
    assert (best.data, best.reason) == ("set_5", "ant (set_5): best change no_sharing, +1.00 dB")
    assert (worst.data, worst.reason) == ("set_14", "bee (set_14): worst change 100%-meso, −0.50 dB")


def test_best_and_worst_on_one_image_share_a_row(tmp_path: Path) -> None:
    psnr = seeded({"more": [0.1, 0.1], "less": [-0.1, -0.1]})
    for name, change in (("more", 0.5), ("less", -0.5)):
        for images in psnr[name].values():
            images["bee"] += change
    (example,) = find_examples(load_results(make_study(tmp_path, psnr)))
    assert (example.image, example.variants) == ("bee", ("more", "less"))
    assert example.reason == "bee: best change more, +0.60 dB; worst change less, −0.60 dB"


def test_without_a_base_the_first_images_are_shown(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path, missing=(("base", 0), ("base", 1))))
    assert [(example.image, example.variants) for example in find_examples(study)] == [("ant", ()), ("bee", ())]
    assert draw_names(study)[-1] == "crops"


def test_a_row_of_crops_has_eight_images_with_the_extremes_among_them(tmp_path: Path) -> None:
    psnr = seeded({f"v{number}": [0.01 * number, 0.01 * number] for number in range(1, 13)})
    for name, image, change in (("v3", "ant", -0.5), ("v12", "bee", 0.5)):
        for images in psnr[name].values():
            images[image] += change
    study = load_results(make_study(tmp_path, psnr))
    (crops,) = [picture for picture in draw(study, comparison(study), statistics(study))[0] if picture.name == "crops"]
    rows: list[Any] = [[ax.get_title().split("\n")[0] for ax in part.axes] for part in crops.figure.subfigs]
    assert rows == [["HR", "bicubic", "base", "v1", "v2", "v3", "v4", "v12"]] * 2


def test_crops_of_another_image_of_that_name_are_not_shown(tmp_path: Path) -> None:
    study = load_results(make_study(tmp_path))
    Image.new("RGB", (40, 40)).save(tmp_path / "set_5" / "ant.png")
    _, skipped = draw(study, comparison(study), statistics(study))
    assert len(skipped) == 1
    assert "its size differs" in skipped[0]


# The command


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (100, ["variant", "params", "MACs (G)", "PSNR (dB)", "SSIM", "Δ dB", "± 95 %", "p", "verdict", "seeds"]),
        (80, ["variant", "params", "PSNR (dB)", "Δ dB", "± 95 %", "p", "verdict"]),
    ],
)
def test_the_command_prints_a_table_that_fits(
    width: int, columns: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["no-distillation-x", "global-only"]
    folder = make_study(tmp_path, seeded({names[0]: [0.1, 0.2, 0.15], names[1]: [-0.2, -0.2, -0.21]}))
    monkeypatch.setattr(cli, "console", Console(width=width))
    monkeypatch.setattr(report, "write_report", lambda folder: [])
    cli.report(folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == QUESTION
    assert re.split(r"\s{2,}", lines[2].strip()) == columns
    table = lines[2:9]
    assert all("…" not in line for line in table)
    for name in ("bicubic", "base", *names):
        (row,) = [line for line in table if line.split()[:1] == [name]]
        assert len(row) <= width
    assert "+0.150" in "".join(table)
    assert lines[-1] == f"Written: 0 files; start with {folder}/report.html"


def test_the_command_names_each_evaluation_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_study(tmp_path, sets=("set_5", "set_14"))
    monkeypatch.setattr(cli, "console", Console(width=100))
    monkeypatch.setattr(report, "write_report", lambda folder: [])
    cli.report(folder)
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    start = lines.index("set_5")
    assert lines[start : start + 10] == ["set_5", "bicubic", *PSNR, "set_14", "bicubic", *PSNR]
