"""Bad rows: every reason found, counted once, refused by name or left out and said."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from envs.recorded.bad_rows import Rule, sift
from envs.recorded.tables import Table, read_table
from envs.targets import ConfigError

HEADER = ("id", "t", "cap", "score", "length")
RULES = {
    "columns.id": Rule("id", "id"),
    "columns.temperature": Rule("t", "decimal", "0", "2"),
    "columns.max_tokens": Rule("cap", "whole", "1"),
    "columns.quality": Rule("score", "number", high="1"),
    "columns.input_tokens": Rule("length", "number", may_be_empty=True),
}
GOOD = ("x", "0.7", "256", "0.5", "")
Read = Callable[..., Table]


@pytest.fixture
def read(write: Callable[..., Path]) -> Read:
    """Some good rows with ids of their own, then others."""

    def table(*others: tuple[str, ...], n_good: int = 8) -> Table:
        rows = [(f"g{i}", *GOOD[1:]) for i in range(n_good)]
        path = write([*rows, *others], header=HEADER)
        return read_table(path, {name: name for name in HEADER})

    return table


def changed(**cells: str) -> tuple[str, ...]:
    return tuple(cells.get(name, cell) for name, cell in zip(HEADER, GOOD, strict=True))


def ids(table: Table) -> list[str]:
    labels, codes = table.columns["id"]
    return [labels[code] for code in codes]


def sifted(table: Table, *, rules: Mapping[str, Rule] = RULES, max_share: float = 0.5) -> tuple[Table, tuple[str, ...]]:
    return sift(table, rules, skip=True, max_share=max_share)


def test_good_rows_pass_without_a_word(read: Read) -> None:
    table = read()
    for skip in (True, False):
        assert sift(table, RULES, skip=skip, max_share=0.0) == (table, ())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"score": "nan"}, "no finite number in 'score'"),
        ({"score": "NaN"}, "no finite number in 'score'"),
        ({"score": "inf"}, "no finite number in 'score'"),
        ({"score": "good"}, "no finite number in 'score'"),
        ({"score": "1_0"}, "no finite number in 'score'"),
        ({"score": "1.01"}, "a number out of range in 'score'"),
        ({"score": "-0.5"}, "a number out of range in 'score'"),
        ({"score": " "}, "an empty cell in 'score'"),
        ({"t": ""}, "an empty cell in 't'"),
        ({"t": "hot"}, "no finite number in 't'"),
        ({"t": "nan"}, "no finite number in 't'"),
        ({"t": "2.0000000000000000001"}, "a number out of range in 't'"),
        ({"cap": "100.5"}, "a number out of range in 'cap'"),
        ({"cap": "0"}, "a number out of range in 'cap'"),
        ({"length": "-1"}, "a number out of range in 'length'"),
        ({"length": "many"}, "no finite number in 'length'"),
        ({"id": ""}, "an empty cell in 'id'"),
        ({"id": "g3"}, "a repeated id in 'id'"),
    ],
)
def test_every_kind_of_bad_row_is_left_out_with_its_reason(read: Read, row: dict[str, str], reason: str) -> None:
    kept, notes = sifted(read(changed(**row)))
    assert ids(kept) == [f"g{i}" for i in range(8)]
    assert notes == (f"1 of 9 rows (11.1 %) are bad: 1 with {reason}. They were left out (world.skip_bad).",)


def test_a_row_is_counted_once_so_the_counts_add_up(read: Read) -> None:
    rows = [changed(id="a", score=""), changed(id="b", t="x", score="nan"), changed(id="b", score="2"), changed(id="b")]
    kept, notes = sifted(read(*rows))
    assert ids(kept)[8:] == ["b"], "the first good row of an id stays"
    assert notes[0].startswith(
        "3 of 12 rows (25 %) are bad: 1 with no finite number in 't', 1 with an empty cell in 'score', "
        "1 with a number out of range in 'score'."
    )


def test_without_leave_the_first_bad_cell_is_named_and_all_are_counted(read: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        sift(read(changed(score="7"), changed(id="y", score="8")), RULES, skip=False, max_share=1.0)
    assert str(caught.value) == (
        "columns.quality: got '7', need a number >= 0 and <= 1 in every row (column 'score', row 9, 2 such rows); "
        "2 of 10 rows are bad; mend them, or set world.skip_bad=true to leave them out"
    )


def test_more_than_the_allowed_share_is_refused_with_the_counts(read: Read) -> None:
    table = read(changed(score="7"), changed(id="y", t=""))
    assert len(sifted(table, max_share=0.2)[0].rows) == 8
    with pytest.raises(ConfigError) as caught:
        sifted(table, max_share=0.19)
    assert str(caught.value) == (
        "world.max_bad_share: got 0.19, need 0.2 or more: 2 of 10 rows (20 %) are bad: 1 with an empty cell in 't', "
        "1 with a number out of range in 'score', the first is '' (column 't', row 10, 1 such rows); mend the table, "
        "or raise it"
    )


def test_a_column_that_was_never_filled_is_not_a_table_of_bad_rows(read: Read) -> None:
    table = read(*(changed(id=f"b{i}", score="") for i in range(3)), n_good=0)
    with pytest.raises(ConfigError, match=r"rows that are not bad\. 3 of 3 rows \(100 %\)"):
        sifted(table, max_share=1.0)


def test_true_and_false_are_numbers_but_not_grid_values(read: Read) -> None:
    kept, notes = sifted(read(changed(score="True"), changed(id="y", t="true")))
    assert ids(kept)[8:] == ["x"] and "1 with no finite number in 't'" in notes[0]


def test_a_rule_without_bounds_says_so() -> None:
    needs: dict[Any, str] = {rule: rule.need for rule in RULES.values()}
    assert list(needs.values()) == [
        "a value that no other row has",
        "a decimal number >= 0 and <= 2",
        "a whole number >= 1",
        "a number >= 0 and <= 1",
        "a number >= 0",
    ]
