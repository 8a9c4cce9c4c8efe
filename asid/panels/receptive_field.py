"""What networks see from a pixel: receptive fields, local attribution and causal effects side by side."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Literal, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from asid.data.images import RGBImage
from asid.interpret.causal_effect import CausalEffect, causal_effect_map
from asid.interpret.crops import box_around
from asid.interpret.local_attribution import Box, LocalAttribution, local_attribution
from asid.interpret.receptive_field import Pixel, ReceptiveFields, summarise_field, tile_around
from asid.model.base import Network
from asid.model.pretrained import common_scale
from asid.panels.networks import network_name, one_scale, open_model
from asid.panels.panel import Drawing
from asid.plots.causal_effect import plot_causal_effect
from asid.plots.local_attribution import plot_local_attribution
from asid.plots.lr_image import LRBox, log_norm, plot_location
from asid.plots.receptive_field import plot_receptive_field
from asid.plots.style import legend_below, new_figure

Method = Literal["effective receptive field", "local attribution", "causal effect"]
Input = Literal["whole image", "tile"]
"""What a network is given: the whole LR image, or the tile of tiled inference that contains the pixel."""

FINE, EFFECT_SAMPLES = 4, 2
"""Side in LR pixels of the smallest patches of a causal effect map, and patches that replace each one."""
LABELS: Mapping[str, str] = {
    "effective receptive field": "share of the gradient",
    "local attribution": "|attribution| / maximum",
    "causal effect": "dB by 4×4 pixels: blue helps, red harms",
}


class InfluenceMaps:
    """How LR pixels influence the output around a pixel, by three methods. Each map is computed once.

    Wherever a network is named, it is a label of ``models`` or what :func:`asid.panels.networks.open_model` accepts.

    Args:
        models: Networks by label, all of one scale.
        images: LR and HR images by name, uint8 (H, W, 3) and (sH, sW, 3) RGB. Each one counts as a whole image.
        tile: Side of the tiles in LR pixels.
        box_size: Side in SR pixels of the square around a pixel; its detail is attributed, or its PSNR explained.
        sigma: Strongest blur of :func:`asid.interpret.local_attribution.local_attribution`, in LR pixels.
        steps: Number of its steps.
        passes: Largest number of passes of :func:`asid.interpret.causal_effect.causal_effect_map`.

    Raises:
        ValueError: The networks have different scales.
    """

    def __init__(
        self,
        models: Mapping[str, Network],
        images: Mapping[str, tuple[RGBImage, RGBImage]],
        *,
        tile: int = 64,
        box_size: int = 16,
        sigma: float = 1.2,
        steps: int = 50,
        passes: int = 160,
    ) -> None:
        self.scale = common_scale(models.values())
        self.models, self.tile = models, tile
        self.images = {name: lr for name, (lr, _) in images.items()}
        self.references = {name: hr for name, (_, hr) in images.items()}
        self.box_size, self.sigma, self.steps, self.passes = box_size, sigma, steps, passes
        self._fields = lru_cache(maxsize=2)(self._forward)  # as many as are compared: each keeps its activations
        self.field, self.attribution, self.effect = cache(self._field), cache(self._attribution), cache(self._effect)

    def name(self, model: str) -> str:
        """What a network is called in titles."""
        return model if model in self.models else network_name(model)

    def part(self, image: str, pixel: Pixel, given: Input) -> tuple[slice, slice]:
        """Return the rows and columns of an image that a network is given, for an LR pixel."""
        height, width = self.images[image].shape[:2]
        return tile_around(pixel, height, width, self.tile) if given == "tile" else (slice(0, height), slice(0, width))

    def box(self, image: str, pixel: Pixel, given: Input) -> Box:
        """Return the square around an LR pixel, in SR pixels of the image, inside what the network is given."""
        rows, columns = self.part(image, pixel, given)
        top, left, height, width = self._box_in_part(image, pixel, given)
        return top + self.scale * rows.start, left + self.scale * columns.start, height, width

    def _field(self, model: str, image: str, pixel: Pixel, given: Input) -> NDArray[np.float64]:
        """The effective receptive field of the first SR pixel of an LR pixel, (H, W) of what the network is given."""
        rows, columns = self.part(image, pixel, given)
        fields = self._fields(model, image, rows.start, rows.stop, columns.start, columns.stop)
        return fields.at((self.scale * (pixel[0] - rows.start), self.scale * (pixel[1] - columns.start)))

    def _forward(self, model: str, image: str, top: int, bottom: int, left: int, right: int) -> ReceptiveFields:
        return ReceptiveFields(self.network(model), self.images[image][top:bottom, left:right])

    def network(self, model: str) -> Network:
        """The network of a label, a packaged name, a checkpoint or a run's folder.

        Raises:
            ValueError: Its scale is not that of the others.
        """
        network = self.models[model] if model in self.models else open_model(model)
        one_scale({**self.models, self.name(model): network})
        return network

    def _attribution(self, model: str, image: str, pixel: Pixel, given: Input) -> LocalAttribution:
        """The local attribution of the detail around an LR pixel, (H, W) of what the network is given."""
        part = self.part(image, pixel, given)
        return local_attribution(
            self.network(model),
            self.images[image][part],
            self._box_in_part(image, pixel, given),
            sigma=self.sigma,
            steps=self.steps,
        )

    def _effect(self, model: str, image: str, pixel: Pixel, given: Input) -> CausalEffect:
        """What LR patches do to the PSNR of the square around an LR pixel, (H, W) of what the network is given."""
        rows, columns = self.part(image, pixel, given)
        hr = self.references[image][
            self.scale * rows.start : self.scale * rows.stop, self.scale * columns.start : self.scale * columns.stop
        ]
        lr = self.images[image][rows, columns]
        coarse = _coarse_side(lr.shape[:2], self.passes // 2 // EFFECT_SAMPLES)  # the rest is for finer patches
        box = self._box_in_part(image, pixel, given)
        return causal_effect_map(
            self.network(model), lr, hr, box, coarse=coarse, fine=FINE, samples=EFFECT_SAMPLES, most=self.passes
        )

    def _box_in_part(self, image: str, pixel: Pixel, given: Input) -> Box:
        """:meth:`box` in SR pixels of what the network is given."""
        rows, columns = self.part(image, pixel, given)
        size = [self.scale * (side.stop - side.start) for side in (rows, columns)]
        return box_around((pixel[0] - rows.start, pixel[1] - columns.start), self.scale, self.box_size, size)

    def field_table(self, image: str, pixel: Pixel, given: Input) -> pd.DataFrame:
        """Tabulate :func:`asid.interpret.receptive_field.summarise_field` of each network, in LR pixels."""
        rows, columns = self.part(image, pixel, given)
        centre = (pixel[0] - rows.start, pixel[1] - columns.start)
        return pd.DataFrame(
            {model: summarise_field(self.field(model, image, pixel, given), centre) for model in self.models}
        ).T

    def attribution_table(self, image: str, pixel: Pixel, given: Input) -> pd.DataFrame:
        """Tabulate diffusion index, detail D of the sharp and the blurred image, and completeness error by network."""
        attributions = {model: self.attribution(model, image, pixel, given) for model in self.models}
        rows = {
            model: {
                "diffusion index": attribution.diffusion_index,
                "detail": attribution.detail,
                "blurred detail": attribution.blurred_detail,
                "completeness error %": 100 * attribution.completeness_error,
            }
            for model, attribution in attributions.items()
        }
        return pd.DataFrame(rows).T

    def effect_table(self, image: str, pixel: Pixel, given: Input) -> pd.DataFrame:
        """Tabulate the PSNR of the square by network, and the sums of the effects that help and that harm, in dB."""
        effects = {model: self.effect(model, image, pixel, given) for model in self.models}
        rows = {
            model: {
                "PSNR of the box": effect.psnr,
                "helps": effect.effect[effect.effect > 0].sum() / FINE**2,
                "harms": effect.effect[effect.effect < 0].sum() / FINE**2,
                "harmful pixels %": 100 * float((effect.effect < 0).mean()),
            }
            for model, effect in effects.items()
        }
        return pd.DataFrame(rows).T

    def draw(self, method: Method, image: str, pixel: Pixel, models: Sequence[str], inputs: Sequence[Input]) -> Drawing:
        """Draw a row for each input: the location in the image, then the map of each network, all in one colour scale.

        Raises:
            ValueError: ``models`` is empty.
        """
        return self._draw_rows([(method, given) for given in inputs], image, pixel, models)

    def draw_methods(self, image: str, pixel: Pixel, models: Sequence[str], given: Input) -> Drawing:
        """Draw a row for each method: what a pixel could reach, what its detail depends on, and what helped or harmed.

        Raises:
            ValueError: ``models`` is empty.
        """
        return self._draw_rows([(method, given) for method in get_args(Method)], image, pixel, models)

    def _draw_rows(
        self, rows: Sequence[tuple[Method, Input]], image: str, pixel: Pixel, models: Sequence[str]
    ) -> Drawing:
        """Draw a row for each method and input; the rows of one method have one colour scale."""
        if not models:
            raise ValueError("expected at least one network, got none: select one, or several with Ctrl or Cmd")
        figure = new_figure(1.85 * (len(models) + 1) + 0.8, 2.25 * len(rows) + 0.3)
        axes = figure.subplots(len(rows), len(models) + 1, squeeze=False)
        arrays: dict[str, NDArray] = {"image": self.images[image]}
        several = len({method for method, _ in rows}) > 1
        for row, (method, given) in zip(axes, rows, strict=True):
            peak = self.peak(method, image, pixel, models, [given for one, given in rows if one == method])
            marker = (
                {"pixel": pixel} if method == "effective receptive field" else {"box": self.lr_box(image, pixel, given)}
            )
            plot_location(self.images[image], row[0], **marker)
            row[0].set_title(f"{image}\n{f'tile of {self.tile}' if given == 'tile' else given}")
            for ax, model in zip(row[1:], models, strict=True):
                name = f"{model}, {given}" + (f", {method}" if several else "")
                colours, arrays[name], note = self._draw_map(method, model, image, pixel, given, ax, peak)
                ax.set_title(f"{self.name(model)}\n{note}")
            if several:
                figure.colorbar(colours, ax=row[1:], label=LABELS[method], shrink=0.9, pad=0.02)
        if not several:
            figure.colorbar(colours, ax=axes[:, 1:], label=LABELS[method], shrink=0.9, pad=0.02)
        if rows[0][0] == "effective receptive field":
            legend_below(figure, axes[0, 1])
        return figure, arrays

    def peak(self, method: Method, image: str, pixel: Pixel, models: Sequence[str], inputs: Sequence[Input]) -> float:
        """The end of the colour scale."""
        pairs = [(model, given) for model in models for given in inputs]
        match method:
            case "effective receptive field":
                return max(float(self.field(model, image, pixel, given).max()) for model, given in pairs)
            case "local attribution":
                return 1.0  # attributions are relative to the strongest one
            case "causal effect":
                return max(
                    float(np.abs(self.effect(model, image, pixel, given).effect).max()) for model, given in pairs
                )

    def influence(self, method: Method, model: str, image: str, pixel: Pixel, given: Input) -> tuple[NDArray, str]:
        """A map, (H, W) of the image, NaN for what the network was not given, and a line with a number about it."""
        match method:
            case "effective receptive field":
                values = self.field(model, image, pixel, given)
                note = "radii {:.1f} and {:.1f} px".format(*self._radii(model, image, pixel, given).values())
            case "local attribution":
                attribution = self.attribution(model, image, pixel, given)
                values, note = attribution.signed, f"diffusion index {attribution.diffusion_index:.1f}"
            case "causal effect":
                found = self.effect(model, image, pixel, given)
                values, note = found.effect, f"box {found.psnr:.2f} dB"
        whole = np.full(self.images[image].shape[:2], np.nan)
        whole[self.part(image, pixel, given)] = values
        return whole, note

    def _radii(self, model: str, image: str, pixel: Pixel, given: Input) -> dict[str, float]:
        rows, columns = self.part(image, pixel, given)
        centre = (pixel[0] - rows.start, pixel[1] - columns.start)
        numbers = summarise_field(self.field(model, image, pixel, given), centre)
        return {f"radius that holds {share} %": numbers[f"radius {share}%"] for share in (50, 95)}

    def _draw_map(
        self, method: Method, model: str, image: str, pixel: Pixel, given: Input, ax: Axes, peak: float
    ) -> tuple[AxesImage, NDArray, str]:
        whole, note = self.influence(method, model, image, pixel, given)
        lr, box = self.images[image], self.lr_box(image, pixel, given)
        match method:
            case "effective receptive field":
                radii = self._radii(model, image, pixel, given)
                colours = plot_receptive_field(whole, pixel, ax, log_norm(peak), radii)
            case "local attribution":
                colours = plot_local_attribution(lr, whole, box, ax, log_norm(peak))
            case "causal effect":
                colours = plot_causal_effect(lr, whole, box, ax, peak)
        return colours, whole, note

    def lr_box(self, image: str, pixel: Pixel, given: Input) -> LRBox:
        """:meth:`box` in LR pixels."""
        top, left, height, width = self.box(image, pixel, given)
        return top / self.scale, left / self.scale, height / self.scale, width / self.scale


def _coarse_side(size: Sequence[int], patches: int) -> int:
    """The side of the first patches of a causal effect map: a quarter of the image, or more if ``patches`` are few."""
    side = FINE
    while 8 * side <= min(size) or -(-size[0] // side) * -(-size[1] // side) > max(patches, 1):
        side *= 2
    return side
