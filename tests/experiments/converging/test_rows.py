"""Measurements of hand-made runs: complete keys, finite numbers, nothing of a control's convergence."""

import numpy as np

from evaluators.resampling import Interval
from experiments.converging.comparing import THRESHOLDS, Player, Table, players
from experiments.converging.pictures import Curves
from experiments.converging.rows import measure_bins, measure_curves, measure_run, measure_table
from experiments.converging.scoring import Bin
from experiments.results import Results
from tests.hand_runs import START, run, surface

KEY = ("hand", "task")
RUN = run([[START, 4, 1, 0], [START] * 4])


def values(rows):
    found = list(rows)
    results = Results()
    for row in found:
        results.add(row)  # refuses what is not finite or comes twice
    return {(row.measure, row.n, row.t): row.value for row in found}


def test_a_run_in_numbers():
    found = values(measure_run(RUN, surface(), by=(2, 4), is_control=False))
    assert found["reached", 2, None] == 0.0
    assert found["reached", 4, None] == 0.5
    assert found["approvals", 2, None] == 1.5
    assert found["approvals_beyond_minimum", None, None] == -0.5  # 3 - 2 and 0 - 2
    assert not any(measure == "kept" for measure, *_ in found)  # nobody began inside


def test_nothing_converges_on_a_control():
    found = values(measure_run(RUN, surface(), by=(2,), is_control=True))
    assert {measure for measure, *_ in found} == {"approvals", "approvals_that_lose", "steps", "refusals"}


def test_curves_are_thinned_and_one_run_has_no_band():
    flat, profile = np.linspace(0, 1, 12), np.linspace(0, 1, len(THRESHOLDS))
    nothing = Interval(flat, flat * np.nan, flat * np.nan)
    curves = Curves("x", "x", nothing, Interval(flat, flat, flat), Interval(profile, profile, profile))
    rows = list(measure_curves("worlds", Player("x", "improve", ()), curves))
    assert [row.t for row in rows if row.measure == "mean_regret"] == [1, 5, 10]
    assert {row.lo for row in rows if row.measure == "mean_regret"} == {None}
    assert [row.n for row in rows if row.measure == "profile"][-1] == 400
    assert len(values(rows)) == len(rows)


def test_the_table_of_players():
    held = players([RUN, run([[START, 0, 0, 0]] * 2, policy="other")], [KEY])
    won = Interval(np.array(0.6), np.array(0.5), np.array(0.7))
    rows = list(measure_table("worlds", Table(held, {KEY: surface()}, 0), {("other (improve)", 4): won}, by=(2, 4)))
    assert [(row.policy, row.n, row.value) for row in rows if row.measure == "flagship_ahead"] == [("other", 4, 0.6)]
    assert len([row for row in rows if row.measure == "interquartile_mean"]) == 4


def test_bins_in_numbers():
    found = values(measure_bins("worlds", "mine", [Bin(0.95, 1.0, 4, 0.97, 3)]))
    assert found["live_true", 95, None] == 0.75
    assert found["live_evaluations", 95, None] == 4.0
