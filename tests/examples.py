"""Small worlds, learners and decision logs that several tests share; NumPy only, in code."""

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from envs import traffic
from envs.lattice import AxisRange, LatticeRanges
from envs.population import Effects, TaskType
from envs.reward import RewardWeights
from envs.surfaces import llm_outcome
from envs.tasks import fingerprint
from envs.world import Noise, Outcome, Scenario
from evaluators.decisions import DecisionLog, prompt_hash, request_parameters
from policies import approval, constraints
from policies.base import Feedback
from policies.build import BoundedPolicy, bounded
from policies.constrained import BoundedState
from policies.decide import Decided, Known, decide
from policies.digest import policy_digest
from policies.evidence import Evidence
from policies.frozen import FrozenPolicy, Recommendation, freeze_policy
from policies.learners import epsilon_greedy, fixed, linucb, proximity, softmax, thompson, uniform
from policies.masses import TOTAL
from policies.release import Release

KEY = b"a key that is nowhere stored 123"
LIMITS = constraints.Params(temperature=constraints.Limits(highest="1.1"), max_tokens=constraints.Limits(lowest="212"))
LEARNERS: dict[str, Any] = {
    "fixed": fixed.Params(),
    "fixed floored": fixed.Params(floor=0.2),
    "uniform": uniform.Params(),
    "proximity": proximity.Params(),
    **{f"epsilon_greedy {f}": epsilon_greedy.Params(features=f) for f in ("shared", "disjoint")},
    **{f"linucb {f}": linucb.Params(features=f) for f in ("shared", "disjoint")},
    **{f"thompson {f}": thompson.Params(features=f, n_draws=16) for f in ("shared", "disjoint")},
    **{f"softmax {f}": softmax.Params(features=f) for f in ("shared", "disjoint")},
}


EVIDENCE: dict[str, Any] = {
    **{"verdict": "approved", "reasons": ("the lower bound is above 0",), "candidate": "thompson", "world": "small"},
    **{"estimator": "doubly robust", "interval": "one-sided, clustered by problem", "regime": "iid"},
    **{"estimate": 0.05, "standard_error": 0.01, "lower_bound": 0.03, "alpha": 0.05},
    **{"n": 2000, "ess": 640.5, "max_weight_share": 0.01},
}


def evidence(**changes: Any) -> Evidence:
    """What a gate says that approved, but for the changes."""
    return Evidence(**{**EVIDENCE, **changes})


def release(**changes: Any) -> Release:
    """The words of a first release that its evidence carries, but for the changes."""
    return Release(**{"name": "small", "version": "1.0.0", "evidence": evidence(), **changes})


def frozen(learner: Any, *, world: Scenario | None = None, **options: Any) -> FrozenPolicy:
    """What a learner, or one of `LEARNERS` by name, learned in a run; options as `freeze_policy`."""
    run = run_policy(LEARNERS[learner] if isinstance(learner, str) else learner, world=world)
    told = {"approved": run.state.approved, **options}
    return freeze_policy(world or small_world(), run.bounded, state=run.state.inner, **told)


def told(answer: Recommendation) -> dict[str, Any]:
    """All that an answer says, as plain values that compare."""
    names = ("parameters", "action_id", "propensity", "uniform", "policy_digest", "refusal", "reason", "confidence")
    arrays = {"masses": answer.masses.tolist(), "window": [leaf.tolist() for leaf in answer.window]}
    return {name: getattr(answer, name) for name in names} | arrays


def numbers(world: Scenario, action_id: Any) -> dict[str, float]:
    """The numeric parameters of an action."""
    return {k: float(v) for k, v in world.lattice.parameters(int(action_id)).items() if k != "model"}


class Run(NamedTuple):
    """What a policy left behind: its functions and numbers, what it learned, what it logged."""

    bounded: BoundedPolicy
    state: BoundedState
    log: DecisionLog


def _params() -> llm_outcome.Params:
    return llm_outcome.Params(
        name="small",
        lattice=LatticeRanges(
            AxisRange("0.6", "1.1", "0.1"), AxisRange("112", "812", "100"), AxisRange("0.8", "1", "0.1")
        ),
        baseline=llm_outcome.Baseline(temperature="0.9", max_tokens="412"),
        task_types=[
            TaskType(name="short", length_median_1=130.0),
            TaskType(name="long", t_star=0.7, k_t=0.2, length_median_1=380.0),
        ],
        effects=Effects(difficulty=0.1, length=0.2, optimum=0.2),
        reward=RewardWeights(cost=80.0, latency=0.005),
        contexts_per_type=12,
    )


@cache
def small_world() -> Scenario:
    """Two task types, 12 contexts each, 6 x 8 x 3 actions, a start away from the best."""
    return llm_outcome.build(_params())


@cache
def many_types(n: int) -> Scenario:
    """The same with so many task types, two contexts each."""
    kinds = [TaskType(name=f"type-{i:02d}", length_median_1=120.0 + 10 * i) for i in range(n)]
    return llm_outcome.build(replace(_params(), name=f"{n} task types", task_types=kinds, contexts_per_type=2))


@cache
def two_models() -> Scenario:
    """The same with 3 temperatures, 4 caps and a choice of two models: the second answers better and costs more."""
    dear = llm_outcome.Service(input_price=2.0, output_price=10.0)
    grid = LatticeRanges(AxisRange("0.8", "1.0", "0.1"), AxisRange("212", "512", "100"), AxisRange("1", "1", "0.1"))
    several = {"small": llm_outcome.Model(quality_factor=0.7), "large": llm_outcome.Model(service=dear)}
    return llm_outcome.build(replace(_params(), name="two models", lattice=grid, models=several))


def under_limits(learner: Any, world: Scenario | None = None) -> BoundedPolicy:
    """A learner on the small world, or another, under `LIMITS`, quick to approve."""
    rule = approval.Params(rule="improve" if hasattr(learner, "features") else "two_sample", min_evaluations=2)
    return bounded(world or small_world(), constraints=LIMITS, approval=rule, learner=learner)


def run_policy(learner: Any, *, n_rounds: int = 40, seed: int = 0, world: Scenario | None = None) -> Run:
    """A learning run in plain NumPy; the log's digest is that of the learner before its first row."""
    here, made = world or small_world(), under_limits(learner, world)
    rng = np.random.Generator(np.random.Philox(seed))
    state, clock, rows = made.policy.init(made.params), traffic.start(2), []
    for _ in range(n_rounds):
        context = traffic.draw(here.traffic, clock, rng.random(3))
        known = Known(clock.seen[context.task], np.float64(here.reward_span), np.int32(rng.integers(TOTAL)))
        done = decide(made.policy, made.params, state, context, known)
        noise = Noise(rng.random(here.world.n_uniform), rng.standard_normal(here.world.n_normal))
        outcome, reward = here.world.outcome(
            here.params, traffic.now(clock), context, done.choice.action_id, noise=noise
        )
        feedback = Feedback(reward, np.bool_(True))
        state = made.policy.update(made.params, state, done.decision, done.choice, feedback)
        clock = traffic.advance(clock, context.task)
        rows.append((int(context.index), done, int(known[2]), outcome, float(reward)))
    return Run(made, state, _log(here, made, rows))


def _log(here: Scenario, made: BoundedPolicy, rows: list[tuple[int, Decided, int, Outcome, float]]) -> DecisionLog:
    people = here.population
    index = np.array([row[0] for row in rows])
    decided = [row[1] for row in rows]
    windows = [one.decision.window for one in decided]
    action = np.array([one.choice.action_id for one in decided], np.int32)
    kinds = [people.names[people.task[i]] for i in index]
    prints = [fingerprint(people.tasks[i], task_type=kind) for i, kind in zip(index, kinds, strict=True)]
    start = policy_digest(made.settings, state=made.learner.init(made.params.inner), spec=made.spec)
    parts = Outcome(*np.array([row[3] for row in rows], np.float64).T)
    return DecisionLog(
        request_id=np.array([f"r-{i:05d}" for i in range(len(rows))], object),
        timestamp=np.datetime64("2026-01-05T00:00:00", "us") + np.arange(len(rows)) * np.timedelta64(1_500_000, "us"),
        prompt_hash=np.array([prompt_hash(text, KEY) for text in prints], object),
        fingerprint=np.array(prints, object),
        context=people.features[index],
        task_type=np.array(kinds, object),
        evaluation=np.array([one.decision.t for one in decided], np.int32),
        centre=np.array([w.action_ids[w.incumbent] for w in windows], np.int32),
        action_ids=np.stack([w.action_ids for w in windows]),
        mask=np.stack([w.feasible for w in windows]),
        masses=np.stack([one.masses for one in decided]),
        uniform=np.array([row[2] for row in rows], np.int32),
        propensity=np.array([one.choice.mass / TOTAL for one in decided]),
        action_id=action,
        policy_digest=np.array([start] * len(rows), object),
        **({"model": np.array([""] * len(rows), object)} | request_parameters(here.lattice, action)),
        output_tokens=parts.output_tokens,
        quality=parts.quality,
        latency_ms=parts.latency_ms,
        cost_usd=parts.cost_usd,
        failure=parts.failure,
        truncated=parts.truncated,
        reward=np.array([row[4] for row in rows]),
        cluster=people.cluster[index].astype(np.int64),
    )
