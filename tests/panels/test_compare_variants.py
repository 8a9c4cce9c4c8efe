"""The panel that compares variants: the report's numbers, controls that follow the study, one drawing a change."""

import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from written_study import edit_file, make_study

from asid.ablation.report.page import _commands
from asid.ablation.report.results import ReportError, load_results
from asid.ablation.report.studies import find_studies
from asid.ablation.report.write import write_report
from asid.files import RECORD
from asid.panels.compare_variants import Comparison, compare_variants

pytestmark = pytest.mark.process

SETTINGS: dict[str, dict[str, Any]] = {
    "no_sharing": {"attention_sharing": "none"},
    "100%-meso": {"attention_sharing": "none", "spatial_windows": ["meso", "meso"]},
}
ONE_SEED = {"base": {0: {"ant": 29.0, "bee": 30.0}}, "other": {0: {"ant": 29.5, "bee": 30.1}}}


def move_study(study: Path, results: Path, name: str) -> Path:
    """Move a hand-written study to its name in ``results``, and give its variants the settings of SETTINGS."""
    folder = results / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    study.rename(folder)

    def change(content: dict[str, Any]) -> None:
        content["config"]["model"] |= SETTINGS.get(content["variant"], {})

    for file in folder.glob("runs/*/record.json"):
        edit_file(file, change)
    edit_file(folder / "study.json", lambda plan: [change(run) for run in plan["runs"]])
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``two`` with two seeds and two evaluation sets, ``single`` with one seed, a reference without SR images."""
    folder = tmp_path_factory.mktemp("suite")
    move_study(make_study(folder / "a", sets=("set_5", "Set 2")), folder / "results", "two")
    move_study(make_study(folder / "b", ONE_SEED), folder / "results", "single")
    reference = move_study(make_study(folder / "c"), folder / "results", "reference/old")
    for image in reference.rglob("*.png"):
        image.unlink()
    for age, name in enumerate(("two", "single", "reference/old")):
        os.utime(folder / "results" / name / "study.json", (1e9 - age, 1e9 - age))
    os.utime(folder / "results" / "reference/old" / "study.json")  # the latest, yet not shown first
    return folder / "results"


@pytest.fixture
def panel(results: Path) -> Comparison:
    return compare_variants(results, "two")


def count(panel: Comparison) -> list[str]:
    """A list that grows by the view of each drawing from here on."""
    drawn: list[str] = []
    draw = panel.draw

    def counted(**values: Any) -> Any:
        drawn.append(values["view"])
        return draw(**values)

    panel.draw = counted
    return drawn


def offered(panel: Comparison, name: str) -> list[Any]:
    return [option[-1] if isinstance(option, tuple) else option for option in panel.controls[name].options]


def set_to(panel: Comparison, **values: Any) -> bytes:
    """Set controls as a person would; returns the picture. Fails if the panel shows an error."""
    for name, value in values.items():
        panel.controls[name].value = value
        assert "alert" not in panel.message.value, panel.message.value
    return bytes(panel.picture.value)


# Studies


def test_reference_studies_come_last_and_the_latest_own_one_is_shown_first(results: Path) -> None:
    assert list(find_studies(results)) == ["single", "two", "reference/old"]
    assert compare_variants(results).values["study"] == "two"


def test_without_own_studies_a_reference_is_shown(results: Path, tmp_path: Path) -> None:
    (tmp_path / "reference").symlink_to(results / "reference")
    assert compare_variants(tmp_path).values["study"] == "reference/old"


def test_a_study_without_a_finished_run_is_not_shown_first(tmp_path: Path) -> None:
    move_study(make_study(tmp_path / "a", ONE_SEED), tmp_path, "done")
    move_study(make_study(tmp_path / "b", ONE_SEED, missing=(("base", 0), ("other", 0))), tmp_path, "begun")
    os.utime(tmp_path / "done" / "study.json", (1e9, 1e9))
    panel = compare_variants(tmp_path)
    assert panel.values["study"] == "done"
    panel.controls["study"].value = "begun"
    assert "no finished run" in panel.message.value
    assert panel.values["study"] == "done", "what is shown is what the control says"


def test_an_unknown_study_and_a_folder_without_any_are_reported_in_a_line(results: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"tow.* single, two, reference/old") as error:
        compare_variants(results, "tow")
    assert "\n" not in str(error.value)
    with pytest.raises(ReportError, match="asid ablate run"):
        compare_variants(tmp_path)


def test_axes_are_the_settings_in_which_variants_differ(results: Path) -> None:
    assert load_results(results / "two").axes == {
        "attention sharing": {"base": "all", "no_sharing": "none", "100%-meso": "none"},
        "spatial windows": {"base": "meso + global", "no_sharing": "meso + global", "100%-meso": "meso + meso"},
    }


# Controls


def test_the_controls_follow_the_study_and_draw_once(panel: Comparison) -> None:
    assert offered(panel, "data") == ["set_5", "Set 2"]
    assert offered(panel, "axis") == ["", "attention sharing", "spatial windows"]
    set_to(panel, data="Set 2", axis="attention sharing", view="pareto")
    drawn = count(panel)
    set_to(panel, study="single")
    assert drawn == ["pareto"], "one drawing, and the view stays"
    assert panel.values["data"] == "set_5"
    assert panel.values["variants"] == ("other",)
    assert offered(panel, "axis") == [""]
    assert panel.values["level"] == ""
    set_to(panel, study="two")
    assert panel.values["variants"] == ("no_sharing", "100%-meso")
    assert len(drawn) == 2


def test_each_view_has_its_picture(panel: Comparison) -> None:
    pictures = [set_to(panel, view=view) for view in ("pareto", "seeds", "curves", "crops", "forest")]
    assert len(set(pictures)) == 5
    for picture in pictures:
        assert np.asarray(Image.open(io.BytesIO(picture)).convert("L")).std() > 5


def test_another_evaluation_set_has_its_own_rows(panel: Comparison) -> None:
    assert set(panel.selection.table["data"]) == {"set_5"}
    set_to(panel, data="Set 2")
    assert set(panel.selection.table["data"]) == {"Set 2"}
    assert "Set 2." in panel.table.value


def test_an_axis_leaves_the_variants_that_change_it(panel: Comparison) -> None:
    set_to(panel, axis="spatial windows")
    assert offered(panel, "variants") == ["100%-meso"]
    assert list(panel.selection.table["variant"]) == ["bicubic", "base", "100%-meso"]
    set_to(panel, level="meso + global")
    assert list(panel.selection.table["variant"]) == ["bicubic", "base", "no_sharing"]
    set_to(panel, axis="attention sharing")
    assert panel.values["variants"] == ("no_sharing", "100%-meso")


def test_fewer_variants_change_picture_and_table_but_no_number(panel: Comparison) -> None:
    everything, before = panel.selection.table, bytes(panel.picture.value)
    assert "100%-meso" in panel.table.value
    assert set_to(panel, variants=("no_sharing",)) != before
    assert "100%-meso" not in panel.table.value
    assert "2 of 3 variants" in panel.table.value
    pd.testing.assert_frame_equal(panel.selection.table, everything[everything["variant"] != "100%-meso"])
    assert "Holm-adjusted for all 4 comparisons" in panel.table.value
    assert panel.drawing is not None
    assert set(panel.drawing[1]["scores_variant"]) == {"bicubic", "base", "no_sharing"}


def test_with_the_base_alone_the_forest_says_that_there_is_nothing_to_compare(panel: Comparison) -> None:
    full = set_to(panel, view="forest")
    assert set_to(panel, variants=()) != full
    assert list(panel.selection.table["variant"]) == ["bicubic", "base"]
    for view in ("pareto", "seeds", "curves", "crops"):
        set_to(panel, view=view)


def words(panel: Comparison) -> str:
    """The words of a figure that says why there is none."""
    assert panel.drawing is not None
    return " ".join(text.get_text().replace("\n", " ") for text in panel.drawing[0].texts)


def test_one_seed_is_reported(results: Path) -> None:
    panel = compare_variants(results, "single")
    set_to(panel, view="seeds")
    assert words(panel).startswith("One seed")


def test_runs_that_were_trained_one_at_a_time_are_listed_as_a_study(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "results")
    for run in (results / "two" / "runs").glob("*-0"):
        shutil.copytree(run, tmp_path / "results" / "alone" / run.name)

    def train_otherwise(record: dict[str, Any]) -> None:
        record["config"]["train"]["learning_rate"] = 0.25
        record["config"]["data"]["patch_size"] = 32

    edit_file(tmp_path / "results" / "alone" / "no_sharing-0" / RECORD, train_otherwise)
    panel = compare_variants(tmp_path / "results")
    assert offered(panel, "study") == ["single", "two", "reference/old", "alone"]
    set_to(panel, study="alone", view="seeds")
    assert panel.results.plan.base == "100%-meso", "the first one"
    assert "spatial windows: meso + global" in panel.table.value
    assert panel.results.command == "", "no single one trained them"
    assert "patch size: 32, learning rate: 0.25" in panel.table.value
    assert [command for command, _ in _commands(panel.results)][-1:] == ["asid report results/alone"]
    assert not any("asid ablate run" in command or "asid train" in command for command, _ in _commands(panel.results))
    assert words(panel).startswith("One seed")
    assert "<b>ReportError" not in panel.message.value
    shutil.copytree(results / "two" / "runs" / "base-0", tmp_path / "results" / "alone" / "again")
    with pytest.raises(ReportError, match=r"two runs in .* are called base seed 0"):
        load_results(tmp_path / "results" / "alone")


# Crops


def test_crops_show_the_chosen_image_of_the_shown_variants_with_psnr(panel: Comparison) -> None:
    first = set_to(panel, view="crops", image="ant", variants=("no_sharing",))
    assert panel.drawing is not None
    titles = panel.drawing[1]["crop_titles"].tolist()
    assert titles == ["HR\nant", "bicubic\n27.00 dB", "base\n29.00 dB", "no_sharing\n30.00 dB"]
    assert panel.drawing[1]["crops"].shape == (4, 64, 64, 3)
    assert set_to(panel, image="bee") != first
    assert "do not fit" not in panel.caption.value
    assert panel.controls["image"].layout.display is None
    set_to(panel, view="forest")
    assert panel.controls["image"].layout.display == "none"


def test_crops_say_how_many_did_not_fit(tmp_path: Path) -> None:
    psnr = {"base": ONE_SEED["base"], **{f"v{index}": ONE_SEED["other"] for index in range(8)}}
    move_study(make_study(tmp_path / "a", psnr), tmp_path, "many")
    panel = compare_variants(tmp_path)
    set_to(panel, view="crops")
    assert "3 more do not fit" in panel.caption.value  # six of nine variants beside HR and bicubic


def test_without_sr_images_crops_say_what_to_do(results: Path) -> None:
    panel = compare_variants(results, "reference/old")
    set_to(panel, view="crops")
    assert words(panel).startswith("No crops:")
    assert "asid ablate run ablations/hand-written.yaml" in words(panel)


# Files


def test_the_saved_table_is_the_report_s(results: Path) -> None:
    panel = compare_variants(results, "single")
    panel.table_button.click()
    folder = results / "export" / "single"
    assert str(folder.resolve()) in panel.message.value
    write_report(load_results(results / "single"))
    for ending in ("csv", "tex"):
        assert (folder / f"comparison-set_5.{ending}").read_bytes() == (
            results / "single" / f"comparison.{ending}"
        ).read_bytes()
    page = (results / "single" / "comparison.md").read_text()
    assert (folder / "comparison-set_5.md").read_text() == page[: page.index("\n![")], "all but its figures"


def test_the_saved_table_of_some_variants_has_their_rows_and_says_so(panel: Comparison, results: Path) -> None:
    set_to(panel, data="Set 2", variants=("100%-meso",))
    csv, markdown, latex = panel.save_table()
    assert csv == results / "export" / "two" / "comparison-Set-2.csv"
    expected = load_results(results / "two").table.query("data == 'Set 2' and variant != 'no_sharing'")
    assert csv.read_text() == expected.to_csv(index=False)
    for file in (markdown, latex):
        assert "2 of 3 variants" in file.read_text()


def test_a_saved_figure_carries_its_numbers(panel: Comparison) -> None:
    set_to(panel, view="pareto")
    panel.save_button.click()
    assert "pareto-set_5.png, pareto-set_5.svg, pareto-set_5.npz" in panel.message.value
    saved = np.load(panel.folder / "pareto-set_5.npz")
    np.testing.assert_allclose(saved["table_psnr"], panel.selection.table["psnr"])
    assert saved["table_variant"].tolist() == list(panel.selection.table["variant"])
    assert saved["setting_view"] == "pareto"


def test_without_a_browser_the_output_has_table_and_picture(panel: Comparison) -> None:
    bundle = panel._repr_mimebundle_()
    assert "no_sharing" in bundle["text/html"]
    assert bundle["image/png"] in bundle["text/html"]
