"""The mean-weight test keeps its level under heavy tails, where the textbook's does not, and finds lies."""

import numpy as np
import pytest

from evaluators.mean_weight import CUTS, check_mean, cut_sums, merge, naive_z, p_value
from evaluators.rows import Rows
from evaluators.scores import importance


def sums_of(rows):
    return cut_sums(rows, importance(rows.target, rows.behavior))


def z_of(rows) -> float:
    return check_mean(sums_of(rows), rows.slot.size).z


def small() -> Rows:
    behavior, target = np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([[0.25, 0.75], [0.4, 0.6]])
    return Rows(np.zeros(3), np.array([1, 0, 1]), behavior, target, row=np.array([0, 1, 1]))


def test_sums_by_hand() -> None:
    # weights 0.5, 1.5 and 4, 2/3; the cut at 2 makes the 4 a 2
    found = sums_of(small())
    assert found.total[:2] == pytest.approx([1.5 + 2 + 2 / 3, 1.5 + 4 + 2 / 3])
    assert found.expected[:2] == pytest.approx([1 + 2 * 0.8, 3.0])
    # variances: 0.25 in the first context; cut, 0.1 x 4 + 0.9 x 4/9 - 0.64 = 0.16 in the second
    assert found.variance[0] == pytest.approx(0.25 + 2 * 0.16)
    assert found.step[:2] == pytest.approx([1.2, 3.0])
    np.testing.assert_allclose(found.total[1:], found.total[1])  # no weight reaches the next cut


def test_merged_sums_are_those_of_the_union(heavy_world) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(0), 500)
    parts = merge(sums_of(rows.part(0, 120)), sums_of(rows.part(120, 500)))
    for found, wanted in zip(parts, sums_of(rows), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_an_uncut_mean_is_expected_to_be_the_supported_mass() -> None:
    behavior, target = np.array([[0.5, 0.5, 0.0]]), np.array([[0.3, 0.3, 0.4]])
    found = sums_of(Rows(np.zeros(4), np.array([0, 1, 0, 1]), behavior, target, row=np.zeros(4, int)))
    assert found.expected[0] == pytest.approx(4 * 0.6)


def draws(world, behavior, *, n, n_logs, seed):
    """Deviates, ours and the textbook's, of logs drawn from `behavior` that promise the world's."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_logs):
        drawn, context = world._replace(behavior=behavior).draw(rng, n)
        rows = drawn._replace(behavior=world.behavior[context])
        weight = rows.at(importance(rows.target, rows.behavior))
        found.append((z_of(rows), naive_z(n, float(weight.sum()), float(weight @ weight))))
    return np.abs(found).T


def test_true_propensities_are_rarely_doubted_and_the_textbook_z_often_does(heavy_world) -> None:
    # 800 logs at a nominal 5 %: at most 0.05 + 4 sqrt(0.05 x 0.95 / 800) = 0.081; at 1 %: 0.024
    found, naive = draws(heavy_world, heavy_world.behavior, n=200, n_logs=800, seed=1)
    assert np.mean(found > 1.96) <= 0.081
    assert np.mean(found > 2.576) <= 0.024
    assert np.mean(naive > 1.96) > 0.081


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_blunted_and_sharpened_propensities_are_found(heavy_world, power) -> None:
    behavior = heavy_world.behavior**power
    found, _ = draws(heavy_world, behavior / behavior.sum(axis=1, keepdims=True), n=1_000, n_logs=20, seed=2)
    assert np.all(found > 2.81)


def test_a_certain_weight_is_never_doubted(world) -> None:
    rows, _ = world.draw(np.random.default_rng(3), 100)
    assert z_of(rows._replace(target=rows.behavior)) == 0.0


def test_a_short_log_is_judged_by_freedman() -> None:
    # variance 10 x 0.25 x 3 = 7.5 and steps of 1.5 > sqrt(7.5) / 4: no cut bears a normal tail
    behavior, target = np.array([[0.75, 0.25]]), np.array([[0.5, 0.5]])
    hits = Rows(np.zeros(10), np.ones(10, int), behavior, target, row=np.zeros(10, int))
    found = check_mean(sums_of(hits), 10)
    gap, variance, step = 10.0, 10 * (0.75 * 4 / 9 + 0.25 * 4 - 1), 1.0
    tail = 2 * np.exp(-(gap**2) / (2 * (variance + step * gap / 3)))
    assert p_value(found.z) == pytest.approx(tail)
    assert [found.cut, found.mean] == pytest.approx([CUTS[0], 2.0])
    assert found.z > 0


def test_the_textbook_z_by_hand() -> None:
    # weights 0 and 4: mean 2, sample variance 8, error 2: z = (2 - 1) / 2
    assert naive_z(2, 4.0, 16.0) == pytest.approx(0.5)
    assert naive_z(3, 3.0, 3.0) == 0.0


def test_a_log_of_logged_propensities_only_is_refused() -> None:
    partial = small()._replace(row=None, slot=np.array([1, 0]), reward=np.zeros(2), is_partial=True)
    with pytest.raises(ValueError, match="known at the logged slot only"):
        sums_of(partial)
