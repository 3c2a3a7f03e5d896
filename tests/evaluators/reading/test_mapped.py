"""A table with named columns: the same log from every kind of file and every way to write a distribution."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.reading.batches import Batch, Facts
from evaluators.reading.mapped import Columns, Mapped
from tests.other_logs import LABELS, columns, draw, write_table

DRAWN = draw(300)
FULL = Columns(id="id", cluster="user", group="city", behavior="b_*", context=("x0", "x1"), categories=("city",))


def read(file: Path, given: Columns = FULL, *, target: str = "") -> tuple[Batch, Facts]:
    """One pass to know the file, another to read it."""
    reader = Mapped(file, given, target=target)
    list(reader.batches())
    facts = reader.facts()
    (batch,) = reader.batches(facts)
    return batch, facts


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_every_kind_of_file_gives_the_log_that_was_drawn(name: str, tmp_path: Path) -> None:
    batch, facts = read(write_table(tmp_path / name, columns(DRAWN)), target="t_*")
    assert facts.labels == LABELS
    assert np.array_equal(batch.slot, DRAWN.slot)
    assert np.array_equal(batch.reward, DRAWN.reward)
    assert batch.behavior is not None and batch.target is not None
    assert np.array_equal(batch.behavior, DRAWN.behavior)
    assert np.array_equal(batch.target, DRAWN.target)
    assert np.array_equal(batch.propensity, DRAWN.behavior[np.arange(300), DRAWN.slot])
    assert batch.context is not None
    assert batch.context.shape == (300, 2 + 16)
    assert batch.cluster is not None
    assert np.unique(batch.cluster).size == 7
    assert facts.groups == ("city 0", "city 1", "city 2", "city 3")


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_list_column_and_a_pattern_are_the_same_distribution(name: str, tmp_path: Path) -> None:
    file = write_table(tmp_path / name, columns(DRAWN))
    given = Columns(behavior="behavior_list", labels=LABELS)
    batch, _ = read(file, given, target="target_list")
    assert batch.behavior is not None and batch.target is not None
    assert np.array_equal(batch.behavior, DRAWN.behavior)
    assert np.array_equal(batch.target, DRAWN.target)
    assert np.array_equal(batch.slot, DRAWN.slot)


def test_without_a_distribution_the_actions_are_those_of_the_file_in_one_order(tmp_path: Path) -> None:
    table = columns(DRAWN)
    turned = {name: values[::-1] for name, values in table.items()}
    one, facts = read(write_table(tmp_path / "a.csv", table), Columns(), target="target_logged")
    other, same = read(write_table(tmp_path / "b.csv", turned), Columns())
    assert facts == same
    assert np.array_equal(one.slot, other.slot[::-1])
    assert one.behavior is None
    assert one.target_logged is not None
    assert np.allclose(one.target_logged, DRAWN.target[np.arange(300), DRAWN.slot])


def test_whole_numbers_are_ordered_as_numbers(tmp_path: Path) -> None:
    table: dict[str, list[Any]] = {"reward": [1, 0, 1], "propensity": [0.5, 0.5, 0.5], "action": [10, 9, 2]}
    batch, facts = read(write_table(tmp_path / "a.csv", table), Columns())
    assert facts.labels == ("2", "9", "10")
    assert batch.slot.tolist() == [2, 1, 0]


def test_an_action_that_is_none_of_the_distribution_has_no_slot(tmp_path: Path) -> None:
    table = columns(DRAWN)
    table["action"][:2] = ["yew", ""]
    batch, _ = read(write_table(tmp_path / "a.csv", table))
    assert batch.slot[:2].tolist() == [-1, -1]


def test_distributions_over_different_actions_are_refused(tmp_path: Path) -> None:
    table = columns(DRAWN)
    table["t_yew"] = table.pop("t_oak")
    with pytest.raises(ValueError, match="different actions"):
        Mapped(write_table(tmp_path / "a.csv", table), FULL, target="t_*")


def test_ids_in_the_place_of_actions_are_refused(tmp_path: Path) -> None:
    n = 10_001
    table: dict[str, list[Any]] = {"reward": [1] * n, "propensity": [0.5] * n, "action": [f"a{i}" for i in range(n)]}
    with pytest.raises(ValueError, match="is it an id"):
        read(write_table(tmp_path / "a.csv", table), Columns())


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    file = write_table(tmp_path / "a.csv", columns(DRAWN))
    with pytest.raises(ValueError, match="no column 'rewards'.*'reward'"):
        Mapped(file, Columns(reward="rewards"))
    with pytest.raises(ValueError, match=r"no column 'q_\*'"):
        Mapped(file, Columns(behavior="q_*"))
