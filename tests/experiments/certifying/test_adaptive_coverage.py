"""Coverage and the claims on it: counted right, and able to fail."""

import numpy as np
import pytest

from evaluators.hajek import Fitted
from experiments.certifying.adaptive_coverage import (
    Judged,
    Place,
    failure_claim,
    joined,
    judge,
    width_claim,
    worst_claim,
)

PLACE = Place("low_signal", "arm 1", "hajek_hc2", 1000)


def covering(share, m=4000, place=PLACE):
    return Judged(place, np.arange(m) < round(share * m), np.full(m, 0.9))


def test_intervals_are_held_against_the_truth() -> None:
    fitted = Fitted(np.array([0.0, 3.0, 0.0]), np.ones(3), np.array([np.inf, np.inf, 0.0]))
    judged = judge(PLACE, fitted, 0.5)
    assert judged.inside.tolist() == [True, False, True]
    np.testing.assert_allclose(judged.width, [2 * 1.959964, 2 * 1.959964, np.inf], rtol=1e-6)
    assert judged.mean_width == pytest.approx(2 * 1.959964, rel=1e-6)


def test_measurements_name_their_place_and_count_whole_lines() -> None:
    judged = Judged(PLACE, np.array([True, True, False, True]), np.array([1.0, 3.0, 2.0, np.inf]))
    rows = {row.measure: row for row in judged.measurements()}
    assert rows["coverage"].value == 0.75
    assert rows["infinite_share"].value == 0.25
    # widths 1, 2, 3: sd 1, / sqrt 3
    assert rows["width"].value == 2.0
    assert rows["width"].stderr == pytest.approx(3**-0.5)
    assert {(row.world, row.policy, row.estimator, row.n) for row in rows.values()} == {PLACE}


def test_blocks_are_joined_place_by_place() -> None:
    other = PLACE._replace(policy="arm 2")
    found = joined([[covering(1.0, 10), covering(0.0, 10, other)], [covering(0.0, 30), covering(1.0, 30, other)]])
    assert [(one.place.policy, one.coverage) for one in found] == [("arm 1", 0.25), ("arm 2", 0.75)]


@pytest.mark.parametrize(("share", "n", "holds"), [(0.94, 1000, True), (0.9395, 1000, False), (0.9395, 200, True)])
def test_the_worst_place_decides(share, n, holds) -> None:
    place = PLACE._replace(n=n)
    claim = worst_claim("covered", [covering(0.96, place=place), covering(share, place=place)])
    assert claim.holds is holds
    assert claim.measured.startswith(f"{share:.4f}")


def test_slack_is_in_standard_errors() -> None:
    # 0.935: standard error 0.0039, so two of them reach 0.9428
    assert worst_claim("covered", [covering(0.935)]).holds is False
    assert worst_claim("covered", [covering(0.935)], slack=2.0).holds is True


@pytest.mark.parametrize(("share", "holds"), [(0.92, True), (0.938, False), (0.95, False)])
def test_a_control_must_fail_clearly(share, holds) -> None:
    assert failure_claim("control", [covering(share)]).holds is holds


def test_widths_are_held_against_their_limit() -> None:
    assert width_claim("width", covering(0.95), 0.91).holds is True
    assert width_claim("width", covering(0.95), 0.89).holds is False


def test_few_logs_are_reported_not_judged() -> None:
    claims = [
        worst_claim("covered", [covering(0.5, m=500)]),
        failure_claim("control", [covering(0.99, m=500)]),
        width_claim("width", covering(0.95, m=500), 0.1),
    ]
    assert all(claim.holds is None and claim.required.endswith("reported") for claim in claims)
