"""What the door lets through, and how it says no."""

import numpy as np
import pytest

from evaluators.rows import RewardRange, Rows, check, logged


def rows(**changes) -> Rows:
    base = Rows(
        reward=np.array([1.0, 0.0, 0.5]),
        slot=np.array([0, 1, 1]),
        behavior=np.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [0.2, 0.3, 0.5]]),
        target=np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]),
    )
    return base._replace(**changes)


def test_logged_picks_each_rows_own_slot() -> None:
    good = rows()
    assert logged(good.behavior, good.slot).tolist() == [0.5, 0.75, 0.3]


def test_rows_come_back_as_float64_and_int64() -> None:
    passed = check(rows(reward=[1, 0, 1], slot=np.array([0, 1, 1], dtype=np.int32)))
    assert passed.reward.dtype == np.float64
    assert passed.slot.dtype == np.int64


def test_target_mass_without_support_is_no_error() -> None:
    off_support = np.array([[0.2, 0.2, 0.6], [0.5, 0.1, 0.0], [0.1, 0.2, 0.7]])
    check(rows(target=off_support))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": np.array([1.0, np.nan, 0.5])}, r"reward\[1\] = nan.*1 of 3"),
        ({"reward": np.array([1.0, np.inf, 0.5])}, r"reward\[1\] = inf"),
        ({"reward": np.ones(2)}, r"reward has shape \(2,\), need \(3,\)"),
        ({"slot": np.array([0, 3, 1])}, r"slot\[1\] = 3, need 0 <= slot < 3"),
        ({"slot": np.array([0, -1, 1])}, r"slot\[1\] = -1"),
        ({"slot": np.array([2, 1, 1])}, r"propensity\[0\] = 0, need 0 < p <= 1"),
        ({"behavior": np.zeros((0, 3))}, "is the log empty"),
        ({"behavior": np.array([0.5, 0.5])}, r"need \(n, k\)"),
        ({"behavior": np.array([[1.5, -0.5, 0.0]] * 3)}, r"behavior\[0, 1\] = -0.5"),
        ({"behavior": np.array([[0.5, 0.6, 0.0]] * 3)}, r"sum of behavior\[0\] = 1.1"),
        ({"behavior": np.array([[0.5, 0.4, 0.0]] * 3)}, r"sum of behavior\[0\] = 0.9.*whole"),
        ({"behavior": np.array([[0.5, np.nan, 0.5]] * 3)}, r"behavior\[0, 1\] = nan"),
        ({"target": np.array([[0.5, 0.5, 0.1]] * 3)}, r"sum of target\[0\] = 1.1"),
        ({"target": np.array([[0.5, 0.5, -0.1]] * 3)}, r"target\[0, 2\] = -0.1"),
        ({"target": np.array([[np.nan, 0.5, 0.1]] * 3)}, r"target\[0, 0\] = nan"),
        ({"target": np.full((3, 2), 0.5)}, r"target has shape \(3, 2\), need \(3, 3\)"),
        ({"predicted": np.full((3, 3), np.nan)}, r"predicted\[0, 0\] = nan"),
        ({"predicted": np.zeros(3)}, r"predicted has shape \(3,\)"),
        ({"cluster": np.zeros(2, dtype=int)}, r"cluster has shape \(2,\)"),
        ({"reward_range": RewardRange(0.0, 0.8)}, r"reward\[0\] = 1, need 0 <= value <= 0.8"),
        ({"reward_range": RewardRange(1.0, 0.0)}, "need two finite numbers, lo < hi"),
        ({"reward_range": RewardRange(0.0, np.inf)}, "need two finite numbers, lo < hi"),
        (
            {"predicted": np.full((3, 3), 1.2), "reward_range": RewardRange(0.0, 1.0)},
            r"predicted\[0, 0\] = 1.2.*clip it",
        ),
    ],
)
def test_bad_rows_are_refused_with_the_value_and_the_place(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        check(rows(**changes))


@pytest.mark.parametrize("name", ["slot", "cluster"])
def test_labels_that_are_not_integers_are_refused(name) -> None:
    with pytest.raises(TypeError, match=f"{name} has dtype float64, need integers"):
        check(rows(**{name: np.zeros(3)}))
