"""Bundles to test with: small worlds, every learner, and the size that the thresholds speak of.

A policy plays some rounds of its world in NumPy, freezes as it stands and is written out. The
wide world has a window of 51 slots, since a window is a block of odd sides and 51 is the least
that reaches 50, and a context of 32 entries: the twelve of every world and twenty models.
"""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from envs import presets, traffic
from envs.lattice import AxisRange, LatticeRanges
from envs.surfaces import llm_outcome
from envs.tasks import encode
from envs.world import Noise, Scenario
from experiments.bundling.probe import NOW
from policies.approval import Params as ApprovalParams
from policies.base import Feedback
from policies.build import BoundedPolicy, bounded, learner_module, make_spec
from policies.bundle import publish_bundle
from policies.constraints import Params as ConstraintParams
from policies.decide import Known, decide
from policies.evidence import Evidence
from policies.frozen import FrozenPolicy, freeze_policy
from policies.graph import trace
from policies.masses import TOTAL
from policies.release import Release
from policies.signing import Signer

__all__ = [
    "evidence",
    "learned",
    "learners",
    "new_key",
    "played",
    "published",
    "release",
    "small_world",
    "under_mission",
    "wide_world",
]

ENTRIES = 32  # of the wide world's context
PRESET = "four_types"


def _world(lattice: LatticeRanges, name: str, *, tasks: int, contexts: int) -> Scenario:
    """Some task types of a preset on another lattice, starting from its middle."""
    params = presets.load("world", PRESET)
    assert isinstance(params, llm_outcome.Params)
    kinds, middle = params.task_types[:tasks], llm_outcome.Baseline(temperature="0.7", max_tokens="512")
    made = replace(params, name=name, lattice=lattice, baseline=middle, task_types=kinds, contexts_per_type=contexts)
    return llm_outcome.build(made)


def small_world(*, tasks: int = 2) -> Scenario:
    """Five temperatures, five caps, two values of top_p, and some task types."""
    grid = LatticeRanges(AxisRange("0.3", "1.1", "0.2"), AxisRange("112", "912", "200"), AxisRange("0.9", "1", "0.1"))
    return _world(grid, "small", tasks=tasks, contexts=16)


def wide_world() -> Scenario:
    """Windows of 17 temperatures x 3 caps under the mission's trust region, and 32 entries of context."""
    grid = LatticeRanges(AxisRange("0.3", "1.1", "0.025"), AxisRange("112", "912", "200"))
    plain = _world(grid, "wide", tasks=1, contexts=16)
    people = plain.population
    models = tuple(f"model-{i:02d}" for i in range(ENTRIES - len(people.spec.names)))
    spec = people.spec._replace(models=models)
    tasks = tuple(replace(task, model_name=models[i % len(models)]) for i, task in enumerate(people.tasks))
    features = np.stack([encode(task, spec) for task in tasks])
    moved = plain.traffic._replace(features=features)
    return replace(plain, population=replace(people, spec=spec, tasks=tasks, features=features), traffic=moved)


def learners() -> dict[str, Any]:
    """Every learner of configs/policy by name, once for each kind of features that it offers."""
    found: dict[str, Any] = {}
    for name in presets.names("policy"):
        one: Any = presets.load("policy", name)
        kinds = next((item.metadata["choices"] for item in fields(one) if item.name == "features"), ("",))
        found |= {f"{name} {kind}".strip(): replace(one, features=kind) if kind else one for kind in kinds}
    return found


def under_mission(scenario: Scenario, learner: Any) -> BoundedPolicy:
    """A learner under the mission's bounds, its approved parameters standing still."""
    limits = presets.load("constraints", "mission")
    assert isinstance(limits, ConstraintParams)
    held = learner_module(learner).make(make_spec(scenario, limits, learner).lean())
    rule = ApprovalParams(rule="two_sample" if held.belief is None else "improve")
    return bounded(scenario, constraints=limits, approval=rule, learner=learner)


def played(scenario: Scenario, policy: BoundedPolicy, rounds: int, *, seed: int = 0) -> Any:
    """What the learner knows after some decisions around its start, each learned from.

    Args:
        scenario: where.
        policy: who; the centre of its window stays.
        rounds: decisions.
        seed: of contexts, noise and draws.

    Returns:
        The learner's own state.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    world, span = scenario.world, np.float64(scenario.reward_span)
    clock, first = traffic.start(len(scenario.population.names)), policy.policy.init(policy.params)
    state = first
    for _ in range(rounds):
        context = traffic.draw(scenario.traffic, clock, rng.random(3))
        known = Known(clock.seen[context.task], span, np.int32(rng.integers(TOTAL)))
        done = decide(policy.policy, policy.params, state._replace(approved=first.approved), context, known)
        noise = Noise(rng.random(world.n_uniform), rng.standard_normal(world.n_normal))
        outcome, reward = world.outcome(
            scenario.params, traffic.now(clock), context, done.choice.action_id, noise=noise
        )  # fmt: skip
        feedback = Feedback(reward, np.bool_(True), outcome)
        inner = policy.learner.update(policy.params.inner, state.inner, done.decision, done.choice, feedback)
        state = state._replace(inner=inner)
        clock = traffic.advance(clock, context.task)
    return state.inner


def learned(scenario: Scenario, learner: Any, *, rounds: int, seed: int = 0) -> FrozenPolicy:
    """A learner after some rounds of a world, frozen around the world's start."""
    policy = under_mission(scenario, learner)
    return freeze_policy(scenario, policy, state=played(scenario, policy, rounds, seed=seed))


def evidence() -> Evidence:
    """Evidence that carries a policy, made up: what is tested here is the bundle."""
    return Evidence(
        verdict="approved",
        reasons=("the lower bound of the improvement is above 0",),
        candidate="learner",
        world="small",
        estimator="doubly_robust",
        interval="gate",
        regime="iid",
        estimate=0.1,
        standard_error=0.01,
        lower_bound=0.08,
        alpha=0.05,
        n=2000,
        ess=500.0,
        max_weight_share=0.01,
    )


def release(name: str = "bundle", version: str = "1.0.0") -> Release:
    """The words of a bundle to test with."""
    return Release(name=name, version=version, evidence=evidence())


def new_key(rng: np.random.Generator) -> tuple[Signer, bytes]:
    """A signer for tests, never used elsewhere, and its 32-byte public key.

    Raises:
        ModuleNotFoundError: the extra `signing` is missing.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # optional: extra `signing`
    except ModuleNotFoundError as error:
        message = "signed bundles need the package cryptography: pip install 'guardband[signing]'"
        raise ModuleNotFoundError(message) from error
    key = Ed25519PrivateKey.from_private_bytes(rng.bytes(32))
    return key.sign, key.public_key().public_bytes_raw()


def published(store: Path, policy: FrozenPolicy, *, sign: Signer | None = None, said: Release | None = None) -> Path:
    """A bundle with its graph, in a store.

    Args:
        store: a folder, made if missing.
        policy: what is let out.
        sign: signs it; None: digest-only.
        said: its release; None for that of `release`.

    Returns:
        The bundle's folder.

    Raises:
        ModuleNotFoundError: the export extra is missing.
    """
    return publish_bundle(store, policy, release=said or release(), graph=trace(policy), sign=sign, now=NOW)
