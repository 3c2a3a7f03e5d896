"""Worlds, starts and drifts: what is run, and which runs share a program."""

import pytest

from envs import presets
from envs.targets import ConfigError
from experiments.converging.cases import (
    BAD,
    DEFAULT,
    Case,
    cases_of,
    chunks,
    grouped,
    load,
    named,
    scenario_of,
    work,
)


@pytest.mark.parametrize("world", presets.simulated())
def test_the_bad_start_is_a_point_of_its_world_and_needs_no_other_program(world):
    plain, bad = scenario_of(named(world)), scenario_of(named(world, BAD))
    point = bad.lattice.parameters(int(bad.baseline[0]))
    assert (point["temperature"], point["max_tokens"]) == (1.6, 192)
    rest = {"temperature": 1.6, "max_tokens": 192}
    assert plain.lattice.parameters(int(plain.baseline[0])) | rest == point
    assert bad.lattice.shape == plain.lattice.shape
    assert bad.world is plain.world


def test_labels_tell_worlds_apart():
    moves = presets.components("version_swap").values()
    places = [named("hot_rise"), named("hot_rise", BAD), named("hot_rise", drift="version_swap", moves=moves)]
    assert [one.label for one in places] == ["hot_rise", "hot_rise, bad start", "hot_rise, version_swap"]


def test_an_unknown_world_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="hot_rise"):
        load("hot_rice")


def test_a_world_without_a_surface_is_refused(tmp_path):
    with pytest.raises((ConfigError, ValueError)):
        load("replay")


def test_cases_that_share_a_program_are_together_and_the_longest_work_is_first():
    cases = cases_of({"mcqa_plateau": (DEFAULT, BAD), "gsm8k_small": (DEFAULT,), "flat_null": (BAD,)}, 4, evaluations=9)
    cases += [Case(named("flat_null"), (0, 1), 9)]
    groups = grouped(cases)
    labels = [sorted(case.where.label for case in group) for group in groups]
    assert labels == [["flat_null", "flat_null, bad start", "gsm8k_small"], ["mcqa_plateau", "mcqa_plateau, bad start"]]
    assert work(groups[0]) == (4 + 4 + 2) * 9 * 2  # two task types


def test_runs_of_another_length_need_another_program():
    cases = [*cases_of({"hot_rise": (DEFAULT,)}, 4, evaluations=9), *cases_of({"hot_rise": (BAD,)}, 4, evaluations=8)]
    assert len(grouped(cases)) == 2


def test_chunks_have_one_size():
    assert {len(part) for part in chunks(448, 112)} == {112}
    assert [seed for part in chunks(448, 112) for seed in part] == list(range(448))
