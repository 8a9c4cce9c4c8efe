"""The panels of attention maps: they show the numbers of the network, and name the group that computed a map."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from asid.config import preset
from asid.data.images import write_image
from asid.data.sources import find_images
from asid.files import RECORD, WEIGHTS, write_json
from asid.interpret.attention_maps import entropy, extract_attention_maps, layer_names, mean_distance
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID
from asid.panels.attention_maps import AttentionMapPanel, attention_of, lr_image, spread_panel
from asid.panels.networks import open_model
from asid.panels.panel import Panel

pytestmark = pytest.mark.process

CHANGES = {
    "shared": {"num_groups": 2},
    "unshared": {"num_groups": 2, "attention_sharing": "none"},
    "window": {"num_groups": 2, "global_kind": "window", "global_size": 16},
    "two": {"num_groups": 2, "spatial_windows": ["global", "global"]},
    "channel": {"num_groups": 1, "spatial_windows": []},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {
        name: str(save_checkpoint(ASID(preset("asid-tiny", **changes), seed=1), folder / f"{name}.safetensors"))
        for name, changes in CHANGES.items()
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("photographs")
    write_image(folder / "face.png", data.astronaut()[60:140, 180:284])  # LR: 40×52
    write_image(folder / "small.png", data.astronaut()[60:92, 180:212])  # LR: 16×16
    write_image(folder / "strip.png", data.astronaut()[60:62, 180:212])  # LR: 1×16
    return str(folder)


def shown(panel: Panel) -> dict[str, np.ndarray]:
    assert panel.drawing is not None
    return dict(panel.drawing[1])


def titles(panel: AttentionMapPanel) -> str:
    assert panel.drawing is not None
    return "\n".join(ax.get_title() for ax in panel.drawing[0].axes)


@pytest.fixture
def panel(models: dict[str, str], source: str, tmp_path: Path) -> AttentionMapPanel:
    return AttentionMapPanel(list(models.values()), source, results=tmp_path, folder=tmp_path)


def values(shown: dict[str, object]) -> np.ndarray:
    """The values of a map on the page."""
    shape = len(shown["rows"]), len(shown["columns"])  # type: ignore[arg-type]
    return np.frombuffer(shown["values"], np.float32).reshape(shape)  # type: ignore[call-overload]


def test_the_map_of_a_shared_group_is_that_of_the_first(panel: AttentionMapPanel, models: dict[str, str]) -> None:
    first = shown(panel)
    name = f"{models['shared']}.meso.attention"
    panel.controls["group"].value = 1
    np.testing.assert_array_equal(shown(panel)[name], first[name])
    maps = attention_of(models["shared"], panel.photographs["face"])
    np.testing.assert_array_equal(shown(panel)[name], maps.spatial((20, 26), group=0))
    assert "group 2, shared from group 1" in titles(panel)
    assert panel.view.cards[1]["note"] == "shared from group 1"
    panel.controls["model"].value = models["unshared"]
    assert "shared from" not in titles(panel)
    own = shown(panel)[f"{models['unshared']}.meso.attention"]
    panel.controls["group"].value = 0
    assert not np.allclose(shown(panel)[f"{models['unshared']}.meso.attention"], own)


def test_a_touched_pixel_is_the_query_and_a_small_map_is_chosen(
    panel: AttentionMapPanel, models: dict[str, str]
) -> None:
    panel.view.pixel = [3, 50]
    assert (panel.controls["row"].value, panel.controls["column"].value) == (3, 50)
    photograph, card = panel.view.cards
    assert photograph["query"] == [3, 50]
    assert photograph["boxes"] == [[0, 48, 8, 4]]
    maps = attention_of(models["shared"], panel.photographs["face"])
    relative = maps.relative((3, 50), step=0)
    np.testing.assert_array_equal(values(card["map"]), relative[:8, 48:])
    assert card["note"] == f"{1 - relative.sum() / 64:.0%} on padding"
    np.testing.assert_array_equal(shown(panel)["pixel"], [3, 50])

    meso, grid = card["multiples"]
    assert [len(table["items"]) for table in (meso, grid)] == [6, 6], "2 groups × 3 steps"
    panel._receive({"choose": grid["items"][4]["key"]})
    assert [panel.controls[name].value for name in ("layer", "group", "step")] == [1, 1, 1]
    card = panel.view.cards[1]
    assert [item["chosen"] for item in card["multiples"][1]["items"]] == [False] * 4 + [True, False]
    chosen = maps.relative((3, 50), group=1, step=1, layer=1)
    np.testing.assert_array_equal(values(card["map"]), chosen[np.ix_(card["map"]["rows"], card["map"]["columns"])])
    np.testing.assert_array_equal(values(card["map"]), values(card["multiples"][1]["items"][4]["map"]))


def test_keys_step_through_groups_steps_and_all_maps(panel: AttentionMapPanel) -> None:
    def place() -> list[int]:
        return [panel.controls[name].value for name in ("layer", "group", "step")]

    panel._receive({"step": [0, 1]})
    assert place() == [0, 0, 1]
    panel._receive({"step": [1, 0]})
    panel._receive({"step": [1, 0]})
    assert place() == [0, 1, 1], "there are two groups"
    for way in (1, 1):
        panel._receive({"next": way})
    assert place() == [1, 0, 0]
    panel._receive({"next": -1})
    assert place() == [0, 1, 2]


def test_two_networks_stand_beside_their_difference(panel: AttentionMapPanel, models: dict[str, str]) -> None:
    panel.controls["other"].value = models["unshared"]
    _, one, other, difference = panel.view.cards
    expected = values(other["map"]) - values(one["map"])
    np.testing.assert_allclose(values(difference["map"]), expected, atol=1e-6)
    assert len(panel.drawing[0].axes) > 9  # type: ignore[index]  # three rows of the picture, with colour bars
    panel.controls["layer"].value = 1
    panel.controls["other"].value = models["window"]
    *_, other, difference = panel.view.cards
    assert (other["map"], other["note"]) == (None, "has no layer global grid")
    assert difference["map"] is None
    assert all(name in titles(panel) for name in (models["shared"], models["window"]))


def test_a_run_that_kept_weights_is_shown_over_its_training(
    models: dict[str, str], source: str, tmp_path: Path
) -> None:
    run = tmp_path / "results" / "mine" / "runs" / "base"
    for source_file, file in (("unshared", WEIGHTS), ("shared", "checkpoints/0.5.safetensors")):
        (run / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(models[source_file], run / file)
    record = {"study": "mine", "variant": "base", "config": {"seed": 0}, "identity": {"training": "0"}}
    write_json(run / RECORD, record)
    panel = AttentionMapPanel([models["two"]], source, results=tmp_path / "results", folder=tmp_path)
    assert panel.controls["training"].disabled
    panel.controls["model"].value = str(run)
    panel.controls["training"].value = True
    assert panel.message.value == ""
    titles = [card["title"].split("\n")[0] for card in panel.view.cards[1:]]
    assert titles == ["mine: base, seed 0, 50%", "mine: base, seed 0, 100%"]
    halfway = attention_of(models["shared"], panel.photographs["face"]).relative((20, 26))
    np.testing.assert_array_equal(values(panel.view.cards[1]["map"]), halfway[16:24, 24:32])


def test_the_channels_of_a_pixel(panel: AttentionMapPanel, models: dict[str, str]) -> None:
    panel.controls["model"].value = models["two"]
    panel.controls["other"].value = models["shared"]
    panel.controls["kind"].value = "channel"
    assert panel.message.value == ""
    assert panel.controls["step"].disabled
    array = shown(panel)[f"{models['two']}.0.meso"]
    assert array.shape == (16, 16)
    np.testing.assert_allclose(array.sum(-1), 1, atol=1e-5)
    _, one, other, difference = panel.view.cards
    np.testing.assert_array_equal(values(one["map"]), array)
    np.testing.assert_allclose(values(difference["map"]), values(other["map"]) - array, atol=1e-6)


def test_a_network_without_this_attention_is_named_and_the_other_kind_is_shown(
    panel: AttentionMapPanel, models: dict[str, str]
) -> None:
    panel.controls["model"].value = models["channel"]
    assert "this network has no spatial attention: choose channel" in panel.message.value
    panel.controls["kind"].value = "channel"
    assert panel.message.value == ""
    assert f"{models['channel']}.0.meso" in shown(panel)
    panel.controls["kind"].value = "spatial"
    panel.controls["model"].value = models["two"]
    assert panel.message.value == ""


def test_sliders_end_with_the_photograph(panel: AttentionMapPanel) -> None:
    panel.controls["column"].value = 50
    panel.controls["photograph"].value = "small"
    assert (panel.controls["row"].max, panel.controls["column"].max) == (15, 15)
    assert panel.message.value == ""
    assert panel.view.size == [16, 16]
    np.testing.assert_array_equal(shown(panel)["pixel"], [8, 15], "the same place")
    for name in ("strip", "small"):  # to a side of one pixel, and back
        panel.controls["photograph"].value = name
        assert panel.message.value == ""
    np.testing.assert_array_equal(shown(panel)["pixel"], [0, 15])


def test_pictures_of_other_pixels_have_other_names(panel: AttentionMapPanel) -> None:
    first = panel.save()
    panel.controls["row"].value = 1
    assert not set(panel.save()) & set(first)
    assert {"face", "layer1", "group1", "step1", "row20", "column26"} <= set(first[0].stem.split("-"))


def test_layers_of_one_kind_are_numbered() -> None:
    assert layer_names(preset("asid-tiny", **CHANGES["two"])) == ["global grid 1", "global grid 2"]
    assert layer_names(preset("asid-tiny", **CHANGES["window"])) == ["meso", "window 16"]


def test_the_spread_shows_the_numbers_of_the_network(models: dict[str, str], source: str, tmp_path: Path) -> None:
    spread = spread_panel([models["unshared"], models["shared"]], source, results=tmp_path, folder=tmp_path)
    face = find_images(source)[0]
    attention = attention_of(models["unshared"], face)
    np.testing.assert_array_equal(
        attention.spatial_maps[0][0][0],
        extract_attention_maps(open_model(models["unshared"]), lr_image(face, 2)).spatial_maps[0][0][0],
    )
    np.testing.assert_array_equal(shown(spread)["entropy"], entropy(attention))
    np.testing.assert_array_equal(shown(spread)["mean_distance"], mean_distance(attention))
    spread.controls["model"].value = models["shared"]
    assert spread.message.value == ""


def test_networks_of_two_scales_are_not_compared(panel: AttentionMapPanel) -> None:
    panel.controls["other"].value = "asid-x4"
    assert "expected networks of one scale, got scales [2, 4]" in panel.message.value
    assert "asid-x4 ×4" in panel.message.value, "says which one"
    with pytest.raises(ValueError, match="could not be drawn"):
        panel.save()
    panel.controls["other"].value = ""
    panel.controls["model"].value = "asid-x4"
    assert panel.view.cards[0]["query"] == [10, 13], "the same place of an LR image of half the size"


def test_an_unknown_photograph_is_refused(models: dict[str, str], source: str) -> None:
    with pytest.raises(ValueError, match=r"expected a photograph of .* \(face, small, strip\), got 'nobody'"):
        AttentionMapPanel([models["shared"]], source, photograph="nobody")
