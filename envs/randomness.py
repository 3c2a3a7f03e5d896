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

from envs.world import Noise, World

__all__ = ["DRAWS", "Purpose", "RoundNoise", "NoiseSizes", "episode_noise", "root_key", "round_noise", "sizes_of"]

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
    FEEDBACK = 4


class RoundNoise(NamedTuple):
    """All randomness of rounds: leading axis (t,).

    Attributes:
        context: (t, 3) uniforms that draw task type, task and difficulty (`envs.traffic.draw`).
        decision: (t,) integer in [0, 2^20).
        feedback: (t, 3) uniforms of the reward's fate (`envs.feedback.fate`).
        outcome: what `World.outcome` consumes.
    """

    context: jax.Array
    decision: jax.Array
    feedback: jax.Array
    outcome: Noise


class NoiseSizes(NamedTuple):
    """Uniforms and normals that one outcome consumes."""

    n_uniform: int
    n_normal: int


def sizes_of(world: World) -> NoiseSizes:
    """What an outcome of a world consumes."""
    return NoiseSizes(world.n_uniform, world.n_normal)


def root_key(master_seed: jax.Array | int, purpose: jax.Array | int, seed: jax.Array | int) -> jax.Array:
    """The key of seed `seed` for one purpose."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(master_seed), purpose), seed)


def round_noise(root: jax.Array, t: jax.Array, sizes: NoiseSizes, dtype: jnp.dtype) -> RoundNoise:
    """The noise of one round, t, of the seed whose key is `root`."""

    def key(stream: _Stream) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(root, int(stream)), t)

    where = _uniform(key(_Stream.CONTEXT), 3, dtype)
    fate = _uniform(key(_Stream.FEEDBACK), 3, dtype)
    uniform_key, normal_key = jax.random.split(key(_Stream.NOISE))
    drawn = jax.random.randint(key(_Stream.DECISION), (), 0, DRAWS, jnp.int32)
    uniform = _uniform(uniform_key, sizes.n_uniform, dtype)
    normal = jax.random.normal(normal_key, (sizes.n_normal,), jnp.float64).astype(dtype)
    return RoundNoise(where, drawn, fate, Noise(uniform, normal))


def _uniform(key: jax.Array, n: int, dtype: jnp.dtype) -> jax.Array:
    """The same n numbers in [0, 1) at either precision: float32 drops digits, so none rounds up to 1."""
    drawn = jax.random.uniform(key, (n,), jnp.float64)
    if dtype == jnp.float64:
        return drawn
    return (jnp.floor(drawn * FLOAT32_STEPS) / FLOAT32_STEPS).astype(dtype)


@partial(jax.jit, static_argnames=("n_rounds", "sizes", "dtype"))
def episode_noise(
    master_seed: jax.Array | int,
    purpose: jax.Array | int,
    seed: jax.Array | int,
    *,
    n_rounds: int,
    sizes: NoiseSizes,
    dtype: str,
) -> RoundNoise:
    """The noise of rounds 0..n_rounds-1 of one seed, leading axis (n_rounds,).

    Round t's numbers do not depend on `n_rounds`, nor on `sizes` as far as they go, nor on `dtype`
    beyond its digits. Needs JAX's x64.
    """
    root = root_key(master_seed, purpose, seed)
    rounds = jnp.arange(n_rounds, dtype=jnp.int32)
    return jax.vmap(lambda t: round_noise(root, t, sizes, jnp.dtype(dtype)))(rounds)
