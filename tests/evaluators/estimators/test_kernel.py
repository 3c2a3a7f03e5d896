"""Oracle 26: no bandwidth is IPS; inside an axis the bias is of second order, at its end of first."""

from dataclasses import replace

import numpy as np
import pytest

from evaluators.estimation import estimate
from evaluators.estimators import doubly_robust, ips
from evaluators.estimators.kernel import Params, smoothed, table
from evaluators.intervals import t
from evaluators.kernels import NAMES
from evaluators.rows import RewardRange, Rows
from evaluators.scores import Table, importance

UNIT = RewardRange(0.0, 1.0)
FINE = np.linspace(0.0, 1.0, 2001)[:, None]  # one axis
WIDTHS = np.array([0.04, 0.06, 0.09, 0.135])


def line(target_at: float) -> tuple[Rows, np.ndarray]:
    """One context on a fine axis, a quadratic reward, a target that is one action."""
    k = len(FINE)
    behavior, target = np.full((1, k), 1 / k), np.zeros((1, k))
    target[0, round(target_at * (k - 1))] = 1.0
    rows = Rows(
        np.zeros(1), np.zeros(1, int), behavior, target, reward_range=UNIT, action_ids=np.arange(k)[None], points=FINE
    )
    return rows, 0.9 - 0.8 * (FINE[:, 0] - 0.4)[None] ** 2


def grid(c: int = 40) -> tuple[Rows, np.ndarray]:
    """Contexts with different windows of a 6 x 5 grid; some slots cannot be taken."""
    rng = np.random.default_rng(0)
    points = np.stack(np.unravel_index(np.arange(30), (6, 5)), axis=-1).astype(float)
    ids = np.stack([rng.permutation(30)[:12] for _ in range(c)])
    behavior, target = rng.dirichlet(np.ones(12), size=c), rng.dirichlet(np.full(12, 0.5), size=c)
    behavior[:, :2] = 0.0
    behavior = 0.7 * behavior / behavior.sum(axis=1, keepdims=True) + 0.03 * (np.arange(12) >= 2)
    zero = np.zeros(c)
    rows = Rows(zero, np.full(c, 5), behavior, target, reward_range=UNIT, action_ids=ids, points=points)
    return rows, 0.5 + 0.03 * points[ids, 0] - 0.05 * points[ids, 1]


def expected(found: Table, rows: Rows, mean: np.ndarray) -> float:
    model = 0.0 if found.model is None else found.model
    return float(np.mean(found.part + (rows.behavior * found.weight * (mean - model)).sum(axis=1)))


def bias(rows: Rows, mean: np.ndarray, **numbers) -> float:
    found = table(Params(**numbers), rows, importance(rows.target, rows.behavior))
    return expected(found, rows, mean) - float((rows.target * mean).sum(axis=1).mean())


def draw(rows: Rows, mean: np.ndarray, rng: np.random.Generator, n: int) -> Rows:
    row = rng.integers(len(mean), size=n)
    slot = (rows.behavior.cumsum(axis=1)[row] < rng.random(n)[:, None]).sum(axis=1)
    reward = (rng.random(n) < mean[row, slot]).astype(float)
    return rows._replace(row=row, slot=slot, reward=reward)


def by_loops(params: Params, rows: Rows, row: int) -> np.ndarray:
    """The smoothed target of one context, straight from its definition."""
    assert rows.points is not None and rows.action_ids is not None
    places = rows.points[rows.action_ids[row]]
    k, found = len(places), np.zeros(len(places))
    for a in range(k):
        kernel = np.zeros(k)
        for j in range(k):
            u = [(places[a, i] - places[j, i]) / h for i, h in zip(params.axes, params.bandwidths, strict=True)]
            others = [i for i in range(places.shape[1]) if i not in params.axes]
            if rows.behavior[row, j] > 0 and all(places[a, i] == places[j, i] for i in others):
                kernel[j] = np.prod([max(0.0, 0.75 * (1 - v * v)) for v in u])
        if kernel.sum() > 0:
            found += rows.target[row, a] * kernel / kernel.sum()
    return found


@pytest.mark.parametrize(("axes", "bandwidths"), [((0,), (2.5,)), ((0, 1), (2.5, 1.7)), ((1, 0), (1.7, 2.5))])
def test_the_smoothed_target_is_that_of_a_loop_over_slots(axes, bandwidths) -> None:
    rows, _ = grid()
    params = Params(axes=axes, bandwidths=bandwidths)
    found = smoothed(params, rows)
    for row in range(len(found)):
        np.testing.assert_allclose(found[row], by_loops(params, rows, row), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kernel", NAMES)
def test_without_bandwidth_it_is_ips_and_doubly_robust(kernel) -> None:
    log = draw(*grid(), np.random.default_rng(1), 400)
    log = log._replace(predicted=np.random.default_rng(2).uniform(size=log.behavior.shape))
    narrow = Params(axes=(0, 1), bandwidths=(0.01, 0.01), kernel=kernel)
    alike = estimate(replace(narrow, interval=t.Params()), log)
    np.testing.assert_allclose(alike, estimate(ips.Params(), log), rtol=1e-12)
    with_model = estimate(replace(narrow, is_doubly_robust=True), log)
    np.testing.assert_allclose(with_model, estimate(doubly_robust.Params(), log), rtol=1e-12)


@pytest.mark.parametrize("kernel", NAMES)
def test_inside_an_axis_the_bias_is_of_second_order(kernel) -> None:
    widths = WIDTHS / 3 if kernel == "gaussian" else WIDTHS  # three standard deviations are as wide
    rows, mean = line(0.5)
    found = [abs(bias(rows, mean, bandwidths=(float(h),), kernel=kernel)) for h in widths]
    slope = np.polyfit(np.log(widths), np.log(found), 1)[0]
    assert abs(slope - 2) <= 0.2


def test_at_the_end_of_an_axis_the_bias_is_of_first_order() -> None:
    rows, mean = line(1.0)
    found = [abs(bias(rows, mean, bandwidths=(float(h),))) for h in WIDTHS]
    assert abs(np.polyfit(np.log(WIDTHS), np.log(found), 1)[0] - 1) <= 0.2


@pytest.mark.parametrize("target_at", [0.5, 1.0])
def test_a_model_that_knows_the_shape_removes_the_bias_here_and_there(target_at) -> None:
    rows, mean = line(target_at)
    rows = rows._replace(predicted=mean - 0.07)  # a wrong level
    assert abs(bias(rows, mean, bandwidths=(0.1,))) > 1e-3
    assert abs(bias(rows, mean, bandwidths=(0.1,), is_doubly_robust=True)) < 1e-12


def test_the_smoothed_target_is_what_is_estimated() -> None:
    # |z| <= 4: false alarm 6e-5
    rows, mean = grid()
    params = Params(axes=(0, 1), bandwidths=(2.5, 1.7))
    wanted = float((smoothed(params, rows) * mean).sum(axis=1).mean())
    found = estimate(params, draw(rows, mean, np.random.default_rng(3), 20_000))
    assert abs(found.value - wanted) <= 4 * found.stderr


def test_smoothing_keeps_the_mass_within_reach_and_smooths_the_weights() -> None:
    rows, _ = grid()
    wide = smoothed(Params(axes=(0, 1), bandwidths=(9.0, 9.0), kernel="gaussian"), rows)
    np.testing.assert_allclose(wide.sum(axis=1), 1.0, rtol=1e-12)
    assert np.all(wide[rows.behavior == 0] == 0)
    narrow = smoothed(Params(axes=(0, 1), bandwidths=(0.01, 0.01)), rows)
    np.testing.assert_allclose(narrow.sum(axis=1), (rows.target * (rows.behavior > 0)).sum(axis=1), rtol=1e-12)
    second = [(importance(policy, rows.behavior) * policy).sum() for policy in (wide, narrow)]
    assert second[0] < second[1]


def test_what_cannot_be_smoothed_is_refused() -> None:
    with pytest.raises(ValueError, match="one bandwidth for each"):
        Params(axes=(0, 1), bandwidths=(0.1,))
    log = draw(*grid(), np.random.default_rng(1), 50)
    with pytest.raises(ValueError, match="kernel needs rows.action_ids"):
        estimate(Params(), log._replace(action_ids=None))
    with pytest.raises(ValueError, match="kernel needs rows.predicted"):
        estimate(Params(is_doubly_robust=True), log)
