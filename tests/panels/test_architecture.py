"""The panel of the axes: it follows its controls, and survives values that do not go together."""

import numpy as np
import pytest

from asid.config import AXES, preset
from asid.model.complexity import count_parameters
from asid.model.network import ASID
from asid.panels.architecture import AxesPanel, describe_change

pytestmark = pytest.mark.process


def test_the_panel_follows_its_controls() -> None:
    base = preset("asid-tiny", num_features=20, num_groups=2)  # a width that is not among the usual ones
    panel = AxesPanel(base, base.override(attention_sharing="none"))
    assert set(panel.controls) == set(AXES)
    assert panel.drawing is not None
    shown, arrays = panel.picture.value, panel.drawing[1]
    assert arrays["base_parameters"].sum() == count_parameters(ASID(base))
    assert arrays["choice_parameters"].sum() == count_parameters(ASID(base.override(attention_sharing="none")))
    panel.controls["distillation_ratio"].value = "1/6"
    assert "3.33333 channels" in panel.message.value
    assert panel.picture.value == shown
    panel.controls["distillation_ratio"].value = "1/4"
    panel.controls["esa"].value = False
    assert panel.message.value == ""
    assert panel.picture.value != shown
    assert panel.stem == "architecture-attention_sharing-none-esa-off"
    assert "<code>model: {attention_sharing: none, esa: false}</code>" in panel.yaml.value
    panel.controls["spatial_windows"].value = ()
    assert panel.controls["position_bias"].disabled
    assert not panel.controls["attention_sharing"].disabled, "a change can be taken back"
    assert "position bias (there is no spatial attention)" in panel.yaml.value
    panel.reset()
    assert panel.changes == {}
    assert panel.yaml.value == ""
    assert panel.drawing is not None
    np.testing.assert_array_equal(panel.drawing[1]["choice_macs"], panel.drawing[1]["base_macs"])


def test_describe_change() -> None:
    assert describe_change("multiply-adds", 80e9, 60e9, 1e9, "G") == "multiply-adds 80.0 G → 60.0 G: −20.0 G, −25.0 %"
    assert describe_change("parameters", 2000, 2000, 1e3, "k") == "parameters 2.0 k, as the base"
