"""A true log passes, a log whose propensities are not those drawn from does not."""

import numpy as np
import pytest
from scipy import stats

from evaluators.propensity import PropensityCheck, check_cells, merge, tally


def draw(rng, prob):
    below = prob.cumsum(axis=1) < rng.random(prob.shape[0])[:, None]
    return np.minimum(below.sum(axis=1), prob.shape[1] - 1)


@pytest.fixture
def prob():
    """3,000 rows x 20 slots, some infeasible."""
    rng = np.random.default_rng(0)
    weight = rng.dirichlet(np.full(20, 0.7), size=3000) * (rng.random((3000, 20)) < 0.8)
    weight[:, 0] += 1e-3
    return weight / weight.sum(axis=1, keepdims=True)


def check_slots(prob, slot, n_cells=20) -> PropensityCheck:
    return check_cells(*tally(prob, slot, cell=np.arange(20) % n_cells, n_cells=n_cells))


def test_z_of_two_cells_by_hand() -> None:
    half = np.array([50.0, 50.0])
    found = check_cells(np.array([60.0, 40.0]), half, half / 2)
    assert found.max_abs_z == pytest.approx(2.0)
    # Holm over two cells: twice the two-sided tail of 2
    assert found.p_value == pytest.approx(4 * stats.norm.sf(2.0), rel=1e-9)
    assert (found.n_cells, found.holds) == (2, True)


def test_true_propensities_hold_as_often_as_promised(prob) -> None:
    # 300 logs at a false alarm rate of 0.001: more than 3 alarms have probability 3e-4
    rng = np.random.default_rng(1)
    alarms = sum(not check_slots(prob, draw(rng, prob)).holds for _ in range(300))
    assert alarms <= 3


def test_propensities_from_before_the_mask_are_rejected(prob) -> None:
    rng = np.random.default_rng(2)
    masked = prob * (np.arange(20) > 4)
    slot = draw(rng, masked / masked.sum(axis=1, keepdims=True))
    found = check_slots(prob, slot)
    assert not found.holds
    assert found.max_abs_z > 5


def test_a_forgotten_traffic_split_is_rejected(prob) -> None:
    # a tenth of the traffic goes to slot 7, the log does not say so
    rng = np.random.default_rng(3)
    slot = np.where(rng.random(3000) < 0.1, 7, draw(rng, prob))
    assert not check_slots(prob, slot).holds


def test_cells_are_actions_when_windows_differ(prob) -> None:
    rng = np.random.default_rng(4)
    window = rng.integers(0, 11, size=(3000, 1)) + np.arange(20)
    found = tally(prob, draw(rng, prob), cell=window, n_cells=30)
    assert found.hits.sum() == 3000
    np.testing.assert_allclose(found.expected.sum(), 3000, rtol=1e-12)
    assert check_cells(*found).holds


def test_merged_tallies_are_those_of_the_union(prob) -> None:
    slot, cell = draw(np.random.default_rng(5), prob), np.arange(20)
    parts = [tally(prob[part], slot[part], cell=cell, n_cells=20) for part in (slice(700), slice(700, 3000))]
    whole = tally(prob, slot, cell=cell, n_cells=20)
    for found, wanted in zip(merge(*parts), whole, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_small_cells_are_judged_together() -> None:
    hits = np.array([500.0, 8.0, 8.0, 8.0, 8.0])
    expected = np.array([500.0, 8.0, 8.0, 8.0, 8.0])
    found = check_cells(hits, expected, np.array([250.0, 7.0, 7.0, 7.0, 7.0]))
    assert found.n_cells == 2


def test_a_few_rare_hits_are_no_alarm_but_many_are() -> None:
    # one hit where 0.01 was expected is z = 10, and happens once in a hundred logs
    one = check_cells(np.array([1.0]), np.array([0.01]), np.array([0.01]))
    assert (one.holds, one.max_abs_z) == (True, 0.0)
    assert not check_cells(np.array([20.0]), np.array([0.5]), np.array([0.5])).holds


@pytest.mark.parametrize(("hits", "expected"), [(1.0, 0.0), (4.0, 5.0)])
def test_what_the_log_called_impossible_is_rejected_outright(hits, expected) -> None:
    found = check_cells(np.array([hits]), np.array([expected]), np.zeros(1))
    assert found == PropensityCheck(np.inf, 0.0, 1, False)


def test_a_log_without_chance_has_nothing_to_test() -> None:
    certain = check_cells(np.array([5.0, 0.0]), np.array([5.0, 0.0]), np.zeros(2))
    assert certain == PropensityCheck(0.0, 1.0, 0, True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_cells(np.ones(2), np.ones(3), np.ones(2)), r"expected .* got shape \(3,\)"),
        (lambda: check_cells(np.ones(1), np.ones(1), -np.ones(1)), "variance .* smallest -1"),
        (lambda: check_cells(np.array([np.nan]), np.ones(1), np.ones(1)), "hits must be finite"),
        (
            lambda: tally(np.full((2, 2), 0.5), np.array([0, 2]), cell=np.arange(2), n_cells=2),
            "need 0 <= slot < 2",
        ),
        (
            lambda: tally(np.full((2, 2), 0.5), np.array([0, 1]), cell=np.arange(2), n_cells=1),
            "0 <= cell < 1",
        ),
        (
            lambda: tally(np.full((2, 2), 0.5), np.array([0]), cell=np.arange(2), n_cells=2),
            r"slot has shape \(1,\)",
        ),
    ],
)
def test_bad_sums_are_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
