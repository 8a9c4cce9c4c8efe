"""Factorial studies: do two changes do together what each does alone, and what does the score depend on most?"""

from collections.abc import Mapping, Sequence
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Interaction(NamedTuple):
    """Two changes that were also made together: names of the three variants."""

    both: str
    first: str
    second: str


def find_interactions(levels: Mapping[str, Mapping[str, str]], base: str) -> dict[str, Interaction]:
    """The pairs of changes in two factors that were made alone and together, all other factors as in the base.

    Args:
        levels: For each combination, a variant, the level of each factor.
        base: Name of the base, which is one of them.

    Returns:
        The variants of each pair by its name, e.g. ``sharing none × ratio 1/8``.
    """
    of_base = levels.get(base, {})
    changes = {
        frozenset((factor, level) for factor, level in of_variant.items() if of_base.get(factor) != level): name
        for name, of_variant in levels.items()
        if of_base
    }
    return {
        " × ".join(f"{factor.replace('_', ' ')} {level}" for factor, level in pair): Interaction(
            changes[frozenset(pair)], changes[frozenset([pair[0]])], changes[frozenset([pair[1]])]
        )
        for pair in (tuple(sorted(change, key=lambda item: list(of_base).index(item[0]))) for change in changes)
        if len(pair) == 2 and all(frozenset([change]) in changes for change in pair)
    }


def excess(both: ArrayLike, first: ArrayLike, second: ArrayLike, base: ArrayLike) -> NDArray[np.float64]:
    """Scores that two changes would have that change nothing alone: base + the difference of their differences.

    Compared with the base they show the interaction: (both - first) - (second - base).

    Args:
        both: Scores (seeds, images) in dB of the variant with both changes.
        first: Those with the first change.
        second: Those with the second change.
        base: Those of the base.
    """
    a, b, c, d = (np.asarray(scores, dtype=np.float64) for scores in (both, first, second, base))
    return a - b - c + 2 * d


def variance_shares(scores: ArrayLike, axes: Sequence[str]) -> dict[tuple[str, ...], float]:
    """Analysis of variance: the share of the sum of squares of each axis and of each interaction, by exact sums.

    In a full crossing with one score a cell, every score is the mean plus one effect for each subset of axes, and the
    sums of squares of these effects add up to that of the scores (Fisher 1925).

    Args:
        scores: Scores in dB, one axis for each of ``axes``.
        axes: Names of the axes, e.g. two factors, seed, image.

    Returns:
        For each subset of axes its share, in the order of the axes, single axes first; the sum is 1. All 0 where no
        score differs.
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != len(axes) or not np.isfinite(array).all():
        raise ValueError(f"expected finite scores with the axes {', '.join(axes)}, got shape {array.shape}")
    positions = range(array.ndim)
    subsets = chain.from_iterable(combinations(positions, size) for size in range(1, array.ndim + 1))
    squares = {}
    for subset in subsets:
        effect = array
        for axis in positions:
            mean = effect.mean(axis=axis, keepdims=True)
            effect = effect - mean if axis in subset else mean
        squares[tuple(axes[axis] for axis in subset)] = float((effect**2).sum()) * array.size / effect.size
    total = sum(squares.values())
    return {subset: square / total if total else 0.0 for subset, square in squares.items()}


def group_shares(shares: Mapping[tuple[str, ...], float]) -> dict[str, float]:
    """The shares as they are shown: factors and their interactions, seed, image, and what is left of these two.

    Args:
        shares: Of :func:`variance_shares` with the axes ``seed`` and ``image`` besides the factors.
    """
    groups: dict[str, float] = {}
    for subset, share in shares.items():
        if subset in (("seed",), ("image",)) or not {"seed", "image"} & set(subset):
            name = " × ".join(subset)
        else:
            name = "image × the rest" if "seed" not in subset else "seed × the rest (noise)"
        groups[name] = groups.get(name, 0.0) + share
    return groups
