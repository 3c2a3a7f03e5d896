"""Power from a spread: hand-computed, monotone, and against the gate's own bound on normal scores."""

from statistics import NormalDist

import numpy as np
import pytest

from evaluators.gates import Params as GateParams
from evaluators.intervals import gate as gate_interval
from evaluators.intervals import half_model, hall, model, t
from evaluators.quantiles import t_quantile
from evaluators.rows import RewardRange
from experiments.powering.contests import Contest
from experiments.powering.predicting import (
    SMALLEST,
    Design,
    Spread,
    bound_power,
    check_interval,
    check_support,
    power,
    smallest,
    support_chance,
)

UNIT = Spread(1.0, 1.0)


def design(difference: float = 0.1, *, spread: Spread = UNIT, behavior: tuple[float, ...] = (0.5, 0.5)) -> Design:
    """One context, two slots: the baseline takes the first, the target the second, worth `difference` more."""
    tables = (np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[0.0, difference]]))
    contest = Contest(np.ones(1), np.ones((1, 2), np.bool_), tables[0], *tables, RewardRange(0.0, 1.0))
    return Design(contest, 0.5, np.array([behavior]), lambda _: spread)


def test_power_is_the_normal_tail_beyond_the_quantile() -> None:
    """D sqrt(n) / s = 0.1 x 20 / 1 = 2; t(0.95, 399) = 1.6487: Phi(0.3513)."""
    gate = GateParams(interval=t.Params())
    expected = NormalDist().cdf(2.0 - t_quantile(0.95, 399))
    assert bound_power(gate, design(), 400) == pytest.approx(expected)


def test_at_difference_0_the_chance_is_alpha_where_the_bound_expects_the_truth() -> None:
    gate = GateParams(interval=t.Params())
    assert bound_power(gate, design(0.0), 10_000) == pytest.approx(0.05, abs=1e-3)


@pytest.mark.parametrize(
    ("interval", "n", "seen"),
    [
        (t.Params(), 100, 1.0),
        (model.Params(), 100, 4.0),
        (half_model.Params(), 100, 2.5),
        (None, 2999, 2.5),
        (None, 3000, 4.0),
    ],
)
def test_each_interval_expects_its_own_variance(interval: object, n: int, seen: float) -> None:
    gate = GateParams() if interval is None else GateParams(interval=interval)
    one = design(spread=Spread(1.0, 4.0))
    expected = NormalDist().cdf(0.1 * np.sqrt(n) - t_quantile(0.95, n - 1) * np.sqrt(seen))
    assert bound_power(gate, one, n) == pytest.approx(expected)


def test_candidates_that_share_alpha_are_approved_less_often() -> None:
    one, three = (bound_power(GateParams(max_judged=judged), design(), 400) for judged in (1, 3))
    assert three < one


def test_an_interval_whose_expectation_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gate\.interval is hall, need gate, half_model, model or t"):
        check_interval(GateParams(interval=hall.Params()), most=10_000)
    check_interval(GateParams(), most=10_000)


def test_what_is_not_certified_approves_nothing() -> None:
    with pytest.raises(ValueError, match="the gate approves nothing: difference with interval t did not hold"):
        check_interval(GateParams(interval=t.Params()), most=10_000)
    with pytest.raises(ValueError, match="default numbers"):
        check_interval(GateParams(interval=gate_interval.Params(large=50)), most=10_000)
    with pytest.raises(ValueError, match="fewer than"):
        check_interval(GateParams(), most=20)
    assert power(GateParams(), design(1.0), 20) == 0.0 < bound_power(GateParams(), design(1.0), 20)


def test_the_heaviest_weight_counts_exactly() -> None:
    """Weight 20 at a slot of probability 0.05 is over a tenth of 100 rows: none of 100 rows may draw it."""
    rare = design(behavior=(0.95, 0.05))
    gate = GateParams(min_ess=1.0)
    assert support_chance(gate, rare, 100) == pytest.approx(0.95**100, rel=0.01)
    assert support_chance(gate, rare, 250) == pytest.approx(1.0, abs=0.01)


def test_ess_follows_the_delta_method() -> None:
    """ESS is the number of draws of the target's slot, binomial (n, q): the chance that they are 50 or more."""
    q, n = 0.1, 520
    rng = np.random.default_rng(0)
    drawn = rng.binomial(n, q, 200_000) >= 50
    gate = GateParams(max_weight_share=1.0)
    said = support_chance(gate, design(behavior=(1 - q, q)), n)
    assert said == pytest.approx(drawn.mean(), abs=0.06)  # a binomial of mean 52 has a step of 0.058 there


def test_power_is_bound_times_support() -> None:
    one = design(behavior=(0.9, 0.1))
    gate = GateParams()
    assert power(gate, one, 520) == pytest.approx(bound_power(gate, one, 520) * support_chance(gate, one, 520))


def test_a_candidate_where_the_logger_never_goes_is_refused_in_words() -> None:
    never = design(behavior=(1.0, 0.0))
    assert support_chance(GateParams(), never, 1000) == 0.0
    with pytest.raises(ValueError, match="floor 0.5: 100.0% of the candidate's mass is where the logger never goes"):
        check_support(GateParams(), never)
    check_support(GateParams(), design())


def test_the_smallest_size_is_the_first_with_the_power() -> None:
    one, gate = design(0.03), GateParams(interval=t.Params())
    n = smallest(lambda n: bound_power(gate, one, n), 0.8, most=10**6)
    assert n is not None and bound_power(gate, one, n) >= 0.8 > bound_power(gate, one, n - 1)
    textbook = ((1.6449 + 0.8416) / 0.03) ** 2  # 6,869
    assert n == pytest.approx(textbook, rel=0.002)


def test_no_size_is_invented() -> None:
    assert smallest(lambda n: 0.5, 0.8, most=1000) is None
    assert smallest(lambda n: 1.0, 0.8, most=1000) == SMALLEST
    assert smallest(lambda n: float(n >= 1000), 0.8, most=1000) == 1000
    assert smallest(lambda n: float(n >= 1001), 0.8, most=1000) is None
