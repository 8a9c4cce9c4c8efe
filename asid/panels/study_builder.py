"""Tick boxes that make a study: a base, values of its axes, seeds and steps."""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
from pydantic import ValidationError

from asid.ablation.study.build import axis_values, build_study
from asid.ablation.study.study import StudyConfig, read_study_file
from asid.config import ModelConfig, build_run, describe_errors
from asid.panels.panel import show_error
from asid.panels.study_list import StudyFile

_LABEL = {"description_width": "70px"}
_GAP = "2px 14px 2px 0"
_ALONE, _CROSSED = "one change at a time", "all combinations"


class StudyBuilder:
    """A form that calls back with a study as soon as something is ticked, and after every later change.

    Args:
        bases: The study files whose base can be used, by the name to show.
        name: Name of the study, until a person changes it.
        built: Called with the study.
    """

    def __init__(self, bases: Mapping[str, StudyFile], name: str, built: Callable[[StudyConfig], None]) -> None:
        self._bases, self._built = bases, built
        self._ticks: dict[str, list[tuple[widgets.Checkbox, Any]]] = {}
        self._setting = False
        self.base = widgets.Dropdown(options=list(bases), description="base of", style=_LABEL)
        self.name = widgets.Text(name, description="name", continuous_update=False, style=_LABEL)
        self.question = widgets.Text(
            placeholder="made from the ticks", description="question", continuous_update=False, style=_LABEL
        )
        self.question.layout.width, self.question.layout.max_width = "520px", "100%"
        small = {"layout": widgets.Layout(width="160px"), "style": _LABEL}
        self.steps = widgets.BoundedIntText(1, min=1, max=10**9, description="steps", **small)
        self.seeds = widgets.BoundedIntText(3, min=1, max=1000, description="seeds", **small)
        self.combine = widgets.ToggleButtons(options=[_ALONE, _CROSSED], style={"button_width": "auto"})
        self.axes = widgets.GridBox(
            layout=widgets.Layout(
                grid_template_columns="repeat(auto-fill, minmax(min(430px, 100%), 1fr))", grid_gap="0 16px"
            )
        )
        self.message = widgets.HTML()
        fields = widgets.HBox([self.base, self.name, self.seeds, self.steps])
        more = widgets.HBox([self.question, self.combine])
        for row in (fields, more):
            row.layout.flex_flow = "row wrap"
        self.box = widgets.VBox([fields, more, self.axes, self.message])
        self.base.observe(lambda _: self._guard(self._offer), names="value")
        for control in (self.name, self.question, self.seeds, self.steps, self.combine):
            control.observe(lambda _: self._guard(self._build), names="value")
        self._guard(self._offer)

    @property
    def changes(self) -> dict[str, list[Any]]:
        """For each axis the ticked values."""
        return {axis: [value for box, value in boxes if box.value] for axis, boxes in self._ticks.items()}

    def tick(self, axis: str, text: str) -> None:
        """Tick a value, by its text."""
        next(box for box, _ in self._ticks[axis] if box.description == text).value = True

    def _offer(self) -> None:
        """Offer the values of the axes that go with the base."""
        self.axes.children, self._ticks = (), {}  # also if the base turns out to have no axes
        base = self._read_base()
        rows = []
        for axis, values in axis_values(base).items():
            (own, _), *others = values.items()
            boxes = []
            for text, (value, obstacle) in others:
                box = widgets.Checkbox(description=text, indent=False, disabled=bool(obstacle), tooltip=obstacle)
                box.layout.width, box.layout.margin = "auto", _GAP
                box.observe(lambda _: self._guard(self._build), names="value")
                boxes.append((box, value))
            self._ticks[axis] = boxes
            label = widgets.Label(axis.replace("_", " "), layout=widgets.Layout(width="135px"))
            label.tooltip = ModelConfig.model_fields[axis].description
            kept = widgets.Checkbox(True, description=own, indent=False, disabled=True, tooltip="the base's value")
            kept.layout.width, kept.layout.margin = "auto", _GAP
            offered = widgets.HBox([kept, *(box for box, _ in boxes)], layout={"flex": "1", "flex_flow": "row wrap"})
            rows.append(widgets.HBox([label, offered]))
        self.axes.children = rows
        self._setting = True
        try:
            self.steps.value = build_run(base.preset, base.base).train.steps
        finally:
            self._setting = False
        self._build()

    def _build(self) -> None:
        if self._setting:
            return
        changes = self.changes
        if not any(changes.values()):
            self.message.value = "<i>Tick the values to compare with those of the base, which are ticked already.</i>"
            return
        try:
            study = build_study(
                self._read_base(),
                changes,
                name=self.name.value,
                question=self.question.value,
                seeds=self.seeds.value,
                steps=self.steps.value,
                crossed=self.combine.value == _CROSSED,
            )
        except ValidationError as error:
            raise ValueError("; ".join(describe_errors(error))) from None
        self._built(study)

    def _read_base(self) -> StudyConfig:
        path, profile = self._bases[self.base.value]
        return read_study_file(path, profile)

    def _guard(self, action: Callable[[], None]) -> None:
        """Run ``action`` and show its error in the form."""
        self.message.value = ""
        try:
            action()
        except Exception as error:
            self.message.value = show_error(error)
