"""The curves of a training while it runs: one output that is updated."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from asid.panels import live_curves
from asid.panels.live_curves import LiveCurves


def test_curves_are_displayed_once_and_then_updated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, Any]] = []

    class Handle:
        def update(self, figure: Any) -> None:
            shown.append(("update", figure))

    def display(figure: Any, display_id: bool) -> Handle:
        assert display_id
        shown.append(("display", figure))
        return Handle()

    monkeypatch.setattr(live_curves, "display", display)
    (tmp_path / "history.csv").write_text(
        "step,loss,learning_rate,psnr,seconds\n2,0.3,0.01,,1\n4,0.2,0.01,,2\n4,,0.01,21.5,3\n"
    )
    curves = LiveCurves({"bicubic": 21.0, "linear": 31.8}, steps=20)
    curves(tmp_path)
    curves(tmp_path)  # too soon to draw again
    curves.draw(pd.DataFrame({"step": [2, 4, 6], "loss": [0.3, 0.2, 0.1], "psnr": [None, 21.5, 22.0]}))
    assert [how for how, _ in shown] == ["display", "update"]
    loss, psnr = shown[1][1].axes
    assert list(psnr.lines[0].get_ydata()) == [21.5, 22.0]
    assert [(line.get_label(), line.get_ydata()[0]) for line in psnr.lines[1:]] == [("bicubic", 21.0), ("linear", 31.8)]
    assert loss.get_xlim() == psnr.get_xlim() == (0, 20), "the whole training, from its start"
    assert list(loss.lines[0].get_xdata()) == [2, 4, 6]
