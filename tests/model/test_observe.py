"""Evaluation mode that ends as it began, and shapes of outputs that leave no hook behind."""

import pytest
import torch
from torch import nn

from asid.config import preset
from asid.model.network import ASID
from asid.model.observe import evaluation_mode, output_shapes


@pytest.mark.parametrize("training", [True, False])
def test_every_module_gets_its_mode_back_after_an_error(training: bool) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train(training)
    model[1].train(not training)

    def fail() -> None:
        with evaluation_mode(model):
            assert not any(module.training for module in model.modules())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert [module.training for module in model.modules()] == [training, training, not training]


def test_shapes_are_those_of_a_forward_pass_and_hooks_are_removed() -> None:
    model = ASID(preset("asid-tiny", num_groups=1)).eval()
    seen: list[torch.Tensor] = []
    mine = model.deep.register_forward_hook(lambda _, __, output: seen.append(output))
    shapes = output_shapes(model, torch.zeros(1, 3, 9, 20))
    assert shapes[""] == [(1, 3, 18, 40)]
    assert shapes["deep"] == [(1, 16, 16, 24)]
    assert shapes["groups.0.block.steps.0.spatial.0"] == [(1, 12, 16, 24), (6, 64, 64)]
    assert len(seen) == 1
    assert [dict(module._forward_hooks) for module in model.modules() if module._forward_hooks] == [
        {mine.id: next(iter(model.deep._forward_hooks.values()))}
    ], "only the hook that was there before is left"


def test_hooks_are_removed_after_an_error() -> None:
    model = ASID(preset("asid-tiny", num_groups=1))
    with pytest.raises(ValueError, match="RGB"):
        output_shapes(model, torch.zeros(1, 1, 9, 20))
    assert not any(module._forward_hooks for module in model.modules())
