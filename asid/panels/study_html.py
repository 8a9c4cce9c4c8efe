"""A study's table and sentences as HTML for a notebook."""

import html
import textwrap
from collections.abc import Sequence

from asid.ablation.report.page import table_html
from asid.ablation.report.results import Selection
from asid.ablation.report.sentences import conclude_set, explain, overview
from asid.ablation.report.tables import BOLD
from asid.plots.study import VERDICTS


def selection_html(selection: Selection) -> str:
    """The question, the table, and what its numbers say and rest on."""
    plan, statistics = selection.plan, selection.statistics.get(selection.data)
    sentences = overview(selection.whole) + (conclude_set(selection, statistics) if statistics else [])
    foot = f"{selection.data}. Bold: {BOLD}. Changes are against {plan.base}. {selection_note(selection)}"
    table = table_html(selection, selection.data)
    return (
        f'{STYLE}<div class="asid-words"><p><b>{html.escape(plan.question)}</b></p>'
        f'<div class="asid-table"><table>{table}</table></div><p class="soft">{html.escape(foot)}</p>'
        f"{_paragraphs(sentences)}{_method(selection)}</div>"
    )


def selection_note(selection: Selection) -> str:
    """The part of the study that is shown; empty if it is all of it."""
    shown, everything = len(selection.variants), len(selection.whole.variants)
    return f"Shown: {shown} of {everything} variants. Tests are adjusted for all of them." if shown < everything else ""


def caption_html(title: str, caption: str) -> str:
    """The caption of a figure."""
    bold = f"<b>{html.escape(title)}.</b> " if title else ""
    return f'<div class="asid-words"><p>{bold}{html.escape(caption)}</p></div>'


def _method(selection: Selection) -> str:
    """How the numbers are computed, to unfold; empty if nothing was tested."""
    sentences = explain(selection.whole)
    if not sentences:
        return ""
    summary = "<summary>How changes, intervals and verdicts are computed</summary>"
    return f"<details>{summary}{_paragraphs(sentences)}</details>"


def _paragraphs(sentences: Sequence[str]) -> str:
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


_COLOURS = " ".join(
    f".asid-table .{verdict} {{ color: {VERDICTS[verdict]}; }}" for verdict in ("better", "worse", "equivalent")
)
_RULES = textwrap.dedent("""\
    .widget-html-content:has(.asid-words) { min-width: 0; }
    .asid-words { line-height: 1.45; }
    .asid-words p { margin: .4rem 0; max-width: 62rem; }
    .asid-words summary { cursor: pointer; }
    .asid-words .soft, .asid-table .change, .asid-table .quiet { opacity: .75; }
    .asid-table { overflow-x: auto; }
    .asid-table table { border-collapse: collapse; font-size: 13px; margin: .6rem 0; }
    .asid-table table { font-variant-numeric: tabular-nums; }
    .asid-table th, .asid-table td { padding: .3rem .6rem; text-align: right; }
    .asid-table th, .asid-table td { white-space: nowrap; vertical-align: baseline; }
    .asid-table td { border-bottom: 1px solid rgba(128, 128, 128, .3); }
    .asid-table th { border-bottom: 1.5px solid currentColor; }
    .asid-table .left { text-align: left; }
    .asid-table .name, .asid-table .verdict { font-weight: 600; }
    .asid-table .change { display: block; font-weight: 400; font-size: 12px; white-space: normal; max-width: 17rem; }
    .asid-table .control td:first-child { padding-left: 1.4rem; }
    .asid-table .best { font-weight: 700; }
    """)
STYLE = f"<style>{_RULES}{_COLOURS}</style>"
