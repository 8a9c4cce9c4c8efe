"""Causal effect maps: zero where nothing can have an effect, with the sign that was planted, and bounded."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asid.data.images import RGBImage
from asid.interpret.causal_effect import causal_effect_map

RNG = np.random.default_rng(0)
LR: RGBImage = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
HR: RGBImage = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_outside_the_field_of_a_3x3_convolution_the_effect_is_exactly_zero() -> None:
    torch.manual_seed(0)
    found = causal_effect_map(nn.Conv2d(3, 3, 3, padding=1), LR, HR, (8, 8, 4, 4), coarse=8, fine=1, most=400)
    field = np.zeros((32, 32), dtype=bool)
    field[7:13, 7:13] = True
    fine = found.side == 1
    assert (found.effect[fine & ~field] == 0).all()
    assert found.effect[fine & field].any()
    assert fine[field].mean() > 0.5
    outside = np.ones((4, 4), dtype=bool)  # coarse patches of 8×8 that do not reach into the field
    outside[:2, :2] = False
    assert (found.effect[np.kron(outside, np.ones((8, 8), dtype=bool))] == 0).all()


class Planted(nn.Module):
    """Copies its input, and adds the mean of the patch at (16, 16) to the whole image: there it does harm."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x + 0.5 * x[:, :, 16:24, 16:24].mean((2, 3), keepdim=True)


def test_a_planted_harmful_patch_is_negative_and_the_patch_below_the_box_positive() -> None:
    lr = (LR // 4 + 60).astype(np.uint8)
    hr = lr.copy()
    lr[16:24, 16:24] = 255  # far from what the image needs
    found = causal_effect_map(Planted(), lr, hr, (0, 0, 8, 8), coarse=8, fine=4, samples=4, most=300)
    assert (found.effect[16:24, 16:24] < 0).all()
    assert found.effect[:8, :8].sum() > 0
    other = found.effect.copy()
    other[16:24, 16:24] = other[:8, :8] = 0
    assert (other == 0).all()


def test_fine_effects_stand_for_the_strongest_patches_within_the_budget() -> None:
    found = causal_effect_map(nn.Conv2d(3, 3, 3, padding=1), LR, HR, (0, 0, 8, 8), coarse=16, fine=4, most=30)
    assert found.passes <= 30
    assert set(np.unique(found.side)) == {4, 8, 16}
    assert (found.side[:8, :8] == 4).any()
    assert (found.side[16:, 16:] == 16).all()


def test_the_effect_of_a_large_patch_is_spread_over_its_cells() -> None:
    model = nn.Conv2d(3, 3, 3, padding=1)
    whole, spread = (
        causal_effect_map(model, LR, HR, (0, 0, 8, 8), coarse=8, fine=fine, most=32).effect for fine in (8, 4)
    )
    assert whole.any()
    np.testing.assert_allclose(whole, 4 * spread)


def test_patches_at_the_border_of_an_image_that_does_not_fit_are_smaller() -> None:
    found = causal_effect_map(nn.Identity(), LR[:20, :27], HR[:20, :27], (0, 0, 20, 27), coarse=16, fine=4)
    assert found.effect.shape == (20, 27)
    assert (found.side > 0).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"coarse": 12, "fine": 8}, "power of two"),
        ({"most": 3}, "at least 8 passes"),
        ({"box": (30, 0, 8, 8)}, "inside the output"),
        ({"hr": HR[:16]}, "size of the output"),
        ({"hr": LR}, "without an error"),
        ({"coarse": 64, "fine": 8}, "lower coarse"),
    ],
    ids=["sides", "most", "box", "size", "perfect", "coarse"],
)
def test_what_cannot_be_measured_is_refused(changes: dict[str, object], says: str) -> None:
    arguments = {"hr": HR, "box": (0, 0, 8, 8), **changes}
    with pytest.raises(ValueError, match=says):
        causal_effect_map(nn.Identity(), LR, **arguments)  # type: ignore[arg-type]
