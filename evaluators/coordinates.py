"""Where actions stand: the coordinates that kernels and marginal weights compare actions by.

`Rows.action_ids` says what every slot of a window holds and `Rows.points` where every action stands,
one column per axis. Estimators name axes by column. `lattice_points` gives our own actions' columns,
in the order of the lattice's axes: 0 temperature, 1 max_tokens in doublings, 2 top_p,
3 frequency_penalty, 4 presence_penalty, 5 model (its place in the list).
"""

import numpy as np

from envs.lattice import Lattice
from evaluators.rows import Floats, Ints, Rows

TOKENS = "max_tokens"  # acts by its logarithm


def lattice_points(lattice: Lattice) -> Floats:
    """Coordinates of every action of a lattice, in the order of their ids.

    Args:
        lattice: the actions.

    Returns:
        (actions, axes) in each axis's own unit; max_tokens as its logarithm to base 2.
    """
    values = [lattice.values(axis.name) for axis in lattice.axes]
    units = [np.log2(v) if axis.name == TOKENS else v for axis, v in zip(lattice.axes, values, strict=True)]
    grid = np.indices(lattice.shape).reshape(len(units), -1)
    return np.stack([unit[place] for unit, place in zip(units, grid, strict=True)], axis=-1)


def whole_window(rows: Rows, axes: tuple[int, ...], who: str) -> tuple[Ints, Floats]:
    """What an estimator that compares a window's actions reads, checked.

    Args:
        rows: of one target on one log.
        axes: columns of `rows.points` that are read.
        who: the estimator that asks, for messages.

    Returns:
        (c, k) ids of the actions in the slots (0 where neither policy goes), (actions, axes) points.

    Raises:
        ValueError: no action ids or points, a logger known at the logged slot only, an axis or an id
            without points, or a coordinate that is not finite.
    """
    if rows.action_ids is None or rows.points is None:
        missing = " and ".join(name for name in ("action_ids", "points") if getattr(rows, name) is None)
        raise ValueError(
            f"estimator {who} needs rows.action_ids (c, k) and rows.points (actions, axes), got no {missing}; "
            "for our own actions see coordinates.lattice_points"
        )
    if rows.is_partial:
        raise ValueError(f"estimator {who} needs the logger's whole distribution, got it at the logged slots only")
    points = rows.points
    n_axes = points.shape[1] if points.ndim == 2 else 0
    if not np.isfinite(points).all() or not all(0 <= axis < n_axes for axis in axes):
        raise ValueError(
            f"rows.points has shape {points.shape}, need finite (actions, axes) with columns {axes} for estimator {who}"
        )
    is_used = (rows.behavior > 0) | (rows.target > 0)
    bad = is_used & ((rows.action_ids < 0) | (rows.action_ids >= len(points)))
    if bad.any():
        raise ValueError(
            f"action_ids = {rows.action_ids[bad][0]} somewhere, need 0 <= id < {len(points)}, the rows of points"
        )
    return np.where(is_used, rows.action_ids, 0), points
