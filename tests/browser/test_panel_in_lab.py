"""A panel in JupyterLab, where callbacks run in a different thread than cells."""

import pytest
from pages import Lab, Shown, await_change, await_that, is_drawn

pytestmark = pytest.mark.browser

PANEL = """
import ipywidgets as widgets
import numpy as np
from asid.panels.panel import Panel
from asid.plots.style import new_figure

def draw(waves, shape):
    if waves == 4:
        raise ValueError("four waves are <b>too</b> many")
    figure = new_figure(5, 3)
    x = np.linspace(0, 1, 200)
    ax = figure.subplots()
    ax.fill_between(x, getattr(np, shape)(2 * np.pi * waves * x))
    return figure, {"x": x}

Panel("waves", draw, {
    "waves": widgets.IntSlider(2, 1, 9, description="waves", continuous_update=False),
    "shape": widgets.Dropdown(options=["sin", "cos"], description="shape"),
})
"""


def test_the_picture_follows_the_controls_and_an_error_is_shown(lab: Lab) -> None:
    panel = Shown(lab.run_cells(PANEL), "asid-waves")
    two = panel.picture()
    assert is_drawn(two)

    panel.slider("waves").press("ArrowRight")
    three = await_change(panel.picture, two)
    assert is_drawn(three)
    panel.dropdown("shape").select_option("cos")
    assert is_drawn(await_change(panel.picture, three))
    panel.dropdown("shape").select_option("sin")
    await_that(panel.picture, lambda picture: picture == three)

    panel.slider("waves").press("ArrowRight")
    (alert,) = await_that(lambda: panel.alerts, bool)
    assert "ValueError: four waves are <b>too</b> many" in alert
    assert panel.picture() == three
    panel.photograph("panel_error")

    panel.slider("waves").press("ArrowRight")
    await_that(lambda: panel.alerts, lambda alerts: not alerts)
    assert is_drawn(await_change(panel.picture, three))
    assert lab.errors == []
    lab.close("notebooks/cells.ipynb")
