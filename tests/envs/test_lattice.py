"""The lattice: ids and coordinates are inverse, decimals are exact, refusals name the nearest value."""

from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.lattice import AXES, MODEL, Axis, AxisRange, Lattice, LatticeRanges, coordinates, places

SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=5)
FAST = settings(derandomize=True, database=None, deadline=None, max_examples=60)


def lattice_of(shape: list[int]) -> Lattice:
    return Lattice(tuple(Axis(name, tuple(map(str, range(n)))) for name, n in zip(AXES, shape, strict=False)))


@pytest.fixture(scope="module")
def grid() -> Lattice:
    return Lattice.from_ranges(
        LatticeRanges(
            temperature=AxisRange("0.0", "2.0", "0.1"),
            max_tokens=AxisRange("112", "1012", "100"),
            top_p=AxisRange("0.7", "1.0", "0.1"),
        )
    )


@FAST
@given(SHAPES)
def test_encode_and_decode_are_inverse_for_every_id(shape: list[int]) -> None:
    lattice = lattice_of(shape)
    ids = np.arange(lattice.size, dtype=np.int32)
    points = lattice.decode(ids)
    assert lattice.size == np.prod(shape) and lattice.shape == tuple(shape)
    assert np.array_equal(lattice.encode(points), ids)
    assert np.all((points >= 0) & (points < np.array(shape)))
    assert points.dtype == np.int32 and lattice.encode(points).dtype == np.int32


@FAST
@given(SHAPES)
def test_ids_count_in_row_major_order(shape: list[int]) -> None:
    lattice = lattice_of(shape)
    points = lattice.decode(np.arange(lattice.size))
    assert np.array_equal(points.T, np.indices(shape).reshape(len(shape), -1))


@pytest.mark.parametrize("shape", [(4,), (2, 1, 3), (21, 10, 4, 1, 1)])
def test_coordinates_in_jax_are_those_in_numpy(shape: tuple[int, ...]) -> None:
    ids = np.arange(np.prod(shape), dtype=np.int32)
    found = coordinates(shape, jnp.asarray(ids))
    assert np.array_equal(found, coordinates(shape, ids)) and found.dtype == np.int32


def test_parameters_and_action_id_are_inverse_for_every_action(grid: Lattice) -> None:
    assert grid.size == 21 * 10 * 4
    assert [grid.action_id(grid.parameters(i)) for i in range(grid.size)] == list(range(grid.size))


def test_every_grid_value_is_the_exact_decimal(grid: Lattice) -> None:
    temperatures = grid.axes[0].values
    assert [Fraction(v) for v in temperatures] == [Fraction(i, 10) for i in range(21)]
    assert grid.parameters(grid.size - 1)["temperature"] == 2.0
    # 0.9 - 0.7 exceeds 0.2 in floats; on the grid both are whole steps
    assert temperatures.index("0.9") - temperatures.index("0.7") == 2


def test_max_tokens_is_an_int_and_the_others_are_floats(grid: Lattice) -> None:
    assert {name: type(value) for name, value in grid.parameters(5).items()} == {
        name: int if name == "max_tokens" else float for name in AXES
    }


def test_an_axis_with_one_value_may_be_left_out(grid: Lattice) -> None:
    named = {"temperature": 0.7, "max_tokens": 512, "top_p": "1.0"}
    assert grid.parameters(grid.action_id(named)) == {
        "temperature": 0.7,
        "max_tokens": 512,
        "top_p": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.1 + 0.2}, r"temperature = 0\.30000000000000004 is not on the grid, .* is 0\.3 "),
        ({"temperature": 0.74}, r"nearest value is 0\.7 \(grid 0\.0 to 2\.0, 21 values\)"),
        ({"temperature": -1}, r"nearest value is 0\.0 "),
        ({"max_tokens": 100_000}, r"nearest value is 1012 "),
        ({"temperature": "warm"}, r"temperature = 'warm', need a decimal number"),
        ({"temperature": float("nan")}, r"temperature = nan, need a finite decimal"),
        ({"temperature": None}, r"temperature = None, need a decimal number"),
        ({"temprature": 0.7}, r"unknown parameter 'temprature', need some of \['temperature'"),
        ({"presence_penalty": 0.5}, r"presence_penalty = 0\.5 is not on the grid, the nearest value is 0 "),
    ],
)
def test_a_point_off_the_grid_is_refused_with_the_nearest_value(grid: Lattice, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid.action_id({"temperature": 0.7, "max_tokens": 512, "top_p": 1.0} | change)


def test_a_missing_parameter_is_named(grid: Lattice) -> None:
    with pytest.raises(ValueError, match="'max_tokens' is missing, the grid has 10 values"):
        grid.action_id({"temperature": 0.7, "top_p": 1.0})


@pytest.mark.parametrize("bad", [-1, 840, 2**31])
def test_an_id_outside_the_grid_is_refused(grid: Lattice, bad: int) -> None:
    with pytest.raises(ValueError, match=rf"action id {bad} .*outside the grid, need 0 <= id < 840"):
        grid.parameters(bad)
    with pytest.raises(ValueError, match="at position 1 "):
        grid.decode(np.array([0, bad]))


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (AxisRange("0", "1", "0.3"), "a whole number of steps above start"),
        (AxisRange("1", "0", "0.1"), "start 1, stop 0"),
        (AxisRange("0", "1", "0"), "need step > 0"),
        (AxisRange("0", "1", "-0.1"), "need step > 0"),
        (AxisRange("low", "1", "0.1"), r"lattice\.temperature\.start = 'low', need a decimal"),
        (AxisRange("0", "inf", "0.1"), r"lattice\.temperature\.stop = 'inf', need a finite"),
        (AxisRange("0", "2", "0.000001"), "has 2000001 values, need at most 1048576"),
    ],
)
def test_a_range_that_makes_no_grid_is_refused(bounds: AxisRange, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lattice.from_ranges(LatticeRanges(temperature=bounds))


@pytest.mark.parametrize("values", [(), ("0", "0.0"), ("1", "0"), ("0", "1", "1")])
def test_an_axis_must_have_distinct_ascending_values(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="need distinct ascending values"):
        Lattice((Axis("temperature", values),))


def test_too_many_actions_are_refused() -> None:
    wide = AxisRange("0", "2", "0.001")
    with pytest.raises(ValueError, match="the lattice has 4004001 actions"):
        Lattice.from_ranges(LatticeRanges(temperature=wide, presence_penalty=wide))


def test_models_stand_in_the_order_in_which_they_were_listed() -> None:
    grid = Lattice.from_ranges(LatticeRanges(temperature=AxisRange("0", "1", "0.5")), models=("small", "large", "fast"))
    assert grid.axes[-1] == Axis(MODEL, ("small", "large", "fast"))
    assert grid.shape == (3, 1, 1, 1, 1, 3) and grid.size == 9
    assert [grid.parameters(i)["model"] for i in range(4)] == ["small", "large", "fast", "small"]  # last axis, fastest
    assert grid.values(MODEL).tolist() == [0.0, 1.0, 2.0]
    assert [int(place) for place in places(grid.axes[-1])] == [0, 1, 2]


def test_a_model_is_found_by_its_name() -> None:
    grid = Lattice.from_ranges(LatticeRanges(temperature=AxisRange("0", "1", "0.5")), models=("small", "large"))
    assert grid.action_id({"temperature": 0.5, "model": "large"}) == 3
    assert [grid.action_id(grid.parameters(i)) for i in range(grid.size)] == list(range(grid.size))


def test_an_unknown_or_missing_model_is_refused_by_name() -> None:
    grid = Lattice.from_ranges(LatticeRanges(), models=("small", "large"))
    with pytest.raises(ValueError, match="model = 'lrge', need one of small, large"):
        grid.action_id({"model": "lrge"})
    with pytest.raises(ValueError, match="parameter 'model' is missing, the grid has 2 values for it"):
        grid.action_id({})


def test_a_model_that_nobody_chooses_is_not_a_parameter(grid: Lattice) -> None:
    assert grid.axes[-1] == Axis(MODEL, ("",)) and "model" not in grid.parameters(0)
    alone = Lattice.from_ranges(LatticeRanges(), models=("only",))
    assert alone.parameters(0)["model"] == "only" and alone.action_id({}) == 0


@pytest.mark.parametrize(
    ("models", "message"), [(("a", "b", "a"), "need distinct names"), ((), "need distinct ascending values")]
)
def test_models_must_have_distinct_names(models: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=rf"axis model = .*, {message}"):
        Lattice.from_ranges(LatticeRanges(), models=models)


def test_a_lattice_that_excludes_every_value_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"lattice\.max_tokens: start 512, stop 128, step 1; need .* above start"):
        Lattice.from_ranges(LatticeRanges(max_tokens=AxisRange("512", "128")))
