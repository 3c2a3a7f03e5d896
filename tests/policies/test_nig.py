"""Normal-inverse-gamma: coefficients and noise together, against the closed form."""

import numpy as np
import pytest
from scipy.special import gammainc, stdtr

from policies.draws import normal_draws
from policies.features import phi
from policies.nig import NigParams, NigState, nig_model, noise_variance, student_factors
from tests.hand import DISJOINT, SHARED, choice, decision, feedback, generator, leaves, question, window

PARAMS = NigParams(prior_mean=0.2, prior_sd=0.7, noise_sd=0.3, noise_weight=6.0)
ALL = np.arange(20, dtype=np.int32)
HELD = window([True] * 9)
P = 23
Rows = list[tuple[np.ndarray, int, int, float]]


def told(rows: Rows) -> NigState:
    model = nig_model(SHARED)
    state = model.init(PARAMS)
    for x, task, action, y in rows:
        state = model.update(PARAMS, state, decision(HELD, features=x, task=task), choice(0, action), feedback(y))
    return state


def random_rows(n: int, seed: int) -> Rows:
    rng = generator(seed)
    return [
        (rng.standard_normal(3), int(rng.integers(2)), int(rng.integers(20)), float(rng.random())) for _ in range(n)
    ]


def design(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    x = np.array([phi(SHARED, x, np.int32(task), np.array([a]))[0] for x, task, a, _ in rows]).reshape(len(rows), P)
    return x, np.array([row[3] for row in rows])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [0, 1, 30, 300])
def test_the_posterior_is_the_closed_form(n: int, seed: int) -> None:
    """V = (X'X + I/k)^-1, m = V X'y, shape 3 + n/2, rate 0.18 + (y'y - m'V^-1 m)/2, with k = (0.7/0.3)^2."""
    rows = random_rows(n, seed)
    state, (x, y) = told(rows), design(rows)
    precision = x.T @ x + np.eye(P) * (0.3 / 0.7) ** 2
    spread, target = np.linalg.inv(precision), y - 0.2
    m = spread @ x.T @ target
    rate = 2.0 * 0.09 + 0.5 * (target @ target - m @ precision @ m)
    assert state.shape == 3.0 + n / 2
    assert state.rate == pytest.approx(rate, abs=1e-9)
    assert state.theta == pytest.approx(m, abs=1e-9)
    assert state.root @ state.root.T == pytest.approx(spread, abs=1e-9)
    context, task = generator(99).standard_normal(3), np.int32(seed % 2)
    belief = nig_model(SHARED).belief(PARAMS, state, question(context, task), ALL)
    at = phi(SHARED, context, task, ALL)
    degrees = 6 + n
    scale = rate / (3.0 + n / 2) * np.einsum("ij,jk,ik->i", at, spread, at)  # Student-t scale, squared
    assert belief.mean == pytest.approx(0.2 + at @ m, abs=1e-9)
    assert belief.sd == pytest.approx(np.sqrt(scale * degrees / (degrees - 2)), abs=1e-9)
    assert nig_model(SHARED).outlook(PARAMS, state, question(context, task)) == pytest.approx(belief.mean, abs=1e-12)


def test_before_any_data_the_spreads_are_those_of_the_configuration() -> None:
    state = nig_model(SHARED).init(PARAMS)
    assert noise_variance(state) == pytest.approx(0.09)
    sd = nig_model(SHARED).belief(PARAMS, state, question(np.zeros(3)), ALL[:1]).sd
    at = phi(SHARED, np.zeros(3), np.int32(0), ALL[:1])
    assert sd == pytest.approx(0.7 * np.sqrt((at**2).sum(axis=1)))


def test_the_order_of_rows_does_not_matter() -> None:
    rows = random_rows(80, 4)
    one, two = told(rows), told(rows[::-1])
    assert one.theta == pytest.approx(two.theta, abs=1e-9)
    assert one.rate == pytest.approx(two.rate, abs=1e-9)
    assert one.root @ one.root.T == pytest.approx(two.root @ two.root.T, abs=1e-9)


@pytest.mark.parametrize("degrees", [6.0, 10.0, 40.0, 400.0])
def test_the_draws_are_student_t(degrees: float) -> None:
    """Quantiles of 4,096 draws against the t distribution that has the Gaussian's variance.

    2,048 pairs of a sequence that fills better than chance: below the 1 % point of Kolmogorov's statistic, 1.63 /
    sqrt(2048) = 0.036, plus what the cube approximation of chi2 costs (at 6 degrees 0.0022, by integration).
    """
    spec = SHARED._replace(n_draws=4096)
    state = nig_model(spec).init(PARAMS)._replace(shape=np.float64(degrees / 2), rate=np.float64(degrees / 2 - 1))
    belief = nig_model(spec).belief(PARAMS, state, question(np.array([0.5, -1.0, 0.2])), ALL[:6])
    scale = belief.sd * np.sqrt((degrees - 2) / degrees)
    t = np.sort((belief.draws - belief.mean[:, None]) / scale[:, None], axis=1)
    below = (np.arange(4096) + 0.5) / 4096
    assert np.abs(stdtr(degrees, t) - below[None, :]).max() < 1.63 / np.sqrt(2048) + 0.0022
    assert belief.draws.mean(axis=1) == pytest.approx(belief.mean, abs=1e-12)


@pytest.mark.parametrize("n_draws", [2, 64, 4096])
def test_the_factors_keep_the_spread_and_pair_up(n_draws: int) -> None:
    for degrees in (6.0, 9.0, 200.0):
        factors = student_factors(np.float64(degrees), n_draws)
        assert np.all(factors > 0)
        assert np.mean(factors**2) == pytest.approx(1.0)
        assert np.array_equal(factors[: n_draws // 2], factors[n_draws // 2 :])


def test_many_evaluations_make_the_factors_one() -> None:
    assert student_factors(np.float64(1e8), 64) == pytest.approx(np.ones(64), abs=1e-3)


def test_the_factors_know_nothing_of_the_normals() -> None:
    """Correlation of the squared factor with 78 products of two normals: independent ones stay below 4 / sqrt(2048)."""
    squares = student_factors(np.float64(8.0), 4096) ** 2
    z = normal_draws(12, 4096)
    products = (z[:, None, :] * z[None, :, :]).reshape(144, -1)
    correlation = np.corrcoef(np.concatenate([squares[None, :], products]))[0, 1:]
    assert np.abs(correlation).max() < 4 / np.sqrt(2048)


@pytest.mark.slow
def test_the_noise_estimate_is_calibrated() -> None:
    """Worlds drawn from the prior: the posterior CDF at the true noise variance is uniform.

    300 worlds of 40 rows; shares below three levels within 4 standard errors: a false alarm in 5,000.
    """
    rng, n = generator(17), 300
    below = []
    for _ in range(n):
        variance = 0.18 / rng.gamma(3.0)
        theta = rng.standard_normal(P) * 0.7 * np.sqrt(variance) / 0.3
        rows = random_rows(40, int(rng.integers(1 << 30)))
        x, _ = design(rows)
        y = 0.2 + x @ theta + np.sqrt(variance) * rng.standard_normal(40)
        state = told([(*row[:3], float(value)) for row, value in zip(rows, y, strict=True)])
        below.append(1.0 - gammainc(state.shape, state.rate / variance))
    for level in (0.1, 0.5, 0.9):
        assert abs(np.mean(np.array(below) <= level) - level) < 4 * np.sqrt(level * (1 - level) / n)


@pytest.mark.parametrize("true_sd", [0.05, 1.0])
def test_a_wrong_first_guess_of_the_noise_is_corrected(true_sd: float) -> None:
    """After 1,000 rows the estimate's relative error is sqrt(2 / 977) = 4.5 %; within 5 of those."""
    rows = random_rows(1000, 8)
    x, _ = design(rows)
    rng = generator(9)
    y = x @ (rng.standard_normal(P) * 0.3) + true_sd * rng.standard_normal(1000)
    state = told([(*row[:3], float(value)) for row, value in zip(rows, y, strict=True)])
    assert noise_variance(state) == pytest.approx(true_sd**2, rel=5 * np.sqrt(2 / 977))


@pytest.mark.parametrize("reward", [np.nan, np.inf, 0.3])
def test_invalid_feedback_leaves_the_state_bit_equal(reward: float) -> None:
    state = told(random_rows(20, 1))
    row = decision(HELD, features=[1.0, 2.0, 3.0])
    after = nig_model(SHARED).update(PARAMS, state, row, choice(0, 3), feedback(reward, valid=False))
    assert leaves(after) == leaves(state)


def test_disjoint_features_are_refused() -> None:
    with pytest.raises(ValueError, match="need 'shared'"):
        nig_model(DISJOINT)
