"""A panel that compares the variants of a study: its table with intervals, its figures and crops, narrowed to a choice.

All numbers are those of ``asid report``: choosing variants hides rows and computes nothing again.
"""

import base64
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from asid.ablation.report.crops import Example, draw_crops, find_examples
from asid.ablation.report.figures import (
    ReportFigure,
    draw_curves,
    draw_forest,
    draw_interaction,
    draw_pareto,
    draw_seeds,
    file_name,
)
from asid.ablation.report.latex import to_latex
from asid.ablation.report.markdown import to_markdown
from asid.ablation.report.results import ReportError, Selection, load_results
from asid.ablation.report.single_runs import find_single_runs
from asid.ablation.report.studies import find_studies, latest_study
from asid.data.images import ImageError
from asid.files import write_text
from asid.panels.panel import RESULTS, Drawing, Panel
from asid.panels.study_html import caption_html, selection_html, selection_note
from asid.plots.style import colours, new_figure

_ANY = ""
"""The choice of an axis, or of its value, that leaves nothing out."""
_CROPS_WIDTH = 10
"""Inches: a row of crops is wider on a screen than in a paper."""
_VIEWS = [("forest", "forest"), ("Pareto", "pareto"), ("seeds", "seeds"), ("curves", "curves"), ("crops", "crops")]


def compare_variants(results: str | Path = RESULTS, study: str = "") -> "Comparison":
    """Show the panel on the studies under a folder, and on runs there that were trained one at a time.

    Args:
        results: Folder of the studies.
        study: The study to show first, by its path in ``results``; by default the latest of your own that has a
            finished run.

    Raises:
        ReportError: If there is no study at all, or no study of that name.
    """
    studies = find_studies(results)
    first = study or latest_study(studies)
    studies |= find_single_runs(results)
    if study and study not in studies:
        raise ReportError(
            f"no study '{study}' in {results}: expected one of {', '.join(studies)}; set study to one of them or to ''"
        )
    return Comparison(Path(results), studies, first)


class Comparison(Panel):
    """Controls that narrow a study down, its table, and one of its figures. Made by :func:`compare_variants`.

    The other controls follow the study: they offer its evaluation sets, axes, variants and images, and keep their value
    if the study offers it too. The base and the references are always shown.
    """

    def __init__(self, root: Path, studies: Mapping[str, Path], name: str) -> None:
        self._root, self._studies = root, studies
        self._open(name)
        self.table, self.caption = widgets.HTML(), widgets.HTML()
        self.table_button = widgets.Button(
            description="Save table", icon="table", tooltip="Write CSV, Markdown and LaTeX"
        )
        self.table_button.on_click(lambda _: self.write(self.save_table))
        controls = {
            "study": _dropdown("study", options=list(studies), value=name),
            "data": _dropdown("images of"),
            "axis": _dropdown("axis"),
            "level": _dropdown("value"),
            "variants": widgets.SelectMultiple(
                description="variants", rows=6, layout=widgets.Layout(width="360px"), style=_LABEL
            ),
            "view": widgets.ToggleButtons(style={"button_width": "auto"}),
            "image": _dropdown("image"),
        }
        super().__init__("compare", self._view, controls, self.folder)
        self.save_button.description = "Save figure"
        self.box.children = [
            _row(widgets.VBox([controls[name] for name in ("study", "data", "axis", "level")]), controls["variants"]),
            _row(self.table_button, self.save_button),
            self.message,
            self.table,
            _row(controls["view"], controls["image"]),
            self.framed,
            self.caption,
        ]

    # The study and what it offers

    def _open(self, name: str) -> None:
        results = load_results(self._studies[name])
        _ = results.table, results.statistics, results.axes  # if one of them fails, the panel stays as it is
        self._name, self.results = name, results
        self.folder = self._root / "export" / name

    def prepare(self) -> None:
        """Offer what the chosen study has, and the variants that the chosen axis leaves."""
        study, data, axis, level, variants, view, image = self.controls.values()
        if study.value != self._name:
            try:
                self._open(study.value)
            except (ReportError, OSError):
                study.value = self._name
                raise
        results = self.results
        _offer(data, results.sets)
        _offer(axis, [("all", _ANY), *((axis, axis) for axis in results.axes)])
        levels = results.axes.get(axis.value, {})
        of_base = levels.get(results.plan.base)
        named = [(f"{value} (base)" if value == of_base else value, value) for value in dict.fromkeys(levels.values())]
        _offer(level, [("any change" if levels else "–", _ANY), *named])
        level.disabled = not levels
        _offer(variants, self._matching(levels, level.value))
        crossed = len(results.plan.factors) > 1
        _offer(view, [*_VIEWS, *([("interaction", "interaction")] if crossed else [])])
        scores = results.scores
        images = list(dict.fromkeys(scores.loc[scores["data"] == data.value, "image"]))
        _offer(image, images, next((e.image for e in find_examples(results) if e.data == data.value), None))
        image.layout.display = None if view.value == "crops" else "none"

    def _matching(self, levels: Mapping[str, str], level: str) -> list[str]:
        """The variants with a value of an axis; without a value, those that differ from the base in it."""
        base = self.results.plan.base
        others = [variant for variant in self.results.variants if variant != base]
        if not levels:
            return others
        return [name for name in others if (levels[name] == level if level else levels[name] != levels.get(base))]

    # What is shown

    @property
    def selection(self) -> Selection:
        """What is shown of the study."""
        return self.results.select(
            {self.results.plan.base, *self.controls["variants"].value}, self.controls["data"].value
        )

    @property
    def stem(self) -> str:
        """Name of a saved figure: the view, the evaluation set and, of crops, the image."""
        values = self.values
        parts = [values["view"], values["data"], *([values["image"]] if values["view"] == "crops" else [])]
        return file_name("-".join(parts))

    def _view(self, *, view: str, image: str, **_: Any) -> Drawing:
        selection = self.selection
        arrays = _columns("table", selection.table) | _columns("scores", selection.scores)
        drawn = self._draw_view(selection, view, image)
        if isinstance(drawn, str):
            drawn = ReportFigure(view, _text_figure(drawn), "", "")
        elif view == "curves":
            arrays |= _columns("curves", _histories(selection))
        elif view == "crops":
            arrays |= _crop_arrays(drawn.figure)
        self.table.value = selection_html(selection)
        self.caption.value = caption_html(drawn.title, drawn.caption)
        return drawn.figure, arrays

    def _draw_view(self, selection: Selection, view: str, image: str) -> ReportFigure | str:
        """The figure, or why there is none."""
        data, palette = selection.data, colours(self.results.variants)
        match view:
            case "forest":
                base = selection.plan.base
                reason = f"Nothing to compare with {base}: choose variants that share a seed with it."
                return draw_forest(selection, data) or reason
            case "pareto":
                return draw_pareto(selection, data, palette)
            case "seeds":
                reason = "One seed: how much seeds differ is not known here. Run the study with three or more."
                return draw_seeds(selection, data) or reason
            case "curves":
                return draw_curves(selection, palette)
            case "interaction":
                reason = "No two factors are crossed in what is shown: choose more variants."
                return draw_interaction(selection, data) or reason
            case _:
                return _draw_crops(selection, image)

    # Files

    def save_table(self) -> list[Path]:
        """Write the shown table as CSV (all digits), Markdown (with its sentences) and LaTeX.

        Returns:
            The files.
        """
        selection = self.selection
        note = selection_note(selection)
        texts = {
            "csv": selection.table.to_csv(index=False),
            "md": to_markdown(selection, notes=[note] if note else []),
            "tex": (f"% {note}\n" if note else "") + to_latex(selection),
        }
        files = []
        for ending, text in texts.items():
            files.append(self.folder / f"comparison-{file_name(selection.data)}.{ending}")
            write_text(files[-1], text)
        return files

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**options)
        picture = f'<img src="data:image/png;base64,{base64.b64encode(self.picture.value).decode()}">'
        return {**bundle, "text/html": self.table.value + picture + self.caption.value}


# Controls

_LABEL = {"description_width": "70px"}


def _row(*children: widgets.Widget) -> widgets.HBox:
    return widgets.HBox(children, layout=widgets.Layout(flex_flow="row wrap", align_items="center"))


def _dropdown(description: str, **options: Any) -> widgets.Dropdown:
    return widgets.Dropdown(description=description, layout=widgets.Layout(width="330px"), style=_LABEL, **options)


def _offer(control: Any, options: Sequence[Any], first: Any = None) -> None:
    """Let a control offer other options. It keeps its value if it is still offered; a multiple choice selects them all.

    Args:
        control: A widget with options.
        options: Values, or pairs of a label and a value.
        first: The value to choose otherwise; by default the first one.
    """
    if list(control.options) == list(options):
        return
    current = control.value
    control.options = options
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    if isinstance(control, widgets.SelectMultiple):
        control.value = values
    else:
        control.value = current if current in values else first or values[0]


# Figures and arrays


def _draw_crops(selection: Selection, image: str) -> ReportFigure | str:
    """The crops of one image, as wide as a screen; or why there are none."""
    try:
        example = Example(selection.data, image, f"{image} ({selection.data})", tuple(selection.variants))
        crops = draw_crops(selection, [example])
    except ImageError as error:
        way_out = f" Run the study here, '{selection.command}', and choose it above." if selection.command else ""
        return (
            f"No crops: {error}. They need the SR images of the runs, which results/reference does not keep, and the "
            f"photographs that were scored (a benchmark: in ASID_DATA).{way_out}"
        )
    columns = len(crops.figure.axes)
    left_out = 1 + len(selection.references) + len(selection.variants) - columns
    more = f" {left_out} more do not fit in the row: choose fewer variants to see them." if left_out > 0 else ""
    width, height = crops.figure.get_size_inches()
    crops.figure.set_size_inches(_CROPS_WIDTH, height + (_CROPS_WIDTH - width) / columns)
    return replace(crops, title="", caption=crops.caption + more)


def _text_figure(sentence: str) -> Figure:
    """A figure that says why there is none."""
    lines = textwrap.wrap(sentence, 95, break_on_hyphens=False)  # a command stays whole
    figure = new_figure(7, 0.4 + 0.18 * len(lines))
    figure.text(0.01, 0.5, "\n".join(lines), va="center", fontsize=9)
    return figure


def _histories(selection: Selection) -> pd.DataFrame:
    """The training curves of all runs, with the columns variant and seed."""
    records = [stored.record for stored in selection.runs]
    return pd.concat(pd.DataFrame(r.history).assign(variant=r.variant, seed=r.config.seed) for r in records)


def _columns(prefix: str, table: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The columns of a table as arrays: numbers as float, all else as text."""
    return {
        f"{prefix}_{name}": column.to_numpy(float, na_value=np.nan)
        if pd.api.types.is_numeric_dtype(column)
        else column.to_numpy(str)
        for name, column in table.items()
    }


def _crop_arrays(figure: Figure) -> dict[str, NDArray[Any]]:
    """The crops (columns, height, width, 3), and the title of each."""
    return {
        "crops": np.stack([np.asarray(ax.images[0].get_array()) for ax in figure.axes]),
        "crop_titles": np.array([ax.get_title() for ax in figure.axes]),
    }
