"""Counter-based randomness: every number is a function of (master seed, purpose, seed, stream, round).

Nothing is carried from round to round, so any round can be replayed from a log row,
every policy meets the same contexts and noise, and no result depends on how many seeds
ran beside it. Needs JAX (typed threefry keys).
"""

from enum import IntEnum
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.world import N_NORMAL, N_UNIFORM, Noise

__all__ = ["DRAWS", "Purpose", "RoundNoise", "episode_noise", "root_key"]

DRAWS = 1 << 20  # the decision's uniform is an integer in [0, DRAWS)
FLOAT32_STEPS = 2.0**24  # float32 holds every multiple of 2^-24 in [0, 1)


class Purpose(IntEnum):
    """What a seed is used for; no two purposes share a key."""

    TRAIN = 0
    LOG = 1
    JUDGE = 2
    NULL = 3
    CERTIFY = 4


class _Stream(IntEnum):
    CONTEXT = 0
    NOISE = 1
    DRIFT = 2
    DECISION = 3


class RoundNoise(NamedTuple):
    """All randomness of rounds: leading axis (t,).

    Attributes:
        task: (t,) uniform that draws the task type where traffic is mixed at random.
        context: (t,) uniform that draws the task within its type.
        decision: (t,) integer in [0, 2^20).
        outcome: what `World.outcome` consumes.
    """

    task: jax.Array
    context: jax.Array
    decision: jax.Array
    outcome: Noise


def root_key(master_seed: jax.Array | int, purpose: jax.Array | int, seed: jax.Array | int) -> jax.Array:
    """The key of seed `seed` for one purpose."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(master_seed), purpose), seed)


def _round_noise(root: jax.Array, t: jax.Array, dtype: jnp.dtype) -> RoundNoise:
    def key(stream: _Stream) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(root, int(stream)), t)

    where = _uniform(key(_Stream.CONTEXT), 2, dtype)
    uniform_key, normal_key = jax.random.split(key(_Stream.NOISE))
    drawn = jax.random.randint(key(_Stream.DECISION), (), 0, DRAWS, jnp.int32)
    uniform = _uniform(uniform_key, N_UNIFORM, dtype)
    normal = jax.random.normal(normal_key, (N_NORMAL,), jnp.float64).astype(dtype)
    return RoundNoise(where[0], where[1], drawn, Noise(uniform, normal))


def _uniform(key: jax.Array, n: int, dtype: jnp.dtype) -> jax.Array:
    """The same n numbers in [0, 1) at either precision: float32 drops digits, so none rounds up to 1."""
    drawn = jax.random.uniform(key, (n,), jnp.float64)
    if dtype == jnp.float64:
        return drawn
    return (jnp.floor(drawn * FLOAT32_STEPS) / FLOAT32_STEPS).astype(dtype)


@partial(jax.jit, static_argnames=("n_rounds", "dtype"))
def episode_noise(
    master_seed: jax.Array | int, purpose: jax.Array | int, seed: jax.Array | int, *, n_rounds: int, dtype: str
) -> RoundNoise:
    """The noise of rounds 0..n_rounds-1 of one seed, leading axis (n_rounds,).

    Round t's numbers do not depend on `n_rounds`, nor on `dtype` beyond its digits. Needs JAX's x64.
    """
    root = root_key(master_seed, purpose, seed)
    rounds = jnp.arange(n_rounds, dtype=jnp.int32)
    return jax.vmap(lambda t: _round_noise(root, t, jnp.dtype(dtype)))(rounds)
