"""Scores of hand-made runs: convergence, approvals, falls, recovery, the live statement."""

import numpy as np
import pytest

from evaluators.regret import converged_by
from experiments.converging.scoring import (
    converged,
    excess,
    falls,
    inside,
    inside_for_good,
    live,
    lost,
    median_or_later,
    pooled,
    recovery,
    reliability,
    share_of,
    simple_regret,
)
from tests.hand_runs import START, VALUES, run, surface

# One seed reaches by 3 and stays, one leaves again, one never comes.
CENTRE = [[START, 4, 1, 0], [START, 1, 4, 1], [START, START, START, START]]


def test_shares_are_those_of_the_regret_module():
    found = converged(run(CENTRE), surface(), by=(2, 3, 4))
    assert [share.hits for share in found.reached] == [0, 1, 2]
    assert [share.total for share in found.kept] == [0, 0, 0]
    same = converged_by(VALUES[np.array(CENTRE)], 0.8, worst=0.0, reward_span=1.0, by=(2, 3, 4))
    assert (found.reached, found.strict) == (same.reached, same.strict)


def test_pooled_shares_add_up():
    one, two = converged(run(CENTRE), surface(), by=(4,)), converged(run([[0, 0, 0, 2]]), surface(), by=(4,))
    assert pooled([one, two], "reached")[0][1:3] == (2, 3)
    assert pooled([one, two], "kept")[0][1:3] == (0, 1)


def test_a_lower_bound_by_hand():
    # 0.05 ** (1 / 20): the one-sided Clopper-Pearson bound of 20 out of 20.
    assert share_of(20, 20).lo == pytest.approx(0.05 ** (1 / 20))


def test_a_share_of_nothing_is_not_a_number():
    assert np.isnan(share_of(0, 0).share)


def test_within_tolerance_of_approved_and_of_recommended():
    one = run(CENTRE, recommended=np.zeros((3, 4), np.int32))
    assert inside(one, surface()).tolist()[1] == [False, True, False, True]
    assert inside(one, surface(), of="recommended").all()


def test_recovery_counts_runs_that_were_driven_out_only():
    within = np.array(
        [
            [1, 1, 0, 0, 1, 1],  # out at the onset, back two evaluations later
            [1, 1, 0, 1, 0, 1],  # comes back, leaves, comes back: for good after three
            [0, 0, 0, 1, 1, 1],  # was never inside before
            [1, 1, 1, 1, 1, 1],  # was not driven out
            [1, 1, 0, 0, 0, 0],  # never back
        ],
        bool,
    )
    assert recovery(within, 2).tolist() == [2.0, 3.0, np.inf]


def test_the_median_may_be_never():
    assert median_or_later(np.array([1.0, np.inf])) == np.inf
    assert median_or_later(np.array([1.0, 2.0, np.inf])) == 2.0
    assert np.isnan(median_or_later(np.zeros(0)))


def test_for_good_is_a_suffix():
    within = np.random.default_rng(0).random((50, 20)) < 0.8
    good = inside_for_good(within)
    assert not (good & ~within).any()
    assert (good[:, 1:] >= good[:, :-1]).all()  # once settled, settled


def test_falls_by_hand():
    # .8 -> .77 loses .03; .77 -> .7 loses .07; .7 -> .8 gains.
    assert falls(run([[0, 1, 3, 0, 0]]), surface()) == (3, 1)


def test_a_fall_is_told_at_its_own_moment():
    drifting = surface(values=np.stack([VALUES, VALUES[::-1]]), begins=(0, 2))
    assert falls(run([[14, 14, 0]]), drifting) == (1, 1)  # best before, worst since the drift
    assert falls(run([[14, 0, 0]]), drifting) == (1, 0)


def test_approvals_beyond_the_fewest_by_hand():
    # Two approvals are needed: the first seed takes 3, the second 3, the third none at all.
    assert excess(run(CENTRE), surface()).tolist() == [1, 1, -2]


def test_the_live_statement_against_what_is_in_reach():
    # At 0 nothing better is in reach; at 14 (worth 0) .4 is.
    one = run([[14, 0, 0, 14]], confidence=np.array([[0.99, 0.99, 0.5, 0.2]]))
    found = live(one, surface(), epsilon=0.1, confidence=0.95)
    assert found.said.tolist() == [[True, True, False, False]]
    assert found.true.tolist() == [[False, True, True, False]]
    assert found.first.tolist() == [False]


def test_who_was_never_asked_says_nothing():
    assert not live(run(CENTRE), surface(), epsilon=0.1, confidence=0.95).said.any()


def test_reliability_bins_keep_every_evaluation_once():
    given = np.array([[0.0, 0.1, 0.2, 0.94, 0.95, 1.0]])
    found = reliability([live(run([[0] * 6], confidence=given), surface(), epsilon=0.1, confidence=0.95)])
    assert [(one.lo, one.total, one.true) for one in found] == [(0.0, 2, 2), (0.2, 1, 1), (0.9, 1, 1), (0.95, 2, 2)]
    assert found[-1].confidence == pytest.approx(0.975)


def test_regret_of_what_was_tried_and_of_what_is_deployed():
    one = run([[0, 1]], action=np.array([[14, 1]]))
    assert lost(one, surface()).round(3).tolist() == [[0.8, 0.03]]
    assert simple_regret(one, surface(), by=(1, 2)).round(3).tolist() == [[0.0, 0.03]]
