"""A user's table is read as it is written, or refused by name."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from envs.recorded.tables import Table, codes_of, file_digest, numbers, read_table, rows_where, take
from envs.targets import ConfigError

HEADER = ("id", "t", "score")
ROWS = [("b", "0.10", 1), ("a", "0.2", "0.5"), ("b", "", 0)]
WANTED = {"world.columns.problem": "id", "world.columns.temperature": "t", "world.columns.quality": "score"}


def cells(table: Table, name: str) -> list[str]:
    labels, codes = table.columns[name]
    return [labels[code] for code in codes]


def refusal(path: Path, wanted: dict[str, str] = WANTED) -> str:
    with pytest.raises(ConfigError) as caught:
        read_table(path, wanted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_cells_stay_the_text_that_was_written(write: Callable[..., Path]) -> None:
    table = read_table(write(ROWS, header=HEADER), WANTED)
    assert cells(table, "t") == ["0.10", "0.2", ""]
    assert cells(table, "score") == ["1", "0.5", "0"]
    assert table.rows.tolist() == [1, 2, 3]


def test_a_compressed_and_a_parquet_table_are_the_same_table(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write([("b", 0.1, 1.0), ("a", 0.25, 0.5)], header=HEADER)
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    typed = pa.table({"id": ["b", "a"], "t": pa.array([0.1, 0.25], pa.float32()), "score": [1.0, 0.5], "left": [1, 2]})
    parquet.write_table(typed, tmp_path / "x.parquet")
    plain, packed, columnar = (read_table(p, WANTED) for p in (path, tmp_path / "x.csv.gz", tmp_path / "x.parquet"))
    assert cells(plain, "t") == cells(packed, "t") == cells(columnar, "t") == ["0.1", "0.25"]
    values = [numbers(t, "score", "world.columns.quality", high=1.0).tolist() for t in (plain, packed, columnar)]
    assert values == [[1.0, 0.5]] * 3
    assert set(columnar.columns) == {"id", "t", "score"}, "columns nobody asked for are not read"


def test_a_missing_file_a_wrong_kind_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    assert "need a file or a folder that exists" in refusal(tmp_path / "no.csv")
    assert "need a folder with files whose names end in .parquet or .pq" in refusal(tmp_path)
    for name, content, words in (
        ("a.xlsx", b"x", "a folder, or a file whose name ends in one of .csv, .csv.gz"),
        ("a.csv", b"", "a table that can be read (Empty CSV file)"),
        ("b.csv", b"id,t,score\n", "a table with rows; this one has a header only"),
        ("c.csv", b"id,t,score\n1,2\n", "a table that can be read"),
        ("d.csv", b"id,t,score\n\xff\xfe,1,1\n", "a table that can be read"),
        ("a.csv.gz", b"id,t,score\n1,2,3\n", "a table that can be read"),
        ("a.parquet", b"PAR1", "a table that can be read"),
    ):
        (tmp_path / name).write_bytes(content)
        assert words in refusal(tmp_path / name), name


def write_parts(folder: Path, **parts: pa.Table) -> Path:
    for name, part in parts.items():
        file = folder / f"{name.replace('__', '/')}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(part, file)
    return folder


def test_a_folder_of_parquet_files_is_one_table_in_the_order_of_their_names(tmp_path: Path) -> None:
    one = pa.table({"id": ["b", "a"], "t": [0.1, 0.2], "score": [1.0, None]})
    two = pa.table({"score": pa.array([1], pa.int64()), "t": pa.array([0.25], pa.float32()), "id": ["c"], "left": [0]})
    folder = write_parts(tmp_path / "log", b__two=two, a=one, c=one.slice(0, 0))
    (folder / "notes.txt").write_text("not a table")
    (folder / ".draft.parquet").write_bytes(b"half a file")
    table = read_table(folder, WANTED)
    assert cells(table, "id") == ["b", "a", "c"] and cells(table, "t") == ["0.1", "0.2", "0.25"]
    assert cells(table, "score") == ["1", "", "1"]
    assert table.rows.tolist() == [1, 2, 3]
    assert [table.spot(i) for i in range(3)] == ["row 1 of a.parquet", "row 2 of a.parquet", "row 1 of b/two.parquet"]
    assert take(table, np.array([False, False, True])).spot(0) == "row 1 of b/two.parquet"


def test_a_refusal_names_the_file_of_a_folder(tmp_path: Path) -> None:
    good = pa.table({"id": ["a"], "t": [0.1], "score": [1.0]})
    folder = write_parts(tmp_path / "log", a=good, b=good.rename_columns(["id", "t", "scores"]))
    assert "got 'score', need a column of b.parquet: id, t, scores; did you mean 'scores'?" in refusal(folder)
    (folder / "b.parquet").write_bytes(b"PAR1")
    assert "b.parquet', need a table that can be read" in refusal(folder)
    folder = write_parts(tmp_path / "nested", a=good, b=pa.table({"id": [["x"]], "t": [0.1], "score": [1.0]}))
    assert "need a table that can be read" in refusal(folder)
    folder = write_parts(tmp_path / "bad", a=good, b=pa.table({"id": ["b", "c"], "t": [0.1, 0.1], "score": [0.5, 7.0]}))
    with pytest.raises(
        ConfigError, match=r"got '7', need a number >= 0 and <= 1 .*\(column 'score', row 2 of b\.parquet"
    ):
        numbers(read_table(folder, WANTED), "score", "s", high=1.0)


def test_an_unknown_column_is_refused_with_the_nearest_name(write: Callable[..., Path]) -> None:
    path = write(ROWS, header=HEADER)
    message = refusal(path, WANTED | {"world.columns.quality": "scores"})
    assert message == (
        "world.columns.quality: got 'scores', need a column of answers.csv: id, t, score; did you mean 'score'?"
    )


def test_two_columns_of_one_name_are_refused(write: Callable[..., Path]) -> None:
    assert "columns of different names; 't' is there twice" in refusal(write([(1, 2, 3)], header=("t", "id", "t")))


@pytest.mark.parametrize("bad", ["nan", "NaN", "inf", "-0.1", "1.01", "abc", "1_0", "NA", "null", "0,5"])
def test_a_cell_that_is_no_number_in_range_is_refused_with_its_row(write: Callable[..., Path], bad: str) -> None:
    rows = [("a", 0, 1)] * 5 + [("a", 0, f'"{bad}"'), ("a", 0, f'"{bad}"')]
    table = read_table(write(rows, header=HEADER), WANTED)
    with pytest.raises(ConfigError) as caught:
        numbers(table, "score", "world.columns.quality", high=1.0)
    assert str(caught.value) == (
        f"world.columns.quality: got {bad!r}, need a number >= 0 and <= 1 in every row "
        "(column 'score', row 6, 2 such rows)"
    )


def test_a_flag_is_true_or_false_and_nothing_between(write: Callable[..., Path]) -> None:
    words = ["True", "false", "1", "0.0", "YES", "no"]
    table = read_table(write([("a", 0, word) for word in words], header=HEADER), WANTED)
    assert numbers(table, "score", "s", flag=True).tolist() == [1, 0, 1, 0, 1, 0]
    table = read_table(write([("a", 0, 0.5)], header=HEADER), WANTED)
    with pytest.raises(ConfigError, match=r"s: got '0\.5', need true or false in every row"):
        numbers(table, "score", "s", flag=True)


def test_an_empty_cell_is_nan_for_the_caller_to_judge(write: Callable[..., Path]) -> None:
    table = read_table(write(ROWS, header=HEADER), WANTED)
    assert np.array_equal(numbers(table, "t", "s"), [0.1, 0.2, np.nan], equal_nan=True)


def test_rows_are_chosen_by_cell_and_keep_their_numbers(write: Callable[..., Path]) -> None:
    table = read_table(write(ROWS, header=HEADER), WANTED)
    kept = take(table, rows_where(table, "id", ("b",)))
    assert kept.rows.tolist() == [1, 3] and cells(kept, "id") == ["b", "b"]
    with pytest.raises(ConfigError, match=r"world\.where\.id: got 'B', need one of a, b"):
        rows_where(table, "id", ("B",))


def test_combinations_of_cells_are_told_apart_by_columns_not_by_their_text(write: Callable[..., Path]) -> None:
    table = read_table(write([("a", "bc", 1), ("ab", "c", 1), ("a", "bc", 0)], header=HEADER), WANTED)
    found, codes = codes_of(table, ("id", "t"))
    assert found == [("a", "bc"), ("ab", "c")] and codes.tolist() == [0, 1, 0]


def test_a_digest_names_the_bytes_of_a_file(write: Callable[..., Path]) -> None:
    path = write(ROWS, header=HEADER)
    first = file_digest(path)
    assert len(first) == 16 and first == file_digest(path)
    path.write_bytes(path.read_bytes() + b" ")
    assert file_digest(path) != first


def test_a_digest_names_the_bytes_of_a_folder_s_tables(tmp_path: Path) -> None:
    part = pa.table({"id": ["a"]})
    folder = write_parts(tmp_path / "log", a=part, b=part)
    first = file_digest(folder)
    (folder / "notes.txt").write_text("not read")
    assert len(first) == 16 and file_digest(folder) == first
    write_parts(folder, b=pa.table({"id": ["b"]}))
    assert file_digest(folder) != first
