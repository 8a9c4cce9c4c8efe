"""Picking networks: packaged ones, and runs by study, variant, seed and part of the training."""

import shutil
from pathlib import Path

import pytest
import traitlets

from asid.config import preset
from asid.files import RECORD, WEIGHTS, write_json
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID
from asid.panels.networks import (
    NetworkPicker,
    finished_runs,
    network_name,
    network_options,
    open_model,
    over_training,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with runs that differ in variant and seed, and in the training alone; one kept weights on the way."""
    results = tmp_path_factory.mktemp("results")
    network = ASID(preset("asid-tiny", num_groups=1, distillation_steps=1, num_features=16))
    for name, variant, seed in (("a", "base", 10), ("b", "base", 2), ("c", "wide", 2), ("d", "wide", 2)):
        folder = results / "mine" / "runs" / name
        save_checkpoint(network, folder / WEIGHTS)
        config, identity = {"seed": seed}, {"training": name}
        write_json(folder / RECORD, {"study": "x", "variant": variant, "config": config, "identity": identity})
    for part in ("0.5", "0.25"):
        save_checkpoint(network, results / "mine" / "runs" / "b" / "checkpoints" / f"{part}.safetensors")
    save_checkpoint(network, results / "mine" / "runs" / "unfinished" / WEIGHTS)
    (results / "mine" / "runs" / "c" / "deeper").mkdir()
    (results / "other").mkdir()
    save_checkpoint(network, results / "other" / WEIGHTS)
    (results / "other" / RECORD).write_text('{"study": 3')
    return results


def offered(picker: NetworkPicker) -> dict[str, tuple[str, ...]]:
    """The options of the dropdowns that are shown, by label."""
    return {level.description: level.options for level in picker.children if level.layout.display != "none"}


def choose(picker: NetworkPicker, label: str, value: str) -> None:
    (dropdown,) = [level for level in picker.children if level.description == label]
    dropdown.value = value


def test_finished_runs_are_sorted_by_study_variant_and_seed(results: Path) -> None:
    labels = [run.label for run in finished_runs(results)]
    assert labels == ["mine: base, seed 2", "mine: base, seed 10", "mine: wide, seed 2", "mine: wide, seed 2"]


def test_a_run_is_picked_by_study_variant_seed_and_part_of_the_training(results: Path) -> None:
    picker = NetworkPicker(["asid-tiny-meso"], results)
    assert picker.value == "asid-tiny-meso"
    assert set(offered(picker)) == {"network"}
    assert {"asid", "asid-tiny-meso", "study mine"} <= {*offered(picker)["network"]}
    seen: list[str] = []
    picker.observe(lambda change: seen.append(change["new"]), names="value")

    choose(picker, "network", "study mine")
    run = results / "mine" / "runs" / "b"
    assert seen == [str(run)], "one change, to the end of the training"
    assert offered(picker)["trained"] == ("25%", "50%", "100%")
    choose(picker, "trained", "25%")
    assert picker.value == str(run / "checkpoints" / "0.25.safetensors")
    assert network_name(picker.value) == "mine: base, seed 2, 25%"
    assert list(over_training(picker.value)) == ["25%", "50%", "100%"]
    open_model(picker.value)

    choose(picker, "variant", "wide")
    assert offered(picker)["seed"] == ("2 (c)", "2 (d)")
    assert "trained" not in offered(picker)
    assert over_training(picker.value) == {}


def test_the_title_of_a_single_run_is_its_label(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks").mkdir()
    for place in ("mine", "deeper/one", "deeper/study/runs/one"):
        shutil.copytree(results / "mine" / "runs" / "a", tmp_path / "results" / place)
    monkeypatch.chdir(tmp_path / "notebooks")
    labels = {str(run.folder): run.label for run in finished_runs()}
    assert len(set(labels.values())) == 3
    assert {model: network_name(model) for model in labels} == labels
    assert network_name(str(tmp_path / "results" / "mine")) == "x: base, seed 10"


def test_copies_of_a_run_are_told_apart_by_their_folders(results: Path, tmp_path: Path) -> None:
    for place in ("mine", "copy"):
        shutil.copytree(results / "mine" / "runs" / "a", tmp_path / place)
    picker = NetworkPicker(["asid-tiny"], tmp_path)
    choose(picker, "network", "study x")
    assert offered(picker)["seed"] == ("10 (a, copy)", "10 (a, mine)")
    choose(picker, "seed", "10 (a, mine)")
    assert picker.value == str(tmp_path / "mine")
    assert len(network_options([], tmp_path)) == len(dict(network_options([], tmp_path))) == 2


def test_a_picker_is_set_by_program_and_offers_no_network_if_wanted(results: Path) -> None:
    picker = NetworkPicker({"both windows": "asid-tiny"}, results, nothing="nothing")
    assert picker.value == ""
    picker.value = "asid-tiny"
    assert [level.value for level in picker.children] == ["both windows", "", "", ""]
    picker.value = str(results / "mine" / "runs" / "a")
    assert [level.value for level in picker.children] == ["study mine", "base", "10", ""]
    with pytest.raises(traitlets.TraitError, match="expected one of"):
        picker.value = "nobody"


def test_a_list_offers_a_run_once(results: Path) -> None:
    first = str(results / "mine" / "runs" / "a")
    options = dict(network_options([first, "asid-tiny"], results))
    assert list(options)[:2] == ["mine: base, seed 10", "asid-tiny"]
    assert list(options.values()).count(first) == 1
