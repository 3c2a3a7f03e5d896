"""Policies fitted off-policy, from log to gate to bundle, in the small world."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import presets
from envs.randomness import Purpose
from experiments.frozen import Frozen, design_ess, draw_log, freeze, learn
from experiments.gating import GateRun, decide_gate
from experiments.ope import value_of
from policies.bundle import DIGEST_ONLY, load, write_candidate
from policies.frozen import freeze_policy
from tests.compiled import gate, log, logger, under_bounds, world
from tests.examples import release

KINDS = ("ipw", "dr")
N_LOGS = 20
both = pytest.mark.parametrize("kind", KINDS)
pytestmark = pytest.mark.slow


def learner(kind: str) -> Any:
    return presets.load("policy", f"off_policy_{kind}")


@cache
def fitted(kind: str) -> tuple[Frozen, ...]:
    """The policy fitted to each of 20 logs."""
    who = under_bounds(learner(kind))
    states = (learn(who, log(seed), logger(), world()) for seed in range(N_LOGS))
    return tuple(freeze(kind, who, state, world()) for state in states)


@both
def test_a_fitted_policy_is_worth_more_than_its_logger_and_its_baseline(kind: str) -> None:
    """By more than 4 standard errors over 20 logs."""
    values = np.array([value_of(world(), world().table(), one) for one in fitted(kind)])
    error = values.std(ddof=1) / np.sqrt(N_LOGS)
    for rival in (logger(), gate().judge.baseline):
        assert values.mean() > value_of(world(), world().table(), rival) + 4 * error


@both
def test_a_fitted_policy_stays_where_its_log_can_judge_it(kind: str) -> None:
    """The expected ESS is the share of rows that its numbers promise, or more, on every log."""
    promised = learner(kind).support
    assert 2000 * promised > gate().params.min_ess
    shares = [design_ess(one, logger(), world().weights()) for one in fitted(kind)]
    assert min(shares) >= promised
    assert min(shares) < 1.5 * promised  # here the promise is what stops it


@both
def test_where_nothing_matters_nothing_is_gained(kind: str) -> None:
    flat, home = world("flat"), logger("flat")
    who = under_bounds(learner(kind), "flat")
    drawn = draw_log(flat, home, master_seed=0, purpose=Purpose.LOG, seed=0)
    frozen = freeze(kind, who, learn(who, drawn, home, flat), flat)
    assert np.abs(frozen.probs - home.probs).sum(axis=1).mean() > 0.05  # it has learned something all the same
    assert value_of(flat, flat.table(), frozen) == pytest.approx(value_of(flat, flat.table(), home), abs=1e-6)


@both
def test_the_gate_vets_it_like_any_other_and_the_bundle_answers_alike(kind: str, tmp_path: Path) -> None:
    run: GateRun = decide_gate(gate(learner=learner(kind)), n=2000, purposes=(Purpose.NULL, Purpose.CERTIFY), seed=0)
    assert run.verdict.answer == "approved" and run.judged is not None
    assert [one.name for one in run.candidates] == [f"off_policy_{kind}"]
    served = freeze_policy(world(), run.judged.bounded, state=run.judged.state)
    write_candidate(tmp_path / "bundle", served, release())
    task = world().population.tasks[3]
    name = world().population.names[int(world().population.task[3])]
    here, there = (
        one.recommend(task, name, "r-1") for one in (served, load(tmp_path / "bundle", trust=DIGEST_ONLY).policy)
    )
    assert here.parameters == there.parameters
    np.testing.assert_array_equal(here.masses, there.masses)
    np.testing.assert_array_equal(here.masses, run.judged.frozen.masses[3])
