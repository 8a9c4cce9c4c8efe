"""A panel of receptive fields, local attributions and causal effects around a pixel that is picked by touch."""

from pathlib import Path
from typing import Any, get_args

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, Normalize
from numpy.typing import NDArray

from asid.data.images import RGBImage
from asid.interpret.receptive_field import Pixel
from asid.panels.networks import Models, NetworkPicker, labelled, over_training, shown_networks
from asid.panels.panel import FIGURES, RESULTS, Drawing
from asid.panels.receptive_field import LABELS, InfluenceMaps, Input, Method
from asid.panels.touch import Card, TouchPanel, card, cells, colour_bar
from asid.plots.local_attribution import relative_strength
from asid.plots.lr_image import log_norm, signed_norm, signed_opacity

_FIELD = "effective receptive field"
_HELP = "Click or drag on the image to choose the pixel, or use the arrow keys; n and p choose the network."


class InfluencePanel(TouchPanel):
    """What influences the output around a pixel, by one of three methods.

    The image shows the pixel or the box around it. A second network is shown with the difference of its map to that of
    the first; a run that kept weights on the way, also over its training. A receptive field follows a drag; the other
    methods take seconds, and follow when the pointer is released. What was computed once is not computed again.

    Args:
        maps: The images, and networks by label.
        models: The networks to pick from, by label, besides other packaged ones and finished runs.
        photograph: Name of the image to show first.
        pixel: Row and column of the LR pixel to show first.
        results: Where finished runs are looked for.
        folder: Where *Save* writes.
    """

    def __init__(
        self,
        maps: InfluenceMaps,
        models: Models,
        photograph: str,
        pixel: Pixel,
        *,
        results: str | Path = RESULTS,
        folder: str | Path = FIGURES,
    ) -> None:
        self.maps = maps
        self._labels = {model: label for label, model in labelled(models).items() if label in maps.models}
        height, width = maps.images[photograph].shape[:2]
        controls = {
            "photograph": widgets.Dropdown(options=list(maps.images), value=photograph, description="photograph"),
            "method": widgets.Dropdown(options=get_args(Method), description="method"),
            "given": widgets.Dropdown(options=get_args(Input), value="tile", description="input"),
            "model": NetworkPicker(models, results),
            "other": NetworkPicker(models, results, description="compare with", nothing="nothing"),
            "training": widgets.Checkbox(description="over its training", indent=False, layout={"width": "auto"}),
            "row": widgets.IntSlider(pixel[0], 0, height - 1, description="row", continuous_update=False),
            "column": widgets.IntSlider(pixel[1], 0, width - 1, description="column", continuous_update=False),
        }
        super().__init__("receptive_field", self._draw_maps, self._make_cards, controls, folder, _HELP)

    def prepare(self) -> None:
        """Fit the sliders to the image; offer the training of a run that kept weights."""
        controls = self.controls
        self.view.live = controls["method"].value == _FIELD
        controls["training"].disabled = not over_training(controls["model"].value)
        controls["training"].value &= not controls["training"].disabled
        for name, side in zip(("row", "column"), self.maps.images[controls["photograph"].value].shape, strict=False):
            controls[name].max = side - 1

    def next(self, way: int) -> None:
        """Choose the next of the given networks."""
        given = list(self._labels)
        model = self.controls["model"].value
        self.set(model=given[(given.index(model) + way) % len(given) if model in given else 0])

    def _shown(self, model: str, other: str, training: bool) -> list[str]:
        """The networks, as :class:`InfluenceMaps` knows them: by their label if they have one."""
        return [self._labels.get(one, one) for one in shown_networks(model, other, training).values()]

    def _draw_maps(
        self, *, photograph: str, method: Method, given: Input, row: int, column: int, **networks: Any
    ) -> Drawing:
        return self.maps.draw(method, photograph, (row, column), self._shown(**networks), [given])

    def _make_cards(
        self, *, photograph: str, method: Method, given: Input, row: int, column: int, **networks: Any
    ) -> tuple[RGBImage, list[Card]]:
        pixel, shown = (row, column), self._shown(**networks)
        names = [self.maps.name(model) for model in shown]
        image = self.maps.images[photograph]
        marks: dict[str, Any] = {"query": pixel}
        if method != _FIELD:
            marks = {"boxes": [self.maps.lr_box(photograph, pixel, given)]}
        found = [self.maps.influence(method, model, photograph, pixel, given) for model in shown]
        peak = self.maps.peak(method, photograph, pixel, shown, [given])
        size = image.shape[:2]
        where = f"{photograph}: click or drag\npixel {pixel}, {given if given == 'whole image' else 'tile'}"
        cards = [card(where, size, ground="photo", touch=True, **marks)]
        for name, (values, note) in zip(names, found, strict=True):
            cards.append(card(f"{name}\n{note}", size, touch=True, **_coloured(method, values, peak), **marks))
        if len(found) == 2 and not networks["training"]:
            one, other = (relative_strength(v) if method == "local attribution" else v for v, _ in found)
            title = f"difference\n{names[1]} − {names[0]}"
            cards.append(card(title, size, touch=True, **_difference(other - one), **marks))
        return image, cards


def _coloured(method: Method, values: NDArray[np.floating], peak: float) -> dict[str, Any]:
    """A map and its colour bar, in the colours of the plots of the method."""
    if method == "causal effect":
        return _with_bar(values, signed_norm(peak), mpl.colormaps["RdBu"], LABELS[method], _opacity(values, peak))
    norm, colours = log_norm(peak), mpl.colormaps["viridis"]
    if method == "local attribution":
        values = relative_strength(values)
        alpha = np.sqrt(np.asarray(norm(np.nan_to_num(values))))
        return _with_bar(values, norm, colours, LABELS[method], alpha)
    return _with_bar(values, norm, colours, LABELS[method], None)


def _difference(change: NDArray[np.floating]) -> dict[str, Any]:
    limit = float(np.nanmax(np.abs(change))) or 1.0
    return _with_bar(change, signed_norm(limit), mpl.colormaps["RdBu_r"], "difference", _opacity(change, limit))


def _opacity(values: NDArray[np.floating], limit: float) -> NDArray[np.float64]:
    return signed_opacity(signed_norm(limit), np.nan_to_num(values))


def _with_bar(
    values: NDArray[np.floating], norm: Normalize, colours: Colormap, label: str, alpha: NDArray[np.floating] | None
) -> dict[str, Any]:
    bar = colour_bar(norm, colours, f"{label} (logarithmic)")
    return {"shown": cells(values, norm, colours, alpha=alpha), "bar": bar}
