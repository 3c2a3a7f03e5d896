"""Empirical Bernstein: the published formula, scores within their promised range, and no luck needed."""

from typing import Any

import numpy as np
import pytest

from evaluators.estimation import estimate, finish, summarise_logs
from evaluators.estimators import doubly_robust, ips
from evaluators.intervals.bernstein import Params, columns, needs
from evaluators.rows import RewardRange, Rows


def many(rows: Rows, copies: int) -> Rows:
    index = np.tile(np.arange(rows.slot.size), copies)
    arrays: dict[str, Any] = {name: x[index] for name, x in rows._asdict().items() if isinstance(x, np.ndarray)}
    return rows._replace(**arrays)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_it_is_the_formula_of_maurer_and_pontil(rows, confidence) -> None:
    # theorem 4, of scores within [-1, 2] rescaled to [0, 1], each side at half of what confidence leaves
    log = many(rows, 20)
    found = estimate(doubly_robust.Params(confidence=confidence, interval=Params(cut=1.0)), log)
    lower, upper = (columns(Params(cut=1.0), log) + 1.5) / 3
    n, delta = 6000, (1 - confidence) / 2
    ends = []
    for score in (lower, 1 - upper):
        half = np.sqrt(2 * score.var(ddof=1) * np.log(2 / delta) / n) + 7 * np.log(2 / delta) / (3 * (n - 1))
        ends.append(score.mean() - half)
    assert found.lo == pytest.approx(3 * ends[0] - 1, rel=1e-9)
    assert found.hi == pytest.approx(3 * (1 - ends[1]) - 1, rel=1e-9)
    assert 0 < found.lo < found.value < found.hi < 1


@pytest.mark.parametrize("cut", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_scores_stay_within_k_ranges_of_the_declared_one(heavy_world, cut, seed) -> None:
    rows = heavy_world.draw(np.random.default_rng(seed), 500)[0]
    found = columns(Params(cut=cut), rows)
    assert np.abs(found).max() <= 0.5 + cut
    assert (rows.at(rows.target) / rows.at(rows.behavior)).max() > 20  # far outside, had it not been cut


def test_the_expectation_of_the_lower_scores_is_at_most_the_value_and_of_the_upper_ones_at_least(heavy_world) -> None:
    # exact: every context and slot with its probability
    c, k = heavy_world.behavior.shape
    place, slot = np.divmod(np.arange(c * k), k)
    tables = (heavy_world.behavior, heavy_world.target, heavy_world.model)
    chance = heavy_world.behavior[place, slot]
    mean = np.zeros((2, 2))
    for reward in (0.0, 1.0):
        rows = Rows(np.full(c * k, reward), slot, *tables, reward_range=RewardRange(0.0, 1.0), row=place)
        odds = chance * np.where(reward == 1, heavy_world.mean[place, slot], 1 - heavy_world.mean[place, slot])
        mean[int(reward)] = columns(Params(cut=3.0), rows) @ odds / c + 0.5 * odds.sum() / c
    low, high = mean.sum(axis=0)
    assert low <= heavy_world.truth() <= high
    assert high - low < 0.5  # what the cut of the scores costs


@pytest.mark.parametrize("cut", [0.0, 3.0])
def test_it_errs_less_often_than_promised_on_the_base_problem(pool, draw_logs, cut) -> None:
    # guaranteed: at most 25 % beyond each end at 50 % confidence; measured far below
    params = doubly_robust.Params(confidence=0.5, interval=Params(cut=cut))
    found = finish(params, summarise_logs({"one": params}, draw_logs(6, n_logs=500, n=500), n_logs=500)["one"])
    for error in (found.lo > pool.truth, found.hi < pool.truth):
        assert error.mean() <= 0.25
    assert np.mean(found.hi - found.lo) < 0.9  # it does say something


def test_it_stays_within_the_declared_range(rows) -> None:
    found = estimate(doubly_robust.Params(confidence=0.999, interval=Params(cut=20.0)), rows)
    assert (found.lo, found.hi) == (0.0, 1.0)
    single = estimate(doubly_robust.Params(interval=Params()), rows.part(0, 1))
    assert (single.lo, single.hi) == (0.0, 1.0)


def test_without_a_reward_model_a_cut_of_zero_is_left(rows) -> None:
    bare = many(rows, 20)._replace(predicted=None)
    assert needs(Params()) == {"columns"}
    found = estimate(ips.Params(interval=Params(cut=0.0)), bare)
    assert 0 < found.lo < found.hi < 1
    with pytest.raises(ValueError, match="need a reward model to cut"):
        estimate(ips.Params(interval=Params()), bare)


def test_clusters_are_refused(rows) -> None:
    with pytest.raises(ValueError, match="needs independent rows, got clusters"):
        estimate(doubly_robust.Params(interval=Params()), rows._replace(cluster=np.arange(300)))
