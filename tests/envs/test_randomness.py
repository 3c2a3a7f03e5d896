"""Counter-based randomness: a number depends on where it stands, and on nothing else."""

import itertools

import jax
import numpy as np
import pytest

from envs.randomness import DRAWS, NoiseSizes, Purpose, RoundNoise, _Stream, episode_noise, root_key, sizes_of
from envs.world import Scenario

SIZES = NoiseSizes(5, 3)


def noise(
    seed: int, n_rounds: int, purpose: Purpose = Purpose.TRAIN, *, dtype: str = "float64", sizes: NoiseSizes = SIZES
) -> RoundNoise:
    drawn = episode_noise(0, purpose, seed, n_rounds=n_rounds, sizes=sizes, dtype=dtype)
    return RoundNoise(*jax.tree.map(np.asarray, drawn))


def many_rounds() -> RoundNoise:
    """20,000 rounds: 2,000 of ten seeds, so that one program draws them all."""
    return RoundNoise(*jax.tree.map(lambda *leaves: np.concatenate(leaves), *(noise(seed, 2000) for seed in range(10))))


def same(a: RoundNoise, b: RoundNoise) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_round_t_does_not_depend_on_the_number_of_rounds() -> None:
    short, long = noise(3, 50), noise(3, 2000)
    assert same(short, jax.tree.map(lambda leaf: leaf[:50], long))


def test_a_seed_does_not_depend_on_the_seeds_beside_it() -> None:
    batch = jax.vmap(lambda s: episode_noise(0, Purpose.TRAIN, s, n_rounds=50, sizes=SIZES, dtype="float64"))(
        np.arange(8, dtype=np.int32)
    )
    for seed in (0, 3, 7):
        assert same(noise(seed, 50), jax.tree.map(lambda leaf, i=seed: np.asarray(leaf[i]), batch))


def test_purposes_seeds_streams_and_rounds_share_no_key() -> None:
    @jax.jit
    @jax.vmap
    def key(purpose: jax.Array, seed: jax.Array, stream: jax.Array, t: jax.Array) -> jax.Array:
        stem = jax.random.fold_in(root_key(0, purpose, seed), stream)
        return jax.random.key_data(jax.random.fold_in(stem, t))

    grid = np.array(list(itertools.product(Purpose, range(20), _Stream, range(50))), np.int32)
    keys = np.asarray(key(*grid.T))
    # 25,000 keys of 64 bits: even at random two would agree with probability 2e-11
    assert len(np.unique(keys, axis=0)) == len(grid)


@pytest.mark.parametrize("other", [p for p in Purpose if p is not Purpose.TRAIN])
def test_another_purpose_has_other_noise_in_every_leaf(other: Purpose) -> None:
    a, b = noise(3, 50), noise(3, 50, other)
    assert all(not np.any(x == y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_another_master_seed_has_other_noise() -> None:
    other = episode_noise(1, Purpose.TRAIN, 3, n_rounds=50, sizes=SIZES, dtype="float64")
    assert not np.any(np.asarray(other.context) == noise(3, 50).context)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_shapes_and_ranges_are_those_that_were_promised(dtype: str) -> None:
    drawn = noise(0, 2000, dtype=dtype)
    assert drawn.outcome.uniform.shape == (2000, 5) and drawn.outcome.normal.shape == (2000, 3)
    assert drawn.context.shape == drawn.feedback.shape == (2000, 3)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(drawn)} == {dtype, "int32"}
    for uniform in (drawn.context, drawn.feedback, drawn.outcome.uniform):
        assert uniform.min() >= 0.0 and uniform.max() < 1.0
    assert drawn.decision.min() >= 0 and drawn.decision.max() < DRAWS


def test_moments_are_those_of_uniforms_and_normals() -> None:
    drawn = many_rounds()
    uniform = np.column_stack([drawn.context, drawn.feedback, drawn.decision / DRAWS, drawn.outcome.uniform])
    normal = drawn.outcome.normal
    z_mean = np.concatenate([(uniform.mean(0) - 0.5) * np.sqrt(12 * 20_000), normal.mean(0) * np.sqrt(20_000)])
    # var of (u - 1/2)^2 is 1/180, of n^2 is 2
    of_uniform = (((uniform - 0.5) ** 2).mean(0) - 1 / 12) * np.sqrt(180 * 20_000)
    z_spread = np.concatenate([of_uniform, ((normal**2).mean(0) - 1) * np.sqrt(20_000 / 2)])
    # 30 z values, each beyond 4 with probability 6.3e-5: false alarm 0.2 %
    assert np.abs(np.concatenate([z_mean, z_spread])).max() < 4.0


def test_the_numbers_of_one_round_are_uncorrelated() -> None:
    drawn = many_rounds()
    uniform = [drawn.context, drawn.feedback, drawn.decision, drawn.outcome.uniform]
    table = np.column_stack([*uniform, drawn.outcome.normal])
    z = np.corrcoef(table.T)[np.triu_indices(table.shape[1], 1)] * np.sqrt(20_000)
    # 15 columns, 105 pairs, each beyond 4.5 with probability 6.8e-6: false alarm 0.07 %
    assert np.abs(z).max() < 4.5


def test_a_world_that_consumes_more_leaves_every_other_number_where_it_was() -> None:
    few, many = noise(3, 50), noise(3, 50, sizes=NoiseSizes(9, 7))
    assert many.outcome.uniform.shape == (50, 9) and many.outcome.normal.shape == (50, 7)
    for name in ("context", "decision", "feedback"):
        assert np.array_equal(getattr(few, name), getattr(many, name))


def test_float32_numbers_are_the_float64_numbers_cut_to_their_digits() -> None:
    wide, narrow = noise(3, 2000), noise(3, 2000, dtype="float32")
    assert np.array_equal(wide.decision, narrow.decision)
    for a, b in ((wide.context, narrow.context), (wide.outcome.uniform, narrow.outcome.uniform)):
        gap = np.asarray(a) - np.asarray(b, np.float64)
        assert gap.min() >= 0.0 and gap.max() < 2.0**-24


def test_a_world_says_what_it_consumes(gsm8k_small: Scenario) -> None:
    assert sizes_of(gsm8k_small.world) == (
        5,
        3,
    )  # failure, length, checks, cold start and its wait; length, two jitters
