"""What runs converged to is told by the exact table: hand-computed values, and laws on real runs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from envs.drift import Params as DriftParams
from envs.surfaces import llm_outcome
from envs.world import Outcome
from experiments import convergence
from experiments.convergence import (
    KEPT_SEEDS,
    PolicyRun,
    Truth,
    answered,
    at_clock,
    convergence_of,
    deployed,
    measure_runs,
    regret,
    run_policies,
    train_plan,
    truth_of,
)
from experiments.measurement import Measurement
from experiments.simulate import TRAIN_EXTRA, Trajectory
from policies.constraints import legal
from tests.compiled import HORIZON, LEARNER, N_ROUNDS, PARAMS, SEEDS, learning_runs, under_bounds, world

T = HORIZON + TRAIN_EXTRA
POLICY = under_bounds(LEARNER)
LIMITS = POLICY.params.limits
NOTHING = Trajectory._make(np.zeros(0) for _ in Trajectory._fields)
ONSET = 4  # of the drifting world

# Two task types of two tasks each (rows 0, 1 and 2, 3), three actions; the world moves at evaluation 2.
TABLES = (
    np.array([[0.1, 0.5, 0.9], [0.3, 0.5, 0.7], [0.2, 0.8, 0.0], [0.4, 0.6, 0.0]]),
    np.array([[0.1, 0.0, 0.0], [0.3, 0.0, 0.0], [0.2, 0.1, 1.0], [0.4, 0.1, 1.0]]),
)
VALUES = tuple(np.stack([table[:2].mean(axis=0), table[2:].mean(axis=0)]) for table in TABLES)
BY_HAND = Truth(
    begins=(0, 2),
    value=VALUES,
    best_here=tuple(table.max(axis=1) for table in TABLES),
    best=np.array([[0.8, 0.8, 0.2], [0.7, 0.7, 1.0]]),
    worst=np.array([[0.2, 0.2, 0.0], [0.0, 0.0, 0.1]]),
)
BY_HAND_LONG = BY_HAND._replace(  # nothing to converge to, so that counts stand alone
    value=(np.zeros((2, 144)),) * 2,
    best_here=(np.zeros(24),) * 2,
    best=np.zeros((2, 3)),
    worst=np.zeros((2, 3)),
)


def made_up(centre: list[int], index: list[int], taken: list[int]) -> PolicyRun:
    """One seed, six rounds: three evaluations of two task types in turn."""
    regime = [0, 0, 0, 0, 1, 1]
    expected = [TABLES[r][i, a] for r, i, a in zip(regime, index, taken, strict=True)]
    task = np.array([[0, 1] * 3], np.int32)
    at_once = np.arange(6, dtype=np.int32).reshape(1, 6, 1)
    return PolicyRun(
        POLICY, "improve", np.array([centre]), np.array([index]), task, at_once, task > 1, np.array([expected]), NOTHING
    )


def test_rounds_in_turn_become_evaluations_of_task_types() -> None:
    turns = np.array([[0, 1] * 3])
    assert at_clock(np.array([[0, 1, 10, 11, 20, 21]]), turns, 2).tolist() == [[[0, 10, 20], [1, 11, 21]]]


def test_in_mixed_traffic_every_evaluation_has_the_types_next_request_and_at_last_its_last() -> None:
    """Rounds 0 to 5 are types 0, 0, 1, 0, 0, 1; evaluations begin at rounds 0, 2 and 4."""
    mixed = np.array([[0, 0, 1, 0, 0, 1]])
    assert at_clock(np.arange(6)[None], mixed, 2).tolist() == [[[0, 3, 4], [2, 2, 5]]]
    early = np.array([[0, 1, 0, 0, 0, 0]])
    assert at_clock(np.arange(6)[None], early, 2).tolist() == [[[0, 2, 4], [1, 1, 1]]]
    never = at_clock(np.arange(6)[None], np.zeros((1, 6), np.int32), 2)
    assert never[0, 0].tolist() == [0, 2, 4] and np.isnan(never[0, 1]).all()


def test_in_mixed_traffic_a_type_without_requests_deploys_its_start() -> None:
    """Types 0, 0, 0, 0, 0, 1; the world moves at evaluation 2, rounds 4 and 5."""
    run = made_up(centre=[0, 1, 2, 1, 0, 1], index=[0, 1, 0, 1, 0, 2], taken=[0, 0, 2, 2, 0, 1])
    mixed = replace(run, task=np.array([[0, 0, 0, 0, 0, 1]]))
    # type 0 at rounds 0, 2, 4: actions 0, 2, then 0 after the drift; type 1 next at round 5: action 1 throughout
    np.testing.assert_allclose(deployed(mixed, BY_HAND), [[[0.2, 0.8, 0.2], [0.7, 0.7, 0.1]]])
    alone, start = replace(run, task=np.zeros((1, 6), np.int32)), np.array([0, 2])
    moved = replace(POLICY, params=POLICY.params._replace(start=start))
    # no request of type 1: its start, action 2, is worth 0 and, after the drift, 1
    np.testing.assert_allclose(deployed(replace(alone, bounded=moved), BY_HAND)[0, 1], [0.0, 0.0, 1.0])


def test_in_mixed_traffic_regret_is_the_mean_over_an_evaluations_requests_of_any_type() -> None:
    run = made_up(centre=[0] * 6, index=[0, 1, 0, 1, 0, 2], taken=[0, 0, 2, 2, 0, 0])
    mixed = replace(run, task=np.array([[0, 0, 0, 0, 0, 1]]))
    # evaluation 1: 0.9 - 0.1 and 0.7 - 0.3; 2: 0 and 0; 3, after the drift: 0.1 - 0.1 and 1 - 0.2
    np.testing.assert_allclose(regret(mixed, BY_HAND), [[0.6, 0.6, 1.0]])


MOVING = {
    "ramp": DriftParams(shape="ramp", onset=3, duration=8, quality_factor=0.5),
    "prompts": DriftParams(shape="ramp", onset=2, duration=4, prompt_divergence=0.1),
    "mix": DriftParams(shape="season", duration=12, task_mix=0.6),
}


@pytest.mark.parametrize("kind", MOVING)
def test_the_truth_of_a_moving_world_has_one_entry_per_regime(kind: str) -> None:
    scenario = llm_outcome.build(PARAMS, drift=(MOVING[kind],))
    truth = truth_of(scenario, scenario, LIMITS, n_evaluations=T)
    assert truth.begins == scenario.regimes(T) and len(truth.begins) > 4
    assert len(truth.value) == len(truth.best_here) == len(truth.begins)
    assert truth.best.shape == truth.worst.shape == (2, T)
    task = scenario.population.task
    for t in range(0, T, 3):
        table, weight = scenario.table(t=t), scenario.weights(t=t)
        for k in (0, 1):
            mine = task == k
            wanted = weight[mine] @ table[mine] / weight[mine].sum()
            np.testing.assert_allclose(truth.value[truth.regime(T)[t]][k], wanted, rtol=1e-12)


def test_under_a_prompt_shift_a_types_value_is_weighted_by_what_is_asked_then() -> None:
    scenario = llm_outcome.build(PARAMS, drift=(MOVING["prompts"],))
    truth, mine = truth_of(scenario, scenario, LIMITS, n_evaluations=T), scenario.population.task == 0
    plain = scenario.table()[mine].mean(axis=0)
    np.testing.assert_allclose(truth.value[0][0], plain, rtol=1e-12)
    assert np.abs(truth.value[-1][0] - plain).max() > 1e-3  # the same table, other weights
    np.testing.assert_array_equal(truth.best_here[0], truth.best_here[-1])


def test_runs_in_mixed_traffic_follow_the_mix_and_keep_their_laws() -> None:
    scenario = llm_outcome.build(PARAMS, drift=(MOVING["mix"],))
    plan = train_plan(0, SEEDS, n_rounds=N_ROUNDS, precision="float64")
    (run,) = run_policies(scenario, [(under_bounds(LEARNER), "two_sample")], plan)
    shares = np.stack([scenario.weights(t=t)[scenario.population.task == 0].sum() for t in range(T)])
    counts = (run.task == 0).reshape(SEEDS, T, 2).sum(axis=2).mean(axis=0)
    # 64 draws an evaluation, 30 evaluations: |z| > 4.5 somewhere has probability 2e-4.
    assert np.all(np.abs(counts / 2 - shares) <= 4.5 * np.sqrt(shares * (1 - shares) / (2 * SEEDS)) + 1e-12)
    assert shares.min() < 0.4 < 0.7 < shares.max()
    truth = truth_of(scenario, scenario, LIMITS, n_evaluations=T)
    assert np.all(np.diff(regret(run, truth), axis=1) >= -1e-12)
    assert np.all(deployed(run, truth) <= truth.best[None] + 1e-12)


def test_the_deployed_value_is_the_mean_over_the_types_tasks_before_and_after_a_drift() -> None:
    run = made_up(centre=[0, 1, 2, 1, 2, 2], index=[0, 2, 0, 3, 1, 2], taken=[0, 1, 2, 1, 0, 2])
    # type 0: (0.1 + 0.3) / 2, (0.9 + 0.7) / 2, after the drift 0; type 1: (0.8 + 0.6) / 2 twice, then 1
    np.testing.assert_allclose(deployed(run, BY_HAND), [[[0.2, 0.8, 0.0], [0.7, 0.7, 1.0]]])


def test_regret_is_told_against_the_best_action_of_each_request() -> None:
    run = made_up(centre=[0, 1, 2, 1, 2, 2], index=[0, 2, 0, 3, 1, 2], taken=[0, 1, 2, 1, 0, 0])
    # evaluation 1: 0.9 - 0.1 and 0.8 - 0.8; 2: 0 and 0; 3, after the drift: 0.3 - 0.3 and 1 - 0.2
    np.testing.assert_allclose(regret(run, BY_HAND), [[0.4, 0.4, 0.8]])


def test_shares_count_seeds_that_stay_inside_the_tolerance() -> None:
    run = made_up(centre=[0, 1, 2, 1, 0, 2], index=[0, 2, 0, 3, 1, 2], taken=[0, 1, 2, 1, 0, 2])
    away = convergence_of(run, BY_HAND, task=0, span=1.0, by=(1, 2, 3))
    assert [share.share for share in away.reached] == [0.0, 1.0, 1.0]  # 0.2 of 0.8, then the best throughout
    home = convergence_of(run, BY_HAND, task=1, span=1.0, by=(1, 2, 3))
    assert [share.share for share in home.kept] == [1.0, 1.0, 1.0]
    assert [share.total for share in home.reached] == [0, 0, 0]


@pytest.mark.parametrize(("name", "begins"), [("small", (0,)), ("drifting", (0, ONSET))])
def test_the_truth_is_the_worlds_own_at_every_evaluation(name: str, begins: tuple[int, ...]) -> None:
    scenario = world(name)
    truth = truth_of(scenario, scenario, LIMITS, n_evaluations=T)
    assert truth.begins == begins
    allowed = legal(scenario.lattice, LIMITS)
    for t in range(T):
        for task in (0, 1):
            rows = scenario.table(t=t)[scenario.population.task == task]
            regime = truth.regime(T)[t]
            np.testing.assert_allclose(truth.value[regime][task], rows.mean(axis=0), rtol=1e-12)
            means, best_here = rows.mean(axis=0)[allowed[task]], rows[:, allowed[task]].max(axis=1)
            assert truth.best[task, t] == pytest.approx(means.max(), rel=1e-12)
            assert truth.worst[task, t] == pytest.approx(means.min(), rel=1e-12)
            own = truth.best_here[regime][scenario.population.task == task]
            np.testing.assert_allclose(own, best_here, rtol=1e-12)


def test_hard_limits_bind_the_oracle() -> None:
    scenario = world()
    truth = truth_of(scenario, scenario, LIMITS, n_evaluations=T)
    free = truth_of(scenario, scenario, LIMITS._replace(lowest=0 * LIMITS.lowest), n_evaluations=T)
    assert np.all(truth.worst[:, 0] > free.worst[:, 0])  # max_tokens = 112 is the worst there is
    assert np.all(truth.best <= free.best)


@pytest.fixture(scope="module", params=["small", "drifting"])
def told(request: pytest.FixtureRequest) -> tuple[tuple[PolicyRun, ...], Truth]:
    """Runs under both rules, and the truth of their world."""
    scenario = world(request.param)
    return learning_runs(request.param), truth_of(scenario, scenario, LIMITS, n_evaluations=T)


def test_runs_last_20_evaluations_longer_than_the_horizon(told: tuple[tuple[PolicyRun, ...], Truth]) -> None:
    runs, truth = told
    assert [run.rule for run in runs] == ["improve", "two_sample"]
    for run in runs:
        assert run.centre.shape == run.index.shape == run.expected.shape == (SEEDS, 2 * T) == (SEEDS, N_ROUNDS)
        assert deployed(run, truth).shape == (SEEDS, 2, T)
        np.testing.assert_array_equal(run.kept.t[0], np.arange(N_ROUNDS) // 2)


def test_every_run_begins_at_the_start_and_nobody_beats_the_oracle(
    told: tuple[tuple[PolicyRun, ...], Truth],
) -> None:
    runs, truth = told
    for run in runs:
        start = [truth.value[0][task, run.bounded.params.start[task]] for task in (0, 1)]
        np.testing.assert_array_equal(deployed(run, truth)[:, :, 0], np.tile(start, (SEEDS, 1)))
        assert np.all(deployed(run, truth) <= truth.best[None] + 1e-12)


def test_regret_never_falls_and_is_told_from_the_worlds_table(told: tuple[tuple[PolicyRun, ...], Truth]) -> None:
    runs, truth = told
    name = "small" if len(truth.begins) == 1 else "drifting"
    tables = [world(name).table(t=begin) for begin in truth.begins]
    regime = np.repeat(truth.regime(T), 2)
    for run in runs:
        kept = run.kept
        exact = np.stack(tables)[regime[None, :], kept.index, kept.action_id]
        np.testing.assert_allclose(run.expected, exact, atol=1e-12)
        assert np.all(np.diff(regret(run, truth), axis=1) >= -1e-12)
        assert np.all(regret(run, truth)[:, 0] >= 0)


def test_a_policy_that_is_never_approved_deploys_its_start_for_ever() -> None:
    never = replace(LEARNER, prior_sd=1e-9)  # sure that all actions are equal
    run, truth = learning_runs("small", never)[0], truth_of(world(), world(), LIMITS, n_evaluations=T)
    held = deployed(run, truth)
    np.testing.assert_array_equal(held, np.broadcast_to(held[:, :, :1], held.shape))
    for task, start in enumerate(run.bounded.params.start):
        assert held[0, task, 0] == truth.value[0][task, start]


def test_learning_moves_what_is_deployed_towards_the_oracle() -> None:
    run, truth = learning_runs()[0], truth_of(world(), world(), LIMITS, n_evaluations=T)
    gain = deployed(run, truth)[:, :, -1] - deployed(run, truth)[:, :, 0]
    # 64 gains; were their mean 0, exceeding 5 standard errors would have probability below 1e-6.
    assert gain.mean() > 5 * gain.std() / np.sqrt(gain.size)


def rows_of(runs: list[PolicyRun] | tuple[PolicyRun, ...], truth: Truth, name: str) -> list[Measurement]:
    return list(measure_runs(world(name), runs, truth, by=(5, HORIZON)))


def test_curves_reach_the_horizon_whatever_evaluations_are_asked_for() -> None:
    truth = truth_of(world(), world(), LIMITS, n_evaluations=T)
    rows = list(measure_runs(world(), learning_runs(), truth, by=(5,)))
    for measure, curves in (("regret", 2), ("deployed", 4)):
        found = [row.t for row in rows if row.measure == measure]
        assert found == curves * list(range(1, HORIZON + 1))
    curve = regret(learning_runs()[0], truth)
    first = next(row for row in rows if row.measure == "regret")
    assert first.value == pytest.approx(curve[:, 0].mean())
    assert first.stderr == pytest.approx(curve[:, 0].std(ddof=1) / np.sqrt(SEEDS))
    assert first.stderr is not None
    assert first.hi == pytest.approx(first.value + 1.96 * first.stderr)
    assert {row.n for row in rows if row.section == "convergence"} == {5}


def test_one_seed_has_no_standard_error() -> None:
    run = learning_runs()[0]
    columns = ("centre", "index", "task", "delivered", "missing", "expected")
    one = replace(run, **{name: getattr(run, name)[:1] for name in columns})
    truth = truth_of(world(), world(), LIMITS, n_evaluations=T)
    curves = [row for row in rows_of([one], truth, "small") if row.t is not None]
    assert {(row.stderr, row.lo, row.hi) for row in curves} == {(None, None, None)}


def late(delivered: list[list[int]], missing: list[bool]) -> PolicyRun:
    """Two task types for three evaluations, with feedback as told."""
    run = made_up(centre=[0, 1, 2, 1, 2, 2], index=[0, 2, 0, 3, 1, 2], taken=[0, 1, 2, 1, 0, 2])
    return replace(run, delivered=np.array([delivered]), missing=np.array([missing]))


def test_what_became_of_every_reward_is_counted() -> None:
    """Six rounds: 0, 2, 3 and 5 are heard, 2 twice; 1 never set out; 4 was on its way at the end."""
    heard = [[-1, -1], [0, -1], [2, -1], [3, 2], [-1, -1], [5, -1]]
    run = late(heard, [False, True, False, False, False, False])
    assert answered(run.delivered).tolist() == [[True, False, True, True, False, True]]
    found = {row.measure: row for row in measure_runs(world(), [run], BY_HAND_LONG, by=(1,))}
    counts = {name: found[f"feedback_{name}"].value for name in ("delivered", "missing", "censored", "copies")}
    assert counts == {"delivered": 4, "missing": 1, "censored": 1, "copies": 1}
    assert {row.n for name, row in found.items() if name.startswith("feedback")} == {6}
    assert {(row.policy, row.section) for name, row in found.items() if name.startswith("feedback")} == {
        ("thompson", "simulation")
    }


def test_immediate_feedback_adds_no_counts_but_a_lost_reward_does() -> None:
    at_once = [[t] for t in range(6)]
    still = measure_runs(world(), [late(at_once, [False] * 6)], BY_HAND_LONG, by=(1,))
    assert not any(row.measure.startswith("feedback") for row in still)
    at_once[3] = [-1]
    lost = measure_runs(world(), [late(at_once, [t == 3 for t in range(6)])], BY_HAND_LONG, by=(1,))
    counts = {row.measure: row.value for row in lost if row.measure.startswith("feedback")}
    assert counts == {"feedback_delivered": 5, "feedback_missing": 1, "feedback_censored": 0, "feedback_copies": 0}


def test_a_world_in_which_nothing_matters_has_no_convergence_shares() -> None:
    runs = learning_runs("flat")
    truth = truth_of(world("flat"), world("flat"), LIMITS, n_evaluations=T)
    rows = rows_of(runs, truth, "flat")
    assert {row.section for row in rows} == {"simulation"}
    assert max(abs(row.value) for row in rows if row.measure == "regret") < 1e-12


def test_seeds_keep_their_order_across_slabs_and_only_the_first_keep_their_whole_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n_seeds, slab = KEPT_SEEDS + 8, 16
    items = np.array([(0, p, s) for p in (0, 1) for s in range(n_seeds)], np.int32)

    def fake(*_: object, **__: object) -> Iterator[tuple[Any, Any, Trajectory]]:
        for begin in range(0, len(items), slab):
            part = items[begin : begin + slab]
            column = np.repeat(100 * part[:, 1:2] + part[:, 2:], 4, axis=1)
            parts = {"outcome": Outcome(*[column] * 7), "delivered": column[..., None]}
            leaves: dict[str, Any] = dict.fromkeys(Trajectory._fields, column) | parts
            yield part, None, Trajectory._make(leaves[name] for name in Trajectory._fields)

    monkeypatch.setattr(convergence, "simulate", fake)
    plan = train_plan(0, n_seeds, n_rounds=4, precision="float64")
    for number, run in enumerate(run_policies(world(), [(POLICY, "improve"), (POLICY, "two_sample")], plan)):
        wanted = 100 * number + np.arange(n_seeds)
        for column in (run.centre, run.index, run.expected):
            np.testing.assert_array_equal(column, np.repeat(wanted[:, None], 4, axis=1))
        for leaf in jax.tree.leaves(run.kept):
            np.testing.assert_array_equal(leaf[:, 0].ravel(), wanted[:KEPT_SEEDS])
