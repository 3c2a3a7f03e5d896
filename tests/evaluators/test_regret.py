"""Convergence by hand: best 1, worst 0, reward span 1, so the tolerance is 0.05."""

import numpy as np
import pytest

from evaluators.regret import converged_by


def steps(*pairs, length=10):
    """A run that takes value v from evaluation t on, for each (t, v)."""
    run = np.empty(length)
    for start, value in pairs:
        run[start - 1 :] = value
    return run


def shares(runs, by, *, best=1.0, worst=0.0, reward_span=1.0):
    return converged_by(np.array(runs), best, worst=worst, reward_span=reward_span, by=by)


def test_a_seed_converges_at_the_evaluation_after_which_it_stays_inside() -> None:
    found = shares([steps((1, 0.5), (4, 0.96))], (3, 4, 5))
    assert [share.hits for share in found.reached] == [0, 1, 1]
    assert [share.by for share in found.reached] == [3, 4, 5]


def test_leaving_once_before_the_end_is_not_converged() -> None:
    left = steps((1, 0.5), (4, 1.0), (9, 0.9), (10, 1.0))
    assert [share.hits for share in shares([left], (4, 9, 10)).reached] == [0, 0, 1]


def test_the_evaluations_after_the_last_report_count() -> None:
    late = steps((1, 0.5), (4, 1.0), (10, 0.5))
    assert shares([late], (4, 8)).reached[1].hits == 0


@pytest.mark.parametrize(
    ("value", "best", "worst", "span", "is_inside"),
    [
        (0.95, 1.0, 0.0, 1.0, True),  # exactly 5 % of best - worst
        (0.949, 1.0, 0.0, 1.0, False),
        (0.98, 1.0, 0.9, 1.0, True),  # flat world: 2 % of the reward span
        (0.979, 1.0, 0.9, 1.0, False),
        (0.96, 1.0, 0.9, 2.0, True),
    ],
)
def test_the_tolerance_is_the_larger_of_both_shares(value, best, worst, span, is_inside) -> None:
    run = steps((1, worst), (2, value))
    found = shares([run], (2,), best=best, worst=worst, reward_span=span)
    assert found.reached[0].hits == is_inside


def test_seeds_that_began_inside_are_a_share_of_their_own() -> None:
    runs = [steps((1, 0.96)), steps((1, 0.96), (3, 0.5)), steps((1, 0.5), (2, 1.0))]
    found = shares(runs, (5,))
    assert (found.kept[0].hits, found.kept[0].total) == (1, 2)
    assert (found.reached[0].hits, found.reached[0].total) == (1, 1)


def test_the_strict_variant_also_closes_nine_tenths_of_the_start_gap() -> None:
    # start gap 0.2: inside the tolerance at 0.04, strict only at 0.02
    runs = [steps((1, 0.8), (2, 0.96)), steps((1, 0.8), (2, 0.98))]
    found = shares(runs, (5,))
    assert found.reached[0].hits == 2
    assert (found.strict[0].hits, found.strict[0].total) == (1, 2)


def test_under_drift_the_oracle_of_each_evaluation_counts() -> None:
    best = steps((1, 1.0), (6, 0.8))
    follows = steps((1, 0.5), (3, 1.0), (6, 0.78))
    stays = steps((1, 0.5), (3, 1.0), (6, 0.6))
    found = shares([follows, stays], (3, 6), best=best, worst=np.zeros(10))
    assert [share.hits for share in found.reached] == [1, 1]


def test_shares_carry_an_exact_lower_bound() -> None:
    found = shares([steps((1, 0.5), (2, 1.0))] * 256, (5,)).reached[0]
    # all of 256: 0.05^(1/256)
    assert found.share == 1.0
    assert found.lo == pytest.approx(0.05 ** (1 / 256), rel=1e-9)


def test_no_seed_of_a_kind_gives_no_share() -> None:
    found = shares([steps((1, 0.96))], (5,)).reached[0]
    assert (found.hits, found.total, found.lo) == (0, 0, 0.0)
    assert np.isnan(found.share)


def test_the_default_reports_are_50_100_and_200_of_a_run_of_220() -> None:
    run = steps((1, 0.5), (80, 1.0), length=220)
    found = converged_by(run[None], 1.0, worst=0.0, reward_span=1.0)
    assert [(share.by, share.hits) for share in found.reached] == [(50, 0), (100, 1), (200, 1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": (11,)}, r"by = 11, need an evaluation in \[1, 10\]"),
        ({"by": (0,)}, "by = 0"),
        ({"reward_span": 0.0}, "reward_span = 0"),
        ({"best": 0.4}, "best - deployed is -0.1"),
        ({"worst": 1.2}, "best - worst is -0.2"),
        ({"best": np.nan}, "best holds NaN"),
    ],
)
def test_a_run_that_cannot_be_judged_is_refused(changes, message) -> None:
    given = {"by": (5,), "best": 1.0, "worst": 0.0, "reward_span": 1.0} | changes
    with pytest.raises(ValueError, match=message):
        converged_by(np.full((2, 10), 0.5), given.pop("best"), **given)
