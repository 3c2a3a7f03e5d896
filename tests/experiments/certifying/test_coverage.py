"""The certification of intervals counts what it says, and its claims can fail."""

import numpy as np
import pytest

from evaluators.estimation import finish_as, summarise, summarise_logs
from evaluators.intervals import t
from experiments.certifying import coverage
from experiments.certifying.coverage import (
    ESTIMATORS,
    PAIRS,
    Kept,
    Sizes,
    bounds_kept,
    check_coverage,
    coverage_claims,
    drawn_in_turn,
    measure_coverage,
    shares,
)
from experiments.certifying.pool import open_pool
from experiments.measurement import checked


@pytest.fixture(scope="module")
def pool():
    return open_pool(n_contexts=300)


def test_logs_come_in_turn_and_are_each_summed_by_itself(pool, monkeypatch) -> None:
    monkeypatch.setattr(coverage, "ROWS_AT_ONCE", 400)
    sizes = [(now, rows.reward.size) for now, rows in drawn_in_turn(pool, 100, 10, seed=1)]
    assert sizes == [(4, 400), (4, 400), (2, 200)]
    now, rows = next(drawn_in_turn(pool, 100, 10, seed=1))
    together = finish_as(t.Params(), summarise_logs(ESTIMATORS, rows, n_logs=now)["doubly_robust"], confidence=0.95)
    alone = finish_as(t.Params(), summarise(ESTIMATORS, rows.part(100, 200))["doubly_robust"], confidence=0.95)
    ends = np.array([together.lo, together.hi])[:, 1]
    np.testing.assert_allclose(ends, np.array([alone.lo, alone.hi]), rtol=1e-10)


def test_what_an_interval_does_is_counted_by_hand(pool) -> None:
    _, rows = next(drawn_in_turn(pool, 100, 50, seed=2))
    sums = summarise_logs(ESTIMATORS, rows, n_logs=50)["doubly_robust"]
    wide, sided = (finish_as(t.Params(), sums, confidence=level) for level in (0.95, 0.90))
    found = bounds_kept(t.Params(), sums, pool.truth)
    wide_lo, wide_hi, lo, hi = (np.asarray(end) for end in (wide.lo, wide.hi, sided.lo, sided.hi))
    for log in range(50):
        assert found.covers[log] == (wide_lo[log] <= pool.truth <= wide_hi[log])
        assert found.low_errs[log] == (lo[log] > pool.truth)
        assert found.high_errs[log] == (hi[log] < pool.truth)
    assert not np.any(found.low_errs & found.high_errs)


def test_every_pair_is_counted_once() -> None:
    kept = shares(1, 50, 20, seed=0)
    assert [(one.estimator, one.interval) for one in kept] == [(one, name) for one, name, _ in PAIRS]
    assert {(one.problem, one.n, one.n_logs) for one in kept} == {(1, 50, 20)}


def good(**changes) -> list[Kept]:
    """Seven problems on which everything holds, and one figure of one of them changed."""
    rows = []
    for problem in range(7):
        for n in (2000,):
            rows.append(Kept(problem, "doubly_robust", "t", n, 4000, 0.93, 0.09, 0.02, 0.1))
            rows.append(Kept(problem, "doubly_robust", "assisted", n, 4000, 0.95, 0.05, 0.045, 0.1005))
            rows.append(Kept(problem, "snips", "hc3", n, 4000, 0.945, 0.05, 0.05, 0.11))
    return [one._replace(**changes.get(f"{one.estimator}_{one.interval}", {})) for one in rows]


def test_claims_hold_where_everything_does() -> None:
    assert [claim.holds for claim in coverage_claims(good())] == [True] * 7


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({"doubly_robust_assisted": {"coverage": 0.93}}, [0]),
        ({"doubly_robust_assisted": {"upper_error": 0.0601}}, [1]),
        ({"doubly_robust_assisted": {"lower_error": 0.07}}, [1, 2]),
        ({"doubly_robust_assisted": {"width": 0.104}}, [3]),
        ({"doubly_robust_t": {"lower_error": 0.06}}, [4]),
        ({"snips_hc3": {"coverage": 0.97}}, [5]),
        ({"snips_hc3": {"width": 0.173}}, [6]),
    ],
)
def test_every_claim_can_fail(changes, fails) -> None:
    assert [i for i, claim in enumerate(coverage_claims(good(**changes))) if not claim.holds] == fails


def test_too_few_logs_are_reported_not_judged(monkeypatch) -> None:
    monkeypatch.setattr(coverage, "HELD_OUT", (1,))
    monkeypatch.setattr(coverage, "BANDS", {200: (0.945, 0.98)})
    kept, claims = check_coverage(Sizes(4, 4), seed=0)
    assert {claim.holds for claim in claims} == {None}
    rows = [checked(row) for row in measure_coverage(kept)]
    assert len(rows) == 4 * len(kept)
    assert {row.world for row in rows} == {"base", "held_out_1"}
