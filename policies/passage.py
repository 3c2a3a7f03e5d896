"""Passage steps: which slots of the window lie on the way to what the whole lattice promises.

Where the window is flat, no candidate improves and the region would stay for ever; the
posterior mean of the whole lattice knows which way to go.
"""

import numpy as np

from envs.arrays import Array, namespace
from envs.lattice import coordinates
from policies.base import Spec
from policies.constraints import Bounds, stride_at

__all__ = ["ROUTES", "best_ahead", "toward"]

ROUTES = ((0, 1, 2, 3, 4, 5), (0, 1), (1,), (0,))  # axes that move: all, temperature and tokens, either alone


def best_ahead(outlook: Array, legal: Array, approved: Array) -> tuple[Array, Array]:
    """() id of the highest posterior mean that is legal, and by how much it exceeds the approved action's.

    Args:
        outlook: (actions,) posterior mean.
        legal: (actions,) boolean.
        approved: () id.
    """
    xp = namespace(outlook)
    held = xp.where(legal, outlook, xp.min(outlook) - 1.0)
    goal = xp.astype(xp.argmax(held), xp.int32)
    return goal, held[goal] - outlook[approved]


def toward(spec: Spec, limits: Bounds, approved: Array, goal: Array) -> Array:
    """(routes,) window slots nearest to a goal, each moving some of the axes only.

    Args:
        spec: static facts.
        limits: bounds as lattice integers.
        approved: () id of the window's centre.
        goal: () id.
    """
    xp = namespace(limits.radius)
    ends = coordinates(spec.shape, xp.stack([xp.astype(approved, xp.int32), xp.astype(goal, xp.int32)]))
    reach = np.abs(np.array(spec.offsets, np.int32)).max(axis=0)
    stride, gap = stride_at(limits, ends[0]), ends[1] - ends[0]
    slots = xp.sign(gap) * ((2 * xp.abs(gap) + stride - 1) // (2 * stride))  # the nearest; halfway, the nearer home
    past = (ends[0] + slots * stride < 0) | (ends[0] + slots * stride >= xp.asarray(np.array(spec.shape, np.int32)))
    slots = xp.clip(xp.where(past, slots - xp.sign(gap), slots), -limits.radius, limits.radius)
    sizes = 2 * reach + 1
    width = np.array([int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))], np.int32)
    moving = np.array([[i in route for i in range(len(sizes))] for route in ROUTES], np.int32)
    place = xp.asarray(moving) * slots[None, :] + xp.asarray(reach)[None, :]
    return xp.sum(place * xp.asarray(width)[None, :], axis=-1, dtype=xp.int32)
