"""Training curves, redrawn while a network trains."""

import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from IPython.display import DisplayHandle, display

from asid.panels.panel import drawing
from asid.plots import study as plots
from asid.plots import style
from asid.training.history import read_history

_SHARE = 0.02
"""Maximum share of the time spent on drawing."""


class LiveCurves:
    """Loss and validation PSNR in one output, redrawn during a training: in a browser and in papermill's output.

    Pass it to :func:`asid.runs.run.train_and_score` as ``on_history``, and :meth:`draw` the whole history at the end.

    Args:
        references: PSNR in dB of methods to compare with, on the validation photographs, by name.
        steps: Steps of the whole training, for the axis; ``None``: those so far.
    """

    def __init__(self, references: Mapping[str, float] | None = None, steps: int | None = None) -> None:
        self._references, self._steps = references or {}, steps
        self._handle: DisplayHandle | None = None
        self._next = 0.0

    def __call__(self, folder: Path) -> None:
        """Draw the curves of the training in ``folder``, unless that was just done."""
        if time.perf_counter() >= self._next:
            self.draw(read_history(folder))

    def draw(self, history: pd.DataFrame) -> None:
        """Draw ``history``, with the columns :data:`asid.training.history.COLUMNS`."""
        start = time.perf_counter()
        with drawing():
            figure = style.new_figure(9, 3.2)
            loss_ax, psnr_ax = figure.subplots(1, 2)
            plots.plot_history(history, loss_ax, psnr_ax)
            plots.plot_reference_lines(self._references, psnr_ax)
            if self._references:
                psnr_ax.legend()
            for ax in (loss_ax, psnr_ax):
                ax.set_xlim(0, self._steps)
            if self._handle is None:
                self._handle = display(figure, display_id=True)
            else:
                self._handle.update(figure)
        now = time.perf_counter()
        self._next = now + (now - start) / _SHARE
