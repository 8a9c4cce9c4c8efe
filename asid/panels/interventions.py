"""Panels that intervene: transplanted attention maps, lesions."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from asid.ablation.report.components import lost_without
from asid.ablation.report.results import load_results
from asid.interpret.attention_maps import layer_names, with_attention
from asid.interpret.lesions import (
    Lesions,
    components_of,
    error_increase,
    lesion_losses,
    places_of,
    rank_agreement,
)
from asid.interpret.transplant import Transplants, transplant
from asid.panels.networks import CropCache, Models, NetworkPicker, network_name, open_model
from asid.panels.panel import FIGURES, RESULTS, Drawing, Panel
from asid.plots import style
from asid.plots import transplant as transplant_plots
from asid.plots.lesions import plot_agreement, plot_error_increase, plot_lesions


def transplant_panel(
    models: Models,
    source: str = "samples",
    *,
    size: int = 48,
    results: str | Path = RESULTS,
    folder: str | Path = FIGURES,
) -> Panel:
    """What it costs that groups use each other's attention maps, beside nulls.

    Args:
        models: The networks to pick from, besides finished runs; the first one is shown first. Best one without
            attention sharing.
        source: Evaluation set of the crops: at least two images.
        size: Side of the LR crops in pixels.
        results: Where finished runs are looked for.
        folder: Where *Save* writes.
    """
    crops = CropCache(source, size)
    measure = cache(lambda model: transplant(open_model(model), crops.of(open_model(model))))
    views = {"loss against similarity": _draw_transplants, "matrices": _draw_matrices}
    controls = {
        "model": NetworkPicker(models, results),
        "view": widgets.Dropdown(options=list(views), description="view"),
    }

    def draw(model: str, view: str) -> Drawing:
        found, network = measure(model), with_attention(open_model(model))
        figure = views[view](found, layer_names(network.config))
        note = "" if network.config.attention_sharing == "none" else "; it shares maps: all exchanges are alike"
        images = f"{len(found.images)} crops of {size}×{size} of {source}"
        figure.suptitle(f"{network_name(model)}, {found.psnr.mean():.2f} dB on {images}{note}", fontsize=9)
        return figure, found.arrays()

    return Panel("transplant", draw, controls, folder)


def _draw_transplants(found: Transplants, layers: Sequence[str]) -> Any:
    """Losses against similarities, and the losses if the maps of all groups are replaced at once."""
    figure = style.new_figure(10, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    other = ~np.eye(len(found.loss), dtype=bool)
    nulls = {name: (found.null_similarity[name].mean(-1), found.null_loss[name].mean(-1)) for name in found.null_loss}
    similarity, loss = (values[other].mean(-1).ravel() for values in (found.similarity, found.loss))
    transplant_plots.plot_loss_against_similarity(similarity, loss, nulls, left)
    left.legend(fontsize=6.5)
    left.set_title("one group, step and layer at a time")
    together = {f"maps of group {group + 1}": float(values.mean()) for group, values in enumerate(found.loss_together)}
    bounds = {name: float(values.mean()) for name, values in found.null_loss_together.items()}
    transplant_plots.plot_bounds({**together, **bounds}, list(together), right)
    right.set_title("all groups at once (group 1: attention sharing)")
    return figure


def _draw_matrices(found: Transplants, layers: Sequence[str]) -> Any:
    """One matrix of groups for each step and layer."""
    loss = found.loss.mean(-1)
    steps = loss.shape[2]
    figure = style.new_figure(2.6 * steps, 2.5 * len(layers))
    limit = float(np.abs(loss).max()) or 1.0
    for layer, (name, axes) in enumerate(zip(layers, figure.subplots(len(layers), steps, squeeze=False), strict=True)):
        for step, ax in enumerate(axes):
            transplant_plots.plot_losses(loss[:, :, step, layer], limit, ax, f"{name}, step {step + 1}")
    return figure


def prediction_panel(
    models: Models,
    study: str | Path,
    source: str = "samples",
    *,
    size: int = 48,
    results: str | Path = RESULTS,
    folder: str | Path = FIGURES,
) -> Panel:
    """Whether lesions predict ablations: dB lost if a component does nothing, and if a network is trained without it.

    Args:
        models: The networks to pick from, besides finished runs: best those of the study's base.
        study: Folder of a finished study that takes components out one by one; needs no weights.
        source: Evaluation set of the crops.
        size: Side of the LR crops in pixels.
        results: Where finished runs are looked for.
        folder: Where *Save* writes.
    """
    crops, retrained = CropCache(source, size), lost_without(load_results(study))

    @cache
    def measure(model: str) -> dict[str, float]:
        network = open_model(model)
        components = components_of(network)
        found = lesion_losses(network, crops.of(network), components.values())
        return dict(zip(components, found.loss.mean(axis=1).tolist(), strict=True))

    def draw(model: str) -> Drawing:
        lost = measure(model)
        found = rank_agreement(lost, retrained)
        names = list(found.components)
        lesions, trained = ([losses[name] for name in names] for losses in (lost, retrained))
        figure = style.new_figure(5.5, 3.8)
        title = f"Spearman's ρ {found.spearman:.2f} (p {found.p:.3f}), Kendall's τ {found.kendall:.2f}"
        plot_agreement(lesions, trained, names, figure.subplots(), f"{network_name(model)}\n{title}")
        return figure, {"components": np.array(names), "lesions": np.array(lesions), "retrained": np.array(trained)}

    return Panel("predictions", draw, {"model": NetworkPicker(models, results)}, folder)


def lesion_panel(
    models: Models,
    source: str = "samples",
    *,
    size: int = 48,
    results: str | Path = RESULTS,
    folder: str | Path = FIGURES,
) -> Panel:
    """What each part is worth to a trained network, from worst to best, and where in an image one of them is missed.

    Args:
        models: The networks to pick from, besides finished runs.
        source: Evaluation set of the crops.
        size: Side of the LR crops in pixels.
        results: Where finished runs are looked for.
        folder: Where *Save* writes.
    """
    return _LesionPanel(models, CropCache(source, size), results, folder)


class _LesionPanel(Panel):
    """The places and images to choose from are those of the network."""

    def __init__(self, models: Models, crops: CropCache, results: str | Path, folder: str | Path) -> None:
        self._crops = crops
        self._measure = cache(self._lesions)
        controls = {
            "model": NetworkPicker(models, results),
            "place": widgets.Dropdown(description="lesion", layout=widgets.Layout(width="340px")),
            "photograph": widgets.Dropdown(description="photograph"),
        }
        super().__init__("lesions", self._draw_lesions, controls, folder)

    def _lesions(self, model: str) -> Lesions:
        network = open_model(model)
        return lesion_losses(network, self._crops.of(network), places_of(network))

    def prepare(self) -> None:
        """Offer the places of the network, the worst lesion first, and the images."""
        found = self._measure(self.controls["model"].value)
        order = np.argsort(-found.loss.mean(1), kind="stable")
        for name, options in (
            ("place", [found.lesions[place].label for place in order]),
            ("photograph", list(found.images)),
        ):
            control = self.controls[name]
            if list(control.options) != options:
                chosen = control.value if control.value in options else options[0]
                control.options = options
                control.value = chosen

    def _draw_lesions(self, model: str, place: str, photograph: str) -> Drawing:
        found, network = self._measure(model), open_model(model)
        labels = [lesion.label for lesion in found.lesions]
        index, image = labels.index(place), found.images.index(photograph)
        crops = self._crops.of(network)
        increase = error_increase(network, crops, found.lesions[index])[image]
        figure = style.new_figure(10, max(5.0, 0.125 * len(labels) + 1))
        bars, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.7, 1))[0]
        plot_lesions(labels, [lesion.part for lesion in found.lesions], found.loss, bars.subplots())
        above, below = right.subplots(2, 1)
        above.imshow(crops.hr[image])
        above.set_axis_off()
        above.set_title(f"{photograph}, HR")
        plot_error_increase(increase, below, f"without {place}\n{style.signed(-found.loss[index, image])} dB here")
        figure.suptitle(
            f"{network_name(model)}, {found.psnr.mean():.2f} dB on {len(found.images)} crops: one part does nothing"
        )
        return figure, {**found.arrays(), "image": crops.hr[image], "error_increase": increase}
