"""The panel of receptive fields and local attributions: what a network is given, where its map is, what is saved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asid.config import preset
from asid.model.network import ASID
from asid.panels.influence import InfluencePanel
from asid.panels.receptive_field import InfluenceMaps

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def maps() -> InfluenceMaps:
    """Two networks with one group, and two images with a size that is not a multiple of the tile."""
    models = {kind: ASID(preset("asid-tiny", num_groups=1, spatial_windows=[kind])) for kind in ("meso", "global")}
    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    pair = image, image.repeat(2, axis=0).repeat(2, axis=1)
    return InfluenceMaps(models, {"noise": pair, "again": pair}, tile=16, box_size=8, steps=1, passes=40)


def test_a_tile_is_drawn_at_its_position_and_the_rest_is_empty(maps: InfluenceMaps) -> None:
    _, arrays = maps.draw("effective receptive field", "noise", (20, 30), ["meso"], ["tile", "whole image"])
    rows, columns = maps.part("noise", (20, 30), "tile")
    given = np.zeros((24, 40), dtype=bool)
    given[rows, columns] = True
    np.testing.assert_array_equal(~np.isnan(arrays["meso, tile"]), given)
    assert np.nanargmax(arrays["meso, tile"]) == np.argmax(arrays["meso, whole image"]) == 20 * 40 + 30
    assert np.nansum(arrays["meso, tile"]) == pytest.approx(1)


@pytest.mark.parametrize(("pixel", "corner"), [((10, 20), (16, 36)), ((0, 0), (0, 0)), ((23, 39), (40, 72))])
def test_the_box_is_around_the_pixel_and_inside_the_image(
    maps: InfluenceMaps, pixel: tuple[int, int], corner: tuple[int, int]
) -> None:
    assert maps.box("noise", pixel, "whole image") == (*corner, 8, 8)


def test_local_attributions_are_found_around_the_pixel_in_a_tile_too(maps: InfluenceMaps) -> None:
    _, arrays = maps.draw("local attribution", "noise", (20, 30), ["global"], ["whole image", "tile"])
    for given in ("whole image", "tile"):
        row, column = np.unravel_index(np.nanargmax(np.abs(arrays[f"global, {given}"])), (24, 40))
        assert abs(row - 20) <= 4
        assert abs(column - 30) <= 4


def test_all_methods_are_on_one_page_and_effects_are_in_the_tile(maps: InfluenceMaps) -> None:
    figure, arrays = maps.draw_methods("noise", (20, 30), ["meso", "global"], "tile")
    assert len(figure.axes) == 3 * 3 + 3  # with the image, and a colour bar for each method
    effect = arrays["global, tile, causal effect"]
    rows, columns = maps.part("noise", (20, 30), "tile")
    given = np.zeros((24, 40), dtype=bool)
    given[rows, columns] = True
    np.testing.assert_array_equal(~np.isnan(effect), given)
    assert np.count_nonzero(effect[given]) > 0


def test_tables_have_a_row_for_each_network(maps: InfluenceMaps) -> None:
    fields = maps.field_table("noise", (20, 30), "tile")
    assert list(fields.index) == ["meso", "global"]
    assert (fields["radius 50%"] < fields["radius 95%"]).all()
    attributions = maps.attribution_table("noise", (20, 30), "tile")
    assert attributions["diffusion index"].between(0, 100).all()
    effects = maps.effect_table("noise", (20, 30), "tile")
    assert (effects["helps"] >= 0).all()
    assert (effects["harms"] <= 0).all()


def test_networks_of_two_scales_are_refused() -> None:
    models = {str(scale): ASID(preset("asid-tiny", num_groups=1, scale=scale)) for scale in (2, 3)}
    with pytest.raises(ValueError, match=r"one scale.*\[2, 3\]"):
        InfluenceMaps(models, {})


def test_a_touched_pixel_moves_the_map(maps: InfluenceMaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = InfluencePanel(maps, ["meso", "global"], "noise", (20, 30), results=tmp_path, folder=tmp_path)
    assert panel.view.live
    panel.view.pixel = [20, 35]
    assert panel.message.value == ""
    image, card = panel.view.cards
    assert image["query"] == card["query"] == [20, 35]
    expected = maps.influence("effective receptive field", "meso", "noise", (20, 35), "tile")[0]
    np.testing.assert_array_equal(values(card), expected.astype(np.float32))
    panel._receive({"next": 1})
    assert panel.values["model"] == "global"
    panel.controls["given"].value = "whole image"
    assert panel.message.value == ""
    with np.load(panel.save()[-1]) as saved:
        assert np.argmax(saved["global, whole image"]) == 20 * 40 + 35
        assert saved["setting_column"] == 35
    monkeypatch.setattr(panel, "_cards", lambda **_: 1 / 0)
    panel.set(row=21)
    assert "ZeroDivisionError" in panel.message.value
    assert panel.png() == b"", "what could not be drawn is still shown, with its error"


def test_methods_that_take_seconds_wait_for_the_pointer_and_differences_are_those_of_the_maps(
    maps: InfluenceMaps, tmp_path: Path
) -> None:
    panel = InfluencePanel(maps, ["meso", "global"], "noise", (20, 30), results=tmp_path, folder=tmp_path)
    panel.controls["method"].value = "causal effect"
    panel.controls["other"].value = "global"
    assert panel.message.value == ""
    assert not panel.view.live
    image, one, other, difference = panel.view.cards
    assert image["boxes"] == [[18, 28, 4, 4]]
    assert image["query"] is None
    np.testing.assert_allclose(values(difference), values(other) - values(one), rtol=1e-5, atol=1e-7)
    panel.controls["other"].value = "asid-x4"
    assert "one scale" in panel.message.value
    assert "asid-x4 ×4" in panel.message.value, "says which one"


def values(card: dict[str, Any]) -> np.ndarray:
    """The values of a map on the page."""
    return np.frombuffer(card["map"]["values"], np.float32).reshape(24, 40)
