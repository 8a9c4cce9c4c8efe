"""Muon: compared with PyTorch's, which takes matrices only."""

import torch
from torch import nn

from asid.config import ModelConfig, TrainConfig
from asid.model.network import ASID
from asid.training.module import parameter_groups
from asid.training.muon import Muon, orthogonalise


def test_singular_values_come_near_one() -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(8, 12, 40, generator=generator)
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert 0.6 < values.min() < values.max() < 1.3


def test_matrices_move_as_with_pytorchs_muon_and_the_rest_as_with_adamw() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(24, 24), (24, 24), (36, 12), (12, 36), (30,)]
    start = [torch.randn(shape, generator=generator) for shape in shapes]

    def parameters() -> list[nn.Parameter]:
        return [nn.Parameter(value.clone()) for value in start]

    ours, theirs = parameters(), parameters()
    # A convolution's weight is the matrix (output, input · pixels).
    ours[3] = nn.Parameter(start[3].clone().reshape(12, 4, 3, 3))
    one = Muon([{"params": ours[:-1], "lr": 0.02, "muon": True}, {"params": ours[-1:], "lr": 0.01}], weight_decay=0)
    others = [
        torch.optim.Muon(theirs[:-1], lr=0.02, weight_decay=0),
        torch.optim.AdamW(theirs[-1:], lr=0.01, weight_decay=0),
    ]
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            other.grad = torch.randn(other.shape, generator=generator)
            mine.grad = other.grad.clone().reshape(mine.shape)
        for optimizer in (one, *others):
            optimizer.step()
    for mine, other, value in zip(ours, theirs, start, strict=True):
        moved, expected = mine.detach().reshape(other.shape) - value, other.detach() - value
        # PyTorch iterates in bfloat16, three digits.
        assert (moved - expected).norm() < 0.03 * expected.norm()


def test_only_matrices_within_the_groups_are_muons() -> None:
    model = ASID(ModelConfig(num_features=16))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, TrainConfig(optimizer="muon", learning_rate=0.01, rates={"groups.1": 2}))
    for group in groups:
        assert group["lr"] == (0.02 if group["muon"] else 0.01) * group["rate"]
    muons = {names[id(parameter)] for group in groups if group["muon"] for parameter in group["params"]}
    matrices = {name for name, p in model.named_parameters() if p.ndim > 1 and p.shape[1] > 1}
    assert muons == {name for name in matrices if name.startswith("groups.")}
    assert muons < matrices
