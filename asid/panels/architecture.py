"""A panel with a control for each axis of the network; it shows the diagram, and the cost by part against a base."""

import html
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import pandas as pd
import yaml
from matplotlib.figure import Figure
from pydantic import ValidationError

from asid.config import AXES, ModelConfig, describe_errors
from asid.interpret.architecture import axis_value, costs_by_part, describe_value, idle_axes
from asid.model.complexity import OUTPUT
from asid.panels.panel import Drawing, Panel, file_name
from asid.plots.architecture import plot_costs, plot_group, plot_network
from asid.plots.style import new_figure, signed


class AxesPanel(Panel):
    """A dropdown for every axis; the diagram of the chosen network, and its costs against those of ``base``.

    Values that do not go together are answered with the configuration's error message. Axes that change nothing in the
    chosen network are disabled, and the panel says why. Its arrays are the parameters and multiply-adds of each part,
    of the base and of the chosen network.

    Args:
        base: The network to compare with, to which *Reset* leads back.
        start: The network that the controls show first, by default ``base``.
    """

    def __init__(self, base: ModelConfig, start: ModelConfig | None = None) -> None:
        self.base, self._before = base, costs_by_part(base)
        self.yaml = widgets.HTML()
        reset = widgets.Button(description="Reset", icon="undo", tooltip="Back to the network to compare with")
        reset.on_click(lambda _: self.reset())
        super().__init__("architecture", self._compare, {axis: _dropdown(axis, start or base) for axis in AXES})
        self.box.children = (*self.box.children, widgets.HBox([reset, self.yaml]))

    @property
    def changes(self) -> dict[str, Any]:
        """The axes in which the chosen network differs from the base, with their values."""
        return {axis: value for axis, value in self.values.items() if value != axis_value(self.base, axis)}

    @property
    def stem(self) -> str:
        """The changes, by the names of their axes."""
        changes = {axis: describe_value(value) for axis, value in self.changes.items()}
        return file_name(self.name, {axis: f"{axis}-{value}" for axis, value in changes.items()})

    def reset(self) -> None:
        """Show the base again."""
        self._preparing = True
        for axis, control in self.controls.items():
            control.value = axis_value(self.base, axis)
        self._preparing = False
        self.update()

    def _compare(self, **values: Any) -> Drawing:
        try:
            config = self.base.override(**values)
        except ValidationError as error:
            raise ValueError("; ".join(describe_errors(error))) from None
        after = costs_by_part(config)
        idle = idle_axes(config)
        for axis, control in self.controls.items():
            control.disabled = axis in idle and axis not in self.changes  # what was changed can be changed back
        self.yaml.value = _as_yaml({axis: config.to_dict()[axis] for axis in self.changes}) + _explain(idle)
        arrays = {
            f"{name}_{column}": table[column].to_numpy()
            for name, table in (("base", self._before), ("choice", after))
            for column in table
        }
        figure = draw_comparison(config, self._before, after)
        return figure, {"parts": self._before.index.to_numpy(dtype=str), **arrays}


def _as_yaml(changes: Mapping[str, Any]) -> str:
    """The changes as a line of a study file, with a button to copy it; empty if there are none."""
    if not changes:
        return ""
    text = html.escape(yaml.safe_dump({"model": dict(changes)}, default_flow_style=None, width=1000).strip())
    copy = "navigator.clipboard.writeText(this.nextElementSibling.textContent)"
    button = f'<button class="jupyter-button" style="width:auto" onclick="{copy}">copy as YAML</button>'
    return f'<div style="line-height:1.5">{button} <code>{text}</code></div>'


def _explain(idle: Mapping[str, str]) -> str:
    reasons = "; ".join(f"{axis.replace('_', ' ')} ({why})" for axis, why in idle.items())
    return f'<div style="line-height:1.5">Without effect here: {html.escape(reasons)}.</div>' if idle else ""


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
