"""The search takes the unbiased end without noise, the narrowest when noise drowns all, and its intervals meet."""

import numpy as np
import pytest

from evaluators.estimation import Estimator
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.intervals import t
from evaluators.slope import choose, slope, slope_plus


@pytest.mark.parametrize("search", [slope, slope_plus])
def test_without_variance_the_unbiased_end_is_taken(search) -> None:
    assert search([0.5, 0.6, 0.7], [0.0, 0.0, 0.0]) == 0


@pytest.mark.parametrize("search", [slope, slope_plus])
def test_on_a_tiny_log_the_narrowest_is_taken(search) -> None:
    assert search([0.5, 0.9, 0.1], [50.0, 5.0, 0.5]) == 2
    assert search([0.5, 0.9, 0.1], [np.inf, 5.0, 0.5]) == 2


def test_the_search_of_the_paper_by_hand() -> None:
    # intervals [.3, .7], [.5, .7], [.66, .70], [.60, .61]: the first three share [.66, .70], the fourth misses it
    assert slope([0.5, 0.6, 0.68, 0.605], [0.1, 0.05, 0.01, 0.0025]) == 2


@pytest.mark.parametrize(("second", "chosen"), [(0.79, 1), (0.81, 0), (0.21, 1), (0.19, 0)])
def test_intervals_are_two_half_widths_to_either_side(second, chosen) -> None:
    # [.3, .7] and second +- .1
    assert slope([0.5, second], [0.1, 0.05]) == chosen


def test_the_second_paper_by_hand() -> None:
    # |.60 - .50| <= .03 + 1.449 x .05 = .1025 holds, |.61 - .50| <= .03 + .0725 does not
    assert slope_plus([0.50, 0.60], [0.05, 0.03]) == 1
    assert slope_plus([0.50, 0.61], [0.05, 0.03]) == 0


@pytest.mark.parametrize("seed", range(10))
def test_the_second_paper_needs_no_order(seed) -> None:
    rng = np.random.default_rng(seed)
    value, half, order = rng.normal(size=7), rng.exponential(size=7), rng.permutation(7)
    assert order[slope_plus(value[order], half[order])] == slope_plus(value, half)


@pytest.mark.parametrize("seed", range(30))
def test_intervals_up_to_the_choice_share_a_point_and_the_next_parts_company(seed) -> None:
    rng = np.random.default_rng(seed)
    half = np.sort(rng.exponential(size=8))[::-1]
    value = np.cumsum(rng.exponential(size=8) * 0.3)
    low, high, chosen = value - 2 * half, value + 2 * half, slope(value, half)
    assert low[: chosen + 1].max() <= high[: chosen + 1].min()
    assert chosen == 7 or low[: chosen + 2].max() > high[: chosen + 2].min()


@pytest.mark.parametrize("search", [slope, slope_plus])
@pytest.mark.parametrize("seed", range(10))
def test_scale_and_shift_change_nothing(search, seed) -> None:
    rng = np.random.default_rng(seed)
    value, half = rng.normal(size=6), rng.exponential(size=6)
    assert search(3 * value + 7, 3 * half) == search(value, half)


def test_where_half_widths_hold_the_error_is_within_the_constant_of_the_best() -> None:
    # Su et al., theorem 1: with monotone biases and all half widths holding, |error| <= 6 min(bias + half width)
    # where half widths fall by at most a half from one candidate to the next
    rng = np.random.default_rng(1)
    for _ in range(200):
        half = 2.0 ** -np.arange(6)
        bias = np.cumsum(rng.exponential(size=6)) * rng.choice([0.01, 0.1, 1.0])
        value = bias + half * rng.uniform(-1, 1, size=6)
        assert abs(value[slope(value, half)]) <= (6 + 2) * (bias + half).min()


def test_candidates_are_chosen_on_a_log(world) -> None:
    rows, _ = world.draw(np.random.default_rng(0), 500)
    candidates: dict[str, Estimator] = {
        "ips": ips.Params(interval=t.Params()),
        "snips": snips.Params(interval=t.Params()),
        "doubly_robust": doubly_robust.Params(interval=t.Params()),
    }
    found = choose(candidates, rows)
    assert set(found.estimates) == set(candidates)
    errors = [one.stderr for one in found.estimates.values()]
    values = [one.value for one in found.estimates.values()]
    assert found.name == list(candidates)[slope_plus(values, errors)]


@pytest.mark.parametrize(
    ("value", "half", "message"),
    [
        ([], [], r"shape \(0,\)"),
        ([0.1], [0.1, 0.2], r"need \(m,\) each"),
        ([np.nan], [0.1], "need finite values"),
        ([0.1], [-0.1], "half widths >= 0"),
        ([0.1], [np.nan], "half widths >= 0"),
    ],
)
def test_what_cannot_be_searched_is_refused(value, half, message) -> None:
    for search in (slope, slope_plus):
        with pytest.raises(ValueError, match=message):
            search(value, half)
