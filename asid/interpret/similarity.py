"""Similarity of attention maps and of features: measures, and what is alike by chance."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Measure = Literal["correlation", "cosine", "Jensen–Shannon"]
"""How two rows of attention maps are compared; all are 1 for equal rows.

*correlation* and *cosine*: all entries are positive, so the cosine of unrelated rows is above 0, and near 1 if both are
nearly uniform; the correlation subtracts the mean of each row first, and is 0 for unrelated rows. *Jensen–Shannon*: 1
minus the divergence in bits, 0 for rows without a common pixel; like the cosine, it is near 1 for nearly uniform rows.
"""
_TINY = 1e-30


def row_similarity(a: NDArray[np.floating], b: NDArray[np.floating], measure: Measure) -> NDArray[np.float64]:
    """Compare the rows of two maps.

    Args:
        a: Rows of attention (..., T), which sum to 1.
        b: Of the same shape.
        measure: How.

    Returns:
        (...), one value for each row.

    Raises:
        ValueError: The measure does not exist.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    match measure:
        case "Jensen–Shannon":
            return 1 - _entropy(0.5 * (a + b)) + 0.5 * (_entropy(a) + _entropy(b))
        case "correlation":
            a, b = (rows - rows.mean(-1, keepdims=True) for rows in (a, b))
        case "cosine":
            pass
        case _:
            raise ValueError(f"expected one of {', '.join(get_args(Measure))}, got {measure!r}")
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return (a * b).sum(-1) / np.maximum(norms, _TINY)


def _entropy(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """In bits."""
    return -(rows * np.log2(np.maximum(rows, _TINY))).sum(-1)
