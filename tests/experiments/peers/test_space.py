"""The cube that peers search: places, hard limits, and the snap to the nearest legal action."""

import numpy as np
import pytest

from envs.lattice import AxisRange, Lattice, LatticeRanges
from experiments.peers.space import Point, Space, space_of

RANGES = LatticeRanges(AxisRange("0.5", "1.5", "0.25"), AxisRange("100", "1600", "100"), AxisRange("1", "1", "0.1"))
GRID = Lattice.from_ranges(RANGES)
MODELS = Lattice.from_ranges(RANGES, models=("small", "middle", "large"))


def everything(lattice: Lattice, *, start: int = 0) -> Space:
    return space_of(lattice, np.ones(lattice.size, np.bool_), start)


def test_axes_with_one_value_are_left_out_and_tokens_are_placed_by_their_logarithm() -> None:
    space = everything(GRID)
    assert (space.axes, space.models) == (("temperature", "max_tokens"), ())
    heat, tokens = GRID.decode(space.ids)[:, 0], 100.0 * (1 + GRID.decode(space.ids)[:, 1])
    np.testing.assert_allclose(space.places[:, 0], heat / 4.0)
    np.testing.assert_allclose(space.places[:, 1], np.log2(tokens / 100.0) / 4.0)  # 1600 = 100 * 2^4


def test_hard_limits_are_the_faces_of_the_cube() -> None:
    grid = GRID.decode(np.arange(GRID.size))
    allowed = (grid[:, 0] >= 1) & (grid[:, 1] <= 7)
    space = space_of(GRID, allowed, int(np.flatnonzero(allowed)[0]))
    assert np.array_equal(space.ids, np.flatnonzero(allowed))
    assert np.array_equal(space.places.min(axis=0), [0.0, 0.0]) and np.array_equal(space.places.max(axis=0), [1.0, 1.0])


def test_an_action_snaps_to_itself() -> None:
    for space in (everything(GRID), everything(MODELS)):
        assert [space.snap(space.point(int(i))) for i in space.ids] == space.ids.tolist()


def test_a_point_snaps_to_the_nearest_legal_action() -> None:
    space = everything(GRID)
    # heat 0.6 of the way is 2.4 steps of 0.25 above 0.5; place 0.5 is 400 tokens.
    found = GRID.parameters(space.snap(Point(np.array([0.6, 0.52]), 0)))
    assert (found["temperature"], found["max_tokens"]) == (1.0, 400)
    outside = GRID.parameters(space.snap(Point(np.array([-3.0, 9.0]), 0)))
    assert (outside["temperature"], outside["max_tokens"]) == (0.5, 1600)


def test_what_was_not_recorded_is_never_snapped_to() -> None:
    rng = np.random.default_rng(0)
    allowed = rng.random(MODELS.size) < 0.3
    space = space_of(MODELS, allowed, int(np.flatnonzero(allowed)[0]))
    drawn = [Point(rng.random(2), int(rng.integers(3))) for _ in range(200)]
    snapped = [space.snap(point) for point in drawn]
    assert np.all(allowed[snapped])
    assert [int(i) % 3 for i in snapped] == [point.model for point in drawn]  # the model is the last axis


def test_a_model_that_no_limit_allows_is_no_choice() -> None:
    grid = MODELS.decode(np.arange(MODELS.size))
    two = space_of(MODELS, grid[:, -1] != 1, 0)
    assert two.models == ("small", "large")
    assert MODELS.parameters(two.snap(Point(np.zeros(2), 1)))["model"] == "large"
    one = space_of(MODELS, grid[:, -1] == 2, 2)
    assert one.models == () and not one.model.any()


def test_a_start_that_is_not_legal_is_refused() -> None:
    with pytest.raises(ValueError, match="action 3, is not among the 79 legal actions"):
        space_of(GRID, np.arange(GRID.size) != 3, 3)
