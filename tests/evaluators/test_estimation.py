"""One pass in blocks: the answer does not depend on them, and bad rows are named by their place."""

import numpy as np
import pytest

from evaluators import estimation
from evaluators.estimation import Estimator, estimate, finish_as, needs_of, summarise, summarise_logs
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.intervals import assisted, t

BOTH: dict[str, Estimator] = {"ips": ips.Params(), "snips": snips.Params(), "dr": doubly_robust.Params()}


@pytest.fixture
def rows(world):
    return world.draw(np.random.default_rng(0), 700)[0]


def test_the_blocks_do_not_show(rows, monkeypatch) -> None:
    whole = [estimate(params, rows) for params in BOTH.values()]
    monkeypatch.setattr(estimation, "STRIDE", 130)
    monkeypatch.setattr(estimation, "BLOCK_ENTRIES", 5 * 17)
    again = [estimate(params, rows) for params in BOTH.values()]
    np.testing.assert_allclose(np.array(again), np.array(whole), rtol=1e-10)


def test_a_log_as_tables_of_its_contexts_is_the_same_log(world) -> None:
    rows, context = world.draw(np.random.default_rng(1), 300)
    tables = rows._replace(behavior=world.behavior, target=world.target, predicted=world.model, row=context)
    for params in BOTH.values():
        np.testing.assert_allclose(np.array(estimate(params, tables)), np.array(estimate(params, rows)), rtol=1e-12)


def test_a_bad_row_is_named_by_its_place_in_the_log(rows, monkeypatch) -> None:
    monkeypatch.setattr(estimation, "STRIDE", 100)
    broken = rows.reward.copy()
    broken[456] = np.nan
    with pytest.raises(ValueError, match=r"reward\[456\] = nan"):
        summarise(BOTH, rows._replace(reward=broken))


def test_the_ends_at_90_percent_are_inside_those_at_95(rows) -> None:
    sums = summarise(BOTH, rows)["dr"]
    wide, narrow = (finish_as(assisted.Params(), sums, confidence=level) for level in (0.95, 0.9))
    assert wide.lo < narrow.lo < narrow.hi < wide.hi
    assert wide.value == narrow.value


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_a_confidence_outside_its_range_is_refused(rows, confidence) -> None:
    with pytest.raises(ValueError, match=f"confidence = {confidence:.6g}"):
        finish_as(t.Params(), summarise(BOTH, rows)["ips"], confidence=confidence)


def test_logs_must_divide_the_rows(rows) -> None:
    with pytest.raises(ValueError, match="700 rows, need a multiple of n_logs = 3"):
        summarise_logs(BOTH, rows, n_logs=3)


def test_a_plain_interval_asks_for_nothing_and_the_default_for_the_design() -> None:
    assert needs_of(t.Params()) == frozenset()
    assert needs_of(assisted.Params()) == {"design"}


def test_an_interval_refuses_sums_that_lack_what_it_needs(rows) -> None:
    with pytest.raises(ValueError, match="the logger's whole distribution"):
        finish_as(assisted.Params(), summarise({"ips": ips.Params()}, rows)["ips"], confidence=0.95)
    with pytest.raises(ValueError, match="declared reward range, got none"):
        estimate(doubly_robust.Params(), rows._replace(reward_range=None))
