"""What networks see from a pixel: receptive fields, local attribution and causal effects side by side."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import ipywidgets as widgets
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from asid.data.images import RGBImage
from asid.interpret.causal_effect import CausalEffect, causal_effect_map
from asid.interpret.crops import box_around
from asid.interpret.local_attribution import Box, LocalAttribution, local_attribution
from asid.interpret.receptive_field import Pixel, effective_receptive_field, summarise_field, tile_around
from asid.model.base import Network
from asid.model.pretrained import common_scale
from asid.panels.panel import FIGURES, Drawing, Panel
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
_LABELS: Mapping[str, str] = {
    "effective receptive field": "share of the gradient",
    "local attribution": "|attribution| / maximum",
    "causal effect": "dB by 4×4 pixels: blue helps, red harms",
}


class InfluenceMaps:
    """How LR pixels influence the output around a pixel, by three methods. Each map is computed once.

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
        self.field, self.attribution, self.effect = cache(self._field), cache(self._attribution), cache(self._effect)

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
        output = (self.scale * (pixel[0] - rows.start), self.scale * (pixel[1] - columns.start))
        return effective_receptive_field(self.models[model], self.images[image][rows, columns], output)

    def _attribution(self, model: str, image: str, pixel: Pixel, given: Input) -> LocalAttribution:
        """The local attribution of the detail around an LR pixel, (H, W) of what the network is given."""
        part = self.part(image, pixel, given)
        return local_attribution(
            self.models[model],
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
            self.models[model], lr, hr, box, coarse=coarse, fine=FINE, samples=EFFECT_SAMPLES, most=self.passes
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
            peak = self._peak(method, image, pixel, models, [given for one, given in rows if one == method])
            marker = (
                {"pixel": pixel}
                if method == "effective receptive field"
                else {"box": self._lr_box(image, pixel, given)}
            )
            plot_location(self.images[image], row[0], **marker)
            row[0].set_title(f"{image}\n{f'tile of {self.tile}' if given == 'tile' else given}")
            for ax, model in zip(row[1:], models, strict=True):
                name = f"{model}, {given}" + (f", {method}" if several else "")
                colours, arrays[name], note = self._draw_map[method](model, image, pixel, given, ax, peak)
                ax.set_title(f"{model}\n{note}")
            if several:
                figure.colorbar(colours, ax=row[1:], label=_LABELS[method], shrink=0.9, pad=0.02)
        if not several:
            figure.colorbar(colours, ax=axes[:, 1:], label=_LABELS[method], shrink=0.9, pad=0.02)
        if rows[0][0] == "effective receptive field":
            legend_below(figure, axes[0, 1])
        return figure, arrays

    def _peak(self, method: Method, image: str, pixel: Pixel, models: Sequence[str], inputs: Sequence[Input]) -> float:
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

    @property
    def _draw_map(self) -> dict[str, Callable[..., tuple[AxesImage, NDArray, str]]]:
        return dict(zip(get_args(Method), (self._draw_field, self._draw_attribution, self._draw_effect), strict=True))

    def _draw_field(
        self, model: str, image: str, pixel: Pixel, given: Input, ax: Axes, peak: float
    ) -> tuple[AxesImage, NDArray, str]:
        field, part = self.field(model, image, pixel, given), self.part(image, pixel, given)
        numbers = summarise_field(field, (pixel[0] - part[0].start, pixel[1] - part[1].start))
        radii = {f"radius that holds {share} %": numbers[f"radius {share}%"] for share in (50, 95)}
        whole = self._in_whole_image(field, image, part)
        note = "radii {:.1f} and {:.1f} px".format(*radii.values())
        return plot_receptive_field(whole, pixel, ax, log_norm(peak), radii), whole, note

    def _draw_attribution(
        self, model: str, image: str, pixel: Pixel, given: Input, ax: Axes, peak: float
    ) -> tuple[AxesImage, NDArray, str]:
        attribution = self.attribution(model, image, pixel, given)
        whole = self._in_whole_image(attribution.signed, image, self.part(image, pixel, given))
        colours = plot_local_attribution(
            self.images[image], whole, self._lr_box(image, pixel, given), ax, log_norm(peak)
        )
        return colours, whole, f"diffusion index {attribution.diffusion_index:.1f}"

    def _draw_effect(
        self, model: str, image: str, pixel: Pixel, given: Input, ax: Axes, peak: float
    ) -> tuple[AxesImage, NDArray, str]:
        found = self.effect(model, image, pixel, given)
        whole = self._in_whole_image(found.effect, image, self.part(image, pixel, given))
        box = self._lr_box(image, pixel, given)
        return plot_causal_effect(self.images[image], whole, box, ax, peak), whole, f"box {found.psnr:.2f} dB"

    def _in_whole_image(self, values: NDArray, image: str, part: tuple[slice, slice]) -> NDArray[np.float64]:
        """A map of a part of the image as a map of the image, NaN outside that part."""
        whole = np.full(self.images[image].shape[:2], np.nan)
        whole[part] = values
        return whole

    def _lr_box(self, image: str, pixel: Pixel, given: Input) -> LRBox:
        top, left, height, width = self.box(image, pixel, given)
        return top / self.scale, left / self.scale, height / self.scale, width / self.scale


def _coarse_side(size: Sequence[int], patches: int) -> int:
    """The side of the first patches of a causal effect map: a quarter of the image, or more if ``patches`` are few."""
    side = FINE
    while 8 * side <= min(size) or -(-size[0] // side) * -(-size[1] // side) > max(patches, 1):
        side *= 2
    return side


def receptive_field_panel(maps: InfluenceMaps, photograph: str, pixel: Pixel, folder: str | Path = FIGURES) -> Panel:
    """Let a person select the photograph, networks, method, input and LR pixel.

    A picture takes seconds to compute, and none the second time. The sliders are limited to the smallest image.

    Args:
        maps: The networks and images.
        photograph: Name of the image to show first.
        pixel: Row and column of the LR pixel to show first.
        folder: Where *Save* writes.
    """
    height, width = (min(image.shape[axis] for image in maps.images.values()) for axis in (0, 1))
    names = list(maps.models)

    def slider(description: str, value: int, length: int) -> widgets.IntSlider:
        return widgets.IntSlider(value, 0, length - 1, description=description, continuous_update=False)

    controls = {
        "photograph": widgets.Dropdown(options=list(maps.images), value=photograph, description="photograph"),
        "method": widgets.Dropdown(options=get_args(Method), description="method"),
        "given": widgets.Dropdown(options=get_args(Input), description="input"),
        "models": widgets.SelectMultiple(
            options=names, value=names[:2], rows=min(4, len(names)), description="networks"
        ),
        "row": slider("row", pixel[0], height),
        "column": slider("column", pixel[1], width),
    }

    def draw(photograph: str, method: Method, given: Input, models: tuple[str, ...], row: int, column: int) -> Drawing:
        return maps.draw(method, photograph, (row, column), models, [given])

    return Panel("receptive_field", draw, controls, folder)
