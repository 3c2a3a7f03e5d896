"""What a run is made of: worlds in one piece or in halves, policies under their rule, sides of a gate."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from rich.console import Console

from envs import quality_noise
from envs.recorded.recording import Columns
from envs.surfaces import llm_outcome, replay
from envs.targets import ConfigError
from evaluators.estimators import doubly_robust, ips
from evaluators.intervals import t
from experiments.frozen import design_ess
from experiments.gating import Gate
from experiments.ope import value_of
from experiments.results import Results
from experiments.settings import Job
from experiments.terminal import Progress
from experiments.vet import Params
from experiments.vetting import (
    Bench,
    Ledger,
    build_worlds,
    check_range,
    gate_of,
    judge_estimators,
    judged_target,
    learning_runs,
    n_items,
    null_gate,
    open_bench,
    point_mass_support,
    policy_set,
    sides,
    truth_for,
    under_bounds,
)
from policies.learners import fixed, linucb, softmax, thompson, uniform
from tests.compiled import HORIZON, PARAMS, SEEDS, SMALL, job

COLUMNS = Columns(problem="problem", temperature="temperature", quality="score", model="model")


def recorded(path: Path) -> replay.Params:
    """Two models, eight problems, four temperatures; T = 1.5 of model a lacks problem p7."""
    lines = [
        f"{model},p{i},{t},{(i + j) % 2}"
        for model in "ab"
        for i in range(8)
        for t in ("0.0", "0.5", "1.0", "1.5")
        for j in range(2)
        if (model, i, t) != ("a", 7, "1.5")
    ]
    path.write_text("\n".join(["model,problem,temperature,score", *lines]) + "\n")
    return replay.Params(path=str(path), columns=COLUMNS)


def test_a_world_that_knows_its_truth_is_learned_and_judged_on_whole() -> None:
    worlds = build_worlds(PARAMS, ())
    assert worlds.learn is worlds.judge and not worlds.is_split


def test_a_recorded_world_is_split_by_problem_and_offers_both_halves_the_same_actions(tmp_path: Path) -> None:
    worlds = build_worlds(recorded(tmp_path / "table.csv"), ())
    assert worlds.is_split
    learn, judge = worlds.learn.population.cluster, worlds.judge.population.cluster
    assert not set(learn) & set(judge)
    assert len(set(learn) | set(judge)) == 8
    np.testing.assert_array_equal(worlds.learn.recorded, worlds.judge.recorded)
    assert worlds.learn.recorded.tolist() == [[True, True, True, False], [True] * 4]


@pytest.mark.parametrize("onset", [HORIZON, HORIZON + 19, 10**6])
def test_a_drift_after_the_run_is_refused_by_name(onset: int, tmp_path: Path) -> None:
    asked = job(*SMALL, "drift=[version_swap]", f"drift.version_swap.onset={onset}", out=tmp_path)
    with pytest.raises(
        ConfigError, match=rf"drift\.version_swap\.onset: got {onset}, need .* before the horizon, {HORIZON}"
    ):
        open_bench(asked)


@pytest.mark.parametrize("onset", [0, HORIZON - 1])
def test_a_drift_within_the_run_or_none_is_accepted(onset: int, tmp_path: Path) -> None:
    words = (
        "drift=[version_swap,price_change]",
        *(f"drift.{n}.onset={onset}" for n in ("version_swap", "price_change")),
    )
    moved, still = (open_bench(job(*SMALL, *chosen, out=tmp_path)) for chosen in (words, ()))
    assert [c.onset for c in moved.drift] == [onset, onset]
    assert moved.worlds.judge.drift == moved.drift
    assert still.worlds.judge.regimes(HORIZON) == (0,)


class Asked(NamedTuple):
    """A job whose only group is its estimators."""

    estimators: dict[str, object]

    def pick(self, group: str, kind: type) -> Any:
        assert (group, kind) == ("estimator", dict)
        return self.estimators


@pytest.mark.parametrize(
    ("estimators", "has_gate", "users"),
    [
        ({"ips": ips.Params()}, True, "the gate's bound;"),
        ({"dr": doubly_robust.Params()}, False, "estimator.dr.interval = assisted;"),
        ({"dr": doubly_robust.Params()}, True, "the gate's bound and estimator.dr.interval = assisted;"),
        ({"ips": ips.Params(), "dr": doubly_robust.Params(interval=t.Params())}, False, ""),
    ],
)
@pytest.mark.parametrize("kind", ["gaussian", "heavy"])
def test_unbounded_rewards_are_refused_by_whoever_needs_their_range(
    estimators: dict[str, object], has_gate: bool, users: str, kind: str
) -> None:
    free = llm_outcome.build(replace(PARAMS, noise=quality_noise.Params(kind=kind)))
    asked: Any = Asked(estimators)
    check_range(asked, {"world": build_worlds(PARAMS, ()).judge}, has_gate=has_gate)
    if users:
        words = (
            f"world: got 'small, whose noise is unbounded', need a declared reward range for {users} see world.noise"
        )
        with pytest.raises(ConfigError) as told:
            check_range(asked, {"world": free}, has_gate=has_gate)
        assert str(told.value).startswith(words)
    else:
        check_range(asked, {"world": free}, has_gate=has_gate)


def test_a_group_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    asked = job(*SMALL, out=tmp_path)
    other = replace(asked, groups={**asked.groups, "approval": fixed.Params()})
    with pytest.raises(
        ConfigError, match=r"approval: got 'improve', need a choice that makes policies\.approval\.Params"
    ):
        open_bench(other)


def test_the_policy_under_vetting_takes_the_place_of_its_namesake(tmp_path: Path) -> None:
    compared: dict[str, object] = {"fixed": fixed.Params(), "thompson": thompson.Params()}
    bench = open_bench(job(*SMALL, "policy.floor=0.2", out=tmp_path))
    assert policy_set(bench, compared) == {"fixed": fixed.Params(), "thompson": thompson.Params(floor=0.2)}
    bench = bench._replace(policy=softmax.Params())
    assert list(policy_set(bench, compared)) == ["fixed", "thompson", "softmax"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A vetting run on the small lattice."""
    return job(*SMALL, out=tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def bench(asked: Job) -> Bench:
    return open_bench(asked)


def test_without_a_belief_the_rule_is_two_sample(bench: Bench) -> None:
    assert bench.approval.rule == "improve"
    for learner, rule, by_belief in (
        (thompson.Params(), "", 1.0),
        (thompson.Params(), "two_sample", 0.0),
        (uniform.Params(), "", 0.0),
        (uniform.Params(), "improve", 0.0),
    ):
        made = under_bounds(bench, bench.worlds.learn, learner, rule=rule)
        assert made.params.approval.by_belief == by_belief
        assert made.params.approval.gamma == bench.approval.gamma


def test_items_count_both_rules_where_there_is_a_belief() -> None:
    # fixed and uniform under one rule, two beliefs under two: 6 runs of 10 seeds
    learners = [fixed.Params(), uniform.Params(), thompson.Params(), linucb.Params()]
    assert n_items(learners, 10) == 60


def test_learning_runs_come_in_order_and_tell_their_progress(bench: Bench, asked: Job) -> None:
    counts: list[int] = []
    learners = [thompson.Params(), thompson.Params(floor=0.5)]
    runs = learning_runs(bench, learners, asked, progress=counts.append)
    told = [(run.bounded.params.inner.floor, run.rule) for run in runs]
    assert told == [(0.05, "improve"), (0.05, "two_sample"), (0.5, "improve"), (0.5, "two_sample")]
    assert sum(counts) == n_items(learners, SEEDS) == 4 * SEEDS
    truth = truth_for(bench, runs, HORIZON)
    assert truth.best.shape == (2, HORIZON + 20)
    assert truth.begins == (0,)


@pytest.fixture(scope="module")
def opened(bench: Bench, asked: Job) -> Gate:
    return gate_of(bench, asked, ess_shares=(0.25,))


def test_in_one_world_both_sides_of_the_gate_are_the_same(bench: Bench, opened: Gate) -> None:
    learn, judge = sides(bench, under_bounds(bench, bench.worlds.learn, bench.policy))
    assert learn is judge
    assert opened.learn is opened.judge
    np.testing.assert_array_equal(learn.baseline.masses.argmax(axis=1), learn.behavior.windows.incumbent)


def test_the_control_is_the_same_gate_in_a_flat_world(bench: Bench, asked: Job, opened: Gate) -> None:
    null = null_gate(bench, asked.pick("experiment", Params).null_world, asked, ess_shares=(0.25,))
    assert null.params == opened.params
    assert null.policy.params.inner == opened.policy.params.inner
    table = null.judge.scenario.table()
    np.testing.assert_allclose(table, np.repeat(table[:, :1], table.shape[1], axis=1), atol=1e-12)


def test_the_judged_target_has_the_promised_support_and_its_exact_value(opened: Gate) -> None:
    target, value = judged_target(opened)
    here = opened.judge
    assert 0.2 <= design_ess(target, here.behavior, here.weight) <= 0.3
    assert value == value_of(here.scenario, here.scenario.table(), target)
    again, _ = judged_target(opened)
    np.testing.assert_array_equal(target.masses, again.masses)


def test_a_point_mass_is_told_at_every_size(opened: Gate) -> None:
    found = point_mass_support(opened, (200, 2000))
    assert [support.n for support in found.values()] == [200, 2000]
    assert not any(support.sufficient for support in found.values())


class Sizes(NamedTuple):
    log_sizes: tuple[int, ...]
    ope_logs: int


def test_every_estimator_is_judged_at_every_size(opened: Gate, asked: Job) -> None:
    ledger = Ledger(Results(), [])
    with Progress(console=Console(quiet=True)) as progress:
        found = list(judge_estimators(opened, Sizes((100, 200), 3), asked, ledger=ledger, progress=progress))
    names = ["ips", "snips", "direct", "doubly_robust"]
    assert [[(one.estimator, one.n) for one in judged] for judged in found] == [
        [(name, n) for name in names] for n in (100, 200)
    ]
    assert len(ledger.results) == 1 + 2 * 4 * 7  # the target's support; sizes, estimators, measures
    (support,) = ledger.claims
    assert support.holds


def test_a_policy_without_a_belief_has_nothing_to_judge(asked: Job, opened: Gate) -> None:
    ledger = Ledger(Results(), [])
    with Progress(console=Console(quiet=True)) as progress:
        bare = opened._replace(soft=None)
        assert not list(judge_estimators(bare, Sizes((100,), 3), asked, ledger=ledger, progress=progress))
    assert len(ledger.results) == 0
