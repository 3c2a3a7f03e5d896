"""Between recorded settings: weights, holes, ends, and what is refused."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.lattice import AXES, Axis, Lattice
from envs.recorded.interpolation import check_steps, corners, even_grid, inner, without_gaps
from envs.surfaces.replay import Baseline
from envs.targets import ConfigError
from envs.traffic import Context
from envs.world import Noise, Scenario

Build = Callable[..., Scenario]
Write = Callable[..., Path]
FAST = settings(derandomize=True, database=None, deadline=None, max_examples=60)
COLUMNS = dict.fromkeys(AXES) | {"temperature": "t", "max_tokens": "cap", "top_p": "p"}


def plane(n: int, m: int) -> Lattice:
    return Lattice((Axis("temperature", tuple(map(str, range(n)))), Axis("top_p", tuple(map(str, range(m))))))


@FAST
@given(
    st.lists(st.booleans(), min_size=20, max_size=20), st.sampled_from([(), ("temperature",), ("temperature", "top_p")])
)
def test_weights_sum_to_one_on_recorded_corners_whose_mean_is_the_point(
    seen: list[bool], along: tuple[str, ...]
) -> None:
    lattice, recorded = plane(5, 4), np.array([seen])
    got = corners(lattice, recorded, along=along)
    np.testing.assert_allclose(got.weight.sum(axis=-1), 1.0, rtol=1e-15)
    grid = lattice.decode(np.arange(20, dtype=np.int32))
    for action in range(20):
        ids, weight = got.action[0, action], got.weight[0, action]
        np.testing.assert_allclose(weight @ grid[ids], grid[action], atol=1e-12)
        answers = recorded[0, ids].all()
        assert answers or ids.tolist() == [action] * len(ids), "nobody answers for it: it stands for itself"
        if recorded[0, action]:
            assert answers and set(ids) == {action}, "a recorded action answers for itself"
        moved = {i for i in ids if not np.array_equal(grid[i], grid[action])}
        names = ("temperature", "top_p")
        assert all(grid[i, k] == grid[action, k] for i in moved for k in (0, 1) if names[k] not in along)


def test_a_point_between_takes_its_nearest_neighbours_and_none_beyond_the_ends() -> None:
    line = Lattice((Axis("temperature", ("0", "0.1", "0.2", "0.3", "0.4", "0.5")),))
    recorded = np.array([[False, True, True, False, False, True], [True, False, False, False, False, False]])
    got = corners(line, recorded, along=("temperature",))
    assert got.action[0].tolist() == [[0, 0], [1, 1], [2, 2], [2, 5], [2, 5], [5, 5]]
    np.testing.assert_allclose(got.weight[0, 3:5], [[2 / 3, 1 / 3], [1 / 3, 2 / 3]], rtol=1e-15)
    assert got.action[1].tolist() == [[i, i] for i in range(6)], "one recorded value has no neighbours"


def test_two_axes_give_product_weights_and_a_hole_stays_a_hole() -> None:
    lattice, recorded = plane(3, 3), np.zeros((1, 9), np.bool_)
    recorded[0, [0, 2, 6, 8]] = True  # the four ends of a 3 x 3 grid
    got = corners(lattice, recorded, along=("temperature", "top_p"))
    assert got.action[0, 4].tolist() == [0, 2, 6, 8] and got.weight[0, 4].tolist() == [0.25] * 4
    assert got.action[0, 1].tolist() == [0, 2, 0, 2] and got.weight[0, 1].tolist() == [0.5, 0.5, 0.0, 0.0]
    recorded[0, 8] = False
    got = corners(lattice, recorded, along=("temperature", "top_p"))
    assert [recorded[0, got.action[0, i]].all() for i in range(9)] == [True] * 4 + [False, False, True, False, False]


def test_the_cumulative_weight_never_draws_a_corner_without_weight() -> None:
    lattice, recorded = plane(4, 4), np.zeros((1, 16), np.bool_)
    recorded[0, [0, 3, 12, 15]] = True
    got = corners(lattice, recorded, along=("temperature", "top_p"))
    last = np.nextafter(np.float32(1), np.float32(0))
    for action in range(16):
        for u in (0.0, *got.upto[0, action][:-1], float(last), np.nextafter(1.0, 0.0)):
            drawn = int(np.sum(got.upto[0, action] <= u)) if u < 1.0 else 0
            assert drawn < 4 and got.weight[0, action, drawn] > 0


def test_inner_values_have_a_recorded_neighbour_on_either_side_along_one_axis() -> None:
    recorded = np.zeros(12, np.bool_)
    recorded[[0, 1, 3, 4, 8]] = True  # top_p 0, 1, 3 at temperature 0; temperature 0, 1, 2 at top_p 0
    across, along = inner(plane(3, 4), recorded, "top_p"), inner(plane(3, 4), recorded, "temperature")
    assert [part.tolist() for part in across] == [[1], [0], [3], [1 / 3]]
    assert [part.tolist() for part in along] == [[4], [0], [8], [0.5]]


def test_an_even_grid_meets_every_recorded_value_or_says_which_step_does() -> None:
    values = [Decimal(v) for v in ("0", "0.2", "0.5", "1.0")]
    assert [float(v) for v in even_grid("temperature", values, "0.1")] == [i / 10 for i in range(11)]
    with pytest.raises(ConfigError, match=r"interpolate\.temperature: got '0\.3', .*\(0, 0\.2, 0\.5, 1\); 0\.1 does"):
        even_grid("temperature", values, "0.3")
    with pytest.raises(ConfigError, match=r"meets every recorded value \(256, 300, 512\); 4 does"):
        even_grid("max_tokens", [Decimal(256), Decimal(300), Decimal(512)], "100")
    with pytest.raises(ConfigError, match="recorded at two values or more; it has 0 only"):
        even_grid("temperature", values[:1], "0.1")
    with pytest.raises(ConfigError, match="this one gives 10000000001"):
        even_grid("temperature", values, "1e-10")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"temprature": "0.1"}, r"an axis of numbers: temperature, .*did you mean 'temperature'"),
        ({"model": "1"}, r"world\.interpolate\.model: got '1', need an axis of numbers"),
        ({"presence_penalty": "1"}, r"need an axis with a column: set world\.columns\.presence_penalty=NAME"),
        ({"temperature": "0"}, r"world\.interpolate\.temperature: got '0', need a decimal number > 0"),
        ({"temperature": "-0.1"}, r"need a decimal number > 0"),
        ({"temperature": "nan"}, r"need a decimal number > 0"),
        ({"max_tokens": "0.5"}, r"need a whole number > 0"),
        ({"temperature": "1", "max_tokens": "1", "top_p": "1"}, r"world\.interpolate: .*need at most 2 axes"),
    ],
)
def test_steps_that_no_axis_can_take_are_refused(steps: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_steps(steps, COLUMNS)


@pytest.mark.parametrize(
    ("recorded", "grid"),
    [
        ("0.6 0.8 0.9 1.4", "0.6 0.7 0.8 0.9 1.0 1.1 1.2 1.3 1.4"),
        ("100 200 400", "100 200 300 400"),
        ("-0.5 0.5", "-0.5 0.5"),  # one gap is even
        ("0.7", "0.7"),
        ("0 0.2 0.5", "0 0.2 0.5"),  # 0.5 is no whole number of the smallest gap
        ("0 1 255", " ".join(map(str, range(256)))),
        ("0 1 256", "0 1 256"),  # 257 values are too many
        ("1 2 1000000000", "1 2 1000000000"),
    ],
)
def test_gaps_are_filled_where_the_recorded_values_lie_on_an_even_grid(recorded: str, grid: str) -> None:
    assert without_gaps([Decimal(v) for v in recorded.split()]) == [Decimal(v) for v in grid.split()]


@pytest.fixture
def uneven(replayed: Build, write: Write) -> Scenario:
    """One task type, 8 problems, T = 0, .2, .5, 1 with 1 to 3 answers, filled up in steps of 0.1."""
    places = enumerate(("0", "0.2", "0.5", "1.0"))
    rows = [
        ("a", f"p{p}", t, ((3 * p + 2 * place + copy) % 5) / 4, 100, 10 * place + copy, 0)
        for place, t in places
        for p in range(8)
        for copy in range(1 + (p + place) % 3)
    ]
    return replayed(write(rows), interpolate={"temperature": "0.1"}, baseline=Baseline(temperature="0.7"))


def test_an_uneven_record_becomes_an_even_grid_of_straight_lines(uneven: Scenario) -> None:
    assert uneven.lattice.axes[0].values == tuple(f"{i / 10:g}" for i in range(11)) and uneven.recorded.all()
    table, x = uneven.table(), np.arange(11) / 10
    recorded = [0, 2, 5, 10]
    for row in table:
        np.testing.assert_allclose(row, np.interp(x, x[recorded], row[recorded]), rtol=1e-12)
    parts = uneven.parts()[0]
    np.testing.assert_allclose(parts.output_tokens[:, 1], parts.output_tokens[:, [0, 2]].mean(axis=1), rtol=1e-12)
    assert uneven.baseline.tolist() == [7]


def test_what_is_drawn_has_the_expectation_of_the_line_and_is_a_recorded_answer(uneven: Scenario) -> None:
    """All of a 30 x 6 grid of midpoints: counts of corners (weights .6, .4) and of 1 to 3 answers come out whole."""
    people, world = uneven.population, uneven.world
    for index in range(8):
        who = Context(np.int32(index), np.int32(0), people.features[index], np.int32(0))
        grid = [((i + 0.5) / 30, (j + 0.5) / 6) for i in range(30) for j in range(6)]
        drawn = [
            world.outcome(uneven.params, 0, who, np.int32(7), noise=Noise(np.array(u), np.zeros(0)))[1] for u in grid
        ]
        assert np.mean(drawn) == pytest.approx(uneven.table()[index, 7], rel=1e-12)
        assert set(np.round(drawn, 12)) <= {0.0, 0.25, 0.5, 0.75, 1.0}


def test_the_notes_say_how_much_is_interpolated(uneven: Scenario) -> None:
    note = next(n for n in uneven.notes if n.startswith("Interpolated"))
    assert "temperature in steps of 0.1. Of 11 pairs of task type and action 4 are recorded and 7 lie between" in note
    assert "nothing is extrapolated" in note and "The baseline itself is interpolated." in uneven.notes
    assert any(n.startswith("Left out one at a time, 2 recorded values lie") for n in uneven.notes)


def test_off_is_the_default_and_says_nothing(replayed: Build, write: Write, answers: Any) -> None:
    got = replayed(write(answers))
    assert got.lattice.shape == (4, 1, 1, 1, 1, 1) and not any("nterpolated" in note for note in got.notes)


def test_a_task_type_is_not_extrapolated_to_what_another_one_recorded(
    replayed: Build, write: Write, answers: Any
) -> None:
    got = replayed(write(answers), interpolate={"temperature": "0.25"})
    assert got.recorded.tolist() == [[True] * 5 + [False] * 2, [True] * 7]
    assert np.isnan(got.table()[:8, 5:]).all() and np.isfinite(got.table()[8:]).all()
