"""Joint features: linear in the context, piecewise linear along the axes, apart between task types."""

import numpy as np
import pytest

from policies.features import basis, lift, n_features, phi, whole_basis
from tests.hand import SHARED, generator

IDS = np.arange(20, dtype=np.int32)
CURVE = 1 + 4 + 3  # intercept, knots of both axes


def test_the_length_is_counted_by_hand() -> None:
    """Two task types of 8 columns, 3 main effects, 2 interactions on 2 axes."""
    assert n_features(SHARED) == 2 * CURVE + 3 + 2 * 2
    assert phi(SHARED, np.zeros(3), np.int32(0), IDS).shape == (20, 23)


def test_one_row_by_hand() -> None:
    """Action 7 is (1, 3): place 1/4 is the first knot of the first axis, place 1 the last of the second."""
    row = phi(SHARED, np.array([2.0, 3.0, 4.0]), np.int32(1), np.array([7], np.int32))[0]
    own = [1, 1, 0, 0, 0, 0, 0, 1]
    crossed = [2 * -0.25, 2 * 0.5, 4 * -0.25, 4 * 0.5]
    assert row == pytest.approx([0] * 8 + own + [2, 3, 4] + crossed)


@pytest.mark.parametrize("seed", range(20))
def test_phi_of_a_mean_context_is_the_mean_phi(seed: int) -> None:
    contexts, task = generator(seed).standard_normal((7, 3)), np.int32(seed % 2)
    mean = np.mean([phi(SHARED, context, task, IDS) for context in contexts], axis=0)
    assert phi(SHARED, contexts.mean(axis=0), task, IDS) == pytest.approx(mean, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_lift_and_basis_never_need_phi(seed: int) -> None:
    rng = generator(seed)
    context, columns, task = rng.standard_normal(3), rng.standard_normal((23, 5)), np.int32(seed % 2)
    direct = phi(SHARED, context, task, IDS) @ columns
    assert basis(SHARED, IDS, like=context) @ lift(SHARED, context, task, columns) == pytest.approx(direct, abs=1e-12)


def test_hat_functions_sum_to_one_beyond_the_first_knot_and_never_exceed_it() -> None:
    fine = SHARED._replace(shape=(41,), positions=(tuple(np.linspace(0, 1, 41)),), offsets=((0,),), knots=(4,))
    table = basis(fine, np.arange(41, dtype=np.int32), like=np.zeros(1))
    hats, place = table[:, 1:5], np.linspace(0, 1, 41)
    assert np.all(hats >= 0)
    assert hats.sum(axis=1) == pytest.approx(np.minimum(4 * place, 1))  # below 1/4 the intercept's knot has the rest


def test_task_types_share_no_curve() -> None:
    context = np.array([0.3, -1.0, 2.0])
    first, second = (phi(SHARED, context, np.int32(task), IDS) for task in (0, 1))
    assert np.all(first[:, CURVE : 2 * CURVE] == 0)
    assert np.all(second[:, :CURVE] == 0)
    assert np.array_equal(first[:, :CURVE], second[:, CURVE : 2 * CURVE])
    assert np.array_equal(first[:, 2 * CURVE :], second[:, 2 * CURVE :])


def test_an_axis_of_one_value_has_no_column() -> None:
    wider = SHARED._replace(
        shape=(5, 1, 4), positions=(SHARED.positions[0], (0.0,), SHARED.positions[1]), knots=(4, 0, 3)
    )
    context = np.array([1.0, 2.0, 3.0])
    assert n_features(wider) == n_features(SHARED)
    assert np.array_equal(phi(wider, context, np.int32(0), IDS), phi(SHARED, context, np.int32(0), IDS))


def test_without_interactions_the_places_have_no_weight() -> None:
    plain = SHARED._replace(interactions=())
    assert phi(plain, np.ones(3), np.int32(0), IDS).shape == (20, 19)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_whole_basis_is_that_of_every_action(dtype: type) -> None:
    whole = whole_basis(SHARED, like=np.zeros(1, dtype))
    assert whole.dtype == dtype
    assert np.array_equal(whole, basis(SHARED, IDS, like=np.zeros(1, dtype)))
    assert np.array_equal(whole[[7, 3, 7]], basis(SHARED, np.array([7, 3, 7]), like=np.zeros(1, dtype)))
