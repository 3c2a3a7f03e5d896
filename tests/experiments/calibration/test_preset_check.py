"""A written preset is held against fit and record, and a wrong one is found."""

from dataclasses import replace

import pytest
import yaml

from envs.reward import RewardWeights
from experiments.calibration.outcome_table import Columns, Selection, read_outcomes
from experiments.calibration.preset_check import agreement
from experiments.calibration.preset_grids import grids_of
from experiments.calibration.preset_points import published_points
from experiments.calibration.preset_yaml import Preset, preset_text
from experiments.calibration.task_fit import fit_world
from experiments.settings import build
from tests import answers


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = answers.write(tmp_path_factory.mktemp("c") / "a.csv", answers.table())
    table = read_outcomes(path, Selection(Columns(**answers.COLUMNS), {}, 1.0, 0.05))
    fit, grids = fit_world(table, split_seed=0), grids_of(table)
    points = published_points(table, fit, grids)
    text = preset_text(Preset("mine", table.source, table.notes, grids, fit, RewardWeights(), points))
    return build(yaml.safe_load(text), "world"), fit, points


def test_a_preset_agrees_with_its_fit_to_the_digits_it_carries(made):
    params, fit, points = made
    found = agreement(params, fit.tasks)
    assert found.gap < 1e-5
    assert found.total == len(points) >= 2 * len(answers.HEATS)
    # at most 1 in 20 expected outside; all of a part may go together with its problems
    assert found.within >= 0.75 * found.total


def test_another_preset_does_not(made):
    params, fit, _ = made
    wrong = replace(params, task_types=[replace(params.task_types[0], cliff=0.6)])
    found = agreement(wrong, fit.tasks)
    assert found.gap > 0.1
    assert found.within < 0.75 * found.total


def test_what_failed_calls_take_from_truncation_is_no_gap(made):
    """A call that fails is not cut off: the quality lost to a small max_tokens is lost once."""
    params, fit, _ = made
    tight = replace(params.lattice, max_tokens=replace(params.lattice.max_tokens, start="100", stop="100"))
    params = replace(params, lattice=tight, baseline=replace(params.baseline, max_tokens="100"), published=[])
    loss = fit.tasks[0].quality.fit.values["truncation_loss"]
    assert loss == params.task_types[0].truncation_loss
    assert agreement(params, fit.tasks).gap < 1e-5
