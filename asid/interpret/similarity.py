"""Similarity of attention maps and of features: measures that are 0 for what is unrelated."""

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


def debiased_cka(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Centred kernel alignment of two sets of features with linear kernels, debiased.

    1 if the features are equal up to a rotation and a factor, 0 on average if they are independent: the usual estimate
    (arXiv 1905.00414) is above 0 for independent features, the more the more channels there are. This one is a ratio of
    unbiased estimates of HSIC (Song et al. 2012, JMLR 13; arXiv 2010.15327), so it can be below 0.

    Args:
        x: (n, c) with a row for each token, n ≥ 4.
        y: (n, d).

    Raises:
        ValueError: The numbers of tokens differ, or are too small.
    """
    if len(x) != len(y) or len(x) < 4:
        raise ValueError(f"expected the same number of tokens, at least 4, got {len(x)} and {len(y)}")
    one, other = (features.astype(np.float64) - features.mean(0, dtype=np.float64) for features in (x, y))
    norms = _unbiased_hsic(one, one) * _unbiased_hsic(other, other)
    return float(_unbiased_hsic(one, other) / np.sqrt(norms)) if norms > 0 else 0.0


def _unbiased_hsic(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """HSIC without bias: of K = x xᵀ and L = y yᵀ, whose diagonals are set to zero. No (n, n) matrix is made."""
    n = len(x)
    diagonal_k, diagonal_l = (x**2).sum(1), (y**2).sum(1)
    rows_k, rows_l = x @ x.sum(0) - diagonal_k, y @ y.sum(0) - diagonal_l  # K 1 and L 1
    trace = ((x.T @ y) ** 2).sum() - diagonal_k @ diagonal_l  # tr(K L)
    means = rows_k.sum() * rows_l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (rows_k @ rows_l)
    return float((trace + means) / (n * (n - 3)))
