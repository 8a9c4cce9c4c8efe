"""A panel of similarity: of attention maps and features, beside that of what has nothing in common."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import ipywidgets as widgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from asid.interpret.alike import MapSimilarity, TokenSimilarity, bias_share, map_similarity, token_similarity
from asid.interpret.attention_maps import layer_names, with_attention
from asid.interpret.similarity import Measure
from asid.panels.networks import (
    CropCache,
    Models,
    NetworkPicker,
    kept_part,
    labelled,
    network_name,
    open_model,
    other_seeds,
)
from asid.panels.panel import FIGURES, RESULTS, Drawing, Panel
from asid.plots import similarity as similarity_plots
from asid.plots import style
from asid.plots.attention_maps import plot_group_similarity

Similarity = MapSimilarity | TokenSimilarity
_FEATURES = "CKA of features"
_OTHER_SEED = "another seed: "
_MOST_SEEDS = 4
"""With how many other seeds a run is compared: each is a network to run."""


def similarity_panel(
    models: Models,
    source: str = "samples",
    *,
    size: int = 48,
    seed: int = 0,
    results: str | Path = RESULTS,
    folder: str | Path = FIGURES,
) -> Panel:
    """Similarity of maps and of features: all pairs of layers beside nulls, or matrices of the groups.

    Attention sharing assumes that the maps of the groups are similar. With the pairs comes the share of the variance of
    maps that the position bias explains. A run of a study is also compared with its other seeds, the range that mere
    chance makes.

    Args:
        models: The networks to pick from, besides finished runs; each is also compared with the others of this list.
        source: Evaluation set of the crops: at least two images.
        size: Side of the LR crops in pixels.
        seed: Seed with which the networks began: that of the untrained network.
        results: Where finished runs are looked for.
        folder: Where *Save* writes.
    """
    crops = CropCache(source, size)
    controls = {
        "model": NetworkPicker(models, results),
        "measure": widgets.Dropdown(options=[*get_args(Measure), _FEATURES], description="measure"),
        "view": widgets.Dropdown(options=list(_VIEWS), description="view"),
    }

    @cache
    def compare(model: str, measure: Any) -> Similarity:
        network = open_model(model)
        others = {
            name: other
            for name in dict.fromkeys([*labelled(models).values(), *other_seeds(model, results)[:_MOST_SEEDS]])
            if name != model and (other := open_model(name)).config.scale == network.config.scale
        }
        given = network, crops.of(network), {_label(model, name): other for name, other in others.items()}
        if measure == _FEATURES:
            return token_similarity(*given, seed=seed)
        return map_similarity(*given, measure=measure, seed=seed)

    @cache
    def share(model: str) -> NDArray[np.float64]:
        return bias_share(open_model(model), crops.of(open_model(model)))

    def draw(model: str, measure: str, view: str) -> Drawing:
        found, config = compare(model, measure), with_attention(open_model(model)).config
        layers = [_FEATURES] if isinstance(found, TokenSimilarity) else layer_names(config)
        figure = _VIEWS[view](found, layers, measure, share(model), layer_names(config))
        figure.suptitle(f"{network_name(model)} on crops of {source}: similarity ({measure})", fontsize=9)
        nulls = {f"null.{name}": values for name, values in found.nulls.items()}
        others = {f"other.{name}": values for name, values in found.others.items()}
        return figure, {"between": found.between, "bias_share": share(model), **nulls, **others}

    return Panel("similarity", draw, controls, folder)


def _draw_pairs(
    found: Similarity, layers: Sequence[str], measure: str, shares: NDArray[np.float64], kinds: Sequence[str]
) -> Figure:
    """All pairs of places of each layer beside nulls, and the share of the position bias."""
    figure = style.new_figure(4.2 * (len(layers) + 1), 3.6)
    *axes, last = figure.subplots(1, len(layers) + 1)
    for layer, (name, ax) in enumerate(zip(layers, axes, strict=True)):
        at = ... if isinstance(found, TokenSimilarity) else (..., layer)
        _plot_similarity(found, at, ax, measure)
        ax.set_title(name)
    similarity_plots.plot_shares(shares.reshape(len(shares), -1), last, "variance of maps explained by the bias")
    labels = [f"{step + 1} {kind}" for step in range(shares.shape[1]) for kind in kinds]
    last.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    style.legend_below(figure, axes[0])
    return figure


def _draw_matrices(
    found: Similarity, layers: Sequence[str], measure: str, shares: NDArray[np.float64], kinds: Sequence[str]
) -> Figure:
    """A matrix of the groups for each step and layer."""
    places, steps = np.array(found.places), shares.shape[1]
    between = found.between.reshape(*found.between.shape[:2], -1)
    figure = style.new_figure(2.9 * steps, 2.6 * len(layers))
    for layer, (name, axes) in enumerate(zip(layers, figure.subplots(len(layers), steps, squeeze=False), strict=True)):
        for step, ax in enumerate(axes):
            at = np.flatnonzero(places[:, 1] == step)
            plot_group_similarity(between[np.ix_(at, at)][..., layer], ax, f"{name}, step {step + 1}")
    return figure


_VIEWS = {"pairs beside nulls": _draw_pairs, "matrices of groups": _draw_matrices}


def _label(model: str, other: str) -> str:
    """Networks of one configuration that are trained as far are called other seeds; those of other trainings, too."""
    is_alike = open_model(model).config == open_model(other).config and kept_part(model) == kept_part(other)
    return (_OTHER_SEED if is_alike else "") + network_name(other)


def _plot_similarity(found: Similarity, at: Any, ax: Axes, label: str) -> None:
    """Pairs of places of the network, by what they have in common, and the same place of other networks.

    Bands are the nulls, and the same place in networks of other seeds.
    """
    places = np.array(found.places)
    group, step = (places[:, None, i] == places[None, :, i] for i in (0, 1))
    first = np.triu(np.ones(group.shape, dtype=bool), 1)
    between = found.between[at]
    pairs = {
        "same step,\nother group": between[first & step & ~group],
        "same group,\nother step": between[first & group & ~step],
        "other group\nand step": between[first & ~group & ~step],
    }
    seeds = [values[at] for name, values in found.others.items() if name.startswith(_OTHER_SEED)]
    others = {name: values[at] for name, values in found.others.items() if not name.startswith(_OTHER_SEED)}
    bands = {f"null: {name}": values[at] for name, values in found.nulls.items()}
    bands |= {"same place, another seed": np.concatenate(seeds)} if seeds else {}
    similarity_plots.plot_similarity(
        {name: values for name, values in {**pairs, **others}.items() if values.size}, bands, ax, label
    )
