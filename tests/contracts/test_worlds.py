"""Every world of configs/world under every drift of configs/drift: finite, bounded, exact, one in two engines.

Averages of draws are held against `expected`. A comparison allows Bernstein's bound where the variance is exact
(0/1 parts), else Z standard errors and the skewness's share (Cornish-Fisher); Bonferroni over all comparisons of all
pairs keeps the false alarm rate of the whole family at 1e-3.
"""

import math
from functools import cache, partial
from itertools import product
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from scipy.special import ndtri

from envs import presets, traffic
from envs.drift import SHAPES, intensity, moves_outcomes
from envs.oracle import best_of_contexts
from envs.surfaces import llm_outcome
from envs.traffic import Context
from envs.world import Noise, Outcome, Scenario, World
from tests.contracts.test_configs import NEEDS

WORLDS = [name for name in presets.names("world") if ("world", name) not in NEEDS]
DRIFTS = presets.names("drift")
PAIRS = list(product(WORLDS, DRIFTS))
N_DRAWS, N_ACTIONS, N_TASKS, HORIZON = 8192, 64, 16, 300
N_STATISTICS = len(PAIRS) * (len(Outcome._fields) + 2)  # the parts, the reward, the traffic
ALARM = 1e-3 / N_STATISTICS
Z, LOG = float(-ndtri(ALARM / 2.0)), math.log(2.0 / ALARM)

every_pair = pytest.mark.parametrize(("name", "drift"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
every_world = pytest.mark.parametrize("name", WORLDS)


class Drawn(NamedTuple):
    """What JAX gave for one pair at its strongest moment: contexts, outcomes and exact means of the same actions."""

    contexts: Context
    outcome: Outcome
    reward: Any
    mean: Outcome
    mean_reward: Any


@cache
def scenario(name: str, drift: str) -> Scenario:
    return presets.scenario(name, drift=drift)


@cache
def strongest(drift: str) -> int:
    """The evaluation at which a drift is at its full intensity; some evaluation if there is none."""
    (one,) = presets.components(drift).values()
    kind, onset, duration = (np.array([x], np.int32) for x in (_shape(drift), one.onset, one.duration))
    levels = [float(intensity(kind, onset, duration, t=np.int32(t))[0]) for t in range(HORIZON)]
    return int(np.argmax(levels))


def _shape(drift: str) -> int:
    (one,) = presets.components(drift).values()
    return SHAPES.index(one.shape)


@cache
def noise(n_uniform: int, n_normal: int) -> Noise:
    """The draws; the first two rows hold the ends of what a uniform and a normal can be."""
    rng = np.random.Generator(np.random.Philox(20260))
    uniform, normal = rng.random((N_DRAWS, n_uniform)), rng.standard_normal((N_DRAWS, n_normal))
    uniform[0], uniform[1], normal[0], normal[1] = 0.0, 1.0 - 2.0**-53, -8.0, 8.0
    return Noise(uniform, normal)


@cache
def places() -> Any:
    """(draws, 3) uniforms of the contexts."""
    return np.random.Generator(np.random.Philox(7)).random((N_DRAWS, 3))


@cache
def actions(name: str) -> Any:
    """(draws,) an action for each draw."""
    size = scenario(name, "none").lattice.size
    return np.random.Generator(np.random.Philox(8)).integers(size, size=N_DRAWS).astype(np.int32)


@cache
def rows(name: str) -> Any:
    """Some tasks, spread over all types."""
    return np.linspace(0, len(scenario(name, "none").population.tasks) - 1, N_TASKS).astype(np.int32)


@cache
def ids(name: str) -> Any:
    """Some actions, the first, the last and the baseline among them."""
    here = scenario(name, "none")
    spread = np.linspace(0, here.lattice.size - 1, N_ACTIONS).astype(np.int32)
    return np.concatenate([spread, here.baseline]).astype(np.int32)


@jax.jit
def _contexts(who: Any, clock: Any, uniform: Any) -> Context:
    """Requests of one moment, task types by their mix."""
    drawn: Context = jax.vmap(partial(traffic.draw, who, clock, by_mix=True))(uniform)
    return drawn


@partial(jax.jit, static_argnames="world")
def _played(world: World, params: Any, t: Any, at: tuple[Context, Any], draws: Noise) -> Any:
    """Outcomes and exact means of every draw; pairs of one structure share the program."""

    def one(context: Context, action: Any, uniform: Any, normal: Any) -> Any:
        drew = world.outcome(params, t, context, action, noise=Noise(uniform, normal))
        mean = world.expected(params, t, context.index, action.reshape(1))
        return drew, jax.tree.map(lambda leaf: leaf[0], mean)

    return jax.vmap(one)(*at, *draws)


@cache
def drawn(name: str, drift: str, t: int) -> Drawn:
    here = scenario(name, drift)
    types = len(here.population.names)
    clock = traffic.start(types)._replace(rounds=np.int32(t * types))
    contexts = jax.tree.map(np.asarray, _contexts(here.traffic, clock, places()))
    draws = noise(here.world.n_uniform, here.world.n_normal)
    made = _played(here.world, here.params, np.int32(t), (contexts, actions(name)), draws)
    (outcome, reward), (mean, mean_reward) = jax.tree.map(np.asarray, made)
    return Drawn(contexts, outcome, reward, mean, mean_reward)


def at_its_height(name: str, drift: str) -> Drawn:
    return drawn(name, drift, strongest(drift))


@cache
def means(name: str, drift: str, t: int) -> Any:
    """Expectations of some tasks and actions in NumPy: (tasks, actions) each part, then the reward."""
    here = scenario(name, drift)
    made = [here.world.expected(here.params, np.int32(t), i, ids(name)) for i in rows(name)]
    return np.stack([np.stack([*parts, reward]) for parts, reward in made], axis=1)


def test_worlds_that_need_no_table_are_all_here() -> None:
    assert {"gsm8k_small", "flat_null"} <= set(WORLDS) and {"none", "version_swap", "seasonal_mix"} <= set(DRIFTS)
    assert pytest.approx(1e-3) == N_STATISTICS * ALARM and 4.0 < Z < 6.0


@every_world
def test_shapes_are_as_declared(name: str) -> None:
    here = scenario(name, "none")
    types, people = len(here.population.names), here.population
    assert here.recorded.shape == (types, here.lattice.size) and here.recorded.dtype == np.bool_
    assert here.recorded.all() and here.is_exact
    assert here.baseline.shape == (types,) and here.recorded[np.arange(types), here.baseline].all()
    assert people.features.shape[0] == people.task.size == people.cluster.size == len(people.tasks)
    assert people.mix.shape == (types,) and people.mix.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.all(np.diff(people.task) >= 0)
    low, high = here.value_range
    assert low < high and here.reward_span == high - low
    params = presets.load("world", name)
    assert isinstance(params, llm_outcome.Params)
    assert (here.reward_range is not None) == (params.noise.kind in ("binomial", "graded"))


@every_pair
def test_everything_expected_and_drawn_is_finite_and_within_its_kind(name: str, drift: str) -> None:
    held = at_its_height(name, drift)
    for part in (*held.outcome, held.reward, *held.mean, held.mean_reward, means(name, drift, strongest(drift))):
        assert np.isfinite(part).all()
    outcome = held.outcome
    assert {0.0, 1.0} >= set(np.unique(outcome.failure)) | set(np.unique(outcome.truncated))
    assert outcome.output_tokens.min() >= 0 and outcome.latency_ms.min() >= 0 and outcome.cost_usd.min() >= 0
    assert np.all(outcome.quality[outcome.failure > 0] == 0)
    np.testing.assert_array_equal(outcome.reserved, held.mean.reserved)
    if scenario(name, drift).reward_range is not None:
        assert outcome.quality.min() >= 0.0 and outcome.quality.max() <= 1.0


@every_pair
def test_no_reward_leaves_the_declared_range(name: str, drift: str) -> None:
    here, held = scenario(name, drift), at_its_height(name, drift)
    low, high = here.value_range
    table = means(name, drift, strongest(drift))[-1]
    assert low - 1e-12 <= min(table.min(), held.mean_reward.min())
    assert max(table.max(), held.mean_reward.max()) <= high + 1e-12
    if here.reward_range is not None:
        assert here.reward_range[0] <= low and high <= here.reward_range[1]
        assert here.reward_range[0] - 1e-12 <= held.reward.min() and held.reward.max() <= here.reward_range[1] + 1e-12


def _allowed(gap: Any) -> float:
    """Half width of an average of (n,) centred draws: Z standard errors, and what their skewness adds."""
    error = gap.std() / math.sqrt(gap.size)
    skewness = abs(float(np.mean((gap - gap.mean()) ** 3))) / max(float(gap.std()) ** 3, 1e-300)
    return float(error * (Z + (Z * Z - 1.0) * skewness / (6.0 * math.sqrt(gap.size)))) + 1e-12


@every_pair
def test_averages_of_draws_are_the_expectations(name: str, drift: str) -> None:
    held = at_its_height(name, drift)
    for part in ("failure", "truncated"):
        got, p = getattr(held.outcome, part)[2:], getattr(held.mean, part)[2:]  # two rows of ends left out
        allowed = math.sqrt(2.0 * LOG * float(np.sum(p * (1.0 - p)))) + LOG / 3.0
        assert abs(float(np.sum(got - p))) <= allowed, part
    pairs = [(f, getattr(held.outcome, f), getattr(held.mean, f)) for f in Outcome._fields]
    for part, got, mean in (*pairs, ("reward", held.reward, held.mean_reward)):
        if part not in ("failure", "truncated"):
            gap = (got - mean)[2:]
            unit = max(1.0, float(np.abs(mean).max()))
            assert abs(float(gap.mean())) <= _allowed(gap) + 1e-12 * unit, part


@every_pair
def test_requests_come_as_often_as_their_weights_say(name: str, drift: str) -> None:
    here, t = scenario(name, drift), strongest(drift)
    weight, held = here.weights(t=t), at_its_height(name, drift)
    assert weight.shape == here.population.task.shape and np.all(weight >= 0)
    assert weight.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_array_equal(here.population.task[held.contexts.index], held.contexts.task)
    np.testing.assert_array_equal(here.population.features[held.contexts.index], held.contexts.features)
    levels = int(here.traffic.levels)
    assert held.contexts.level.min() >= 0 and held.contexts.level.max() == levels - 1
    value = np.random.Generator(np.random.Philox(9)).standard_normal(weight.size)  # any function of the task
    gap = value[held.contexts.index] - weight @ value
    assert abs(float(gap.mean())) <= _allowed(gap)


@every_pair
def test_numpy_and_jax_expect_and_draw_the_same(name: str, drift: str) -> None:
    here, held, t = scenario(name, drift), at_its_height(name, drift), np.int32(strongest(drift))
    draws = noise(here.world.n_uniform, here.world.n_normal)
    for i in range(8):
        context = Context(*(leaf[i] for leaf in held.contexts))
        some = Noise(draws.uniform[i], draws.normal[i])
        drew = here.world.outcome(here.params, t, context, actions(name)[i], noise=some)
        mean = here.world.expected(here.params, t, context.index, actions(name)[i : i + 1])
        for mine, theirs in ((drew, held[1:3]), (mean, held[3:5])):
            for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
                np.testing.assert_allclose(b[i], np.reshape(a, ()), rtol=1e-10, atol=1e-12)


@every_pair
def test_time_moves_only_where_the_regimes_say(name: str, drift: str) -> None:
    here, begins = scenario(name, drift), scenario(name, drift).regimes(HORIZON)
    assert begins[0] == 0 and list(begins) == sorted(set(begins)) and begins[-1] < HORIZON
    ends = (*(b - 1 for b in begins[1:]), HORIZON - 1)
    for begin, end in list(zip(begins, ends, strict=True))[:: max(1, len(begins) // 3)]:
        at = (rows(name)[3], ids(name)[:8])
        early, late = (here.world.expected(here.params, np.int32(t), *at) for t in (begin, end))
        for a, b in zip(jax.tree.leaves(early), jax.tree.leaves(late), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(here.weights(t=begin), here.weights(t=end))


@every_pair
def test_a_drift_acts_from_its_onset_and_not_before(name: str, drift: str) -> None:
    (moved,) = presets.components(drift).values()
    here, still = scenario(name, drift), scenario(name, "none")
    if moved.onset:
        np.testing.assert_array_equal(means(name, drift, moved.onset - 1), means(name, "none", 0))
        np.testing.assert_array_equal(here.weights(t=moved.onset - 1), still.weights())
    acts = bool(np.any(means(name, drift, strongest(drift)) != means(name, "none", 0)))
    shifts = bool(np.any(here.weights(t=strongest(drift)) != still.weights()))
    assert acts == bool(moves_outcomes(moved))
    mixes = moved.task_mix > 0 and len(here.population.names) > 1
    assert shifts == (moved.prompt_divergence > 0 or mixes)
    noted = any("One task type only" in note for note in here.notes)
    assert noted == (moved.task_mix > 0 and len(here.population.names) == 1)


@every_world
def test_a_drift_of_nothing_is_bit_equal_to_none(name: str) -> None:
    t = strongest("null_drift")
    for a, b in zip(
        jax.tree.leaves(drawn(name, "null_drift", t)), jax.tree.leaves(drawn(name, "none", t)), strict=True
    ):
        assert a.tobytes() == b.tobytes()


@every_world
def test_equal_noise_gives_equal_draws_and_other_noise_others(name: str) -> None:
    here, held = scenario(name, "none"), drawn(name, "none", 0)

    def draw(i: int, one: int) -> list[float]:
        draws = noise(here.world.n_uniform, here.world.n_normal)
        some = Noise(draws.uniform[one].copy(), draws.normal[one].copy())
        context = Context(*(leaf[i] for leaf in held.contexts))
        outcome, reward = here.world.outcome(here.params, np.int32(0), context, actions(name)[i], noise=some)
        return [float(part) for part in (*outcome, reward)]

    first = [draw(i, i) for i in range(2, 22)]
    assert first == [draw(i, i) for i in range(2, 22)]
    assert first != [draw(i, i + 20) for i in range(2, 22)]


@every_world
def test_no_action_beats_the_oracle(name: str) -> None:
    here, held = scenario(name, "none"), drawn(name, "none", 0)
    best = best_of_contexts(here).value
    assert np.all(held.mean_reward <= best[held.contexts.index] + 1e-12)  # rounding of another engine
    assert np.all(means(name, "none", 0)[-1] <= best[rows(name)][:, None])  # one row at a time, as the oracle asks
