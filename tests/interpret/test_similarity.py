"""Similarity of rows and of features: 1 for equal ones, 0 for unrelated ones, and the same by definition."""

import numpy as np
import pytest

from asid.config import preset
from asid.interpret.alike import bias_share, map_similarity, token_similarity
from asid.interpret.crops import Crops
from asid.interpret.similarity import debiased_cka, row_similarity
from asid.interpret.transplant import NULLS
from asid.model.network import ASID

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("measure", "disjoint"), [("correlation", -1 / 3), ("cosine", 0.0), ("Jensen–Shannon", 0.0)])
def test_equal_rows_have_similarity_1_and_rows_without_a_common_pixel_the_least(measure: str, disjoint: float) -> None:
    rows = RNG.dirichlet(np.ones(16), size=5)
    np.testing.assert_allclose(row_similarity(rows, rows, measure), 1)  # type: ignore[arg-type]
    one, other = np.eye(4)[:1], np.eye(4)[1:2]
    np.testing.assert_allclose(row_similarity(one, other, measure), disjoint, atol=1e-12)  # type: ignore[arg-type]


def test_only_the_correlation_of_unrelated_nearly_uniform_rows_is_near_0() -> None:
    a, b = RNG.dirichlet(np.full(64, 100.0), size=(2, 400))
    assert abs(row_similarity(a, b, "correlation").mean()) < 0.02
    assert row_similarity(a, b, "cosine").mean() > 0.98
    assert row_similarity(a, b, "Jensen–Shannon").mean() > 0.98


def direct_cka(x: np.ndarray, y: np.ndarray) -> float:
    """By the definition, with (n, n) matrices."""

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        n, one = len(k), np.ones(len(k))
        product = np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return float((product - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3)))

    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    return hsic(k, m) / float(np.sqrt(hsic(k, k) * hsic(m, m)))


def test_cka_is_that_of_its_definition_also_for_features_with_a_mean() -> None:
    x, noise = RNG.normal(size=(40, 6)) + 3, RNG.normal(size=(40, 9))
    y = x @ RNG.normal(size=(6, 9)) + noise
    assert debiased_cka(x, y) == pytest.approx(direct_cka(x, y))


def test_cka_of_equal_features_is_1_also_after_a_rotation_and_a_factor() -> None:
    x = RNG.normal(size=(200, 8))
    rotation = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
    assert debiased_cka(x, x) == pytest.approx(1)
    assert debiased_cka(x, 7 * x @ rotation + 2) == pytest.approx(1)


def test_cka_of_independent_features_is_0_within_its_error_where_the_usual_one_is_not() -> None:
    pairs = [(RNG.normal(size=(60, 20)), RNG.normal(size=(60, 20))) for _ in range(200)]
    debiased = np.array([debiased_cka(x, y) for x, y in pairs])
    assert abs(debiased.mean()) < 3 * debiased.std(ddof=1) / np.sqrt(len(debiased))
    centred = [(x - x.mean(0), y - y.mean(0)) for x, y in pairs]
    usual = [np.linalg.norm(x.T @ y) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y) for x, y in centred]
    assert np.mean(usual) > 0.2


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="same number of tokens"):
        debiased_cka(np.ones((5, 2)), np.ones((6, 2)))


CONFIG = preset("asid-tiny", num_groups=2, distillation_steps=2, attention_sharing="none")


def test_a_network_is_compared_with_itself_with_nulls_and_with_others(small_crops: Crops) -> None:
    own = ASID(CONFIG, seed=1)
    others = {
        "itself": own,
        "seed": ASID(CONFIG, seed=2),
        "windows": ASID(CONFIG.override(spatial_windows=["meso", "meso"]), seed=1),
        "groups": ASID(CONFIG.override(num_groups=1), seed=1),
    }
    maps = map_similarity(own, small_crops, others, measure="correlation", seed=1)
    assert maps.between.shape == (4, 4, 2)
    assert set(maps.others) == {"itself", "seed"}
    assert set(maps.nulls) == set(NULLS)
    tokens = token_similarity(own, small_crops, others, seed=1)
    assert set(tokens.others) == {"itself", "seed", "windows"}
    for same in (maps.nulls["untrained network"], maps.others["itself"], tokens.others["itself"]):
        np.testing.assert_allclose(same, 1)
    np.testing.assert_allclose(tokens.nulls["untrained network"], 1)  # seed 1 is where this network still is
    assert np.abs(tokens.nulls["shuffled tokens"]).max() < 0.05
    assert np.abs(maps.others["seed"]).max() < 0.9


def test_the_bias_explains_all_of_a_map_without_queries_and_nothing_if_it_is_zero(small_crops: Crops) -> None:
    model = ASID(CONFIG.override(attention_sharing="all"))
    parameters = dict(model.named_parameters())
    attention = "groups.0.block.steps.{}.spatial.0.attention."
    parameters[attention.format(0) + "query_key.weight"].data.zero_()
    parameters[attention.format(1) + "bias.table"].data.zero_()
    shares = bias_share(model, small_crops)
    assert shares[0, 0, 0] == pytest.approx(1)
    assert shares[0, 1, 0] == 0
    assert ((shares[0] >= 0) & (shares[0] <= 1)).all()
    assert np.isnan(shares[1]).all(), "the second group makes no maps"
