"""Balanced weights: right where the classifier is, whatever propensities the log claims."""

import numpy as np
import pytest

from evaluators.balancing import Params, balance
from evaluators.estimation import estimate
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.intervals import hall
from evaluators.rows import RewardRange, Rows

EVERY = np.eye(40).reshape(8, 5, 40)  # a feature of its own for every slot of every context
UNIT = RewardRange(0.0, 1.0)
N = 60_000


def shared(world, seed: int, n: int = N) -> Rows:
    """A log with shared tables, whose claimed propensities are those of another logger."""
    drawn, context = world.draw(np.random.default_rng(seed), n)
    claimed = np.full((8, 5), 0.2)
    return Rows(drawn.reward, drawn.slot, claimed, world.target, world.model, reward_range=UNIT, row=context)


@pytest.mark.parametrize("estimator", [ips.Params(), snips.Params(), doubly_robust.Params(interval=hall.Params())])
def test_a_right_classifier_mends_wrong_propensities(world, estimator) -> None:
    # the classifier's bias is O(1/n), far below 4 standard errors: |z| <= 4, false alarm 6e-5
    log = shared(world, 0)
    found = estimate(estimator, balance(Params(ridge=1e-3), log, EVERY))
    assert abs(found.value - world.truth()) <= 4 * found.stderr


def test_ips_with_the_wrong_propensities_is_seen_to_fail(world) -> None:
    found = estimate(ips.Params(), shared(world, 0))
    assert abs(found.value - world.truth()) > 10 * found.stderr


def test_the_weights_approach_the_true_ones(world) -> None:
    log = shared(world, 1)
    balanced = balance(Params(ridge=1e-3), log, EVERY)
    found = (balanced.target / balanced.behavior)[np.arange(N), log.slot]
    wanted = (world.target / world.behavior)[log.row, log.slot]
    # the rarest cell has 60,000 / 8 x 0.05 = 375 rows: 1 / sqrt(375) = 0.05, four of those over 40 cells
    np.testing.assert_allclose(found, wanted, rtol=0.21)
    assert abs(found.mean() - 1) < 1e-3


def test_a_classifier_without_the_contexts_is_wrong(world) -> None:
    log = shared(world, 2)
    slots = np.broadcast_to(np.eye(5), (8, 5, 5)).copy()
    found = estimate(ips.Params(), balance(Params(ridge=1e-3), log, slots))
    assert abs(found.value - world.truth()) > 10 * found.stderr


def test_contexts_may_be_shared_or_each_rows_own(world) -> None:
    log = shared(world, 3, n=500)
    own = log._replace(behavior=log.behavior[log.row], target=log.target[log.row], predicted=None, row=None)
    first = balance(Params(), log._replace(predicted=None), EVERY)
    second = balance(Params(), own, EVERY, context=log.row)
    third = balance(Params(), own, EVERY[log.row])
    for other in (second, third):
        np.testing.assert_allclose(first.at(first.behavior), other.at(other.behavior), rtol=1e-6)
    assert first.is_partial and first.row is None
    assert np.isnan(first.behavior).sum() == 500 * 4


def test_no_weight_is_below_the_targets_probability_and_none_where_it_never_goes(world) -> None:
    log = shared(world, 4, n=300)
    target = np.where(np.arange(5) == 0, 0.0, world.target)
    found = balance(Params(ridge=50.0), log._replace(target=target), EVERY)
    propensity = found.at(found.behavior)
    assert propensity.min() > 0
    assert propensity.max() <= 1
    assert np.all(propensity[log.slot == 0] == 1)


@pytest.mark.parametrize(
    ("features", "context", "message"),
    [
        (EVERY[:, :4], None, r"features have shape \(8, 4, 40\)"),
        (EVERY, np.zeros(7, int), r"context \(7,\)"),
        (EVERY, np.full(8, 8), "need 0 <= context < 8"),
    ],
)
def test_features_that_do_not_fit_are_refused(world, features, context, message) -> None:
    with pytest.raises(ValueError, match=message):
        balance(Params(), shared(world, 5, n=100), features, context=context)
