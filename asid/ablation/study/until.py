"""When a study looks at its results, to stop training what is decided: declared before the first run."""

from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator

from asid.config import Config

Spending = Literal["obrien-fleming", "pocock"]
SPENDINGS: tuple[str, ...] = get_args(Spending)


class Until(Config):
    """The looks of a study, and the error that they may make together."""

    looks: Annotated[tuple[Annotated[int, Field(ge=2, le=1000)], ...], Field(min_length=1, max_length=20)] = (3, 5, 8)
    """Numbers of seeds at which results are looked at. A variant with a verdict gets no more seeds; an undecided one
    does, and so does the base, up to the last look."""
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    """Chance of calling anything better or worse at any look, in a study that changes nothing."""
    spending: Spending = "pocock"
    """How alpha is spent over the looks: pocock, about evenly, to stop early; obrien-fleming, hardly anything at the
    first ones, so that the last look is nearly as powerful as a study without looks."""

    @field_validator("looks")
    @classmethod
    def _check_looks(cls, looks: tuple[int, ...]) -> tuple[int, ...]:
        if any(after <= before for before, after in pairwise(looks)):
            raise ValueError(f"expected more seeds at each look than at the one before, got {list(looks)}")
        return looks


def fill_seeds(seeds: Any, last: int) -> list[int]:
    """The seeds that a study of ``last`` seeds adds one after the other: its own, then the smallest other numbers.

    Raises:
        ValueError: There are more of them already.
    """
    own = list(seeds)
    if len(own) > last:
        raise ValueError(
            f"expected at most {last} seeds, as many as the last look of 'until', got {len(own)}: add a look, or leave "
            "'seeds' out"
        )
    others = (seed for seed in range(2 * last) if seed not in own)
    return [*own, *(next(others) for _ in range(last - len(own)))]
