"""The cards of attention maps: the photograph with the windows of a pixel, the map of each network, and differences."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.colors import CenteredNorm, Colormap, Normalize
from numpy.typing import NDArray

from asid.data.images import RGBImage
from asid.interpret.attention_maps import ImageAttentionMaps, Pixel, layer_names
from asid.panels.touch import Card, card, cells, colour_bar, small_maps

Maps = Mapping[str, ImageAttentionMaps]
"""By the name of the network."""
Place = tuple[int, int, int]
"""Layer, group and step, from 0."""
_MARGIN = 6
"""Pixels around a window of neighbouring pixels."""
_VALUES, _CHANGES = mpl.colormaps["viridis"], mpl.colormaps["RdBu_r"]


class Around(NamedTuple):
    """The attention of a pixel in one kind of layer."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float32]
    """(G, S, r, c)."""

    @property
    def spacing(self) -> int:
        """Distance of its pixels: 1 for a window of neighbours."""
        return int(np.diff(self.rows).min()) if len(self.rows) > 1 else 1


def photograph_card(image: RGBImage, maps: ImageAttentionMaps, pixel: Pixel) -> Card:
    """The photograph, with the pixel and its windows."""
    around = [Around(*maps.around(pixel, layer=layer)) for layer in range(len(maps.config.spatial_windows))]
    grids = [window for window in around if window.spacing > 1]
    return card(
        "photograph: click or drag\npixel ({}, {}) and its windows".format(*pixel),
        image.shape[:2],
        ground="photo",
        query=pixel,
        boxes=[_frame(window) for window in around if window.spacing == 1],
        dots=(list(grids[0].rows), list(grids[0].columns)) if grids else ((), ()),
        touch=True,
    )


def _frame(window: Around) -> tuple[float, float, float, float]:
    return window.rows[0], window.columns[0], len(window.rows), len(window.columns)


def spatial_cards(maps: Maps, pixel: Pixel, place: Place, differs: bool) -> list[Card]:
    """A card for each network, and with ``differs`` one for the second map minus the first.

    Small maps of a layer have one colour scale, and so do the large ones; that of the small ones is wider.
    """
    layer, group, step = place
    first = next(iter(maps.values()))
    names = layer_names(first.config)
    around = {name: _around(network, names, pixel) for name, network in maps.items()}
    if differs:
        one, other = around.values()
        around["difference"] = _difference(one, other)
    size, result = first.size, []
    for name, windows in around.items():
        differences = name == "difference"
        alike = [windows] if differences else [found for other, found in around.items() if other != "difference"]
        multiples = []
        for index, kind in enumerate(names):
            if window := windows.get(kind):
                norm = _norm([found[kind].values for found in alike if kind in found], differences)
                multiples.append(_multiples(window, kind, norm, index, place, _colours(differences)))
        title = f"{name}\n{names[layer]}, step {step + 1}, group {group + 1}"
        window = windows.get(names[layer])
        if window is None:
            missing = "the windows differ: no difference" if differences else f"has no layer {names[layer]}"
            result.append(card(title, size, note=missing, multiples=multiples))
            continue
        shown = [found[names[layer]].values[group, step] for found in alike if names[layer] in found]
        norm = _norm(shown, differences)
        near = window.spacing == 1
        top, left, height, width = _frame(window)
        part = (top - _MARGIN, left - _MARGIN, top + height + _MARGIN, left + width + _MARGIN) if near else None
        side = 1.0 if near else 0.62 * window.spacing
        values = window.values[group, step]
        label = "difference (uniform attention: 1)" if differences else "attention (uniform: 1)"
        colours = _colours(differences)
        result.append(
            card(
                title,
                size,
                part=part,
                shown=cells(values, norm, colours, rows=window.rows, columns=window.columns, side=side),
                bar=colour_bar(norm, colours, label),
                query=pixel,
                boxes=[_frame(window)] if near else [],
                touch=not near,
                note="" if differences else _note(values, maps[name], group, names[layer]),
                unit=" × uniform",
                multiples=multiples,
            )
        )
    return result


def _around(maps: ImageAttentionMaps, names: Sequence[str], pixel: Pixel) -> dict[str, Around]:
    own = layer_names(maps.config)
    return {name: Around(*maps.around(pixel, layer=own.index(name))) for name in names if name in own}


def _difference(one: Mapping[str, Around], other: Mapping[str, Around]) -> dict[str, Around]:
    """The second maps minus the first, of the layers with the same windows and of the groups and steps of both."""
    found = {}
    for name in one:
        if name in other and one[name].values.shape[2:] == other[name].values.shape[2:]:
            groups, steps = np.minimum(one[name].values.shape[:2], other[name].values.shape[:2])
            change = other[name].values[:groups, :steps] - one[name].values[:groups, :steps]
            found[name] = Around(one[name].rows, one[name].columns, change)
    return found


def _colours(differences: bool) -> Colormap:
    return _CHANGES if differences else _VALUES


def _norm(values: Sequence[NDArray[np.float32]], differences: bool) -> Normalize:
    if differences:
        return CenteredNorm(0, max(float(np.abs(found).max()) for found in values) or 1.0)
    return Normalize(min(float(found.min()) for found in values), max(float(found.max()) for found in values))


def _multiples(
    window: Around, name: str, norm: Normalize, layer: int, place: Place, colours: Colormap
) -> dict[str, Any]:
    groups, steps, rows, columns = window.values.shape
    items = [
        {
            "map": cells(window.values[group, step], norm, colours),
            "part": [0, 0, rows, columns],
            "label": f"{name}, group {group + 1}, step {step + 1}",
            "chosen": place == (layer, group, step),
            "key": {"layer": layer, "group": group, "step": step},
        }
        for group in range(groups)
        for step in range(steps)
    ]
    return small_maps(name, steps, items)


def shared_from(maps: ImageAttentionMaps, group: int) -> str:
    """What is said of a group that uses the maps of an earlier one; else nothing."""
    source = maps.source_group(group)
    return f"shared from group {source + 1}" if source != group else ""


def _note(values: NDArray[np.float32], maps: ImageAttentionMaps, group: int, kind: str) -> str:
    """Which group made the map, and how much attention the padding of the image gets."""
    tokens = maps.spatial_maps[0][0][layer_names(maps.config).index(kind)].shape[-1]
    padding = 1 - float(values.sum()) / tokens
    notes = [shared_from(maps, group), f"{padding:.0%} on padding" if padding > 0.005 else ""]
    return ", ".join(filter(None, notes))


def channel_cards(maps: Maps, pixel: Pixel, place: Place, differs: bool) -> list[Card]:
    """A card for each network with the map between channels, and with ``differs`` one for the difference."""
    layer, group, _ = place
    kinds = {name: network.config.channel_windows for name, network in maps.items()}
    windows = next(iter(kinds.values()))
    found = {
        name: {
            index: np.stack(
                [
                    network.channel(pixel, group=g, layer=kinds[name].index(kind))
                    for g in range(network.config.num_groups)
                ]
            )
            for index, kind in enumerate(windows)
            if kind in kinds[name]
        }
        for name, network in maps.items()
    }
    if differs:
        one, other = found.values()
        groups = min(map(len, [*one.values(), *other.values()]))
        found["difference"] = {
            index: other[index][:groups] - one[index][:groups]
            for index in one
            if index in other and one[index].shape[1:] == other[index].shape[1:]
        }
    result = []
    for name, layers in found.items():
        differences = name == "difference"
        colours = _colours(differences)
        multiples = []
        for index, values in layers.items():
            norm = _norm([values], differences)
            items = [
                {
                    "map": cells(each, norm, colours),
                    "part": [0, 0, *each.shape],
                    "label": f"{windows[index]}, group {g + 1}",
                    "chosen": (index, g) == (layer, group),
                    "key": {"layer": index, "group": g},
                }
                for g, each in enumerate(values)
            ]
            multiples.append(small_maps(windows[index], min(3, len(items)), items))
        title = f"{name}\nchannels, {windows[layer]} window, group {group + 1}"
        if layer not in layers:
            result.append(card(title, (1, 1), ground="none", note="no such map, or of other channels"))
            continue
        values = layers[layer][group]
        norm = _norm([values], differences)
        label = "difference" if differences else "attention (rows sum to 1)"
        result.append(
            card(
                title,
                values.shape,
                ground="none",
                shown=cells(values, norm, colours),
                bar=colour_bar(norm, colours, label),
                axes=("channel", "to channel"),
                multiples=multiples,
            )
        )
    return result
