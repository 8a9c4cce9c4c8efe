"""Panels that show attention: the map of a pixel, picked by touch, and spread and distance by layer."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from asid.data.images import RGBImage
from asid.data.photographs import Photograph
from asid.data.sources import find_images
from asid.interpret.attention_maps import (
    ImageAttentionMaps,
    Pixel,
    entropy,
    extract_attention_maps,
    layer_names,
    mean_distance,
    uniform_distance,
    with_attention,
)
from asid.model.find import find_checkpoint
from asid.panels.attention_cards import channel_cards, photograph_card, shared_from, spatial_cards
from asid.panels.networks import (
    Models,
    NetworkPicker,
    network_name,
    one_scale,
    open_model,
    over_training,
    shown_networks,
)
from asid.panels.panel import FIGURES, RESULTS, Drawing, Panel, file_name
from asid.panels.touch import Card, TouchPanel
from asid.plots import attention_maps as plots
from asid.plots import style


def attention_of(model: str, photograph: Photograph) -> ImageAttentionMaps:
    """The attention maps of a network on the LR image of a photograph; the latest ones are kept for all panels."""
    path = find_checkpoint(model)
    return _attention_of(path, path.stat().st_mtime_ns, photograph, photograph.content)


@lru_cache(maxsize=8)
def _attention_of(path: Path, modified: int, photograph: Photograph, content: str) -> ImageAttentionMaps:
    network = with_attention(open_model(str(path)))
    return extract_attention_maps(network, lr_image(photograph, network.config.scale))


def lr_image(photograph: Photograph, scale: int) -> RGBImage:
    """The LR image of a photograph."""
    return _lr_image(photograph, photograph.content, scale)


@lru_cache(maxsize=8)
def _lr_image(photograph: Photograph, content: str, scale: int) -> RGBImage:
    return photograph.lr(scale, "symmetric").pixels()


class AttentionMapPanel(TouchPanel):
    """The attention of a pixel, picked by a click or drag on the photograph.

    Beside the map of the chosen group, step and layer are those of all of them, small; a click on one chooses it, and
    so do the arrow keys, n and p. A second network is shown with the difference of its maps to the first; a run that
    kept weights on the way, also over its training. A group that shares shows the map it uses, and the title names the
    group that computed it.

    Args:
        models: The networks to pick from, besides other packaged ones and finished runs; the first one is shown first.
        source: What :func:`asid.data.sources.find_images` accepts.
        photograph: The photograph to show first, by default the first one.
        results: Where finished runs are looked for.
        folder: Where *Save* writes.

    Raises:
        ValueError: The photograph does not exist.
    """

    def __init__(
        self,
        models: Models,
        source: str = "samples",
        *,
        photograph: str = "",
        results: str | Path = RESULTS,
        folder: str | Path = FIGURES,
    ) -> None:
        self.photographs = {image.name: image for image in find_images(source)}
        first = photograph or next(iter(self.photographs))
        if first not in self.photographs:
            raise ValueError(f"expected a photograph of {source} ({', '.join(self.photographs)}), got {first!r}")
        picker = NetworkPicker(models, results)
        height, width = lr_image(self.photographs[first], open_model(picker.value).config.scale).shape[:2]
        controls = {
            "photograph": widgets.Dropdown(options=list(self.photographs), value=first, description="photograph"),
            "model": picker,
            "other": NetworkPicker(models, results, description="compare with", nothing="nothing"),
            "training": widgets.Checkbox(description="over its training", indent=False, layout={"width": "auto"}),
            "kind": widgets.Dropdown(options=["spatial", "channel"], description="attention"),
            "layer": widgets.Dropdown(description="layer"),
            "group": widgets.Dropdown(description="group"),
            "step": widgets.Dropdown(description="step"),
            "row": widgets.IntSlider(height // 2, 0, height - 1, description="row"),
            "column": widgets.IntSlider(width // 2, 0, width - 1, description="column"),
        }
        super().__init__("attention", self._draw_maps, self._make_cards, controls, folder, _HELP)

    @property
    def stem(self) -> str:
        """Name of the saved files, with the settings in it; layers, groups and steps count from 1, as on the page."""
        numbers = {name: self.controls[name].value + 1 for name in ("layer", "group", "step")}
        return file_name(self.name, {**self.values, **numbers})

    def prepare(self) -> None:
        """Offer what the chosen networks have, and disable what does nothing."""
        controls = self.controls
        controls["training"].disabled = not over_training(controls["model"].value)
        controls["training"].value &= not controls["training"].disabled
        channel = controls["kind"].value == "channel"
        controls["step"].disabled = channel
        shown = self._networks(**self.values)
        networks = {name: with_attention(open_model(model)) for name, model in shown.items()}
        configs = [network.config for network in networks.values()]
        layers = list(configs[0].channel_windows) if channel else layer_names(configs[0])
        if not layers:
            kind, way_out = ("channel", "spatial") if channel else ("spatial", "channel")
            raise ValueError(f"this network has no {kind} attention: choose {way_out}, or another network")
        _offer(controls["layer"], layers)
        _offer(controls["group"], [str(group + 1) for group in range(min(config.num_groups for config in configs))])
        _offer(controls["step"], [str(step + 1) for step in range(min(c.distillation_steps for c in configs))])
        sides = lr_image(self.photographs[controls["photograph"].value], one_scale(networks)).shape
        for name, side in zip(("row", "column"), sides, strict=False):
            slider = controls[name]
            # The same place in an LR image of another size; a side of one pixel has the maximum 0.
            place = round(slider.value * (side - 1) / max(slider.max, 1))
            slider.max, slider.value = side - 1, place

    def step(self, down: int, right: int) -> None:
        """Choose the map of the next group (down) or step (right), if there is one."""
        self.set(**{name: _moved(self.controls[name], by) for name, by in (("group", down), ("step", right))})

    def next(self, way: int) -> None:
        """Choose the next map by layer, group and step; after the last comes the first."""
        names = ("layer", "group") if self.controls["kind"].value == "channel" else ("layer", "group", "step")
        counts = [len(self.controls[name].options) for name in names]
        at = np.ravel_multi_index([self.controls[name].value for name in names], counts)
        place = np.unravel_index((at + way) % np.prod(counts), counts)
        self.set(**{name: int(index) for name, index in zip(names, place, strict=True)})

    def _networks(self, *, model: str, other: str, training: bool, **_: Any) -> dict[str, str]:
        return shown_networks(model, other, training)

    def _maps(self, **values: Any) -> dict[str, ImageAttentionMaps]:
        photograph = self.photographs[values["photograph"]]
        return {name: attention_of(model, photograph) for name, model in self._networks(**values).items()}

    def _lr(self, **values: Any) -> RGBImage:
        return lr_image(self.photographs[values["photograph"]], open_model(values["model"]).config.scale)

    def _make_cards(self, **values: Any) -> tuple[RGBImage, list[Card]]:
        maps, image = self._maps(**values), self._lr(**values)
        pixel = values["row"], values["column"]
        make = channel_cards if values["kind"] == "channel" else spatial_cards
        place = values["layer"], values["group"], values["step"]
        return image, [
            photograph_card(image, next(iter(maps.values())), pixel),
            *make(maps, pixel, place, _differs(maps, values)),
        ]

    def _draw_maps(self, **values: Any) -> Drawing:
        maps, pixel = self._maps(**values), (values["row"], values["column"])
        if values["kind"] == "channel":
            return _draw_channel(maps, pixel, values["group"])
        return _draw_spatial(self._lr(**values), maps, pixel, values["group"], values["step"], _differs(maps, values))


_HELP = (
    "Click or drag on the photograph to choose the pixel, or move it by Shift and the arrow keys. "
    "Up and down choose the group, left and right the step, n and p the next and previous map."
)


def _offer(control: widgets.Dropdown, names: Sequence[str]) -> None:
    """Offer names, with their positions as values; a choice that is gone becomes the last one."""
    options = [(name, index) for index, name in enumerate(names)]
    if list(control.options) != options:
        chosen = min(control.value or 0, len(options) - 1)
        control.options = options
        control.value = chosen


def _differs(maps: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return len(maps) == 2 and not values["training"]


def _moved(control: widgets.Dropdown, by: int) -> int:
    return int(np.clip(control.value + by, 0, len(control.options) - 1))


def _draw_spatial(
    image: RGBImage, maps: dict[str, ImageAttentionMaps], pixel: Pixel, group: int, step: int, differs: bool
) -> Drawing:
    """A row for each network, and with ``differs`` one for the second map minus the first."""
    columns = 1 + max(len(network.config.spatial_windows) for network in maps.values())
    figure = style.new_figure(3.6 * columns, 2.75 * (len(maps) + differs))
    subplots = figure.subplots(len(maps) + differs, columns, squeeze=False)
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
    for axes, (name, network) in zip(subplots, maps.items(), strict=False):
        kinds = layer_names(network.config)
        for layer, kind in enumerate(kinds):
            relative, window = by_layer[layer][name]
            attention = network.spatial(pixel, group=group, step=step, layer=layer)
            padding = 1 - float(attention.sum())
            title = f"{kind}, step {step + 1}" + (f", {padding:.0%} on padding" if padding > 0.005 else "")
            title += "\n" + ", ".join(filter(None, (f"group {group + 1}", shared_from(network, group))))
            plots.plot_attention_map(image, relative, window, pixel, axes[layer + 1], title, limits[layer])
            arrays |= {f"{name}.{kind}.attention": attention, f"{name}.{kind}.window": window}
        windows = [by_layer[layer][name][1] for layer in range(len(kinds))]
        plots.plot_windows(image, windows, pixel, axes[0], f"{name}\npixel ({pixel[0]}, {pixel[1]}) and its windows")
        for ax in axes[len(kinds) + 1 :]:
            ax.set_axis_off()
    if differs:
        for ax in subplots[-1]:
            ax.set_axis_off()
        for layer, ax in zip(by_layer, subplots[-1][1:], strict=True):
            found = list(by_layer[layer].values())
            if len(found) == 2 and np.array_equal(found[0][1], found[1][1]):
                change, window = found[1][0] - found[0][0], found[0][1]
                limit = float(np.abs(change[window]).max()) or 1.0
                title = "difference\n{1} − {0}".format(*maps)
                plots.plot_attention_map(image, change, window, pixel, ax, title, (-limit, limit), differences=True)
    return figure, arrays


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


def spread_panel(
    models: Models, source: str = "samples", *, results: str | Path = RESULTS, folder: str | Path = FIGURES
) -> Panel:
    """Entropy and mean distance of attention by layer, with one dot per group that computes its own maps.

    Args:
        models: The networks to pick from, besides other packaged ones and finished runs.
        source: What :func:`asid.data.sources.find_images` accepts.
        results: Where finished runs are looked for.
        folder: Where *Save* writes.
    """
    photographs = {image.name: image for image in find_images(source)}
    controls = {
        "model": NetworkPicker(models, results),
        "photograph": widgets.Dropdown(options=list(photographs), description="photograph"),
    }

    def draw(model: str, photograph: str) -> Drawing:
        maps = attention_of(model, photographs[photograph])
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
        figure.suptitle(f"{network_name(model)} on {photograph}: step and window of each layer{note}", fontsize=9)
        style.legend_below(figure, right)
        return figure, {"entropy": spread, "mean_distance": distance, "uniform_distance": uniform}

    return Panel("attention-spread", draw, controls, folder)
