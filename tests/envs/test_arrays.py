"""The numerical pieces the Array API leaves out: the normal CDF, row updates, selection."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from envs.arrays import choose, is_jax, namespace, normal_cdf, set_row, sigmoid

GRID = np.concatenate([np.linspace(-26.0, 9.0, 20_001), [-1e-300, 0.0, 1e-300, 40.0, 1e9]])


class Pair(NamedTuple):
    low: Any
    high: Any


class Nest(NamedTuple):
    pair: Pair
    count: Any


def test_normal_cdf_agrees_with_scipy_to_2e_13_relative() -> None:
    assert np.max(np.abs(normal_cdf(GRID) / ndtr(GRID) - 1.0)) < 2e-13


def test_normal_cdf_at_the_joints_of_its_three_forms_is_continuous() -> None:
    joints = np.sqrt(2.0) * np.array([-4.0, -0.46875, 0.46875, 4.0])
    below, above = normal_cdf(np.nextafter(joints, -np.inf)), normal_cdf(np.nextafter(joints, np.inf))
    assert np.max(np.abs(above / below - 1.0)) < 1e-13


def test_normal_cdf_of_x_and_minus_x_sum_to_one() -> None:
    assert np.max(np.abs(normal_cdf(GRID) + normal_cdf(-GRID) - 1.0)) < 1e-15


def test_normal_cdf_of_jax_and_numpy_agree_to_2e_13_relative() -> None:
    assert np.max(np.abs(np.asarray(normal_cdf(jnp.asarray(GRID))) / normal_cdf(GRID) - 1.0)) < 2e-13


def test_sigmoid_never_overflows_and_mirrors_itself() -> None:
    x = np.array([-1e308, -750.0, -1.0, 0.0, 1.0, 750.0, 1e308])
    assert np.all(sigmoid(x) + sigmoid(-x) == 1.0)
    assert sigmoid(x)[[0, 3, 6]].tolist() == [0.0, 0.5, 1.0]
    assert sigmoid(np.array([np.log(3.0)]))[0] == pytest.approx(0.75, rel=1e-15)


@pytest.mark.parametrize("n_rows", [3, 33], ids=["few rows: a select", "many rows: a scatter"])
@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_set_row_changes_one_row_of_a_copy(n_rows: int, xp: Any) -> None:
    x = xp.reshape(xp.arange(2.0 * n_rows), (n_rows, 2))
    new = set_row(x, xp.asarray(np.int32(2)), xp.asarray([-1.0, -2.0]))
    want = np.arange(2.0 * n_rows).reshape(n_rows, 2)
    assert np.array_equal(x, want), "the array it was given stays as it is"
    want[2] = [-1.0, -2.0]
    assert np.array_equal(new, want)
    assert namespace(new) is namespace(x)


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_choose_returns_one_of_two_states_bit_for_bit(xp: Any) -> None:
    old = Nest(Pair(xp.asarray([0.1, np.nan]), xp.asarray(-0.0)), xp.asarray(np.int32(3)))
    new = Nest(Pair(xp.asarray([0.3, np.inf]), xp.asarray(0.0)), xp.asarray(np.int32(4)))
    for condition, want in ((True, new), (False, old)):
        got = choose(xp.asarray(condition), new, old)
        assert isinstance(got, Nest) and isinstance(got.pair, Pair)
        leaves = zip((got.pair.low, got.pair.high, got.count), (*want.pair, want.count), strict=True)
        assert all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in leaves)


def test_is_jax_tells_the_library_of_an_array() -> None:
    assert is_jax(jnp.zeros(1))
    assert not is_jax(np.zeros(1))
    assert not is_jax(np.float64(1.0))
