"""One joint Gaussian posterior over phi, changed one row at a time, forwards and backwards.

`absorb` takes a row of any weight: a positive one adds it, a negative one takes it out
again, 0 changes nothing. Learners that forget, and those that estimate the noise, are made of it.
Source: Bierman (1977), chapter V, Potter's square-root update, here with the row's precision.
"""

from typing import NamedTuple

from envs.arrays import Array, namespace
from policies.base import Belief, Spec
from policies.features import basis, lift
from policies.linear import SharedState

__all__ = ["Row", "Seen", "absorb", "look", "need_shared", "posterior"]


class Row(NamedTuple):
    """What was evaluated: (d,) context, () task type, () action id."""

    context: Array
    task: Array
    action_id: Array


class Seen(NamedTuple):
    """A row phi through a posterior: () phi @ theta, (p,) phi @ root."""

    expected: Array
    factor: Array


def need_shared(spec: Spec) -> None:
    """Refuse features that are not one joint phi.

    Raises:
        ValueError: features other than `shared`.
    """
    if spec.features != "shared":
        raise ValueError(f"features = {spec.features!r}, need 'shared': this learner has one joint posterior over phi")


def look(spec: Spec, held: SharedState, row: Row) -> Seen:
    """A row through a posterior, without building phi."""
    xp = namespace(held.theta)
    here = basis(spec, xp.reshape(row.action_id, (1,)), like=held.theta)
    columns = xp.concat([held.theta[:, None], held.root], axis=1)
    seen = (here @ lift(spec, row.context, row.task, columns))[0]
    return Seen(seen[0], seen[1:])


def posterior(here: Array, slopes: Array, lifted: Array, *, centre: Array, noise: Array) -> Belief:
    """Mean, spread and draws at m points; the smaller of two products is taken, so few points stay cheap.

    Args:
        here: (m, b) basis of the points.
        slopes: (b,) coefficients of that basis.
        lifted: (b, p) root of their covariance.
        centre: () prior mean.
        noise: (p, s) standard normals.
    """
    xp = namespace(here)
    mean = centre + (here @ slopes[:, None])[:, 0]
    if here.shape[0] < here.shape[1]:
        spread = here @ lifted
        return Belief(mean, xp.sqrt(xp.sum(spread * spread, axis=-1)), mean[:, None] + spread @ noise)
    variance = xp.sum((here @ (lifted @ lifted.T)) * here, axis=-1)
    sd = xp.sqrt(xp.where(variance > 0.0, variance, xp.zeros_like(variance)))
    return Belief(mean, sd, mean[:, None] + here @ (lifted @ noise))


def absorb(held: SharedState, seen: Seen, *, target: Array, weight: Array) -> SharedState:
    """The posterior after one more row, or after one row fewer.

    Args:
        held: theta (p,) and root (p, p).
        seen: the row, through `held`.
        target: () what was observed there, less the prior mean.
        weight: () precision of the observation, 1 / variance; negative takes out a row that is in.
    """
    xp = namespace(held.root)
    factor = seen.factor
    left = 1.0 + weight * xp.sum(factor * factor)
    pull = weight / left
    gain = held.root @ factor
    theta = held.theta + pull * (target - seen.expected) * gain
    shrink = pull / (1.0 + xp.sqrt(1.0 / left))
    return SharedState(theta, held.root - shrink * gain[:, None] * factor[None, :])
