"""Fixed numbers: evenly spread, and what they select."""

import jax.numpy as jnp
import ndonnx as ndx
import numpy as np
import pytest

from policies.parts.sampling import STEPS, constant, even, first_above, row_of
from tests.hand import generator


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_step_is_the_inverse_root_that_spreads_d_coordinates_best(d: int) -> None:
    x = 1.0 / STEPS[d - 1]
    assert x ** (d + 1) == pytest.approx(x + 1.0, rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 64, 500])
def test_even_points_are_the_midpoints_each_once(n: int) -> None:
    for step in STEPS:
        assert np.sort(even(n, step)) == pytest.approx((np.arange(n) + 0.5) / n, abs=1e-15)


def test_two_even_sequences_fill_the_square() -> None:
    """64 points in 16 equal boxes: four each on average; independent points would leave a box empty in 23 % of tries.

    Discrepancy: no box may hold less than one or more than nine of the 64.
    """
    for one, two in ((0, 1), (0, 2), (1, 2)):
        held = np.histogram2d(even(64, STEPS[one]), even(64, STEPS[two]), bins=4, range=[[0, 1], [0, 1]])[0]
        assert held.min() >= 1 and held.max() <= 9


@pytest.mark.parametrize("seed", range(5))
def test_what_is_selected_is_what_a_search_of_the_sums_finds(seed: int) -> None:
    rng = generator(seed)
    weight, at = rng.random(30) * (rng.random(30) < 0.7), rng.random(200)
    reach = np.cumsum(weight)
    found = first_above(reach, at)
    assert np.array_equal(found, np.searchsorted(reach, at * reach[-1], side="right"))
    assert np.all(weight[found] > 0.0)


def test_midpoints_select_in_proportion() -> None:
    """Weights of 1, 0, 5, 2 eighths and 64 midpoints: 8, 0, 40 and 16 of them, whatever their order."""
    chosen = first_above(np.cumsum([1.0, 0.0, 5.0, 2.0]), even(64, STEPS[2]))
    assert np.bincount(chosen, minlength=4).tolist() == [8, 0, 40, 16]


def test_rows_and_constants_are_the_same_in_every_library() -> None:
    table, index = np.arange(12.0).reshape(4, 3), np.int32(2)
    assert row_of(table, index).tolist() == row_of(jnp.asarray(table), jnp.int32(2)).tolist() == [6.0, 7.0, 8.0]
    traced = row_of(ndx.asarray(table), ndx.asarray(index))
    assert traced.shape == (3,) and traced.unwrap_numpy().tolist() == [6.0, 7.0, 8.0]
    held = constant(np.zeros(1, np.float32), (0.5, 2.0))
    assert held.dtype == np.float32 and held.tolist() == [0.5, 2.0]
