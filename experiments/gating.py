"""The gate from end to end: learn and select on one log, judge on another.

One call is one replication; the vetting run makes one, the validation a thousand. The
candidate is the policy under vetting, frozen after reading the selection log, and softer
versions of it whose support on that log is a chosen share of its rows.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.randomness import Purpose
from envs.world import Scenario
from evaluators.audit import audit
from evaluators.gates import Params as GateParams
from evaluators.gates import Selection, Verdict, judge, none_selected, select
from evaluators.reward_model import Model
from evaluators.rows import Rows, written_out
from experiments.frozen import (
    LOG_ROWS,
    Frozen,
    LogRows,
    draw_log,
    freeze,
    learn,
    point_mass,
    sharpest,
    start_state,
)
from experiments.logs import Identity, log_of_rows, recommendations
from experiments.ope import design_of, predict, rows_of, value_of
from policies.approval import Params as ApprovalParams
from policies.build import BoundedPolicy, bounded
from policies.constraints import Params as ConstraintParams
from policies.digest import policy_digest
from policies.softened import Params as SoftenedParams

__all__ = ["Candidate", "Gate", "Rules", "Side", "decide_gate", "exact_gain", "open_gate", "possible_gain", "softened"]

NO_GAIN = 1e-9  # reward units: a best action no better than this gains nothing


class Side(NamedTuple):
    """What one log needs: a world, its logger, table and digest, the baseline's table, features, weights."""

    scenario: Scenario
    logger: BoundedPolicy
    behavior: Frozen
    digest: str
    baseline: Frozen
    design: NDArray[np.float64]
    weight: NDArray[np.float64]


class Gate(NamedTuple):
    """A gate ready to run on any pair of logs."""

    learn: Side  # where candidates are learned and selected
    judge: Side  # where one is judged; the same world, or the other half of the recorded problems
    policy: BoundedPolicy  # under vetting
    soft: BoundedPolicy | None  # its softmax, where it has a belief
    constraints: ConstraintParams
    params: GateParams
    model: Model
    ess_shares: tuple[float, ...]  # wanted design ESS / n of the softened candidates
    master_seed: int


class Candidate(NamedTuple):
    """A frozen policy that may be approved: numbers, state, and its table on the learning side."""

    name: str
    bounded: BoundedPolicy
    state: Any
    frozen: Frozen


class GateRun(NamedTuple):
    """One pass through the gate, with everything that led to the verdict."""

    verdict: Verdict
    selection: Selection
    candidates: tuple[Candidate, ...]
    judged: Candidate | None
    selection_log: LogRows
    judgement_log: LogRows


def side(scenario: Scenario, logger: BoundedPolicy, policy: BoundedPolicy) -> Side:
    """One side of the gate in a world."""
    behavior = freeze("logger", logger, start_state(logger), scenario)
    centre = np.asarray(behavior.windows.incumbent)
    design = design_of(policy.spec, scenario, behavior)
    digest = policy_digest(logger.settings, state=start_state(logger), spec=logger.spec)
    return Side(
        scenario, logger, behavior, digest, point_mass("baseline", behavior, centre), design, scenario.weights()
    )


class Rules(NamedTuple):
    """By what a policy is judged: the config groups constraints, gate and reward_model, and the softer candidates."""

    constraints: ConstraintParams
    params: GateParams
    model: Model
    ess_shares: tuple[float, ...]


def open_gate(sides: tuple[Side, Side], policy: BoundedPolicy, *, rules: Rules, master_seed: int) -> Gate:
    """A gate for one policy between a learning and a judging side."""
    soft = None
    if policy.learner.belief is not None:
        learner = SoftenedParams(policy.settings)
        soft = bounded(sides[0].scenario, constraints=rules.constraints, approval=ApprovalParams(), learner=learner)
    learning, judging = sides
    return Gate(
        learning, judging, policy, soft, rules.constraints, rules.params, rules.model, rules.ess_shares, master_seed
    )


def softened(gate: Gate, state: Any, *, ess_share: float) -> Candidate:
    """The softmax of a belief, as sharp as a design ESS / n of `ess_share` allows."""
    assert gate.soft is not None
    here = gate.learn
    sharpness = sharpest(gate.soft, state, here.behavior, here.scenario, ess_share=ess_share)
    policy = _sharpened(gate.soft, sharpness)
    name = f"softmax_{ess_share:g}"
    return Candidate(name, policy, state, freeze(name, policy, state, here.scenario))


def _sharpened(soft: BoundedPolicy, sharpness: float) -> BoundedPolicy:
    inner = soft.params.inner._replace(sharpness=sharpness)
    settings = replace(soft.settings, sharpness=sharpness)
    return replace(soft, params=soft.params._replace(inner=inner), settings=settings)


def candidates_from(gate: Gate, log: LogRows) -> tuple[Candidate, ...]:
    """The policy frozen after reading a log, and its softer versions."""
    here = gate.learn
    state = learn(gate.policy, log, here.behavior, here.scenario)
    frozen = freeze(gate.policy.name, gate.policy, state, here.scenario)
    found = [Candidate(gate.policy.name, gate.policy, state, frozen)]
    if gate.soft is not None:
        found += [softened(gate, state, ess_share=share) for share in gate.ess_shares]
    return tuple(found)


def _first_half(here: Side, log: LogRows) -> NDArray[np.bool_]:
    """(n,) rows of one half of a log; of a recorded world half of its problems, each whole."""
    if here.scenario.is_exact:
        return np.arange(len(log.index)) < len(log.index) // 2
    problems, which = np.unique(here.scenario.population.cluster[log.index], return_inverse=True)
    return np.asarray(which < problems.size // 2)


def _cross_tables(gate: Gate, log: LogRows) -> dict[str, NDArray[np.float64]]:
    """Per candidate (n, k) probabilities on a log, each row by the copy that learned from the other half.

    A candidate is thus never selected on rows it learned from; the copy that is judged learns from all.
    """
    first = _first_half(gate.learn, log)
    early, late = (candidates_from(gate, log.chosen(half)) for half in (first, ~first))
    return {
        a.name: np.where(first[:, None], b.frozen.probs[log.index], a.frozen.probs[log.index])
        for a, b in zip(early, late, strict=True)
    }


def _baseline_rows(gate: Gate, here: Side, log: LogRows, seed: int) -> Rows:
    tables = predict(
        rows_of(log, here.behavior, here.baseline, scenario=here.scenario), here.design, model=gate.model, seed=seed
    )
    return written_out(tables)


def feasible_share(gate: Gate, log: LogRows, frozen: Frozen) -> float:
    """Share of feasible recommendations an independent audit finds: the logger's and the candidate's, the worse."""
    here = gate.judge
    scenario = here.scenario
    recorded = dict(zip(scenario.population.names, scenario.recorded, strict=True))
    logs = (
        log_of_rows(scenario, log, here.behavior, Identity("judgement", here.digest, gate.master_seed)),
        recommendations(scenario, log, frozen, Identity("candidate", here.digest, gate.master_seed)),
    )
    found = [audit(each, scenario.lattice, constraints=gate.constraints, recorded=recorded) for each in logs]
    return min(each.share_feasible if each.holds else 0.0 for each in found)


def decide_gate(gate: Gate, *, n: int, purposes: tuple[Purpose, Purpose], seed: int) -> GateRun:
    """One replication: draw both logs, learn and select on the first (cross-fitted), judge on the second.

    The verdict is the first approval among the selected candidates, the most promising one's otherwise.

    Args:
        gate: who is judged and where.
        n: rows of each log, at most `LOG_ROWS`.
        purposes: of the selection and of the judgement log; they must differ.
        seed: of both logs.

    Raises:
        ValueError: the logs would share randomness, or n is out of range.
    """
    if purposes[0] == purposes[1]:
        raise ValueError(f"selection and judgement log share purpose {purposes[0].name}, need two")
    if not 1 <= n <= LOG_ROWS:
        raise ValueError(f"n = {n}, need 1 <= n <= {LOG_ROWS}")
    logs = [
        draw_log(s.scenario, s.behavior, master_seed=gate.master_seed, purpose=p, seed=seed).part(0, n)
        for s, p in zip((gate.learn, gate.judge), purposes, strict=True)
    ]
    found = candidates_from(gate, logs[0])
    rows = _baseline_rows(gate, gate.learn, logs[0], seed)
    selection = select(gate.params, rows, candidates=_cross_tables(gate, logs[0]))
    if not selection.kept:
        return GateRun(none_selected(selection), selection, found, None, *logs)
    by_name = {candidate.name: candidate for candidate in found}
    judged = [by_name[name] for name in selection.kept]
    verdicts = [_judge(gate, logs[1], candidate, n_judged=len(judged), seed=seed) for candidate in judged]
    first = next((i for i, verdict in enumerate(verdicts) if verdict.answer == "approved"), 0)
    return GateRun(verdicts[first], selection, found, judged[first], *logs)


def _judge(gate: Gate, log: LogRows, candidate: Candidate, *, n_judged: int, seed: int) -> Verdict:
    """The verdict on one selected candidate, which shares alpha with the others that are judged."""
    there, frozen = gate.judge.scenario, candidate.frozen
    if there is not gate.learn.scenario:
        frozen = freeze(candidate.name, candidate.bounded, candidate.state, there)
    return judge(
        gate.params,
        _baseline_rows(gate, gate.judge, log, seed),
        target=frozen.probs[log.index],
        candidate=candidate.name,
        n_judged=n_judged,
        feasible_share=feasible_share(gate, log, frozen),
    )


def exact_gain(gate: Gate, candidate: Candidate) -> float:
    """Exact value of a candidate less the baseline's, in a world that knows its truth."""
    here = gate.judge
    frozen = candidate.frozen
    if here is not gate.learn:
        frozen = freeze(candidate.name, candidate.bounded, candidate.state, here.scenario)
    table = here.scenario.table()
    return value_of(here.scenario, table, frozen) - value_of(here.scenario, table, here.baseline)


def possible_gain(gate: Gate) -> float:
    """Exact gain of the best feasible action of every task's window over the baseline; 0 where nothing matters."""
    here = gate.judge
    rewards = np.take_along_axis(here.scenario.table(), here.behavior.windows.action_ids, axis=1)
    best = np.where(here.behavior.windows.feasible, rewards, -np.inf).max(axis=1)
    gain = float(here.weight @ best) - value_of(here.scenario, here.scenario.table(), here.baseline)
    return gain if gain > NO_GAIN else 0.0
