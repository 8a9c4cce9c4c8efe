"""Panels that look inside attention: the map under a pixel, how it spreads and reaches, how alike the maps of groups are."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from asid.data.resize import crop_to_multiple, downscale
from asid.data.sources import find_images
from asid.interpret.attention_maps import (
    Attention,
    entropy,
    group_similarity,
    mean_distance,
    read_attention,
    uniform_distance,
)
from asid.model.network import ASID
from asid.model.pretrained import common_scale, load_model
from asid.panels.panel import Drawing, Panel
from asid.plots import attention_maps as plots
from asid.plots import style

Image = NDArray[np.uint8]


def lr_photographs(source: str, scale: int) -> dict[str, Image]:
    """The LR images of ``source`` (``samples``, a benchmark or a folder) by name, uint8 (H, W, 3)."""
    return {image.name: downscale(crop_to_multiple(image.read(), scale), scale) for image in find_images(source)}


class _Looks:
    """Networks by name and LR images by name; what has been read last is kept, so that moving a pixel costs no forward pass."""

    def __init__(self, models: Sequence[str], source: str) -> None:
        self.models: dict[str, ASID] = {name: load_model(name, "cpu") for name in models}
        self.images = lr_photographs(source, common_scale(self.models.values()))
        self.read = lru_cache(maxsize=len(models) + 1)(self._read)

    def _read(self, model: str, photograph: str) -> Attention:
        return read_attention(self.models[model], self.images[photograph])


def layer_names(attention: Attention) -> list[str]:
    """The spatial layers of a step, as the figures call them: ``meso``, ``global grid``, ``window 16``; numbered where two are alike."""
    config = attention.config
    words = [
        "meso"
        if kind == "meso"
        else ("global grid" if config.global_kind == "grid" else f"window {config.global_size}")
        for kind in config.spatial_windows
    ]
    return [
        f"{word} {words[: place + 1].count(word)}" if words.count(word) > 1 else word
        for place, word in enumerate(words)
    ]


class AttentionPanel(Panel):
    """What a pixel attends to: a row for each chosen network, a column for each layer of the chosen step.

    ``models`` are what :func:`asid.model.pretrained.load_model` takes, ``source`` what :func:`asid.data.sources.find_images` takes;
    ``photograph`` is shown first. A group that shares shows the map it uses, and says whose it is.
    """

    def __init__(
        self,
        models: Sequence[str],
        source: str = "samples",
        *,
        photograph: str = "",
        folder: str | Path = "../results/figures",
    ) -> None:
        self.looks = _Looks(models, source)
        first = photograph or next(iter(self.looks.images))
        if first not in self.looks.images:
            raise ValueError(f"expected a photograph of {source} ({', '.join(self.looks.images)}), got {first!r}")
        height, width = self.looks.images[first].shape[:2]
        configs = [model.config for model in self.looks.models.values()]
        counts = {
            "group": max(config.num_groups for config in configs),
            "step": max(config.distillation_steps for config in configs),
        }
        controls = {
            "photograph": widgets.Dropdown(options=list(self.looks.images), value=first, description="photograph"),
            "row": widgets.IntSlider(height // 2, 0, height - 1, description="row", continuous_update=False),
            "column": widgets.IntSlider(width // 2, 0, width - 1, description="column", continuous_update=False),
            "kind": widgets.Dropdown(options=["spatial", "channel"], description="attention"),
            **{
                name: widgets.Dropdown(options=[(str(index + 1), index) for index in range(count)], description=name)
                for name, count in counts.items()
            },
            "networks": widgets.SelectMultiple(
                options=list(models), value=(models[0],), rows=min(5, len(models)), description="networks"
            ),
        }
        super().__init__("attention", self._compare, controls, folder)

    @property
    def stem(self) -> str:
        values = self.values
        place = f"{values['photograph']}-{values['row']}-{values['column']}-{values['kind']}-group{values['group'] + 1}"
        return f"attention-{place}" + (f"-step{values['step'] + 1}" if values["kind"] == "spatial" else "")

    def prepare(self) -> None:
        """The sliders end where the photograph does; channel attention has no steps."""
        self.controls["step"].disabled = self.controls["kind"].value == "channel"
        sides = self.looks.images[self.controls["photograph"].value].shape
        for name, side in zip(("row", "column"), sides, strict=False):
            self.controls[name].max = side - 1

    def _compare(
        self, photograph: str, row: int, column: int, kind: str, group: int, step: int, networks: tuple[str, ...]
    ) -> Drawing:
        if not networks:
            raise ValueError("expected at least one network: choose one, or several with Ctrl")
        read = {name: self.looks.read(name, photograph) for name in networks}
        if kind == "channel":
            return _draw_channel(read, (row, column), group)
        return _draw_spatial(self.looks.images[photograph], read, (row, column), group, step)


def _draw_spatial(image: Image, read: dict[str, Attention], pixel: tuple[int, int], group: int, step: int) -> Drawing:
    columns = 1 + max(len(attention.config.spatial_windows) for attention in read.values())
    figure = style.new_figure(3.6 * columns, 2.75 * len(read))
    arrays: dict[str, Any] = {"image": image, "pixel": np.array(pixel)}
    found: dict[int, dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]] = {}
    for name, attention in read.items():
        for layer in range(len(attention.config.spatial_windows)):
            maps = attention.relative(pixel, group=group, step=step, layer=layer), attention.window(pixel, layer=layer)
            found.setdefault(layer, {})[name] = maps
    # One scale of colours for the networks of a column.
    values = {
        layer: np.concatenate([relative[window] for relative, window in column.values()])
        for layer, column in found.items()
    }
    limits = {layer: (float(them.min()), float(them.max())) for layer, them in values.items()}
    for axes, (name, attention) in zip(figure.subplots(len(read), columns, squeeze=False), read.items(), strict=True):
        kinds = layer_names(attention)
        for layer, kind in enumerate(kinds):
            relative, window = found[layer][name]
            attended = attention.spatial(pixel, group=group, step=step, layer=layer)
            padding = 1 - float(attended.sum())
            title = f"{kind}, step {step + 1}" + (f", {padding:.0%} on padding" if padding > 0.005 else "")
            title += f"\ngroup {group + 1}{_whose(attention, group)}"
            plots.plot_attention(image, relative, window, pixel, axes[layer + 1], title, limits[layer])
            arrays |= {f"{name}.{kind}.attention": attended, f"{name}.{kind}.window": window}
        windows = [found[layer][name][1] for layer in range(len(kinds))]
        plots.plot_query(image, windows, pixel, axes[0], f"{name}\npixel ({pixel[0]}, {pixel[1]}) and its windows")
        for ax in axes[len(kinds) + 1 :]:
            ax.set_axis_off()
    return figure, arrays


def _whose(attention: Attention, group: int) -> str:
    maker = attention.maker(group)
    return f", by the map of group {maker + 1}" if maker != group else ""


def _draw_channel(read: dict[str, Attention], pixel: tuple[int, int], group: int) -> Drawing:
    """Channel attention has no steps: it ends a group."""
    columns = max(len(attention.config.channel_windows) for attention in read.values())
    figure = style.new_figure(3.9 * columns, 3.2 * len(read))
    arrays: dict[str, Any] = {"pixel": np.array(pixel)}
    for axes, (name, attention) in zip(
        figure.subplots(len(read), max(1, columns), squeeze=False), read.items(), strict=True
    ):
        for layer, kind in enumerate(attention.config.channel_windows):
            found = attention.channel(pixel, group=group, layer=layer)
            plots.plot_channels(
                found, axes[layer], f"{name}, group {group + 1}\n{kind} window of pixel ({pixel[0]}, {pixel[1]})"
            )
            arrays[f"{name}.{layer}.{kind}"] = found
        for ax in axes[len(attention.config.channel_windows) :]:
            ax.set_axis_off()
    return figure, arrays


def spread_panel(models: Sequence[str], source: str = "samples", *, folder: str | Path = "../results/figures") -> Panel:
    """Entropy and mean distance of attention in each layer, a dot for each group that makes its own maps."""
    looks = _Looks(models, source)
    controls = {
        "model": widgets.Dropdown(options=list(models), description="network"),
        "photograph": widgets.Dropdown(options=list(looks.images), description="photograph"),
    }

    def draw(model: str, photograph: str) -> Drawing:
        attention = looks.read(model, photograph)
        own = [group for group in range(attention.config.num_groups) if attention.maker(group) == group]
        spread, reach, uniform = entropy(attention), mean_distance(attention), uniform_distance(attention)
        labels = [
            f"{step + 1} {kind}"
            for step in range(attention.config.distillation_steps)
            for kind in layer_names(attention)
        ]
        figure = style.new_figure(9.5, 3.3)
        left, right = figure.subplots(1, 2)
        palette = list(style.colours([str(group) for group in range(attention.config.num_groups)]).values())
        plots.plot_by_layer(spread[own], own, labels, left, "entropy / log T (1: all of the window alike)", palette)
        plots.plot_by_layer(reach[own], own, labels, right, "mean distance (LR pixels)", palette)
        right.plot(
            np.tile(uniform, attention.config.distillation_steps),
            ls="none",
            marker="_",
            ms=14,
            color="0.3",
            label="all of the window alike",
        )
        left.set_ylim(top=1.005)
        right.set_yscale("log")
        right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        right.yaxis.set_major_formatter("{x:g}")
        note = "" if len(own) == attention.config.num_groups else "; the other groups share these maps"
        figure.suptitle(f"{model} on {photograph}: step and window of each layer{note}", fontsize=9)
        style.legend_below(figure, right)
        return figure, {"entropy": spread, "mean_distance": reach, "uniform_distance": uniform}

    return Panel("attention-spread", draw, controls, folder)


def similarity_panel(
    models: Sequence[str], source: str = "samples", *, folder: str | Path = "../results/figures"
) -> Panel:
    """How alike the maps of the groups are, a matrix for each layer of a network: the reason why they can be shared."""
    looks = _Looks(models, source)
    controls = {
        "model": widgets.Dropdown(options=list(models), description="network"),
        "photograph": widgets.Dropdown(options=list(looks.images), description="photograph"),
        "measure": widgets.Dropdown(options=["correlation", "cosine"], description="measure"),
    }

    def draw(model: str, photograph: str, measure: Any) -> Drawing:
        attention = looks.read(model, photograph)
        kinds, steps = layer_names(attention), attention.config.distillation_steps
        figure = style.new_figure(2.9 * steps, 2.6 * len(kinds))
        found = {}
        for layer, (kind, axes) in enumerate(
            zip(kinds, figure.subplots(len(kinds), steps, squeeze=False), strict=True)
        ):
            for step, ax in enumerate(axes):
                found[f"{kind}.{step + 1}"] = group_similarity(attention, step=step, layer=layer, measure=measure)
                plots.plot_similarity(found[f"{kind}.{step + 1}"], ax, f"{kind}, step {step + 1}")
        figure.suptitle(
            f"{model} on {photograph}: {measure} of the attention maps of its groups (1: the same map)", fontsize=9
        )
        return figure, found

    return Panel("attention-similarity", draw, controls, folder)
