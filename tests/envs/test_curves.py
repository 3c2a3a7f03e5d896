"""The formulae of a synthetic LLM: by hand, as published, and against numerical integration."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from envs.arrays import sigmoid
from envs.curves import (
    CUT,
    Lengths,
    Service,
    Task,
    failure,
    heat_of,
    jitter,
    jitter_mean,
    lengths,
    quality,
    split,
    tokens,
)
from envs.drift import Params as DriftParams
from envs.drift import Sizes, drift, sizes_at
from envs.population import TaskType

FAST = settings(derandomize=True, database=None, deadline=None, max_examples=100)
STILL = sizes_at(drift([]), np.int32(0))


def numbers(**changes: float) -> Task:
    """A task type's defaults, and what it has in logarithms."""
    kind = TaskType()
    held = {name: float(getattr(kind, name)) for name in Task._fields if hasattr(kind, name)}
    held |= {"length_log_1": math.log(150.0), "length_log_2": 0.0, "input_tokens": 400.0}
    return Task(**{name: np.float64(value) for name, value in (held | changes).items()})


def model(**changes: float) -> Service:
    neutral = {name: 1.0 if name.endswith("_factor") else 0.0 for name in Service._fields}
    return Service(**{name: np.float64(value) for name, value in (neutral | changes).items()})


def knobs(heat: Any, *, top_p: float = 1.0, frequency: float = 0.0, presence: float = 0.0) -> tuple[Any, ...]:
    heat = np.atleast_1d(np.asarray(heat, np.float64))
    return heat, *(np.full_like(heat, value) for value in (top_p, frequency, presence))


def moved(**changes: float) -> Sizes:
    return sizes_at(drift([DriftParams(**changes)]), np.int32(0))  # type: ignore[arg-type]  # sizes are floats


@pytest.mark.parametrize(
    ("temperature", "top_p", "published"),
    # .7 (1 - .98 sqrt(.1) / (1 + e^(-.5 / .15))) = .7 (1 - .3099 x .9656) = .4905
    # 1.5 (1 - .98 sqrt(.1) / (1 + e^(.3 / .15))) = 1.5 (1 - .3099 x .1192) = 1.4446
    [(0.7, 0.9, 0.49), (1.5, 0.9, 1.45)],
)
def test_top_p_cools_as_published(temperature: float, top_p: float, published: float) -> None:
    assert heat_of(np.float64(temperature), np.float64(top_p)) == pytest.approx(published, abs=0.006)


@FAST
@given(st.floats(0.0, 3.0), st.floats(0.0, 1.0))
def test_effective_temperature_lies_between_zero_and_the_temperature(temperature: float, top_p: float) -> None:
    assert 0.0 <= heat_of(np.float64(temperature), np.float64(top_p)) <= temperature
    assert heat_of(np.float64(temperature), np.float64(1.0)) == temperature


def test_quality_at_the_cliff_is_half_of_what_the_logistic_reaches() -> None:
    task = numbers(q0=0.357, cliff=1.12, cliff_width=0.133)
    # at the cliff sig(0) = 1/2; sig(1.12 / .133) = .99978: .357 x .5 / .99978 = .17854
    assert quality(task, model(), STILL, knobs(1.12))[0] == pytest.approx(0.17854, abs=1e-5)
    assert quality(task, model(), STILL, knobs(0.0))[0] == pytest.approx(0.357, rel=1e-15)


def test_quality_loses_by_distance_from_each_optimum() -> None:
    task = numbers(
        q0=0.9, cliff=20.0, t_star=0.5, k_t=0.2, f_star=0.5, k_f=0.1, p_star=-1.0, k_p=0.05, nucleus_loss=2.0
    )
    # .9 - .2 x .3^2 - .1 x .5^2 - .05 x 2^2 - 2 x (.35 - .3)
    found = quality(task, model(), STILL, knobs(0.8, top_p=0.3, frequency=1.0, presence=1.0))
    assert found[0] == pytest.approx(0.9 - 0.018 - 0.025 - 0.2 - 0.1, rel=1e-12)
    assert quality(task, model(), STILL, knobs(0.5, frequency=0.5, presence=-1.0))[0] == pytest.approx(0.9, rel=1e-12)


def test_models_and_drift_bend_the_same_curve() -> None:
    task = numbers(q0=0.5, cliff=1.2, cliff_width=0.1, t_star=0.4, k_t=0.3)
    bent = model(quality_factor=0.8, cliff_shift=-0.2, optimum_shift=0.3, cliff_width_factor=2.0)
    twice = moved(quality_factor=0.5, cliff_shift=-0.3, optimum_shift=0.1)
    # top .5 x .8 x .5 = .2; cliff 1.2 - .2 - .3 = .7; width .2; best .4 + .3 + .1 = .8
    wanted = 0.2 * sigmoid(np.float64((0.7 - 0.6) / 0.2)) / sigmoid(np.float64(0.7 / 0.2)) - 0.3 * 0.2**2
    assert quality(task, bent, twice, knobs(0.6))[0] == pytest.approx(wanted, rel=1e-14)


@FAST
@given(
    st.fixed_dictionaries(
        {
            "q0": st.floats(0.0, 1.0),
            "cliff": st.floats(0.05, 20.0),
            "cliff_width": st.floats(0.01, 5.0),
            "t_star": st.floats(0.0, 2.0),
            "k_t": st.floats(0.0, 10.0),
            "nucleus_loss": st.floats(0.0, 10.0),
            "failure_floor": st.floats(0.0, 1.0),
            "failing": st.floats(0.0, 1.0),
        }
    ),
    st.floats(0.0, 2.0),
    st.floats(-2.0, 2.0),
    st.floats(0.0, 1.0),
)
def test_probabilities_stay_probabilities(changes: dict[str, float], heat: float, shift: float, share: float) -> None:
    task, now = numbers(**changes), moved(cliff_shift=shift, quality_factor=2.0, failure_share=share)
    for found in (quality(task, model(), now, knobs(heat, top_p=0.1)), failure(task, now, knobs(heat)[0])):
        assert 0.0 <= found[0] <= 1.0


def test_failure_has_a_floor_and_a_cliff_of_its_own() -> None:
    task = numbers(failure_floor=0.05, failing=0.8, failure_centre=1.55, failure_width=0.031)
    found = failure(task, STILL, np.array([0.0, 1.55, 5.0]))
    # floor; floor + .95 x .8 / 2; floor + .95 x .8
    assert found == pytest.approx([0.05, 0.05 + 0.38, 0.05 + 0.76], abs=1e-12)
    # drift raises the floor: .05 + .95 x .1
    assert failure(task, moved(failure_share=0.1), np.array([0.0]))[0] == pytest.approx(0.145, rel=1e-12)


def test_lengths_by_hand() -> None:
    changes = {"runaway": 0.7, "cliff": 1.2, "runaway_shift": 0.1, "runaway_width": 0.08, "length_weight_1": 0.75}
    task = numbers(**changes, length_log_1=5.0, length_log_2=6.0, length_sd_1=0.4, length_sd_2=0.1)
    found = lengths(task, model(length_shift=0.2), moved(length_shift=0.3), knobs([1.3, 0.0], frequency=2.0))
    # at heat 1.3 half of the runaway: .35 + .2 + .3 - .05 x 2 = .75; cold: .4 but for 6e-8 of the runaway
    np.testing.assert_allclose(found.centre, [[5.75, 6.75], [5.4, 6.4]], atol=1e-6)
    assert (found.weight.tolist(), found.sd.tolist()) == ([0.75, 0.25], [0.4, 0.1])


def test_without_runaway_no_parameter_moves_the_length() -> None:
    found = lengths(numbers(runaway=0.0), model(), STILL, knobs([0.0, 2.0], frequency=2.0))
    assert np.ptp(found.centre[:, 0]) == 0.0


@pytest.mark.parametrize("cap", [1.0, 50.0, 200.0, 1000.0, 8000.0])
@pytest.mark.parametrize("sds", [(0.5, 0.05), (1.5, 0.3)])
def test_mean_tokens_and_truncation_are_the_integrals_of_the_mixture(cap: float, sds: tuple[float, float]) -> None:
    weight, centre = np.array([0.72, 0.28]), np.log([104.0, 406.0])
    out, over = tokens(Lengths(weight, centre[None], np.array(sds)), np.array([cap]))
    mean = past = 0.0
    for share, middle, sd in zip(weight, centre, sds, strict=True):
        edge = (math.log(cap) - middle) / sd
        upper = min(max(edge, -12.0), 12.0)
        below = quad(lambda z, m=middle, s=sd: math.exp(m + s * z) * norm.pdf(z), -12.0, upper, epsabs=1e-10)[0]
        mean += share * (below + cap * norm.sf(edge))
        past += share * norm.sf(edge)
    assert out[0] == pytest.approx(mean, rel=1e-7) and over[0] == pytest.approx(past, abs=1e-12)
    assert out[0] <= cap


@pytest.mark.parametrize("sd", [0.0, 0.1, 0.5, 1.0, 1.5])
def test_the_mean_of_the_jitter_is_its_integral(sd: float) -> None:
    inside = quad(lambda z: math.exp(sd * z) * norm.pdf(z), -CUT, CUT, epsabs=1e-12)[0]
    assert jitter_mean(sd) == pytest.approx(inside + norm.sf(CUT) * 2.0 * math.cosh(CUT * sd), rel=1e-10)


def test_jitter_has_the_median_one_and_is_held_within_three_deviations() -> None:
    assert jitter(np.float64(0.5), np.array([-40.0, 0.0, 1.0, 40.0])) == pytest.approx(
        [math.exp(-1.5), 1.0, math.exp(0.5), math.exp(1.5)], rel=1e-15
    )


def test_a_row_is_split_into_its_fields() -> None:
    assert Service(*split(np.arange(16.0), Service)) == tuple(range(16))
    assert Task(*split(np.ones((7, len(Task._fields))), Task)).q0.shape == (7,)


def test_the_formulae_in_jax_are_those_in_numpy() -> None:
    task, at = numbers(k_t=0.1, failing=0.5), knobs(np.linspace(0.0, 2.0, 21), top_p=0.3, frequency=1.0)

    def all_of(task: Task, model: Service, now: Sizes, at: tuple[Any, ...]) -> list[Any]:
        long = lengths(task, model, now, at)
        cut = tokens(long, 400.0 + 0.0 * at[0])
        return [quality(task, model, now, at), failure(task, now, at[0]), *cut, heat_of(at[0], at[1])]

    there = jax.jit(all_of)(*jax.tree.map(jnp.asarray, (task, model(), STILL, at)))
    for here, found in zip(all_of(task, model(), STILL, at), there, strict=True):
        np.testing.assert_allclose(np.asarray(found), here, rtol=1e-12, atol=1e-13)
