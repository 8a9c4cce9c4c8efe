"""The report: right numbers from hand-written records, the same bytes each time, and nothing trained."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from asid.ablation.records import Record, data_manifests, write_record
from asid.ablation.report import ReportError, comparison, describe, load_results, score_table, to_latex, to_markdown, to_text, write_report
from asid.config import RunConfig
from asid.data.images import write_image
from asid.files import RECORD

# PSNR by variant, seed and image: means are 30.0, 30.75 and 29.5.
PSNR = {
    "base": {0: {"ant": 29.0, "bee": 30.0}, 1: {"ant": 30.0, "bee": 31.0}},
    "no_sharing": {0: {"ant": 30.0, "bee": 30.5}, 1: {"ant": 31.0, "bee": 31.5}},
    "100%-meso": {0: {"ant": 28.0, "bee": 29.0}, 1: {"ant": 30.0, "bee": 31.0}},
}
SSIM = {"base": 0.9, "no_sharing": 0.91, "100%-meso": 0.89}
CHANGES = {"base": "", "no_sharing": "attention sharing: none", "100%-meso": "spatial windows: meso + meso"}
PARAMETERS = {"base": 56164, "no_sharing": 60964, "100%-meso": 1056164}
PROTOCOL = "psnr-y/ssim-y crop=scale"
BICUBIC = {"ant": 27.0, "bee": 28.0}
FILES = {"comparison.csv", "scores.csv", "comparison.md", "comparison.tex"} | {
    f"figures/{name}.{ending}" for name in ("trade_off", "curves", "changes", "crops") for ending in ("png", "svg")
}

MakeStudy = Callable[..., Path]


@pytest.fixture
def make_study(tmp_path: Path) -> MakeStudy:
    """The folder of a study with two photographs; of the runs in ``missing``, (variant, seed), there is no record."""
    photographs = tmp_path / "set_5"
    random = np.random.default_rng(0)
    for name in BICUBIC:
        write_image(photographs / f"{name}.png", random.integers(0, 256, (80, 96, 3), dtype=np.uint8))

    def make(missing: tuple[tuple[str, int], ...] = (), seeds: tuple[int, ...] = (0, 1)) -> Path:
        folder = tmp_path / "results"
        runs = []
        for variant in PSNR:
            for seed in seeds:
                run_id = f"{variant}-{seed}"
                runs.append({"variant": variant, "seed": seed, "run_id": run_id, "folder": f"runs/{run_id}"})
                if (variant, seed) not in missing:
                    write_run(folder / "runs" / run_id, photographs, variant, run_id, PSNR[variant][seed], seed)
        write_run(folder / "references" / "bicubic", photographs, "bicubic", "bicubic", BICUBIC, 0)
        plan = {
            "name": "hand-written",
            "question": "What does 50 % of_that do & why?",
            "preset": "asid-tiny",
            "base": "base",
            "references": ["bicubic"],
            "variants": CHANGES,
            "runs": runs,
        }
        (folder / "study.json").write_text(json.dumps(plan))
        return folder

    return make


def write_run(folder: Path, photographs: Path, variant: str, run_id: str, psnr: dict[str, float], seed: int) -> None:
    source = str(photographs)
    config = RunConfig.model_validate(
        {"data": {"train": source, "validation": source}, "train": {"steps": 70}, "evaluate": {"data": [source]}, "seed": seed}
    )
    trained = variant in PSNR
    macs = PARAMETERS.get(variant, 0) * 10**5
    record = Record(
        study="hand-written",
        variant=variant,
        run_id=run_id,
        config=config,
        protocol=PROTOCOL,
        data=data_manifests(config),
        complexity={
            "parameters": PARAMETERS[variant],
            "macs_torch": macs,
            "macs_ptflops": 2 * macs,
            "macs_fvcore": 3 * macs,
            "output": [1280, 720],
        }
        if trained
        else None,
        scores=[{"data": "set_5", "image": image, "psnr": value, "ssim": SSIM.get(variant, 0.8)} for image, value in psnr.items()],
        history=[{"step": step, "loss": 1 / step, "learning_rate": 0.01, "psnr": 20.0 + step / 10, "seconds": 1.0} for step in (10, 40, 70)]
        if trained
        else [],
        seconds={},
        provenance={"commit": "0123456789ab", "asid": "0.1.0", "torch": "2.6.0"},
    )
    write_record(record, folder)
    for name in psnr:
        write_image(folder / "images" / "set_5" / f"{name}.png", np.full((80, 96, 3), 100 + seed, np.uint8))


def rows(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in table.to_dict("records")}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_means_are_over_images_and_seeds(make_study: MakeStudy) -> None:
    table = rows(comparison(load_results(make_study())))
    assert {name: row["psnr"] for name, row in table.items()} == pytest.approx(
        {"bicubic": 27.5, "base": 30.0, "no_sharing": 30.75, "100%-meso": 29.5}
    )
    assert {name: row["ssim"] for name, row in table.items()} == pytest.approx({"bicubic": 0.8, **SSIM})


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("evaluate", "tile", 64),
        ("evaluate", "protocol", "psnr-rgb/ssim-rgb crop=scale"),
        ("evaluate", "ensemble", True),
        ("model", "scale", 3),
    ],
)
def test_a_table_never_mixes_two_ways_of_evaluating(section: str, field: str, value: object, make_study: MakeStudy) -> None:
    folder = make_study()
    path = folder / "runs" / "no_sharing-1" / RECORD
    content = json.loads(path.read_text())
    content["config"][section][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ReportError, match=rf"no_sharing-1 was evaluated with {field} {value}, .*bicubic with "):
        load_results(folder)


def test_changes_are_against_the_base(make_study: MakeStudy) -> None:
    table = rows(comparison(load_results(make_study())))
    assert {name: row["delta"] for name, row in table.items()} == pytest.approx(
        {"bicubic": -2.5, "base": 0.0, "no_sharing": 0.75, "100%-meso": -0.5}
    )


def test_costs_are_those_of_the_records(make_study: MakeStudy) -> None:
    table = rows(comparison(load_results(make_study())))
    assert {name: table[name]["parameters"] for name in PSNR} == PARAMETERS
    assert table["base"]["macs"] == pytest.approx(5.6164)
    assert table["base"]["macs_ptflops"] == pytest.approx(2 * 5.6164)
    assert table["base"]["macs_fvcore"] == pytest.approx(3 * 5.6164)
    assert {name: table[name]["seeds"] for name in PSNR} == dict.fromkeys(PSNR, 2)
    for column in ("parameters", "macs", "seeds"):
        assert pd.isna(table["bicubic"][column])


def test_rows_are_in_the_order_of_the_plan(make_study: MakeStudy) -> None:
    assert list(comparison(load_results(make_study()))["variant"]) == ["bicubic", *PSNR]


def test_every_score_is_kept(make_study: MakeStudy) -> None:
    table = score_table(load_results(make_study()))
    assert len(table) == 3 * 2 * 2 + 2
    kept = table.set_index(["variant", "seed", "image"])["psnr"]
    for variant, seeds in PSNR.items():
        for seed, images in seeds.items():
            for image, value in images.items():
                assert kept[variant, seed, image] == value


def test_a_variant_is_compared_on_what_it_shares_with_the_base(make_study: MakeStudy) -> None:
    """Where a seed of a variant is missing, its difference must not be that of the seeds."""
    table = rows(comparison(load_results(make_study(missing=(("no_sharing", 0),)))))
    assert table["no_sharing"]["psnr"] == pytest.approx(31.25)
    assert table["no_sharing"]["seeds"] == 1
    assert table["no_sharing"]["delta"] == pytest.approx(31.25 - 30.5), "against the base with seed 1, not with seeds 0 and 1"


def test_without_the_base_there_is_no_difference(make_study: MakeStudy) -> None:
    folder = make_study(missing=(("base", 0), ("base", 1)))
    table = comparison(load_results(folder))
    assert "base" not in set(table["variant"])
    assert table["delta"].isna().all()


def test_a_page_shows_only_pictures_that_are_there(make_study: MakeStudy) -> None:
    folder = make_study(missing=(("base", 0), ("base", 1)))
    write_report(folder)
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", (folder / "comparison.md").read_text())
    assert "figures/crops.png" in pictures
    assert not (folder / "figures" / "changes.png").exists()
    assert [name for name in pictures if not (folder / name).is_file()] == []


def test_numbers_are_shown_with_their_digits(make_study: MakeStudy) -> None:
    shown = rows(to_text(comparison(load_results(make_study()))))
    assert shown["no_sharing"]["params"] == "60 964"
    assert shown["100%-meso"]["params"] == "1 056 164"
    assert shown["no_sharing"]["PSNR (dB)"] == "30.75"
    assert shown["no_sharing"]["SSIM"] == "0.9100"
    assert shown["no_sharing"]["Δ dB"] == "+0.75"
    assert shown["100%-meso"]["Δ dB"] == "-0.50"
    assert (shown["bicubic"]["params"], shown["bicubic"]["change"], shown["base"]["change"]) == ("–", "no training", "–")


def test_files_hold_the_numbers_and_are_the_same_when_written_twice(make_study: MakeStudy) -> None:
    folder = make_study()
    assert {path.relative_to(folder).as_posix() for path in write_report(folder)} == FILES
    first = contents(folder)
    for name, content in first.items():
        assert len(content) > 100, name
        if name.endswith(".png"):
            with Image.open(folder / name) as image:
                assert min(image.size) > 200
                assert np.asarray(image.convert("L")).std() > 1, f"{name} is empty"
    read = pd.read_csv(folder / "comparison.csv")
    expected = comparison(load_results(folder))
    assert list(read.columns) == list(expected.columns)
    for column in ("psnr", "ssim", "delta", "macs"):
        np.testing.assert_allclose(read[column].astype(float), expected[column].astype(float))
    assert len(pd.read_csv(folder / "scores.csv")) == 14

    write_report(folder)
    assert [name for name, content in contents(folder).items() if content != first[name]] == []


def test_the_markdown_table_has_a_line_for_each_row(make_study: MakeStudy) -> None:
    study = load_results(make_study())
    text = to_markdown(study, comparison(study))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4
    assert len({line.count("|") for line in lines}) == 1
    assert study.plan["question"] in text
    for sentence in describe(study):
        assert sentence in text


def test_the_latex_table_is_well_formed(make_study: MakeStudy) -> None:
    study = load_results(make_study())
    comment, text = to_latex(study, comparison(study)).split("\n", 1)
    assert comment.startswith("% ")
    assert "booktabs" in comment
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    assert opened == ["table", "tabular"]
    assert re.findall(r"\\end\{(\w+)\}", text) == opened[::-1]
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0
    outside = re.sub(r"\\label\{.*?\}", "", text)
    assert re.findall(r"(?<!\\)[_%#&^~](?! )", outside) == []
    assert r"no\_sharing" in text
    assert r"100\%-meso" in text
    assert r"50 \% of\_that do \& why?" in text
    assert not re.search(r"[^\x00-\x7f]", text.replace("×", "")), "letters that plain LaTeX does not know"


def test_the_latex_table_has_as_many_cells_as_columns(make_study: MakeStudy) -> None:
    study = load_results(make_study())
    text = to_latex(study, comparison(study))
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    cells = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(cells) == 1 + 4
    for line in cells:
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1


@pytest.mark.parametrize(
    ("folder", "words"), [("nowhere", "no study in"), (".", "asid ablate")], ids=["no such folder", "folder of something else"]
)
def test_a_folder_without_a_study_is_told(folder: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=words) as caught:
        write_report(tmp_path / folder)
    assert str(tmp_path / folder) in str(caught.value)


def test_a_study_without_a_finished_run_is_told(make_study: MakeStudy) -> None:
    folder = make_study(missing=tuple((variant, seed) for variant in PSNR for seed in (0, 1)))
    with pytest.raises(ReportError, match="no finished run"):
        write_report(folder)
    assert not (folder / "comparison.md").exists()


def test_missing_damaged_and_foreign_records_are_listed(make_study: MakeStudy) -> None:
    folder = make_study(missing=(("no_sharing", 1),))
    damaged, foreign = folder / "runs" / "base-1" / RECORD, folder / "runs" / "100%-meso-0" / RECORD
    damaged.write_text(damaged.read_text()[:-50])
    foreign.write_text(foreign.read_text().replace('"100%-meso-0"', '"another"'))
    study = load_results(folder)
    assert study.missing == ["base seed 1", "no_sharing seed 1", "100%-meso seed 0"]
    assert "Without a record, not in the table: base seed 1, no_sharing seed 1, 100%-meso seed 0." in describe(study)


def test_a_study_without_its_reference_is_told_not_crashed_on(make_study: MakeStudy) -> None:
    folder = make_study()
    path = folder / "references" / "bicubic" / RECORD
    path.unlink()
    study = load_results(folder)
    assert study.missing == ["bicubic"]
    assert list(comparison(study)["variant"]) == list(PSNR)


def test_one_seed_is_told_to_be_noise(make_study: MakeStudy) -> None:
    assert any("One seed" in sentence for sentence in describe(load_results(make_study(seeds=(1,)))))
    assert not any("One seed" in sentence for sentence in describe(load_results(make_study(seeds=(0, 1)))))


def test_the_sentences_name_data_steps_and_seeds(make_study: MakeStudy) -> None:
    text = " ".join(describe(load_results(make_study())))
    for words in ("×2", PROTOCOL, "set_5 (2 images, ", "for 70 steps", "seeds 0, 1", "1280×720", "0123456789ab"):
        assert words in text


def test_a_report_needs_no_torch(make_study: MakeStudy) -> None:
    """Nothing is trained: the module that could is not even loaded."""
    folder = make_study()
    code = (
        "import sys\n"
        "from asid.ablation.report import write_report\n"
        f"write_report({str(folder)!r})\n"
        "print({'torch', 'lightning', 'asid.train', 'asid.model.network'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "set()\n"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} >= FILES
