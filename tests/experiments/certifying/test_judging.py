"""What a cell says is what many logs said: unbiased where it should be, far off where the regime breaks it."""

from functools import cache

import numpy as np
import pytest

from evaluators.certified import DIFFERENCE
from evaluators.estimation import Estimator
from evaluators.estimators import direct, doubly_robust, ips, replay, snips
from evaluators.intervals import assisted, gate, hc3, t
from experiments.certifying.judging import Cell, Refused, judge_case
from tests.experiments.certifying.test_regimes import cases, pools

ESTIMATORS: dict[str, Estimator] = {
    "direct": direct.Params(),
    "doubly_robust": doubly_robust.Params(),
    "ips": ips.Params(),
    "snips": snips.Params(),
}
INTERVALS = {"assisted": assisted.Params(), "gate": gate.Params(), "hc3": hc3.Params(), "t": t.Params()}
SHAPES = ((60, 200), (20, 600))


@cache
def judged(regime: str, kind: str = "", where: str = "world") -> tuple[dict[tuple[str, str, int], Cell], list[Refused]]:
    case = (cases() if where == "world" else pools())[regime, kind]
    cells, refused = judge_case(case, SHAPES, estimators=ESTIMATORS, intervals=INTERVALS)
    return {(cell.estimator, cell.interval, cell.n): cell for cell in cells}, refused


@pytest.mark.parametrize("regime", ["iid", "adaptive", "drift"])
@pytest.mark.parametrize("n", [200, 600])
def test_what_is_unbiased_by_construction_is_measured_unbiased(regime: str, n: int) -> None:
    cells, _ = judged(regime, "halved" if regime == "drift" else "")
    for pair in (("ips", "t"), ("doubly_robust", "assisted"), (DIFFERENCE, "gate")):
        cell = cells[(*pair, n)]
        # the learning logger's models see the future: biased by O(1/n), far less than its error here
        assert abs(cell.bias) <= 4 * cell.bias_stderr
        assert cell.coverage >= 0.93 - 4 * cell.share_stderr(0.93) and np.isfinite(cell.width)


def test_a_wrong_reward_model_ruins_the_direct_method_and_leaves_doubly_robust_unbiased() -> None:
    for where in ("world", "pool"):
        cells, _ = judged("misspecified_reward", "level", where)
        wrong, right = cells["direct", "t", 600], cells["doubly_robust", "assisted", 600]
        assert wrong.bias > 10 * wrong.bias_stderr and wrong.coverage == 0 and wrong.low_error == 1
        assert abs(right.bias) <= 4 * right.bias_stderr


def test_a_wrong_log_biases_importance_weighting() -> None:
    for kind in ("sharpened", "flattened"):
        cell = judged("misspecified_propensity", kind)[0]["ips", "t", 600]
        assert abs(cell.bias) > 4 * cell.bias_stderr


def test_what_the_logger_never_tries_is_missing_from_importance_weighting() -> None:
    case = cases()["deficient_support", ""]
    missed = np.where(case.behavior == 0, case.target, 0.0).sum(axis=1).mean()
    cell = judged("deficient_support")[0]["ips", "t", 600]
    assert cell.bias < -0.3 * missed * case.truth.target and cell.bias < -4 * cell.bias_stderr


def test_drift_is_judged_against_its_average_and_shown_against_its_end() -> None:
    truth = cases()["drift", "halved"].truth
    cell = judged("drift", "halved")[0]["doubly_robust", "assisted", 200]
    assert cell.bias_now - cell.bias == pytest.approx(truth.target - truth.target_now, abs=1e-12)


def test_the_figures_of_a_cell_agree_with_each_other() -> None:
    for cell in judged("iid")[0].values():
        assert cell.rmse**2 >= cell.bias**2 - 1e-15 and cell.width > 0
        assert cell.rmse**2 == pytest.approx(
            cell.bias**2 + cell.bias_stderr**2 * (cell.n_logs - 1), rel=1e-9
        )  # mean square = bias^2 + variance
        assert min(cell.low_error, cell.high_error) >= 0 and cell.coverage <= 1


def test_pairs_that_refuse_are_listed_with_their_reason() -> None:
    case = pools()["iid", ""]
    cells, refused = judge_case(
        case, ((5, 50),), estimators={"replay": replay.Params(), **ESTIMATORS}, intervals=INTERVALS
    )
    told = {(one.estimator, one.interval): one.reason for one in refused}
    assert "takes one action of every row for certain" in told["replay", ""]
    assert "self-normalised" in told["ips", "hc3"] and "self-normalised" in told["snips", "assisted"]
    measured = {(cell.estimator, cell.interval) for cell in cells}
    assert not measured & told.keys() and ("snips", "hc3") in measured
