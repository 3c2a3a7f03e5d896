"""Every world of configs/world under every drift of configs/drift: finite, repeatable, bounded, one in two engines."""

from functools import cache, partial
from itertools import product
from typing import Any

import jax
import numpy as np
import pytest

from envs import presets
from envs.drift import Params as DriftParams
from envs.world import N_NORMAL, N_UNIFORM, Context, Noise, Outcome, Scenario, World, WorldState

WORLDS = [name for name in presets.names("world") if name not in ("replay", "temperature_study")]  # these need a table
PAIRS = list(product(WORLDS, presets.names("drift")))
N_DRAWS = 2000
ROWS = 16  # tasks compared in full

every_pair = pytest.mark.parametrize(("name", "drift"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])


@cache
def scenario(name: str, drift: str) -> Scenario:
    return presets.scenario(name, drift=drift)


@cache
def late(name: str, drift: str) -> int:
    """A round after every drift that begins at all."""
    moved = presets.load("drift", drift)
    assert isinstance(moved, DriftParams)
    return 1000 if moved.onset > 10**6 else 2 * moved.onset + 2


@cache
def table(name: str, drift: str) -> Any:
    """(2, n, actions) exact expected rewards before and after the drift, in NumPy."""
    here = scenario(name, drift)
    return np.stack([here.table(), here.table(rounds=late(name, drift))])


@cache
def noise() -> Noise:
    """The draws of every pair; the first two rows hold the ends of what a uniform and a normal can be."""
    rng = np.random.Generator(np.random.Philox(20260))
    uniform, normal = rng.random((N_DRAWS, N_UNIFORM)), rng.standard_normal((N_DRAWS, N_NORMAL))
    uniform[0], uniform[1], normal[0], normal[1] = 0.0, 1.0 - 2.0**-53, -8.0, 8.0
    return Noise(uniform, normal)


@cache
def spots(name: str) -> tuple[Any, Any]:
    """(draws,) a task and an action for each draw."""
    here = scenario(name, "none")
    rng = np.random.Generator(np.random.Philox(7))
    tasks, actions = (rng.integers(n, size=N_DRAWS) for n in (len(here.population.tasks), here.lattice.size))
    return tasks.astype(np.int32), actions.astype(np.int32)


@partial(jax.jit, static_argnames="world")
def drawn(world: World, params: Any, rounds: Any, at: tuple[Any, Any], draws: Noise) -> tuple[Outcome, Any]:
    """What each draw gives in JAX; every pair of one structure shares the program."""

    def one(index: Any, action: Any, uniform: Any, normal: Any) -> tuple[Outcome, Any]:
        return world.outcome(params, WorldState(rounds), index, action, noise=Noise(uniform, normal))

    return jax.vmap(one)(*at, *draws)


@partial(jax.jit, static_argnames="world")
def expected(world: World, params: Any, rounds: Any, rows: Any, ids: Any) -> tuple[Outcome, Any]:
    """Expectations of every row and action in JAX."""
    return jax.vmap(lambda index: world.expected(params, WorldState(rounds), index, ids))(rows)


def _compiled_draws(name: str, drift: str) -> list[tuple[Outcome, Any]]:
    here = scenario(name, drift)
    moments = [np.int32(0), np.int32(late(name, drift))]
    runs = [drawn(here.world, here.params, t, spots(name), noise()) for t in moments]
    return [jax.tree.map(np.asarray, run) for run in runs]


@every_pair
def test_everything_expected_is_finite(name: str, drift: str) -> None:
    here = scenario(name, drift)
    ids = np.arange(here.lattice.size, dtype=np.int32)
    assert np.isfinite(table(name, drift)).all()
    for t in (0, late(name, drift)):
        for index in range(0, len(here.population.tasks), ROWS):
            parts, reward = here.world.expected(here.params, WorldState(np.int32(t)), np.int32(index), ids)
            assert all(np.isfinite(part).all() for part in (*parts, reward))
            assert reward.shape == ids.shape


@every_pair
def test_shapes_are_as_declared(name: str, drift: str) -> None:
    here = scenario(name, drift)
    types, people = len(here.population.names), here.population
    assert here.recorded.shape == (types, here.lattice.size) and here.recorded.dtype == np.bool_
    assert here.recorded.all() and here.is_exact
    assert here.baseline.shape == (types,) and here.recorded[np.arange(types), here.baseline].all()
    assert people.features.shape[0] == people.task.size == people.cluster.size == len(people.tasks)
    assert people.mix.shape == (types,) and people.mix.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.all(np.diff(people.task) >= 0)


@every_pair
def test_equal_noise_gives_equal_draws_and_other_noise_others(name: str, drift: str) -> None:
    here, (tasks, actions) = scenario(name, drift), spots(name)
    state = WorldState(np.int32(late(name, drift)))

    def draw(i: int, one: int) -> list[float]:
        some = Noise(noise().uniform[one].copy(), noise().normal[one].copy())
        outcome, reward = here.world.outcome(here.params, state, tasks[i], actions[i], noise=some)
        return [float(part) for part in (*outcome, reward)]

    first = [draw(i, i) for i in range(2, 52)]
    assert first == [draw(i, i) for i in range(2, 52)]
    assert first != [draw(i, i + 50) for i in range(2, 52)]


@every_pair
def test_no_action_beats_the_oracle(name: str, drift: str) -> None:
    here, (tasks, actions) = scenario(name, drift), spots(name)
    for place, t in enumerate((0, late(name, drift))):
        best = table(name, drift)[place].max(axis=1)
        rows = np.arange(0, len(here.population.tasks), ROWS, dtype=np.int32)
        ids = np.arange(here.lattice.size, dtype=np.int32)
        reward = np.asarray(expected(here.world, here.params, np.int32(t), rows, ids)[1])
        assert np.all(reward <= best[rows][:, None] + 1e-12)  # rounding of another engine
        for i in range(50):  # one at a time, as a policy asks
            state, alone = WorldState(np.int32(t)), actions[i : i + 1]
            value = here.world.expected(here.params, state, tasks[i], alone)[1][0]
            assert value <= best[tasks[i]]
            assert value == pytest.approx(table(name, drift)[place][tasks[i], actions[i]], abs=1e-14)


@every_pair
def test_every_reward_lies_in_the_declared_range(name: str, drift: str) -> None:
    here = scenario(name, drift)
    assert here.reward_range is not None
    low, high = here.reward_range
    assert low < high and here.reward_span == high - low
    for _, reward in _compiled_draws(name, drift):
        assert low <= reward.min() and reward.max() <= high
    means = table(name, drift)
    assert low <= means.min() and means.max() <= high


@every_pair
def test_numpy_and_jax_expect_and_draw_the_same(name: str, drift: str) -> None:
    here, (tasks, actions) = scenario(name, drift), spots(name)
    t = late(name, drift)
    rows = np.arange(0, len(here.population.tasks), ROWS, dtype=np.int32)
    ids = np.arange(here.lattice.size, dtype=np.int32)
    there = expected(here.world, here.params, np.int32(t), rows, ids)
    for place, index in enumerate(rows):
        mine = here.world.expected(here.params, WorldState(np.int32(t)), index, ids)
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(there), strict=True):
            np.testing.assert_allclose(np.asarray(b)[place], a, rtol=1e-12, atol=1e-12)
    leaves = jax.tree.leaves(_compiled_draws(name, drift)[1])
    for i in range(100):
        some = Noise(noise().uniform[i], noise().normal[i])
        drew = here.world.outcome(here.params, WorldState(np.int32(t)), tasks[i], actions[i], noise=some)
        for a, b in zip(jax.tree.leaves(drew), leaves, strict=True):
            np.testing.assert_allclose(b[i], a, rtol=1e-12, atol=1e-12)


@every_pair
def test_contexts_are_drawn_from_their_own_task_type(name: str, drift: str) -> None:
    here = scenario(name, drift)
    for task, uniform in product(range(len(here.population.names)), (0.0, 0.5, 1.0 - 2.0**-53)):
        drew: Context = here.world.context(here.params, WorldState(np.int32(0)), np.int32(task), np.float64(uniform))
        assert here.population.task[drew.index] == task
        np.testing.assert_array_equal(drew.features, here.population.features[drew.index])


@pytest.mark.parametrize("name", WORLDS)
def test_a_drift_acts_from_its_onset_and_not_before(name: str) -> None:
    for drift in presets.names("drift"):
        moved, still = scenario(name, drift), table(name, "none")[0]
        onset = presets.load("drift", drift)
        assert isinstance(onset, DriftParams)
        np.testing.assert_array_equal(table(name, drift)[0], still)
        if onset.onset < 10**6:
            types = len(moved.population.names)
            np.testing.assert_array_equal(moved.table(rounds=types * onset.onset - 1), still)
            assert (moved.table(rounds=types * onset.onset) != still).any()
