"""Decision service lines: minus the cost, probabilities back in their places, broken lines counted."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluators.reading import dsjson
from evaluators.reading.batches import Batch
from evaluators.reading.dsjson import Dsjson
from evaluators.reading.rejects import NAMES, judged
from tests.other_logs import draw, line, write_lines

DRAWN = draw(60)
LINES = [line(DRAWN, i) for i in range(60)]


def read(file: Path, *, target: str = "") -> list[Batch]:
    reader = Dsjson(file, target=target)
    list(reader.batches())
    return list(reader.batches(reader.facts()))


@pytest.mark.parametrize("name", ["a.json", "a.dsjson.gz"])
def test_the_log_that_was_drawn_comes_back(name: str, tmp_path: Path) -> None:
    (batch,) = read(write_lines(tmp_path / name, LINES), target="target")
    assert np.array_equal(batch.reward, DRAWN.reward)
    assert np.array_equal(batch.slot, DRAWN.slot)
    assert batch.behavior is not None and batch.target is not None
    assert np.array_equal(batch.behavior, DRAWN.behavior)
    assert np.array_equal(batch.target, DRAWN.target)
    assert batch.ids.to_pylist() == [f"e{i}" for i in range(60)]
    assert (judged(batch).code == 0).all()


def test_by_hand(tmp_path: Path) -> None:
    """Action 3 of [3, 1, 2] with probability 0.6 cost -2: reward 2 in slot 2."""
    one = '{"_label_cost":-2,"_label_probability":0.6,"_label_Action":3,"_labelIndex":2,"a":[3,1,2],"p":[0.6,0.3,0.1]}'
    (batch,) = read(write_lines(tmp_path / "a.json", [one]))
    assert (batch.reward[0], batch.slot[0], batch.propensity[0]) == (2.0, 2, 0.6)
    assert batch.behavior is not None
    assert batch.behavior.tolist() == [[0.3, 0.1, 0.6]]


def test_a_broken_line_costs_that_line_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsjson, "BLOCK", 5_000)
    lines = [*LINES[:30], "{not json", json.dumps(LINES[30] | {"p": "none"}), *LINES[31:]]
    batches = read(write_lines(tmp_path / "a.json", lines))
    codes = {int(r): NAMES[c] for b in batches for r, c in zip(b.row, judged(b).code, strict=True)}
    assert sorted(codes) == list(range(1, 62))
    assert {row for row, reason in codes.items() if reason == "unreadable"} == {31, 32}
    assert set(codes.values()) == {"used", "unreadable"}


def test_rows_never_shown_and_lines_without_a_decision_have_their_reasons(tmp_path: Path) -> None:
    lines = [LINES[0], LINES[1] | {"_skipLearn": True}, {"EventId": "e9", "RewardValue": 1.0}]
    (batch,) = read(write_lines(tmp_path / "a.json", lines))
    assert [NAMES[c] for c in judged(batch).code] == ["used", "not_activated", "no_reward"]


def test_rows_may_have_sets_of_actions_of_their_own(tmp_path: Path) -> None:
    short = {"_label_cost": -1.0, "_label_probability": 0.7, "_label_Action": 2, "_labelIndex": 1, "a": [2, 1],
             "p": [0.7, 0.3]}  # fmt: skip
    (batch,) = read(write_lines(tmp_path / "a.json", [LINES[0], short]))
    assert batch.mask is not None
    assert batch.mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert (judged(batch).code == 0).all()


def test_without_p_only_the_logged_probability_is_known(tmp_path: Path) -> None:
    lines = [{name: value for name, value in one.items() if name != "p"} for one in LINES]
    (batch,) = read(write_lines(tmp_path / "a.json", lines))
    assert batch.behavior is None
    assert (judged(batch).code == 0).all()


def test_probabilities_that_do_not_fit_their_actions_are_no_distribution(tmp_path: Path) -> None:
    lines = [LINES[0], LINES[1] | {"a": [1, 1, 2, 3]}, LINES[2] | {"p": [0.5, 0.5]}]
    (batch,) = read(write_lines(tmp_path / "a.json", lines))
    assert [NAMES[c] for c in judged(batch).code] == ["used", "behavior_unfit", "behavior_unfit"]


def test_the_share_of_dropped_rows_is_read_and_must_be_below_one(tmp_path: Path) -> None:
    lines = [LINES[0], LINES[1] | {"pdrop": 0.5}, LINES[2] | {"pdrop": 1.0}]
    (batch,) = read(write_lines(tmp_path / "a.json", lines))
    assert batch.drop_prob is not None
    assert batch.drop_prob.tolist() == [0.0, 0.5, 1.0]
    assert [NAMES[c] for c in judged(batch).code] == ["used", "used", "drop_outside"]


def test_a_target_that_no_line_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no line has the field 'tagret'"):
        Dsjson(write_lines(tmp_path / "a.json", LINES), target="tagret")
