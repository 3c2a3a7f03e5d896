"""The compiled simulation: a world, a policy, all seeds and configs in one program.

One `lax.scan` over rounds, a chunked `lax.map` over the flattened (config, seed) axis,
in slabs of one fixed, padded size that a host loop drives: one compilation whatever the
number of seeds, progress and Ctrl-C between slabs. Everything is float64 unless the
precision says float32.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import feedback as mail
from envs import traffic
from envs.arrays import Array
from envs.randomness import NoiseSizes, Purpose, RoundNoise, episode_noise, sizes_of
from envs.world import Outcome, Scenario, World
from policies.base import Choice, Decision, Feedback, Policy
from policies.build import BoundedPolicy
from policies.confidence import NOWHERE, Watched, watch
from policies.decide import Known, decide

__all__ = ["SLAB", "TRAIN_EXTRA", "Plan", "Trajectory", "cast", "register", "simulate"]

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]  # dtypes are then what arrays say

CHUNK = 16  # items that run side by side: their states fit the second-level cache
SLAB = 128  # items per call of the compiled program; fewer seeds make smaller slabs
COMPILER = {
    "xla_backend_optimization_level": 1,
    "xla_cpu_use_fusion_emitters": False,
}  # compiles twice as fast (measured)
TRAIN_EXTRA = 20  # evaluations past the horizon, so that "stays converged" can fail at the horizon


class Plan(NamedTuple):
    """What to run: seeds of one purpose for a number of rounds.

    `epsilon`: the loss, as a share of the reward range, that the live statement tolerates; None: nobody asks
    the policies what they recommend, and how sure they are.
    """

    master_seed: int
    purpose: Purpose
    seeds: tuple[int, ...]
    n_rounds: int
    precision: str = "float64"
    feedback: mail.Params = mail.Params()
    epsilon: float | None = None


class Trajectory(NamedTuple):
    """Per item and round, leading axes (items, rounds).

    Attributes:
        index: row of the task in the population.
        task: its task type.
        t: evaluation of this task type.
        centre: the approved action the decision's window stood around.
        action_id: what was drawn.
        slot: its window slot.
        uniform: integer it was drawn with.
        masses: (..., k) the integer masses, summing to 2^20.
        outcome: its parts.
        reward: what the policy learned from.
        expected: exact expected reward of the drawn action.
        delivered: (..., arrivals) rounds whose rewards were learned from after this one, -1 for none.
        missing: whether this round's reward never sets out.
        recommended: action of the highest posterior mean over the legal lattice, -1 where nobody asked.
        confidence: P(best in reach - approved <= epsilon | data), NaN where nobody asked.
    """

    index: Array
    task: Array
    t: Array
    centre: Array
    action_id: Array
    slot: Array
    uniform: Array
    masses: Array
    outcome: Outcome
    reward: Array
    expected: Array
    delivered: Array
    missing: Array
    recommended: Array
    confidence: Array


def register(numbers: Any) -> None:
    """Make the dataclasses of a learner's numbers JAX trees, once: numbers are leaves, `static` fields structure."""
    if dataclasses.is_dataclass(numbers) and not isinstance(numbers, type):
        _register_once(type(numbers))
    for part in numbers if isinstance(numbers, tuple) else ():
        register(part)


@cache
def _register_once(kind: Any) -> None:
    fields = dataclasses.fields(kind)
    static = [f.name for f in fields if f.metadata.get("static")]
    numbers = [f.name for f in fields if not f.metadata.get("static")]
    jax.tree_util.register_dataclass(kind, data_fields=numbers, meta_fields=static)


class _Item(NamedTuple):
    """One row of the flattened axis: which seed, and which world and policy numbers."""

    seed: Array
    world: Array
    policy: Array


def cast(tree: Any, precision: str) -> Any:
    """A tree as JAX arrays, its floating ones in one precision."""

    def leaf(x: Array) -> Array:
        array = jnp.asarray(x)
        return array.astype(precision) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return jax.tree.map(leaf, tree)


def _once(value: Array) -> Array:
    """The same value behind a sum, which XLA stores; it repeats cheaper scalars for every element they meet."""
    return jnp.sum(jnp.where(jnp.arange(2) == 0, value, jnp.zeros_like(value)), dtype=value.dtype)


class _Program(NamedTuple):
    """What a compiled program is made of."""

    world: World
    policy: Policy
    mail: mail.Spec
    precision: str
    is_watched: bool


class _Numbers(NamedTuple):
    """The leaves of one item: of its world, its traffic, its policy; its reward span."""

    world: Any
    traffic: Any
    policy: Any
    span: Array
    epsilon: Array


class _Sent(NamedTuple):
    """A decision whose reward is on its way."""

    decision: Decision
    choice: Choice
    reward: Array
    outcome: Outcome


def _round(
    program: _Program, numbers: _Numbers, fates: mail.Leaves, carry: Any, noise: RoundNoise
) -> tuple[Any, Trajectory]:
    """The only place that wires world and policy together."""
    clock, learned, pending = carry
    world, policy, t = program.world, program.policy, traffic.now(clock)
    drawn = traffic.draw(numbers.traffic, clock, noise.context)
    context = drawn._replace(index=_once(drawn.index))
    prices = jnp.asarray(world.prices(numbers.world, t)).astype(program.precision)
    known = Known(clock.seen[context.task], numbers.span, noise.decision, prices)
    done = decide(policy, numbers.policy, learned, context, known)
    action = done.choice.action_id
    outcome, reward = world.outcome(numbers.world, t, context, action, noise=noise.outcome)
    mean = world.expected(numbers.world, t, context.index, action.reshape(1))[1][0]
    sent = _Sent(done.decision, done.choice, _once(reward), outcome)
    fate = mail.fate(program.mail, fates, noise.feedback)
    said = Watched(jnp.int32(NOWHERE), numbers.span * jnp.nan)
    if program.is_watched:
        said = watch(policy, numbers.policy, learned, done.decision, epsilon=numbers.epsilon)
    learned, pending, delivered = _deliver(program, numbers.policy, fates, (learned, pending), (clock, fate, sent))
    centre = done.decision.window.action_ids[done.decision.window.incumbent]
    row = Trajectory(
        context.index, context.task, done.decision.t, centre, action, done.choice.slot, noise.decision, done.masses,
        outcome, sent.reward, mean, delivered, fate.delay[0] == mail.NEVER,
        said.recommended, said.confidence,
    )  # fmt: skip
    return (traffic.advance(clock, context.task), learned, pending), row


def _deliver(
    program: _Program, params: Any, fates: mail.Leaves, held: tuple[Any, Any], new: tuple[Any, mail.Fate, _Sent]
) -> tuple[Any, Any, Array]:
    """Learn from every reward that arrives now; returns the learner, what is pending, and the rounds delivered."""
    (learned, pending), (clock, fate, sent) = held, new
    if program.mail.rows == 1:
        is_here = fate.delay[0] == 0
        feedback = Feedback(sent.reward, jnp.isfinite(sent.reward) & is_here, sent.outcome)
        after = program.policy.update(params, learned, sent.decision, sent.choice, feedback)
        return after, pending, jnp.where(is_here, clock.rounds, -1).reshape(1)
    ring, letters = pending
    row, rounds = clock.rounds % program.mail.rows, []
    ring = mail.store(program.mail, ring, clock.rounds, mail.kept(fates, fate))
    letters = jax.tree.map(lambda box, letter: box.at[row].set(letter), letters, sent)
    for _ in range(program.mail.arrivals):
        ring, taken = mail.take(program.mail, ring, clock.rounds)
        one: _Sent = jax.tree.map(lambda box, at=taken.row: box[at], letters)
        feedback = Feedback(one.reward, jnp.isfinite(one.reward) & (taken.round >= 0), one.outcome)
        learned = program.policy.update(params, learned, one.decision, one.choice, feedback)
        rounds.append(taken.round)
    return learned, (ring, letters), jnp.stack(rounds)


def _mailbox(program: _Program, numbers: _Numbers, learned: Any) -> Any:
    """An empty ring and room for its letters; nothing where feedback is immediate."""
    if program.mail.rows == 1:
        return ()
    clock = traffic.start(numbers.traffic.first.shape[0])
    nowhere, nothing = jnp.zeros(3, program.precision), jnp.int32(0)

    def first() -> _Sent:
        context = traffic.draw(numbers.traffic, jax.tree.map(jnp.asarray, clock), nowhere)
        known = Known(nothing, numbers.span, nothing, jnp.ones(2, program.precision))
        done = decide(program.policy, numbers.policy, learned, context, known)
        zero = jnp.zeros((), program.precision)
        return _Sent(done.decision, done.choice, zero, Outcome(*(zero for _ in Outcome._fields)))

    shapes = jax.eval_shape(first)
    rows = program.mail.rows
    letters = jax.tree.map(lambda leaf: jnp.zeros((rows, *leaf.shape), leaf.dtype), shapes)
    return jax.tree.map(jnp.asarray, mail.empty(program.mail)), letters


def _of(stacked: Any, index: Array) -> Any:
    """One entry of stacked numbers; what all entries share stands once and is not copied per item."""
    return jax.tree.map(lambda leaf: leaf[0] if leaf.shape[0] == 1 else leaf[index], stacked)


def _episode(program: _Program, shared: tuple[Any, ...], each: tuple[_Item, RoundNoise]) -> tuple[Any, Trajectory]:
    worlds, crowds, policies, spans, epsilon, fates = shared
    item, noise = each
    numbers = _Numbers(
        _of(worlds, item.world), _of(crowds, item.world), _of(policies, item.policy), spans[item.world], epsilon
    )  # fmt: skip
    fresh = program.policy.init(cast(numbers.policy, "float64"))  # in NumPy's precision, whose arrays it is made of
    clock = cast(traffic.start(numbers.traffic.first.shape[0]), program.precision)
    learned = cast(fresh, program.precision)
    start = (clock, learned, _mailbox(program, numbers, learned))
    (_, learned, _), rows = jax.lax.scan(partial(_round, program, numbers, fates), start, noise)
    return learned, rows


@partial(jax.jit, static_argnames=("program",), compiler_options=COMPILER)
def _slab(program: _Program, shared: tuple[Any, ...], each: tuple[_Item, RoundNoise]) -> tuple[Any, Trajectory]:
    run = partial(_episode, program, shared)
    out: tuple[Any, Trajectory] = jax.lax.map(run, each, batch_size=CHUNK)
    return out


@partial(jax.jit, static_argnames=("n_rounds", "sizes", "precision"), compiler_options=COMPILER)
def _noise(
    master: Array, purpose: Array, seeds: Array, *, n_rounds: int, sizes: NoiseSizes, precision: str
) -> RoundNoise:
    draw = partial(episode_noise, master, purpose, n_rounds=n_rounds, sizes=sizes, dtype=precision)
    drawn: RoundNoise = jax.vmap(draw)(seeds)
    return drawn


def _stack(trees: Sequence[Any], precision: str) -> Any:
    """Trees of one structure as one tree, new leading axis; a table equal in all of them is kept once."""

    def leaf(*values: Array) -> Array:
        stacked = np.stack([np.asarray(v) for v in values])
        is_shared = stacked.ndim > 1 and bool(np.all(stacked == stacked[:1]))
        kept = stacked[:1] if is_shared else stacked
        return kept.astype(precision) if kept.dtype.kind == "f" else kept

    return jax.tree.map(leaf, *trees)


def _first(n: int, tree: Any) -> Any:
    """The first n items of every leaf, as NumPy arrays: padding goes."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:n], tree)


def simulate(
    scenarios: Sequence[Scenario],
    policies: Sequence[BoundedPolicy],
    plan: Plan,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[np.ndarray, Any, Trajectory]]:
    """Run every (scenario, policy) pair under every seed; scenarios and policies differ in numbers only.

    Args:
        scenarios: share one `World` and one lattice shape.
        policies: share one `Policy`.
        plan: seeds and rounds.
        progress: called with (items done, items in all) after each slab.

    Yields:
        Per slab: (items, 3) scenario, policy and seed of each item; the learned states; the
        trajectories. Leading axis items; padding is removed.

    Raises:
        ValueError: scenarios or policies that need different programs, or a plan without seeds or rounds.
    """
    if len({s.world for s in scenarios}) > 1 or len({p.policy for p in policies}) > 1:
        raise ValueError("scenarios and policies of one program may differ in numbers only, not in structure")
    if not plan.seeds or plan.n_rounds < 1:
        raise ValueError(f"the plan has {len(plan.seeds)} seeds and {plan.n_rounds} rounds, need at least one of each")
    for policy in policies:
        register(policy.params.inner)
    grid = [(w, p, s) for w in range(len(scenarios)) for p in range(len(policies)) for s in plan.seeds]
    rows = np.array(grid, np.int32)
    spans = np.array([s.reward_span for s in scenarios]).astype(plan.precision)
    worlds = _stack([s.params for s in scenarios], plan.precision)
    crowds = _stack([s.traffic for s in scenarios], plan.precision)
    numbers = _stack([p.params for p in policies], plan.precision)
    fates = jax.tree.map(lambda leaf: leaf.astype(plan.precision), mail.leaves(plan.feedback))
    epsilon = np.asarray(0.0 if plan.epsilon is None else plan.epsilon, plan.precision)
    shared = (worlds, crowds, numbers, spans, epsilon, fates)
    form, is_watched = mail.spec(plan.feedback), plan.epsilon is not None
    program = _Program(scenarios[0].world, policies[0].policy, form, plan.precision, is_watched)
    sizes = sizes_of(program.world)
    source = (np.uint32(plan.master_seed), np.uint32(plan.purpose))
    size = min(SLAB, -(-len(plan.seeds) // CHUNK) * CHUNK)  # of the seeds alone: one noise program per plan
    for begin in range(0, len(rows), size):
        part = rows[begin : begin + size]
        padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
        items = _Item(padded[:, 2], padded[:, 0], padded[:, 1])
        noise = _noise(*source, items.seed, n_rounds=plan.n_rounds, sizes=sizes, precision=plan.precision)
        out = _slab(program, shared, (items, noise))
        learned, rows_out = _first(len(part), out)
        yield part, learned, rows_out
        if progress:
            progress(min(begin + size, len(rows)), len(rows))
