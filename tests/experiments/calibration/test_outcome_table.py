"""Reading: names recognised or given, every unusable row counted by its reason, refusals that name their setting."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from envs.targets import ConfigError
from experiments.calibration.outcome_table import Columns, Selection, read_outcomes
from tests import answers

NAMED = Columns(**answers.COLUMNS)


def chosen(columns=NAMED, *, where=None, unit=1.0, bad=0.05):
    return Selection(columns, where or {}, unit, bad)


@pytest.fixture
def file(tmp_path):
    return answers.write(tmp_path / "a.csv", answers.table(n_problems=6, heats=(0.0, 0.5)))


def spoiled(tmp_path, **cells):
    """Forty good rows, the first ones with other cells in some columns."""
    columns = {name: list(values) for name, values in answers.table(n_problems=20, heats=(0.0, 0.5)).items()}
    for name, changed in cells.items():
        columns[name][: len(changed)] = changed
    return answers.write(tmp_path / "b.csv", columns)


def test_named_columns_become_parts(file):
    got, drawn = read_outcomes(file, chosen()), answers.table(n_problems=6, heats=(0.0, 0.5))
    assert got.tasks == ("all",)
    for part, name in answers.COLUMNS.items():
        if part != "problem":
            assert got.parts[part] == pytest.approx(drawn[name].astype(float))
    assert len(np.unique(got.problem)) == 6
    assert np.isnan(got.parts["top_p"]).all()
    assert got.given["quality"] == "score"
    assert "12 rows" in got.notes[0]
    assert got.notes[1] == "Every row can be used."


def test_names_of_the_decision_log_are_known_and_so_are_their_short_forms(tmp_path):
    columns = {
        "guardband.cluster": [0, 0, 1],
        "guardband.task_type": ["a", "b", "b"],
        "gen_ai.request.temperature": [0.5, 0.5, 1.0],
        "gen_ai.request.max_tokens": [512, 512, 256],
        "gen_ai.usage.output_tokens": [100.5, 512.0, 30.0],
        "quality": [1.0, 0.2, 0.4],
        "guardband.outcome.truncated": [0.0, 1.0, 0.0],
    }
    for name in ("one", "two"):
        parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    got = read_outcomes(tmp_path, chosen(Columns()))
    assert got.tasks == ("a", "b")
    assert len(got.task) == 6
    assert got.parts["truncated"].tolist() == [0, 1, 0] * 2
    assert got.parts["max_tokens"].tolist() == [512, 512, 256] * 2
    assert got.problem.tolist() == [0, 0, 1] * 2
    assert not got.is_whole
    assert got.given["quality"] == "quality"


def test_where_keeps_rows_and_several_columns_name_a_task_type(tmp_path):
    columns = {
        "m": ["x", "x", "y", "y"],
        "e": ["p", "q", "p", "q"],
        "k": "1111",
        "temperature": [0] * 4,
        "quality": [1] * 4,
    }
    path = answers.write(tmp_path / "c.csv", columns)
    got = read_outcomes(path, chosen(Columns(task_type=("m", "e", "k"))))
    assert got.tasks == ("x/p", "x/q", "y/p", "y/q")
    kept = read_outcomes(path, chosen(Columns(task_type=("m", "e")), where={"e": "q"}))
    assert kept.tasks == ("x", "y")
    assert "2 of them after experiment.where" in kept.notes[0]


def test_units_of_length_become_tokens(file):
    whole, quarter = (read_outcomes(file, chosen(unit=unit)) for unit in (1.0, 4.0))
    assert quarter.parts["output_tokens"] == pytest.approx(whole.parts["output_tokens"] / 4)
    assert (quarter.unit, quarter.is_whole) == (0.25, True)


def test_rows_without_a_problem_stand_alone(file):
    got = read_outcomes(file, chosen(replace(NAMED, problem=None)))
    assert got.problem.tolist() == list(range(12))


def test_every_unusable_row_is_counted_by_its_reason(tmp_path):
    path = spoiled(tmp_path, score=["oops", "2", "nan"], T=["-1", "0.5"], error=["0", "0", "0", "perhaps"])
    got = read_outcomes(path, chosen(bad=0.2))
    assert len(got.task) == 36
    (said,) = [note for note in got.notes if "cannot be used" in note]
    assert said.startswith("4 of 40 rows cannot be used and were left out: ")
    assert "1 where temperature is not a number from 0 to 100 (column 'T', first: row 1)" in said
    assert "3 where quality is not a number from 0 to 1 (column 'score', first: row 1)" in said
    assert "1 where failure is not true or false (column 'error', first: row 4)" in said


def test_more_unusable_rows_than_allowed_are_refused(tmp_path):
    path = spoiled(tmp_path, score=["oops"] * 3)
    with pytest.raises(
        ConfigError, match=r"^data: got '0.075 unusable', need at most 0.05 of the rows unusable, 3 of 40"
    ):
        read_outcomes(path, chosen())
    all_bad = answers.write(tmp_path / "d.csv", {"temperature": ["x"], "quality": ["y"]})
    with pytest.raises(ConfigError, match="1 of 1"):
        read_outcomes(all_bad, chosen(Columns(), bad=1.0))


def test_an_empty_cell_says_nothing_about_its_part_alone(tmp_path):
    got = read_outcomes(spoiled(tmp_path, score=["", " "]), chosen())
    assert np.isnan(got.parts["quality"][:2]).all()
    assert np.isfinite(got.parts["temperature"]).all()
    assert "Empty cells, which say nothing about their part alone: quality 2." in got.notes


def test_what_cannot_be_read_is_refused_by_name(tmp_path, file):
    refused = [
        (tmp_path / "none.csv", chosen(), r"^data: got .*, need a file that exists"),
        (tmp_path / "a.txt", chosen(), r"^data: got"),
        (file, chosen(replace(NAMED, quality="scor")), r"experiment.columns.quality.*did you mean 'score'"),
        (file, chosen(where={"T": "9"}), r"^experiment.where.T: got '9', need one of"),
        (file, chosen(where={"U": "9"}), r"^experiment.where.U: got 'U', need a column"),
        (file, chosen(Columns()), r"^experiment.columns: got \[\], need columns to fit: temperature and quality"),
        (file, chosen(where={"T": "0.0", "error": "maybe"}), r"^experiment.where.error"),
    ]
    (tmp_path / "a.txt").write_text("temperature,quality\n0,1\n")
    (tmp_path / "empty").mkdir()
    refused.append((tmp_path / "empty", chosen(), "need a folder with Parquet files"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    refused.append((tmp_path / "broken.parquet", chosen(), "^data: got .* a table that can be read"))
    (tmp_path / "bare.csv").write_text("temperature,quality\n")
    refused.append((tmp_path / "bare.csv", chosen(Columns()), "^data: got .* a table with rows"))
    for path, selection, message in refused:
        with pytest.raises(ConfigError, match=message):
            read_outcomes(path, selection)


def test_values_that_no_row_has_together_are_refused(file):
    rows = {"T": "0.0", "item": "3", "prompt": "301"}
    with pytest.raises(ConfigError, match=r"^experiment.where: got .* values that some row of a.csv has together"):
        read_outcomes(file, chosen(where=rows))
