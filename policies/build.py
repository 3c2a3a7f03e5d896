"""From a scenario and a config to a bounded policy: spec, functions and numbers together."""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from envs.lattice import Lattice
from envs.lattice import places as values_of
from envs.world import Scenario
from policies.approval import PASSAGE, leaves
from policies.approval import Params as ApprovalParams
from policies.base import Policy, Spec
from policies.constrained import BoundedParams, check_rule, constrained
from policies.constraints import Bounds, bounds, legal, offsets, start
from policies.constraints import Params as ConstraintParams
from policies.floored import floored
from policies.softened import Params as SoftenedParams
from policies.softened import Softened, bare, softened

__all__ = ["BoundedPolicy", "bounded", "learner_module", "learner_policy", "make_spec", "positions", "ready", "values"]

KNOTS = 4  # straight pieces of phi along an axis, at most
INTERACTIONS = ("complexity_indicators", "description_length", "has_external_deps", "risk_tier")


@dataclass(frozen=True)
class BoundedPolicy:
    """A policy ready to run: its learner, the same under bounds, and the numbers of both."""

    name: str
    spec: Spec
    learner: Policy  # floored, but without a window of its own
    policy: Policy  # under hard limits, trust region and approval rule
    params: BoundedParams
    settings: Any  # the learner's `Params`, as configured


def learner_module(params: object) -> ModuleType:
    """The module that a learner's parameters come from, softened or not: it has `make(spec)`."""
    return import_module(type(bare(params)).__module__)


def learner_policy(settings: Any, spec: Spec) -> Policy:
    """A learner's functions, floored; of a softened one, with the softmax of its belief for a vector."""
    inner = learner_module(settings).make(spec)
    return floored(softened(inner) if isinstance(settings, SoftenedParams) else inner)


def ready(settings: Any, spec: Spec) -> Any:
    """A learner's numbers: its parameters, or what its module's `ready` makes of them on a world's facts."""
    if isinstance(settings, SoftenedParams):
        return Softened(ready(settings.learner, spec), settings.sharpness, settings.floor)
    prepare = getattr(learner_module(settings), "ready", None)
    return settings if prepare is None else prepare(settings, spec)


def make_spec(scenario: Scenario, limits: ConstraintParams, learner: object) -> Spec:
    """The static facts of a learner on a scenario's lattice and population."""
    lattice, names = scenario.lattice, scenario.population.spec.names
    return Spec(
        shape=lattice.shape,
        positions=positions(lattice),
        offsets=offsets(lattice, limits),
        n_tasks=len(scenario.population.names),
        d=scenario.population.features.shape[1],
        features=getattr(bare(learner), "features", "shared"),
        knots=tuple(min(size - 1, KNOTS) for size in lattice.shape),
        interactions=tuple(names.index(name) for name in INTERACTIONS if name in names),
        n_draws=getattr(bare(learner), "n_draws", 2),
        values=values(lattice),
        worth=scenario.worth,
        prices=scenario.prices,
    )


def values(lattice: Lattice) -> tuple[tuple[float, ...], ...]:
    """Per axis, its values in their own unit (of `model`, places from 0)."""
    return tuple(tuple(float(v) for v in values_of(axis)) for axis in lattice.axes)


def positions(lattice: Lattice) -> tuple[tuple[float, ...], ...]:
    """Per axis, each value's place between its ends, 0..1."""
    places = []
    for axis in lattice.axes:
        numbers = np.array([float(v) for v in values_of(axis)])
        width = numbers[-1] - numbers[0]
        places.append(tuple(((numbers - numbers[0]) / width).tolist()) if width else (0.0,))
    return tuple(places)


def bounded(
    scenario: Scenario, *, constraints: ConstraintParams, approval: ApprovalParams, learner: Any
) -> BoundedPolicy:
    """A learner under the bounds of a scenario.

    Raises:
        ValueError: limits that leave no action, a window of more than 256 slots, or an approval
            rule that needs a belief the learner does not have.
    """
    spec = make_spec(scenario, constraints, learner)
    lean = spec.lean()
    inner = learner_policy(learner, lean)
    check_rule(approval, inner)
    limits: Bounds = bounds(scenario.lattice, constraints, recorded=scenario.recorded)
    first = start(scenario.lattice, limits, scenario.baseline)
    allowed = legal(scenario.lattice, limits)
    params = BoundedParams(ready(learner, spec), limits, leaves(approval), first, allowed)
    name = learner_module(learner).__name__.rsplit(".", 1)[-1]
    policy = constrained(lean, inner, passage=approval.rule == PASSAGE)
    return BoundedPolicy(name, spec, inner, policy, params, learner)
