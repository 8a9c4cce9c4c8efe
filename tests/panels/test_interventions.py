"""The panels that intervene, and the error by frequency: they show the numbers of the network, and own runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from asid.config import preset
from asid.data.images import write_image
from asid.files import RECORD, WEIGHTS, write_json
from asid.interpret.crops import evaluation_crops
from asid.interpret.frequency import error_spectrum
from asid.interpret.lesions import components_of, error_increase, lesion_losses, places_of
from asid.interpret.transplant import NULLS, transplant
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID
from asid.panels import interventions
from asid.panels.frequency import frequency_panel
from asid.panels.interventions import lesion_panel, prediction_panel, transplant_panel
from asid.panels.networks import open_model
from asid.panels.panel import Panel
from asid.panels.similarity import similarity_panel

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``images`` with two photographs, ``results`` with a finished run and one that is not, and two networks."""
    folder = tmp_path_factory.mktemp("inside")
    for name, left in (("face", 180), ("hand", 100)):
        write_image(folder / "images" / f"{name}.png", data.astronaut()[60:100, left : left + 40])
    config = preset("asid-tiny", num_groups=2, distillation_steps=1)
    for seed, run in enumerate(("mine", "second", "unfinished")):
        save_checkpoint(ASID(config, seed=seed), folder / "results" / "study" / run / WEIGHTS)
        record = {"study": "study", "variant": "base", "config": {"seed": seed}, "identity": {"training": f"{seed}"}}
        if run != "unfinished":
            write_json(folder / "results" / "study" / run / RECORD, record)
    save_checkpoint(ASID(config.override(attention_sharing="none")), folder / "own.safetensors")
    save_checkpoint(ASID(config.override(scale=3)), folder / "x3.safetensors")
    return folder


@pytest.fixture
def arguments(folder: Path, tmp_path: Path) -> dict[str, object]:
    names = [str(folder / "own.safetensors"), str(folder / "x3.safetensors")]
    return {
        "models": names,
        "source": str(folder / "images"),
        "size": 16,
        "results": folder / "results",
        "folder": tmp_path,
    }


def shown(panel: Panel) -> dict[str, np.ndarray]:
    assert panel.drawing is not None, panel.message.value
    return dict(panel.drawing[1])


def mine(arguments: dict[str, object]) -> str:
    return str(Path(str(arguments["results"])) / "study" / "mine")


def test_transplants_of_the_chosen_network_are_shown_and_saved(arguments: dict[str, object]) -> None:
    panel = transplant_panel(**arguments)  # type: ignore[arg-type]
    model = panel.controls["model"].value
    expected = transplant(open_model(model), evaluation_crops(str(arguments["source"]), 2, 16))
    np.testing.assert_array_equal(shown(panel)["loss"], expected.loss)
    before = panel.picture.value
    panel.controls["view"].value = "matrices"
    assert panel.picture.value != before
    with np.load(panel.save()[-1]) as saved:
        assert {f"null_loss.{name}" for name in NULLS} <= set(saved)
    panel.controls["model"].value = mine(arguments)
    assert (shown(panel)["loss"] == 0).all(), "it shares its maps"


def test_similarity_of_maps_and_of_features(arguments: dict[str, object]) -> None:
    panel = similarity_panel(**arguments)  # type: ignore[arg-type]
    assert shown(panel)["between"].shape == (2, 2, 2)
    panel.controls["view"].value = "matrices of groups"
    matrix = panel.drawing[0].axes[1].images[0].get_array()  # type: ignore[index]
    np.testing.assert_array_equal(matrix, shown(panel)["between"][..., 1])
    panel.controls["measure"].value = "CKA of features"
    assert shown(panel)["between"].shape == (2, 2)
    panel.controls["model"].value = mine(arguments)
    arrays = shown(panel)
    own, second = (name for name in arrays if name.startswith("other."))
    assert own == f"other.{arguments['models'][0]}"  # type: ignore[index]
    assert second.startswith("other.another seed: ")
    assert second.endswith("base, seed 1")
    panel.controls["view"].value = "pairs beside nulls"
    legend = [text.get_text() for text in panel.drawing[0].legends[0].get_texts()]  # type: ignore[index]
    assert "same place, another seed" in legend
    assert np.isnan(arrays["bias_share"][1]).all()


def test_a_partly_trained_network_is_compared_with_other_seeds_after_the_same_part(
    folder: Path, arguments: dict[str, object], tmp_path: Path
) -> None:
    results = Path(shutil.copytree(folder / "results", tmp_path / "results"))
    runs = [results / "study" / name for name in ("mine", "second")]
    for run, parts in zip(runs, (("0.25", "0.5"), ("0.5",)), strict=True):
        (run / "checkpoints").mkdir()
        for part in parts:
            shutil.copy(run / WEIGHTS, run / "checkpoints" / f"{part}.safetensors")
    half, quarter = (str(runs[0] / "checkpoints" / f"{part}.safetensors") for part in ("0.5", "0.25"))
    arguments |= {"models": [str(runs[1])], "results": results}
    panel = similarity_panel(**arguments)  # type: ignore[arg-type]
    for model, bands in ((half, ["other.another seed: study: base, seed 1, 50%"]), (quarter, [])):
        panel.controls["model"].value = model
        assert [name for name in shown(panel) if name.startswith("other.another seed")] == bands


def test_lesions_and_where_the_chosen_one_is_missed(arguments: dict[str, object]) -> None:
    panel = lesion_panel(**arguments)  # type: ignore[arg-type]
    network = open_model(panel.controls["model"].value)
    crops = evaluation_crops(str(arguments["source"]), 2, 16)
    places = {lesion.label: lesion for lesion in places_of(network)}
    assert set(panel.controls["place"].options) == set(places)
    worst = shown(panel)["loss"].mean(1).argmax()
    assert panel.controls["place"].value == shown(panel)["labels"][worst]
    panel.controls["photograph"].value = "hand"
    panel.controls["place"].value = "group 2: ESA"
    expected = error_increase(network, crops, places["group 2: ESA"])[1]
    np.testing.assert_array_equal(shown(panel)["error_increase"], expected)
    panel.controls["model"].value = str(arguments["models"][1])  # type: ignore[index]  # ×3
    assert "smaller size" in panel.message.value, "13×13 LR pixels at ×3"


def test_lesions_of_components_beside_networks_trained_without_them(
    arguments: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    retrained = {"esa": 0.3, "meso": 0.1, "distillation": 0.05, "local-module": 0.01, "sharing": 0.0}
    monkeypatch.setattr(interventions, "load_results", lambda _: None)
    monkeypatch.setattr(interventions, "lost_without", lambda _: retrained)
    panel = prediction_panel(**arguments, study="components")  # type: ignore[arg-type]
    found = shown(panel)
    network = open_model(panel.controls["model"].value)
    lesion = components_of(network)["esa"]
    expected = lesion_losses(network, evaluation_crops(str(arguments["source"]), 2, 16), [lesion]).loss.mean()
    names = found["components"].tolist()
    assert "sharing" not in names
    assert found["lesions"][names.index("esa")] == pytest.approx(expected)
    assert found["retrained"].tolist() == [retrained[name] for name in names]
    assert "Kendall's τ" in panel.drawing[0].axes[0].get_title()  # type: ignore[index]


def test_errors_by_frequency_of_several_networks(arguments: dict[str, object]) -> None:
    arguments["models"] = arguments["models"][:1]  # type: ignore[index]
    panel = frequency_panel(**arguments)  # type: ignore[arg-type]
    (model,) = panel.controls["networks"].value
    crops = evaluation_crops(str(arguments["source"]), 2, 16)
    np.testing.assert_array_equal(shown(panel)[f"{model}.error"], error_spectrum(open_model(model), crops).error)
    before = panel.picture.value
    panel.controls["networks"].value = [model, mine(arguments)]
    panel.controls["view"].value = "change of SNR"
    assert panel.picture.value != before
    panel.controls["networks"].value = ()
    assert "at least one network" in panel.message.value
