"""What fits share: ranges, cells, weights, clustered errors and the solver, each by hand."""

import numpy as np
import pytest

from experiments.calibration.fitting import Range, cells_of, default_of, least, range_of, reweighted, shared_luck

AT = np.array([[0.0], [0.0], [1.0], [1.0]])
Y = np.array([0.0, 1.0, 1.0, 1.0])


def test_ranges_and_defaults_are_those_of_a_task_type():
    assert range_of("k_t") == Range(0.0, 10.0)
    assert range_of("cliff").low == pytest.approx(1e-3)
    assert default_of("cliff") == 1.5


def test_cells_have_the_means_and_the_clustered_errors_of_their_rows():
    cells = cells_of(AT, Y, np.array([0, 1, 2, 3]))
    assert cells.at.tolist() == [[0.0], [1.0]]
    assert cells.mean.tolist() == [0.5, 1.0]
    # gaps -0.5 and 0.5 of two clusters: sqrt(2 / (2 - 1) * (0.25 + 0.25)) / 2 = 0.5
    assert cells.stderr == pytest.approx([0.5, 0.0])
    one = cells_of(AT, Y, np.array([7, 7, 2, 3]))
    assert np.isnan(one.stderr[0])


def test_a_line_is_found_with_the_errors_of_its_clusters():
    rng = np.random.default_rng(0)
    x, problem = np.repeat(np.arange(5.0), 400), np.tile(np.arange(400), 5)
    y = 1.0 + 0.5 * x + rng.normal(size=2000)
    cells = cells_of(x[:, None], y, problem)

    def curve(numbers):
        return numbers["a"] + numbers["b"] * cells.at[:, 0]

    free = {"a": Range(-9.0, 9.0), "b": Range(-9.0, 9.0)}
    fit = least(curve, cells, free, starts=[{"a": 0.0, "b": 0.0}], rows=(y, problem))
    by_hand = np.polyfit(x, y, 1)
    assert [fit.values["b"], fit.values["a"]] == pytest.approx(by_hand, abs=1e-6)
    # SD of the slope: 1 / sqrt(2000 * variance of x, which is 2)
    assert fit.stderr["b"] == pytest.approx(1 / np.sqrt(4000), rel=0.15)
    twice = (np.repeat(y, 2), np.repeat(problem, 2))
    doubled = cells_of(np.repeat(x, 2)[:, None], *twice)
    again = least(curve, doubled, free, starts=[{"a": 0.0, "b": 0.0}], rows=twice)
    assert again.stderr["b"] == pytest.approx(fit.stderr["b"])  # rows written twice are no news


def test_a_number_at_an_end_of_its_range_has_no_error():
    cells = cells_of(AT, Y, np.arange(4))
    fit = least(
        lambda numbers: np.full(2, numbers["a"]),
        cells,
        {"a": Range(0.9, 1.0)},
        starts=[{"a": 0.95}],
        rows=(Y, np.arange(4)),
    )
    assert fit.values["a"] == 0.9
    assert np.isnan(fit.stderr["a"])


def test_weights_follow_the_variance_of_the_expected_mean():
    cells = cells_of(np.repeat([[0.0], [1.0]], 96, axis=0), np.tile([0.0, 1.0], 96), np.arange(192))
    found = reweighted(cells, np.tile([0.0, 1.0], 96), np.array([0.5, 0.0]))
    # means drawn to one half by four rows: 0.5 and 2 / 100
    assert found.weight[0] / found.weight[1] == pytest.approx(0.02 * 0.98 / 0.25)


def test_cells_that_share_their_problems_share_their_luck():
    rng = np.random.default_rng(1)
    problem, x = np.repeat(np.arange(500), 8), np.tile(np.arange(8.0), 500)
    own = rng.normal(size=500)
    y = own[problem] + rng.normal(size=4000)
    # the variance of 500 normal numbers has a standard error of sqrt(2 / 500): 0.016 in the share, four of them
    assert shared_luck(cells_of(x[:, None], y, problem), y, problem) == pytest.approx(0.5, abs=0.064)
    alone = np.arange(4000)
    assert shared_luck(cells_of(x[:, None], y, alone), y, alone) == 1.0
    apart = np.repeat(np.arange(8.0), 500)  # each problem in one cell only
    assert shared_luck(cells_of(apart[:, None], y, problem), y, problem) > 0.9
