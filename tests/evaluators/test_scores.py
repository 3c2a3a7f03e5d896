"""One definition of a score for values and differences."""

import numpy as np
import pytest

from evaluators.estimation import estimate
from evaluators.estimators import direct, doubly_robust, ips, shrunk_dr, snips
from evaluators.intervals import hall, t
from evaluators.rows import RewardRange
from evaluators.scores import Table, basis_of, importance, join_scores, row_scores, spread


def doubly(rows, target, *, is_difference=False):
    weight = importance(target, rows.behavior)
    part = (target * rows.predicted).sum(axis=1)
    return row_scores(Table(part, weight, rows.predicted, is_difference=is_difference), rows)


def test_the_score_of_a_difference_is_the_difference_of_the_scores(world) -> None:
    rows, context = world.draw(np.random.default_rng(0), 300)
    baseline = world.behavior[context]
    apart = doubly(rows, rows.target).score() - doubly(rows, baseline).score()
    together = doubly(rows, rows.target - baseline, is_difference=True).score()
    np.testing.assert_allclose(together, apart, atol=1e-12)


def test_the_design_term_is_the_loggers_expectation_of_u_squared_v(world) -> None:
    rows, _ = world.draw(np.random.default_rng(1), 20)
    u = importance(rows.target, rows.behavior)
    expected = (rows.behavior * u**2 * spread(rows.predicted, rows.reward_range)).sum(axis=1)
    np.testing.assert_allclose(doubly(rows, rows.target).design, expected, rtol=1e-12)


def test_a_table_with_the_shared_weights_is_scored_as_any_other(world) -> None:
    # the short cut for plain weights against the long way, for a value with and without a model
    rows, _ = world.draw(np.random.default_rng(2), 40)
    basis = basis_of(rows)
    for module in (ips, doubly_robust):
        table = module.table(module.Params(), rows, basis.weight)
        short, long = row_scores(table, rows, basis=basis), row_scores(table, rows)
        np.testing.assert_allclose(np.stack(short[:6]), np.stack(long[:6]), rtol=1e-12, atol=1e-12)


def test_the_centre_is_the_loggers_expectation_of_the_weight(world) -> None:
    rows, _ = world.draw(np.random.default_rng(3), 40)
    assert np.allclose(doubly(rows, rows.target).centre, 1.0)
    assert np.allclose(doubly(rows, rows.target - rows.behavior, is_difference=True).centre, 0.0)
    half = rows.behavior.copy()
    half[:, 0] = 0.0  # the target's mass there is not supported
    half /= half.sum(axis=1, keepdims=True)
    scored = row_scores(Table(0.0, importance(rows.target, half)), rows._replace(behavior=half))
    np.testing.assert_allclose(scored.centre, 1 - rows.target[:, 0], rtol=1e-12)


def test_slots_without_support_get_no_weight_and_no_warning() -> None:
    weight = importance(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    assert weight.tolist() == [[0.5, 0.0]]


def test_a_logger_known_in_part_leaves_nan_where_it_is_not_known(world) -> None:
    rows, _ = world.draw(np.random.default_rng(4), 30)
    logged = np.full_like(rows.behavior, np.nan)
    logged[np.arange(30), rows.slot] = rows.at(rows.behavior)
    partial = rows._replace(behavior=logged, is_partial=True)
    basis = basis_of(partial)
    table = ips.table(ips.Params(), partial, basis.weight)
    scored = row_scores(table, partial, basis=basis)
    whole = row_scores(ips.table(ips.Params(), rows, basis_of(rows).weight), rows)
    np.testing.assert_allclose(scored.score(), whole.score(), rtol=1e-12)
    np.testing.assert_allclose(scored.centre, rows.target.sum(axis=1), rtol=1e-12)
    assert np.all(np.isnan(scored.design))


def test_no_reward_in_the_range_varies_more_than_v() -> None:
    # two-point rewards at the ends reach (q - a)(b - q): nothing with mean q varies more
    q = np.linspace(-1.0, 3.0, 9)
    share = (q + 1) / 4
    variance = share * (3 - q) ** 2 + (1 - share) * (q + 1) ** 2
    assert np.all(spread(q, RewardRange(-1.0, 3.0)) >= variance)
    np.testing.assert_allclose(spread(q, RewardRange(-1.0, 3.0)), (q + 1) * (3 - q) + 1e-4 * 16, atol=1e-12)
    assert np.all(np.isnan(spread(q, None)))


@pytest.mark.parametrize("cuts", [(23,), (1, 2, 59)])
def test_joined_scores_are_those_of_the_whole(world, cuts) -> None:
    rows, _ = world.draw(np.random.default_rng(5), 60)
    ends = [0, *cuts, 60]
    parts = [rows.part(begin, end) for begin, end in zip(ends, ends[1:], strict=False)]
    joined = join_scores([doubly(part, part.target) for part in parts])
    np.testing.assert_array_equal(np.stack(joined[:6]), np.stack(doubly(rows, rows.target)[:6]))


def test_one_propensity_a_row_says_what_a_table_of_nan_says(world) -> None:
    # what other libraries are given: the propensity of the logged action, the target and the model everywhere
    rows, _ = world.draw(np.random.default_rng(6), 200)
    table = np.full_like(rows.behavior, np.nan)
    table[np.arange(200), rows.slot] = rows.at(rows.behavior)
    wide = rows._replace(behavior=table, is_partial=True)
    slim = wide._replace(behavior=rows.at(rows.behavior)[:, None])
    for params in (
        ips.Params(interval=hall.Params()),
        snips.Params(),
        direct.Params(),
        doubly_robust.Params(interval=hall.Params()),
        shrunk_dr.Params(interval=t.Params()),
    ):
        np.testing.assert_allclose(estimate(params, slim), estimate(params, wide), rtol=1e-12)
    with pytest.raises(ValueError, match="propensity"):
        estimate(snips.Params(), slim._replace(behavior=np.zeros((200, 1))))
    with pytest.raises(ValueError, match="whole distribution"):
        estimate(doubly_robust.Params(), slim)
