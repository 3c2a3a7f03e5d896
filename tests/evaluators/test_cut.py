"""Cut scores: unbiased by enumeration, bounded whatever the weights, and plain scores at either end."""

import numpy as np
import pytest

from evaluators.cut import cut_scores, cut_tables, rescaled
from evaluators.rows import RewardRange, Rows

UNIT = RewardRange(0.0, 1.0)
CUTS = (0.0, 0.5, 2.0, 5.0, 20.0)


def scored(rows, cuts=CUTS):
    return cut_scores(cut_tables(rows, cuts), rows)


def expectations(world, *, target=None):
    """Exact expectations of the lower and the upper score, (cuts,) each: every context, action and reward."""
    c, k = world.mean.shape
    row, slot, reward = (part.ravel() for part in np.meshgrid(np.arange(c), np.arange(k), [0.0, 1.0], indexing="ij"))
    target = world.target if target is None else target
    rows = Rows(reward, slot, world.behavior, target, world.model, reward_range=UNIT, row=row)
    chance = world.behavior[row, slot] * np.where(reward == 1, world.mean[row, slot], 1 - world.mean[row, slot]) / c
    return tuple(score @ chance for score in scored(rows))


def test_every_cut_is_unbiased(world) -> None:
    for expected in expectations(world):
        np.testing.assert_allclose(expected, world.truth(), rtol=1e-12)


def test_without_support_the_expectations_enclose_whatever_the_mass_may_earn(world) -> None:
    behavior = np.where(np.arange(5) == 2, 0.0, world.behavior)
    cut_off = world._replace(behavior=behavior / behavior.sum(axis=1, keepdims=True))
    lower, upper = expectations(cut_off)
    supported = float((world.target * world.mean * (behavior > 0)).sum(axis=1).mean())
    np.testing.assert_allclose(lower, supported, rtol=1e-12)  # it earns 0
    np.testing.assert_allclose(upper, supported + world.target[:, 2].mean(), rtol=1e-12)  # it earns 1


def test_mass_missing_from_the_target_is_unsupported_too(world) -> None:
    lower, upper = expectations(world, target=0.9 * world.target)
    np.testing.assert_allclose(lower, 0.9 * world.truth(), rtol=1e-12)
    np.testing.assert_allclose(upper, 0.9 * world.truth() + 0.1, rtol=1e-12)


def test_scores_stay_within_their_cut_whatever_the_weights(heavy_world) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(1), 20_000)
    scores, k = scored(rows), np.array(CUTS)[:, None]
    weight = rows.at(rows.target / rows.behavior)
    assert weight.max() > 100
    assert np.all(scores.lower >= -k) and np.all(scores.upper <= 1 + k)
    assert scored(rows, (1e9,)).lower.min() < -20  # uncut, they do not


def test_no_cut_is_left_at_zero_and_the_doubly_robust_score_at_infinity(world) -> None:
    rows, _ = world.draw(np.random.default_rng(2), 200)
    weight = rows.at(rows.target / rows.behavior)
    none, whole = scored(rows, (0.0,)), scored(rows, (1e9,))
    np.testing.assert_allclose(none.lower[0], weight * rows.reward, rtol=1e-12)
    np.testing.assert_allclose(none.upper[0], 1 - weight * (1 - rows.reward), rtol=1e-12)
    robust = (world.target * world.model).sum(axis=1)
    row = np.array([int(np.flatnonzero((world.model == one).all(axis=1))[0]) for one in rows.predicted])
    plain = robust[row] + weight * (rows.reward - rows.at(rows.predicted))
    for score in whole:
        np.testing.assert_allclose(score[0], plain, rtol=1e-9, atol=1e-12)


def test_scores_by_hand() -> None:
    """Weights 4 and 1/3; k = 1 cuts q = 0.5 to 1/4 at the first slot and leaves 0.8 at the second.

    Gain 0.4 / 4 + 0.3 * 0.8 = 0.34; the first slot without a reward: 0.34 - 4 / 4 = -0.66.
    Losses 0.5 -> 1/4 and 0.2: 0.1 + 0.06 = 0.16; 1 - (0.16 + 4 (1 - 1/4)) = -2.16.
    """
    behavior, target, model = (np.array([pair]) for pair in ([0.1, 0.9], [0.4, 0.3], [0.5, 0.8]))
    rows = Rows(np.zeros(1), np.array([0]), behavior, target, model, reward_range=UNIT)
    scores = scored(rows, (1.0,))
    assert scores.lower[0, 0] == pytest.approx(-0.66)
    assert scores.upper[0, 0] == pytest.approx(-2.16)


def test_losses_mirror_gains(world) -> None:
    rows, _ = world.draw(np.random.default_rng(3), 100)
    mirrored = scored(rows._replace(reward=1 - rows.reward, predicted=1 - rows.predicted))
    scores = scored(rows)
    np.testing.assert_allclose(mirrored.lower, 1 - scores.upper, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mirrored.upper, 1 - scores.lower, rtol=1e-12, atol=1e-12)


def test_a_declared_range_only_rescales(world) -> None:
    rows, _ = world.draw(np.random.default_rng(4), 100)
    wide = rows._replace(
        reward=4 * rows.reward - 1, predicted=4 * rows.predicted - 1, reward_range=RewardRange(-1.0, 3.0)
    )
    for one, other in zip(scored(rows), scored(wide), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_tables_shared_by_many_rows_give_the_scores_of_rows_of_their_own(world) -> None:
    rows, context = world.draw(np.random.default_rng(5), 60)
    shared = Rows(rows.reward, rows.slot, world.behavior, world.target, world.model, reward_range=UNIT, row=context)
    for one, other in zip(scored(rows), scored(shared), strict=True):
        np.testing.assert_array_equal(one, other)
    folded = scored(shared).folded(3)
    assert folded.lower.shape == (len(CUTS), 3, 20)
    np.testing.assert_array_equal(folded.lower[:, 1], scored(rows).lower[:, 20:40])


def test_a_log_of_logged_propensities_alone_is_scored_without_a_cut(world) -> None:
    rows, _ = world.draw(np.random.default_rng(6), 50)
    known = np.arange(5) == rows.slot[:, None]
    partial = rows._replace(behavior=np.where(known, rows.behavior, np.nan), predicted=None, is_partial=True)
    np.testing.assert_array_equal(scored(partial, (0.0,)).lower, scored(rows, (0.0,)).lower)


@pytest.mark.parametrize(
    ("change", "cuts", "said"),
    [
        ({"reward_range": None}, (0.0,), "never the sample's extremes"),
        ({"predicted": None}, (0.0, 2.0), "need a reward model to cut"),
        ({"is_partial": True}, (2.0,), "need the whole window's"),
        ({}, (-1.0,), "need finite numbers >= 0"),
        ({}, (), "need finite numbers >= 0"),
        ({}, (np.inf,), "need finite numbers >= 0"),
    ],
)
def test_what_cannot_be_cut_is_refused(world, change, cuts, said) -> None:
    rows, _ = world.draw(np.random.default_rng(7), 5)
    with pytest.raises(ValueError) as caught:
        cut_tables(rows._replace(**change), cuts)
    assert said in str(caught.value)


def test_rescaling_needs_a_range_and_keeps_rounding_inside_it() -> None:
    assert rescaled(np.array([1 + 1e-12]), UNIT) == 1.0
    with pytest.raises(ValueError, match="reward_range is None"):
        rescaled(np.ones(1), None)
