"""The noise of episodes, a block of rounds at a time: memory does not grow with the horizon.

The numbers are those of `envs.randomness.episode_noise`, bit for bit: each is a function of
(master seed, purpose, seed, stream, round), so a block may begin anywhere. Needs JAX.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from envs.randomness import NoiseSizes, Purpose, RoundNoise, root_key, round_noise
from envs.world import Noise, World

__all__ = ["BLOCK", "COMPILER", "block", "own_jax"]

BLOCK = 128  # rounds
GRAIN = 16  # sizes are rounded up to a multiple: all of our worlds then share one program
COMPILER = {"xla_backend_optimization_level": 1}  # compiles faster, draws as fast

Ints = NDArray[np.int32]


@contextmanager
def own_jax() -> Iterator[None]:
    """JAX as a compiled run sets it, float64 and NumPy's promotion, whatever the caller's own code uses."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


@partial(jax.jit, static_argnames=("sizes",), compiler_options=COMPILER)
def _drawn(master: jax.Array, seeds: jax.Array, begins: jax.Array, *, sizes: NoiseSizes) -> RoundNoise:
    def one(seed: jax.Array, begin: jax.Array) -> RoundNoise:
        root = root_key(master, int(Purpose.TRAIN), seed)
        rounds = begin + jnp.arange(BLOCK, dtype=jnp.int32)
        return jax.vmap(lambda t: round_noise(root, t, sizes, jnp.dtype("float64")))(rounds)

    return jax.vmap(one)(seeds, begins)


def block(master_seed: int, seeds: Ints, begins: Ints, *, world: World) -> RoundNoise:
    """`BLOCK` rounds of noise of some episodes of purpose TRAIN, float64.

    Args:
        master_seed: of all of them.
        seeds: (n,) episodes.
        begins: (n,) first round of each.
        world: says how much an outcome consumes.

    Returns:
        JAX arrays with leading axes (n, BLOCK).
    """
    needed = NoiseSizes(world.n_uniform, world.n_normal)
    sizes = NoiseSizes(*(-(-max(n, 1) // GRAIN) * GRAIN for n in needed))
    with own_jax():
        drawn: RoundNoise = _drawn(np.uint32(master_seed), seeds, begins, sizes=sizes)
        uniform, normal = drawn.outcome
        return drawn._replace(outcome=Noise(uniform[..., : needed.n_uniform], normal[..., : needed.n_normal]))
