"""The yaml of a fit: it loads as a world, and says of each number whether it was fitted, held or assumed."""

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from envs.reward import RewardWeights
from envs.surfaces import llm_outcome
from experiments.calibration.outcome_table import Columns, Selection, read_outcomes
from experiments.calibration.preset_grids import grids_of
from experiments.calibration.preset_points import published_points
from experiments.calibration.preset_yaml import Preset, preset_text, task_numbers
from experiments.calibration.task_fit import fit_world
from experiments.settings import build
from tests import answers


def text_of(path, columns):
    table = read_outcomes(path, Selection(columns, {}, 1.0, 0.05))
    fit, grids = fit_world(table, split_seed=0), grids_of(table)
    points = published_points(table, fit, grids)
    return preset_text(Preset("mine", table.source, table.notes, grids, fit, RewardWeights(cost=2.0), points)), fit


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = answers.write(tmp_path_factory.mktemp("y") / "a.csv", answers.table())
    return text_of(path, Columns(**answers.COLUMNS))


@pytest.fixture(scope="module")
def lengths(tmp_path_factory):
    tokens = np.rint(answers.lengths(np.random.default_rng(0), 400)).astype(int)
    return text_of(answers.write(tmp_path_factory.mktemp("y") / "b.csv", {"output_tokens": tokens}), Columns())


@pytest.mark.parametrize("name", ["whole", "lengths"])
def test_it_loads_as_a_world_with_the_fitted_numbers(name, request):
    text, fit = request.getfixturevalue(name)
    params = build(OmegaConf.create(text), "world")
    assert isinstance(params, llm_outcome.Params)
    assert llm_outcome.build(params).population.names == ("all",)
    (kind,), (one,) = params.task_types, fit.tasks
    for number, (value, _) in task_numbers(one, one.n_rows).items():
        assert getattr(kind, number) == pytest.approx(value, rel=1e-5)
    assert params.reward == RewardWeights(cost=2.0)
    assert (params.name, params.levels) == ("mine", 16)


def test_each_number_says_where_it_comes_from(whole, lengths):
    lines = {line.split(":")[0].strip(): line for line in whole[0].splitlines() if line.startswith("    ")}
    for number in ("q0", "cliff", "failure_centre"):
        assert "# fitted, standard error" in lines[number]
    assert "# assumed: too few answers were cut off" in lines["truncation_loss"]
    assert "# held: recorded temperatures (up to 1.7)" in lines["k_t"]
    assert "# fitted: variance within 160 problems" in lines["between"]
    assert "# recorded: the median" in lines["prompt_tokens"]
    assert "latency fitted to 2880 calls" not in whole[0]  # failed calls are left out
    assert "# assumed: no quality recorded" in lengths[0]
    assert "# assumed: no problem was answered twice" in lengths[0]
    assert "# assumed: prices and latency were not recorded" in lengths[0]


def test_the_head_names_the_source_and_what_was_left_out(whole):
    head = [line for line in whole[0].splitlines() if line.startswith("# ")]
    assert any("sha256" in line for line in head)
    assert any("Every row can be used." in line for line in head)


def test_a_strange_task_name_stays_a_text(tmp_path):
    name = 'a: "b" #c'
    columns = {"task_type": [name] * 4, "temperature": [0.5] * 4, "quality": [0, 1, 1, 0]}
    text, _ = text_of(answers.write(tmp_path / "c.csv", columns), Columns())
    assert yaml.safe_load(text)["task_types"][0]["name"] == name


def test_graded_scores_make_graded_noise_and_cold_starts_are_written(tmp_path):
    rng = np.random.default_rng(0)
    n = 400
    tokens = rng.integers(50, 500, n)
    columns = {
        "cluster": np.arange(n) % 40,
        "temperature": [0.5] * n,
        "quality": rng.beta(2, 2, n),
        "output_tokens": tokens,
    }
    columns["latency_ms"] = 300 + 10 * tokens + 50 * rng.normal(size=n) + 30_000 * (rng.random(n) < 0.1)
    text, fit = text_of(answers.write(tmp_path / "d.csv", columns), Columns(problem="cluster"))
    params = build(OmegaConf.create(text), "world")
    assert isinstance(params, llm_outcome.Params)
    assert params.noise.kind == "graded"
    assert params.noise.spread == pytest.approx(0.2, abs=0.04)  # a Beta(2, 2)'s variance is 0.2 m (1 - m)
    assert params.service.cold_share == pytest.approx(0.1, abs=0.06)
    assert params.service.token_ms == pytest.approx(fit.latency.token_ms, rel=1e-5)
