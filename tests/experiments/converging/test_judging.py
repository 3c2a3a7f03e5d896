"""Which runs each claim speaks of, by hand-made runs in worlds of known names."""

import numpy as np
import pytest

from experiments.converging.comparing import Table, players
from experiments.converging.judging import (
    Judged,
    Roles,
    ahead_claims,
    convergence_claims,
    cost_claims,
    doubt_claims,
    drift_claims,
    live_claims,
)
from tests.hand_runs import START, VALUES, run, surface

ROLES = Roles(("a", "b"), ("out",), "flat", "many", (1, 2), 2, 2)
GOOD, BAD = [[START, 0, 0, 0]], [[START, START, START, START]]


def judged(*runs, surfaces=()):
    held = {one.key: surface(world=one.where.label) for one in runs}
    return Judged(tuple(runs), held | {(one.world, one.task): one for one in surfaces}, ROLES)


def by_text(found, *parts):
    (one,) = [claim for claim in found if all(part in claim.claim for part in parts)]
    return one


def test_calibrated_worlds_are_pooled_by_start_and_others_stand_alone():
    runs = [run(GOOD, world="a"), run(BAD, world="b"), run(GOOD, world="a", start="bad"), run(BAD, world="out")]
    found = list(convergence_claims(judged(*runs)))
    assert by_text(found, "by 2", "calibrated", "default").measured == "0.500 (1 of 2)"
    assert by_text(found, "by 2", "calibrated", "bad").measured == "1.000 (1 of 1)"
    assert by_text(found, "by 1,", "calibrated", "default").measured == "0.000 (0 of 2)"
    assert by_text(found, "out (unlike the prior)").holds is False
    assert by_text(found, "Kept by 2").holds is by_text(found, "Kept by 1,").holds is None  # nobody began inside


def test_task_types_that_share_a_budget_are_counted_together():
    runs = [run(GOOD, world="many", task="x"), run(BAD, world="many", task="y"), run(GOOD, world="a")]
    claim = by_text(list(convergence_claims(judged(*runs))), "together")
    assert "by 4 evaluations of 2 task types" in claim.claim
    assert claim.measured == "0.500 (1 of 2)"


def test_costs_are_those_of_calibrated_worlds_without_drift():
    runs = [
        run([[START, 0, 3, 0]], world="a"),
        run([[0, 3, 0, 3]], world="out"),
        run([[0, 3, 0, 3]], world="a", drift="x"),
    ]
    approvals, falls, outside = cost_claims(judged(*runs))
    assert approvals.measured == "1"  # three approvals where two are needed
    assert falls.measured == "0.3333 (1 of 3)"
    assert outside.measured == "0.6667 (2 of 3)"


def test_false_claims_count_runs_with_any_task_type():
    runs = [run([[START] * 4] * 2, world="flat", task="x"), run([[START] * 4] * 2, world="flat", task="y")]
    found = {("flat", "x"): np.array([0, 3]), ("flat", "y"): np.array([0, 4])}
    claim = by_text(list(doubt_claims(judged(*runs), found)), "flat")
    assert claim.measured == "0.5000 (1 of 2)"


def test_power_speaks_of_runs_that_have_improved_and_in_time():
    runs = [run([[START, 0, 0, 0], [START, 0, 0, 0], [START] * 4], world="a")]
    found = {("a", "task"): np.array([2, 3, 0])}  # the second claims after the horizon
    assert by_text(list(doubt_claims(judged(*runs), found)), "default").measured == "0.500 (1 of 2)"


def test_recovery_after_a_swap_and_after_a_price_change():
    table = np.stack([VALUES, VALUES[::-1]])
    swapped = run([[0, 0, 0, 14]], world="a", drift="swap")
    priced = run([[0, 0, 0, 14]], world="b", drift="price", recommended=np.array([[0, 0, 14, 14]]))
    drifting = [surface(values=table, begins=(0, 2), world=f"{w}, {d}") for w, d in (("a", "swap"), ("b", "price"))]
    swap, for_good, recommended, deployed = drift_claims(
        judged(swapped, priced, surfaces=drifting), swap="swap", price="price"
    )
    assert swap.measured == for_good.measured == "median 1"
    assert for_good.holds is None
    assert recommended.measured == "median 0"
    assert deployed.measured == "median -1"  # one evaluation, two approvals at the least


def test_the_live_statement_is_required_of_calibrated_worlds_only():
    sure = np.full((1, 4), 0.99)
    runs = [run([[0, 0, 0, 0]], world="a", confidence=sure), run([[0, 0, 0, 0]], world="many", confidence=sure)]
    found = list(live_claims(judged(*runs), epsilon=0.1, confidence=0.95))
    assert [claim.holds for claim in found] == [True, True, None, None]
    assert found[2].claim.endswith("many")


def test_best_observed_points_are_no_opponents():
    mine, pick = run(GOOD, policy="mine"), run(BAD, policy="peer", rule="posterior pick")
    luck = run([[START, 1, 0, 0]], policy="peer", rule="best observed")
    held = players([mine, pick, luck], [("hand", "task")])
    claim, found = ahead_claims(Table(held, {("hand", "task"): surface()}, 0), by=(2,))
    assert claim.measured == "least at 2: 1.000 (peer (posterior pick))"
    assert ("peer (best observed)", 2) in found
    assert found["peer (best observed)", 2].value == pytest.approx(1.0)
