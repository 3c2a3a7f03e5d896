"""The histogram of weights: exact arithmetic by hand, and its stated error kept on heavy tails."""

import numpy as np
import pytest

from evaluators.weight_shares import N_BINS, exact_top_share, merge, top_share, weight_shares


def heavy(rng, n):
    """Weights with a Pareto tail, a tenth of them 0, and rewards 0 or 1."""
    weight = (rng.pareto(1.2, size=n) + 0.01) * (rng.random(n) < 0.9)
    return weight, weight * (rng.random(n) < 0.6)


def test_the_top_row_of_four_by_hand() -> None:
    # the heaviest quarter is one row: 6 of 10 by weight, 3 of 3 + 1 + 1 by |w r|
    found = exact_top_share(np.array([1.0, 6.0, 1.0, 2.0]), np.array([1.0, -3.0, 1.0, 0.0]), top=0.25)
    assert found == pytest.approx((0.6, 0.6, 0.0, 0.0))


def test_a_boundary_within_equal_weights_takes_each_of_them_in_part() -> None:
    # half a row of the two that weigh 2: a quarter of what both carry, 4 of 4 + 2 = 6
    found = exact_top_share(np.array([2.0, 2.0, 1.0, 1.0]), np.array([4.0, 0.0, 1.0, 1.0]), top=0.125)
    assert found.value == pytest.approx(1 / 6)


def test_equal_weights_carry_their_share_of_rows() -> None:
    found = exact_top_share(np.ones(500), np.ones(500))
    assert found.value == pytest.approx(0.01)
    assert top_share(weight_shares(np.ones(500), np.ones(500))).value == pytest.approx(0.01)


@pytest.mark.parametrize("n", [50, 200, 5_000, 100_000])
@pytest.mark.parametrize("seed", range(5))
def test_the_histogram_is_within_its_stated_error(n, seed) -> None:
    weight, term = heavy(np.random.default_rng(seed), n)
    exact, binned = exact_top_share(weight, term), top_share(weight_shares(weight, term))
    assert abs(binned.value - exact.value) <= binned.error + 1e-12
    assert abs(binned.weight - exact.weight) <= binned.weight_error + 1e-12
    if n == 100_000:
        assert binned.error < 0.01  # a bin near the boundary holds few of the 1,000 rows


def test_merged_histograms_are_those_of_the_union() -> None:
    weight, term = heavy(np.random.default_rng(9), 3_000)
    whole = weight_shares(weight, term)
    parts = merge(weight_shares(weight[:700], term[:700]), weight_shares(weight[700:], term[700:]))
    for found, wanted in zip(parts, whole, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_extreme_weights_are_counted_at_the_ends() -> None:
    found = weight_shares(np.array([0.0, 1e-30, 1e30]), np.zeros(3))
    assert (found.n[0], found.n[-1], found.n.size) == (2.0, 1.0, N_BINS)
    # every reward is 0: the share is that of the weights
    assert top_share(found, 1 / 3).value == pytest.approx(1.0)


def test_no_weight_at_all_carries_nothing() -> None:
    assert top_share(weight_shares(np.zeros(10), np.zeros(10))) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weight_shares(np.array([-1.0]), np.zeros(1)), "from -1 to -1, need finite"),
        (lambda: weight_shares(np.array([np.nan]), np.zeros(1)), "need finite numbers >= 0"),
        (lambda: top_share(weight_shares(np.ones(2), np.ones(2)), 0.0), "top = 0 of 2 rows"),
        (lambda: top_share(weight_shares(np.zeros(0), np.zeros(0))), "of 0 rows, need .* at least one"),
    ],
)
def test_what_cannot_be_read_is_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
