"""Claims hold for a right fit and fail for a wrong one, at the bound; what few problems say is only reported."""

import math

import numpy as np
import pytest

from experiments.calibration.fit_claims import allowance, fit_claims
from experiments.calibration.fit_length import LengthRows, Mixture, Runaway
from experiments.calibration.fit_quality import FAILURE, QUALITY, CurveRows, HeldOut, fit_curve, held_out
from experiments.calibration.outcome_table import Columns, Selection, read_outcomes
from experiments.calibration.task_fit import CurvePart, LengthPart, TaskFit, WorldFit, fit_world
from tests import answers


def rows(n):
    x = np.arange(n, dtype=float)
    return CurveRows(x % 2, np.full(n, 0.5), np.ones(n), np.zeros(n), np.arange(n))


def curve(kind, rmse, floor, constant, *, n=40):
    return CurvePart(rows(n), fit_curve(kind, rows(n)), HeldOut(rmse, floor, 0.07, constant, 9))


def lengths(distances, *, n_problems=(50, 50), two=True, halves=0.1):
    one = Mixture((1.0,), (100.0,), (0.5,), -1.0, 100)
    both = Mixture((0.7, 0.3), (100.0, 400.0), (0.5, 0.1), -1.0, 100)
    none = LengthRows(np.ones(2), np.zeros(2, bool), np.ones(2), 0.5)
    step = Runaway(0.0, 1.6, 0.08, 0.0)
    return LengthPart(none, step, (one, both), both if two else one, distances, halves, n_problems, 500, 0)


def claims(*tasks, named=True):
    made = [
        TaskFit(f"t{i}", 100, 100, one.get("quality"), one.get("failure"), one.get("length"), None, None)
        for i, one in enumerate(tasks)
    ]
    return fit_claims(WorldFit(tuple(made), None, None, None), named=named)


@pytest.mark.parametrize(("rmse", "near", "useful"), [(0.15, True, True), (0.151, False, True), (0.14, True, True)])
def test_quality_is_held_against_its_floor(rmse, near, useful):
    found = claims({"quality": curve(QUALITY, rmse, 0.1, 0.3)})
    assert [claim.holds for claim in found] == [near, useful]
    assert "<= 0.1500 (1.5 x the noise floor)" in found[0].required


@pytest.mark.parametrize(("rmse", "useful"), [(0.0712, True), (0.0726, True), (0.0727, False), (0.09, False)])
def test_a_curve_may_foretell_hardly_less_than_the_mean_does(rmse, useful):
    """All are within one and a half floors: the floor alone would pass a curve that was fitted to noise."""
    found = claims({"quality": curve(QUALITY, rmse, 0.0635, 0.0712)})
    assert [claim.holds for claim in found] == [True, useful]
    assert "its mean 0.0712" in found[1].interval


def test_the_task_type_that_lies_farthest_beyond_its_mean_is_named():
    found = claims({"quality": curve(QUALITY, 0.2, 0.2, 0.3)}, {"quality": curve(QUALITY, 0.2, 0.2, 0.1)})
    assert "farthest beyond: t1 0.2000" in found[1].interval


@pytest.mark.parametrize(("rmse", "floor", "holds"), [(0.0324, 0.0154, False), (0.03, 0.0154, True), (0.1, 0.0, None)])
def test_failure_is_judged_where_its_floor_is_above_0(rmse, floor, holds):
    (found,) = claims({"failure": curve(FAILURE, rmse, floor, 0.07)})
    assert found.holds is holds
    assert (found.required == "reported") == (holds is None)


def test_fewer_than_30_problems_are_reported():
    few = {"quality": curve(QUALITY, 9, 0.1, 0.1, n=29), "failure": curve(FAILURE, 9, 0.1, 0.1, n=29)}
    found = claims(few | {"length": lengths((0.1, 0.9), n_problems=(15, 14))})
    assert len(found) == 5
    assert {claim.holds for claim in found} == {None}


def test_lengths_may_differ_by_what_chance_explains_for_their_number_of_problems():
    assert allowance((50, 50)) == pytest.approx(1.63 * 0.2)
    bound = allowance((400, 100))
    for there, holds in ((bound - 1e-6, True), (bound + 1e-6, False)):
        found = claims({"length": lengths((1.0, there), n_problems=(400, 100))})
        assert [claim.holds for claim in found] == [holds, True]
    assert "400 and 100 problems" in found[0].required
    nameless = claims({"length": lengths((1.0, 0.1))}, named=False)
    assert "no problem is named" in nameless[0].required


def test_the_worst_length_is_the_one_farthest_beyond_its_own_allowance():
    many, some = lengths((0.5, 0.05), n_problems=(9000, 9000)), lengths((0.5, 0.2))
    found = claims({"length": some}, {"length": many})
    assert "(t1, two components)" in found[0].claim
    assert found[0].holds is False


def test_two_components_must_not_lie_farther_than_one():
    assert claims({"length": lengths((0.08, 0.1032))})[1].holds is False
    assert claims({"length": lengths((0.1032, 0.08))})[1].holds is True
    assert len(claims({"length": lengths((0.08, 0.1032), two=False)})) == 1


def test_a_wrong_law_fails_and_the_right_one_holds(tmp_path):
    """Of drawn answers: a flat curve where there is a cliff, one log-normal where there are two."""
    path = answers.write(tmp_path / "a.csv", answers.table())
    fit = fit_world(read_outcomes(path, Selection(Columns(**answers.COLUMNS), {}, 1.0, 0.05)), split_seed=0)
    assert all(claim.holds for claim in fit_claims(fit, named=True))
    (task,) = fit.tasks
    assert task.quality is not None
    data = task.quality.rows
    flat = held_out(QUALITY._replace(forms=(("q0",),)), data, data.problem % 2 == 0)
    wrong = task._replace(quality=task.quality._replace(held=flat))
    assert fit_claims(fit._replace(tasks=(wrong,)), named=True)[0].holds is False
    rng = np.random.default_rng(0)
    path = answers.write(tmp_path / "b.csv", {"output_tokens": np.rint(answers.lengths(rng, 3000)).astype(int)})
    fit = fit_world(read_outcomes(path, Selection(Columns(), {}, 1.0, 0.05)), split_seed=0)
    (right,) = fit.tasks
    assert [claim.holds for claim in fit_claims(fit, named=False)] == [True, True]
    assert right.length is not None
    one = right._replace(length=right.length._replace(chosen=right.length.mixtures[0]))
    assert [claim.holds for claim in fit_claims(fit._replace(tasks=(one,)), named=False)] == [False]


def test_errors_of_task_types_are_pooled_as_root_mean_squares():
    found = claims({"quality": curve(QUALITY, 0.1, 0.3, 0.3)}, {"quality": curve(QUALITY, 0.2, 0.3, 0.3)})
    assert found[0].measured == f"{math.sqrt((0.01 + 0.04) / 2):.4f}"
    assert "2 task types" in found[0].claim
