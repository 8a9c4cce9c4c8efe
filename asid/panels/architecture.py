"""A panel with a control for each axis of the network; it shows the diagram, and the cost by part against a base."""

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure
from pydantic import ValidationError

from asid.config import AXES, ModelConfig, describe_errors
from asid.interpret.architecture import axis_value, costs_by_part, describe_value
from asid.model.complexity import OUTPUT
from asid.panels.panel import Drawing, Panel
from asid.plots.architecture import plot_costs, plot_group, plot_network
from asid.plots.style import new_figure, signed


def explore_axes(base: ModelConfig, start: ModelConfig | None = None) -> Panel:
    """A dropdown for every axis; the diagram of the chosen network, and its costs against those of ``base``.

    Args:
        base: The network to compare with.
        start: The network that the controls show first, by default ``base``.

    Returns:
        The panel. Values that do not go together are answered with the configuration's error message. Its arrays are
        the parameters and multiply-adds of each part, of the base and of the chosen network.
    """
    before = costs_by_part(base)

    def draw(**changes: object) -> Drawing:
        try:
            config = base.override(**changes)
        except ValidationError as error:
            raise ValueError("; ".join(describe_errors(error))) from None
        after = costs_by_part(config)
        arrays = {
            f"{name}_{column}": table[column].to_numpy()
            for name, table in (("base", before), ("choice", after))
            for column in table
        }
        return draw_comparison(config, before, after), {"parts": before.index.to_numpy(dtype=str), **arrays}

    return Panel("architecture", draw, {axis: _dropdown(axis, start or base) for axis in AXES})


def draw_comparison(config: ModelConfig, before: pd.DataFrame, after: pd.DataFrame) -> Figure:
    """Draw the diagram of a network, and its costs by part against those of the base.

    Args:
        config: The network.
        before: Costs of the base, see :func:`asid.interpret.architecture.costs_by_part`.
        after: Costs of the network.
    """
    figure = new_figure(10.2, 8.5)
    network, group, bars = figure.subfigures(3, 1, squeeze=False, height_ratios=[2.2, 3.15, 3.0])[:, 0]
    plot_network(config, network.subplots())
    plot_group(config, group.subplots())
    left, right = bars.subplots(1, 2, sharey=True)
    plot_costs(before["parameters"], after["parameters"], left, "parameters (wide pale bar: base)")
    plot_costs(
        before["macs"],
        after["macs"],
        right,
        f"multiply-adds for an output of {OUTPUT[0]}×{OUTPUT[1]} (wide pale bar: base)",
    )
    left.set_title(
        describe_change("parameters", before["parameters"].sum(), after["parameters"].sum(), 1e3, "k"), loc="left"
    )
    right.set_title(describe_change("multiply-adds", before["macs"].sum(), after["macs"].sum(), 1e9, "G"), loc="left")
    return figure


def describe_change(name: str, before: float, after: float, unit: float, symbol: str) -> str:
    """A total before and after, and its change, as text: ``parameters 297.5 k → 330.1 k: +32.6 k, +11.0 %``."""
    if before == after:
        return f"{name} {after / unit:.1f} {symbol}, as the base"
    change, percent = signed((after - before) / unit, 1), signed(100 * (after / before - 1), 1)
    return f"{name} {before / unit:.1f} {symbol} → {after / unit:.1f} {symbol}: {change} {symbol}, {percent} %"


def _dropdown(axis: str, start: ModelConfig) -> widgets.Dropdown:
    value = axis_value(start, axis)
    values = AXES[axis].values
    options = [(describe_value(choice), choice) for choice in (values if value in values else (*values, value))]
    return widgets.Dropdown(
        options=options,
        value=value,
        description=axis.replace("_", " "),
        style={"description_width": "134px"},
        layout=widgets.Layout(width="266px"),
    )
