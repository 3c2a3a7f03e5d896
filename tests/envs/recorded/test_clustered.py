"""Means of recorded answers and their standard errors, by hand and against known truth."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.drift import Params as DriftParams
from envs.recorded import clustered
from envs.recorded.clustered import gain, line_error, truth
from envs.world import Scenario

Build = Callable[..., Scenario]
Write = Callable[..., Path]
STEPS = {"temperature": "0.25"}


@pytest.fixture
def scenario(replayed: Build, write: Write, answers: Any) -> Scenario:
    """Models a and b, 8 problems, T = 0, .5, 1 (`b` also 1.5), every quarter between interpolated."""
    return replayed(write(answers), interpolate=STEPS)


def test_standard_errors_are_clustered_where_a_problem_has_several_units(scenario: Scenario) -> None:
    merged = replace(scenario, population=replace(scenario.population, cluster=scenario.population.cluster // 2))
    cells = scenario.table()[8:]
    sums = (cells - cells.mean(axis=0)).reshape(4, 2, -1).sum(axis=1)
    want = np.sqrt(4 / 3 * (sums**2).sum(axis=0)) / 8
    np.testing.assert_allclose(truth(merged).stderr[1], want, rtol=1e-12)


def test_the_error_of_an_interpolated_mean_is_that_of_the_weighted_sum_of_two_correlated_means(
    scenario: Scenario,
) -> None:
    """Var(.5 A + .5 B) = .25 Var A + .25 Var B + .5 Cov(A, B), over the same 8 problems."""
    mean, stderr = truth(scenario)
    pair = scenario.table()[8:][:, [0, 2]]  # model b, T = 0 and .5
    cov = np.cov(pair.T, ddof=1) / 8
    assert mean[1, 1] == pytest.approx(pair.mean(), rel=1e-14)
    assert stderr[1, 1] == pytest.approx(np.sqrt(0.25 * cov[0, 0] + 0.25 * cov[1, 1] + 0.5 * cov[0, 1]), rel=1e-12)
    assert stderr[1, 1] != pytest.approx(np.sqrt(0.25 * cov[0, 0] + 0.25 * cov[1, 1]), rel=1e-2)


def test_the_gain_of_an_interpolated_action_shares_problems_with_the_baseline_it_leans_on(scenario: Scenario) -> None:
    """At T = .75 it is half the gain of T = .5 over the baseline T = 1, and so is its error."""
    mean, stderr = gain(scenario)
    assert scenario.lattice.values("temperature")[[2, 3, 4]].tolist() == [0.5, 0.75, 1.0]
    np.testing.assert_allclose(mean[:, 3], mean[:, 2] / 2, rtol=1e-12)
    np.testing.assert_allclose(stderr[:, 3], stderr[:, 2] / 2, rtol=1e-12)


def test_intervals_of_recorded_and_interpolated_means_cover_the_truth(scenario: Scenario) -> None:
    """40 problems of unequal size with effects of their own, 2,000 samples of two cells of known mean 0."""
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(40), np.tile([1, 2, 3, 4], 10)).astype(np.int32)
    even = np.full(100, 0.01)
    for weight in (1.0, 0.7, 0.5):
        shared = rng.standard_normal((2000, 40))[:, cluster]
        low, high = shared + 0.5 * rng.standard_normal((2, 2000, 100))
        mean, stderr = clustered._mean((weight * low + (1 - weight) * high).T, even, cluster)
        covered = float(np.mean(np.abs(mean) < 2.02 * stderr))  # t quantile, 39 degrees of freedom
        # Monte Carlo standard error .005; the sandwich is a little short at 40 clusters: [.92, .97]
        assert 0.92 < covered < 0.97


def test_truth_follows_the_traffic(replayed: Build, write: Write, answers: Any) -> None:
    moved = DriftParams(onset=5, prompt_divergence=0.2, prompt_feature="prompt_tokens")
    got = replayed(write(answers), drift=[moved])
    weight, table = got.weights(t=5)[8:] * 2, got.table()[8:]
    assert weight.sum() == pytest.approx(1.0) and weight[-1] > 0.2 > 1 / 8
    np.testing.assert_allclose(truth(got, t=5).mean[1], weight @ table, rtol=1e-12)
    sums = weight[:, None] * (table - weight @ table)
    np.testing.assert_allclose(truth(got, t=5).stderr[1], np.sqrt(8 / 7 * (sums**2).sum(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(truth(got).mean[1], table.mean(axis=0), rtol=1e-12)


def test_a_task_type_that_nobody_asks_for_any_more_keeps_its_truth(replayed: Build, write: Write, answers: Any) -> None:
    got = replayed(write(answers), drift=[DriftParams(onset=5, task_mix=1.0, toward="b")])
    np.testing.assert_allclose(truth(got, t=5).mean, truth(got).mean, rtol=1e-14)


def test_the_straight_line_is_put_to_the_test_where_a_value_lies_between_two_others(
    replayed: Build, write: Write, scenario: Scenario, answers: Any
) -> None:
    recorded = replayed(write(answers)).recorded
    whole = np.zeros((2, 7), np.bool_)
    whole[:, ::2] = recorded
    said = line_error(scenario, "temperature", recorded=whole)
    cells = [scenario.table()[rows][:, ::2] for rows in (slice(0, 8), slice(8, 16))]
    missed = [
        (c[:, j] - (c[:, j - 1] + c[:, j + 1]) / 2).mean() for c, j in ((cells[0], 1), (cells[1], 1), (cells[1], 2))
    ]
    want = f"Left out one at a time, 3 recorded values lie {np.sqrt(np.mean(np.square(missed))):.3g} (reward"
    assert said.startswith(want) and "chance alone would give" in said
    whole[:, [2, 6]] = False
    assert "was not put to the test" in line_error(scenario, "temperature", recorded=whole)
