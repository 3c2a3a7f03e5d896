"""The rule is applied to every world and to all together; the list, the rows and the claims follow from the cells."""

import json
from pathlib import Path
from typing import Any

import pytest

from envs.drift import Params as DriftParams
from evaluators.certified import DIFFERENCE, REGIMES
from experiments.certifying.judging import Cell
from experiments.certifying.matrix import (
    Matrix,
    Place,
    claims_of,
    every_interval,
    held_pairs,
    holds,
    measure_matrix,
    measurements_of,
    n_cases,
    write_held,
)
from experiments.certifying.pool import open_pool
from experiments.results import Results
from experiments.vetting import open_bench
from tests.compiled import FLAT, PARAMS, job, small

HONEST = {"coverage": 0.95, "low_error": 0.05, "high_error": 0.05}


def cell(world: str = "a", **changed: Any) -> Cell:
    plain: dict[str, Any] = dict(
        regime="iid", kind="", world=world, n=200, estimator=DIFFERENCE, interval="gate", n_logs=400, bias=0.0,
        bias_stderr=0.01, bias_now=0.0, rmse=0.2, rmse_stderr=0.01, width=0.8, width_stderr=0.01, **HONEST,
    )  # fmt: skip
    return Cell(**plain | changed)


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({}, True),
        ({"low_error": 0.0835}, True),  # 0.06 + 2 sqrt(0.06 0.94 / 400) = 0.0837
        ({"low_error": 0.0840}, False),
        ({"high_error": 0.0840}, False),
        ({"coverage": 0.9046}, True),  # 0.93 - 2 sqrt(0.93 0.07 / 400) = 0.9045
        ({"coverage": 0.9043}, False),
        ({"width": float("inf")}, False),
    ],
)
def test_a_pair_holds_up_to_two_standard_errors_of_a_world(changed: dict[str, Any], wanted: bool) -> None:
    assert holds([cell(**changed), *(cell(name) for name in "bcdefghi")]) is wanted


def test_worlds_that_each_pass_by_chance_fail_together() -> None:
    assert holds([cell(name, low_error=0.075) for name in "a"])
    assert not holds([cell(name, low_error=0.075) for name in "abcdefghi"])  # 0.06 + 2 sqrt(0.0564 / 3600) = 0.068


def test_the_list_holds_what_held_and_reads_back(tmp_path: Path) -> None:
    cells = (cell(), cell(interval="t", low_error=0.2), cell(n=1000), cell(regime="drift", kind="swap"))
    matrix = Matrix(cells, ())
    pairs = held_pairs(matrix)
    assert pairs == {
        "iid": {200: [(DIFFERENCE, "gate")], 1000: [(DIFFERENCE, "gate")]},
        "drift": {200: [(DIFFERENCE, "gate")]},
    }
    found = json.loads(write_held(matrix, tmp_path / "certified.json").read_text())
    assert found["iid"]["200"] == [[DIFFERENCE, "gate"]] and list(found) == ["iid", "drift"]


def test_the_gates_pair_must_hold_on_independent_rows_and_elsewhere_it_is_told() -> None:
    bad = cell(regime="drift", kind="swap", low_error=0.3)
    _, iid, drift = claims_of(Matrix((cell(), bad), ()), "gate")
    assert iid.holds is True and drift.holds is None and "held at n = none" in drift.measured
    assert claims_of(Matrix((cell(low_error=0.3),), ()), "gate")[1].holds is False


def test_every_cell_becomes_rows_with_keys_of_their_own() -> None:
    results = Results()
    unbounded = cell(interval="t", width=float("inf"))
    for row in measurements_of(Matrix((cell(), unbounded, cell(regime="drift", kind="swap")), ())):
        results.add(row)
    assert len(results) == 6 + 5 + 7


def test_a_small_matrix_is_measured_everywhere(tmp_path: Path) -> None:
    asked = job(*small("world"), "estimator=[ips,doubly_robust,kernel]", out=tmp_path)
    halved = {"halved": DriftParams(onset=4, quality_factor=0.5)}
    place = Place({"small": PARAMS, "flat": FLAT}, halved, {"pool": open_pool(n_contexts=200)})
    done: list[int] = []
    matrix = measure_matrix(
        place, open_bench(asked), job=asked, intervals=every_interval(), shapes=((4, 200),), advance=done.append
    )
    assert sum(done) == n_cases(place) == 22
    assert {c.regime for c in matrix.cells} == set(REGIMES) and {c.world for c in matrix.cells} == {
        "small",
        "flat",
        "pool",
    }
    assert {c.estimator for c in matrix.cells} == {DIFFERENCE, "ips", "doubly_robust", "kernel"}
    left = {(r.estimator, r.interval, r.regime) for r in matrix.refused}
    assert ("kernel", "", "adaptive") in left and ("", "bootstrap_t", "iid") in left


def test_a_world_without_a_range_is_refused(tmp_path: Path) -> None:
    asked = job(*small("world"), "world.noise.kind=gaussian", out=tmp_path)
    bench = open_bench(asked)
    place = Place({"free": asked.pick("world", object)}, {"halved": DriftParams(quality_factor=0.5)}, {})
    with pytest.raises(ValueError, match="world 'free' of the matrix has no declared range of rewards"):
        measure_matrix(place, bench, job=asked, intervals={}, shapes=((4, 200),), advance=lambda _: None)
