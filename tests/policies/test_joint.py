"""One rank-one step: a row in, a row out, or nothing at all."""

import numpy as np
import pytest

from policies.features import phi
from policies.joint import Row, Seen, absorb, look, need_shared
from policies.linear import SharedState
from tests.hand import DISJOINT, SHARED, generator

P = 23


def start(scale: float = 0.7) -> SharedState:
    return SharedState(np.zeros(P), np.eye(P) * scale)


def rows(n: int, seed: int = 0) -> list[tuple[Row, float, float]]:
    """N random rows: what was evaluated, what came back, with which precision."""
    rng = generator(seed)
    return [
        (
            Row(rng.standard_normal(3), np.int32(rng.integers(2)), np.int32(rng.integers(20))),
            float(rng.standard_normal()),
            float(rng.uniform(0.5, 30)),
        )
        for _ in range(n)
    ]


def after(held: SharedState, some: list[tuple[Row, float, float]], sign: float = 1.0) -> SharedState:
    for row, target, weight in some:
        held = absorb(held, look(SHARED, held, row), target=target, weight=sign * weight)
    return held


def features(some: list[tuple[Row, float, float]]) -> np.ndarray:
    return np.array([phi(SHARED, r.context, r.task, np.array([r.action_id]))[0] for r, _, _ in some])


def test_one_coefficient_by_hand() -> None:
    """Prior variance 4, an observation 3 of precision 1/4 at phi = 1: variance 2, mean 1.5; taken out again: 4, 0."""
    held = SharedState(np.zeros(1), np.full((1, 1), 2.0))
    told = absorb(held, Seen(held.theta[0], held.root[0]), target=np.float64(3.0), weight=0.25)
    assert told.theta == pytest.approx([1.5]) and told.root**2 == pytest.approx(np.array([[2.0]]))
    back = absorb(told, Seen(told.theta[0], told.root[0]), target=np.float64(3.0), weight=-0.25)
    assert back.theta == pytest.approx([0.0], abs=1e-15) and back.root**2 == pytest.approx(np.array([[4.0]]))


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_any_weight_are_weighted_ridge_regression(seed: int) -> None:
    some = rows(60, seed)
    x, y, w = features(some), np.array([t for _, t, _ in some]), np.array([w for *_, w in some])
    covariance = np.linalg.inv(x.T @ (w[:, None] * x) + np.eye(P) / 0.49)
    held = after(start(), some)
    assert held.root @ held.root.T == pytest.approx(covariance, abs=1e-9)
    assert held.theta == pytest.approx(covariance @ x.T @ (w * y), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_taken_out_was_never_there(seed: int) -> None:
    stay, go = rows(30, seed), rows(30, 100 + seed)
    held, truth = after(after(start(), stay + go), go, -1.0), after(start(), stay)
    assert held.theta == pytest.approx(truth.theta, abs=1e-9)
    assert held.root @ held.root.T == pytest.approx(truth.root @ truth.root.T, abs=1e-9)


def test_a_row_of_no_weight_changes_no_bit() -> None:
    held = after(start(), rows(10))
    row = rows(1, 5)[0][0]
    same = absorb(held, look(SHARED, held, row), target=np.float64(7.0), weight=0.0)
    assert np.array_equal(same.theta, held.theta) and np.array_equal(same.root, held.root)


def test_a_row_is_seen_as_phi() -> None:
    held = after(start(), rows(10))
    some = rows(1, 3)
    seen, x = look(SHARED, held, some[0][0]), features(some)[0]
    assert seen.expected == pytest.approx(x @ held.theta, abs=1e-12)
    assert seen.factor == pytest.approx(x @ held.root, abs=1e-12)


def test_disjoint_features_are_refused() -> None:
    need_shared(SHARED)
    with pytest.raises(ValueError, match="features = 'disjoint', need 'shared'"):
        need_shared(DISJOINT)
