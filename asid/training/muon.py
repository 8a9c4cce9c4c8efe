"""Muon: momentum whose matrices are made orthogonal, for the matrices within the groups; AdamW for the rest.

Jordan et al., 2024, https://kellerjordan.github.io/posts/muon. ``torch.optim.Muon`` takes parameters of two dimensions
only, which leaves out the weights of convolutions, and works matrix by matrix.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton–Schulz iteration: singular values come near 1 quickly, not exactly to it (Jordan et al.)."""


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon changes a parameter: a matrix within the groups, a convolution's as (output, input · pixels).

    Depthwise convolutions and position biases have no second dimension to be orthogonal in.
    """
    return name.startswith("groups.") and parameter.ndim > 1 and parameter.shape[1] > 1


def orthogonalise(matrices: Tensor) -> Tensor:
    """The matrices with all their singular values moved to about 1 (0.7 to 1.2): (B, m, n) to (B, m, n), m ≤ n."""
    a, b, c = COEFFICIENTS
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.AdamW):
    """AdamW whose groups with ``muon: True`` are matrices and take Muon's steps of length ``lr`` instead.

    Both share one optimiser, since Lightning's automatic optimisation, and its checkpoints, expect one.
    """

    MOMENTUM = 0.95

    def __init__(self, groups: Iterable[dict[str, Any]], **options: Any) -> None:
        super().__init__([{"muon": False, **group} for group in groups], **options)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all parameters. Returns the loss of ``closure``."""
        with torch.enable_grad():  # before the groups are parted: the closure clears the gradients of all
            loss = closure() if closure is not None else None
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["muon"]]
        try:
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group["muon"]:
                self._step_matrices(group["params"], group["lr"])
        return loss

    @torch.no_grad()
    def _step_matrices(self, parameters: list[nn.Parameter], rate: float) -> None:
        """Nesterov's momentum, made orthogonal. Matrices of one shape are computed together."""
        by_shape: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor, bool]]] = {}
        for parameter in parameters:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:  # AdamW expects a step in each state that it loads
                state |= {"step": torch.tensor(0.0), "momentum": torch.zeros_like(parameter)}
            state["step"] += 1
            mean = state["momentum"]
            mean.lerp_(parameter.grad, 1 - self.MOMENTUM)
            update = parameter.grad.lerp(mean, self.MOMENTUM).flatten(1)
            tall = update.shape[0] > update.shape[1]
            update = update.mT if tall else update
            by_shape.setdefault((update.shape[0], update.shape[1]), []).append((parameter, update, tall))
        for members in by_shape.values():
            updates = orthogonalise(torch.stack([update for _, update, _ in members]))
            for (parameter, _, tall), update in zip(members, updates, strict=True):
                # A tall matrix gets longer steps, so that its outputs change as much as those of a square one.
                gain = (update.shape[1] / update.shape[0]) ** 0.5 if tall else 1.0
                parameter.add_((update.mT if tall else update).reshape(parameter.shape), alpha=-rate * gain)
