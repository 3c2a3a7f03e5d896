"""The certification of the gate's bound counts approvals, and its claims can fail."""

import numpy as np
import pytest

from evaluators.gates import Params, compare
from evaluators.intervals import half_model
from experiments.certifying import gate_errors
from experiments.certifying.coverage import drawn_in_turn
from experiments.certifying.gate_errors import (
    INTERVALS,
    Approved,
    Case,
    approvals,
    check_gate,
    gate_claims,
    measure_gate,
    switch_over,
)
from experiments.certifying.pool import BASE, FAR, open_pool
from experiments.measurement import checked


def test_an_approval_is_what_the_gate_itself_says() -> None:
    pool = open_pool(BASE).at_difference(0.1, FAR)
    _, rows = next(drawn_in_turn(pool, 60, 12, seed=3))
    said = 0
    for log in range(12):
        one = rows.part(60 * log, 60 * log + 60)
        found = compare(Params(interval=half_model.Params()), one._replace(target=one.behavior), target=one.target)
        said += found.lower >= 0
    share = {one.interval: one.share for one in approvals(Case(BASE, "far", 0.1), 60, 12, seed=3)}
    assert share["half_model"] * 12 == said
    assert share["gate"] == share["half_model"]  # a small log


def test_near_and_far_targets_that_are_no_better_are_one_question() -> None:
    # a near target keeps a share of the logger, so its difference is a multiple of the far one's, log by log
    far, near = (approvals(Case(BASE, aim, 0.0), 60, 20, seed=4) for aim in ("far", "near"))
    assert [one.share for one in far] == [one.share for one in near]
    np.testing.assert_allclose([one.detectable for one in near], [0.3 * one.detectable for one in far], rtol=1e-6)


def test_the_claims_ask_for_few_errors_and_enough_power(monkeypatch) -> None:
    found, claims = check_gate(3, seed=0)
    assert {one.interval for one in found} == set(INTERVALS)
    assert len(claims) == 8
    assert {claim.holds for claim in claims} == {None}  # too few logs to judge
    assert {checked(row).measure for row in measure_gate(found, part="bound")} == {"bound_approves", "bound_detectable"}


@pytest.mark.parametrize(
    ("case", "n", "share", "holds"),
    [
        (Case(BASE, "far", 0.0), 200, 0.056, True),
        (Case(BASE, "far", 0.0), 200, 0.058, False),
        (Case(BASE, "far", 0.10), 200, 0.48, True),
        (Case(BASE, "near", 0.04), 2000, 0.949, False),
    ],
)
def test_every_claim_can_fail(case, n, share, holds) -> None:
    assert gate_claims([Approved(case, "gate", n, 4000, share, 0.1)])[0].holds is holds


def test_the_switch_over_is_measured_on_every_problem(monkeypatch) -> None:
    monkeypatch.setattr(gate_errors, "HELD_OUT", (1,))
    monkeypatch.setattr(gate_errors, "SWITCH_SIZES", (40, 80))
    found = switch_over(2, seed=0)
    cases = {(one.case.problem, one.case.aim, one.case.difference, one.n) for one in found}
    assert len(cases) == 2 * (2 * 2 + 2)
    (claim,) = gate_errors.switch_claims(found)
    assert claim.holds is None  # too few logs to judge


@pytest.mark.parametrize(("share", "holds"), [(0.0597, True), (0.0598, False)])
def test_the_worst_problem_and_size_is_judged(share, holds) -> None:
    fine = [Approved(Case(problem, "far", 0.0), "gate", n, 2000, 0.03, 0.1) for problem in (0, 1) for n in (200, 5000)]
    other = Approved(Case(0, "far", 0.05), "gate", 200, 2000, 0.4, 0.1)  # power is not an error
    worst = Approved(Case(2, "near", 0.0), "gate", 500, 2000, share, 0.1)
    (claim,) = gate_errors.switch_claims([*fine, other, worst])
    assert claim.holds is holds
