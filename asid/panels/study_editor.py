"""The text of a study, and what is wrong with it at which line."""

import html
from collections.abc import Callable, Sequence

import ipywidgets as widgets

from asid.ablation.study.problems import Problem


class StudyEditor:
    """A text area. Text that a person changes is passed on when the area loses the focus, or by *Check*.

    Args:
        changed: Called with the new text.
        checked: Called for *Check*, after ``changed`` if there is new text.
    """

    def __init__(self, changed: Callable[[str], None], checked: Callable[[], None]) -> None:
        self._changed, self._showing = changed, False
        self.area = widgets.Textarea(
            continuous_update=False, layout=widgets.Layout(width="100%", height="330px"), rows=20
        )
        self.area.add_class("asid-yaml")
        self.area.observe(self._pass_on, names="value")
        self.check_button = widgets.Button(
            description="Check", icon="check", tooltip="Read the text again; leaving it reads changes, too"
        )
        self.check_button.on_click(lambda _: checked())
        hint = widgets.HTML("<i>Every field: <code>asid fields</code>; every key: ablations/README.md.</i>")
        self.box = widgets.VBox([widgets.HTML(_STYLE), self.area, widgets.HBox([self.check_button, hint])])

    def show(self, text: str) -> None:
        """Show a text that nobody has changed."""
        self._showing = True
        try:
            self.area.value = text
        finally:
            self._showing = False

    def _pass_on(self, change: dict[str, str]) -> None:
        if not self._showing:
            self._changed(change["new"])


def problems_html(text: str, problems: Sequence[Problem]) -> str:
    """Each problem below the line of the text that it is about."""
    lines = text.splitlines()
    parts = []
    for problem in problems:
        excerpt = ""
        if problem.line is not None and problem.line <= len(lines):
            line = html.escape(lines[problem.line - 1])
            excerpt = f'<code class="asid-line"><span>{problem.line}</span> {line}</code>'
        parts.append(f"<li>{excerpt}<div>{html.escape(problem.text)}</div></li>")
    return f'{_STYLE}<ul role="alert" class="asid-problems">{"".join(parts)}</ul>' if parts else ""


_STYLE = """<style>
.asid-yaml textarea { font-family: var(--jp-code-font-family, monospace); font-size: 12.5px; line-height: 1.4; }
.asid-problems { list-style: none; margin: .4rem 0; padding: 0; line-height: 1.45; }
.asid-problems li { border-left: 3px solid #b00020; padding: .1rem .7rem; margin: .4rem 0; }
.asid-problems div { color: #b00020; }
.asid-line { white-space: pre; display: block; overflow-x: auto; background: rgba(128, 128, 128, .12); }
.asid-line span { opacity: .6; padding-right: .6rem; }
</style>"""
