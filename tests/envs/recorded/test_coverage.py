"""What a record can answer for, and where a run on it starts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.recorded.recording import Columns
from envs.surfaces.replay import Baseline
from envs.targets import ConfigError
from envs.world import Scenario

HEADER = ("model", "problem", "temperature", "score", "tokens", "length", "error")
Build = Callable[..., Scenario]
Write = Callable[..., Path]


def test_a_record_without_any_covered_action_says_what_is_lacking(replayed: Build, write: Write, answers: Any) -> None:
    sparse = [row for row in answers if row[0] == "b" or (int(row[1][1:]) + int(row[2] * 2)) % 3]
    with pytest.raises(ConfigError) as caught:
        replayed(write(sparse))
    # of `a`, temperature 0 lacks p0 p3 p6, 0.5 lacks p2 p5 and 1.0 lacks p1 p4 p7
    assert str(caught.value).endswith(
        "need parameters at which every problem of a task type was recorded; those best covered of 'a' (temperature "
        "0.5) have 6 of 8 problems, 12 of 32 rows; leave out problems that lack little (world.skip_bad=true), or pool "
        "them at random (world.groups=20), narrow world.where, or record more"
    )


def test_groups_cover_what_single_problems_do_not(replayed: Build, write: Write, answers: Any) -> None:
    sparse = [row for row in answers if row[0] == "b" and (int(row[1][1:]) + int(row[2] * 2)) % 4]
    with pytest.raises(ConfigError, match=r"have 6 of 8 problems, .*, or pool them at random \(world\.groups=20\)"):
        replayed(write(sparse))
    with pytest.raises(ConfigError, match=r"every group of a task type .* of 8 groups, .*; set fewer world\.groups"):
        replayed(write(sparse), groups=20)
    got = replayed(write(sparse), groups=4)
    assert len(got.population.task) == 4 and got.recorded.any()
    assert any("4 units (a group of problems within a task type) in 1 task types" in note for note in got.notes)


def test_a_problem_that_lacks_what_nearly_all_have_goes_instead_of_the_action(
    replayed: Build, write: Write, answers: Any
) -> None:
    holes = [row for row in answers if row[:3] not in (("b", "p4", 0.5), ("b", "p4", 1.0), ("a", "p1", 0.0))]
    path, whole = write(holes), replayed(write(answers, name="whole.csv"))
    assert replayed(path, baseline=Baseline(temperature="1.5"), where={"model": "b"}).recorded.tolist() == [
        [True, False, False, True]
    ]
    got = replayed(path, skip_bad=True, max_bad_share=0.125)
    assert got.recorded.tolist() == whole.recorded.tolist() and got.population.count.tolist() == [7, 7]
    keep = np.array([i not in (1, 8 + 4) for i in range(16)])
    assert np.array_equal(got.table(), whole.table()[keep], equal_nan=True)
    assert [task.prompt_tokens for task in got.population.tasks] == [
        100 + i for i in (0, *range(2, 8), 0, 1, 2, 3, 5, 6, 7)
    ]
    said = "2 of 16 units (12.5 %) lack an action that all but 12.5 % of their task type have, and were left out with"
    assert any(note.startswith(f"{said} their 8 rows") for note in got.notes)
    with pytest.raises(ConfigError, match=r"task type 'b' lacks them"):
        replayed(path, skip_bad=True, max_bad_share=0.12)


def test_groups_are_not_left_out_for_what_they_lack(replayed: Build, write: Write, answers: Any) -> None:
    holes = [row for row in answers if row[:3] != ("b", "p4", 0.5)]
    got = replayed(write(holes), skip_bad=True, max_bad_share=0.5, groups=8)
    assert got.recorded[1].tolist() == [True, False, True, True] and got.population.count.tolist() == [8, 8]


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


def test_pooled_actions_compare_like_with_like_if_their_propensity_never_moved(
    replayed: Build, write: Write, answers: Any, columns: Columns
) -> None:
    def said(chance: Any, *, column: str | None = "p") -> str:
        rows = [(*row, chance(row)) for row in answers]
        path = write(rows, header=(*HEADER, "p"))
        got = replayed(path, columns=replace(columns, propensity=column), groups=4)
        return next(note for note in got.notes if "like with like" in note)

    assert "without propensities (world.columns.propensity) nobody can tell" in said(lambda row: 0.5, column=None)
    assert said(lambda row: 0.1 + row[2] / 4 + (row[0] == "b") / 8).startswith("Every action was logged with one")
    by_problem = said(lambda row: 0.4 if row[1] == "p3" and row[2] == 0.5 else 0.1)
    assert by_problem.startswith("Of 7 pairs of task type and action 2 were logged with propensities that differ, by a")
    assert "factor of 4 in the median one" in by_problem
    with pytest.raises(ConfigError, match=r"world\.columns\.propensity: got '1\.5', need a number >= 0 and <= 1"):
        said(lambda row: 1.5)
