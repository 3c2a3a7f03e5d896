"""Learning runs in processes of their own: each compiles the programs of its share once.

What comes back is small: ids and rewards per evaluation, never whole trajectories.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.randomness import Purpose
from envs.world import Scenario
from experiments.converging.calling import Done
from experiments.converging.cases import Case, Named, scenario_of
from experiments.converging.surfaces import Surface, surfaces_of
from experiments.simulate import Plan, Trajectory, simulate
from policies.approval import PASSAGE
from policies.approval import Params as ApprovalParams
from policies.build import BoundedPolicy, bounded, learner_module, make_spec
from policies.constraints import Params as ConstraintParams

__all__ = ["Ask", "Run", "Setting", "answer", "by_key", "has_outlook", "joined", "survey", "under"]

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


class Setting(NamedTuple):
    """What all runs share; `epsilon`: loss the live statement tolerates, as a share of the reward range, or None."""

    master_seed: int
    precision: str
    constraints: ConstraintParams
    epsilon: float | None


class Ask(NamedTuple):
    """One learner, under a rule it can follow, on cases that share a program."""

    learner: Any
    approval: ApprovalParams
    cases: tuple[Case, ...]
    setting: Setting


class Run(NamedTuple):
    """One policy on one task type of one world, s seeds and T evaluations.

    Attributes:
        where: the world.
        task: the task type's name.
        policy: its name; rule: of approval.
        centre: (s, T) approved action at each evaluation.
        action: (s, T) what was tried.
        reward: (s, T) what it brought.
        recommended: (s, T) highest posterior mean of the lattice, -1 where nobody asked.
        confidence: (s, T) of the live statement, NaN where nobody asked.
        counts: (s, 3) approvals, steps among them, refusals, by the end.
    """

    where: Named
    task: str
    policy: str
    rule: str
    centre: Ints
    action: Ints
    reward: Floats
    recommended: Ints
    confidence: Floats
    counts: Ints

    @property
    def key(self) -> tuple[str, str]:
        """World and task type: what its surface is found by."""
        return self.where.label, self.task


def _learner(scenario: Scenario, learner: Any, constraints: ConstraintParams) -> Any:
    return learner_module(learner).make(make_spec(scenario, constraints, learner).lean())


def has_outlook(where: Named, learner: Any, constraints: ConstraintParams) -> bool:
    """Whether a learner can follow the passage rule."""
    return _learner(scenario_of(where), learner, constraints).outlook is not None


def under(scenario: Scenario, ask: Ask) -> tuple[BoundedPolicy, str]:
    """The learner under its bounds, and the rule it follows: `two_sample` where it has no belief."""
    made = _learner(scenario, ask.learner, ask.setting.constraints)
    rule = "two_sample" if made.belief is None else ask.approval.rule
    approval = replace(ask.approval, rule="improve" if rule == PASSAGE and made.outlook is None else rule)
    bound = bounded(scenario, constraints=ask.setting.constraints, approval=approval, learner=ask.learner)
    return bound, approval.rule


def answer(ask: Ask) -> Done:
    """All runs of one ask; called in a process of its own."""
    began = time.process_time()
    return Done([run for case in ask.cases for run in _runs(ask, case)], time.process_time() - began)


def survey(wheres: Sequence[Named], constraints: ConstraintParams, evaluations: int) -> Done:
    """The exact surfaces of some worlds; called in a process of its own."""
    began = time.process_time()
    found = [one for where in wheres for one in surfaces_of(where, constraints, evaluations=evaluations)]
    return Done(found, time.process_time() - began)


def _runs(ask: Ask, case: Case) -> Iterator[Run]:
    scenario, setting = scenario_of(case.where), ask.setting
    policy, rule = under(scenario, ask)
    names = scenario.population.names
    plan = Plan(
        setting.master_seed, Purpose.TRAIN, case.seeds, case.evaluations * len(names), setting.precision,
        epsilon=setting.epsilon,
    )  # fmt: skip
    slabs = [(_small(rows), _counts(learned)) for _, learned, rows in simulate([scenario], [policy], plan)]
    rows = _Kept(*(np.concatenate(leaves) for leaves in zip(*(one for one, _ in slabs), strict=True)))
    counts = np.concatenate([one for _, one in slabs])
    for k, name in enumerate(names):
        mine = _Kept(*(_of_type(leaf, k, len(names)) for leaf in rows))
        if not (mine.task == k).all():
            raise ValueError(f"{case.where.label}: task types do not take turns, need traffic without a drifting mix")
        yield Run(
            case.where, name, policy.name, rule, mine.centre, mine.action_id, mine.reward.astype(np.float64),
            mine.recommended, mine.confidence.astype(np.float64), counts[:, k],
        )  # fmt: skip


class _Kept(NamedTuple):
    """The columns of a trajectory that are sent back; the others would be masses and outcomes."""

    task: Ints
    centre: Ints
    action_id: Ints
    reward: Floats
    recommended: Ints
    confidence: Floats


def _small(rows: Trajectory) -> _Kept:
    return _Kept(*(np.asarray(getattr(rows, name)) for name in _Kept._fields))


def _of_type(leaf: NDArray[Any], k: int, n_tasks: int) -> NDArray[Any]:
    """(s, T) of one task type from (s, rounds): types take turns."""
    return leaf[:, k::n_tasks]


def _counts(learned: Any) -> Ints:
    """(s, tasks, 3) approvals, steps, refusals."""
    return np.stack([np.asarray(part) for part in (learned.approvals, learned.steps, learned.refused)], axis=-1)


def joined(runs: Sequence[Run]) -> list[Run]:
    """Runs of the same policy, rule and surface as one, their seeds in order of appearance."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((*run.key, run.policy, run.rule), []).append(run)
    return [_joined(same) for same in groups.values()]


def _joined(same: Sequence[Run]) -> Run:
    whole = [np.concatenate([run[i] for run in same]) for i in range(4, len(Run._fields))]
    return Run(*same[0][:4], *whole)


def by_key(surfaces: Sequence[Surface]) -> dict[tuple[str, str], Surface]:
    """Surfaces by world and task type."""
    return {(one.world, one.task): one for one in surfaces}
