"""Panels that show attention: the map of a pixel, spread and distance by layer, and similarity of the groups' maps."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import ipywidgets as widgets
import numpy as np
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from asid.config import ModelConfig
from asid.data.images import RGBImage
from asid.data.sources import find_images
from asid.interpret.attention_maps import (
    ImageAttentionMaps,
    Pixel,
    entropy,
    extract_attention_maps,
    group_similarity,
    mean_distance,
    uniform_distance,
    with_attention,
)
from asid.interpret.similarity import Measure
from asid.model.pretrained import common_scale
from asid.panels.networks import open_model
from asid.panels.panel import FIGURES, Drawing, Panel
from asid.plots import attention_maps as plots
from asid.plots import style


class MapCache:
    """Attention maps of networks on LR images, both by name. The latest are cached: moving a pixel runs no network.

    Args:
        models: What :func:`asid.model.pretrained.load_model` accepts; all of one scale.
        source: What :func:`asid.data.sources.find_images` accepts.
    """

    def __init__(self, models: Sequence[str], source: str) -> None:
        self.models = {name: with_attention(open_model(name)) for name in models}
        scale = common_scale(self.models.values())
        self.images: dict[str, RGBImage] = {
            photograph.name: photograph.lr(scale, "symmetric").pixels() for photograph in find_images(source)
        }
        self.maps = lru_cache(maxsize=len(models) + 1)(self._maps)

    def _maps(self, model: str, photograph: str) -> ImageAttentionMaps:
        return extract_attention_maps(self.models[model], self.images[photograph])


def _choices(cache: MapCache) -> dict[str, widgets.Dropdown]:
    """Controls that choose one network and one photograph of a cache."""
    return {
        "model": widgets.Dropdown(options=list(cache.models), description="network"),
        "photograph": widgets.Dropdown(options=list(cache.images), description="photograph"),
    }


def layer_names(config: ModelConfig) -> list[str]:
    """Name the spatial layers of a step: ``meso``, ``global grid``, ``window 16``; repeated names are numbered."""
    global_name = "global grid" if config.global_kind == "grid" else f"window {config.global_size}"
    names = ["meso" if kind == "meso" else global_name for kind in config.spatial_windows]
    return [
        f"{name} {names[: position + 1].count(name)}" if names.count(name) > 1 else name
        for position, name in enumerate(names)
    ]


class AttentionMapPanel(Panel):
    """The attention of a pixel: a row for each selected network, a column for each layer of the selected step.

    A group that shares shows the map it uses, and the title names the group that computed it.

    Args:
        models: What :func:`asid.model.pretrained.load_model` accepts; all of one scale.
        source: What :func:`asid.data.sources.find_images` accepts.
        photograph: The photograph to show first, by default the first one.
        folder: Where *Save* writes.

    Raises:
        ValueError: The photograph does not exist, or the networks have different scales.
    """

    def __init__(
        self,
        models: Sequence[str],
        source: str = "samples",
        *,
        photograph: str = "",
        folder: str | Path = FIGURES,
    ) -> None:
        self.cache = MapCache(models, source)
        first = photograph or next(iter(self.cache.images))
        if first not in self.cache.images:
            raise ValueError(f"expected a photograph of {source} ({', '.join(self.cache.images)}), got {first!r}")
        height, width = self.cache.images[first].shape[:2]
        configs = [model.config for model in self.cache.models.values()]
        counts = {
            "group": max(config.num_groups for config in configs),
            "step": max(config.distillation_steps for config in configs),
        }
        controls = {
            "photograph": widgets.Dropdown(options=list(self.cache.images), value=first, description="photograph"),
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
        super().__init__("attention", self._draw_maps, controls, folder)

    @property
    def stem(self) -> str:
        """Name of the saved files, with the pixel and the layer in it."""
        values = self.values
        pixel = f"{values['photograph']}-{values['row']}-{values['column']}-{values['kind']}-group{values['group'] + 1}"
        return f"attention-{pixel}" + (f"-step{values['step'] + 1}" if values["kind"] == "spatial" else "")

    def prepare(self) -> None:
        """Fit the sliders to the photograph; disable the step for channel attention, which has none."""
        self.controls["step"].disabled = self.controls["kind"].value == "channel"
        sides = self.cache.images[self.controls["photograph"].value].shape
        for name, side in zip(("row", "column"), sides, strict=False):
            self.controls[name].max = side - 1

    def _draw_maps(
        self, photograph: str, row: int, column: int, kind: str, group: int, step: int, networks: tuple[str, ...]
    ) -> Drawing:
        if not networks:
            raise ValueError("expected at least one network: select one, or several with Ctrl or Cmd")
        maps = {name: self.cache.maps(name, photograph) for name in networks}
        if kind == "channel":
            return _draw_channel(maps, (row, column), group)
        return _draw_spatial(self.cache.images[photograph], maps, (row, column), group, step)


def _draw_spatial(image: RGBImage, maps: dict[str, ImageAttentionMaps], pixel: Pixel, group: int, step: int) -> Drawing:
    columns = 1 + max(len(network.config.spatial_windows) for network in maps.values())
    figure = style.new_figure(3.6 * columns, 2.75 * len(maps))
    arrays: dict[str, Any] = {"image": image, "pixel": np.array(pixel)}
    by_layer: dict[int, dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]] = {}
    for name, network in maps.items():
        for layer in range(len(network.config.spatial_windows)):
            attention = network.relative(pixel, group=group, step=step, layer=layer)
            by_layer.setdefault(layer, {})[name] = attention, network.window(pixel, layer=layer)
    # The networks of a column have one colour scale.
    values = {
        layer: np.concatenate([relative[window] for relative, window in column.values()])
        for layer, column in by_layer.items()
    }
    limits = {layer: (float(column.min()), float(column.max())) for layer, column in values.items()}
    for axes, (name, network) in zip(figure.subplots(len(maps), columns, squeeze=False), maps.items(), strict=True):
        kinds = layer_names(network.config)
        for layer, kind in enumerate(kinds):
            relative, window = by_layer[layer][name]
            attention = network.spatial(pixel, group=group, step=step, layer=layer)
            padding = 1 - float(attention.sum())
            title = f"{kind}, step {step + 1}" + (f", {padding:.0%} on padding" if padding > 0.005 else "")
            title += f"\ngroup {group + 1}{_shared_from(network, group)}"
            plots.plot_attention_map(image, relative, window, pixel, axes[layer + 1], title, limits[layer])
            arrays |= {f"{name}.{kind}.attention": attention, f"{name}.{kind}.window": window}
        windows = [by_layer[layer][name][1] for layer in range(len(kinds))]
        plots.plot_windows(image, windows, pixel, axes[0], f"{name}\npixel ({pixel[0]}, {pixel[1]}) and its windows")
        for ax in axes[len(kinds) + 1 :]:
            ax.set_axis_off()
    return figure, arrays


def _shared_from(maps: ImageAttentionMaps, group: int) -> str:
    source = maps.source_group(group)
    return f", shared from group {source + 1}" if source != group else ""


def _draw_channel(maps: dict[str, ImageAttentionMaps], pixel: Pixel, group: int) -> Drawing:
    """Channel attention has no steps: it comes after the last one of a group."""
    columns = max(len(network.config.channel_windows) for network in maps.values())
    figure = style.new_figure(3.9 * columns, 3.2 * len(maps))
    arrays: dict[str, Any] = {"pixel": np.array(pixel)}
    subplots = figure.subplots(len(maps), max(1, columns), squeeze=False)
    for axes, (name, network) in zip(subplots, maps.items(), strict=True):
        for layer, kind in enumerate(network.config.channel_windows):
            attention = network.channel(pixel, group=group, layer=layer)
            title = f"{name}, group {group + 1}\n{kind} window of pixel ({pixel[0]}, {pixel[1]})"
            plots.plot_channel_map(attention, axes[layer], title)
            arrays[f"{name}.{layer}.{kind}"] = attention
        for ax in axes[len(network.config.channel_windows) :]:
            ax.set_axis_off()
    return figure, arrays


def spread_panel(models: Sequence[str], source: str = "samples", *, folder: str | Path = FIGURES) -> Panel:
    """Entropy and mean distance of attention by layer, with one dot per group that computes its own maps.

    Args:
        models: What :func:`asid.model.pretrained.load_model` accepts; all of one scale.
        source: What :func:`asid.data.sources.find_images` accepts.
        folder: Where *Save* writes.
    """
    cache = MapCache(models, source)
    controls = _choices(cache)

    def draw(model: str, photograph: str) -> Drawing:
        maps = cache.maps(model, photograph)
        config = maps.config
        own = [group for group in range(config.num_groups) if maps.source_group(group) == group]
        spread, distance, uniform = entropy(maps), mean_distance(maps), uniform_distance(maps)
        labels = [
            f"{step + 1} {kind}" for step in range(config.distillation_steps) for kind in layer_names(maps.config)
        ]
        figure = style.new_figure(9.5, 3.3)
        left, right = figure.subplots(1, 2)
        palette = list(style.colours([str(group) for group in range(config.num_groups)]).values())
        plots.plot_by_layer(spread[own], own, labels, left, "entropy / log T (1: uniform)", palette)
        plots.plot_by_layer(distance[own], own, labels, right, "mean distance (LR pixels)", palette)
        right.plot(
            np.tile(uniform, config.distillation_steps),
            ls="none",
            marker="_",
            ms=14,
            color="0.3",
            label="uniform attention",
        )
        left.set_ylim(top=1.005)
        right.set_yscale("log")
        right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        right.yaxis.set_major_formatter("{x:g}")
        note = "" if len(own) == config.num_groups else "; the other groups share these maps"
        figure.suptitle(f"{model} on {photograph}: step and window of each layer{note}", fontsize=9)
        style.legend_below(figure, right)
        return figure, {"entropy": spread, "mean_distance": distance, "uniform_distance": uniform}

    return Panel("attention-spread", draw, controls, folder)


def similarity_panel(models: Sequence[str], source: str = "samples", *, folder: str | Path = FIGURES) -> Panel:
    """Similarity of the groups' maps, with one matrix per layer of a network: the premise of attention sharing.

    Args:
        models: What :func:`asid.model.pretrained.load_model` accepts; all of one scale.
        source: What :func:`asid.data.sources.find_images` accepts.
        folder: Where *Save* writes.
    """
    cache = MapCache(models, source)
    measure = widgets.Dropdown(options=get_args(Measure), description="measure")
    controls = {**_choices(cache), "measure": measure}

    def draw(model: str, photograph: str, measure: Any) -> Drawing:
        maps = cache.maps(model, photograph)
        kinds, steps = layer_names(maps.config), maps.config.distillation_steps
        figure = style.new_figure(2.9 * steps, 2.6 * len(kinds))
        subplots = figure.subplots(len(kinds), steps, squeeze=False)
        arrays = {}
        for layer, (kind, axes) in enumerate(zip(kinds, subplots, strict=True)):
            for step, ax in enumerate(axes):
                similarity = group_similarity(maps, step=step, layer=layer, measure=measure)
                plots.plot_group_similarity(similarity, ax, f"{kind}, step {step + 1}")
                arrays[f"{kind}.{step + 1}"] = similarity
        figure.suptitle(
            f"{model} on {photograph}: {measure} of the groups' attention maps (1: identical maps)", fontsize=9
        )
        return figure, arrays

    return Panel("attention-similarity", draw, controls, folder)
