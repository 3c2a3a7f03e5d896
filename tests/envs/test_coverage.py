"""What a record can answer for, and where a run on it starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envs.surfaces.replay import Baseline
from envs.targets import ConfigError
from envs.world import Scenario

Build = Callable[..., Scenario]
Write = Callable[..., Path]


def test_a_record_without_any_covered_action_says_what_is_lacking(replayed: Build, write: Write, answers: Any) -> None:
    sparse = [row for row in answers if row[0] == "b" or (int(row[1][1:]) + int(row[2] * 2)) % 3]
    with pytest.raises(ConfigError) as caught:
        replayed(write(sparse))
    # of `a`, temperature 0 lacks p0 p3 p6, 0.5 lacks p2 p5 and 1.0 lacks p1 p4 p7
    assert str(caught.value).endswith(
        "need parameters at which every problem of a task type was recorded; those best covered of 'a' (temperature "
        "0.5) have 6 of 8 problems, 12 of 32 rows; pool problems at random (world.groups=20), narrow world.where, or "
        "record more"
    )


def test_groups_cover_what_single_problems_do_not(replayed: Build, write: Write, answers: Any) -> None:
    sparse = [row for row in answers if row[0] == "b" and (int(row[1][1:]) + int(row[2] * 2)) % 4]
    with pytest.raises(ConfigError, match=r"have 6 of 8 problems, .*; pool problems at random \(world\.groups=20\)"):
        replayed(write(sparse))
    with pytest.raises(ConfigError, match=r"every group of a task type .* of 8 groups, .*; set fewer world\.groups"):
        replayed(write(sparse), groups=20)
    got = replayed(write(sparse), groups=4)
    assert len(got.population.task) == 4 and got.recorded.any()
    assert any("4 units (a group of problems within a task type) in 1 task types" in note for note in got.notes)


def test_a_baseline_left_open_is_what_was_recorded_most_often(replayed: Build, write: Write, answers: Any) -> None:
    more = [*answers, *(row for row in answers if row[2] == 0.5)]
    got = replayed(write(more), baseline=Baseline(temperature=""))
    assert got.baseline.tolist() == [1, 1]
    assert "Baseline, where not named, as recorded most often: temperature 0.5." in got.notes
    with pytest.raises(
        ConfigError, match=r"world\.baseline\.temperature: .*equally often: temperature 0; temperature 0\.5"
    ):
        replayed(write(answers), baseline=Baseline(temperature=""))


def test_a_baseline_left_open_is_answered_for_every_task_type(replayed: Build, write: Write, answers: Any) -> None:
    more = [*answers, *(row for row in answers if row[2] == 1.5), *(row for row in answers if row[2] == 1.0)]
    more += [row for row in answers if row[2] == 1.5] * 3
    assert replayed(write(more), baseline=Baseline(temperature="")).baseline.tolist() == [2, 2]


def test_the_baseline_of_models_is_named_where_they_were_recorded_equally_often(
    replayed: Build, write: Write, answers: Any
) -> None:
    path = write(answers)
    with pytest.raises(
        ConfigError, match=r"world\.baseline\.model: got '', .*temperature 1, model a; temperature 1, model b"
    ):
        replayed(path, model_is="action")
    got = replayed(path, model_is="action", baseline=Baseline(model="b"))
    assert got.lattice.parameters(int(got.baseline[0]))["model"] == "b"
    assert got.recorded.tolist() == [[True] * 6 + [False, True]], "model a was never asked at 1.5"
    with pytest.raises(ConfigError, match=r"world\.baseline: .*model = 'c', need one of a, b"):
        replayed(path, model_is="action", baseline=Baseline(model="c"))
