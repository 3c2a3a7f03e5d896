"""Charts of a calibration: they compile, carry little, and keep the record apart from the fit and beyond it."""

import json

import pytest
import vl_convert

from experiments.calibration.charts import CHARTS, save_charts
from experiments.calibration.outcome_table import Columns, Selection, read_outcomes
from experiments.calibration.rows import add_rows
from experiments.calibration.task_fit import fit_world
from experiments.results import Results, load_results
from tests import answers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place, heats = tmp_path_factory.mktemp("c"), (0.0, 0.5, 1.0, 1.5)
    parts = [answers.table(n_problems=24, heats=heats, seed=seed) for seed in range(4)]
    columns = {name: [x for part in parts for x in part[name]] for name in parts[0]}
    columns["kind"] = [f"type {i}" for i, part in enumerate(parts) for _ in part["T"]]
    path = answers.write(place / "a.csv", columns)
    table = read_outcomes(path, Selection(Columns(**answers.COLUMNS, task_type="kind"), {}, 1.0, 0.05))
    results = Results()
    add_rows(results, "mine", table, fit_world(table, split_seed=0))
    results.write(place)
    return place


def rows(spec):
    (data,) = spec["datasets"].values()
    return data


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_compiles_to_vega_with_a_panel_per_task_type(folder, name):
    spec = CHARTS[name](load_results(folder)).to_dict()
    vl_convert.vegalite_to_vega(spec)
    assert len(json.dumps(spec, allow_nan=False)) < 150_000
    assert spec["columns"] == 3
    assert {row["task"] for row in rows(spec)} == {f"type {i}" for i in range(4)}


def test_the_curve_past_the_record_is_told_apart(folder):
    kinds: dict[str, list[float]] = {}
    for row in rows(CHARTS["quality"](load_results(folder)).to_dict()):
        kinds.setdefault(row["kind"], []).append(row["temperature"])
    assert max(kinds["recorded"]) == max(kinds["fitted"]) == 1.5
    assert min(kinds["extrapolated"]) > 1.5


def test_they_are_drawn_into_the_folder(folder):
    made = save_charts(folder)
    assert made == [f"figures/calibration_{name}.{end}" for name in CHARTS for end in ("svg", "png")]
    assert (folder / made[0]).read_text("utf-8").startswith("<svg")
    assert (folder / made[1]).read_bytes().startswith(b"\x89PNG")


def test_what_was_not_recorded_is_not_drawn(tmp_path):
    table = read_outcomes(
        answers.write(tmp_path / "b.csv", {"output_tokens": [10, 20, 30, 40]}), Selection(Columns(), {}, 1.0, 0.05)
    )
    results = Results()
    add_rows(results, "mine", table, fit_world(table, split_seed=0))
    results.write(tmp_path)
    assert save_charts(tmp_path) == ["figures/calibration_lengths.svg", "figures/calibration_lengths.png"]
    with pytest.raises(ValueError, match="no rows of world/"):
        CHARTS["quality"](load_results(tmp_path))
