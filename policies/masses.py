"""From a probability vector to integer masses that sum to exactly 2^20, and one draw from them.

The logged propensity is mass / 2^20 and the action is drawn from these very masses, so
the propensity is exact whatever approximation made the vector.
"""

import numpy as np

from envs.arrays import Array, namespace
from policies.base import MAX_WINDOW

__all__ = ["TOTAL", "draw_slot", "integer_masses", "pick"]

TOTAL = 1 << 20
NOISE = 2.0**-30  # probabilities this close to the floor are the floor
TIE = 1e-5  # of the declared reward range: values closer than this are equal


def integer_masses(probs: Array, feasible: Array) -> Array:
    """Integer masses by largest remainder, ties to the lower slot; the common floor is rounded up first.

    The smallest probability of a feasible slot is its floor: no feasible slot gets less than
    that, rounded up (as far as all slots can be served). So that engines which round differently
    agree, remainders are compared in steps of 2^-20 whose edges lie between dyadic numbers (shares
    of draws are dyadic), equal steps are ties, and what lies within 2^-30 of the floor is the
    floor. Computed in float64 whatever the precision of the vector.

    Args:
        probs: (k,) >= 0, 0 where infeasible, summing to 1 up to rounding; k <= 256.
        feasible: (k,) boolean, true somewhere.

    Returns:
        (k,) int32, summing to exactly 2^20, 0 where infeasible.

    >>> import numpy as np
    >>> integer_masses(np.array([1 / 3, 1 / 3, 1 / 3, 0.0]), np.array([True, True, True, False])).tolist()
    [349526, 349525, 349525, 0]
    """
    xp = namespace(probs)
    on = xp.astype(feasible, xp.float64)
    held = xp.where(feasible, xp.astype(probs, xp.float64), 0.0)
    held = held / xp.sum(held)
    least = xp.min(xp.where(feasible, held, 1.0))
    fair, lower = xp.floor(TOTAL / xp.sum(on)), xp.ceil(least * TOTAL)
    lower = on * xp.where(lower < fair, lower, fair)
    above = xp.where(feasible & (held - least > NOISE), held - least, 0.0)
    share = xp.sum(above)
    weight = xp.where(share > 0.0, above / xp.where(share > 0.0, share, 1.0), on / xp.sum(on))
    left = TOTAL - xp.sum(lower)
    exact = left * weight
    whole = xp.floor(exact)
    units = xp.astype(left - xp.sum(whole), xp.int32)
    return xp.astype(lower + whole, xp.int32) + _largest(exact - whole, feasible, units)


def _largest(rest: Array, feasible: Array, units: Array) -> Array:
    """(k,) int32: one for each of the `units` feasible slots of largest remainder, else zero."""
    xp = namespace(rest)
    k = rest.shape[0]
    slots = xp.asarray(np.arange(k, dtype=np.int32))
    key = xp.astype(xp.floor(rest * TOTAL + 0.5), xp.int32) * MAX_WINDOW + (k - 1 - slots)  # distinct, lower slot first
    key = xp.where(feasible, key, -1)
    last_in = slots == k - xp.where(units > 0, units, 1)
    cut = xp.max(xp.where(last_in, xp.sort(key, stable=False), -1))
    return xp.astype((key >= cut) & (units > 0), xp.int32)


def draw_slot(masses: Array, uniform: Array) -> Array:
    """The first slot whose cumulative mass exceeds the uniform.

    Args:
        masses: (k,) int32 summing to 2^20.
        uniform: () integer in [0, 2^20).

    >>> import numpy as np
    >>> [int(draw_slot(np.array([0, 524288, 524288]), np.int32(u))) for u in (0, 524287, 524288)]
    [1, 1, 2]
    """
    xp = namespace(masses)
    return xp.astype(xp.sum(xp.astype(xp.cumulative_sum(masses, dtype=xp.int32) <= uniform, xp.int32)), xp.int32)


def pick(values: Array, feasible: Array, *, incumbent: Array, span: Array) -> Array:
    """(k,) point mass on the best feasible slot; ties go to the incumbent, else to the lowest id.

    Args:
        values: (k,) reward units.
        feasible: (k,) boolean, true somewhere.
        incumbent: () its slot.
        span: () declared reward range.
    """
    xp = namespace(values)
    low = xp.min(values) - 1.0
    held = xp.where(feasible, values, low)
    tied = (held >= xp.max(held) - TIE * span) & feasible
    k = values.shape[0]
    slots = xp.asarray(np.arange(k, dtype=np.int32))
    first = xp.min(xp.where(tied, slots, xp.zeros_like(slots) + k))
    is_incumbent = slots == incumbent
    chosen = xp.where(xp.any(tied & is_incumbent), is_incumbent, slots == first)
    return xp.astype(chosen, values.dtype)
