"""Marginalised weights: fewer and smaller, right where the dropped axes do nothing."""

import numpy as np
import pytest

from evaluators.estimation import estimate
from evaluators.estimators import doubly_robust, ips
from evaluators.estimators.marginalised import Params, table
from evaluators.intervals import t
from evaluators.rows import RewardRange, Rows
from evaluators.scores import Table, importance

UNIT = RewardRange(0.0, 1.0)
KEPT, DROPPED = 4, 6  # values of the two axes
POINTS = np.stack(np.unravel_index(np.arange(KEPT * DROPPED), (KEPT, DROPPED)), axis=-1).astype(float)


def grid(seed: int, *, matters: float, c: int = 30) -> tuple[Rows, np.ndarray]:
    """Contexts on a 4 x 6 grid of actions, slots shuffled; the second axis matters so much."""
    rng = np.random.default_rng(seed)
    k = KEPT * DROPPED
    ids = rng.permuted(np.tile(np.arange(k), (c, 1)), axis=1)
    mean = rng.uniform(0.2, 0.6, size=(c, KEPT))[np.arange(c)[:, None], POINTS[ids, 0].astype(int)]
    mean = mean + matters * POINTS[ids, 1] / DROPPED
    behavior, target = (rng.dirichlet(np.full(k, size), size=c) for size in (2.0, 0.5))
    behavior, target = 0.8 * behavior + 0.2 / k, target
    target = target * np.exp(POINTS[ids, 1])  # likes the second axis
    target /= target.sum(axis=1, keepdims=True)
    zero = np.zeros(c)
    rows = Rows(zero, zero.astype(int), behavior, target, reward_range=UNIT, action_ids=ids, points=POINTS)
    return rows, mean


def expected(found: Table, rows: Rows, mean: np.ndarray) -> float:
    """Exact expectation of the scores over contexts, actions and rewards."""
    model = 0.0 if found.model is None else found.model
    return float(np.mean(found.part + (rows.behavior * found.weight * (mean - model)).sum(axis=1)))


def table_of(rows: Rows, **numbers) -> Table:
    return table(Params(**numbers), rows, importance(rows.target, rows.behavior))


def draw(rows: Rows, mean: np.ndarray, rng: np.random.Generator, n: int) -> Rows:
    row = rng.integers(len(mean), size=n)
    slot = (rows.behavior.cumsum(axis=1)[row] < rng.random(n)[:, None]).sum(axis=1)
    reward = (rng.random(n) < mean[row, slot]).astype(float)
    return rows._replace(row=row, slot=slot, reward=reward)


def test_the_weight_of_a_group_by_hand() -> None:
    # actions 0 and 1 share a coordinate: (0.5 + 0.2) / (0.1 + 0.4) = 1.4; the last stands alone: 0.3 / 0.5
    rows = Rows(
        np.zeros(1),
        np.zeros(1, int),
        np.array([[0.1, 0.5, 0.4]]),
        np.array([[0.5, 0.3, 0.2]]),
        action_ids=np.array([[0, 2, 1]]),
        points=np.array([[7.0, 0.0], [7.0, 1.0], [8.0, 0.0]]),
    )
    np.testing.assert_allclose(table_of(rows, kept=(0,)).weight, [[1.4, 0.6, 1.4]], rtol=1e-12)


def test_keeping_every_axis_is_ips() -> None:
    rows, _ = grid(0, matters=0.3)
    assert np.array_equal(table_of(rows, kept=(0, 1)).weight, importance(rows.target, rows.behavior))
    log = draw(*grid(0, matters=0.3), np.random.default_rng(1), 500)
    assert estimate(Params(kept=(1, 0), interval=t.Params()), log) == estimate(ips.Params(), log)


def test_with_a_model_and_every_axis_it_is_doubly_robust() -> None:
    log = draw(*grid(0, matters=0.3), np.random.default_rng(1), 500)
    log = log._replace(predicted=np.random.default_rng(2).uniform(size=log.behavior.shape))
    for correction in ("marginal", "conjunct"):
        found = estimate(Params(kept=(0, 1), correction=correction), log)
        np.testing.assert_allclose(found, estimate(doubly_robust.Params(), log), rtol=1e-12)


def test_it_is_unbiased_where_the_dropped_axis_does_nothing_and_biased_where_it_does() -> None:
    rows, mean = grid(3, matters=0.0)
    truth = float((rows.target * mean).sum(axis=1).mean())
    assert expected(table_of(rows, kept=(0,)), rows, mean) == pytest.approx(truth, rel=1e-12)
    rows, mean = grid(3, matters=0.4)
    truth = float((rows.target * mean).sum(axis=1).mean())
    found = expected(table_of(rows, kept=(0,)), rows, mean)
    assert found < truth - 0.05  # the target likes what the logger takes evenly
    log = draw(rows, mean, np.random.default_rng(4), 20_000)
    seen = estimate(Params(kept=(0,)), log)
    assert abs(seen.value - found) <= 4 * seen.stderr
    assert truth - seen.value > 10 * seen.stderr


def test_it_varies_less_than_ips_where_both_are_unbiased() -> None:
    log = draw(*grid(5, matters=0.0), np.random.default_rng(6), 5000)
    found = estimate(Params(kept=(0,), interval=t.Params()), log)
    assert found.stderr < 0.5 * estimate(ips.Params(), log).stderr


def test_a_marginal_correction_keeps_its_expectation_whatever_the_model_says() -> None:
    rows, mean = grid(7, matters=0.4)
    rows = rows._replace(predicted=np.random.default_rng(8).uniform(size=mean.shape))
    plain = expected(table_of(rows, kept=(0,)), rows, mean)
    assert expected(table_of(rows, kept=(0,), correction="marginal"), rows, mean) == pytest.approx(plain, rel=1e-12)


def test_a_conjunct_correction_is_right_where_the_model_knows_the_dropped_axis() -> None:
    rows, mean = grid(9, matters=0.4)
    truth = float((rows.target * mean).sum(axis=1).mean())
    wrong_level = np.random.default_rng(10).uniform(-0.2, 0.2, size=(len(mean), KEPT))
    error = wrong_level[np.arange(len(mean))[:, None], POINTS[rows.action_ids, 0].astype(int)]
    rows = rows._replace(predicted=mean + error)
    assert expected(table_of(rows, kept=(0,), correction="conjunct"), rows, mean) == pytest.approx(truth, rel=1e-12)
    assert expected(table_of(rows, kept=(0,), correction="marginal"), rows, mean) < truth - 0.05


def test_a_target_needs_support_from_its_group_only() -> None:
    rows, mean = grid(11, matters=0.0)
    behavior = np.where(POINTS[rows.action_ids, 1] == 5, 0.0, rows.behavior)
    rows = rows._replace(behavior=behavior / behavior.sum(axis=1, keepdims=True))
    truth = float((rows.target * mean).sum(axis=1).mean())
    found = table_of(rows, kept=(0,))
    assert expected(found, rows, mean) == pytest.approx(truth, rel=1e-12)
    assert np.all(found.weight[rows.behavior == 0] == 0)
    plain = table_of(rows, kept=(0, 1))
    assert expected(plain, rows, mean) < truth - 0.05


def test_what_it_needs_is_said() -> None:
    log = draw(*grid(0, matters=0.0), np.random.default_rng(1), 50)
    with pytest.raises(ValueError, match="marginalised needs rows.action_ids"):
        estimate(Params(), log._replace(points=None))
    with pytest.raises(ValueError, match=r"marginalised needs rows.predicted"):
        estimate(Params(correction="conjunct"), log)
