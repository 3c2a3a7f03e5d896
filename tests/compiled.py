"""A small world and its compiled programs, which several tests of the experiments share.

A program is compiled once a process: all tests use one lattice, one learner, one number of
rounds, seeds and rules, and vary numbers only.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from envs.drift import Params as DriftParams
from envs.feedback import Params as FeedbackParams
from envs.lattice import AxisRange, LatticeRanges
from envs.population import Effects, TaskType
from envs.randomness import Purpose
from envs.reward import RewardWeights
from envs.surfaces import llm_outcome
from envs.world import Scenario
from evaluators.gates import Params as GateParams
from evaluators.reward_model import Params as ModelParams
from experiments.compose import check, compose, open_book, read
from experiments.convergence import PolicyRun, run_policies, train_plan
from experiments.frozen import Frozen, LogRows, draw_log, freeze, start_state
from experiments.gating import Gate, Rules, open_gate, side
from experiments.settings import Job
from policies import approval, constraints
from policies.build import BoundedPolicy, bounded
from policies.learners import proximity, thompson

HORIZON, SEEDS = 10, 32
N_ROUNDS = 2 * (HORIZON + 20)  # two task types
RULES = ("improve", "two_sample")
LIMITS = constraints.Params(temperature=constraints.Limits(highest="1.1"), max_tokens=constraints.Limits(lowest="212"))
LEARNER = thompson.Params()
PARAMS = llm_outcome.Params(
    name="small",
    lattice=LatticeRanges(AxisRange("0.6", "1.1", "0.1"), AxisRange("112", "812", "100"), AxisRange("0.8", "1", "0.1")),
    baseline=llm_outcome.Baseline(temperature="1.1", max_tokens="412"),
    task_types=[
        TaskType(name="short", q0=0.6, cliff=1.1, length_median_1=130.0),
        TaskType(name="long", q0=0.7, cliff=1.1, t_star=0.7, k_t=0.2, length_median_1=380.0, weight=2.0),
    ],
    effects=Effects(difficulty=0.1, length=0.2, optimum=0.2),
    reward=RewardWeights(cost=80.0, latency=0.005),
    contexts_per_type=12,
)
FLAT = replace(  # no cliff in range, nothing lost by truncation, nothing but quality in the reward
    PARAMS,
    name="flat",
    task_types=[
        TaskType(name=n, q0=q0, cliff=20.0, truncation_loss=0.0, runaway=0.0, nucleus_loss=0.0)
        for n, q0 in (("short", 0.6), ("long", 0.7))
    ],
    effects=Effects(difficulty=0.1, hidden=0.1),
    reward=RewardWeights(),
)


WORLDS = {
    "small": (PARAMS, ()),
    "flat": (FLAT, ()),
    "drifting": (PARAMS, (DriftParams(onset=4, quality_factor=0.5, length_shift=0.5),)),
}


@cache
def world(name: str = "small") -> Scenario:
    """Two task types, 12 contexts each, 6 x 8 x 3 actions; the start of `small` is near a cliff."""
    params, drift = WORLDS[name]
    return llm_outcome.build(params, drift=drift)


def under_bounds(learner: object, name: str = "small", *, rule: str = "two_sample") -> BoundedPolicy:
    """A learner under the limits, quick to approve."""
    how = approval.Params(rule=rule, min_evaluations=2)
    return bounded(world(name), constraints=LIMITS, approval=how, learner=learner)


@cache
def learning_runs(name: str = "small", learner: thompson.Params = LEARNER) -> tuple[PolicyRun, ...]:
    """32 seeds of a learner under both approval rules, a horizon of 10."""
    plan = train_plan(0, SEEDS, n_rounds=N_ROUNDS, precision="float64")
    group = [(under_bounds(learner, name, rule=rule), rule) for rule in RULES]
    return tuple(run_policies(world(name), group, plan))


DELAYED = FeedbackParams(mean_delay=3.0, missing=0.1, duplicated=0.1, max_delay=8, max_arrivals=2)


@cache
def delayed_runs(feedback: FeedbackParams = DELAYED) -> tuple[PolicyRun, ...]:
    """The learner under both rules in the small world, its rewards late, lost and doubled."""
    plan = train_plan(0, SEEDS, n_rounds=N_ROUNDS, precision="float64", feedback=feedback)
    return tuple(run_policies(world(), [(under_bounds(LEARNER, rule=rule), rule) for rule in RULES], plan))


@cache
def logger(name: str = "small") -> Frozen:
    """Who writes logs: half uniform, half close to the start."""
    who = under_bounds(proximity.Params(), name)
    return freeze("logger", who, start_state(who), world(name))


@cache
def log(seed: int = 0, purpose: Purpose = Purpose.LOG) -> LogRows:
    """2,000 rows of the logger in the small world."""
    return draw_log(world(), logger(), master_seed=0, purpose=purpose, seed=seed)


def gate(
    name: str = "small",
    learner: object = LEARNER,
    *,
    params: GateParams | None = None,
    shares: Sequence[float] = (0.25,),
) -> Gate:
    """A gate that learns and judges in one world."""
    policy = under_bounds(learner, name)
    here = side(world(name), under_bounds(proximity.Params(), name), policy)
    rule = GateParams() if params is None else params
    rules = Rules(LIMITS, rule, ModelParams(), tuple(shares))
    return open_gate((here, here), policy, rules=rules, master_seed=0)


def small(prefix: str) -> tuple[str, ...]:
    """Words that give a world of the command line the small world's shapes."""
    return (
        f"{prefix}.lattice.temperature={{start:'0.6',stop:'1.1',step:'0.1'}}",
        f"{prefix}.lattice.max_tokens={{start:'112',stop:'812',step:'100'}}",
        f"{prefix}.lattice.top_p={{start:'0.8',stop:'1',step:'0.1'}}",
        f"{prefix}.contexts_per_type=12",
    )


SIZES = (f"horizon={HORIZON}", f"seeds={SEEDS}")
SMALL = (*small("world"), *small("experiment.null_world"), *SIZES)
TWO_POLICIES = tuple(f"~experiment.policies.{name}" for name in ("fixed", "epsilon_greedy", "linucb"))


def job(*words: str, out: Path) -> Job:
    """What an experiment's `run` is handed for a command line."""
    request = read(words)
    with open_book(request.search) as book:
        cfg = compose(book, words)
        return replace(check(cfg, cfg.hydra.runtime.choices, groups=tuple(book.groups)), out=out)
