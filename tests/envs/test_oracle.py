"""The oracle, on a world that is a table: best actions and policy values worked out by hand."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.arrays import Array, namespace
from envs.drift import Params as DriftParams
from envs.lattice import AxisRange, Lattice, LatticeRanges
from envs.oracle import Best, best_of_contexts, best_of_types, integrated, type_values, value
from envs.population import Effects, TaskType, draw_population
from envs.traffic import Context, traffic
from envs.world import Noise, Outcome, Scenario, World

ONSET = 5
BEFORE = [[0.1, 0.5, 0.3], [0.7, 0.2, 0.4], [0.0, 0.6, 0.6], [0.9, 0.1, 0.5]]  # contexts 0, 1 of type a; 2, 3 of type b
AFTER = [[0.1, 0.5, 0.3], [0.1, 0.2, 0.8], [0.3, 0.6, 0.0], [0.0, 0.7, 0.5]]
# Type a has a quarter of the traffic, b three quarters, and each type two contexts:
SHARE = np.array([1, 1, 3, 3]) / 8


class Numbers(NamedTuple):
    """The leaves of a world: (2, n, actions) expected rewards before and after the onset."""

    table: Array
    onset: Array


def _parts(reward: Array) -> tuple[Outcome, Array]:
    nothing = 0.0 * reward
    return Outcome(reward, nothing, nothing, nothing, nothing, nothing, nothing), reward


def _expected(params: Numbers, t: Array, index: Array, ids: Array) -> tuple[Outcome, Array]:
    xp = namespace(params.table)
    return _parts(xp.take(xp.where(t < params.onset, params.table[0, index], params.table[1, index]), ids, axis=0))


def _outcome(params: Numbers, t: Array, context: Context, action_id: Array, *, noise: Noise) -> tuple[Outcome, Array]:
    """Right with the probability that the table says: noise is one uniform."""
    mean = _expected(params, t, context.index, action_id.reshape(1))[1][0]
    return _parts(namespace(mean).where(noise.uniform[0] < mean, 1.0, 0.0))


WORLD = World(_expected, _outcome, n_uniform=1, n_normal=0)


def scenario(recorded: Any = None) -> Scenario:
    types = [TaskType(name="a", weight=1.0), TaskType(name="b", weight=3.0)]
    population, _ = draw_population(types, Effects(), count=2, seed=3)
    lattice = Lattice.from_ranges(LatticeRanges(temperature=AxisRange("0", "1", "0.5")))
    return Scenario(
        name="by hand",
        world=WORLD,
        params=Numbers(np.array([BEFORE, AFTER]), np.int32(ONSET)),
        traffic=traffic(population),
        lattice=lattice,
        population=population,
        baseline=np.zeros(2, np.int32),
        recorded=np.ones((2, 3), np.bool_) if recorded is None else recorded,
        value_range=(0.0, 1.0),
        reward_range=(0.0, 1.0),
    )


def mask(*rows: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.array(rows, np.bool_)


def pairs(best: Best) -> list[tuple[int, float]]:
    return list(zip(best.action.tolist(), best.value.tolist(), strict=True))


def one_hot(actions: Any) -> NDArray[np.float64]:
    return np.asarray(np.eye(3)[np.asarray(actions)])


def test_the_table_of_a_world_is_what_it_was_made_of() -> None:
    assert scenario().table(t=0).tolist() == BEFORE
    assert scenario().table(t=ONSET).tolist() == AFTER
    assert scenario().weights().tolist() == SHARE.tolist()


def test_the_best_action_of_every_context_ties_to_the_lowest_id() -> None:
    assert pairs(best_of_contexts(scenario())) == [(1, 0.5), (0, 0.7), (1, 0.6), (0, 0.9)]


def test_the_best_actions_change_with_time() -> None:
    assert pairs(best_of_contexts(scenario(), t=ONSET - 1)) == pairs(best_of_contexts(scenario()))
    assert pairs(best_of_contexts(scenario(), t=ONSET)) == [(1, 0.5), (2, 0.8), (1, 0.6), (1, 0.7)]
    assert best_of_types(scenario(), t=ONSET).action.tolist() == [2, 1]  # (.3 + .8) / 2 and (.6 + .7) / 2


def test_values_of_types_are_means_over_their_contexts() -> None:
    # (.1 + .7) / 2, (.5 + .2) / 2, (.3 + .4) / 2; (0 + .9) / 2, (.6 + .1) / 2, (.6 + .5) / 2
    np.testing.assert_allclose(type_values(scenario()), [[0.4, 0.35, 0.35], [0.45, 0.35, 0.55]], rtol=1e-14)
    best = best_of_types(scenario())
    assert best.action.tolist() == [0, 2] and best.value == pytest.approx([0.4, 0.55])


def test_values_of_types_weigh_contexts_as_traffic_does_at_that_moment() -> None:
    plain = scenario()
    kept = [
        i for i, column in enumerate(plain.population.features.reshape(2, 2, -1).T) if np.all(column[0] != column[1])
    ]
    feature = plain.population.spec.names[kept[0]]  # one in which both contexts of either type differ
    shift = DriftParams(onset=ONSET, prompt_divergence=0.1, prompt_feature=feature)
    moved = replace(plain, traffic=traffic(plain.population, drift=[shift]), drift=(shift,))
    share = moved.weights(t=ONSET).reshape(2, 2) / np.array([[0.25], [0.75]])
    assert np.ptp(share, axis=1).min() > 0.3  # 0.1 bits part two contexts by about .68 : .32
    wanted = np.einsum("kc,kca->ka", share, np.reshape(AFTER, (2, 2, 3)))
    np.testing.assert_allclose(type_values(moved, t=ONSET), wanted, rtol=1e-12)
    np.testing.assert_allclose(type_values(moved), type_values(plain), rtol=1e-12)


def test_a_table_that_is_at_hand_is_not_made_again() -> None:
    doubled = 2.0 * scenario().table()
    np.testing.assert_allclose(type_values(scenario(), table=doubled), 2.0 * type_values(scenario()), rtol=1e-14)


def test_only_allowed_actions_are_best() -> None:
    allowed = mask((0, 1, 1), (1, 0, 0))
    assert pairs(best_of_contexts(scenario(), allowed=allowed)) == [(1, 0.5), (2, 0.4), (0, 0.0), (0, 0.9)]
    assert best_of_types(scenario(), allowed=allowed).action.tolist() == [1, 0]


def test_what_was_never_recorded_is_never_best_even_where_allowed() -> None:
    partly = scenario(recorded=mask((0, 1, 1), (1, 1, 0)))
    assert best_of_contexts(partly).action.tolist() == [1, 2, 1, 0]
    assert best_of_contexts(partly, allowed=mask((1, 1, 1), (1, 1, 1))).action.tolist() == [1, 2, 1, 0]
    assert best_of_types(partly, allowed=mask((1, 1, 0), (1, 1, 1))).action.tolist() == [1, 0]


@pytest.mark.parametrize("best", [best_of_contexts, best_of_types])
def test_a_task_type_without_an_allowed_action_is_refused(best: Any) -> None:
    with pytest.raises(ValueError, match=r"row \d has no allowed action with a value, need one at least"):
        best(scenario(), allowed=mask((1, 1, 1), (0, 0, 0)))


def test_the_value_of_a_policy_is_a_sum_by_hand() -> None:
    # always action 0: (.1 + .7 + 3 x 0 + 3 x .9) / 8
    assert value(scenario(), one_hot([0, 0, 0, 0])) == pytest.approx(3.5 / 8, rel=1e-14)
    # all three alike: a third of (.9 + 1.3 + 3 x 1.2 + 3 x 1.5) / 8
    assert value(scenario(), np.full((4, 3), 1 / 3)) == pytest.approx(10.3 / 24, rel=1e-14)
    mixed = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    # (.3 + .4 + 3 x .48 + 3 x .9) / 8 before, (.3 + .8 + 3 x .24 + 3 x 0) / 8 after
    assert value(scenario(), mixed) == pytest.approx(4.84 / 8, rel=1e-14)
    assert value(scenario(), mixed, t=ONSET) == pytest.approx(1.82 / 8, rel=1e-14)


@pytest.mark.parametrize("t", [0, ONSET])
def test_the_value_of_the_greedy_policy_is_the_mean_of_the_best(t: int) -> None:
    best = best_of_contexts(scenario(), t=t)
    assert value(scenario(), one_hot(best.action), t=t) == pytest.approx(float(SHARE @ best.value), rel=1e-14)
    types = best_of_types(scenario(), t=t)
    held = value(scenario(), one_hot(types.action[[0, 0, 1, 1]]), t=t)
    assert held == pytest.approx(0.25 * types.value[0] + 0.75 * types.value[1], rel=1e-14)
    assert held <= float(SHARE @ best.value)


def test_no_policy_is_worth_more_than_the_best_of_every_context() -> None:
    rng, top = np.random.default_rng(0), float(SHARE @ best_of_contexts(scenario()).value)
    worth = [value(scenario(), rng.dirichlet(np.ones(3) * 0.1, size=4)) for _ in range(200)]
    assert max(worth) <= top + 1e-12


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (np.ones((4, 2)) / 2, r"probs has the shape \(4, 2\), need \(4, 3\): contexts and actions of 'by hand'"),
        (np.ones((3, 3)) / 3, r"probs has the shape \(3, 3\), need \(4, 3\)"),
        (one_hot([0, 0, 0, 0]) * [[1], [1], [0.9], [1]], r"probs\[2\] sums to 0\.9 "),
        (np.tile([1.5, -0.5, 0.0], (4, 1)), r"probs\[0\] sums to 1 or has a negative entry, need a distribution"),
        (np.full((4, 3), np.nan), r"probs\[0\] sums to nan"),
    ],
)
def test_what_is_no_policy_of_this_world_is_refused(probs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        value(scenario(), probs)


def test_mass_on_what_the_world_cannot_answer_is_refused() -> None:
    holey = np.array([BEFORE, AFTER])
    holey[:, 0, 2] = np.nan
    partly = Scenario(**{**vars(scenario()), "params": Numbers(holey, np.int32(ONSET))})
    assert value(partly, one_hot([0, 0, 0, 0])) == pytest.approx(3.5 / 8)
    with pytest.raises(ValueError, match="mass on an action that was never recorded"):
        value(partly, one_hot([2, 0, 0, 0]))


@pytest.mark.parametrize("t", [0, ONSET])
def test_a_sampled_value_lies_within_four_of_its_standard_errors(t: int) -> None:
    here = scenario()
    actions = {tuple(row): i % 3 for i, row in enumerate(here.population.features.tolist())}

    def act(features: Any, task: int) -> int:
        assert task in (0, 1)
        return actions[tuple(features.tolist())]

    found = integrated(here, act, draws=4000, rng=np.random.default_rng(t), t=t)
    exact = value(here, one_hot([0, 1, 2, 0]), t=t)
    # One z beyond 4 has probability 6.3e-5, two of them are drawn: false alarm 0.013 %.
    assert 0.0 < found.stderr < 0.01
    assert abs(found.value - exact) < 4.0 * found.stderr


def test_a_sampled_value_needs_two_draws() -> None:
    with pytest.raises(ValueError, match="draws = 1, need at least 2 for a standard error"):
        integrated(scenario(), lambda features, task: 0, draws=1, rng=np.random.default_rng(0))


def test_outcomes_of_the_table_have_its_means() -> None:
    here, n = scenario(), 1000
    context = Context(np.int32(1), np.int32(0), here.population.features[1], np.int32(0))
    grid = [Noise(np.array([(i + 0.5) / n]), np.zeros(0)) for i in range(n)]
    for t, wanted in ((0, 0.7), (ONSET, 0.1)):
        drawn = [WORLD.outcome(here.params, np.int32(t), context, np.array(0, np.int32), noise=u)[1] for u in grid]
        assert np.mean(drawn) == pytest.approx(wanted, abs=0.5 / n + 1e-12)
