"""Each reason is found, counted exactly, listed up to a cap, and too many rows are refused."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evaluators.reading import rejects
from evaluators.reading.batches import Batch
from evaluators.reading.rejects import NAMES, REASONS, Listing, judged, refuse_many
from evaluators.rows import RewardRange

NAN = float("nan")
GOOD = Batch(
    row=np.array([1]), reward=np.array([0.5]), propensity=np.array([0.25]), slot=np.array([1]), ids=pa.array(["a"]),
    behavior=np.array([[0.75, 0.25]]), target=np.array([[0.1, 0.9]]), target_logged=np.array([0.9]),
    context=np.array([[1.0]]), drop_prob=np.array([0.0]), is_readable=np.array([True]), is_activated=np.array([True]),
)  # fmt: skip
BAD: dict[str, dict[str, Any]] = {
    "unreadable": {"is_readable": [False]},
    "not_activated": {"is_activated": [False]},
    "no_reward": {"reward": [NAN]},
    "reward_outside": {"reward": [1.5]},
    "no_propensity": {"propensity": [NAN]},
    "propensity_outside": {"propensity": [0.0]},
    "action_outside": {"slot": [-1]},
    "behavior_unfit": {"behavior": [[0.7, 0.25]]},
    "target_unfit": {"target": [[0.2, 0.9]]},
    "context_unfit": {"context": [[np.inf]]},
    "drop_outside": {"drop_prob": [1.0]},
}


def reason(**change: Any) -> str:
    arrays: dict[str, Any] = {name: np.array(value) for name, value in change.items()}
    made = GOOD._replace(**arrays)
    return str(NAMES[judged(made, RewardRange(0.0, 1.0)).code[0]])


def test_a_good_row_is_used() -> None:
    assert reason() == "used"


@pytest.mark.parametrize("name", BAD)
def test_every_fault_of_a_row_has_its_reason(name: str) -> None:
    assert reason(**BAD[name]) == name


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"propensity": [1.1]}, "propensity_outside"),
        ({"propensity": [-0.2]}, "propensity_outside"),
        ({"reward": [np.inf]}, "no_reward"),
        ({"slot": [7]}, "action_outside"),
        ({"behavior": [[1.25, -0.25]]}, "behavior_unfit"),
        ({"behavior": [[0.25, 0.75]]}, "behavior_unfit"),
        ({"target_logged": [1.2]}, "target_unfit"),
        ({"target": [[NAN, 0.5]]}, "target_unfit"),
    ],
)
def test_variants_of_a_fault_have_the_same_reason(change: dict[str, object], name: str) -> None:
    assert reason(**change) == name


def test_every_reason_that_a_row_can_have_by_itself_is_tried() -> None:
    assert set(BAD) == set(REASONS) - {"used", "duplicate", "thinned"}


def test_counts_are_exact_beyond_the_cap_of_the_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejects, "LISTED", 3)
    batch = Batch(
        np.arange(1, 8), np.full(7, NAN), np.full(7, 0.5), np.zeros(7, np.int64), ids=pa.array(list("abcdefg"))
    )
    batch.reward[6] = 1.0
    with Listing(tmp_path / "rejected.csv") as book:
        for _ in range(2):
            book.add(batch, judged(batch))
        book.move(batch, np.array([6]), "duplicate", value=np.arange(7.0))
    assert book.count == {"no_reward": 12, "used": 1, "duplicate": 1}
    listed = list(csv.reader((tmp_path / "rejected.csv").read_text().splitlines()))
    assert listed[0] == ["row", "id", "reason", "value"]
    assert listed[1:] == [["1", "a", "no_reward", ""], ["2", "b", "no_reward", ""], ["3", "c", "no_reward", ""],
                          ["7", "g", "duplicate", "6"]]  # fmt: skip


def test_more_than_the_share_is_refused_with_the_reasons_and_no_less() -> None:
    count = {"used": 99, "no_reward": 1, "not_activated": 500}
    refuse_many(count, most=0.01, where="log")
    with pytest.raises(ValueError, match="2 of 101 rows .*1 duplicate .*1 no_reward"):
        refuse_many(count | {"duplicate": 1}, most=0.01, where="log")


def test_a_file_of_which_nothing_is_left_is_refused_whatever_the_share() -> None:
    with pytest.raises(ValueError, match="0 rows can be used"):
        refuse_many({"not_activated": 5}, most=1.0, where="log")
