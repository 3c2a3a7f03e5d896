"""Two priors over surfaces: shapes that are plausible, and a kernel's features."""

import numpy as np
import pytest

from policies.parts.surfaces import CURVE_SCALES, CURVE_SDS, LEVEL_SD, REST_SCALES, REST_SD, plain, shapes

AXES = ((0.0, 0.5, 1.0, 1.5, 2.0), (0.5, 1.0), (0.0, 0.5), (0.0,), (0.0, 1.0))
POINTS = np.array(
    [[t, p, f, r, m] for t in AXES[0] for p in AXES[1] for f in AXES[2] for r in AXES[3] for m in AXES[4]]
)


def covariance() -> np.ndarray:
    """(Q, Q) of the plain prior, entry by entry."""

    def bell(a: float, b: float, scale: float) -> float:
        return float(np.exp(-(((a - b) / scale) ** 2) / 2.0))

    whole = np.empty((len(POINTS), len(POINTS)))
    for i, a in enumerate(POINTS):
        for j, b in enumerate(POINTS):
            curves = sum(CURVE_SDS[k] ** 2 * bell(a[k], b[k], CURVE_SCALES[k]) for k in range(5))
            rest = REST_SD**2 * np.prod([bell(a[k], b[k], REST_SCALES[k]) for k in range(5)])
            whole[i, j] = LEVEL_SD**2 + curves + rest
    return whole


def test_features_of_full_rank_are_the_kernel() -> None:
    prior = plain(AXES, len(POINTS))
    assert prior.mean.tolist() == [0.5] * len(POINTS)
    assert prior.features @ prior.features.T == pytest.approx(covariance(), abs=1e-9)


@pytest.mark.parametrize("rank", [1, 4, 12, 25])
def test_a_lower_rank_leaves_a_covariance_and_takes_the_largest_variance_first(rank: int) -> None:
    """What is left is positive semi-definite, nothing where a pivot stood, and falls with the rank."""
    features = plain(AXES, rank).features
    left = covariance() - features @ features.T
    assert np.linalg.eigvalsh(left).min() > -1e-9
    assert (np.diag(left) < 1e-9).sum() >= rank
    assert np.trace(left) < np.trace(covariance() - features[:, :-1] @ features[:, :-1].T) + 1e-12
    assert features == pytest.approx(plain(AXES, 30).features[:, :rank], abs=1e-12)  # ranks are nested


def test_more_features_than_points_are_zero() -> None:
    small = ((0.0, 1.0), (1.0,), (0.0,), (0.0,), (0.0,))
    features = plain(small, 6).features
    assert features.shape == (2, 6) and np.all(features[:, 2:] == 0.0)


def drawn(count: int = 400) -> np.ndarray:
    """(count, T, P, F, R, M) shapes as a grid: a point adds up three columns of the table."""
    held = shapes(AXES, count)
    return np.asarray(held.table[:, held.columns].sum(axis=1).reshape(count, 5, 2, 2, 1, 2))


def test_shapes_are_the_same_each_time_and_no_two_are_alike() -> None:
    held = shapes(AXES, 400)
    shapes.cache_clear()
    again = shapes(AXES, 400)
    assert np.array_equal(held.table, again.table) and np.array_equal(held.columns, again.columns)
    assert held.columns.shape == (3, len(POINTS)) and len(np.unique(held.columns, axis=1).T) == len(POINTS)
    assert sorted(set(held.columns.ravel().tolist())) == list(range(held.table.shape[1]))  # no column is idle
    assert np.all(np.isfinite(held.table)) and len(np.unique(held.table.round(9), axis=0)) == 400


def test_a_point_adds_up_one_curve_over_temperature_top_p_and_model_and_one_of_each_penalty() -> None:
    """So differences along one penalty are the same at every other value of the lattice."""
    held = drawn()
    bend = held[:, :, :, 1] - held[:, :, :, 0]
    assert bend == pytest.approx(np.broadcast_to(bend[:, :1, :1, :, :1], bend.shape), abs=1e-12)


def test_a_shape_is_at_most_its_amplitude_where_the_model_is_the_first() -> None:
    """The cliff falls from 1 at heat 0 and every penalty takes away: amplitude is the top, up to rounding."""
    assert drawn()[..., 0].max() <= 1.0 + 1e-12
    assert drawn()[..., 0].max(axis=(1, 2, 3, 4)).mean() > 0.8  # and not far below it


def test_values_depend_on_the_point_and_not_on_what_else_is_on_the_lattice() -> None:
    """The same hypotheses stand on every lattice: a coarser one is a part of a finer one."""
    coarse = shapes(((0.5, 2.0), *AXES[1:]), 400)
    there = coarse.table[:, coarse.columns].sum(axis=1).reshape(400, 2, 2, 2, 1, 2)
    assert np.abs(there[..., 0] - drawn()[:, [1, 4]][..., 0]).max() < 1e-12


def test_the_family_holds_the_worlds_that_it_is_for() -> None:
    """At least a twentieth of the hypotheses has what a calibrated preset needs.

    A cliff inside the axis, none inside it, a best temperature above 0, and top_p below 1 that helps when hot.
    """
    held = drawn(1000)[:, :, :, 0, 0, 0]
    curve = held[:, :, 1]  # top_p = 1
    for able in (
        curve[:, 4] < 0.1 * curve[:, 0],
        curve[:, 4] > 0.6 * curve[:, 0],
        curve.argmax(axis=1) >= 1,
        held[:, 3, 0] > curve[:, 3] + 0.05,
    ):
        assert able.mean() >= 0.05
