"""The streamed reward model: merged sums are one pass, the shared line is ridge regression, shrinkage helps."""

import numpy as np
import pytest

from evaluators.reading import model
from evaluators.reading.model import Params, fitted, gram_sums, merge, predict

RNG = np.random.default_rng(4)
N, K, D, FOLDS = 3_000, 5, 3, 4
X = RNG.normal(size=(N, D)) * [1.0, 3.0, 0.1] + [0.0, 5.0, -2.0]
ACTION, FOLD = RNG.integers(K, size=N), RNG.integers(FOLDS, size=N)
LINES = RNG.normal(size=(K, D))
REWARD = np.einsum("nd,nd->n", X, LINES[ACTION]) + ACTION + 0.1 * RNG.normal(size=N)


def sums(which: np.ndarray | slice = slice(None), *, x: np.ndarray | None = X) -> model.Grams:
    context = None if x is None else x[which]
    return gram_sums(context, ACTION[which], reward=REWARD[which], fold=FOLD[which], shape=(FOLDS, K))


def test_merged_parts_are_one_pass() -> None:
    order = np.random.default_rng(0).permutation(N)
    parts = [sums(part) for part in np.array_split(order, 7)]
    whole, joined = sums(), parts[0]
    for part in parts[1:]:
        joined = merge(joined, part)
    for ours, theirs in zip(joined, whole, strict=True):
        assert np.allclose(ours, theirs, rtol=1e-12, atol=1e-9)
    assert np.allclose(fitted(Params(), joined), fitted(Params(), whole), rtol=1e-8, atol=1e-8)


def test_each_action_has_its_own_line_where_rows_abound() -> None:
    weights = fitted(Params(ridge=1e-3, own_ridge=1e-3), sums())
    assert np.allclose(weights[:, :, 1:], LINES, atol=0.12)
    said = predict(weights, X, fold=FOLD)
    assert np.sqrt(np.mean((said[np.arange(N), ACTION] - REWARD) ** 2)) < 0.12


def test_with_all_that_is_own_shrunk_away_it_is_one_ridge_regression() -> None:
    """Standardised columns, penalty 2 on slopes, none on the intercept: the textbook's normal equations."""
    weights = fitted(Params(ridge=2.0, own_ridge=1e9), sums())
    train = FOLD != 1
    mean, scale = X.mean(axis=0), X.std(axis=0)
    z = np.column_stack([np.ones(N), (X - mean) / scale])
    beta = np.linalg.solve(z[train].T @ z[train] + np.diag([1e-9, 2, 2, 2]), z[train].T @ REWARD[train])
    said = predict(weights, X, fold=np.ones(N, np.int64))
    assert np.allclose(said, (z @ beta)[:, None], atol=1e-4)


def test_a_fold_is_predicted_without_its_own_rows() -> None:
    changed = np.where(FOLD == 2, REWARD + 100.0, REWARD)
    other = gram_sums(X, ACTION, reward=changed, fold=FOLD, shape=(FOLDS, K))
    before, after = fitted(Params(), sums()), fitted(Params(), other)
    assert np.allclose(before[2], after[2], rtol=1e-6, atol=1e-6)
    assert not np.allclose(before[1], after[1], atol=0.1)


def test_without_a_context_it_is_the_shrunk_mean_of_each_action() -> None:
    weights = fitted(Params(own_ridge=10.0), sums(x=None))
    assert weights.shape == (FOLDS, K, 1)
    train, grand = FOLD != 0, REWARD[FOLD != 0].mean()
    for a in range(K):
        own = REWARD[train & (a == ACTION)]
        assert weights[0, a, 0] == pytest.approx(grand + (own - grand).sum() / (own.size + 10.0))


def test_an_action_never_taken_follows_its_coordinates() -> None:
    points = np.arange(K, dtype=float)[:, None]
    reward = 2.0 * points[ACTION, 0] + 0.01 * RNG.normal(size=N)
    known = ACTION != 3
    grams = gram_sums(None, ACTION[known], reward=reward[known], fold=FOLD[known], shape=(FOLDS, K))
    said = predict(fitted(Params(), grams, points=points), None, fold=np.zeros(2, np.int64))
    assert np.allclose(said[0], 2.0 * np.arange(K), atol=0.05)
    unknown = np.where(points == 3, np.nan, points)
    assert np.isfinite(fitted(Params(), grams, points=unknown)).all()


def test_slots_are_looked_up_by_the_action_that_stands_in_them() -> None:
    weights = fitted(Params(), sums())
    actions = np.random.default_rng(1).integers(K, size=(N, 2))
    whole = predict(weights, X, fold=FOLD)
    assert np.array_equal(predict(weights, X, fold=FOLD, actions=actions), np.take_along_axis(whole, actions, axis=1))


def test_a_constant_column_says_nothing_and_breaks_nothing() -> None:
    x = np.column_stack([X, np.full(N, 7.0)])
    weights = fitted(Params(), sums(x=x))
    assert np.allclose(weights[:, :, -1], 0.0)
    assert np.isfinite(weights).all()


def test_one_fold_with_every_row_and_sums_too_large_are_refused() -> None:
    with pytest.raises(ValueError, match="holds all 3,000 rows"):
        fitted(Params(), gram_sums(X, ACTION, reward=REWARD, fold=0 * FOLD, shape=(FOLDS, K)))
    with pytest.raises(ValueError, match="256 MB"):
        gram_sums(
            np.zeros((2, 200)), np.zeros(2, np.int64), reward=np.zeros(2), fold=np.zeros(2, np.int64), shape=(5, 400)
        )
