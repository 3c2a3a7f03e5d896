"""Fixed normal draws: mean zero, opposite pairs, unit variance, uncorrelated within a block, close to normal."""

import numpy as np
import pytest
from scipy.special import ndtr

from policies.draws import normal_draws


@pytest.mark.parametrize("dimension", [1, 2, 5, 40, 256])
@pytest.mark.parametrize("n_draws", [2, 16, 64])
def test_draws_are_opposite_pairs_of_unit_variance(dimension: int, n_draws: int) -> None:
    z = normal_draws(dimension, n_draws)
    half = n_draws // 2
    assert z.shape == (dimension, n_draws)
    assert np.array_equal(z[:, :half], -z[:, half:])
    assert np.abs(z.mean(axis=1)).max() < 1e-15  # pairs cancel; only the order of summation rounds
    assert np.mean(z**2, axis=1) == pytest.approx(np.ones(dimension))


@pytest.mark.parametrize("n_draws", [0, 1, -2, 7])
def test_an_odd_count_is_refused(n_draws: int) -> None:
    with pytest.raises(ValueError, match=f"n_draws = {n_draws}, need an even number >= 2"):
        normal_draws(3, n_draws)


@pytest.mark.parametrize(("dimension", "n_draws"), [(2, 4), (3, 8), (32, 64), (23, 64), (70, 256), (130, 4096)])
def test_up_to_half_as_many_dimensions_as_draws_are_exactly_uncorrelated(dimension: int, n_draws: int) -> None:
    z = normal_draws(dimension, n_draws)
    assert z @ z.T / n_draws == pytest.approx(np.eye(dimension), abs=1e-12)


@pytest.mark.parametrize(("dimension", "n_draws"), [(43, 64), (256, 64), (304, 64), (256, 256)])
def test_more_dimensions_correlate_no_more_than_independent_draws(dimension: int, n_draws: int) -> None:
    """Pairs of other blocks: correlations of standard deviation sqrt(2 / n).

    Of directions at random in h = n / 2 dimensions, |r| > x has probability below (1 - x^2)^((h - 1) / 2): the bound
    is what the largest of all pairs passes once in 1,000. Mean squares within 5 standard errors, as if independent.
    """
    z, half = normal_draws(dimension, n_draws), n_draws // 2
    block = np.arange(dimension) // half
    across = np.triu(block[:, None] != block[None, :])
    r = (z @ z.T / n_draws)[across]
    assert np.abs(r).max() <= np.sqrt(1 - (1e-3 / r.size) ** (2 / (half - 1)))
    assert np.mean(r**2) * half == pytest.approx(1.0, abs=5 * np.sqrt(2 / r.size))
    same = (block[:, None] == block[None, :]) & ~np.eye(dimension, dtype=bool)
    assert np.abs((z @ z.T / n_draws)[same]).max() < 1e-12


@pytest.mark.parametrize(("dimension", "n_draws"), [(43, 64), (256, 64), (100, 256), (40, 1024)])
def test_every_dimension_is_close_to_normal(dimension: int, n_draws: int) -> None:
    """Kolmogorov-Smirnov distance of each row's half |z|: below the level that chance passes once in 1,000 of all."""
    half = n_draws // 2
    size = np.sort(np.abs(normal_draws(dimension, n_draws)[:, :half]), axis=1)
    share = 2 * ndtr(size) - 1
    up, down = np.arange(1, half + 1) / half - share, share - np.arange(half) / half
    worst = np.maximum(up, down).max(axis=1)
    assert worst.max() < np.sqrt(np.log(2 * dimension / 1e-3) / (2 * half))
    assert worst.mean() < 0.87 / np.sqrt(half)  # the mean of independent draws: sqrt(pi / 2) log 2 / sqrt(half)


def test_fewer_dimensions_are_the_first_of_more() -> None:
    assert np.array_equal(normal_draws(300, 64)[:41], normal_draws(41, 64))


def test_the_same_numbers_come_every_time() -> None:
    """On every machine: the bits are a counter's, the values are written down."""
    assert normal_draws(6, 32) is normal_draws(6, 32)
    half = [
        [0.24194908892339106, 0.6045464897533414, -1.867649850460615, 0.2964257346629955],
        [1.7932519320259441, 0.6893964128336827, 0.39308604131385827, -0.39301839445688735],
    ]
    assert normal_draws(2, 8)[:, :4] == pytest.approx(np.array(half), abs=1e-9)
