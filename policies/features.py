"""phi(context, parameters): the joint features behind one shared linear posterior.

Per task type an intercept and a piecewise-linear curve along each parameter axis
(hat functions, so a cliff is representable), plus main effects of the context and its
interactions with the axes. Linear in the context, so phi of a mean context is the mean phi.
"""

import numpy as np

from envs.arrays import Array, namespace
from envs.lattice import coordinates
from policies.base import Spec

__all__ = ["n_features", "phi"]


def _columns(spec: Spec) -> tuple[int, ...]:
    """Axes with more than one value."""
    return tuple(i for i, size in enumerate(spec.shape) if size > 1)


def n_features(spec: Spec) -> int:
    """Length p of phi."""
    moving = _columns(spec)
    curve = 1 + sum(spec.knots[i] for i in moving)
    return spec.n_tasks * curve + spec.d + len(spec.interactions) * len(moving)


def _hats(place: Array, knots: int) -> Array:
    """(m, knots) hat functions of places (m,) in [0, 1]; the first knot is the intercept's."""
    xp = namespace(place)
    ranks = xp.asarray(np.arange(1, knots + 1, dtype=np.float64))
    gap = xp.abs(place[:, None] * knots - xp.astype(ranks, place.dtype)[None, :])
    return xp.where(gap < 1.0, 1.0 - gap, xp.zeros_like(gap))


def phi(spec: Spec, context: Array, task: Array, action_ids: Array) -> Array:
    """Joint features of m actions in one (mean) context.

    Args:
        spec: static facts.
        context: (d,) context vector.
        task: () task type.
        action_ids: (m,) lattice ids.

    Returns:
        (m, p) features.
    """
    xp = namespace(context)
    grid = coordinates(spec.shape, action_ids)
    ones = xp.ones_like(grid[:, :1]) * xp.ones_like(context[:1])
    curve, places = [ones], []
    for axis in _columns(spec):
        table = xp.astype(xp.asarray(np.array(spec.positions[axis])), context.dtype)
        place = xp.take(table, grid[:, axis], axis=0)
        places.append(place[:, None] - 0.5)
        curve.append(_hats(place, spec.knots[axis]))
    shape = xp.concat(curve, axis=-1)
    tasks = xp.asarray(np.arange(spec.n_tasks, dtype=np.int32))
    blocks = [xp.where(tasks[i] == task, shape, xp.zeros_like(shape)) for i in range(spec.n_tasks)]
    blocks.append(ones * context[None, :])
    blocks += [place * context[i] for i in spec.interactions for place in places]
    return xp.concat(blocks, axis=-1)
