"""What could be had: the best action of every context and task type, and the exact value of any policy.

Populations are finite, so a policy's value is a sum over contexts and actions. A policy that
is not a table (it draws new tasks, or has too many contexts) is integrated by sampling, and
the answer then carries its standard error.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.world import Scenario

__all__ = ["Best", "Integrated", "best_of_contexts", "best_of_types", "integrated", "type_values", "value"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Best(NamedTuple):
    """(m,) id of the best action and its expected reward; ties go to the lowest id."""

    action: NDArray[np.int32]
    value: Floats


class Integrated(NamedTuple):
    """A policy value and its Monte Carlo standard error, in reward units."""

    value: float
    stderr: float


def _best(values: Floats, allowed: Mask | None) -> Best:
    held = values if allowed is None else np.where(allowed, values, -np.inf)
    held = np.where(np.isnan(held), -np.inf, held)
    top = held.max(axis=1)
    if not np.isfinite(top).all():
        raise ValueError(
            f"row {int(np.argmin(np.isfinite(top)))} has no allowed action with a value, need one at least"
        )
    return Best(held.argmax(axis=1).astype(np.int32), top)


def best_of_contexts(scenario: Scenario, *, t: int = 0, allowed: Mask | None = None) -> Best:
    """The best action of every context at evaluation t.

    Args:
        scenario: the world.
        t: evaluation.
        allowed: (tasks, actions) what is feasible; all actions where it is left out.

    Raises:
        ValueError: a task type without an allowed action.
    """
    mask = scenario.recorded if allowed is None else allowed & scenario.recorded
    return _best(scenario.table(t=t), mask[scenario.population.task])


def type_values(scenario: Scenario, *, t: int = 0, table: Floats | None = None) -> Floats:
    """(tasks, actions) expected reward of each action held fixed for a task type, over its contexts at evaluation t.

    `table` is `scenario.table(t=t)` where the caller has it already.
    """
    rewards, weight, task = (
        scenario.table(t=t) if table is None else table,
        scenario.weights(t=t),
        scenario.population.task,
    )
    n_tasks = len(scenario.population.names)
    return np.stack(
        [np.average(rewards[task == k], axis=0, weights=_within(weight, task == k)) for k in range(n_tasks)]
    )


def _within(weight: Floats, mine: Mask) -> Floats:
    """(m,) weights of a type's contexts; equal ones where the type gets no traffic just now."""
    held = weight[mine]
    return held if held.sum() > 0 else np.ones_like(held)


def best_of_types(scenario: Scenario, *, t: int = 0, allowed: Mask | None = None) -> Best:
    """The best action to hold fixed for every task type at evaluation t; arguments as `best_of_contexts`.

    Raises:
        ValueError: a task type without an allowed action.
    """
    mask = scenario.recorded if allowed is None else allowed & scenario.recorded
    return _best(type_values(scenario, t=t), mask)


def value(scenario: Scenario, probs: Floats, *, t: int = 0) -> float:
    """Exact expected reward of a policy at evaluation t: a sum over all contexts and actions.

    Args:
        scenario: the world.
        probs: (n, actions) what the policy does in every context; rows sum to 1.
        t: evaluation.

    Raises:
        ValueError: another shape, a negative probability, a row that does not sum to 1, or mass on
            an action that this world cannot answer.
    """
    table, shape = scenario.table(t=t), (len(scenario.population.tasks), scenario.lattice.size)
    if probs.shape != shape:
        raise ValueError(f"probs has the shape {probs.shape}, need {shape}: contexts and actions of {scenario.name!r}")
    off = np.flatnonzero(~np.isclose(probs.sum(axis=1), 1.0, rtol=0.0, atol=1e-9) | (probs < 0).any(axis=1))
    if off.size:
        raise ValueError(
            f"probs[{off[0]}] sums to {probs[off[0]].sum():.9g} or has a negative entry, need a distribution"
        )
    if np.isnan(table[probs > 0]).any():
        raise ValueError("probs puts mass on an action that was never recorded, need none there")
    return float(scenario.weights(t=t) @ np.where(probs > 0, probs * table, 0.0).sum(axis=1))


def integrated(
    scenario: Scenario, act: Callable[[Floats, int], int], *, draws: int, rng: np.random.Generator, t: int = 0
) -> Integrated:
    """Expected reward of any function from context to action, by sampling contexts; rewards are exact means.

    Args:
        scenario: the world.
        act: (context vector (d,), task type) -> action id; may draw.
        draws: contexts sampled.
        rng: draws them.
        t: evaluation.

    Raises:
        ValueError: fewer than two draws.
    """
    if draws < 2:
        raise ValueError(f"draws = {draws}, need at least 2 for a standard error")
    people, world = scenario.population, scenario.world
    rows = rng.choice(len(people.tasks), size=draws, p=scenario.weights(t=t))
    ids = [np.array([act(people.features[i], int(people.task[i]))], np.int32) for i in rows]
    got = [
        float(world.expected(scenario.params, np.int32(t), np.int32(i), one)[1][0])
        for i, one in zip(rows, ids, strict=True)
    ]
    return Integrated(float(np.mean(got)), float(np.std(got, ddof=1) / np.sqrt(draws)))
