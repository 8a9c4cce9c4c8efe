"""A panel of the error by spatial frequency."""

from functools import cache
from pathlib import Path

import ipywidgets as widgets

from asid.evaluation.spectrum import band_edges
from asid.interpret.frequency import Spectrum, bicubic_spectrum, error_spectrum
from asid.model.pretrained import common_scale
from asid.panels.networks import CropCache, Models, labelled, network_options, open_model
from asid.panels.panel import FIGURES, RESULTS, Drawing, Panel
from asid.plots.frequency import plot_bands
from asid.plots.style import legend_below, new_figure


def frequency_panel(
    models: Models,
    source: str = "samples",
    *,
    size: int = 64,
    results: str | Path = RESULTS,
    folder: str | Path = FIGURES,
) -> Panel:
    """Signal-to-noise ratio by frequency, or its change against the first selected network.

    Args:
        models: The networks to pick from, besides finished runs; all of them are shown first.
        source: Evaluation set of the crops.
        size: Side of the LR crops in pixels.
        results: Where finished runs are looked for.
        folder: Where *Save* writes.
    """
    crops = CropCache(source, size)
    options = network_options(models, results)
    names = {model: label for label, model in options}
    controls = {
        "networks": widgets.SelectMultiple(
            options=options, value=tuple(labelled(models).values()), rows=min(6, len(options)), description="networks"
        ),
        "view": widgets.Dropdown(options=["SNR", "change of SNR"], description="view"),
    }

    @cache
    def measure(model: str) -> Spectrum:
        network = open_model(model)
        return error_spectrum(network, crops.of(network))

    def draw(networks: tuple[str, ...], view: str) -> Drawing:
        if not networks:
            raise ValueError("expected at least one network: select one, or several with Ctrl or Cmd")
        scale = common_scale(map(open_model, networks))
        spectra = {**{names[model]: measure(model) for model in networks}, "bicubic": bicubic_spectrum(crops.at(scale))}
        values = {name: spectrum.snr for name, spectrum in spectra.items()}
        label = "SNR (dB)"
        if view == "change of SNR":
            first = values[names[networks[0]]]
            values = {name: snr - first for name, snr in values.items() if name != "bicubic"}
            label = f"SNR − that of {names[networks[0]]} (dB)"
        figure = new_figure(7, 3.4)
        ax = figure.subplots()
        plot_bands(values, scale, ax, label)
        count = len(crops.at(scale).names)
        ax.set_title(f"{count} crops of {size}×{size} LR pixels of {source}, ×{scale}")
        legend_below(figure, ax)
        powers = {
            f"{name}.{kind}": power
            for name, spectrum in spectra.items()
            for kind, power in (("error", spectrum.error), ("signal", spectrum.signal))
        }
        return figure, {"edges": band_edges(), **powers}

    return Panel("frequency", draw, controls, folder)
