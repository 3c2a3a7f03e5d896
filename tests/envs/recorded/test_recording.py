"""From a table to units, actions and parts; what is left out is said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.lattice import Axis
from envs.recorded import recording
from envs.recorded.recording import Columns, Recording, Source, read_recording
from envs.targets import ConfigError

ABSENT = {"max_tokens": "4096", "top_p": "1", "frequency_penalty": "0", "presence_penalty": "0", "model": "default"}
Write = Callable[..., Path]


@pytest.fixture
def read(columns: Columns) -> Callable[..., Recording]:
    """Reads a table, with columns and settings changed at will."""

    def recording(path: Path, *, of: dict[str, Any] | None = None, **settings: Any) -> Recording:
        return read_recording(Source(str(path), replace(columns, **(of or {})), absent=ABSENT, **settings))

    return recording


def test_a_unit_is_a_problem_within_a_task_type(read: Callable[..., Recording], write: Write, answers: Any) -> None:
    got = read(write(answers))
    assert got.names == ("a", "b")
    assert got.task.tolist() == [0] * 8 + [1] * 8
    assert got.cluster.tolist() == [*range(8), *range(8)], "one problem is one cluster in every task type"
    assert [task.model_name for task in got.tasks] == ["a"] * 8 + ["b"] * 8
    assert [task.prompt_tokens for task in got.tasks] == [*range(100, 108)] * 2
    assert got.lattice.axes[0].values == ("0", "0.5", "1", "1.5")
    assert [axis.values for axis in got.lattice.axes[1:]] == [("4096",), ("1",), ("0",), ("0",), ("default",)]


def test_every_row_has_its_unit_action_and_parts(read: Callable[..., Recording], write: Write, answers: Any) -> None:
    got = read(write(answers), token_unit=4.0)
    for i in (0, 17, 63, len(answers) - 1):
        model, problem, temperature, score, _, length, _ = answers[i]
        assert got.names[got.task[got.unit[i]]] == model
        assert got.cluster[got.unit[i]] == int(problem[1:])
        assert got.lattice.parameters(int(got.action[i]))["temperature"] == temperature
        assert got.parts[i].tolist() == [score, length / 4.0, 0.0, 0.0, 0.0, 0.0]


def test_the_order_of_rows_does_not_matter(read: Callable[..., Recording], write: Write, answers: Any) -> None:
    one, two = read(write(answers)), read(write(answers[::-1], name="reversed.csv"))
    assert one.names == two.names and one.tasks == two.tasks and one.lattice == two.lattice
    assert np.array_equal(one.unit, two.unit[::-1]) and np.array_equal(one.action, two.action[::-1])


def test_grid_values_are_compared_as_decimals_not_as_text(read: Callable[..., Recording], write: Write) -> None:
    rows = [("a", f"p{p}", t, 1, 1, 1, 0) for p in range(2) for t in ("0.70", "0.7", "1e0", "10", "2")]
    got = read(write(rows))
    assert got.lattice.axes[0].values == ("0.7", "1", "2", "10")
    assert got.action.tolist() == [0, 0, 1, 3, 2] * 2


def test_a_task_type_is_named_by_the_columns_that_vary(read: Callable[..., Recording], write: Write) -> None:
    header = ("model", "problem", "temperature", "score", "tokens", "length", "error", "exam")
    rows = [(m, p, 0, 1, 1, 1, 0, e) for m in "ab" for p in "xy" for e in ("e1", "e2")]
    path = write(rows, header=header)
    of = {"task_type": ("model", "exam")}
    assert read(path, of=of).names == ("a/e1", "a/e2", "b/e1", "b/e2")
    assert read(path, of=of, where={"exam": "e1"}).names == ("a", "b")
    assert read(path, of=of, where={"exam": ("e1",), "model": "b"}).names == ("b",)
    assert read(path, of={"task_type": "exam", "model": None}).names == ("e1", "e2")
    assert read(path, of={"model": None}).names == ("all",)
    assert read(path, of=of | {"problem": ("exam", "problem")}).cluster.tolist() == [0, 1, 2, 3] * 2


def test_where_says_how_many_rows_it_kept(read: Callable[..., Recording], write: Write, answers: Any) -> None:
    got = read(write(answers), where={"model": "a"})
    assert got.notes[0].startswith("answers.csv (sha256 ") and "112 rows, 48 of them after world.where." in got.notes[0]
    with pytest.raises(ConfigError, match=r"world\.where\.model: got 'c', need one of a, b"):
        read(write(answers), where={"model": "c"})
    with pytest.raises(ConfigError, match="values that some row of answers.csv has together"):
        read(write(answers), where={"model": "a", "temperature": "1.5"})


def test_a_bad_row_is_refused_unless_rows_may_be_left_out(
    read: Callable[..., Recording], write: Write, answers: Any
) -> None:
    rows = [*answers, ("a", "p0", "", 1, 100, 10, 0), ("a", "p0", 0.5, "", 100, 10, 0), ("a", "p0", 9e9, 1, 1, 1, 0)]
    with pytest.raises(ConfigError, match=r"column 'temperature', row 113, 1 such rows\); 3 of 115.*skip_bad=true"):
        read(write(rows))
    got = read(write(rows), skip_bad=True)
    assert len(got.unit) == len(answers)
    said = next(note for note in got.notes if "skip_bad" in note)
    assert said.startswith("3 of 115 rows (2.61 %) are bad: 1 with an empty cell in 'temperature', 1 with a number out")
    with pytest.raises(ConfigError, match=r"world\.max_bad_share: got 0\.02, need 0\.0261 or more"):
        read(write(rows), skip_bad=True, max_bad_share=0.02)


def test_rows_that_where_leaves_out_are_not_bad_rows(
    read: Callable[..., Recording], write: Write, answers: Any
) -> None:
    got = read(write([*answers, ("c", "p0", "hot", "", 100, 10, 0)]), where={"model": ("a", "b")})
    assert len(got.unit) == len(answers) and not any("bad" in note for note in got.notes)


def test_an_id_that_stands_twice_is_a_bad_row(read: Callable[..., Recording], write: Write) -> None:
    header = ("model", "problem", "temperature", "score", "tokens", "length", "error", "request")
    rows = [("a", p, t, 1, 1, 1, 0, f"{p}/{t}") for p in "xy" for t in (0, 1)]
    path = write([*rows, *rows[:1]], header=header)
    assert len(read(path).unit) == 5
    with pytest.raises(ConfigError, match=r"world\.columns\.id: got 'x/0', need a value that no other row has .*row 5"):
        read(path, of={"id": "request"})
    assert len(read(path, of={"id": "request"}, skip_bad=True, max_bad_share=0.2).unit) == 4


def test_problems_are_pooled_into_groups_that_are_the_same_in_every_task_type(
    read: Callable[..., Recording], write: Write, answers: Any
) -> None:
    got = read(write(answers), groups=4)
    assert got.task.tolist() == [0] * 4 + [1] * 4 and got.cluster.tolist() == [*range(4), *range(4)]
    problem = np.array([int(row[1][1:]) for row in answers])
    group = got.cluster[got.unit]
    for one in range(8):
        assert len(set(group[problem == one])) == 1
    assert sorted(len(set(problem[group == one])) for one in range(4)) == [2] * 4
    assert any("8 problems were dealt at random into 4 groups (world.groups)" in note for note in got.notes)
    other = read(write(answers), groups=4, split_seed=1)
    assert not np.array_equal(group, other.cluster[other.unit])


def test_models_become_values_of_an_axis(read: Callable[..., Recording], write: Write, answers: Any) -> None:
    got = read(write(answers), model_is="action")
    assert got.lattice.axes[-1] == ("model", ("a", "b")) and got.lattice.shape == (4, 1, 1, 1, 1, 2)
    assert got.names == ("all",) and len(got.tasks) == 8 and {task.model_name for task in got.tasks} == {None}
    for i in (0, 30, 70):
        assert got.lattice.parameters(int(got.action[i]))["model"] == answers[i][0]
    with pytest.raises(ConfigError, match=r"task_type: got \['error', 'model'\], need columns other than the model"):
        read(write(answers), of={"task_type": ("error", "model")}, model_is="action")


def test_a_model_column_that_is_empty_everywhere_is_left_aside(
    read: Callable[..., Recording], write: Write, answers: Any
) -> None:
    nameless = [("", *row[1:]) for row in answers if row[0] == "b"]
    got = read(write(nameless))
    assert got.names == ("all",) and any("'model' is empty in every row" in note for note in got.notes)
    for choice in ("action", "auto"):
        same = read(write(nameless), model_is=choice)
        assert same.lattice.axes[-1] == ("model", ("default",)) and same.notes == got.notes
    with pytest.raises(ConfigError, match=r"columns\.model: got '', need a value in every row"):
        read(write([*answers, nameless[0]]))


def test_an_interpolated_axis_is_filled_up_evenly(read: Callable[..., Recording], write: Write, answers: Any) -> None:
    got = read(write(answers), interpolate={"temperature": "0.25"})
    assert got.lattice.axes[0].values == ("0", "0.25", "0.5", "0.75", "1", "1.25", "1.5")
    assert set(got.action.tolist()) == {0, 2, 4, 6}


def test_a_gap_is_filled_with_values_that_no_row_has_and_interpolation_goes_first(
    read: Callable[..., Recording], write: Write
) -> None:
    rows = [("a", f"p{p}", t, 1, cap, p, 0) for p in range(2) for t, cap in (("0.6", 100), ("0.8", 200), ("0.9", 400))]
    of = {"max_tokens": "tokens", "input_tokens": None}
    got = read(write(rows), of=of, fill_gaps=True)
    assert [axis.values for axis in got.lattice.axes[:2]] == [
        ("0.6", "0.7", "0.8", "0.9"),
        ("100", "200", "300", "400"),
    ]
    assert got.lattice.decode(got.action)[:3, :2].tolist() == [[0, 0], [2, 1], [3, 3]]
    assert any("1 of the 4 values of temperature, 1 of the 4 values of max_tokens." in note for note in got.notes)
    line = read(write(rows), of=of, fill_gaps=True, interpolate={"temperature": "0.05"})
    assert line.lattice.shape[:2] == (7, 4)
    assert any("never to be played: 1 of the 4 values of max_tokens." in note for note in line.notes)
    off = read(write(rows), of=of)
    assert off.lattice.shape[:2] == (3, 3) and not any("fill_gaps" in note for note in off.notes)


def test_more_combinations_than_a_table_holds_are_refused() -> None:
    axes = (Axis("temperature", tuple(map(str, range(1000)))), Axis("max_tokens", ("1",)))
    assert recording._lattice(axes, n_units=1000).size == 1000
    need = r"got 'values: temperature 1000', need at most 1048576 actions, .*\(100000\); .* or world\.fill_gaps=false"
    with pytest.raises(ConfigError, match=need):
        recording._lattice(axes, n_units=100_000)


def test_an_unknown_request_length_is_unknown_and_failed_calls_do_not_count(
    read: Callable[..., Recording], write: Write
) -> None:
    rows = [("a", "p0", 0, 1, "", 1, 0), ("a", "p1", 0, 1, 50, 1, 0), ("a", "p1", 0, 0, 0, 1, 1)]
    got = read(write(rows))
    assert [task.prompt_tokens for task in got.tasks] == [None, 50]


def test_a_unit_of_two_models_is_refused(read: Callable[..., Recording], write: Write) -> None:
    rows = [("a", "p0", 0, 1, 1, 1, 0), ("b", "p0", 0, 1, 1, 1, 0)]
    with pytest.raises(ConfigError, match=r"row 2 has 'b', the unit began with 'a' \(add it to columns\.task_type,"):
        read(write(rows), of={"task_type": "error"})


@pytest.mark.parametrize(
    ("column", "bad", "message"),
    [
        (2, "hot", r"world\.columns\.temperature: got 'hot', need a decimal number >= 0 and <= 100 in .*row 113"),
        (2, "nan", r"world\.columns\.temperature: got 'nan'"),
        (2, "-0.1", r"world\.columns\.temperature: got '-0\.1'"),
        (3, "nan", r"world\.columns\.quality: got 'nan', need a number >= 0 and <= 1 .*row 113, 1 such rows"),
        (3, "1.5", r"world\.columns\.quality: got '1\.5'"),
        (4, "many", r"world\.columns\.input_tokens: got 'many'"),
        (5, "-1", r"world\.columns\.output_tokens: got '-1'"),
        (6, "maybe", r"world\.columns\.failure: got 'maybe', need a number >= 0 and <= 1"),
    ],
)
def test_a_cell_that_cannot_be_used_is_refused_by_name(
    read: Callable[..., Recording], write: Write, answers: Any, column: int, bad: str, message: str
) -> None:
    row = ["a", "p0", 0, 1, 100, 10, 0]
    row[column] = bad
    with pytest.raises(ConfigError, match=message):
        read(write([*answers, tuple(row)]))


def test_what_the_record_lacks_is_said(read: Callable[..., Recording], write: Write, answers: Any) -> None:
    odd = [*answers, ("a", "p0", 0.0, 1, 100, 10, "true")]
    notes = read(write(odd)).notes
    assert any(
        "one value each, the baseline's: max_tokens, top_p, frequency_penalty, presence_penalty." in n for n in notes
    )
    assert any("shown as 0 and without a weight in the reward: latency_ms, cost_usd, truncated." in n for n in notes)
    assert any(n.startswith("1 rows report a failed call and a quality above 0") for n in notes)
