"""Curves by temperature: known truth within four standard errors, and no more numbers than the data ask for."""

import numpy as np
import pytest

from experiments.calibration.fit_quality import FAILURE, QUALITY, CurveRows, curve_at, fit_curve, held_out, some
from tests import answers


def rows(y, heat, problem=None, cut=None):
    n = len(y)
    problem = np.arange(n) if problem is None else problem
    cut = np.zeros(n) if cut is None else cut
    return CurveRows(np.asarray(y, float), np.asarray(heat, float), np.ones(n), np.asarray(cut, float), problem)


@pytest.fixture(scope="module")
def drawn():
    """All answers, and those of calls that worked."""
    got = answers.table(n_problems=320)
    works = ~got["error"]
    return (
        rows(got["error"], got["T"], got["item"]),
        rows(got["score"][works], got["T"][works], got["item"][works]),
    )


def within(fit, truth, sigmas=4.0):
    """Every true number lies within some standard errors of the fitted one (1 in 16,000 draws does not)."""
    return {n: abs(fit.values[n] - x) <= sigmas * fit.stderr[n] for n, x in truth.items()}


def test_quality_gives_back_the_cliff_it_was_drawn_from(drawn):
    fit = fit_curve(QUALITY, drawn[1])
    assert fit.free == ("q0", "cliff", "cliff_width")
    assert all(within(fit, {"q0": answers.Q0, "cliff": answers.CLIFF, "cliff_width": answers.WIDTH}).values())
    assert fit.stderr["cliff"] < 0.06
    heats = np.array([0.0, 1.0, 1.3])
    assert curve_at(QUALITY, fit.values, heats) == pytest.approx(answers.quality(heats), abs=0.06)


def test_failure_gives_back_its_floor_and_its_cliff(drawn):
    fit = fit_curve(FAILURE, drawn[0])
    truth = {"failure_floor": answers.FLOOR, "failure_centre": answers.CENTRE, "failure_width": answers.FAIL_WIDTH}
    assert all(within(fit, truth).values())
    assert fit.values["failing"] == 1.0


def test_a_rare_failure_is_its_rate_however_it_is_spread():
    failed = np.zeros(1100)
    failed[[3, 500, 900]] = 1
    fit = fit_curve(FAILURE, rows(failed, np.repeat(np.arange(11) / 10, 100), np.tile(np.arange(100), 11)))
    assert fit.free == ("failure_floor",)
    assert fit.values["failure_floor"] == pytest.approx(3 / 1100, rel=1e-3)


def test_what_never_failed_never_fails():
    fit = fit_curve(FAILURE, rows(np.zeros(300), np.repeat([0.0, 0.5, 1.0], 100)))
    assert fit.values["failure_floor"] == 0.0
    assert fit.values["failing"] == 0.0


def test_a_flat_record_gets_one_number_and_one_temperature_no_more():
    rng = np.random.default_rng(2)
    heat, problem = np.repeat(np.arange(11) / 10, 100), np.tile(np.arange(100), 11)
    flat = fit_curve(QUALITY, rows(rng.random(1100) < 0.7, heat, problem))
    assert flat.free == ("q0",)
    assert flat.values["cliff"] == 1.5
    one = fit_curve(QUALITY, rows(rng.random(200) < 0.4, np.full(200, 0.7)))
    assert one.free == ("q0",)
    assert abs(one.values["q0"] - 0.4) <= 4 * one.stderr["q0"]


def test_an_optimum_is_found_where_there_is_one():
    rng = np.random.default_rng(3)
    heat = np.repeat(np.arange(14) / 10, 600)
    fit = fit_curve(QUALITY, rows(rng.random(len(heat)) < 0.8 - 0.4 * (heat - 0.7) ** 2, heat))
    assert {"t_star", "k_t"} <= set(fit.free)
    assert abs(fit.values["t_star"] - 0.7) <= 4 * fit.stderr["t_star"]


def test_the_loss_by_truncation_is_told_from_the_answers_cut_off():
    rng = np.random.default_rng(4)
    heat, cut = np.tile(np.arange(6) / 10, 500), rng.random(3000) < 0.3
    fit = fit_curve(QUALITY, rows(rng.random(3000) < 0.6 * (1 - 0.8 * cut), heat, cut=cut))
    assert all(within(fit, {"truncation_loss": 0.8, "q0": 0.6}).values())
    few = fit_curve(QUALITY, rows(rng.random(60) < 0.6, heat[:60], cut=np.arange(60) < 5))
    assert "truncation_loss" not in few.free


def test_a_nucleus_cools():
    rng = np.random.default_rng(5)
    heat = np.repeat([1.0, 1.2, 1.4, 1.6], 500)
    hot = rows(rng.random(2000) < 0.6, heat)
    cooled = fit_curve(QUALITY, hot._replace(top_p=np.full(2000, 0.5)))
    assert cooled.cells.at[:, 1].tolist() == [0.5] * 4


def test_a_half_foretells_the_other_to_about_its_noise(drawn):
    half = drawn[1].problem % 2 == 0
    held = held_out(QUALITY, drawn[1], half)
    assert held.n_cells >= 16  # a mean of one problem has no standard error
    assert held.rmse <= 3 * held.floor < held.constant
    own = fit_curve(QUALITY, some(drawn[1], half)).cells
    there = fit_curve(QUALITY, some(drawn[1], ~half)).cells
    use = np.isfinite(there.stderr)
    gap, weights = (own.mean - there.mean)[use], there.size[use]
    assert held.raw == pytest.approx(np.sqrt(np.average(gap**2, weights=weights)))
    assert held.floor == pytest.approx(np.sqrt(np.average(there.stderr[use] ** 2, weights=weights)))


def test_too_little_is_refused():
    empty = rows([], [])
    with pytest.raises(ValueError, match="0 rows"):
        fit_curve(QUALITY, empty)
    with pytest.raises(ValueError, match="no held-out mean"):
        held_out(QUALITY, rows([0.0, 1.0], [0.0, 0.0]), np.array([True, True]))
