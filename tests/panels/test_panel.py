"""Panels: the picture follows the controls, errors are visible, and the saved arrays suffice to plot again."""

import base64
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pytest

from asid.panels.panel import Drawing, Panel
from asid.plots import style

PNG = b"\x89PNG"


def line(slope: int, colour: str) -> Drawing:
    if slope == 3:
        raise ValueError("no <three>")
    figure = style.new_figure(2, 1.5)
    values = np.arange(4) * slope
    figure.subplots().plot(values, color=colour)
    return figure, {"values": values}


def panel(folder: Path, slope: int = 1) -> Panel:
    return Panel(
        "line",
        line,
        {"slope": widgets.IntSlider(slope, 0, 5), "colour": widgets.Dropdown(options=["red", "blue"])},
        folder,
    )


def test_the_picture_follows_each_control(tmp_path: Path) -> None:
    it = panel(tmp_path)
    seen = [bytes(it.picture.value)]
    it.controls["slope"].value = 2
    seen.append(bytes(it.picture.value))
    it.controls["colour"].value = "blue"
    seen.append(bytes(it.picture.value))
    assert all(picture.startswith(PNG) for picture in seen)
    assert len(set(seen)) == 3
    it.controls["colour"].value = "red"
    assert it.picture.value == seen[1], "the same settings, the same bytes"


def test_an_error_in_a_callback_is_shown_and_the_picture_stays(tmp_path: Path) -> None:
    it = panel(tmp_path)
    before = it.picture.value
    it.controls["slope"].value = 3
    assert 'role="alert"' in it.message.value
    assert "ValueError: no &lt;three&gt;" in it.message.value
    assert "in line" in it.message.value, "with the traceback"
    assert it.picture.value == before
    it.save_button.click()
    assert "could not be drawn" in it.message.value
    assert not list(tmp_path.iterdir()), "the picture is not of these settings"
    it.controls["slope"].value = 4
    assert it.message.value == ""
    assert it.picture.value != before


def test_an_error_in_the_first_drawing_stops_the_cell(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no <three>"):
        panel(tmp_path, slope=3)


def test_save_writes_the_figure_and_its_arrays(tmp_path: Path) -> None:
    it = panel(tmp_path / "new")
    it.controls["slope"].value = 2
    it.save_button.click()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        f"line-slope2-red.{kind}" for kind in ("npz", "png", "svg")
    ]
    assert "line-slope2-red.npz" in it.message.value
    with np.load(tmp_path / "new" / "line-slope2-red.npz") as file:
        np.testing.assert_array_equal(file["values"], [0, 2, 4, 6])
        assert (file["setting_slope"], file["setting_colour"]) == (2, "red")


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    it = panel(tmp_path / "file")
    it.save_button.click()
    assert 'role="alert"' in it.message.value


def test_without_a_browser_the_output_is_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JPY_SESSION_NAME", "VOILA_REQUEST_URL", "VSCODE_PID", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)
    bundle = panel(tmp_path)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png"}
    assert base64.b64decode(bundle["image/png"]).startswith(PNG)


@pytest.mark.parametrize("name", ["JPY_SESSION_NAME", "VOILA_REQUEST_URL"])
def test_with_a_browser_it_is_live_and_carries_the_picture(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    it = panel(tmp_path)
    bundle: dict[str, Any] = it._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == it.box.model_id
    assert base64.b64decode(bundle["image/png"]) == it.picture.value
