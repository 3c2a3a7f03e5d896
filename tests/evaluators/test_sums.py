"""Partial sums of every kind merge, and refuse to where they were made in different ways."""

from functools import reduce

import numpy as np
import pytest

from evaluators.estimation import Estimator, finish_as, summarise, summarise_logs
from evaluators.estimators import direct, doubly_robust, ips, snips
from evaluators.intervals import assisted, half_model, hall, hc3, model, t
from evaluators.rows import RewardRange, Rows
from evaluators.sums import merge, weights_of

ESTIMATORS: dict[str, Estimator] = {
    "ips": ips.Params(interval=assisted.Params()),
    "snips": snips.Params(),
    "direct": direct.Params(),
    "dr": doubly_robust.Params(),
}
PAIRS = [("ips", t), ("ips", hall), ("ips", assisted), ("snips", hc3), ("snips", t), ("direct", t)]
PAIRS += [("dr", each) for each in (t, hall, half_model, model, assisted)]
every_pair = pytest.mark.parametrize(
    ("name", "interval"), PAIRS, ids=[f"{n}-{m.__name__.rsplit('.', 1)[-1]}" for n, m in PAIRS]
)


def take(rows: Rows, index) -> Rows:
    arrays = {name: value[index] for name, value in rows._asdict().items() if isinstance(value, np.ndarray)}
    return rows._replace(**arrays)


def found(rows: Rows, name: str, interval):
    return finish_as(interval.Params(), summarise(ESTIMATORS, rows)[name], confidence=0.95)


@pytest.fixture
def clustered(world):
    rng = np.random.default_rng(7)
    rows, _ = world.draw(rng, 500)
    return rows._replace(cluster=rng.integers(60, size=500))


@every_pair
@pytest.mark.parametrize("has_clusters", [False, True])
@pytest.mark.parametrize("n_shards", [2, 7, 500])
def test_merged_shards_equal_one_pass(clustered, name, interval, has_clusters, n_shards) -> None:
    rows = clustered if has_clusters else clustered._replace(cluster=None)
    deal = np.random.default_rng(n_shards).permutation(500) % n_shards
    shards = [summarise(ESTIMATORS, take(rows, deal == shard))[name] for shard in range(n_shards)]
    merged = finish_as(interval.Params(), reduce(merge, shards), confidence=0.95)
    np.testing.assert_allclose(merged, found(rows, name, interval), rtol=1e-10)


@every_pair
def test_the_order_of_the_rows_does_not_matter(clustered, name, interval) -> None:
    shuffled = take(clustered, np.random.default_rng(1).permutation(500))
    np.testing.assert_allclose(found(shuffled, name, interval), found(clustered, name, interval), rtol=1e-12)


@every_pair
def test_the_names_of_the_slots_do_not_matter(clustered, name, interval) -> None:
    order = np.random.default_rng(2).permutation(5)
    renamed = clustered._replace(
        slot=np.argsort(order)[clustered.slot],
        behavior=clustered.behavior[:, order],
        target=clustered.target[:, order],
        predicted=clustered.predicted[:, order],
    )
    np.testing.assert_allclose(found(renamed, name, interval), found(clustered, name, interval), rtol=1e-12)


@every_pair
def test_many_logs_at_once_are_each_log_by_itself(clustered, name, interval) -> None:
    rows = clustered._replace(cluster=None)
    together = finish_as(interval.Params(), summarise_logs(ESTIMATORS, rows, n_logs=5)[name], confidence=0.9)
    for log in range(5):
        alone = summarise(ESTIMATORS, rows.part(100 * log, 100 * log + 100))[name]
        one = finish_as(interval.Params(), alone, confidence=0.9)
        np.testing.assert_allclose([np.asarray(figure)[log] for figure in together[:6]], np.array(one[:6]), rtol=1e-10)


@pytest.mark.parametrize(("name", "interval"), [pair for pair in PAIRS if pair[0] != "ips"])
def test_a_large_common_offset_costs_no_digits(clustered, name, interval) -> None:
    # IPS is absent: its variance truly grows with the offset
    offset = 2.0**20
    moved = clustered._replace(
        reward=clustered.reward + offset,
        predicted=clustered.predicted + offset,
        reward_range=RewardRange(offset, offset + 1.0),
    )
    before, after = found(clustered, name, interval), found(moved, name, interval)
    # the predictions themselves lose 20 of their 52 bits to the offset
    np.testing.assert_allclose(after.stderr, before.stderr, rtol=1e-7)
    np.testing.assert_allclose(after.value, before.value + offset, rtol=1e-12)


def test_weights_are_what_their_names_say(world) -> None:
    rows, _ = world.draw(np.random.default_rng(3), 200)
    weight = rows.at(rows.target) / rows.at(rows.behavior)
    sums = weights_of(rows)
    np.testing.assert_allclose(np.array(sums[1:4], float), (weight.sum(), (weight**2).sum(), weight.max()), rtol=1e-12)
    np.testing.assert_allclose(sums.design, (rows.target**2 / rows.behavior).sum(), rtol=1e-12)
    np.testing.assert_allclose(sums.mass, 200.0, rtol=1e-12)
    np.testing.assert_allclose(sums.ess(), weight.sum() ** 2 / (weight**2).sum(), rtol=1e-12)


def test_kept_scores_are_joined_in_order(clustered) -> None:
    whole = summarise(ESTIMATORS, clustered, keep=True)["dr"]
    halves = [summarise(ESTIMATORS, clustered.part(*ends), keep=True)["dr"] for ends in ((0, 100), (100, 500))]
    joined = merge(*halves).kept
    assert joined is not None and whole.kept is not None
    np.testing.assert_allclose(joined.score(), whole.kept.score(), rtol=1e-12)
    assert whole.kept.score().shape == (500,)


@pytest.mark.parametrize(
    ("changes", "keep", "message"),
    [
        ({"reward_range": None}, None, "reward ranges"),
        ({"cluster": None}, None, "one shard has clusters"),
        ({}, True, "one shard keeps its scores"),
    ],
)
def test_shards_summed_in_different_ways_do_not_merge(clustered, changes, keep, message) -> None:
    one = {"ips": ips.Params()}
    other = summarise(one, clustered._replace(**changes), keep=keep)["ips"]
    with pytest.raises(ValueError, match=message):
        merge(summarise(one, clustered)["ips"], other)


def test_sums_of_different_estimators_do_not_merge(clustered) -> None:
    both = summarise(ESTIMATORS, clustered)
    with pytest.raises(ValueError, match="self-normalised"):
        merge(both["ips"], both["snips"])


def test_clusters_of_many_logs_at_once_are_refused(clustered) -> None:
    with pytest.raises(ValueError, match="clusters of 5 logs at once"):
        summarise_logs(ESTIMATORS, clustered, n_logs=5)
