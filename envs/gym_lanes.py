"""Episodes side by side in one compiled program: the body of `envs.gym_vector`.

A lane is an episode. All lanes share the world's numbers; each has its own clock, post and block of
noise. The lines that play a round are those of `envs.gym`, over JAX arrays and a leading axis.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import feedback as mail
from envs.gym_noise import COMPILER
from envs.gym_stage import Delivery, Mailbox, Stage, deliver
from envs.randomness import RoundNoise
from envs.traffic import Clock, Context, Traffic, advance, draw, now, start
from envs.world import Outcome, World

__all__ = ["Asked", "Lane", "Numbers", "Program", "Round", "ask", "fresh_lane", "numbers_of", "play", "renewed"]


class Program(NamedTuple):
    """What is compiled."""

    world: World
    form: mail.Spec


class Numbers(NamedTuple):
    """Leaves: of the world, of its traffic, of the feedback."""

    world: Any
    traffic: Traffic
    fates: mail.Leaves


class Lane(NamedTuple):
    """Where an episode stands; leading axis (n,)."""

    clock: Clock
    box: Mailbox


class Round(NamedTuple):
    """What was played; leading axis (n,)."""

    is_played: Any
    outcome: Outcome
    reward: Any
    expected: Any
    arrived: Delivery


class Asked(NamedTuple):
    """The requests to decide; leading axis (n,)."""

    context: Context
    evaluation: Any
    t: Any
    uniform: Any


def _at(noise: RoundNoise, row: Any) -> RoundNoise:
    drawn: RoundNoise = jax.tree.map(lambda leaf: leaf[row], noise)
    return drawn


def _request(numbers: Numbers, lane: Lane, noise: RoundNoise) -> Asked:
    context = draw(numbers.traffic, lane.clock, noise.context)
    return Asked(context, lane.clock.seen[context.task], now(lane.clock), noise.decision)


@partial(jax.jit, compiler_options=COMPILER)
def ask(numbers: Numbers, lanes: Lane, noise: RoundNoise, rows: Any) -> Asked:
    """What every lane is asked now.

    Args:
        numbers: shared by all lanes.
        lanes: (n,) episodes.
        noise: (n, BLOCK) of each.
        rows: (n,) row of the noise at which each stands.
    """
    asked: Asked = jax.vmap(lambda lane, own, row: _request(numbers, lane, _at(own, row)))(lanes, noise, rows)
    return asked


@partial(jax.jit, static_argnames=("program",), compiler_options=COMPILER)
def play(
    program: Program, numbers: Numbers, lanes: Lane, noise: RoundNoise, rows: Any, *, actions: Any
) -> tuple[Lane, Round, Asked]:
    """One round of every lane whose action is not negative; the others stay.

    Args:
        program: what is compiled.
        numbers: shared by all lanes.
        lanes: (n,) episodes.
        noise: (n, BLOCK) of each.
        rows: (n,) row at which each stands, the one after it inside the block too.
        actions: (n,) ids, -1 for a lane that stays.

    Returns:
        The lanes; what was played, meaningless where nothing was; the next requests.
    """

    def one(lane: Lane, own: RoundNoise, row: Any, action: Any) -> tuple[Lane, Round, Asked]:
        here, is_played = _at(own, row), action >= 0
        chosen = jnp.maximum(action, np.int32(0))
        context, t = draw(numbers.traffic, lane.clock, here.context), now(lane.clock)
        outcome, reward = program.world.outcome(numbers.world, t, context, chosen, noise=here.outcome)
        mean = program.world.expected(numbers.world, t, context.index, chosen.reshape(1))[1][0]
        sent = {"now": lane.clock.rounds, "uniform": here.feedback, "reward": reward}
        box, arrived = deliver(program.form, numbers.fates, lane.box, **sent)
        moved = Lane(advance(lane.clock, context.task), box)
        after: Lane = jax.tree.map(lambda new, old: jnp.where(is_played, new, old), moved, lane)
        following = _request(numbers, after, _at(own, row + is_played.astype(jnp.int32)))
        return after, Round(is_played, outcome, reward, mean, arrived), following

    played: tuple[Lane, Round, Asked] = jax.vmap(one)(lanes, noise, rows, actions)
    return played


@partial(jax.jit, compiler_options=COMPILER)
def renewed(lanes: Lane, fresh: Lane, mask: Any) -> Lane:
    """Lanes, fresh ones where the mask (n,) says so; `fresh` has no leading axis."""

    def leaf(old: Any, new: Any) -> Any:
        return jnp.where(mask.reshape(-1, *(1,) * (old.ndim - 1)), new[None], old)

    mixed: Lane = jax.tree.map(leaf, lanes, fresh)
    return mixed


def numbers_of(stage: Stage) -> Numbers:
    """What a stage's lanes share, on the device. Call it under `own_jax`."""
    shared = Numbers(stage.scenario.params, stage.scenario.traffic, stage.fates)
    numbers: Numbers = jax.tree.map(jnp.asarray, shared)
    return numbers


def fresh_lane(stage: Stage) -> Lane:
    """An episode before its first round, on the device, without a leading axis. Call it under `own_jax`."""
    lane: Lane = jax.tree.map(jnp.asarray, Lane(start(len(stage.scenario.population.names)), stage.mailbox()))
    return lane
