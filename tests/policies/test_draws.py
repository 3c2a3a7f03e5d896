"""Fixed normal draws: mean zero, opposite pairs, unit variance, hardly correlated."""

import numpy as np
import pytest

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


def test_the_covariance_of_few_dimensions_is_nearly_the_identity() -> None:
    """Independent draws would have entries of standard deviation 1/sqrt(2048) = 0.022; 4 of these."""
    z = normal_draws(4, 4096)
    assert z @ z.T / 4096 == pytest.approx(np.eye(4), abs=4 / np.sqrt(2048))


def test_the_same_numbers_come_every_time() -> None:
    assert normal_draws(6, 32) is normal_draws(6, 32)
