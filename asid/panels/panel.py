"""A picture that is redrawn when a control changes, with a static form for use without a browser."""

import base64
import html
import io
import os
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from asid.plots.style import STYLE, save_figure

Drawing = tuple[Figure, Mapping[str, NDArray[Any]]]
"""A figure, and the arrays it shows by name; they are saved beside it, so that it can be plotted again."""

RESULTS = "../results"
FIGURES = f"{RESULTS}/figures"
"""Where notebooks find studies and save figures, relative to the folder of the notebooks."""

_DIMS = """<style>
.asid-working .widget-image, .asid-working .asid-dims { opacity: .4; transition: opacity .1s .2s; }
</style>"""
"""While a new picture is made, the old one is dimmed; not at once, so that quick ones do not flicker."""
_LONGEST_NAME, _LONGEST_VALUE = 150, 40
"""Characters of a file's name, without extension, and of one setting in it."""
_LOCK = threading.RLock()
"""JupyterLab runs callbacks and cells in different threads, and matplotlib's settings are shared by all threads."""


@contextmanager
def drawing() -> Iterator[None]:
    """Use the suite's style within the block, one thread at a time."""
    with _LOCK, rc_context(STYLE):
        yield


class Panel:
    """Controls, and a picture that follows them.

    The panel is live in JupyterLab and on a Voilà page. If a program executes the notebook (papermill, nbconvert), it
    is the picture for the initial values of the controls. A live output also contains this picture, for readers without
    a kernel.

    The first drawing raises its errors. Errors of later ones are shown in the panel, because they would otherwise be
    lost in a log, and the picture stays as it was. A subclass can override :meth:`prepare` to set controls that depend
    on others.

    Args:
        name: Name of the saved files; also in the CSS class of the panel, ``asid-<name>``.
        draw: Called with the value of each control by name; returns the figure and the arrays it shows. The figure must
            be a ``matplotlib.figure.Figure`` (:func:`asid.plots.style.new_figure`): pyplot would draw blank pictures
            from a callback.
        controls: A widget with a ``value`` for each argument of ``draw``. Sliders with ``continuous_update=False`` draw
            once per move.
        folder: Where *Save* writes ``<name>.png``, ``.svg`` and ``.npz``.
    """

    working = "<i>working …</i>"
    """Message while the picture is being drawn."""

    def __init__(
        self,
        name: str,
        draw: Callable[..., Drawing],
        controls: Mapping[str, widgets.ValueWidget],
        folder: str | Path = FIGURES,
    ) -> None:
        self.name, self.draw, self.controls, self.folder = name, draw, dict(controls), Path(folder)
        self._drawing: Drawing | None = None
        self._is_shown = False
        self._preparing = False
        self.message = widgets.HTML()
        # In its natural size: a box would stretch it to the full width, and blur it.
        self.picture = widgets.Image(format="png", layout=widgets.Layout(align_self="flex-start", max_width="100%"))
        self.save_button = widgets.Button(
            description="Save", icon="download", tooltip="Write PNG, SVG and the arrays (.npz)"
        )
        self.save_button.on_click(lambda _: self.write(self.save))
        row = widgets.HBox(
            [*self.controls.values(), self.save_button],
            layout=widgets.Layout(flex_flow="row wrap", align_items="center"),
        )
        self.framed = in_frame(self.picture)
        self.box = widgets.VBox([row, self.message, self.framed, widgets.HTML(_DIMS)])
        self.box.add_class(f"asid-{name}")
        for control in self.controls.values():
            control.observe(lambda _: self.update(), names="value")
        with drawing():
            self._draw()

    @property
    def drawing(self) -> Drawing | None:
        """The picture and its arrays; ``None`` if the current settings could not be drawn."""
        return self._drawing

    @property
    def values(self) -> dict[str, Any]:
        """The value of each control, by name."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def stem(self) -> str:
        """Name of the files that *Save* writes, without extension: it carries the settings."""
        return file_name(self.name, self.values)

    def prepare(self) -> None:
        """Set controls that depend on others. Called before each drawing; its changes do not trigger another one."""

    def update(self) -> None:
        """Redraw the picture for the current values of the controls."""
        if not self._preparing:
            self._guard(self._draw)

    def png(self) -> bytes:
        """The picture, for those who have no kernel."""
        return bytes(self.picture.value)

    def save(self) -> list[Path]:
        """Write the picture (PNG, SVG) and its arrays (.npz).

        Returns:
            The files.

        Raises:
            ValueError: The current values could not be drawn, so that the picture does not belong to them.
        """
        if self.drawing is None:
            raise ValueError(
                "the current settings could not be drawn, and the picture shows others: change them, then save"
            )
        figure, arrays = self.drawing
        path = self.folder / self.stem
        files = save_figure(figure, path)
        settings = {
            f"setting_{name}": np.asarray(value)
            for name, value in self.values.items()
            if isinstance(value, str | int | float | tuple)
        }
        np.savez_compressed(path.with_name(f"{path.name}.npz"), allow_pickle=False, **arrays, **settings)
        return [*files, path.with_name(f"{path.name}.npz")]

    def write(self, save: Callable[[], list[Path]]) -> None:
        """Handle a click on a button: call ``save``, and show in the panel which files it wrote, or why it failed."""

        def write() -> None:
            files = save()
            self.message.value = (
                f"Saved {', '.join(file.name for file in files)} in {html.escape(str(self.folder.resolve()))}"
            )

        self._guard(write)

    def _draw(self) -> None:
        self._drawing, self._is_shown = None, False
        self._preparing = True
        try:
            self.prepare()
        finally:
            self._preparing = False
        self._show()
        self._is_shown = True

    def _show(self) -> None:
        self._drawing = self.draw(**self.values)
        self.picture.value = to_png(self._drawing[0])

    def _guard(self, action: Callable[[], None]) -> None:
        """Run ``action`` and show its error in the panel: nobody reads the log in which a callback's error ends up."""
        with drawing():
            try:
                self.message.value = self.working
                self.box.add_class("asid-working")
                action()
                if self.message.value == self.working:
                    self.message.value = ""
            except Exception as error:
                self.message.value = show_error(error)
            finally:
                self.box.remove_class("asid-working")

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        picture = {
            "text/plain": f"Panel {self.name}: {self.values}",
            "image/png": base64.b64encode(self.png()).decode(),
        }
        return {**self.box._repr_mimebundle_(**options), **picture} if has_browser() else picture


def in_frame(picture: widgets.Image) -> widgets.Box:
    """A picture in a box in which it can be moved sideways, where a page shows it wider than the screen of a phone."""
    frame = widgets.Box([picture], layout=widgets.Layout(flex="none"))
    frame.add_class("asid-picture")
    return frame


def has_browser() -> bool:
    """Whether someone can move controls: Jupyter servers, Voilà, VS Code and Colab set these variables for kernels.

    Otherwise a program executes the notebook (papermill, nbconvert), and a widget would be an empty area in its output.
    """
    return any(
        name in os.environ for name in ("JPY_SESSION_NAME", "VOILA_REQUEST_URL", "VSCODE_PID", "COLAB_RELEASE_TAG")
    )


def file_name(name: str, settings: Mapping[str, Any]) -> str:
    """The name of a file that carries settings, such as ``attention-chelsea-row12-asid-tiny+asid-tiny-meso``.

    Numbers and ticks are named, texts speak for themselves; what is neither, such as an uploaded file, is left out.
    """
    parts = [name]
    for setting, value in settings.items():
        if isinstance(value, bool):
            parts.append(setting if value else f"no-{setting}")
        elif isinstance(value, int | float):
            parts.append(f"{setting}{value:g}")
        elif isinstance(value, str | tuple):
            text = value if isinstance(value, str) else "+".join(map(str, value))
            parts.append(re.sub(r"[^\w.+]+", "-", text).strip("-.")[-_LONGEST_VALUE:])
    return "-".join(filter(None, parts))[:_LONGEST_NAME]


def to_png(figure: Figure) -> bytes:
    """Render a figure as PNG, at 110 dpi."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def show_error(error: Exception) -> str:
    """Format an error as HTML: its message, and the traceback to unfold."""
    lines = html.escape("".join(traceback.format_exception(error)))
    message = html.escape(f"{type(error).__name__}: {error}")
    details = f"<details><summary>traceback</summary><pre>{lines}</pre></details>"
    return f'<div role="alert" style="color:#b00020"><b>{message}</b>{details}</div>'
