"""Frozen policies over one fixed window, the logs they write, and what is learned from a log.

A world's population is finite, so a frozen policy is a table of masses (tasks, slots) and
its value a sum; a log is independent rows drawn from that table.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from envs import traffic
from envs.arrays import Array
from envs.randomness import Purpose, episode_noise, sizes_of
from envs.world import Outcome, Scenario, World
from experiments.simulate import COMPILER, register
from policies.base import Choice, Decision, Feedback, Policy, Spec, Window
from policies.build import BoundedPolicy
from policies.constraints import window
from policies.decide import asked_in, weigh
from policies.masses import TOTAL, draw_slot
from policies.rolled_out import RolledOutParams, rolled_out

__all__ = [
    "LOG_ROWS",
    "Frozen",
    "LogRows",
    "design_ess",
    "draw_log",
    "freeze",
    "learn",
    "point_mass",
    "sharpest",
    "split_traffic",
    "start_state",
]

LOG_ROWS = 2000  # rows drawn by one call of the compiled program; shorter logs are cut from it
HALVINGS = 14  # of the logarithm of sharpness between its ends
SHARPNESS_ENDS = (0.1, 1000.0)
Floats = NDArray[np.float64]


class Frozen(NamedTuple):
    """A policy that no longer learns, on the windows around the start of every task type.

    Attributes:
        name: for tables.
        masses: (n, k) integer masses per task of the population, summing to 2^20.
        windows: (n, ...) the window of each task's type.
    """

    name: str
    masses: NDArray[np.int32]
    windows: Window

    @property
    def probs(self) -> Floats:
        """(n, k) exact probabilities."""
        return self.masses / TOTAL


class LogRows(NamedTuple):
    """A log's rows as arrays, leading axis rows; columns as in `experiments.simulate.Trajectory`."""

    index: Array
    task: Array
    slot: Array
    action_id: Array
    uniform: Array
    mass: Array
    outcome: Outcome
    reward: Array

    def part(self, begin: int, end: int) -> "LogRows":
        """Rows begin..end-1."""
        return self.chosen(np.arange(begin, end))

    def chosen(self, which: NDArray[Any]) -> "LogRows":
        """Rows by number, or by a mask (n,)."""
        return LogRows(*jax.tree.map(lambda leaf: leaf[which], tuple(self)))


def _register(bounded: BoundedPolicy) -> None:
    """Make the learner's parameters a JAX tree."""
    register(bounded.params.inner)


def start_state(bounded: BoundedPolicy) -> Any:
    """What a learner knows before its first row, as NumPy arrays."""
    return jax.tree.map(np.asarray, bounded.learner.init(bounded.params.inner))


@partial(jax.jit, static_argnames=("learner", "spec"), compiler_options=COMPILER)
def _table(learner: Policy, spec: Spec, numbers: tuple[Any, ...], features: Array, tasks: Array) -> Any:
    params, state, span = numbers

    def one(context: Array, task: Array) -> tuple[Array, Window]:
        held = window(spec, params.limits, params.start[task], task)
        decision = Decision(context, task, jnp.int32(0), span, jnp.ones(2), held)
        return weigh(learner, params.inner, state, decision), held

    return jax.vmap(one)(features, tasks)


def freeze(name: str, bounded: BoundedPolicy, state: Any, scenario: Scenario) -> Frozen:
    """The masses of a learner's state for every task of a population, windows around the start."""
    _register(bounded)
    people, span = scenario.population, scenario.reward_span
    numbers = (bounded.params, state, span)
    out = _table(bounded.learner, bounded.spec.lean(), numbers, people.features, people.task)
    masses, windows = jax.tree.map(np.asarray, out)
    return Frozen(name, masses, windows)


@partial(jax.jit, static_argnames=("learner", "spec"), compiler_options=COMPILER)
def _sharpest(
    learner: Policy, spec: Spec, numbers: tuple[Any, ...], people: tuple[Array, Array, Array], wanted: tuple[Any, ...]
) -> Array:
    params, state, span = numbers
    features, tasks, weight = people
    behavior, ess_share = wanted

    def second_moment(context: Array, task: Array, logged: Array, inner: Any) -> Array:
        held = window(spec, params.limits, params.start[task], task)
        decision = Decision(context, task, jnp.int32(0), span, jnp.ones(2), held)
        assert learner.belief is not None
        belief = learner.belief(inner, state, asked_in(decision), held.action_ids)
        p = learner.probs(inner, state, decision, belief)
        return jnp.sum(jnp.where(logged > 0, p * p / jnp.where(logged > 0, logged, 1.0), 0.0))

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (ends[0] + ends[1]) / 2.0
        inner = params.inner._replace(sharpness=jnp.exp(middle))
        moment = jax.vmap(partial(second_moment, inner=inner))(features, tasks, behavior)
        enough = 1.0 / jnp.sum(weight * moment) >= ess_share
        return jnp.where(enough, middle, ends[0]), jnp.where(enough, ends[1], middle)

    ends = (jnp.log(SHARPNESS_ENDS[0]), jnp.log(SHARPNESS_ENDS[1]))
    return jnp.exp(jax.lax.fori_loop(0, HALVINGS, halve, ends)[0])


def sharpest(soft: BoundedPolicy, state: Any, behavior: Frozen, scenario: Scenario, *, ess_share: float) -> float:
    """The largest sharpness of a softened learner whose design ESS / n on a logger is at least `ess_share`.

    At worst the lower end of the search, 0.1: then even a flat softmax has less support.
    """
    _register(soft)
    people = scenario.population
    weight = scenario.weights()
    numbers = (soft.params, state, scenario.reward_span)
    columns = (people.features, people.task, weight)
    return float(_sharpest(soft.learner, soft.spec.lean(), numbers, columns, (behavior.probs, ess_share)))


def split_traffic(bounded: BoundedPolicy, frozen: Frozen, scenario: Scenario, *, share: float) -> Frozen:
    """A frozen policy that does not learn, behind the traffic split: `share` follows it, the rest the incumbent."""
    wrapped, people = rolled_out(bounded.learner), scenario.population
    params, span = RolledOutParams(bounded.params.inner, np.float64(share)), np.float64(scenario.reward_span)
    masses = []
    for i, task in enumerate(people.task):
        held = Window(*(leaf[i] for leaf in frozen.windows))
        decision = Decision(people.features[i], task, np.int32(0), span, np.ones(2), held)
        masses.append(weigh(wrapped, params, start_state(bounded), decision))
    return Frozen(f"{frozen.name}_split", np.stack(masses), frozen.windows)


def point_mass(name: str, like: Frozen, slots: NDArray[np.integer]) -> Frozen:
    """All mass on one slot per task, on the windows of another frozen policy."""
    masses = np.zeros_like(like.masses)
    masses[np.arange(len(masses)), slots] = TOTAL
    return Frozen(name, masses, like.windows)


def design_ess(target: Frozen, behavior: Frozen, weight: Floats) -> float:
    """Expected ESS / n of judging `target` on a log of `behavior`: 1 / E[w^2].

    Args:
        target: who is judged.
        behavior: who writes the log.
        weight: (n,) probability of each task in traffic.
    """
    p, q = target.probs, behavior.probs
    second = np.divide(p * p, q, out=np.zeros_like(p), where=q > 0).sum(axis=1)
    return float(1.0 / (weight @ second))


@partial(jax.jit, static_argnames=("world", "n_rows"), compiler_options=COMPILER)
def _draw(world: World, n_rows: int, numbers: tuple[Any, ...], source: tuple[Any, ...]) -> LogRows:
    params, who, masses, action_ids = numbers
    noise = episode_noise(*source, n_rounds=n_rows, sizes=sizes_of(world), dtype="float64")
    clock = jax.tree.map(jnp.asarray, traffic.start(who.first.shape[0]))

    def one(row: Any) -> LogRows:
        context = traffic.draw(who, clock, row.context, by_mix=True)
        slot = draw_slot(masses[context.index], row.decision)
        action = action_ids[context.index, slot]
        outcome, reward = world.outcome(params, jnp.int32(0), context, action, noise=row.outcome)
        mass = masses[context.index, slot]
        return LogRows(context.index, context.task, slot, action, row.decision, mass, outcome, reward)

    return jax.vmap(one)(noise)


def draw_log(scenario: Scenario, behavior: Frozen, *, master_seed: int, purpose: Purpose, seed: int) -> LogRows:
    """`LOG_ROWS` independent rows of a frozen behavior policy, a function of the three integers."""
    numbers = (scenario.params, scenario.traffic, behavior.masses, behavior.windows.action_ids)
    source = (np.uint32(master_seed), np.uint32(purpose), np.uint32(seed))
    return LogRows(*jax.tree.map(np.asarray, tuple(_draw(scenario.world, LOG_ROWS, numbers, source))))


@partial(jax.jit, static_argnames=("learner",), compiler_options=COMPILER)
def _learn(learner: Policy, params: Any, state: Any, rows: tuple[Any, ...]) -> Any:
    def step(held: Any, row: tuple[Any, ...]) -> tuple[Any, None]:
        features, task, windows, choice, feedback = row
        decision = Decision(features, task, jnp.int32(0), jnp.float64(1.0), jnp.ones(2), windows)
        return learner.update(params, held, decision, choice, feedback), None

    return jax.lax.scan(step, state, rows)[0]


def learn(bounded: BoundedPolicy, rows: LogRows, behavior: Frozen, scenario: Scenario) -> Any:
    """What a learner knows after reading a log with its own update, row by row.

    A log shorter than `LOG_ROWS` is padded with rows marked invalid, which leave the state
    bit-equal, so all lengths share one compiled program.
    """
    _register(bounded)
    n = len(rows.index)
    spare = LOG_ROWS - n
    padded = LogRows(*jax.tree.map(lambda leaf: np.concatenate([leaf, leaf[:1].repeat(spare, 0)]), tuple(rows)))
    windows = jax.tree.map(lambda leaf: leaf[padded.index], behavior.windows)
    valid = np.arange(LOG_ROWS) < n
    choice = Choice(padded.slot, padded.action_id, padded.mass)
    feedback = Feedback(padded.reward, valid, padded.outcome)
    features = scenario.population.features[padded.index]
    columns = (features, padded.task, windows, choice, feedback)
    state = _learn(bounded.learner, bounded.params.inner, start_state(bounded), columns)
    return jax.tree.map(np.asarray, state)
