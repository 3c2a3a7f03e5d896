"""What an answer costs: a line by ridge regression, input tokens from what was paid, prices as they are."""

import numpy as np
import pytest

from policies.parts.bills import A_PRIORI, FARTHEST, SPREAD, SURE, USUAL, Paid, asked, bill, latency, line
from tests.hand import generator

WORTH = np.array([1.0, 80.0, 0.005, 0.3, 0.2, 0.7])
PRICES = np.array([[0.2, 1.25], [2.0, 8.0]])


def paid(model: int, sent: float, seconds: float, cost: float = 0.0) -> Paid:
    return Paid(np.int32(model), np.float64(sent), np.float64(seconds), np.float64(cost))


def calls(n: int, seed: int) -> list[Paid]:
    rng = generator(seed)
    sent = rng.gamma(2.0, 0.2, n)
    return [paid(int(rng.integers(2)), x, 0.4 + 12.0 * x + 0.2 * rng.standard_normal()) for x in sent]


def told(rows: list[Paid]) -> np.ndarray:
    own = np.zeros((2, 5))
    for one in rows:
        own = latency(own, one)[0]
    return own


@pytest.mark.parametrize("n", [0, 1, 2, 50])
@pytest.mark.parametrize("seed", range(3))
def test_the_line_is_ridge_regression(n: int, seed: int) -> None:
    """Normal equations of (1, x) with .5 calls of .5 s at x = 0, and .02 of slope 10: solved by numpy.linalg."""
    rows = calls(n, seed)
    first, each = line(told(rows))
    weight, total, slope_weight, slope_total = A_PRIORI
    assert (total / weight, slope_total / slope_weight) == (0.5, 10.0)
    for model in range(2):
        own = [one for one in rows if one.model == model]
        x = np.array([[1.0, one.sent] for one in own]).reshape(-1, 2)
        y = np.array([one.seconds for one in own])
        penalty = np.diag([weight, slope_weight])
        solved = np.linalg.solve(x.T @ x + penalty, x.T @ y + np.array([total, slope_total]))
        assert [first[model], each[model]] == pytest.approx(solved, abs=1e-9)


def test_a_call_moves_its_own_model_only() -> None:
    own = told(calls(20, 1))
    after = latency(own, paid(1, 0.5, 3.0))[0]
    assert np.array_equal(after[0], own[0])
    assert after[1] - own[1] == pytest.approx([1.0, 0.5, 0.25, 3.0, 1.5], abs=1e-12)


def test_nats_rise_with_the_ratio_of_latencies_once_a_line_is_known() -> None:
    own = np.zeros((2, 5))
    for i in range(int(SURE) + 1):
        own, nats = latency(own, paid(0, 0.1 * (i % 5), 0.5 + 1.0 * (i % 5)))
        assert nats == 0.0  # not yet known well
    first, each = line(own)
    on_it = first[0] + each[0] * 0.3
    assert latency(own, paid(0, 0.3, on_it))[1] == pytest.approx(-USUAL)
    for factor in (2.0, 0.5):
        off = abs(np.log((factor * on_it + 0.05) / (on_it + 0.05)))
        assert latency(own, paid(0, 0.3, factor * on_it))[1] == pytest.approx(off / SPREAD - USUAL, abs=1e-12)
    assert latency(own, paid(0, 0.3, 1e6))[1] == pytest.approx(FARTHEST / SPREAD - USUAL)
    assert latency(own, paid(1, 0.3, 1e6))[1] == 0.0  # the other model's line is not known


def test_input_tokens_follow_from_what_was_paid() -> None:
    """400 and 650 input tokens, prices doubled in between: the mean is 525 of them, to rounding."""
    own = np.zeros(2)
    for tokens, sent, factor in ((400.0, 300.0, 1.0), (650.0, 20.0, 2.0)):
        cost = factor * (PRICES[1, 0] * tokens + PRICES[1, 1] * sent) / 1e6
        own = asked(own, paid(1, sent / 1e3, 1.0, cost), factor * PRICES[1])
    assert own == pytest.approx([2.0, 1.05], abs=1e-12)


def test_input_that_costs_nothing_is_taken_for_none() -> None:
    after = asked(np.array([1.0, 0.4]), paid(0, 0.3, 1.0, 0.1), np.array([0.0, 1.0]))
    assert after.tolist() == [2.0, 0.4]


def test_a_bill_by_hand() -> None:
    """525 input tokens at 2 and 8 USD per million: 80 * .00105 + .005 * first; per 1,000 tokens 80 * .008 + ...."""
    own = told(calls(30, 2)), np.array([2.0, 1.05])
    first, each = line(own[0])
    made = bill(WORTH, PRICES, own)
    assert made.fixed[1] == pytest.approx(80.0 * 0.00105 + 0.005 * first[1], abs=1e-12)
    assert made.each[1] == pytest.approx(80.0 * 0.008 + 0.005 * each[1] + 0.3, abs=1e-12)
    assert made.reserved == 0.2


def test_a_price_change_moves_the_bill_by_the_price_alone() -> None:
    """Three times the output price: 80 USD^-1 times two old prices more per 1,000 tokens; what is fixed stays."""
    own = told(calls(30, 2)), np.array([2.0, 1.05])
    before, after = bill(WORTH, PRICES, own), bill(WORTH, PRICES * np.array([1.0, 3.0]), own)
    assert np.array_equal(before.fixed, after.fixed)
    assert after.each - before.each == pytest.approx(80.0 * 2.0 * PRICES[:, 1] / 1e3, abs=1e-12)


def test_what_is_learned_of_a_call_does_not_depend_on_prices() -> None:
    """The same call at other prices, and charged by them: the same state."""
    rows = [asked(np.zeros(2), paid(0, 0.3, 1.0, (f * 0.4 + g * 0.3) / 1e3), np.array([f, g])) for f, g in PRICES]
    assert rows[0] == pytest.approx(rows[1], abs=1e-12) and rows[0] == pytest.approx([1.0, 0.4], abs=1e-12)
