"""Noise around a mean: exact means by quadrature over the uniform, spreads as documented, two engines."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import binom
from scipy.stats import t as student

from envs.fields import Spot, convert
from envs.quality_noise import BOUNDED, KINDS, KNOTS, MAX_CHECKS, Params, draw, leaves, n_normal
from envs.targets import ConfigError

FAST = settings(derandomize=True, database=None, deadline=None, max_examples=100)
GRID = 1 << 16
UNIFORM = (np.arange(GRID) + 0.5) / GRID
MEANS = np.array([0.0, 0.003, 1 / 64, 0.123, 0.357, 0.5, 0.61, 63 / 64, 0.999, 1.0])
Floats = NDArray[np.float64]


def drawn(params: Params, mean: Any, uniform: Any, *, heat: float = 0.0, normal: Any = (0.0, 0.0)) -> Any:
    form, noise = (params.kind, params.checks), (np.asarray(uniform), np.asarray(normal))
    return draw(form, leaves(params), np.asarray(mean), heat=np.float64(heat), noise=noise)


def over_the_grid(params: Params, means: Floats = MEANS) -> Floats:
    """(means, GRID) quality at the middle of every cell of the uniform."""
    return np.stack([drawn(params, np.full(GRID, mean), UNIFORM) for mean in means])


@pytest.mark.parametrize("checks", range(1, MAX_CHECKS + 1))
def test_binomial_quality_is_the_quantile_of_the_binomial(checks: int) -> None:
    means = MEANS[1:-1]
    found = np.stack([drawn(Params(checks=checks), np.full(97, mean), np.arange(97) / 97 + 1e-3) for mean in means])
    wanted = binom.ppf(np.arange(97) / 97 + 1e-3, checks, means[:, None]) / checks
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("checks", [1, 2, 5, 8])
def test_binomial_mean_is_exact_and_variance_is_m_times_1_minus_m_over_n(checks: int) -> None:
    quality = over_the_grid(Params(checks=checks))
    # A step function of the uniform: each of its jumps, 1 in all, is misplaced by half a cell at most.
    # Squares rise by 1 in all too, and the squared mean is off by at most twice the mean's error.
    np.testing.assert_allclose(quality.mean(axis=1), MEANS, rtol=0, atol=0.5 / GRID + 1e-12)
    np.testing.assert_allclose(quality.var(axis=1), MEANS * (1 - MEANS) / checks, rtol=0, atol=1.5 / GRID + 1e-12)


@pytest.mark.parametrize("spread", [0.01, 0.2, 0.6])
def test_graded_mean_is_exact(spread: float) -> None:
    quality = over_the_grid(Params("graded", spread=spread))
    # Rising in the uniform from 0 to 1 at most: the midpoint rule is off by at most half a cell.
    np.testing.assert_allclose(quality.mean(axis=1), MEANS, rtol=0, atol=0.5 / GRID + 1e-12)


@pytest.mark.parametrize("spread", [0.01, 0.2, 0.6])
def test_graded_variance_at_a_knot_is_its_share_of_the_largest(spread: float) -> None:
    knots = np.arange(KNOTS) / (KNOTS - 1)
    variance = over_the_grid(Params("graded", spread=spread), knots[::8]).var(axis=1)
    np.testing.assert_allclose(variance, spread * (knots * (1 - knots))[::8], rtol=0, atol=1.5 / GRID + 1e-12)


def test_graded_variance_between_knots_lies_by_less_than_a_part_in_fifty_off() -> None:
    between = (np.arange(8, 56, 5) + 0.5) / (KNOTS - 1)
    variance = over_the_grid(Params("graded", spread=0.2), between).var(axis=1)
    np.testing.assert_allclose(variance, 0.2 * between * (1 - between), rtol=0.02)


@pytest.mark.parametrize("spread", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("knot", [8, 23, 32, 50])
def test_kumaraswamys_parameters_reproduce_mean_and_variance_when_integrated(spread: float, knot: int) -> None:
    numbers = leaves(Params("graded", spread=spread))
    a, b, mean = 1.0 / numbers.inverse_a[knot], 1.0 / numbers.inverse_b[knot], knot / (KNOTS - 1)

    def moment(k: int) -> float:
        """E[X^k] = k * integral of x^(k-1) (1 - F(x)), F(x) = 1 - (1 - x^a)^b; no pole at either end."""
        return float(quad(lambda x: k * x ** (k - 1) * (1.0 - x**a) ** b, 0.0, 1.0, epsabs=1e-12, limit=400)[0])

    assert moment(1) == pytest.approx(mean, abs=1e-7)
    assert moment(2) - moment(1) ** 2 == pytest.approx(spread * mean * (1 - mean), abs=1e-7)


def test_an_evenly_graded_answer_by_hand() -> None:
    # A variance of a third of m (1 - m) at m = 1/2 is the uniform distribution's, 1/12: a = b = 1.
    params = Params("graded", spread=1 / 3)
    assert leaves(params).inverse_a[32] == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(drawn(params, np.full(GRID, 0.5), UNIFORM), UNIFORM, atol=1e-9)


@FAST
@given(
    st.floats(0.0, 1.0), st.floats(0.0, 1.0 - 2.0**-53), st.sampled_from([1, 5, 8]), st.sampled_from([0.01, 0.2, 0.6])
)
def test_bounded_quality_stays_in_its_bounds(mean: float, uniform: float, checks: int, spread: float) -> None:
    for kind in BOUNDED:
        quality = drawn(Params(kind, checks, spread), np.float64(mean), np.float64(uniform))
        assert 0.0 <= quality <= 1.0
    if kind == "binomial":
        assert float(quality * checks).is_integer()


@pytest.mark.parametrize("params", [Params(checks=5), *(Params("graded", spread=s) for s in (0.01, 0.05, 0.2, 0.6))])
def test_bounded_quality_rises_with_the_uniform_and_with_the_mean(params: Params) -> None:
    means, tail = np.linspace(0.0, 1.0, 257), 1.0 - np.geomspace(0.05, 2.0**-53, 200)
    uniforms = np.append(np.linspace(0.0, 0.95, 200), tail)
    quality = np.stack([drawn(params, np.full(len(uniforms), mean), uniforms) for mean in means])
    assert np.diff(quality, axis=1).min() >= -1e-12
    # Kumaraswamy distributions of one relative variance cross in their last 1e-5 at most.
    assert np.diff(quality[:, uniforms < 1.0 - 1e-5], axis=0).min() >= -1e-12


def test_gaussian_quality_by_hand() -> None:
    params = Params("gaussian", sd=0.1, slope=0.5)
    assert drawn(params, 0.4, 0.5, heat=1.0, normal=(2.0, 9.0)) == pytest.approx(0.4 + 0.1 * 1.5 * 2.0, rel=1e-15)


@pytest.mark.parametrize("kind", ["gaussian", "heavy"])
def test_the_spread_grows_with_temperature_as_its_slope_says(kind: str) -> None:
    params, normal = Params(kind, sd=0.3, slope=0.8), (1.3, -0.4)
    off = [drawn(params, 0.5, 0.2, heat=heat, normal=normal) - 0.5 for heat in (0.0, 0.5, 2.0)]
    assert np.divide(off, off[0]) == pytest.approx([1.0, 1.4, 2.6], rel=1e-14)
    flat = Params(kind, sd=0.3)
    assert drawn(flat, 0.5, 0.2, heat=0.0, normal=normal) == drawn(flat, 0.5, 0.2, heat=2.0, normal=normal)


def test_heavy_tails_are_students_with_three_degrees_scaled_to_their_sd() -> None:
    n, rng, sd = 400_000, np.random.default_rng(11), 0.25
    normal = rng.standard_normal((2, n))
    quality = drawn(Params("heavy", sd=sd), np.full(n, 0.4), rng.random(n), normal=normal)
    probs = np.array([1e-4, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999])
    at = 0.4 + sd * student(3).ppf(probs) / math.sqrt(3.0)  # a t of 3 degrees has the variance 3
    below = (quality[None] <= at[:, None]).mean(axis=1)
    # Binomial standard errors; the sd itself cannot be tested by its own error: the fourth moment is infinite.
    # Eleven values, each beyond 4 with probability 6.3e-5: false alarm 0.07 %.
    assert np.abs((below - probs) / np.sqrt(probs * (1 - probs) / n)).max() < 4.0


@pytest.mark.parametrize("kind", ["gaussian", "heavy"])
def test_unbounded_noise_is_symmetric_so_its_mean_is_exact(kind: str) -> None:
    params = Params(kind, sd=0.3)
    up, down = (drawn(params, 0.5, 0.7, normal=(sign * 1.7, 0.6)) - 0.5 for sign in (1.0, -1.0))
    assert up == pytest.approx(-down, rel=1e-14) and up > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_and_jax_score_alike(kind: str) -> None:
    params, rng = Params(kind, 5, 0.2, sd=0.3, slope=0.5), np.random.default_rng(3)
    numbers, n = leaves(params), 500
    given_to = (rng.random(n), np.full(n, 0.7), rng.random(n), rng.standard_normal((n, 2)))
    given_to[0][:2], given_to[2][:4] = (0.0, 1.0), (0.0, 1.0 - 2.0**-53, 0.0, 1.0 - 2.0**-53)

    def one(held: Any, mean: Any, heat: Any, uniform: Any, normal: Any) -> Any:
        return draw((kind, 5), held, mean, heat=heat, noise=(uniform, normal))

    there = jax.jit(jax.vmap(one, (None, 0, 0, 0, 0)))(jax.tree.map(jnp.asarray, numbers), *given_to)
    here = [one(numbers, *row) for row in zip(*given_to, strict=True)]
    np.testing.assert_allclose(np.asarray(there), np.array(here, np.float64), rtol=1e-12, atol=1e-12)


def test_only_unbounded_kinds_consume_normals() -> None:
    assert {kind: n_normal((kind, 1)) for kind in KINDS} == {"binomial": 0, "graded": 0, "gaussian": 2, "heavy": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "gaussian", "sd": -1}, r"^noise\.sd: got -1\.0, need a number > 0\.0 and <= 10\.0 \(quality\)$"),
        ({"kind": "gaussian", "sd": float("nan")}, r"^noise\.sd: got nan, need a number .*, finite$"),
        ({"kind": "heavy", "slope": -0.1}, r"^noise\.slope: got -0\.1, need a number >= 0\.0"),
        ({"kind": "graded", "spread": 0.7}, r"^noise\.spread: got 0\.7, need a number >= 0\.01 and <= 0\.6"),
        ({"checks": 0}, r"^noise\.checks: got 0, need an int >= 1 and <= 8"),
        ({"checks": 9}, r"^noise\.checks: got 9, need an int >= 1 and <= 8"),
        ({"kind": "gausian"}, r"^noise\.kind: got 'gausian', need .*did you mean 'gaussian'\?"),
    ],
)
def test_noise_that_makes_no_sense_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(change, Params, Spot("noise", {}, ()))
