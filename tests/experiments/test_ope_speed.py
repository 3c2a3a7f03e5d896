"""The timed log is a log, and its cost is required only where a threshold was named."""

import numpy as np
import pytest

from evaluators.rows import check
from experiments.measurement import checked
from experiments.ope_speed import Speed, evaluate, made_up, measure_speed, speed_claims, speed_of


def test_the_log_is_drawn_from_its_own_probabilities() -> None:
    rows = check(made_up(np.random.default_rng(1), 20_000, 4))
    # counts against the sum of the probabilities: |z| <= 4 for each of four slots, 3e-4 false alarms
    for slot in range(4):
        p = rows.behavior[:, slot]
        z = ((rows.slot == slot).sum() - p.sum()) / np.sqrt((p * (1 - p)).sum())
        assert abs(z) <= 4


@pytest.mark.parametrize("is_partial", [False, True])
def test_the_estimates_agree_with_each_other(is_partial) -> None:
    rows = made_up(np.random.default_rng(2), 20_000, 4)
    assert rows.predicted is not None
    truth = (rows.target * rows.predicted).sum(axis=1).mean()  # rewards are drawn from the model
    if is_partial:
        rows = rows._replace(behavior=rows.at(rows.behavior)[:, None], is_partial=True)
    for value, lo, hi in evaluate(rows).values():
        assert lo < value < hi
        assert abs(value - truth) < 2 * (hi - lo)  # 8 standard errors


def test_cost_is_measured_beyond_the_inputs() -> None:
    found = speed_of(3000, k=5, repeats=2)
    assert [(one.n, one.k, one.is_whole) for one in found] == [(3000, 5, False), (3000, 5, True)]
    for one in found:
        assert one.cpu_seconds > 0
        assert 0 < one.peak_mb < 100
    assert {checked(row).measure for row in measure_speed(found)} == {"ope_cpu_seconds", "ope_peak_mb"}


@pytest.mark.parametrize(
    ("speed", "holds"),
    [
        (Speed(10**6, 50, False, 0.3, 100.0), [True, True]),
        (Speed(10**6, 50, False, 0.31, 101.0), [False, False]),
        (Speed(10**6, 50, True, 9.0, 101.0), [None, False]),
        (Speed(10**5, 50, False, 9.0, 900.0), [None, None]),
    ],
)
def test_the_threshold_is_for_a_million_rows_of_50_slots(speed, holds) -> None:
    assert [claim.holds for claim in speed_claims([speed])] == holds
