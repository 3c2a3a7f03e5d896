"""Oracles 11 and 12: order, action names and partition do not matter, for value and interval."""

from functools import reduce

import numpy as np
import pytest

from evaluators.estimators import direct, doubly_robust, ips, snips
from evaluators.rows import RewardRange, Rows
from evaluators.sums import Sums, merge, sums

FINISH = {
    "ips": lambda s: ips.finish(ips.Params(), s),
    "snips hc3": lambda s: snips.finish(snips.Params(), s),
    "snips linearised": lambda s: snips.finish(snips.Params(variance="linearised"), s),
    "direct": lambda s: direct.finish(direct.Params(), s),
    "dr half": lambda s: doubly_robust.finish(doubly_robust.Params(), s),
    "dr t": lambda s: doubly_robust.finish(doubly_robust.Params(interval="t"), s),
}
every_estimator = pytest.mark.parametrize("name", FINISH)


def take(rows: Rows, index) -> Rows:
    arrays = {name: value[index] for name, value in rows._asdict().items() if isinstance(value, np.ndarray)}
    return rows._replace(**arrays)


@pytest.fixture
def clustered(world):
    rng = np.random.default_rng(7)
    rows, _ = world.draw(rng, 500)
    return rows._replace(cluster=rng.integers(60, size=500))


@every_estimator
@pytest.mark.parametrize("has_clusters", [False, True])
@pytest.mark.parametrize("n_shards", [2, 7, 500])
def test_merged_shards_equal_one_pass(clustered, name, has_clusters, n_shards) -> None:
    rows = clustered if has_clusters else clustered._replace(cluster=None)
    deal = np.random.default_rng(n_shards).permutation(500) % n_shards
    shards = [sums(take(rows, deal == shard)) for shard in range(n_shards)]
    merged = FINISH[name](reduce(merge, shards))
    np.testing.assert_allclose(merged, FINISH[name](sums(rows)), rtol=1e-12)


@every_estimator
def test_the_order_of_the_rows_does_not_matter(clustered, name) -> None:
    shuffled = take(clustered, np.random.default_rng(1).permutation(500))
    before, after = FINISH[name](sums(clustered)), FINISH[name](sums(shuffled))
    np.testing.assert_allclose(after, before, rtol=1e-12)


@every_estimator
def test_the_names_of_the_slots_do_not_matter(clustered, name) -> None:
    order = np.random.default_rng(2).permutation(5)
    renamed = clustered._replace(
        slot=np.argsort(order)[clustered.slot],
        behavior=clustered.behavior[:, order],
        target=clustered.target[:, order],
        predicted=clustered.predicted[:, order],
    )
    before, after = FINISH[name](sums(clustered)), FINISH[name](sums(renamed))
    np.testing.assert_allclose(after, before, rtol=1e-12)


@pytest.mark.parametrize("name", ["snips hc3", "direct", "dr half", "dr t"])
def test_a_large_common_offset_costs_no_digits(clustered, name) -> None:
    # IPS is absent: its variance truly grows with the offset
    offset = 2.0**20
    moved = clustered._replace(
        reward=clustered.reward + offset,
        predicted=clustered.predicted + offset,
        reward_range=RewardRange(offset, offset + 1.0),
    )
    before, after = FINISH[name](sums(clustered)), FINISH[name](sums(moved))
    # the predictions themselves lose 20 of their 52 bits to the offset
    np.testing.assert_allclose(after.stderr, before.stderr, rtol=1e-8)
    np.testing.assert_allclose(after.value, before.value + offset, rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward_range": None}, "reward ranges"),
        ({"predicted": None}, "one shard has a reward model"),
        ({"cluster": None}, "one shard has clusters"),
    ],
)
def test_shards_summed_in_different_ways_do_not_merge(clustered, changes, message) -> None:
    other: Sums = sums(clustered._replace(**changes))
    with pytest.raises(ValueError, match=message):
        merge(sums(clustered), other)


def test_bad_rows_are_refused_at_the_door(clustered) -> None:
    with pytest.raises(ValueError, match=r"reward\[0\] = nan"):
        sums(clustered._replace(reward=np.full(500, np.nan)))
