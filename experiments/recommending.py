"""What one decision costs in NumPy while a policy still learns: window, belief, vector, masses and draw.

What a bundle costs, which no longer learns, `experiment=bundle_validation` measures.

CPU time of the whole process, so that a second thread does not flatter the figure; learning is left out.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs import presets, traffic
from envs.randomness import DRAWS
from envs.world import Noise, Scenario
from experiments.results import Claim
from policies.approval import Params as ApprovalParams
from policies.base import Feedback
from policies.build import bounded, learner_module, make_spec
from policies.constraints import Params as ConstraintParams
from policies.decide import Known, decide

__all__ = ["Cost", "cost_of", "recommendation_claims"]

WORLD = "mcqa_plateau"  # its window has 225 slots
LEARNED = 200  # evaluations before and while recommendations are timed
MAX_MS, FLAGSHIP_MS = 1.0, 5.0  # p99


class Cost(NamedTuple):
    """CPU milliseconds of one recommendation: median and 99th percentile of n, in a window of k slots."""

    policy: str
    p50_ms: float
    p99_ms: float
    n: int
    k: int


def cost_of(learner: Any, *, decisions: int, seed: int = 0) -> Cost:
    """Time recommendations of a learner that has learned from up to 200 evaluations of one world.

    Args:
        learner: its parameters.
        decisions: how many are timed.
        seed: of contexts, noise and draws.
    """
    scenario, constraints = presets.scenario(WORLD), presets.load("constraints", "mission")
    assert isinstance(constraints, ConstraintParams)
    held = learner_module(learner).make(make_spec(scenario, constraints, learner).lean())
    rule = ApprovalParams(rule="two_sample" if held.belief is None else "improve")
    policy = bounded(scenario, constraints=constraints, approval=rule, learner=learner)
    spent = _played(scenario, policy, decisions, rng=np.random.default_rng(seed))
    p50, p99 = np.quantile(spent, [0.5, 0.99])
    return Cost(policy.name, float(p50) / 1e6, float(p99) / 1e6, decisions, policy.spec.k)


def _played(scenario: Scenario, policy: Any, decisions: int, *, rng: np.random.Generator) -> list[int]:
    """Nanoseconds of every decision; the policy learns from the first `LEARNED` of them."""
    clock, state, spent = traffic.start(1), policy.policy.init(policy.params), []
    span = np.float64(scenario.reward_span)
    for _ in range(decisions):
        context = traffic.draw(scenario.traffic, clock, rng.random(3))
        known = Known(clock.seen[0], span, np.int32(rng.integers(DRAWS)))
        began = time.process_time_ns()
        done = decide(policy.policy, policy.params, state, context, known)
        spent.append(time.process_time_ns() - began)
        if clock.rounds < LEARNED:
            world = scenario.world
            noise = Noise(rng.random(world.n_uniform), rng.standard_normal(world.n_normal))
            outcome, reward = world.outcome(
                scenario.params, traffic.now(clock), context, done.choice.action_id, noise=noise
            )  # fmt: skip
            feedback = Feedback(reward, np.bool_(True), outcome)
            state = policy.policy.update(policy.params, state, done.decision, done.choice, feedback)
        clock = traffic.advance(clock, context.task)
    return spent


def recommendation_claims(costs: Sequence[Cost], *, flagship: str) -> list[Claim]:
    """The slowest learner, and the flagship, each against its threshold."""
    parts = [
        ("the slowest of {n} learners", [one for one in costs if one.policy != flagship], MAX_MS),
        ("the flagship", [one for one in costs if one.policy == flagship], FLAGSHIP_MS),
    ]
    found = []
    for text, mine, limit in parts:
        if mine:
            slowest = max(mine, key=lambda one: one.p99_ms)
            words = f"p99 {slowest.p99_ms:.2f} ms, median {slowest.p50_ms:.2f} ms ({slowest.policy})"
            found.append(
                Claim(
                    f"One recommendation in NumPy, {text.format(n=len(mine))}", words, f"p99 < {limit:g} ms of CPU",
                    f"{slowest.n:,} decisions, {slowest.k} slots, fastest repeat", slowest.p99_ms < limit,
                )
            )  # fmt: skip
    return found
