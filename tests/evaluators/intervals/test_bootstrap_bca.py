"""BCa against SciPy's, for a mean and for a ratio that is resampled whole."""

import numpy as np
import pytest
from scipy import stats

from evaluators.bootstrapping import resampled
from evaluators.estimation import estimate, finish_as, summarise
from evaluators.estimators import doubly_robust, ips, self_normalised_dr, snips
from evaluators.intervals import bootstrap_t
from evaluators.intervals.bootstrap_bca import Params, acceleration, needs
from evaluators.rows import Rows
from evaluators.units import Units, units_of

MANY = Params(n_resamples=9999)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_a_mean_has_scipys_interval_but_for_monte_carlo_error(heavy_world, terms, seed, confidence) -> None:
    rows = heavy_world.draw(np.random.default_rng(seed), 200)[0]
    *_, score = terms(rows)
    sums = summarise({"one": doubly_robust.Params(interval=MANY)}, rows)["one"]
    found = finish_as(MANY, sums, confidence=confidence)
    theirs = scipys((score,), np.mean, confidence=confidence)
    assert_close(found, theirs, score.std() / np.sqrt(200), confidence)


@pytest.mark.parametrize("seed", range(3))
def test_a_ratio_has_scipys_interval_of_pairs(world, terms, seed) -> None:
    rows = world.draw(np.random.default_rng(seed), 200)[0]
    weight, *_ = terms(rows)

    def statistic(w, r, axis=-1):
        return (w * r).sum(axis=axis) / w.sum(axis=axis)

    found = estimate(snips.Params(interval=MANY), rows)
    theirs = scipys((weight, rows.reward), statistic, confidence=0.95, paired=True)
    assert_close(found, theirs, found.stderr, 0.95)


def scipys(data, statistic, *, confidence, paired=False):
    level = {"confidence_level": confidence, "method": "bca"}
    found = stats.bootstrap(data, statistic, n_resamples=9999, rng=np.random.default_rng(0), paired=paired, **level)
    return found.confidence_interval


def assert_close(found, theirs, stderr, confidence) -> None:
    """Two runs of 9,999: |z| <= 4 for the difference of two quantiles of a roughly normal distribution.

    The bias correction is estimated too and counts twice over; together below three times the error of a quantile.
    """
    tail = (1 - confidence) / 2
    density = stats.norm.pdf(stats.norm.ppf(tail))
    error = 3 * np.sqrt(2 * tail * (1 - tail) / 9999) / density * stderr
    assert abs(found.lo - theirs.low) <= 4 * error
    assert abs(found.hi - theirs.high) <= 4 * error


def test_the_ends_are_efrons_order_statistics_of_its_own_resamples() -> None:
    # 30 rewards of a long tail: biased resamples, and a skew
    reward, one = np.random.default_rng(0).exponential(size=30) ** 2, np.ones((30, 1))
    rows = Rows(reward, np.zeros(30, dtype=np.int64), one, one)
    sums = summarise({"one": ips.Params(interval=Params())}, rows)["one"]
    units, found = units_of(sums), finish_as(Params(), sums, confidence=0.9)
    shift = np.sort(resampled(units, n_resamples=999, seed=0).shift)
    bias, bend = stats.norm.ppf((shift < 0).mean()), acceleration(units)
    assert min(abs(bias), abs(bend)) > 0.02  # both move the ends
    for prob, end, rounded in ((0.05, found.lo, np.floor), (0.95, found.hi, np.ceil)):
        moved = bias + stats.norm.ppf(prob)
        rank = int(rounded(1000 * stats.norm.cdf(bias + moved / (1 - bend * moved))))
        assert end == pytest.approx(found.value + shift[rank - 1], rel=1e-12)


def test_the_acceleration_is_the_jackknifes() -> None:
    rng = np.random.default_rng(0)
    weight, value = rng.exponential(size=40), rng.normal(size=40)
    units = Units(((weight * value, weight),))
    left_out = np.array([np.average(np.delete(value, i), weights=np.delete(weight, i)) for i in range(40)])
    away = left_out.mean() - left_out
    assert acceleration(units) == pytest.approx((away**3).sum() / (6 * (away**2).sum() ** 1.5), rel=1e-10)


def test_the_acceleration_of_a_mean_is_a_sixth_of_its_skew() -> None:
    values = np.random.default_rng(1).exponential(size=60)
    wanted = stats.skew(values) / (6 * np.sqrt(60))
    assert acceleration(Units(((values, np.ones(60)),))) == pytest.approx(wanted, rel=1e-10)


def test_it_reaches_further_on_the_long_side() -> None:
    # no bias, some skew: right-skewed scores reach further up than the plain percentiles would
    rng = np.random.default_rng(2)
    scores = rng.exponential(size=200)
    for sign in (1.0, -1.0):
        centred = sign * (scores - scores.mean())
        assert np.sign(acceleration(Units(((centred, np.ones(200)),)))) == sign


def test_another_seed_moves_the_ends_a_little_and_the_same_one_not_at_all(rows) -> None:
    sums = summarise({"one": snips.Params(interval=Params())}, rows)["one"]
    ends = [finish_as(Params(seed=seed), sums, confidence=0.95) for seed in (0, 0, 1)]
    assert ends[0] == ends[1]
    assert ends[0].lo != ends[2].lo
    assert ends[0].lo == pytest.approx(ends[2].lo, abs=0.5 * ends[0].stderr)


@pytest.mark.parametrize("kind", [snips, self_normalised_dr, doubly_robust])
@pytest.mark.parametrize("interval", [Params(), bootstrap_t.Params()])
def test_every_kind_of_estimator_is_served(rows, kind, interval) -> None:
    found = estimate(kind.Params(interval=interval), rows)
    assert found.lo < found.value < found.hi
    assert found.hi - found.lo == pytest.approx(2 * 1.96 * found.stderr, rel=0.3)


def test_it_asks_for_the_scores_and_cannot_be_had_without() -> None:
    assert needs(Params()) == {"scores"}


def test_constant_scores_leave_a_point() -> None:
    units = Units(((np.full(9, 2.0), np.ones(9)),))
    assert acceleration(units) == 0.0


def test_a_confidence_beyond_the_resamples_is_refused(rows) -> None:
    sums = summarise({"one": snips.Params(interval=Params())}, rows)["one"]
    with pytest.raises(ValueError, match=r"n_resamples = 999 for confidence 0.9999, need at least 19,999"):
        finish_as(Params(), sums, confidence=0.9999)


def test_clusters_are_resampled_whole(rows) -> None:
    # 300 rows in 30 clusters of equal rewards: as wide as 30 rows would be
    cluster = np.arange(300) // 10
    alike = rows._replace(target=rows.behavior, reward=rows.reward[10 * cluster], cluster=cluster)
    means = units_of(summarise({"one": snips.Params(interval=Params())}, alike)["one"])
    assert means.size == 30
    wide = estimate(snips.Params(interval=Params()), alike)
    narrow = estimate(snips.Params(interval=Params()), alike._replace(cluster=None))
    assert wide.hi - wide.lo > 2 * (narrow.hi - narrow.lo)
