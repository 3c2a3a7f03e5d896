"""Who asks next: turns, mixes and tilted prompts occur as often as `weights_at` says, exactly or by counting."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

from envs.drift import Params as DriftParams
from envs.population import Effects, TaskType, draw_population
from envs.targets import ConfigError
from envs.traffic import Clock, Context, Population, Traffic, advance, divergence, draw, now, start, traffic, weights_at

FAST = settings(derandomize=True, database=None, deadline=None, max_examples=40)
COUNT, N_DRAWS, GRID = 32, 200_000, 1 << 16
SEASON = DriftParams(shape="season", duration=16, task_mix=0.6, toward="b")
SHIFT = DriftParams(shape="ramp", onset=4, duration=16, prompt_divergence=0.3)
Floats = NDArray[np.float64]


def people(n_types: int = 3, *, count: int = COUNT) -> Population:
    types = [TaskType(name=name, weight=weight) for name, weight in zip("abc", (1.0, 2.0, 5.0), strict=True)]
    return draw_population(types[:n_types], Effects(), count=count, seed=5)[0]


def at(t: int, n_tasks: int = 3) -> Clock:
    return Clock(np.int32(t * n_tasks), np.zeros(n_tasks, np.int32))


@partial(jax.jit, static_argnames="by_mix")
def _drawn(who: Traffic, clock: Clock, uniform: Any, *, by_mix: bool) -> Context:
    def one(u: Any) -> Context:
        return draw(who, clock, u, by_mix=by_mix)

    return jax.vmap(one)(uniform)


def drawn(who: Traffic, t: int, uniform: Floats, *, by_mix: bool = False) -> Context:
    found = _drawn(*jax.tree.map(jnp.asarray, (who, at(t, len(who.first)))), jnp.asarray(uniform), by_mix=by_mix)
    return Context(*map(np.asarray, found))


def largest_z(index: Any, probability: Floats) -> float:
    """The largest deviation of a row's frequency, in its own binomial standard errors."""
    freq = np.bincount(index, minlength=len(probability)) / len(index)
    return float(np.max(np.abs(freq - probability) / np.sqrt(probability * (1.0 - probability) / len(index))))


def test_task_types_take_turns() -> None:
    who, clock, types = traffic(people()), start(3), []
    for _ in range(7):
        context = draw(who, clock, np.array([0.99, 0.5, 0.0]))
        types.append(int(context.task))
        clock = advance(clock, context.task)
    assert types == [0, 1, 2, 0, 1, 2, 0]
    assert clock.rounds == 7 and clock.seen.tolist() == [3, 2, 2]
    assert now(clock) == 2  # the third round of every type has begun, and not ended


def test_a_context_is_a_row_of_its_type_and_rows_are_taken_evenly() -> None:
    population = people()
    who, clock = traffic(population), start(3)
    found = [draw(who, clock, np.array([0.0, (i + 0.5) / COUNT, 0.0])) for i in range(COUNT)]
    assert [int(c.index) for c in found] == list(range(COUNT))
    assert all(np.array_equal(c.features, population.features[int(c.index)]) for c in found)


@pytest.mark.parametrize("last", [1.0 - 2.0**-53, np.float32(1.0 - 2.0**-24)])
def test_the_largest_uniform_still_draws_the_last_row(last: Any) -> None:
    who = traffic(people(), drift=[SEASON, SHIFT], levels=16)
    for t in (0, 8, 30):
        context = draw(who, at(t), np.full(3, last))
        assert 0 <= context.index < 3 * COUNT and context.task == who.first.searchsorted(context.index, "right") - 1
        assert context.level == 15


def test_a_log_of_traffic_draws_types_by_their_mix() -> None:
    who = traffic(people())
    uniform = np.random.default_rng(1).random((N_DRAWS, 3))
    found = drawn(who, 7, uniform, by_mix=True)
    assert people().mix == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    # 3 types and 96 rows, each beyond 4.5 standard errors with probability 6.8e-6: false alarm 0.07 %
    assert largest_z(found.task, people().mix) < 4.5
    assert largest_z(found.index, np.repeat(people().mix, COUNT) / COUNT) < 4.5


def test_a_season_moves_the_shares_of_the_types_as_by_hand() -> None:
    who = traffic(people(), drift=[SEASON])
    shares = {t: weights_at(who, t).reshape(3, COUNT).sum(axis=1).tolist() for t in (0, 4, 8, 16)}
    # intensity 0, 1/2, 1, 0: 30 % and 60 % of all traffic move to `b`
    assert shares[0] == shares[16] == pytest.approx([0.125, 0.25, 0.625])
    assert shares[4] == pytest.approx([0.7 * 0.125, 0.7 * 0.25 + 0.3, 0.7 * 0.625])
    assert shares[8] == pytest.approx([0.4 * 0.125, 0.4 * 0.25 + 0.6, 0.4 * 0.625])


@pytest.mark.parametrize("t", [0, 4, 8])
def test_types_have_exactly_their_share_of_the_uniform(t: int) -> None:
    who, uniform = traffic(people(), drift=[SEASON]), np.zeros((GRID, 3))
    uniform[:, 0] = (np.arange(GRID) + 0.5) / GRID
    freq = np.bincount(drawn(who, t, uniform).task) / GRID
    # A type is one interval, whose points on the grid miss its length by at most 1 / GRID.
    assert np.abs(freq - weights_at(who, t).reshape(3, COUNT).sum(axis=1)).max() <= 1.0 / GRID


@pytest.mark.parametrize("t", [0, 3, 8, 11])
def test_draws_under_every_drift_of_traffic_are_as_frequent_as_their_weights(t: int) -> None:
    who = traffic(people(), drift=[SEASON, SHIFT, DriftParams(onset=9, task_mix=0.25, toward="c")])
    found = drawn(who, t, np.random.default_rng(t).random((N_DRAWS, 3)))
    # 96 rows at four moments, each beyond 4.5 with probability 6.8e-6: false alarm 0.3 %
    assert largest_z(found.index, weights_at(who, t)) < 4.5
    assert np.array_equal(found.task, people().task[found.index])


def test_movers_of_the_mix_act_one_after_the_other() -> None:
    first, second = (DriftParams(task_mix=0.5, toward=name) for name in "ab")
    shares = weights_at(traffic(people(), drift=[first, second]), 0).reshape(3, COUNT).sum(axis=1)
    # .125 .25 .625 -> .5625 .125 .3125 -> half of each, and half to `b`
    assert shares == pytest.approx([0.28125, 0.5625, 0.15625])
    back = weights_at(traffic(people(), drift=[second, first]), 0).reshape(3, COUNT).sum(axis=1)
    assert back == pytest.approx([0.5 + 0.03125, 0.3125, 0.15625])


@pytest.mark.parametrize("bits", [0.01, 0.1, 0.3, 0.5])
def test_a_prompt_shift_reaches_its_divergence_in_every_task_type(bits: float) -> None:
    population = people()
    moving = DriftParams(onset=3, prompt_divergence=bits, prompt_feature="description_length")
    who = traffic(population, drift=[moving])
    before, after = (weights_at(who, t).reshape(3, COUNT) for t in (2, 3))
    column = population.features[:, population.spec.names.index("description_length")].reshape(3, COUNT)
    for kind in range(3):
        p, q = before[kind] / before[kind].sum(), after[kind] / after[kind].sum()
        assert jensenshannon(p, q, base=2) ** 2 == pytest.approx(bits, abs=1e-9)
        assert divergence(p, q) == pytest.approx(bits, abs=1e-9)
        assert q @ column[kind] > p @ column[kind]  # high values become more frequent
    assert after.sum(axis=1) == pytest.approx(population.mix)


def test_a_ramp_of_prompts_mixes_the_old_with_the_tilted() -> None:
    who = traffic(people(), drift=[SHIFT])
    none, half, full = (weights_at(who, t) for t in (4, 12, 20))
    np.testing.assert_allclose(half, (none + full) / 2.0, rtol=1e-12)
    assert none == pytest.approx(np.repeat(people().mix, COUNT) / COUNT)


@pytest.mark.parametrize("t", [4, 9, 12, 40])
def test_walkers_table_reproduces_the_tilted_distribution(t: int) -> None:
    who = traffic(people(1), drift=[SHIFT])
    uniform = np.zeros((GRID, 3))
    uniform[:, 1] = (np.arange(GRID) + 0.5) / GRID
    freq = np.bincount(drawn(who, t, uniform).index, minlength=COUNT) / GRID
    # A row is drawn from its cell of the even part, its cell of the tilted part, and one piece of each cell that
    # names it as alias: that many intervals, whose points on the grid miss their length by at most 1 / GRID each.
    intervals = 2 + np.bincount(who.tilting.alias[0], minlength=COUNT)
    assert np.all(np.abs(freq - weights_at(who, t)) <= intervals / GRID)


def test_a_divergence_that_no_tilt_reaches_is_refused() -> None:
    shift = DriftParams(prompt_divergence=0.95, prompt_feature="has_external_deps")
    with pytest.raises(
        ConfigError, match=r"drift\.NAME\.prompt_divergence: got 0\.95, need at most 0\.\d+ bits, all that"
    ):
        traffic(people(), drift=[shift])


def test_two_components_that_move_prompts_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"drift\.NAME\.prompt_divergence: got \[0\.3, 0\.3\], need one component"):
        traffic(people(), drift=[SHIFT, SHIFT])


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (
            DriftParams(prompt_divergence=0.1, prompt_feature="descripton_length"),
            r"drift\.NAME\.prompt_feature: got 'descripton_length', need .*; did you mean 'description_length'\?",
        ),
        (
            DriftParams(task_mix=0.1, toward="d"),
            r"drift\.NAME\.toward: got 'd', need a task type of this world: a, b, c$",
        ),
    ],
)
def test_an_unknown_feature_or_task_type_is_refused_by_name(component: DriftParams, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        traffic(people(), drift=[component])


def test_a_misspelt_task_type_gets_the_nearest_name() -> None:
    population = draw_population([TaskType(name="short"), TaskType(name="long")], Effects(), count=2, seed=1)[0]
    with pytest.raises(ConfigError, match=r"got 'shrt', .*; did you mean 'short'\?"):
        traffic(population, drift=[DriftParams(task_mix=0.1, toward="shrt")])


def test_one_task_type_alone_ignores_a_drift_of_the_mix() -> None:
    still, moved = (traffic(people(1), drift=drift) for drift in ([], [DriftParams(task_mix=0.6)]))
    assert np.array_equal(weights_at(still, 5), weights_at(moved, 5))
    for u in np.random.default_rng(2).random((20, 3)):
        assert jax.tree.all(jax.tree.map(np.array_equal, draw(still, at(5, 1), u), draw(moved, at(5, 1), u)))


@pytest.mark.parametrize("levels", [1, 3, 16])
def test_difficulty_levels_are_equally_frequent(levels: int) -> None:
    uniform = np.full((48 * 7, 3), 0.5)
    uniform[:, 2] = (np.arange(48 * 7) + 0.5) / (48 * 7)
    counts = np.bincount(drawn(traffic(people(), levels=levels), 0, uniform).level)
    assert counts.tolist() == [48 * 7 // levels] * levels


@pytest.mark.parametrize("drift", [[], [SEASON], [SHIFT], [SEASON, SHIFT]], ids=["none", "mix", "prompts", "both"])
def test_numpy_and_jax_draw_the_same(drift: list[DriftParams]) -> None:
    who = traffic(people(), drift=drift, levels=5)
    uniform = np.random.default_rng(3).random((200, 3))
    for t in (0, 9, 30):
        there = drawn(who, t, uniform)
        here = [draw(who, at(t), u) for u in uniform]
        for name in Context._fields:
            assert np.array_equal(np.stack([getattr(c, name) for c in here]), getattr(there, name))


@FAST
@given(
    st.lists(
        st.builds(
            DriftParams,
            shape=st.sampled_from(["step", "ramp", "pulse", "season"]),
            onset=st.integers(0, 20),
            duration=st.integers(1, 40),
            task_mix=st.floats(0.0, 1.0),
            toward=st.sampled_from("abc"),
        ),
        max_size=3,
    ),
    st.floats(0.0, 0.3),
    st.integers(0, 60),
)
def test_the_weights_of_traffic_are_a_distribution_at_every_moment(
    movers: list[DriftParams], bits: float, t: int
) -> None:
    weights = weights_at(traffic(people(), drift=[*movers, DriftParams(onset=9, prompt_divergence=bits)]), t)
    assert weights.shape == (3 * COUNT,) and (weights >= 0.0).all()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)


@FAST
@given(st.lists(st.tuples(st.floats(1e-6, 1.0), st.floats(1e-6, 1.0)), min_size=2, max_size=12))
def test_divergence_is_symmetric_bounded_and_zero_for_equals(pairs: list[tuple[float, float]]) -> None:
    p, q = (np.array(column) / sum(column) for column in zip(*pairs, strict=True))
    assert divergence(p, q) == pytest.approx(divergence(q, p), abs=1e-15)
    assert -1e-15 <= divergence(p, q) <= 1.0 and divergence(p, p) == 0.0
    assert divergence(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)
