"""Calibration of a reward model, plainly and as the target meets it, against arithmetic and regression."""

import numpy as np
import pytest
from scipy import stats

from evaluators.model_calibration import fit_of, merge, model_sums
from evaluators.rows import RewardRange, Rows
from evaluators.scores import importance


def sums_of(rows):
    return model_sums(rows, importance(rows.target, rows.behavior))


def test_two_rows_by_hand() -> None:
    # predictions 0.25 and 0.75 earned 0.5 and 1.0; weights 0.5 and 1.5
    behavior, target = np.full((2, 2), 0.5), np.array([[0.25, 0.75]] * 2)
    predicted = np.array([[0.25, 0.75]] * 2)
    rows = Rows(np.array([0.5, 1.0]), np.array([0, 1]), behavior, target, predicted, reward_range=RewardRange(0, 1))
    plain, weighted = (fit_of(sums_of(rows), is_weighted=w) for w in (False, True))
    assert (plain.slope, plain.intercept, plain.error) == pytest.approx((1.0, 0.25, 0.25))
    assert plain.stderr == pytest.approx(0.0, abs=1e-12)
    assert [line.n for line in plain.bins] == [1, 1]
    assert [line.predicted for line in weighted.bins] == pytest.approx([0.25, 0.75])
    assert weighted.error == pytest.approx((0.5 * 0.25 + 1.5 * 0.25) / 2)


def test_the_plain_fit_is_least_squares(world) -> None:
    rows, _ = world.draw(np.random.default_rng(0), 400)
    found, line = fit_of(sums_of(rows), is_weighted=False), stats.linregress(rows.at(rows.predicted), rows.reward)
    assert (found.slope, found.intercept) == pytest.approx((line.slope, line.intercept))
    gap = rows.reward - rows.at(rows.predicted)
    assert (found.error, found.stderr) == pytest.approx((gap.mean(), gap.std() / 20))


def test_the_true_model_passes_and_the_bias_that_the_target_likes_is_found(heavy_world) -> None:
    rows, context = heavy_world.draw(np.random.default_rng(1), 20_000)
    right = fit_of(sums_of(rows._replace(predicted=heavy_world.mean[context])), is_weighted=True)
    assert abs(right.error) <= 4 * right.stderr
    assert right.slope == pytest.approx(1.0, abs=0.15)
    # the model flatters what the target likes: its error there is what the direct method is wrong by
    wrong = fit_of(sums_of(rows), is_weighted=True)
    truth = (heavy_world.target * (heavy_world.mean - heavy_world.model)).sum(axis=1).mean()
    assert abs(wrong.error - truth) <= 4 * wrong.stderr
    assert wrong.error < -4 * wrong.stderr


def test_bins_cover_the_rows_and_rise(world) -> None:
    rows, _ = world.draw(np.random.default_rng(2), 1_000)
    bins = fit_of(sums_of(rows), is_weighted=False).bins
    assert sum(line.n for line in bins) == 1_000
    assert np.all(np.diff([line.predicted for line in bins]) > 0)


def test_merged_sums_are_those_of_the_union(world) -> None:
    rows, _ = world.draw(np.random.default_rng(3), 300)
    whole, parts = sums_of(rows), merge(sums_of(rows.part(0, 90)), sums_of(rows.part(90, 300)))
    np.testing.assert_allclose(parts.table, whole.table, rtol=1e-12)
    np.testing.assert_array_equal(parts.n, whole.n)


def test_equal_predictions_have_no_slope_and_an_unmet_target_no_fit(world) -> None:
    rows, _ = world.draw(np.random.default_rng(4), 50)
    flat = fit_of(sums_of(rows._replace(predicted=np.full_like(rows.behavior, 0.5))), is_weighted=False)
    assert np.isnan(flat.slope)
    assert flat.error == pytest.approx(rows.reward.mean() - 0.5)
    unmet = fit_of(sums_of(rows._replace(target=np.zeros_like(rows.behavior))), is_weighted=True)
    assert unmet.bins == ()
    assert np.isnan(unmet.error)


def test_what_cannot_be_read_is_refused(world) -> None:
    rows, _ = world.draw(np.random.default_rng(5), 10)
    for missing in ({"predicted": None}, {"reward_range": None}):
        with pytest.raises(ValueError, match=r"need rows\.predicted .* and rows\.reward_range"):
            sums_of(rows._replace(**missing))
    with pytest.raises(ValueError, match="declare reward ranges"):
        merge(sums_of(rows), sums_of(rows._replace(reward_range=RewardRange(0, 2))))
