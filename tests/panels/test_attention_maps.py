"""The panels of attention maps: they show the numbers of the network, and name the group that computed a map."""

import re
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from asid.config import preset
from asid.data.images import write_image
from asid.interpret.attention_maps import entropy, extract_attention_maps, group_similarity, mean_distance
from asid.model.checkpoint import save_checkpoint
from asid.model.network import ASID
from asid.panels.attention_maps import AttentionMapPanel, layer_names, similarity_panel, spread_panel

pytestmark = pytest.mark.process

CHANGES = {
    "shared": {"num_groups": 2},
    "unshared": {"num_groups": 2, "attention_sharing": "none"},
    "window": {"num_groups": 2, "global_kind": "window", "global_size": 16},
    "two": {"num_groups": 2, "spatial_windows": ["global", "global"]},
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
    return str(folder)


def shown(panel: AttentionMapPanel) -> dict[str, np.ndarray]:
    assert panel.drawing is not None
    return dict(panel.drawing[1])


def titles(panel: AttentionMapPanel) -> str:
    assert panel.drawing is not None
    return "\n".join(ax.get_title() for ax in panel.drawing[0].axes)


def test_the_map_of_a_shared_group_is_that_of_the_first(models: dict[str, str], source: str, tmp_path: Path) -> None:
    panel = AttentionMapPanel([models["shared"], models["unshared"]], source, folder=tmp_path)
    first = shown(panel)
    name = f"{models['shared']}.meso.attention"
    panel.controls["group"].value = 1
    np.testing.assert_array_equal(shown(panel)[name], first[name])
    np.testing.assert_array_equal(
        shown(panel)[name],
        extract_attention_maps(panel.cache.models[models["shared"]], panel.cache.images["face"]).spatial(
            (20, 26), group=0
        ),
    )
    assert "group 2, shared from group 1" in titles(panel)
    panel.controls["networks"].value = (models["unshared"],)
    assert "shared from" not in titles(panel)
    own = shown(panel)[f"{models['unshared']}.meso.attention"]
    panel.controls["group"].value = 0
    assert not np.allclose(shown(panel)[f"{models['unshared']}.meso.attention"], own)


def test_the_map_is_the_one_under_the_chosen_pixel(models: dict[str, str], source: str, tmp_path: Path) -> None:
    panel = AttentionMapPanel([models["shared"]], source, folder=tmp_path)
    before = panel.picture.value
    panel.controls["row"].value, panel.controls["column"].value = 3, 50
    arrays = shown(panel)
    assert panel.picture.value != before
    np.testing.assert_array_equal(arrays["pixel"], [3, 50])
    window = arrays[f"{models['shared']}.meso.window"]
    assert window[3, 50]
    assert window.nonzero()[0].max() < 8
    assert window.nonzero()[1].min() >= 48


def test_sliders_end_with_the_photograph(models: dict[str, str], source: str, tmp_path: Path) -> None:
    panel = AttentionMapPanel([models["shared"]], source, folder=tmp_path)
    panel.controls["column"].value = 50
    panel.controls["photograph"].value = "small"
    assert (panel.controls["row"].max, panel.controls["column"].max) == (15, 15)
    assert panel.message.value == ""
    np.testing.assert_array_equal(shown(panel)["pixel"], [15, 15])
    panel.controls["photograph"].value = "face"
    assert (panel.controls["row"].max, panel.controls["column"].max) == (39, 51)


def test_several_networks_stand_side_by_side(models: dict[str, str], source: str, tmp_path: Path) -> None:
    panel = AttentionMapPanel(list(models.values()), source, folder=tmp_path)
    panel.controls["networks"].value = tuple(models.values())
    assert panel.message.value == ""
    assert all(name in titles(panel) for name in models.values())
    assert "window 16" in titles(panel)
    panel.controls["kind"].value = "channel"
    arrays = shown(panel)
    assert arrays[f"{models['two']}.0.meso"].shape == (16, 16)
    np.testing.assert_allclose(arrays[f"{models['two']}.0.meso"].sum(-1), 1, atol=1e-5)
    panel.controls["networks"].value = ()
    assert "expected at least one network" in panel.message.value


def test_networks_of_a_column_have_one_scale_of_colours(models: dict[str, str], source: str, tmp_path: Path) -> None:
    panel = AttentionMapPanel([models["shared"], models["two"]], source, folder=tmp_path)
    panel.controls["networks"].value = (models["shared"], models["two"])
    assert panel.drawing is not None
    limits = [ax.collections[0].get_clim() for ax in panel.drawing[0].axes if "global grid" in ax.get_title()]
    assert len(limits) == 3  # the second column has a grid in both rows, the first in one
    assert len(set(limits)) == 2


def test_attention_on_padding_is_in_the_title(models: dict[str, str], source: str, tmp_path: Path) -> None:
    panel = AttentionMapPanel([models["shared"]], source, folder=tmp_path)
    assert "on padding" not in titles(panel).split("global")[0], "a meso window in the middle of the image"
    panel.controls["column"].value = 51
    assert re.search(
        "meso, step 1, (4|5).% on padding", titles(panel)
    )  # half of its window: it begins at 48, the image ends at 52


def test_pictures_of_other_pixels_have_other_names(models: dict[str, str], source: str, tmp_path: Path) -> None:
    panel = AttentionMapPanel([models["shared"]], source, folder=tmp_path)
    first = panel.save()
    panel.controls["row"].value = 1
    assert not set(panel.save()) & set(first)
    assert first[0].name == "attention-face-20-26-spatial-group1-step1.png"
    panel.controls["kind"].value = "channel"
    assert panel.controls["step"].disabled
    assert "step" not in panel.stem


def test_layers_of_one_kind_are_numbered(models: dict[str, str], source: str, tmp_path: Path) -> None:
    panel = AttentionMapPanel([models["two"], models["window"]], source, folder=tmp_path)
    assert layer_names(panel.cache.models[models["two"]].config) == ["global grid 1", "global grid 2"]
    assert layer_names(panel.cache.models[models["window"]].config) == ["meso", "window 16"]


def test_the_summaries_show_the_numbers_of_the_network(models: dict[str, str], source: str, tmp_path: Path) -> None:
    names = [models["unshared"], models["shared"]]
    spread, similarity = spread_panel(names, source, folder=tmp_path), similarity_panel(names, source, folder=tmp_path)
    panel = AttentionMapPanel(names, source, folder=tmp_path)
    attention = panel.cache.maps(models["unshared"], "face")
    np.testing.assert_array_equal(shown(spread)["entropy"], entropy(attention))
    np.testing.assert_array_equal(shown(spread)["mean_distance"], mean_distance(attention))
    np.testing.assert_array_equal(
        shown(similarity)["global grid.2"], group_similarity(attention, step=1, layer=1, measure="correlation")
    )
    similarity.controls["measure"].value = "cosine"
    np.testing.assert_array_equal(shown(similarity)["meso.1"], group_similarity(attention))
    for panel in (spread, similarity):
        panel.controls["model"].value = models["shared"]
        assert panel.message.value == ""
    np.testing.assert_allclose(shown(similarity)["meso.1"], 1)


@pytest.mark.parametrize("changes", [{"scale": 3}])
def test_networks_of_two_scales_are_refused(
    changes: dict[str, int], models: dict[str, str], source: str, tmp_path: Path
) -> None:
    other = save_checkpoint(ASID(preset("asid-tiny", **changes)), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"expected networks of one scale, got scales \[2, 3\]"):
        AttentionMapPanel([models["shared"], str(other)], source)


def test_an_unknown_photograph_is_refused(models: dict[str, str], source: str) -> None:
    with pytest.raises(ValueError, match=r"expected a photograph of .* \(face, small\), got 'nobody'"):
        AttentionMapPanel([models["shared"]], source, photograph="nobody")
