"""Thousands of logs at once are each of them alone."""

import numpy as np
import pytest

from evaluators.batch_ridge import Logs, fit, predict
from evaluators.reward_model import Params as RidgeParams
from evaluators.reward_model import Sample, fit_tables

M, K, P, L, N = 9, 4, 3, 6, 40


def logs(seed: int = 0) -> Logs:
    rng = np.random.default_rng(seed)
    fold = rng.permutation(np.arange(N) % 5)
    return Logs(rng.integers(M, size=(L, N)), rng.integers(K, size=(L, N)), rng.uniform(size=(L, N)), fold)


def alone(many: Logs, log: int, design: np.ndarray, ridge: float) -> np.ndarray:
    given = Sample(many.row[log], many.slot[log], many.reward[log], many.fold)
    return np.asarray(fit_tables(RidgeParams(ridge), design, given)[many.fold, many.row[log]])


def test_shared_coefficients_are_those_of_each_log_alone() -> None:
    many, design = logs(), np.random.default_rng(1).normal(size=(M, K, P))
    found = predict(fit(many, design, ridge=2.0), many, design).reshape(L, N, K)
    for log in range(L):
        np.testing.assert_allclose(found[log], alone(many, log, design, 2.0), rtol=1e-9, atol=1e-12)


def test_a_slots_own_coefficients_are_shared_ones_of_its_own_features() -> None:
    many, context = logs(2), np.random.default_rng(3).normal(size=(M, P))
    design = (np.eye(K)[None, :, :, None] * context[:, None, None]).reshape(M, K, K * P)
    found = predict(fit(many, context, ridge=0.5, n_slots=K), many, context).reshape(L, N, K)
    for log in range(L):
        np.testing.assert_allclose(found[log], alone(many, log, design, 0.5), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_slots", [0, K])
def test_blocks_of_logs_do_not_show(n_slots, monkeypatch) -> None:
    many = logs(4)
    features = np.random.default_rng(5).normal(size=(M, P) if n_slots else (M, K, P))
    whole = fit(many, features, ridge=1.0, n_slots=n_slots)
    monkeypatch.setattr("evaluators.batch_ridge.ENTRIES", 1)
    for one, other in zip(fit(many, features, ridge=1.0, n_slots=n_slots), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": np.zeros(N, int)}, "fold 0 holds all 40 rows"),
        ({"fold": np.zeros(3, int)}, r"fold \(3,\)"),
        ({"slot": np.full((L, N), K)}, "outside the features"),
        ({"row": np.full((L, N), M)}, "outside the features"),
        ({"row": np.zeros(N, int)}, r"row has shape \(40,\)"),
    ],
)
def test_logs_that_do_not_fit_are_refused(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        fit(logs()._replace(**changes), np.ones((M, K, P)), ridge=1.0)


def test_features_and_ridges_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(m, p\) with n_slots"):
        fit(logs(), np.ones((M, K, P)), ridge=1.0, n_slots=K)
    with pytest.raises(ValueError, match="ridge = 0, need > 0"):
        fit(logs(), np.ones((M, K, P)), ridge=0.0)
