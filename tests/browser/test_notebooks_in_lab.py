"""The notebooks in JupyterLab: run all cells, move the controls, and see the pictures change."""

import pytest
from pages import Lab, Shown, await_change, is_drawn

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("notebook", "name", "labels"),
    [
        ("02_architecture", "asid-architecture", ["attention sharing"]),
        ("04_compare_variants", "asid-compare", ["axis"]),
        ("06_receptive_field", "asid-receptive_field", ["row", "input"]),
    ],
)
def test_the_picture_follows_the_controls(lab: Lab, notebook: str, name: str, labels: list[str]) -> None:
    path = f"notebooks/{notebook}.ipynb"
    check_controls(Shown(lab.run(path), name), labels)
    assert lab.errors == []
    lab.close(path)


def test_errors_by_frequency_are_shown_as_changes(lab: Lab) -> None:
    path = "notebooks/06_receptive_field.ipynb"
    check_controls(Shown(lab.run(path), "asid-frequency"), ["view"])
    lab.close(path)


def test_the_attention_of_a_chosen_pixel(lab: Lab) -> None:
    path = "notebooks/05_attention_maps.ipynb"
    opened = lab.run(path)
    panel = Shown(opened, "asid-attention")
    first = panel.picture()
    moved = panel.change("row")
    panel.slider("row").press("PageDown")
    assert await_change(panel.picture, moved) == first  # a half-drawn picture would differ

    panel.root.locator(".widget-select-multiple select").select_option(
        ["asid-tiny", "asid-tiny-meso", "asid-tiny-global"]
    )
    assert is_drawn(await_change(panel.picture, first))
    panel.photograph("asid-attention.networks")

    check_controls(panel, ["column", "step", "group", "photograph", "attention"])
    check_controls(Shown(opened, "asid-attention-spread"), ["network"])
    check_controls(Shown(opened, "asid-attention-similarity"), ["measure"])
    check_controls(Shown(opened, "asid-similarity"), ["measure"])
    check_controls(Shown(opened, "asid-transplant"), ["view"])
    check_controls(Shown(opened, "asid-lesions"), ["lesion", "photograph"])
    assert lab.errors == []
    lab.close(path)


def check_controls(panel: Shown, labels: list[str]) -> None:
    """Move sliders and dropdowns one after another; each one changes the picture."""
    assert is_drawn(panel.picture())
    panel.photograph(f"{panel.name}.first")
    for label in labels:
        panel.change(label)
    panel.photograph(f"{panel.name}.last")
