"""Logistic regression: the gradient vanishes, cells are rows, and what has no fit is refused."""

import numpy as np
import pytest
from scipy.special import expit

from evaluators.logistic import fit_logistic


def cells(rng, n=40, p=4):
    features = rng.normal(size=(n, p))
    features[:, 0] = 1.0
    return features, rng.uniform(size=n) * 9, rng.uniform(size=n) * 9


@pytest.mark.parametrize("ridge", [1e-8, 1.0, 1e4])
def test_the_penalised_score_is_zero(ridge) -> None:
    features, up, down = cells(np.random.default_rng(0))
    beta = fit_logistic(features, up, down, ridge=ridge)
    score = features.T @ (up - (up + down) * expit(features @ beta)) - ridge * beta
    assert np.abs(score).max() <= 1e-6 * (up + down).sum()


def test_a_cell_is_as_good_as_its_rows() -> None:
    features, up, down = cells(np.random.default_rng(1), n=10)
    up, down = np.ceil(up), np.ceil(down)
    each = np.concatenate([np.repeat(features, n.astype(int), axis=0) for n in (up, down)])
    is_up = np.arange(len(each)) < up.sum()
    by_rows = fit_logistic(each, is_up.astype(float), (~is_up).astype(float), ridge=0.1)
    np.testing.assert_allclose(by_rows, fit_logistic(features, up, down, ridge=0.1), rtol=1e-6)


def test_separated_outcomes_have_a_fit_with_ridge() -> None:
    features = np.array([[1.0, -30.0], [1.0, 30.0]])
    beta = fit_logistic(features, np.array([0.0, 5.0]), np.array([5.0, 0.0]), ridge=1e-3)
    assert expit(features @ beta) == pytest.approx([0, 1], abs=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ridge": 0.0}, "ridge = 0, need > 0"),
        ({"positive": np.ones(3)}, r"positive has shape \(3,\), need \(40,\)"),
        ({"negative": -np.ones(40)}, "finite weights >= 0"),
        ({"features": np.full((40, 2), np.inf)}, "NaN or infinity"),
    ],
)
def test_what_has_no_fit_is_refused(changes, message) -> None:
    features, up, down = cells(np.random.default_rng(2))
    given = {"features": features, "positive": up, "negative": down, "ridge": 1.0} | changes
    with pytest.raises(ValueError, match=message):
        fit_logistic(given["features"], given["positive"], given["negative"], ridge=given["ridge"])
