"""Every yaml of configs/interval: one suite of promises about what changes an interval and what does not.

Each meets the estimator it is made for: hc3 a self-normalised one, the others a doubly robust mean
of scores. Rewards lie in a declared range of [1, 3], so that units and origin show.
"""

from functools import cache, reduce
from typing import Any, cast

import numpy as np
import pytest

from envs import presets
from evaluators.estimation import Estimator, estimate, finish, finish_as, summarise, summarise_logs
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.rows import Estimate, RewardRange, Rows
from evaluators.sums import Sums, merge
from experiments.compose import compose, open_book
from experiments.evaluating.contrast import Difference
from experiments.settings import build

N, SLOTS = 240, 6
NAMES = presets.names("interval")
BOOTSTRAPS = {"bootstrap_bca", "bootstrap_t"}
VALUES = {"bernstein", "cut_t", "hc3"}  # refuse differences: made for a value, or for a ratio
INDEPENDENT = {"bernstein"}  # refuses clusters
FIGURES = ("value", "stderr", "lo", "hi")

every_interval = pytest.mark.parametrize("name", NAMES)


@cache
def intervals() -> dict[str, Any]:
    """Every choice of the group, as the command line builds it."""
    with open_book() as book:
        cfg = compose(book, (f"interval=[{','.join(NAMES)}]",))
    return {name: build(cfg.interval[name], f"interval.{name}") for name in NAMES}


def judge(name: str, confidence: float = 0.95) -> Estimator:
    kind = snips.Params if name == "hc3" else doubly_robust.Params
    return cast(Estimator, kind(confidence=confidence, interval=intervals()[name]))


@cache
def log() -> Rows:
    """240 rows of mild weights, all in memory, with rewards between 1 and 3."""
    rng = np.random.default_rng(0)
    behavior, target = (rng.dirichlet(np.full(SLOTS, shape), size=N) * 0.9 + 0.1 / SLOTS for shape in (4.0, 1.0))
    slot = (behavior.cumsum(axis=1) < rng.random((N, 1))).sum(axis=1).clip(0, SLOTS - 1)
    mean = rng.uniform(1.2, 2.8, size=(N, SLOTS))
    return Rows(
        reward=np.clip(mean[np.arange(N), slot] + rng.normal(scale=0.3, size=N), 1.0, 3.0),
        slot=slot,
        behavior=behavior,
        target=target,
        predicted=np.clip(mean + rng.normal(scale=0.2, size=mean.shape), 1.0, 3.0),
        reward_range=RewardRange(1.0, 3.0),
    )


def affine(rows: Rows, scale: float, shift: float) -> Rows:
    """The same log in another unit of the reward; a negative scale turns it upside down."""
    assert rows.predicted is not None
    ends = sorted(scale * end + shift for end in rows.reward_range or ())
    predicted = scale * rows.predicted + shift
    return rows._replace(reward=scale * rows.reward + shift, predicted=predicted, reward_range=RewardRange(*ends))


def take(rows: Rows, index: Any) -> Rows:
    arrays: dict[str, Any] = {name: x[index] for name, x in rows._asdict().items() if isinstance(x, np.ndarray)}
    return rows._replace(**arrays)


def sums_of(name: str, rows: Rows) -> Sums:
    return summarise({name: judge(name)}, rows)[name]


def figures(found: Estimate) -> list[float]:
    return [getattr(found, name) for name in FIGURES]


@every_interval
def test_the_value_lies_between_its_ends(name) -> None:
    found = estimate(judge(name), log())
    assert found.lo < found.value < found.hi
    assert 0 < found.stderr < 1


@every_interval
def test_more_confidence_is_never_narrower_and_leaves_the_value_alone(name) -> None:
    sums = sums_of(name, log())
    found = [finish_as(intervals()[name], sums, confidence=level) for level in (0.5, 0.8, 0.9, 0.95, 0.98)]
    assert all(np.diff([each.lo for each in found]) <= 0)
    assert all(np.diff([each.hi for each in found]) >= 0)
    assert found[0].hi - found[0].lo < found[-1].hi - found[-1].lo
    assert len({each.value for each in found}) == 1


@every_interval
def test_shards_merge_to_one_pass(name) -> None:
    shards = [sums_of(name, log().part(*ends)) for ends in ((0, 50), (50, 51), (51, N))]
    merged = finish(judge(name), reduce(merge, shards))
    np.testing.assert_allclose(merged, estimate(judge(name), log()), rtol=1e-8)


@every_interval
def test_many_logs_at_once_are_each_log_by_itself(name) -> None:
    together = finish(judge(name), summarise_logs({name: judge(name)}, log(), n_logs=4)[name])
    for i in range(4):
        alone = estimate(judge(name), log().part(60 * i, 60 * i + 60))
        np.testing.assert_allclose(np.array(figures(together))[:, i], figures(alone), rtol=1e-8)


@every_interval
@pytest.mark.parametrize(("scale", "shift"), [(1.0, -2.0), (3.0, 0.0), (0.01, 5.0)])
def test_ends_follow_the_unit_of_the_reward(name, scale, shift) -> None:
    before, after = (estimate(judge(name), rows) for rows in (log(), affine(log(), scale, shift)))
    wanted = [scale * end + shift for end in (before.value, before.lo, before.hi)]
    np.testing.assert_allclose((after.value, after.lo, after.hi), wanted, rtol=1e-7)
    assert after.stderr == pytest.approx(scale * before.stderr, rel=1e-7)


@every_interval
def test_losses_turn_the_interval_upside_down(name) -> None:
    before, after = (estimate(judge(name), rows) for rows in (log(), affine(log(), -1.0, 4.0)))
    np.testing.assert_allclose((after.value, after.lo, after.hi), (4 - before.value, 4 - before.hi, 4 - before.lo))


@every_interval
def test_the_order_of_the_rows_matters_to_resamples_alone(name) -> None:
    shuffled = estimate(judge(name), take(log(), np.random.default_rng(1).permutation(N)))
    same = np.allclose(figures(shuffled), figures(estimate(judge(name), log())), rtol=1e-8)
    assert same == (name not in BOOTSTRAPS)


@every_interval
def test_four_times_the_rows_are_narrower(name) -> None:
    fourfold = take(log(), np.tile(np.arange(N), 4))
    before, after = (estimate(judge(name), rows) for rows in (log(), fourfold))
    assert after.hi - after.lo < 0.75 * (before.hi - before.lo)


@pytest.mark.parametrize("name", sorted(set(NAMES) - INDEPENDENT))
def test_copies_within_clusters_do_not_narrow(name) -> None:
    index = np.repeat(np.arange(N), 4)
    copied = take(log(), index)
    plain, fooled, careful = (estimate(judge(name), rows) for rows in (log(), copied, copied._replace(cluster=index)))
    assert fooled.stderr < 0.65 * plain.stderr
    assert careful.hi - careful.lo > 0.75 * (plain.hi - plain.lo)


@every_interval
def test_one_row_tells_nothing_beyond_the_declared_range(name) -> None:
    found = estimate(judge(name), log().part(0, 1))
    assert found.lo <= 1.0
    assert found.hi >= 3.0


@every_interval
@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_outside_its_range_is_refused(name, confidence) -> None:
    with pytest.raises(ValueError, match=f"confidence = {confidence:.6g}"):
        estimate(judge(name, confidence), log())


@every_interval
@pytest.mark.parametrize("is_modelled", [True, False])
def test_the_logger_differs_from_itself_by_nothing_or_is_refused(name, is_modelled) -> None:
    base = doubly_robust.Params() if is_modelled else ips.Params()
    params, same = Difference(base, 0.95, intervals()[name]), log()._replace(target=log().behavior)
    if name in VALUES:
        with pytest.raises(ValueError, match="no cut scores|ratio|self-normalised"):
            estimate(cast(Estimator, params), same)
    else:
        assert estimate(cast(Estimator, params), same).value == pytest.approx(0.0, abs=1e-12)
