"""Several loggers: one is no other case, all are unbiased, and mixtures tame the weights."""

from dataclasses import replace

import numpy as np
import pytest

from evaluators.estimation import estimate
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.loggers import Log, balanced, combined, strata, stratified
from evaluators.rows import RewardRange
from evaluators.scores import importance

BY = ("rows", "design", "sample")


def loggers(world) -> np.ndarray:
    """(3, 8, 5): the world's own, one near the target, one that mostly avoids it."""
    near = 0.3 * world.behavior + 0.7 * world.target
    away = 1 / (0.02 + world.target**3)
    return np.stack([world.behavior, near, away / away.sum(axis=1, keepdims=True)])


def draw(world, rng, sizes, behavior=None) -> Log:
    behavior = loggers(world)[: len(sizes)] if behavior is None else behavior
    logger = np.repeat(np.arange(len(sizes)), sizes)
    row = rng.integers(8, size=logger.size)
    below = behavior.cumsum(axis=2)[logger, row] < rng.random(logger.size)[:, None]
    slot = np.minimum(below.sum(axis=1), 4)
    reward = (rng.random(logger.size) < world.mean[row, slot]).astype(float)
    declared = RewardRange(0.0, 1.0)
    return Log(reward, slot, logger, behavior, world.target, row, world.model, reward_range=declared)


def exact_variance(world, weight, behavior) -> np.ndarray:
    """(loggers, 2) mean and variance of the terms w r under each logger; weight (loggers or 1, 8, 5)."""
    first = (behavior * weight * world.mean).sum(axis=2).mean(axis=1)
    second = (behavior * weight**2 * world.mean).sum(axis=2).mean(axis=1)
    return np.stack([first, second - first**2], axis=1)


@pytest.mark.parametrize("estimator", [ips.Params(), snips.Params(), doubly_robust.Params()])
def test_one_logger_is_the_plain_estimate(world, estimator) -> None:
    log = draw(world, np.random.default_rng(0), (400,))
    plain = estimate(estimator, strata(log)[0])
    np.testing.assert_allclose(estimate(estimator, stratified(log)), plain, rtol=1e-12)
    np.testing.assert_allclose(estimate(estimator, balanced(log)), plain, rtol=1e-12)
    for by in BY:
        np.testing.assert_allclose(combined(estimator, log, by=by), plain, rtol=1e-12)


@pytest.mark.parametrize("estimator", [ips.Params(), doubly_robust.Params()])
def test_every_way_is_unbiased(world, estimator) -> None:
    # |z| <= 4 eight times: false alarm 5e-4
    log = draw(world, np.random.default_rng(1), (40_000, 10_000, 30_000))
    ways = [estimate(estimator, way(log)) for way in (stratified, balanced)]
    ways += [combined(estimator, log, by=by) for by in BY[:2]]
    for found in ways:
        assert abs(found.value - world.truth()) <= 4 * found.stderr


def test_the_stratified_weights_are_each_loggers_own(world) -> None:
    log = draw(world, np.random.default_rng(2), (30, 20, 10))
    rows = stratified(log)
    assert rows.behavior.shape == (24, 5)
    wanted = log.behavior[log.logger, log.row, log.slot]
    np.testing.assert_allclose(rows.at(rows.behavior), wanted, rtol=1e-15)
    own = log._replace(
        behavior=log.behavior[:, log.row], target=log.target[log.row], predicted=world.model[log.row], row=None
    )
    np.testing.assert_allclose(estimate(ips.Params(), stratified(own)), estimate(ips.Params(), rows), rtol=1e-12)


def test_the_balanced_variance_is_below_the_stratified_one(world) -> None:
    sizes, behavior = np.array([300, 200, 500]), loggers(world)
    share = sizes / sizes.sum()
    mixture = np.tensordot(share, behavior, axes=1)
    own = exact_variance(world, importance(np.stack([world.target] * 3), behavior), behavior)
    mixed = exact_variance(world, importance(world.target, mixture)[None], behavior)
    np.testing.assert_allclose(own[:, 0], world.truth(), rtol=1e-12)
    assert share @ mixed[:, 0] == pytest.approx(world.truth(), rel=1e-12)  # each alone is off, their mean is not
    assert share @ mixed[:, 1] < 0.5 * share @ own[:, 1]
    log = draw(world, np.random.default_rng(3), sizes * 20)
    # sample variances of 20,000 rows with weights below 50: within 15 %
    found = estimate(ips.Params(), balanced(log)).stderr ** 2 * 20_000
    assert found == pytest.approx(share @ mixed[:, 1] + share @ (mixed[:, 0] - world.truth()) ** 2, rel=0.15)
    rows = combined(ips.Params(), log, by="rows").stderr ** 2 * 20_000
    assert rows == pytest.approx(share @ own[:, 1], rel=0.15)


def test_precisions_beat_rows_and_the_mean_is_that_of_the_loggers(world) -> None:
    sizes, behavior = np.array([20_000, 5_000, 40_000]), loggers(world)
    weight = importance(np.stack([world.target] * 3), behavior)
    variance = exact_variance(world, weight, behavior)[:, 1] / sizes
    moment = (behavior * weight**2).sum(axis=2).mean(axis=1)
    size = {"rows": sizes, "design": sizes / moment, "sample": 1 / variance}
    wanted = {by: np.sqrt((n / n.sum()) ** 2 @ variance) for by, n in size.items()}
    assert wanted["sample"] < wanted["design"] < wanted["rows"]
    log = draw(world, np.random.default_rng(4), sizes)
    found = {by: combined(ips.Params(), log, by=by) for by in BY}
    for by in BY:  # sample variances of 5,000 rows and more, weights below 20: within 10 %
        assert found[by].stderr == pytest.approx(wanted[by], rel=0.1)
    alone = [estimate(ips.Params(), rows) for rows in strata(log)]
    share = sizes / sizes.sum()
    assert found["rows"].value == pytest.approx(share @ [one.value for one in alone], rel=1e-12)
    whole = estimate(ips.Params(), stratified(log))
    assert found["rows"].value == pytest.approx(whole.value, rel=1e-12)
    assert found["rows"].ess == pytest.approx(whole.ess, rel=1e-12)
    assert found["rows"].max_weight == pytest.approx(whole.max_weight, rel=1e-12)


def test_the_combined_interval_covers(world) -> None:
    # 400 logs, coverage 0.95 +- 4 x 0.011
    rng, hits = np.random.default_rng(5), []
    for _ in range(400):
        found = combined(doubly_robust.Params(), draw(world, rng, (150, 100, 150)))
        hits.append(found.lo <= world.truth() <= found.hi)
    assert np.mean(hits) >= 0.95 - 4 * 0.011


def test_a_logger_that_cannot_follow_the_target_is_left_to_the_mixture(world) -> None:
    best = np.arange(5) == np.argmax(world.target, axis=1)[:, None]
    gap = np.where(best, 0.0, world.behavior)
    blind = np.stack([gap / gap.sum(axis=1, keepdims=True), world.behavior])
    log = draw(world, np.random.default_rng(6), (3000, 3000), blind)
    with pytest.raises(ValueError, match=r"logger 0 of those with rows cannot take actions .* balanced\(log\)"):
        combined(ips.Params(), log)
    by_rows, mixed = combined(ips.Params(), log, by="rows"), estimate(ips.Params(), balanced(log))
    assert world.truth() - by_rows.value > 10 * by_rows.stderr
    assert abs(mixed.value - world.truth()) <= 4 * mixed.stderr


def test_loggers_without_rows_do_not_count(world) -> None:
    log = draw(world, np.random.default_rng(7), (200, 0, 300))
    assert [len(rows.reward) for rows in strata(log)] == [200, 300]
    fewer = log._replace(logger=np.minimum(log.logger, 1), behavior=log.behavior[[0, 2]])
    for by in BY:
        np.testing.assert_allclose(combined(ips.Params(), log, by=by), combined(ips.Params(), fewer, by=by))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logger": np.full(60, 3)}, r"outside 0..2"),
        ({"logger": np.zeros(60)}, "integers"),
        ({"behavior": np.full((8, 5), 0.2)}, r"behavior has shape \(8, 5\)"),
    ],
)
def test_a_row_without_its_logger_is_refused(world, changes, message) -> None:
    log = draw(world, np.random.default_rng(8), (30, 20, 10))
    for way in (stratified, balanced, strata):
        with pytest.raises(ValueError, match=message):
            way(log._replace(**changes))


def test_an_unknown_way_to_combine_is_refused(world) -> None:
    log = draw(world, np.random.default_rng(9), (30, 20, 10))
    with pytest.raises(ValueError, match="by = 'size', need one of rows, design, sample"):
        combined(replace(ips.Params(), confidence=0.9), log, by="size")


def test_a_logger_of_a_single_row_counts_by_rows_but_has_no_precision(world) -> None:
    log = draw(world, np.random.default_rng(10), (1, 300))
    assert np.isinf(combined(ips.Params(), log, by="rows").stderr)
    found = combined(ips.Params(), log, by="sample")
    np.testing.assert_allclose(found[:4], estimate(ips.Params(), strata(log)[1])[:4], rtol=1e-12)


def test_loggers_whose_scores_do_not_vary_have_no_precision(world) -> None:
    log = draw(world, np.random.default_rng(11), (20, 30))._replace(reward=np.zeros(50), predicted=None)
    with pytest.raises(ValueError, match="use by='rows'"):
        combined(ips.Params(), log, by="sample")
