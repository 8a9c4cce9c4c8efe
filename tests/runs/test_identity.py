"""The identity of a run: what changes it and what does not."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asid.ablation.study.expand import expand
from asid.ablation.study.plan import plan_runs
from asid.ablation.study.study import StudyConfig
from asid.config import RunConfig
from asid.data.images import write_image
from asid.runs import identity as identities
from asid.runs.identity import Identity, check_identity, data_manifests, run_identity

MakeConfig = Callable[..., RunConfig]


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """Configurations of runs on a folder of photographs that a test may change; further names are sections."""
    for name, value in (("a", 50), ("b", 200)):
        write_image(tmp_path / "photographs" / f"{name}.png", np.full((40, 40, 3), value, np.uint8))

    def make(**sections: Any) -> RunConfig:
        folder = str(tmp_path / "photographs")
        content: dict[str, Any] = {"data": {"train": folder, "validation": folder}, "evaluate": {"data": [folder]}}
        for name, value in sections.items():
            content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
        return RunConfig.model_validate(content)

    return make


def changed(before: Identity, after: Identity) -> tuple[bool, list[str]]:
    """Whether the training differs, and the evaluation sets in both identities with another evaluation."""
    common = before.evaluations.keys() & after.evaluations.keys()
    return before.training != after.training, [
        name for name in sorted(common) if before.evaluations[name] != after.evaluations[name]
    ]


SET = "photographs"
"""Name of the evaluation set of the configurations here."""


@pytest.mark.parametrize(
    "sections",
    [
        {"seed": 1},
        {"model": {"esa": False}},
        {"train": {"steps": 7}},
        {"train": {"validate_every": 7}},
        {"data": {"train": "samples"}},
        {"data": {"validation": "samples"}},
        {"data": {"augment": False}},
    ],
    ids=str,
)
def test_what_changes_a_training_changes_its_evaluations(sections: dict[str, Any], make_config: MakeConfig) -> None:
    assert changed(run_identity(make_config()), run_identity(make_config(**sections))) == (True, [SET])


@pytest.mark.parametrize(
    "sections",
    [{"border": "replicate"}, {"ensemble": True}, {"tile": 32}, {"protocol": "psnr-rgb/ssim-rgb crop=scale"}],
    ids=str,
)
def test_what_changes_an_evaluation_does_not_change_the_training(
    sections: dict[str, Any], make_config: MakeConfig
) -> None:
    assert changed(run_identity(make_config()), run_identity(make_config(evaluate=sections))) == (False, [SET])


def test_another_evaluation_set_changes_nothing_of_the_others(make_config: MakeConfig, tmp_path: Path) -> None:
    before = run_identity(make_config())
    more = run_identity(make_config(evaluate={"data": [str(tmp_path / SET), "samples"]}))
    assert changed(before, more) == (False, [])
    assert list(more.evaluations) == [SET, "samples"]
    assert more.run_id != before.run_id, "the run is not done"


def test_what_has_no_effect_on_weights_and_curves_is_not_in_the_identity(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    """That these change no weights is tested in tests/training/test_train.py."""
    before = run_identity(make_config())
    assert run_identity(make_config(train={"checkpoint_every": 7, "loader_workers": 2})) == before
    moved = str((tmp_path / SET).rename(tmp_path / "moved"))
    after = run_identity(make_config(data={"train": moved, "validation": moved}, evaluate={"data": [moved]}))
    assert after.training == before.training, "where images are does not matter"


def test_identity_is_equal_for_equal_runs(make_config: MakeConfig) -> None:
    config = make_config()
    assert run_identity(make_config()) == run_identity(config) == run_identity(config, data_manifests(config))


def test_identity_follows_the_bytes_of_the_images(make_config: MakeConfig, tmp_path: Path) -> None:
    before = run_identity(make_config())
    path = tmp_path / SET / "b.png"
    content = path.read_bytes()
    write_image(path, np.full((40, 40, 3), 201, np.uint8))
    assert changed(before, run_identity(make_config())) == (True, [SET])
    path.write_bytes(content)
    assert run_identity(make_config()) == before


def test_identity_follows_the_bytes_of_pretrained_weights(make_config: MakeConfig, tmp_path: Path) -> None:
    ids = [run_identity(make_config())]
    for name, content in (("a", b"1"), ("b", b"1"), ("b", b"2")):
        (tmp_path / name).write_bytes(content)
        ids.append(run_identity(make_config(train={"pretrained": str(tmp_path / name)})))
    assert [before == after for before, after in pairwise(ids)] == [False, True, False]


def test_the_images_of_an_evaluation_set_do_not_change_the_training(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(data={"train": "samples", "validation": "samples"})
    before = run_identity(config)
    write_image(tmp_path / SET / "b.png", np.full((40, 40, 3), 201, np.uint8))
    assert changed(before, run_identity(config)) == (False, [SET])


def test_an_evaluation_follows_the_bytes_of_lr_files(make_config: MakeConfig, tmp_path: Path) -> None:
    """Where an evaluation set has LR files, its scores depend on them."""
    low = tmp_path / "photographs_LR_bicubic" / "X2"
    folder = str((tmp_path / "photographs").rename(tmp_path / "photographs_HR"))
    config = make_config(data={"train": folder, "validation": folder}, evaluate={"data": [folder]})
    seen = [run_identity(config)]
    for value in (50, 51):
        for name in ("a", "b"):
            write_image(low / f"{name}x2.png", np.full((20, 20, 3), value, np.uint8))
        seen.append(run_identity(config))
    for before, after in pairwise(seen):
        assert changed(before, after) == (False, ["photographs_HR"])
    assert data_manifests(config)[f"evaluate {folder}"]["lr_manifest"]


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_identity_follows_which_images_there_are(change: str, make_config: MakeConfig, tmp_path: Path) -> None:
    before = run_identity(make_config())
    folder = tmp_path / SET
    match change:
        case "added":
            (folder / "c.png").write_bytes((folder / "a.png").read_bytes())
        case "removed":
            (folder / "b.png").unlink()
        case "renamed":
            (folder / "b.png").rename(folder / "z.png")
    assert changed(before, run_identity(make_config())) == (True, [SET])


@pytest.mark.parametrize(("code", "training"), [("weights_code", True), ("scores_code", False)])
def test_identity_follows_the_code(
    code: str, training: bool, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, source = run_identity(make_config()), identities.source_hash()
    monkeypatch.setattr(identities, code, lambda: "other")
    assert changed(before, run_identity(make_config())) == (training, [SET])
    assert identities.source_hash() != source


def test_identity_does_not_follow_the_names_of_study_and_variant(tmp_path: Path) -> None:
    ids = []
    for name, variant in (("one", "a"), ("two", "b")):
        study = expand(StudyConfig.model_validate({"name": name, "question": name, "variants": {variant: {}}}))
        ids += [run.identity for run in plan_runs(study, tmp_path)]
    assert ids[0] == ids[1]


def test_the_manifest_names_the_images_of_each_use(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = str(tmp_path / "photographs")
    manifests = data_manifests(make_config(data={"train": "samples", "validation": folder}))
    assert list(manifests) == ["train", "validation", f"evaluate {folder}"]
    assert manifests["validation"]["images"] == ["a.png", "b.png"]
    assert manifests["validation"]["source"] == folder
    assert "astronaut.png" in manifests["train"]["images"]


def test_a_run_is_checked_against_its_plan(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config()
    planned = run_identity(config).run_id
    check_identity(config, planned)
    check_identity(config, "")  # nothing was planned
    write_image(tmp_path / "photographs" / "a.png", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(ValueError, match=planned) as caught:
        check_identity(config, planned)
    assert run_identity(config).run_id in str(caught.value)
