"""What networks reach from a pixel: effective receptive fields and local attribution maps side by side."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, get_args

import ipywidgets as widgets
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asid.interpret.local_attribution import Box, LocalAttribution, local_attribution
from asid.interpret.receptive_field import Pixel, effective_receptive_field, summarise_field, tile_around
from asid.model.network import ASID
from asid.model.pretrained import common_scale
from asid.panels.panel import Drawing, Panel
from asid.plots.receptive_field import log_scale, plot_field, plot_local_attribution, plot_place
from asid.plots.style import legend_below, new_figure

Method = Literal["effective receptive field", "local attribution"]
Input = Literal["whole image", "tile"]


class Reach:
    """Maps of networks around pixels of images, each computed once.

    Parameters
    ----------
    models : networks of one scale by label.
    images : LR images by name, uint8 (H, W, 3) RGB; they are what is called the whole image.
    tile : side of a tile in LR pixels; cut as tiled inference does.
    box_size : side of the square around a pixel whose detail is attributed, in SR pixels.
    sigma, steps : blur and steps of :func:`asid.interpret.local_attribution.local_attribution`.
    """

    def __init__(
        self,
        models: Mapping[str, ASID],
        images: Mapping[str, NDArray[np.uint8]],
        *,
        tile: int = 64,
        box_size: int = 16,
        sigma: float = 1.2,
        steps: int = 50,
    ) -> None:
        self.scale = common_scale(models.values())
        self.models, self.images, self.tile = models, images, tile
        self.box_size, self.sigma, self.steps = box_size, sigma, steps
        self.field, self.attribution = cache(self._field), cache(self._attribution)

    def part(self, image: str, pixel: Pixel, given: Input) -> tuple[slice, slice]:
        """The rows and columns of an image that a network is given, around an LR pixel."""
        height, width = self.images[image].shape[:2]
        return tile_around(pixel, height, width, self.tile) if given == "tile" else (slice(0, height), slice(0, width))

    def box(self, image: str, pixel: Pixel, given: Input) -> Box:
        """The square around an LR pixel whose detail is attributed, in SR pixels of the image; inside what the network is given."""
        part = self.part(image, pixel, given)
        corner = (
            int(
                np.clip(
                    self.scale * at - self.box_size // 2,
                    self.scale * side.start,
                    self.scale * side.stop - self.box_size,
                )
            )
            for at, side in zip(pixel, part, strict=True)
        )
        top, left = corner
        return top, left, self.box_size, self.box_size

    def _field(self, model: str, image: str, pixel: Pixel, given: Input) -> NDArray[np.float64]:
        """The effective receptive field of an LR pixel's first SR pixel, (H, W) of what the network is given."""
        rows, columns = self.part(image, pixel, given)
        output = (self.scale * (pixel[0] - rows.start), self.scale * (pixel[1] - columns.start))
        return effective_receptive_field(self.models[model], self.images[image][rows, columns], output)

    def _attribution(self, model: str, image: str, pixel: Pixel, given: Input) -> LocalAttribution:
        """The local attribution of the detail around an LR pixel, (H, W) of what the network is given."""
        rows, columns = self.part(image, pixel, given)
        top, left, height, width = self.box(image, pixel, given)
        box = (top - self.scale * rows.start, left - self.scale * columns.start, height, width)
        return local_attribution(
            self.models[model], self.images[image][rows, columns], box, sigma=self.sigma, steps=self.steps
        )

    def field_table(self, image: str, pixel: Pixel, given: Input) -> pd.DataFrame:
        """:func:`asid.interpret.receptive_field.summarise_field` of each network, in LR pixels."""
        rows, columns = self.part(image, pixel, given)
        centre = (pixel[0] - rows.start, pixel[1] - columns.start)
        return pd.DataFrame(
            {model: summarise_field(self.field(model, image, pixel, given), centre) for model in self.models}
        ).T

    def attribution_table(self, image: str, pixel: Pixel, given: Input) -> pd.DataFrame:
        """Diffusion index of each network, the detail D it is about, and how far the attributions are from summing to its change (%)."""
        found = {model: self.attribution(model, image, pixel, given) for model in self.models}
        rows = {
            model: {
                "diffusion index": one.diffusion_index,
                "detail": one.detail,
                "blurred detail": one.blurred_detail,
                "completeness error %": 100 * one.completeness_error,
            }
            for model, one in found.items()
        }
        return pd.DataFrame(rows).T

    def draw(self, method: Method, image: str, pixel: Pixel, models: Sequence[str], inputs: Sequence[Input]) -> Drawing:
        """A row for each input: the place in the image, then the map of each network, in one colour scale."""
        if not models:
            raise ValueError("expected at least one network, got none: select one (Ctrl or Cmd for several)")
        figure = new_figure(1.85 * (len(models) + 1) + 0.8, 2.25 * len(inputs) + 0.3)
        axes = figure.subplots(len(inputs), len(models) + 1, squeeze=False)
        arrays: dict[str, NDArray] = {"image": self.images[image]}
        is_field = method == "effective receptive field"
        fields = (
            {(model, given): self.field(model, image, pixel, given) for model in models for given in inputs}
            if is_field
            else {}
        )
        norm = log_scale(max((field.max() for field in fields.values()), default=1.0))
        for row, given in zip(axes, inputs, strict=True):
            part = self.part(image, pixel, given)
            box = self.box(image, pixel, given)
            lr_box = (box[0] / self.scale, box[1] / self.scale, box[2] / self.scale, box[3] / self.scale)
            plot_place(self.images[image], row[0], **({"pixel": pixel} if is_field else {"box": lr_box}))
            words = f"tile of {self.tile}" if given == "tile" else given
            row[0].set_title(f"{image}\n{words}")
            for ax, model in zip(row[1:], models, strict=True):
                whole = np.full(self.images[image].shape[:2], np.nan)
                if is_field:
                    whole[part] = fields[model, given]
                    centre = (pixel[0] - part[0].start, pixel[1] - part[1].start)
                    numbers = summarise_field(fields[model, given], centre)
                    radii = {f"radius that holds {share} %": numbers[f"radius {share}%"] for share in (50, 95)}
                    drawn = plot_field(whole, pixel, ax, norm, radii)
                    note = "radii {:.1f} and {:.1f} px".format(*radii.values())
                else:
                    found = self.attribution(model, image, pixel, given)
                    whole[part] = found.signed
                    drawn = plot_local_attribution(self.images[image], whole, lr_box, ax, norm)
                    note = f"diffusion index {found.diffusion_index:.1f}"
                ax.set_title(f"{model}\n{note}")
                arrays[f"{model}, {given}"] = whole
        label = "share of the gradient" if is_field else "|attribution| / largest"
        figure.colorbar(drawn, ax=axes[:, 1:], label=label, shrink=0.9, pad=0.02)
        if is_field:
            legend_below(figure, axes[0, 1])
        return figure, arrays


def receptive_field_panel(reach: Reach, photograph: str, pixel: Pixel, folder: str = "../results/figures") -> Panel:
    """Choose a photograph, networks, the method, the input and an LR pixel; a picture takes seconds, a second look none.

    It starts with ``photograph`` and the LR pixel (row, column) ``pixel``. The sliders reach as far as the smallest image.
    """
    height, width = (min(image.shape[axis] for image in reach.images.values()) for axis in (0, 1))
    names = list(reach.models)

    def slider(description: str, value: int, length: int) -> widgets.IntSlider:
        return widgets.IntSlider(value, 0, length - 1, description=description, continuous_update=False)

    controls = {
        "photograph": widgets.Dropdown(options=list(reach.images), value=photograph, description="photograph"),
        "method": widgets.Dropdown(options=get_args(Method), description="method"),
        "given": widgets.Dropdown(options=get_args(Input), description="input"),
        "models": widgets.SelectMultiple(
            options=names, value=names[:2], rows=min(4, len(names)), description="networks"
        ),
        "row": slider("row", pixel[0], height),
        "column": slider("column", pixel[1], width),
    }

    def draw(photograph: str, method: Method, given: Input, models: tuple[str, ...], row: int, column: int) -> Drawing:
        return reach.draw(method, photograph, (row, column), models, [given])

    return Panel("receptive_field", draw, controls, folder)
