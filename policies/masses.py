"""From a probability vector to integer masses that sum to exactly 2^20, and one draw from them.

The logged propensity is mass / 2^20 and the action is drawn from these very masses, so
the propensity is exact whatever approximation made the vector.
"""

from envs.arrays import Array, namespace

__all__ = ["TOTAL", "draw_slot", "integer_masses", "pick"]

TOTAL = 1 << 20
TIE = 1e-5  # of the declared reward range: values closer than this are equal


def integer_masses(probs: Array, feasible: Array) -> Array:
    """Integer masses by largest remainder, ties to the lower slot; the common floor is rounded up first.

    The smallest probability of a feasible slot is its floor: no feasible slot gets less than
    that, rounded up (as far as all slots can be served).

    Args:
        probs: (k,) >= 0, 0 where infeasible, summing to 1 up to rounding.
        feasible: (k,) boolean, true somewhere.

    Returns:
        (k,) int32, summing to exactly 2^20, 0 where infeasible.

    >>> import numpy as np
    >>> integer_masses(np.array([1 / 3, 1 / 3, 1 / 3, 0.0]), np.array([True, True, True, False])).tolist()
    [349526, 349525, 349525, 0]
    """
    xp = namespace(probs)
    on = xp.astype(feasible, probs.dtype)
    held = xp.where(feasible, probs, xp.zeros_like(probs))
    held = held / xp.sum(held)
    least = xp.min(xp.where(feasible, held, xp.ones_like(held)))
    fair = xp.floor(TOTAL / xp.sum(on))
    lower = xp.ceil(least * TOTAL)
    lower = on * xp.where(lower < fair, lower, fair)
    above = xp.where(feasible, held - least, xp.zeros_like(held))
    above = xp.where(above > 0.0, above, xp.zeros_like(above))
    share = xp.sum(above)
    weight = xp.where(share > 0.0, above, on)
    left = TOTAL - xp.sum(lower)
    exact = left * (weight / xp.sum(weight))
    whole = xp.floor(exact)
    units = left - xp.sum(whole)
    rest = xp.where(feasible, exact - whole, -xp.ones_like(exact))
    order = xp.cumulative_sum(xp.ones_like(rest))
    ahead = (rest[None, :] > rest[:, None]) | ((rest[None, :] == rest[:, None]) & (order[None, :] < order[:, None]))
    rank = xp.sum(xp.astype(ahead, probs.dtype), axis=-1)
    extra = xp.where(rank < units, xp.ones_like(rest), xp.zeros_like(rest))
    return xp.astype(lower + whole + extra, xp.int32)


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
    return xp.astype(xp.sum(xp.astype(xp.cumulative_sum(masses) <= uniform, xp.int32)), xp.int32)


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
    rank = xp.cumulative_sum(xp.astype(tied, values.dtype))
    slots = xp.cumulative_sum(xp.ones_like(values)) - 1.0
    is_incumbent = slots == xp.astype(incumbent, values.dtype)
    stays = xp.any(tied & is_incumbent)
    chosen = xp.where(stays, is_incumbent, tied & (rank == 1.0))
    return xp.astype(chosen, values.dtype)
