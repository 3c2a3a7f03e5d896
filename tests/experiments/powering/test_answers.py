"""The sentences of the answer, what they require, and what they leave unjudged."""

import pytest

from experiments.powering.answers import (
    TOLERANCE,
    Answer,
    Checked,
    Wish,
    agreement,
    false_approvals,
    measurements,
    recommended,
    sentence,
    sentences,
)
from experiments.powering.contests import Loss
from experiments.results import Results

WISH = Wish("small", 0.05, 0.8, 0.05, most=10_000)
CURVE = {500: 0.4, 700: 0.5, 1000: 0.7}


def answer(floor: float, n: int | None, loss: float, stderr: float = 0.0) -> Answer:
    return Answer(floor, Loss(loss, stderr), CURVE, (500, 1000), n, predicted=0.8)


def test_the_cheapest_log_is_recommended() -> None:
    """0.01 x 1,000 = 10; 0.002 x 3,000 = 6; 0.1 x 200 = 20."""
    answers = [answer(0.5, 1000, 0.01), answer(0.1, 3000, 0.002), answer(1.0, 200, 0.1), answer(0.05, None, 0.0)]
    assert recommended(answers) == answers[1]
    assert recommended(answers[3:]) is None


def test_where_exploring_costs_nothing_the_shorter_log_wins() -> None:
    answers = [answer(1.0, 9000, -0.01), answer(0.5, 1000, 0.0)]
    assert recommended(answers) == answers[1]


def test_a_loss_that_nobody_knows_is_feared() -> None:
    """(0.001 + 2 x 0.01) x 9,000 = 189 against (0.01 + 2 x 0.01) x 1,000 = 30."""
    answers = [answer(1.0, 9000, 0.001, 0.01), answer(0.5, 1000, 0.01, 0.01)]
    assert recommended(answers) == answers[1]
    assert answers[0].feared == pytest.approx(189.0) and answers[0].cost == pytest.approx(9.0)


def test_the_answer_is_one_plain_sentence() -> None:
    best = answer(0.5, 1509, 0.002)._replace(checked=Checked(1509, 309, 400))
    assert sentence(WISH, [best]) == "1,509 decisions with floor 0.5 detect +0.05 with power 0.8"
    first, floor = sentences(WISH, [best])
    assert first.measured == "predicted 0.800, measured 0.772" and first.holds is None
    assert floor.claim == "Floor 0.5: power at 500 / 1,000" and floor.measured == "40 / 70 %"
    assert floor.interval == "1,509 needed; loses 0.0020 a decision, 3.02 in all"


def test_no_answer_says_how_far_one_gets() -> None:
    first, floor = sentences(WISH, [answer(0.5, None, 0.002, 0.001)])
    assert first.claim == "No log up to 10,000 decisions detects +0.05 with power 0.8"
    assert first.measured == "at most 0.70, with floor 0.5"
    assert floor.interval == "none suffices; loses 0.0020 +- 0.0010 a decision"


@pytest.mark.parametrize(("hits", "holds"), [(320, True), (282, True), (281, False), (352, True), (353, False)])
def test_prediction_and_gate_must_agree_within_the_stated_tolerance(hits: int, holds: bool) -> None:
    """281 / 400 = 0.7025: gap 0.0975, limit 0.05 + 2 x 0.0229 = 0.0957; 353: gap 0.0825, limit 0.0822."""
    one = answer(0.5, 1000, 0.0)._replace(checked=Checked(1000, hits, 400))
    claim = agreement(WISH, one)
    assert claim.holds is holds and TOLERANCE == 0.05
    assert claim.measured == f"{hits / 400:.3f} (predicted 0.800)"


def test_a_candidate_that_is_no_better_may_be_approved_by_chance_only() -> None:
    """Limit 0.05 + 2 sqrt(0.05 x 0.95 / 400) = 0.0718: 28 of 400 is 0.07, 29 is 0.0725."""
    fine, wrong = (false_approvals(WISH, 0.5, Checked(1000, hits, 400)) for hits in (28, 29))
    assert fine.holds is True and wrong.holds is False
    assert fine.required == "<= 0.05 + 2 standard errors = 0.072"


def test_few_logs_are_reported_and_not_judged() -> None:
    few = Checked(1000, 0, 99)
    assert agreement(WISH, answer(0.5, 1000, 0.0)._replace(checked=few)).holds is None
    assert false_approvals(WISH, 0.5, few)._replace(interval="")[2:] == ("reported", "", None)


def test_a_pilot_says_that_its_model_must_be_true() -> None:
    one = answer(0.5, 1000, 0.0)._replace(checked=Checked(1000, 320, 400))
    assert "(if the pilot's model is true)" in agreement(WISH._replace(is_pilot=True), one).claim


def test_every_number_is_measured_once() -> None:
    answers = [answer(0.5, 1000, 0.01)._replace(checked=Checked(1000, 320, 400)), answer(0.1, None, 0.0)]
    results = Results()
    for row in measurements(WISH, answers, (0.5, Checked(1000, 20, 400))):
        results.add(row)
    assert len(results) == 2 * (3 + 1) + 2 + 1 + 1
