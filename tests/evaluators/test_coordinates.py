"""Where actions stand, and rows that do not say it."""

import numpy as np
import pytest

from envs.lattice import AxisRange, Lattice, LatticeRanges
from evaluators.coordinates import lattice_points, whole_window
from evaluators.rows import Rows


def rows() -> Rows:
    half = np.full((2, 2), 0.5)
    return Rows(
        reward=np.array([1.0, 0.0]),
        slot=np.array([0, 1]),
        behavior=half,
        target=half,
        action_ids=np.array([[0, 1], [1, 2]]),
        points=np.array([[0.0, 9.0], [0.1, 9.0], [0.2, 10.0]]),
    )


def test_a_lattices_points_are_its_parameters_and_tokens_count_in_doublings() -> None:
    ranges = LatticeRanges(temperature=AxisRange("0", "1", "0.5"), max_tokens=AxisRange("256", "512", "256"))
    lattice = Lattice.from_ranges(ranges, models=("small", "large"))
    points = lattice_points(lattice)
    assert points.shape == (12, 6)
    for action, point in enumerate(points):
        sent = lattice.parameters(action)
        assert point[0] == sent["temperature"]
        assert point[1] == np.log2(float(sent["max_tokens"]))
        assert point[5] == ("small", "large").index(str(sent["model"]))


def test_slots_that_neither_policy_takes_need_no_action() -> None:
    empty = rows()._replace(
        behavior=np.array([[1.0, 0.0], [0.5, 0.5]]),
        target=np.array([[1.0, 0.0], [0.5, 0.5]]),
        action_ids=np.array([[0, -1], [1, 2]]),
        slot=np.array([0, 1]),
    )
    ids, points = whole_window(empty, (0, 1), "kernel")
    assert ids.tolist() == [[0, 0], [1, 2]]
    assert points is empty.points


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_ids": None, "points": None}, r"kernel needs .*got no action_ids and points"),
        ({"points": None}, "got no points"),
        ({"is_partial": True}, "whole distribution"),
        ({"points": np.zeros(3)}, r"points has shape \(3,\)"),
        ({"points": np.zeros((3, 1))}, r"columns \(0, 1\)"),
        ({"points": np.full((3, 2), np.nan)}, "need finite"),
        ({"action_ids": np.array([[0, 1], [1, 3]])}, "action_ids = 3 somewhere, need 0 <= id < 3"),
        ({"action_ids": np.array([[0, 1], [1, -1]])}, "action_ids = -1 somewhere"),
    ],
)
def test_rows_that_do_not_say_where_actions_stand_are_refused(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        whole_window(rows()._replace(**changes), (0, 1), "kernel")
