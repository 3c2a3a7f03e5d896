"""Streams of a table: the rows' own numbers, whatever stands between them."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from evaluators.reading import tables
from evaluators.reading.tables import names_of, parts, pick
from tests.other_logs import columns, draw, write_table


def test_lines_of_another_width_are_lost_under_their_own_numbers(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a,b\n1,1\nbroken\n2,2\n1,2,3\n3,3\n")
    found = list(parts(file, ["a"], rows=100))
    assert np.concatenate([part.row for part in found]).tolist() == [1, 3, 5]
    assert np.concatenate([part.lost for part in found]).tolist() == [2, 4]
    assert [v for part in found for v in part.table.column("a").to_pylist()] == ["1", "2", "3"]


def test_numbers_hold_over_blocks_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK", 4_000)
    bad = {5, 900, 901, 3_000}
    lines = ["x,y,z" if i in bad else f"{i},{i}" for i in range(1, 3_001)]
    (tmp_path / "a.csv").write_text("\n".join(["a,b", *lines]) + "\n")
    found = list(parts(tmp_path / "a.csv", ["b"], rows=100))
    assert len(found) > 5
    assert sorted(np.concatenate([part.lost for part in found]).tolist()) == sorted(bad)
    rows = np.concatenate([part.row for part in found])
    values = [v for part in found if part.table is not None for v in part.table.column("b").to_pylist()]
    assert [str(row) for row in rows] == values


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_every_kind_of_file_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    file = write_table(tmp_path / name, columns(draw(50)))
    found = list(parts(file, ["id", "reward"], rows=7))
    assert names_of(file)[:3] == ("id", "reward", "propensity")
    assert np.concatenate([part.row for part in found]).tolist() == list(range(1, 51))
    assert [v for part in found for v in part.table.column("id").to_pylist()] == [f"row-{i}" for i in range(50)]


def test_a_name_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="no column 'rewrad'.*'reward'"):
        pick(Path("a.csv"), ["reward", "action"], ["rewrad"])


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no parquet")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 9_000)[:-400])
    with pytest.raises(ValueError, match="cannot be read as Parquet"):
        names_of(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="cannot be read as CSV"):
        list(parts(tmp_path / "b.csv.gz", ["a"], rows=10))
    with pytest.raises(FileNotFoundError, match="need a log"):
        names_of(tmp_path / "c.csv")
