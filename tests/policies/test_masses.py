"""Masses sum to exactly 2^20, respect mask and floor, and are drawn as often as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.masses import TIE, TOTAL, draw_slot, integer_masses, pick
from tests.hand import generator


def random_vector(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Up to 256 slots, some masked, from nearly equal to nearly a point mass, half of them floored."""
    k = int(rng.integers(1, 257))
    feasible = rng.random(k) < rng.uniform(0.05, 1)
    feasible[rng.integers(k)] = True
    weight = np.where(feasible, rng.random(k) ** rng.choice([0.1, 1, 30]) + 1e-300, 0)
    floor = rng.choice([0.0, 0.1])
    return (1 - floor) * weight / weight.sum() + floor * feasible / feasible.sum(), feasible


def test_masses_sum_to_exactly_the_total_and_vanish_off_the_mask() -> None:
    rng = generator()
    for _ in range(4000):
        probs, feasible = random_vector(rng)
        masses = integer_masses(probs, feasible)
        assert masses.sum() == TOTAL
        assert masses.dtype == np.int32
        assert masses.min() >= 0
        assert not masses[~feasible].any()


def test_no_mass_is_below_the_floor_nor_far_from_its_probability() -> None:
    rng = generator(1)
    for _ in range(1000):
        probs, feasible = random_vector(rng)
        masses, n = integer_masses(probs, feasible), feasible.sum()
        least = min(np.ceil(probs[feasible].min() * TOTAL * (1 - 1e-12)), TOTAL // n)
        assert masses[feasible].min() >= least
        assert np.abs(masses - probs * TOTAL).max() <= n + 2  # at most one unit a slot goes to the floor


def test_the_floor_is_rounded_up_before_the_rest_is_shared() -> None:
    """Floor 0.1 / 3 of 2^20 = 34952.53, so 34953 twice; the winner has the rest."""
    probs = np.array([0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3])
    assert integer_masses(probs, np.ones(3, bool)).tolist() == [34953, TOTAL - 2 * 34953, 34953]


def test_ties_go_to_the_lower_slot() -> None:
    """2^20 / 7 = 149796 + 4/7: four units are left, for the first four feasible slots."""
    feasible = np.array([False, *[True] * 7])
    assert integer_masses(feasible / 7, feasible).tolist() == [0, *[149797] * 4, *[149796] * 3]


def test_a_point_mass_has_everything() -> None:
    assert integer_masses(np.array([0.0, 1.0, 0.0]), np.ones(3, bool)).tolist() == [0, TOTAL, 0]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=64).filter(lambda w: sum(w) > 0))
def test_equal_weights_get_masses_within_one_unit_and_larger_ones_no_less(weights: list[int]) -> None:
    w = np.array(weights, float)
    masses = integer_masses(w / w.sum(), np.ones(len(w), bool))
    order = np.argsort(w, kind="stable")
    assert masses.sum() == TOTAL
    assert np.all(np.diff(masses[order]) >= -1)


@pytest.mark.parametrize("seed", range(3))
def test_every_slot_is_drawn_by_exactly_its_mass_of_uniforms(seed: int) -> None:
    """All 2^20 uniforms: the draw is monotone in them, so its jumps give the whole count."""
    masses = integer_masses(*random_vector(generator(seed)))
    edges = np.cumsum(masses)
    for slot in np.flatnonzero(masses):
        first, last = edges[slot] - masses[slot], edges[slot] - 1
        assert draw_slot(masses, np.int32(first)) == slot
        assert draw_slot(masses, np.int32(last)) == slot


def test_all_uniforms_counted_one_by_one() -> None:
    masses = np.array([0, 300_000, 1, 0, TOTAL - 300_001], np.int32)
    uniforms = np.arange(TOTAL)
    drawn = (np.cumsum(masses)[None, :] <= uniforms[:, None]).sum(axis=1)
    assert np.array_equal(np.bincount(drawn, minlength=5), masses)
    for u in (0, 299_999, 300_000, 300_001, TOTAL - 1):
        assert draw_slot(masses, np.int32(u)) == drawn[u]


@pytest.mark.parametrize(
    ("values", "incumbent", "chosen"),
    [
        ([0.0, 1.0, 1.0], 2, 2),  # the incumbent wins a tie
        ([0.0, 1.0, 1.0], 0, 1),  # else the lowest id
        ([0.0, 1.0, 1.0 - 0.9 * TIE], 2, 2),  # within 1e-5 of the span
        ([0.0, 1.0, 1.0 - 1.1 * TIE], 2, 1),  # beyond it
    ],
)
@pytest.mark.parametrize("span", [1.0, 40.0])
def test_pick_takes_the_best_and_settles_ties(values: list[float], incumbent: int, chosen: int, span: float) -> None:
    scaled = span * np.array(values)
    hot = pick(scaled, np.ones(3, bool), incumbent=np.int32(incumbent), span=np.float64(span))
    assert hot.tolist() == np.eye(3)[chosen].tolist()


def test_pick_never_takes_what_is_not_feasible() -> None:
    hot = pick(np.array([-9.0, 5.0, -7.0]), np.array([True, False, True]), incumbent=np.int32(1), span=np.float64(1))
    assert hot.tolist() == [0, 0, 1]


def test_masses_of_shares_of_draws_do_not_hang_on_the_last_digit() -> None:
    rng, k, n_draws = np.random.default_rng(5), 12, 16
    feasible = np.ones(k, np.bool_)
    for _ in range(500):
        share = np.bincount(rng.integers(0, k, n_draws), minlength=k) / n_draws
        probs = 0.95 * share + 0.05 / k
        nudged = probs * (1.0 + rng.choice([-3e-16, 3e-16], k))
        np.testing.assert_array_equal(integer_masses(probs, feasible), integer_masses(nudged, feasible))
