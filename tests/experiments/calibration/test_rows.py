"""The measurements of a calibration: data beside fit under their names, cells joined by their number."""

import numpy as np
import pytest

from experiments.calibration.charts import CELLS
from experiments.calibration.outcome_table import Columns, Selection, read_outcomes
from experiments.calibration.rows import add_rows
from experiments.calibration.task_fit import fit_world
from experiments.results import Results, load_results
from experiments.tables import select
from tests import answers


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("r")
    path = answers.write(folder / "a.csv", answers.table())
    table = read_outcomes(path, Selection(Columns(**answers.COLUMNS), {}, 1.0, 0.05))
    fit, results = fit_world(table, split_seed=0), Results()
    add_rows(results, "mine", table, fit)
    results.write(folder)
    return load_results(folder), fit


def test_recorded_means_stand_with_their_intervals(made):
    table, drawn = made[0], answers.table()
    heats, means = (select(table, "world", name) for name in ("recorded_temperature_quality", "recorded_quality"))
    assert heats["value"].tolist() == list(answers.HEATS)
    cold = (drawn["T"] == 0.0) & ~drawn["error"]
    assert means["value"][0] == pytest.approx(drawn["score"][cold].mean())
    assert means["hi"][0] - means["value"][0] == pytest.approx(1.96 * means["stderr"][0])
    assert set(table["world"]) == {"mine"}


def test_the_curve_is_the_fit(made):
    table, fit = made
    heats, curve = (select(table, "world", name)["value"] for name in ("curve_temperature_quality", "curve_quality"))
    assert (heats.min(), heats.max()) == (0.0, 2.0)
    assert curve[0] == pytest.approx(fit.tasks[0].quality.fit.values["q0"])


def test_every_number_is_told_with_how_it_came_about(made):
    table, fit = made
    numbers = table.set_index(["measure", "estimator"])
    assert numbers.loc[("q0", "fitted"), "stderr"] == pytest.approx(fit.tasks[0].quality.fit.stderr["q0"])
    assert np.isnan(numbers.loc[("truncation_loss", "held"), "stderr"])
    for measure in ("held_out_rmse", "noise_floor", "constant_rmse", "half_means_rmse"):
        assert (measure, "quality") in numbers.index
        assert (measure, "failure") in numbers.index
    for key in (("kolmogorov_two", "length"), ("variance_ratio", "difficulty"), ("token_ms", "latency")):
        assert key in numbers.index


def test_cells_are_those_measures_that_have_a_number(made):
    with_cells = set(made[0].loc[made[0]["n"].notna(), "measure"])
    assert with_cells == {measure for measures in CELLS.values() for measure in measures}


def test_lengths_rise_from_nothing_to_all(made):
    for name in ("length_recorded", "length_one", "length_two"):
        share = select(made[0], "world", name)["value"].to_numpy()
        assert np.all(np.diff(share) >= 0)
        assert share[0] < 0.05 < 0.9 < share[-1]
