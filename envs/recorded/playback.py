"""The two functions of a world of recorded outcomes, and the numbers they read.

The expectation of an action is the mean of its recorded answers, an outcome is one of them;
an interpolated action answers for one of its corners, drawn by weight. An action that was
never recorded is worth NaN.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, namespace
from envs.recorded.interpolation import Corners
from envs.recorded.recording import PARTS
from envs.reward import Weights, reward
from envs.traffic import Context
from envs.world import Noise, Outcome, World

__all__ = ["PLAYBACK", "Numbers", "summed"]

Floats = NDArray[np.float64]


class Numbers(NamedTuple):
    """Leaves of a replay: n units, c recorded cells (unit, action) in order, r rows sorted by cell.

    The last row of `rows`, `means`, `begin` and `replicates` stands for all that was never recorded.
    """

    rows: Array  # (r + 1, 6) parts of each recorded outcome
    means: Array  # (c + 1, 6) their mean in each cell
    begin: Array  # (c + 1,) first row of each cell
    replicates: Array  # (c + 1,) rows of each cell
    cell: Array  # (n, actions) cell of each unit and action; c where never recorded
    task: Array  # (n,) task type of each unit
    corners: Corners  # (tasks, actions, corners) recorded actions that answer for an action
    reserved: Array  # (actions,) max_tokens / 4096
    half: Array  # (n,) 0: to learn on, 1: to judge on
    weights: Weights


def summed(rows: Floats, replicates: NDArray[np.int64], has: NDArray[np.bool_]) -> dict[str, Array]:
    """The leaves made of rows sorted by cell, with the entry for what was never recorded.

    Args:
        rows: (r, 6) parts of each recorded outcome.
        replicates: (c,) rows of each cell.
        has: (n, actions) which units recorded which actions; c of them are true.
    """
    begin = np.concatenate([[0], np.cumsum(replicates)])
    means = np.add.reduceat(rows, begin[:-1], axis=0) / replicates[:, None]
    never = np.full((1, len(PARTS)), np.nan)
    return {
        "rows": np.concatenate([rows, never]),
        "means": np.concatenate([means, never]),
        "begin": begin.astype(np.int32),
        "replicates": np.append(replicates, 0).astype(np.int32),
        "cell": np.where(has, np.cumsum(has).reshape(has.shape) - 1, len(replicates)).astype(np.int32),
    }


def _worth(params: Numbers, parts: Array, reserved: Array) -> tuple[Outcome, Array]:
    """Outcome and reward of parts (..., 6)."""
    outcome = Outcome._make([*(parts[..., i] for i in range(len(PARTS))), reserved])
    return outcome, reward(params.weights, outcome)


def _expected(params: Numbers, _t: Array, index: Array, ids: Array) -> tuple[Outcome, Array]:
    xp = namespace(params.rows)
    task = params.task[index]
    near = xp.take(params.corners.action[task], ids, axis=0)
    weight = xp.take(params.corners.weight[task], ids, axis=0)
    cell = xp.take(params.cell[index], xp.reshape(near, (-1,)), axis=0)
    means = xp.reshape(xp.take(params.means, cell, axis=0), (*near.shape, len(PARTS)))
    return _worth(params, xp.sum(weight[..., None] * means, axis=-2), xp.take(params.reserved, ids, axis=0))


def _draw(params: Numbers, _t: Array, context: Context, action_id: Array, *, noise: Noise) -> tuple[Outcome, Array]:
    xp = namespace(params.rows)
    edges = params.corners.upto[context.task, action_id]
    corner = xp.sum(xp.astype(edges <= noise.uniform[0], xp.int32), dtype=xp.int32)
    cell = params.cell[context.index, params.corners.action[context.task, action_id, corner]]
    copies = xp.astype(params.replicates[cell], noise.uniform.dtype)
    row = params.begin[cell] + xp.astype(xp.floor(noise.uniform[1] * copies), xp.int32)
    return _worth(params, params.rows[row], params.reserved[action_id])


PLAYBACK = World(expected=_expected, outcome=_draw, n_uniform=2, n_normal=0)
