"""Hidden difficulty and the paired mode of `envs.surfaces.llm_outcome`: means stay, variance falls as enumerated."""

from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs.population import TaskType
from envs.quality_noise import Params as NoiseParams
from envs.surfaces.llm_outcome import Baseline, Params, build
from envs.traffic import Context
from envs.world import Noise, Scenario, World

FAST = settings(derandomize=True, database=None, deadline=None, max_examples=40)
N_DRAWS = 200_000
RIGHT_OR_WRONG = NoiseParams(checks=1)
Floats = NDArray[np.float64]


def plain(mean: float, between: float, levels: int, *, noise: NoiseParams = RIGHT_OR_WRONG, replays: int = 0) -> Params:
    """One action, no failures, no truncation: reward is quality, and its mean is `mean` for every task."""
    kind = TaskType(q0=mean, cliff=20.0, truncation_loss=0.0, runaway=0.0, between=between)
    home = Baseline(temperature="0")
    return Params(
        task_types=[kind], baseline=home, noise=noise, levels=levels, replays=replays, contexts_per_type=2
    )  # fmt: skip


def qualities(mean: float, between: float, levels: int) -> Floats:
    """(levels,) mean quality of a problem of every level: Gaussian noise whose normals are 0 adds nothing."""
    scenario = build(plain(mean, between, levels, noise=NoiseParams("gaussian")))
    still = Noise(np.full(5, 0.5), np.zeros(5))
    here = [Context(np.int32(0), np.int32(0), scenario.population.features[0], np.int32(i)) for i in range(levels)]
    drawn = [scenario.world.outcome(scenario.params, np.int32(0), c, np.int32(0), noise=still)[1] for c in here]
    return np.array(drawn, np.float64)


def shares(mean: float, between: float, levels: int) -> tuple[float, float]:
    """Variance of right-or-wrong answers within a problem and between problems, summed over the levels."""
    each = qualities(mean, between, levels)
    return float(np.mean(each * (1.0 - each))), float(np.var(each))


def test_levels_by_hand() -> None:
    # half of the quality comes in steps (sqrt(.25)): m = .6 masters 2.4 of 4 levels
    assert qualities(0.6, 0.25, 4) == pytest.approx([0.3 + 0.5, 0.3 + 0.5, 0.3 + 0.5 * 0.4, 0.3], rel=1e-12)


@FAST
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 16))
def test_the_mean_over_the_levels_is_the_mean_whatever_it_is(mean: float, between: float, levels: int) -> None:
    each = qualities(mean, between, levels)
    assert each.mean() == pytest.approx(mean, abs=1e-12)
    assert each.min() >= -1e-15 and each.max() <= 1.0 + 1e-15
    assert np.all(np.diff(each) <= 1e-15)  # higher levels are harder


@FAST
@given(st.floats(0.02, 0.98), st.floats(0.0, 1.0), st.integers(1, 16))
def test_replaying_a_problem_takes_away_the_variance_between_problems(mean: float, between: float, levels: int) -> None:
    within, apart = shares(mean, between, levels)
    total = mean * (1.0 - mean)
    assert within + apart == pytest.approx(total, abs=1e-12)
    # The steps alone have the variance m (1 - m) - f (1 - f) / L, where f is what L m exceeds a whole number by.
    rest = levels * mean - np.floor(levels * mean)
    assert apart == pytest.approx(between * (total - rest * (1.0 - rest) / levels), abs=1e-12)


@pytest.mark.parametrize(("between", "ratio"), [(0.5, 2.0), (0.75, 4.0), (0.875, 8.0)])
def test_the_variance_ratio_is_one_over_what_is_within(between: float, ratio: float) -> None:
    within, apart = shares(0.5, between, 16)
    assert (within + apart) / within == pytest.approx(ratio, rel=1e-12)  # sixteen levels, eight mastered: no rest
    within, apart = shares(0.33, between, 16)  # f = .28: .28 x .72 / 16 = .0126 of .2211 is missing
    assert (within + apart) / within == pytest.approx(1.0 / (1.0 - between * (1.0 - 0.0126 / 0.2211)), rel=1e-12)


@partial(jax.jit, static_argnames="world")
def _moments(world: World, params: Any, levels: Any, draws: Noise) -> Any:
    def one(level: Any, noise: Noise) -> Any:
        here = Context(jnp.int32(0), jnp.int32(0), jnp.zeros(0), level)
        return world.outcome(params, jnp.int32(0), here, jnp.int32(0), noise=noise)[1]

    worth = jax.vmap(one)(levels, draws)
    apart = worth - worth.mean()
    return jnp.stack([worth.mean(), *((apart**k).mean() for k in (2, 4))])


def moments(scenario: Scenario, levels: Any) -> tuple[float, float, float]:
    """Mean, variance and fourth central moment of the rewards of as many draws as levels."""
    world, rng = scenario.world, np.random.default_rng(17)
    draws = Noise(rng.random((len(levels), world.n_uniform)), rng.standard_normal((len(levels), world.n_normal)))
    mean, variance, fourth = np.asarray(_moments(world, scenario.params, levels, draws))
    return float(mean), float(variance), float(fourth)


@cache
def paired(replays: int, between: float) -> Scenario:
    return build(plain(0.5, between, 10, replays=replays))


def any_level() -> Any:
    return np.random.default_rng(3).integers(10, size=N_DRAWS, dtype=np.int32)


def test_answers_to_one_problem_scatter_less_than_answers_to_all() -> None:
    each, scenario = qualities(0.5, 0.8, 10), paired(0, 0.8)
    for level in (0, 5, 9):
        mean, variance, fourth = moments(scenario, np.full(N_DRAWS, level, np.int32))
        wanted = each[level] * (1.0 - each[level])
        # Eight z values in all, each beyond 4 with probability 6.3e-5: false alarm 0.05 %.
        assert abs(mean - each[level]) < 4.0 * np.sqrt(wanted / N_DRAWS)
        assert abs(variance - wanted) < 4.0 * np.sqrt((fourth - variance**2) / N_DRAWS)
    mean, variance, fourth = moments(scenario, any_level())
    assert abs(mean - 0.5) < 4.0 * np.sqrt(0.25 / N_DRAWS)
    assert abs(variance - 0.25) < 5e-5  # (mean - .5)^2, at four standard errors 2e-5: a Bernoulli's is known


@pytest.mark.parametrize("between", [0.3, 0.8])
@pytest.mark.parametrize("replays", [1, 2, 3, 4])
def test_paired_rewards_keep_their_mean_and_lose_variance_as_in_closed_form(replays: int, between: float) -> None:
    scenario = paired(replays, between)
    expected = float(scenario.table()[0, 0])
    assert expected == pytest.approx(0.5, rel=1e-12)
    mean, variance, fourth = moments(scenario, any_level())
    # V = 1/4 of which b lies between problems. A control of mean zero, b V + (1 - b) V / R in variance and b V in
    # covariance, has the best weight w = R b / (1 + (R - 1) b) and leaves V (1 - w b). Levels leave no rest: L m = 5.
    weight = replays * between / (1.0 + (replays - 1) * between)
    left = 0.25 * (1.0 - weight * between)
    # Sixteen z values, each beyond 4 with probability 6.3e-5: false alarm 0.1 %.
    assert abs(mean - expected) < 4.0 * np.sqrt(left / N_DRAWS)
    assert abs(variance - left) < 4.0 * np.sqrt((fourth - variance**2) / N_DRAWS)


def test_four_replays_take_away_three_quarters_of_the_variance_where_problems_differ_much() -> None:
    _, variance, fourth = moments(paired(4, 0.8), any_level())
    # w = 4 x .8 / 3.4 = .941; 1 - .941 x .8 = .247, a fall of 4.05: research measured 2 to 8
    error = np.sqrt((fourth - variance**2) / N_DRAWS)  # one z beyond 4: false alarm 6.3e-5
    assert abs(variance - 0.25 * 0.2471) < 4.0 * error
    assert 2.0 < 0.25 / variance < 8.0


def test_the_paired_mode_says_what_it_costs_and_widens_the_range_by_the_weight_of_quality() -> None:
    one, three = (build(plain(0.5, 0.5, 4, replays=n)) for n in (0, 3))
    assert (one.world.n_uniform, three.world.n_uniform) == (5, 8)
    assert one.reward_range == (0.0, 1.0) and three.reward_range == (-1.0, 2.0)
    assert one.value_range == three.value_range == (0.0, 1.0)
    assert one.notes == () and "an evaluation costs 4 calls" in three.notes[0]


def test_replays_are_answers_of_the_baseline_and_do_not_depend_on_the_action() -> None:
    params = plain(0.5, 0.6, 5, replays=2)
    range_of = replace(params.lattice, temperature=replace(params.lattice.temperature, stop="1"))
    kind = replace(params.task_types[0], k_t=0.3)
    several, alone = (build(replace(params, lattice=range_of, task_types=[kind], replays=n)) for n in (2, 0))
    rng, here = np.random.default_rng(1), Context(np.int32(1), np.int32(0), np.zeros(0), np.int32(2))
    for _ in range(20):
        noise = Noise(rng.random(7), rng.standard_normal(3))
        gaps = []
        for action in (np.int32(0), np.int32(1)):
            pair = (s.world.outcome(s.params, np.int32(0), here, action, noise=noise) for s in (several, alone))
            (parts, corrected), (same, raw) = pair
            assert parts == same  # only the reward is corrected
            gaps.append(corrected - raw)
        assert gaps[0] == pytest.approx(gaps[1], abs=1e-15)
