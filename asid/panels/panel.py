"""A picture that is drawn anew when a control changes, with a static form for where there is no browser."""

import base64
import html
import io
import os
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
"""A figure, and the arrays it shows by name: what is saved beside it, so that it can be drawn again."""

_WORKING = "<i>working …</i>"
_LOCK = threading.RLock()
"""JupyterLab runs callbacks in another thread than cells, and matplotlib's settings are shared by all threads."""


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the suite's style, one thread at a time."""
    with _LOCK, rc_context(STYLE):
        yield


class Panel:
    """Controls, and a picture of what they are set to.

    Displayed in JupyterLab or a Voilà page it is live; where a program executes the notebook (papermill, nbconvert) it is the picture
    of what the controls are set to first. A live output carries that picture, too, for where the notebook is only read.

    The first drawing raises its errors. A later one shows them in the panel, where they would else be lost in a log; the picture
    stays as it was. Controls that depend on others are set in :meth:`prepare`, which a subclass may give.

    Parameters
    ----------
    name : in files that are saved, and the CSS class ``asid-<name>`` of the panel.
    draw : takes the value of each control by name, returns the figure and the arrays it shows. It makes a
        ``matplotlib.figure.Figure`` (:func:`asid.plots.study.new_figure`); pyplot would draw blank pictures from a callback.
    controls : a widget with a ``value`` for each argument of ``draw``. For sliders, ``continuous_update=False`` draws once a move.
    folder : where *Save* puts ``<name>.png``, ``.svg`` and ``.npz``.
    """

    def __init__(
        self,
        name: str,
        draw: Callable[..., Drawing],
        controls: Mapping[str, widgets.ValueWidget],
        folder: str | Path = "../results/figures",
    ) -> None:
        self.name, self.draw, self.controls, self.folder = name, draw, dict(controls), Path(folder)
        self.drawing: Drawing | None = None
        self._preparing = False
        self.message = widgets.HTML()
        # In its own size: a box would stretch it to its width, and blur it.
        self.picture = widgets.Image(format="png", layout=widgets.Layout(align_self="flex-start", max_width="100%"))
        self.save_button = widgets.Button(
            description="Save", icon="download", tooltip="Write PNG, SVG and the arrays (.npz)"
        )
        self.save_button.on_click(lambda _: self.write(self.save))
        row = widgets.HBox(
            [*self.controls.values(), self.save_button],
            layout=widgets.Layout(flex_flow="row wrap", align_items="center"),
        )
        self.box = widgets.VBox([row, self.message, self.picture])
        self.box.add_class(f"asid-{name}")
        for control in self.controls.values():
            control.observe(lambda _: self.update(), names="value")
        with drawing():
            self._draw()

    @property
    def values(self) -> dict[str, Any]:
        """What each control is set to."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def stem(self) -> str:
        """Name of the files that *Save* writes, without their ending."""
        return self.name

    def prepare(self) -> None:
        """Called before each drawing, to set controls that depend on others; what it sets draws nothing by itself."""

    def update(self) -> None:
        """Draw what the controls are set to."""
        if not self._preparing:
            self._guard(self._draw)

    def save(self) -> list[Path]:
        """Write the picture (PNG, SVG) and its arrays (.npz); returns the files.

        Raises ``ValueError`` where the controls are set to what could not be drawn: the picture is not of them.
        """
        if self.drawing is None:
            raise ValueError("expected settings that can be drawn, got some that cannot: change them, then save")
        figure, arrays = self.drawing
        path = self.folder / self.stem
        files = save_figure(figure, path)
        settings = {
            f"setting_{name}": np.asarray(value)
            for name, value in self.values.items()
            if isinstance(value, str | int | float | tuple)
        }
        np.savez_compressed(path.with_suffix(".npz"), allow_pickle=False, **arrays, **settings)
        return [*files, path.with_suffix(".npz")]

    def write(self, save: Callable[[], list[Path]]) -> None:
        """What a button does: call ``save``, and say in the panel which files it wrote, or why it could not."""

        def write() -> None:
            files = save()
            self.message.value = (
                f"Saved {', '.join(file.name for file in files)} in {html.escape(str(self.folder.resolve()))}"
            )

        self._guard(write)

    def _draw(self) -> None:
        self.drawing = None
        self._preparing = True
        try:
            self.prepare()
        finally:
            self._preparing = False
        self.drawing = self.draw(**self.values)
        self.picture.value = to_png(self.drawing[0])

    def _guard(self, action: Callable[[], None]) -> None:
        """Do ``action``; where it fails, say so in the panel: nobody reads the log where a callback's error would end up."""
        with drawing():
            try:
                self.message.value = _WORKING
                action()
                if self.message.value == _WORKING:
                    self.message.value = ""
            except Exception as error:
                self.message.value = show_error(error)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        picture = {
            "text/plain": f"Panel {self.name}: {self.values}",
            "image/png": base64.b64encode(self.picture.value).decode(),
        }
        return {**self.box._repr_mimebundle_(**options), **picture} if _has_browser() else picture


def _has_browser() -> bool:
    """Whether somebody can move controls: Jupyter's servers, Voilà, VS Code and Colab leave these names in the environment of kernels.

    Else a program executes the notebook (papermill, nbconvert), and what it writes would have an empty place for the widget.
    """
    return any(
        name in os.environ for name in ("JPY_SESSION_NAME", "VOILA_REQUEST_URL", "VSCODE_PID", "COLAB_RELEASE_TAG")
    )


def to_png(figure: Figure) -> bytes:
    """A figure as PNG, 110 dots an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def show_error(error: Exception) -> str:
    """An error as HTML: its message, and the traceback to unfold."""
    lines = html.escape("".join(traceback.format_exception(error)))
    words = html.escape(f"{type(error).__name__}: {error}")
    return f'<div role="alert" style="color:#b00020"><b>{words}</b><details><summary>traceback</summary><pre>{lines}</pre></details></div>'
