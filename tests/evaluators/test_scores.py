"""One definition of a score for values and differences."""

import numpy as np
import pytest

from evaluators.rows import RewardRange
from evaluators.scores import importance, merge_scores, row_scores, score_sums, spread


def test_the_score_of_a_difference_is_the_difference_of_the_scores(world) -> None:
    rows, context = world.draw(np.random.default_rng(0), 300)
    baseline = world.behavior[context]
    apart = row_scores(rows, rows.target).score() - row_scores(rows, baseline).score()
    together = row_scores(rows, rows.target - baseline).score()
    np.testing.assert_allclose(together, apart, atol=1e-12)


def test_the_design_term_is_the_loggers_expectation_of_u_squared_v(world) -> None:
    rows, _ = world.draw(np.random.default_rng(1), 20)
    u = importance(rows.target, rows.behavior)
    expected = (rows.behavior * u**2 * spread(rows.predicted, rows.reward_range)).sum(axis=1)
    np.testing.assert_allclose(row_scores(rows, rows.target).design, expected, rtol=1e-12)


def test_slots_without_support_get_no_weight_and_no_warning() -> None:
    weight = importance(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    assert weight.tolist() == [[0.5, 0.0]]


def test_no_reward_in_the_range_varies_more_than_v() -> None:
    # two-point rewards at the ends reach (q - a)(b - q): nothing with mean q varies more
    q = np.linspace(-1.0, 3.0, 9)
    share = (q + 1) / 4
    variance = share * (3 - q) ** 2 + (1 - share) * (q + 1) ** 2
    assert np.all(spread(q, RewardRange(-1.0, 3.0)) >= variance)


def test_kappa_is_the_most_possible_where_no_residual_was_seen(world) -> None:
    rows, _ = world.draw(np.random.default_rng(2), 50)
    unseen = row_scores(rows, rows.target)._replace(weight=np.zeros(50))
    assert score_sums(unseen).kappa() == 1.0


def test_kappa_is_the_weighted_residual_over_its_shape(world) -> None:
    rows, _ = world.draw(np.random.default_rng(3), 50)
    scored = row_scores(rows, rows.target - world.behavior[0])
    size = np.abs(scored.weight)
    expected = (size * scored.residual**2).sum() / (size * scored.spread).sum()
    np.testing.assert_allclose(score_sums(scored).kappa(), expected, rtol=1e-12)


def test_merged_scores_are_those_of_the_union(world) -> None:
    rows, _ = world.draw(np.random.default_rng(4), 60)
    scored = row_scores(rows, rows.target)
    halves = [
        score_sums(type(scored)(*(column[part] for column in scored)), 0.5) for part in (slice(23), slice(23, 60))
    ]
    merged, whole = merge_scores(*halves), score_sums(scored, 0.5)
    np.testing.assert_allclose(np.hstack(merged), np.hstack(whole), rtol=1e-12)


def test_scores_without_a_reward_model_are_refused(world) -> None:
    rows, _ = world.draw(np.random.default_rng(5), 10)
    with pytest.raises(ValueError, match="predicted is None"):
        row_scores(rows._replace(predicted=None), rows.target)
