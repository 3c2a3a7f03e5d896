"""The survey finds what only a whole file can tell; the rows that follow are those that can be used."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evaluators.reading.batches import Batch, Facts
from evaluators.reading.dsjson import Dsjson
from evaluators.reading.mapped import Columns, Mapped
from evaluators.reading.passes import Survey, folds, survey, usable
from tests.other_logs import columns, draw, line, write_lines, write_table

DRAWN = draw(2_000)


class Held:
    """Batches in memory as a file."""

    def __init__(self, *batches: Batch) -> None:
        self._batches = batches

    def batches(self, facts: Facts | None = None) -> Iterator[Batch]:
        del facts
        yield from self._batches

    def facts(self) -> Facts:
        return Facts(("0",), 1)


def surveyed(file: Path, tmp_path: Path, **given: Any) -> tuple[Mapped, Survey]:
    reader = Mapped(file, Columns(id="id", behavior="b_*"))
    return reader, survey(reader, tmp_path / "rejected.csv", **{"most": 0.01, **given})


def batch(first: int, **given: Any) -> Batch:
    n = len(next(iter(given.values())))
    row = np.arange(first, first + n)
    return Batch(row, np.ones(n), np.full(n, 0.5), np.zeros(n, np.int64))._replace(**given)


def test_a_clean_file_is_used_whole(tmp_path: Path) -> None:
    reader, found = surveyed(write_table(tmp_path / "a.csv", columns(DRAWN)), tmp_path)
    assert found.tally == {"used": 2_000}
    assert found.reward_seen == (0.0, 1.0)
    assert sum(b.row.size for b in usable(reader, found)) == 2_000
    assert (tmp_path / "rejected.csv").read_text() == "row,id,reason,value\n"


def test_a_repeated_id_is_rejected_everywhere_but_first_and_says_where_that_was(tmp_path: Path) -> None:
    ids = [["a", "b", "c"], ["b", "d", "a"], ["b", "e", "f"]]
    held = Held(*(batch(1 + 3 * i, ids=pa.array(part)) for i, part in enumerate(ids)))
    found = survey(held, tmp_path / "rejected.csv", most=0.5)
    assert found.tally == {"used": 6, "duplicate": 3}
    rows = list(csv.reader((tmp_path / "rejected.csv").read_text().splitlines()))
    assert rows[1:] == [["4", "b", "duplicate", "2"], ["6", "a", "duplicate", "1"], ["7", "b", "duplicate", "2"]]
    assert np.concatenate([b.row for b in usable(held, found)]).tolist() == [1, 2, 3, 5, 8, 9]


def test_rows_without_an_id_do_not_repeat_each_other(tmp_path: Path) -> None:
    held = Held(batch(1, ids=pa.array(["a", "", None])), batch(4, ids=pa.array(["", "a", " "])))
    found = survey(held, tmp_path / "rejected.csv", most=0.5)
    assert found.tally == {"used": 5, "duplicate": 1}
    assert (found.has_ids, found.without_id) == (True, 4)
    assert np.concatenate([b.row for b in usable(held, found)]).tolist() == [1, 2, 3, 4, 6]
    none = survey(Held(batch(1, ids=pa.array(["", ""]))), tmp_path / "rejected.csv", most=0.0)
    assert (none.has_ids, none.without_id, none.tally) == (False, 0, {"used": 2})


def test_rows_without_an_id_are_folded_by_their_number() -> None:
    blank, plain = batch(1, ids=pa.array([""] * 500)), batch(1, reward=np.ones(500))
    assert np.array_equal(folds(blank, 5), folds(plain, 5))


def test_a_row_that_cannot_be_used_makes_no_later_one_a_duplicate(tmp_path: Path) -> None:
    held = Held(batch(1, ids=pa.array(["a", "a", "a"]), reward=np.array([np.nan, 1.0, 2.0])))
    found = survey(held, tmp_path / "rejected.csv", most=1.0)
    assert found.tally == {"used": 1, "no_reward": 1, "duplicate": 1}
    assert [b.row.tolist() for b in usable(held, found)] == [[2]]


def test_duplicates_beyond_the_share_are_refused_too(tmp_path: Path) -> None:
    table = columns(DRAWN)
    table["id"][:21] = ["same"] * 21
    with pytest.raises(ValueError, match=r"20 of 2,000 rows \(1.00%\)|20 duplicate"):
        surveyed(write_table(tmp_path / "a.csv", table), tmp_path, most=0.0099)
    _, found = surveyed(write_table(tmp_path / "a.csv", table), tmp_path, most=0.01)
    assert found.tally["duplicate"] == 20


def test_every_rejected_row_is_listed_and_none_is_lost(tmp_path: Path) -> None:
    table = columns(DRAWN)
    for name, at, value in (("reward", 3, "n/a"), ("propensity", 5, ""), ("propensity", 7, 1.4), ("action", 9, "yew")):
        table[name][at] = value
    reader, found = surveyed(write_table(tmp_path / "a.csv", table), tmp_path)
    rows = list(csv.reader((tmp_path / "rejected.csv").read_text().splitlines()))[1:]
    assert {(r[0], r[1], r[2]) for r in rows} == {
        ("4", "row-3", "no_reward"), ("6", "row-5", "no_propensity"),
        ("8", "row-7", "propensity_outside"), ("10", "row-9", "action_outside"),
    }  # fmt: skip
    assert sum(found.tally.values()) == 2_000
    assert sum(b.row.size for b in usable(reader, found)) == 1_996


def test_rows_dropped_at_one_rate_need_no_thinning(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.json", [line(DRAWN, i, pdrop=0.5) for i in range(200)])
    assert survey(Dsjson(file), tmp_path / "rejected.csv", most=0.0).tally == {"used": 200}


def test_thinned_rows_leave_every_row_the_same_chance(tmp_path: Path) -> None:
    """Rows never dropped are kept with 1 - 0.75 = 1/4, those dropped at 0.75 all: |z| <= 4 (6 in 100,000)."""
    n = 8_000
    drop = np.where(np.arange(n) % 2 == 0, 0.0, 0.75)
    held = Held(batch(1, ids=pa.array([f"r{i}" for i in range(n)]), drop_prob=drop))
    found = survey(held, tmp_path / "rejected.csv", most=0.0)
    kept = np.concatenate([b.row for b in usable(held, found)])
    assert (kept % 2 == 0).sum() == n / 2
    assert abs((kept % 2 == 1).sum() - n / 8) <= 4 * np.sqrt(n / 2 * 0.25 * 0.75)
    assert found.tally == {"used": kept.size, "thinned": n - kept.size}


def test_folds_are_of_equal_size_follow_ids_and_keep_clusters_together() -> None:
    n = 10_000
    ids = pa.array([f"r{i}" for i in range(n)])
    one = batch(1, ids=ids)
    fold = folds(one, 5)
    assert np.abs(np.bincount(fold, minlength=5) - n / 5).max() <= 4 * np.sqrt(n * 0.16)
    moved = batch(77, ids=ids.slice(100, 50))
    assert np.array_equal(folds(moved, 5), fold[100:150])
    cluster = np.arange(n) % 40
    together = folds(one._replace(cluster=cluster), 5)
    assert all(np.unique(together[cluster == c]).size == 1 for c in range(40))
