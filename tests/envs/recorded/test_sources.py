"""Which rows of a file can be used, under which settings."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs.recorded.recording import Columns
from envs.recorded.sources import PARTS, Source, kept_rows, listed
from envs.targets import ConfigError
from envs.world import Outcome

Write = Callable[..., Path]
HEADER = ("model", "problem", "temperature", "score", "tokens", "length", "error")


def test_the_parts_are_those_of_an_outcome_in_its_order() -> None:
    assert (*PARTS, "reserved") == Outcome._fields


def test_names_are_listed() -> None:
    assert (listed(None), listed("a"), listed(("a", "b"))) == ((), ("a",), ("a", "b"))


def test_only_columns_that_were_asked_for_are_read(write: Write, answers: Any, columns: Columns) -> None:
    path = write([(*row, "ignored") for row in answers], header=(*HEADER, "other"))
    table, source, notes = kept_rows(Source(str(path), columns))
    assert set(table.columns) == set(HEADER) and len(table.rows) == len(answers)
    assert source.columns == columns and len(notes) == 1


@pytest.mark.parametrize(
    ("setting", "cell", "need"),
    [
        ("temperature", "101", "a decimal number >= 0 and <= 100"),
        ("max_tokens", "10.5", "a whole number >= 1 and <= 1000000000"),
        ("top_p", "1.1", "a decimal number >= 0 and <= 1"),
        ("frequency_penalty", "-2.1", "a decimal number >= -2 and <= 2"),
        ("quality", "2", "a number >= 0 and <= 1"),
        ("truncated", "-1", "a number >= 0 and <= 1"),
        ("latency_ms", "-1", "a number >= 0 and <= 1e12"),
        ("cost_usd", "free", "a number >= 0 and <= 1e12"),
        ("propensity", "1.5", "a number >= 0 and <= 1"),
        ("problem", "", "a value"),
        ("task_type", " ", "a value"),
        ("id", "p3", "a value that no other row has"),
    ],
)
def test_every_column_has_its_rule(write: Write, columns: Columns, setting: str, cell: str, need: str) -> None:
    rows = [("a", f"p{i}", 0, 1, 1, 1, 0, 1 if setting != "id" else f"p{i}") for i in range(4)]
    rows.append(("a", "p9", 0, 1, 1, 1, 0, f'"{cell}"'))
    path = write(rows, header=(*HEADER, "extra"))
    with pytest.raises(ConfigError) as caught:
        kept_rows(Source(str(path), replace(columns, **{setting: "extra"})))
    assert f"world.columns.{setting}: got {cell!r}, need {need} in every row (column 'extra', row 5" in str(
        caught.value
    )


def test_a_share_may_stand_for_several_calls(write: Write, columns: Columns) -> None:
    rows = [("a", f"p{i}", 0, 1, 1, 1, share) for i, share in enumerate(("0.25", "true", "no"))]
    assert len(kept_rows(Source(str(write(rows)), columns))[0].rows) == 3


@pytest.mark.parametrize(
    ("kinds", "rows", "role"),
    [
        (None, "a0 a1", "context"),
        (None, "a0 b1", "action"),
        ("error", "a0 b1 a0", "context"),  # every task type has its model
        ("error", "a0 b1 b0", "action"),
        (("error", "model"), "a0 b1 b0", "context"),  # the model is part of the task type
    ],
)
def test_a_model_is_an_action_where_one_task_type_was_answered_by_several(
    write: Write, columns: Columns, kinds: Any, rows: str, role: str
) -> None:
    path = write([(word[0], f"p{i}", 0, 1, 1, 1, word[1]) for i, word in enumerate(rows.split())])
    for choice in ("auto", "context", "action"):
        _, source, notes = kept_rows(Source(str(path), replace(columns, task_type=kinds), model_is=choice))
        assert source.model_is == (role if choice == "auto" else choice)
        assert any("the model is an action" in note for note in notes) == (choice == "auto" and role == "action")


def test_rows_that_repeat_one_another_are_counted_where_nothing_tells_them_apart(
    write: Write, columns: Columns, answers: Any
) -> None:
    numbered = [(*row, i) for i, row in enumerate([*answers, *answers[:5], answers[0]])]
    path = write(numbered, header=(*HEADER, "call"))
    table, _, notes = kept_rows(Source(str(path), columns))
    assert len(table.rows) == len(numbered)
    assert any(note.startswith(f"6 of {len(numbered)} rows equal an earlier row") for note in notes)
    assert not any("equal" in note for note in kept_rows(Source(str(path), replace(columns, id="call")))[2])


def test_a_request_length_may_be_unknown_but_not_nonsense(write: Write, columns: Columns) -> None:
    rows = [("a", "p0", 0, 1, "", 1, 0), ("a", "p1", 0, 1, "many", 1, 0)]
    with pytest.raises(
        ConfigError, match=r"world\.columns\.input_tokens: got 'many', need a number >= 0 .*row 2, 1 such"
    ):
        kept_rows(Source(str(write(rows)), columns))
    assert len(kept_rows(Source(str(write(rows[:1])), columns))[0].rows) == 1
