"""phi(context, parameters): the joint features behind one shared linear posterior.

Per task type an intercept and a piecewise-linear curve along each parameter axis
(hat functions, so a cliff is representable), plus main effects of the context and its
interactions with the axes. Linear in the context, so phi of a mean context is the mean phi.

phi = basis(parameters) @ lift(context): the window's many actions share a few columns, so a
belief multiplies its p x p root by those alone and never builds phi for every action. The
basis of a whole lattice is a table of a few megabytes at most, made once; actions are its rows.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, namespace
from envs.lattice import coordinates
from policies.base import Spec

__all__ = ["basis", "lift", "n_features", "phi", "whole_basis"]


def _moving(spec: Spec) -> tuple[int, ...]:
    """Axes with more than one value."""
    return tuple(i for i, size in enumerate(spec.shape) if size > 1)


def _n_curve(spec: Spec) -> int:
    """An intercept and the knots of every moving axis."""
    return 1 + sum(spec.knots[i] for i in _moving(spec))


def n_features(spec: Spec) -> int:
    """Length p of phi."""
    return spec.n_tasks * _n_curve(spec) + spec.d + len(spec.interactions) * len(_moving(spec))


@cache
def _table(
    shape: tuple[int, ...], positions: tuple[tuple[float, ...], ...], knots: tuple[int, ...]
) -> NDArray[np.float64]:
    """(actions, b) the basis of a whole lattice."""
    grid = coordinates(shape, np.arange(math.prod(shape), dtype=np.int32))
    curve, places = [np.ones((len(grid), 1))], []
    for axis, size in enumerate(shape):
        if size > 1:
            place = np.array(positions[axis])[grid[:, axis], None]
            gap = np.abs(place * knots[axis] - np.arange(1.0, knots[axis] + 1.0))  # the first knot is the intercept's
            curve.append(np.maximum(1.0 - gap, 0.0))
            places.append(place - 0.5)
    return np.concatenate(curve + places, axis=1)


def basis(spec: Spec, action_ids: Array, *, like: Array) -> Array:
    """What phi needs of the parameters: intercept, hats of every axis, then centred places.

    Args:
        spec: static facts.
        action_ids: (m,) lattice ids.
        like: any array of the library and dtype wanted.

    Returns:
        (m, b); b = 1 + knots + moving axes.
    """
    xp = namespace(like)
    table = xp.asarray(_table(spec.shape, spec.positions, spec.knots))
    return xp.astype(xp.take(table, action_ids, axis=0), like.dtype, copy=False)


def whole_basis(spec: Spec, *, like: Array) -> Array:
    """(actions, b) the basis of every lattice point; `like` as in `basis`."""
    xp = namespace(like)
    return xp.astype(xp.asarray(_table(spec.shape, spec.positions, spec.knots)), like.dtype, copy=False)


def lift(spec: Spec, context: Array, task: Array, columns: Array) -> Array:
    """What phi needs of the context, applied: phi(context, ids) @ columns = basis(ids) @ lift.

    Args:
        spec: static facts.
        context: (d,) context vector.
        task: () task type.
        columns: (p, c) anything with one row per entry of phi.

    Returns:
        (b, c).
    """
    xp = namespace(columns)
    n, curve, width = spec.n_tasks, _n_curve(spec), columns.shape[1]
    main, cross = n * curve, n * curve + spec.d
    mine = xp.reshape(xp.asarray(np.arange(n, dtype=np.int32)) == task, (n, 1, 1))
    own = xp.sum(xp.where(mine, xp.reshape(columns[:main, :], (n, curve, width)), 0.0), axis=0)
    top = own[:1, :] + context[None, :] @ columns[main:cross, :]
    parts = [top, own[1:, :]]
    if spec.interactions and _moving(spec):
        bent = xp.stack([context[i] for i in spec.interactions])
        block = xp.reshape(columns[cross:, :], (len(spec.interactions), len(_moving(spec)) * width))
        parts.append(xp.reshape(bent[None, :] @ block, (len(_moving(spec)), width)))
    else:
        parts.append(xp.zeros_like(columns[: len(_moving(spec)), :]))
    return xp.concat(parts, axis=0)


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
    identity = xp.astype(xp.asarray(np.eye(n_features(spec))), context.dtype)
    return basis(spec, action_ids, like=context) @ lift(spec, context, task, identity)
