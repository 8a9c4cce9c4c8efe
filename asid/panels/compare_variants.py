"""A panel that compares the variants of a study: its table with intervals, its figures and crops, narrowed to what is asked for.

All numbers are those of ``asid report``: choosing variants hides rows, it computes nothing anew.
"""

import base64
import html
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

from asid.ablation.report.figures import (
    Example,
    Picture,
    axis_words,
    draw_crops,
    draw_curves,
    draw_forest,
    draw_interaction,
    draw_pareto,
    draw_seeds,
    file_name,
    find_examples,
)
from asid.ablation.report.page import table_html
from asid.ablation.report.results import ReportError, Study, comparison, load_results, statistics
from asid.ablation.report.tables import conclude_set, explain, limits, to_latex, to_markdown
from asid.ablation.study.variants import format_value
from asid.data.images import ImageError
from asid.files import STUDY
from asid.panels.panel import Drawing, Panel
from asid.plots.study import VERDICTS
from asid.plots.style import colours, new_figure

_ANY = ""
"""The choice of an axis, or of its level, that leaves nothing out."""
_CROPS = 10
"""Inches: a row of crops is wider on a screen than in a paper."""
_VIEWS = [("forest", "forest"), ("Pareto", "pareto"), ("seeds", "seeds"), ("curves", "curves"), ("crops", "crops")]


def compare_variants(results: str | Path = "../results", study: str = "") -> "Comparison":
    """The panel, on the studies under ``results``; it shows ``study`` first, by default the latest of your own that has a finished run.

    Raises :class:`ReportError` where there is no study, or none of that name.
    """
    studies = find_studies(results)
    if study and study not in studies:
        raise ReportError(
            f"no study '{study}' in {results}: expected one of {', '.join(studies)}; set study to one of them or to nothing"
        )
    return Comparison(Path(results), studies, study or _latest(studies))


def find_studies(results: str | Path) -> dict[str, Path]:
    """The folders of the studies in ``results``, the kept ones in its ``reference`` last, by their path in ``results``.

    Raises :class:`ReportError` where there is none.
    """
    results = Path(results)
    folders = [file.parent for pattern in ("*", "reference/*") for file in sorted(results.glob(f"{pattern}/{STUDY}"))]
    if not folders:
        raise ReportError(
            f"no study in {results}: expected <study>/{STUDY} there; run 'asid ablate run ablations/quick.yaml' first"
        )
    return {folder.relative_to(results).as_posix(): folder for folder in folders}


def _latest(studies: Mapping[str, Path]) -> str:
    """The latest study that can be read, a kept one only where there is no other; the first where none can."""
    latest_first = sorted(studies, key=lambda name: ("/" in name, -(studies[name] / STUDY).stat().st_mtime))
    for name in latest_first:
        try:
            load_results(studies[name])
        except ReportError:
            continue
        return name
    return latest_first[0]


def find_axes(study: Study) -> dict[str, dict[str, str]]:
    """For each field in which the trained variants differ, e.g. ``attention sharing``: the value in words of each variant."""
    values: dict[str, dict[str, str]] = {}
    for _, record in study.trained:
        for section in ("model", "data", "train"):
            for field, value in getattr(record.config, section).to_dict().items():
                values.setdefault(axis_words(field), {})[record.variant] = format_value(value)
    return {axis: levels for axis, levels in values.items() if len(set(levels.values())) > 1}


class Comparison(Panel):
    """Controls that narrow a study down, its table, and one of its figures. Made by :func:`compare_variants`.

    The other controls follow the study that is chosen: they offer its evaluation sets, axes, variants and images, and keep what they
    were set to where it is offered still. The base and the references stay in.
    """

    def __init__(self, results: Path, studies: Mapping[str, Path], name: str) -> None:
        self._results, self._studies = results, studies
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
                description="variants",
                rows=6,
                layout=widgets.Layout(width="360px"),
                style={"description_width": "70px"},
            ),
            "view": widgets.ToggleButtons(style={"button_width": "auto"}),
            "image": _dropdown("image"),
        }
        super().__init__("compare", self._view, controls, self.folder)
        self.save_button.description = "Save figure"
        narrow = widgets.VBox([controls[name] for name in ("study", "data", "axis", "level")])
        top = widgets.HBox([narrow, controls["variants"]], layout=_WRAPPED)
        row = widgets.HBox([controls["view"], controls["image"]], layout=_WRAPPED)
        buttons = widgets.HBox([self.table_button, self.save_button], layout=_WRAPPED)
        self.box.children = [top, buttons, self.message, self.table, row, self.picture, self.caption]

    # The study and what it offers

    def _open(self, name: str) -> None:
        study = load_results(self._studies[name])
        self._table, self._found, self._axes = (
            comparison(study),
            statistics(study),
            find_axes(study),
        )  # where one fails, all stays
        self._name, self.study = name, study
        self.folder = self._results / "export" / name

    def prepare(self) -> None:
        study, data, axis, level, variants, view, image = self.controls.values()
        if study.value != self._name:
            try:
                self._open(study.value)
            except (ReportError, OSError):
                study.value = self._name
                raise
        _offer(data, list(dict.fromkeys(self._table["data"])))
        _offer(axis, [("all", _ANY), *((axis, axis) for axis in self._axes)])
        levels = self._axes.get(axis.value, {})
        base = levels.get(self.study.base)
        named = [(f"{value} (base)" if value == base else value, value) for value in dict.fromkeys(levels.values())]
        _offer(level, [("any change" if levels else "–", _ANY), *named])
        level.disabled = not levels
        _offer(variants, self._matching(levels, level.value))
        crossed = len(self.study.plan.factors) > 1
        _offer(view, [*_VIEWS, *([("interaction", "interaction")] if crossed else [])])
        changed = next((example.image for example in find_examples(self.study) if example.data == data.value), None)
        _offer(image, self._images(data.value), changed)
        image.layout.display = None if view.value == "crops" else "none"

    def _matching(self, levels: Mapping[str, str], level: str) -> list[str]:
        """The variants with a level of an axis; of an axis without a level, those that differ from the base in it."""
        base = levels.get(self.study.base)
        others = [variant for variant in self.study.variants if variant != self.study.base]
        if not levels:
            return others
        return [variant for variant in others if (levels[variant] == level if level else levels[variant] != base)]

    def _images(self, data: str) -> list[str]:
        scores = self.study.scores
        return list(dict.fromkeys(scores.loc[scores["data"] == data, "image"]))

    # What is shown

    @property
    def stem(self) -> str:
        values = self.values
        return file_name(
            f"{values['view']}-{values['data']}" + (f"-{values['image']}" if values["view"] == "crops" else "")
        )

    @property
    def rows(self) -> pd.DataFrame:
        """The shown rows of :func:`asid.ablation.report.results.comparison`."""
        data, shown = self.controls["data"].value, {self.study.base, *self.controls["variants"].value}
        hidden = set(self.study.variants) - shown
        return self._table[(self._table["data"] == data) & ~self._table["variant"].isin(hidden)]

    def _shown(self) -> Study:
        """The study with the shown variants only: for figures, not for statistics, which adjust for all."""
        shown = set(self.rows["variant"])
        return replace(
            self.study, records=[(folder, record) for folder, record in self.study.records if record.variant in shown]
        )

    def _note(self) -> str:
        """What a narrowed table is part of; empty where all variants are shown."""
        shown, everything = len(self._shown().variants), len(self.study.variants)
        return (
            f"Shown: {shown} of {everything} variants. Tests are adjusted for all of them."
            if shown < everything
            else ""
        )

    def _view(self, *, data: str, view: str, image: str, **_: Any) -> Drawing:
        shown, rows = self._shown(), self.rows
        palette = colours(self.study.variants)
        arrays = _columns("table", rows) | _columns("scores", shown.scores[shown.scores["data"] == data])
        picture: Picture | str | None
        match view:
            case "forest":
                found = self._found.get(data)
                comparable = found and shown.variants != [shown.base] and set(found.comparisons) & set(shown.variants)
                picture = draw_forest(shown, rows, found) if comparable else None
                picture = (
                    picture
                    or f"Nothing to compare with {shown.base}: choose variants that have a seed in common with it."
                )
            case "pareto":
                picture = draw_pareto(shown, rows, palette)
            case "seeds":
                picture = (
                    draw_seeds(shown, data)
                    or "One seed: how much seeds differ is not known here. Run the study with three or more."
                )
            case "curves":
                picture = draw_curves(shown, palette)
                histories = [
                    pd.DataFrame(r.history).assign(variant=r.variant, seed=r.config.seed) for _, r in shown.trained
                ]
                arrays |= _columns("curves", pd.concat(histories))
            case "crops":
                picture = self._crops(shown, data, image)
                arrays |= _crop_arrays(picture.figure) if isinstance(picture, Picture) else {}
            case _:
                picture = (
                    draw_interaction(shown, rows)
                    or "No two factors are crossed in what is shown: choose more variants."
                )
        if isinstance(picture, str):
            picture = Picture(view, _in_words(picture), "", "")
        self.table.value = self._describe(data)
        self.caption.value = (
            f'<div class="asid-words"><p><b>{html.escape(picture.title)}</b> {html.escape(picture.caption)}</p></div>'
        )
        return picture.figure, arrays

    def _crops(self, shown: Study, data: str, image: str) -> Picture | str:
        try:
            picture = draw_crops(shown, [Example(data, image, f"{image} ({data})", tuple(shown.variants))])
        except ImageError as error:
            command = self.study.plan.command or f"asid ablate run ablations/{self.study.name}.yaml"
            return (
                f"No crops: {error}. They need the SR images of the runs, which results/reference does not keep, and the "
                f"photographs that were scored (a benchmark: in ASID_DATA). Run the study here, '{command}', and choose it above."
            )
        columns = len(picture.figure.axes)
        left_out = 1 + len({record.variant for _, record in shown.records}) - columns
        more = f" {left_out} more do not fit in the row: choose fewer variants to see them." if left_out > 0 else ""
        width, height = picture.figure.get_size_inches()
        picture.figure.set_size_inches(_CROPS, height + (_CROPS - width) / columns)
        return replace(picture, title="", caption=picture.caption + more)

    def _describe(self, data: str) -> str:
        """The question, the table, and what its numbers say and rest on."""
        shown, found = set(self.rows["variant"]), self._found.get(data)
        sentences = limits(self.study, self._found)
        if found:
            # Only for what is shown; the numbers are those of the whole study.
            compared = {name: result for name, result in found.comparisons.items() if name in shown}
            sentences += conclude_set(self.study, replace(found, comparisons=compared))
        rules = _paragraphs(explain(self.study, self._found))  # none where nothing was tested
        details = (
            f"<details><summary>How changes, intervals and verdicts are computed</summary>{rules}</details>"
            if rules
            else ""
        )
        foot = f"{data}. Bold: the best trained value of those shown. Changes are against {self.study.base}. {self._note()}"
        return (
            f'{_STYLE}<div class="asid-words"><p><b>{html.escape(self.study.question)}</b></p>'
            f'<div class="asid-table"><table>{table_html(self.study, self.rows)}</table></div><p class="soft">{html.escape(foot)}</p>'
            f"{_paragraphs(sentences)}{details}</div>"
        )

    # Files

    def save_table(self) -> list[Path]:
        """Write the shown table as CSV (all digits), Markdown (with its sentences) and LaTeX; returns the files."""
        data, note, rows = self.controls["data"].value, self._note(), self.rows
        found = {name: result for name, result in self._found.items() if name == data}
        texts = {
            "csv": rows.to_csv(index=False),
            "md": to_markdown(self.study, rows, found, skipped=[note] if note else []),
            "tex": (f"% {note}\n" if note else "") + to_latex(self.study, rows),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"comparison-{file_name(data)}"
        files = {path.with_name(f"{path.name}.{ending}"): text for ending, text in texts.items()}
        for file, text in files.items():
            file.write_text(text, encoding="utf-8")
        return list(files)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**options)
        picture = f'<img src="data:image/png;base64,{base64.b64encode(self.picture.value).decode()}">'
        return {**bundle, "text/html": self.table.value + picture + self.caption.value}


# Controls


_WRAPPED = widgets.Layout(flex_flow="row wrap", align_items="center")


def _dropdown(description: str, **options: Any) -> widgets.Dropdown:
    return widgets.Dropdown(
        description=description, layout=widgets.Layout(width="330px"), style={"description_width": "70px"}, **options
    )


def _offer(control: Any, options: Sequence[Any], first: Any = None) -> None:
    """Let a control offer ``options``. What it is set to stays where it is offered still, else it is set to ``first``.

    ``first`` is by default the first option, and all of them for several choices.
    """
    if list(control.options) == list(options):
        return
    kept = control.value
    control.options = options
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    if isinstance(control, widgets.SelectMultiple):
        control.value = values
    else:
        control.value = kept if kept in values else first or values[0]


# Pieces


_STYLE = "<style>{}</style>".format(
    textwrap.dedent(
        """\
        .asid-words { line-height: 1.45; max-width: 62rem; } .asid-words p { margin: .4rem 0; } .asid-words summary { cursor: pointer; }
        .asid-words .soft, .asid-table .change, .asid-table .quiet { opacity: .75; } .asid-table { overflow-x: auto; }
        .asid-table table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: .6rem 0; }
        .asid-table th, .asid-table td { padding: .3rem .6rem; text-align: right; white-space: nowrap; vertical-align: baseline; }
        .asid-table td { border-bottom: 1px solid rgba(128, 128, 128, .3); } .asid-table th { border-bottom: 1.5px solid currentColor; }
        .asid-table .left { text-align: left; } .asid-table .name, .asid-table .verdict { font-weight: 600; }
        .asid-table .change { display: block; font-weight: 400; font-size: 12px; white-space: normal; max-width: 17rem; }
        .asid-table .control td:first-child { padding-left: 1.4rem; } .asid-table .best { font-weight: 700; }
        """
    )
    + " ".join(
        f".asid-table .{verdict} {{ color: {VERDICTS[verdict]}; }}" for verdict in ("better", "worse", "equivalent")
    )
)


def _paragraphs(sentences: Sequence[str]) -> str:
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


def _in_words(sentence: str) -> Figure:
    """A figure that says why there is none."""
    lines = textwrap.wrap(sentence, 95, break_on_hyphens=False)  # a command stays whole
    figure = new_figure(7, 0.4 + 0.18 * len(lines))
    figure.text(0.01, 0.5, "\n".join(lines), va="center", fontsize=9)
    return figure


def _columns(prefix: str, table: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The columns of a table as arrays, numbers as float, all else as text."""
    return {
        f"{prefix}_{name}": column.to_numpy(float, na_value=np.nan)
        if pd.api.types.is_numeric_dtype(column)
        else column.to_numpy(str)
        for name, column in table.items()
    }


def _crop_arrays(figure: Figure) -> dict[str, NDArray[Any]]:
    """The crops (columns, height, width, 3), and what stands above each."""
    return {
        "crops": np.stack([np.asarray(ax.images[0].get_array()) for ax in figure.axes]),
        "crop_titles": np.array([ax.get_title() for ax in figure.axes]),
    }
