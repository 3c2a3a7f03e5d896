"""Estimators against the exact value: what is counted, on which logs, and whether it comes out right.

Statistical tests fail by chance with the probability that stands beside them if the seed is redrawn.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from envs.randomness import Purpose
from envs.world import Scenario
from evaluators.estimation import Estimator
from evaluators.estimators import direct, doubly_robust, ips, snips
from evaluators.reward_model import Params as ModelParams
from evaluators.rows import RewardRange, Rows, written_out
from evaluators.sums import weights_of
from evaluators.support import assess
from experiments import ope
from experiments.frozen import Frozen, LogRows, learn, point_mass
from experiments.gating import Side, side, softened
from experiments.ope import Judged, LogPlan, design_of, judge_logs, measure_ope, predict, rows_of, value_of
from policies.features import n_features, phi
from policies.learners import proximity
from tests.compiled import LEARNER, gate, log, logger, under_bounds, world

ESTIMATORS: Mapping[str, Estimator] = {
    "ips": ips.Params(),
    "snips": snips.Params(),
    "direct": direct.Params(),
    "doubly_robust": doubly_robust.Params(),
}
N_LOGS = 200


class Target(NamedTuple):
    """A frozen softmax and its exact value."""

    frozen: Frozen
    value: float


@pytest.fixture(scope="module")
def here() -> Side:
    return side(world(), under_bounds(proximity.Params()), under_bounds(LEARNER))


@pytest.fixture(scope="module")
def target() -> Target:
    """Learned from a log that no test judges it on; design ESS / n is 0.25."""
    state = learn(under_bounds(LEARNER), log(0, Purpose.TRAIN), logger(), world())
    frozen = softened(gate(), state, ess_share=0.25).frozen
    return Target(frozen, value_of(world(), world().table(), frozen))


@pytest.fixture(scope="module")
def judged(here: Side, target: Target) -> dict[str, Judged]:
    plan = LogPlan(200, N_LOGS, 0, Purpose.LOG, first=1)
    found = judge_logs(here, target.frozen, estimators=ESTIMATORS, plan=plan, truth=target.value)
    return {one.estimator: one for one in found}


def test_what_judged_says_of_three_hand_written_logs() -> None:
    value, width = np.array([0.4, 0.5, 0.9]), 0.1
    one = Judged("ips", 200, value, np.ones(3), value - width, value + width, np.ones(3), truth=0.5)
    bias, error = one.bias
    assert bias == pytest.approx(0.1)  # (-0.1 + 0 + 0.4) / 3
    assert error == pytest.approx(np.std([-0.1, 0.0, 0.4], ddof=1) / np.sqrt(3))
    assert one.rmse == pytest.approx(np.sqrt((0.01 + 0.0 + 0.16) / 3))
    inside, error = one.coverage
    assert inside == pytest.approx(2 / 3)
    assert error == pytest.approx(np.sqrt(1 / 3 / 3))  # 1 / m under the root stands in for small variances
    assert error > np.sqrt(2 / 3 * 1 / 3 / 3)


@pytest.mark.parametrize("name", ["ips", "doubly_robust"])
def test_estimators_that_promise_no_bias_have_none(judged: dict[str, Judged], name: str) -> None:
    bias, error = judged[name].bias
    assert abs(bias) < 4 * error  # false alarm 6e-5


@pytest.mark.parametrize("name", ["snips", "doubly_robust"])
def test_intervals_cover_the_exact_value(judged: dict[str, Judged], name: str) -> None:
    inside, _ = judged[name].coverage
    # Their measured coverage at n = 200 is 0.93 to 0.96; 4 standard errors of 200 logs below and above.
    assert 0.93 - 4 * np.sqrt(0.93 * 0.07 / N_LOGS) < inside <= 1.0  # false alarm 3e-5


def test_a_model_lowers_the_error_and_the_support_is_the_designs(judged: dict[str, Judged]) -> None:
    assert judged["doubly_robust"].rmse < judged["ips"].rmse
    # In-sample ESS is optimistic where the heaviest weights are the rarest: above the design, below n.
    assert 0.25 * 200 * 0.9 < judged["ips"].ess.mean() < 200


def test_every_estimator_reads_the_same_logs(judged: dict[str, Judged]) -> None:
    assert list(judged) == list(ESTIMATORS)
    for one in judged.values():
        assert (one.n, len(one.value)) == (200, N_LOGS)
        np.testing.assert_array_equal(one.ess, judged["ips"].ess)


class Drawn:
    """Stands in for `draw_log`, and remembers what was asked."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def __call__(
        self, _scenario: object, _behavior: object, *, master_seed: int, purpose: Purpose, seed: int
    ) -> LogRows:
        assert (master_seed, purpose) == (3, Purpose.LOG)
        self.seeds.append(seed)
        rows = log(0)
        return rows._replace(index=rows.index, uniform=np.arange(2000) + 10_000 * seed)


def test_short_logs_are_disjoint_cuts_of_fresh_draws(monkeypatch: pytest.MonkeyPatch, here: Side) -> None:
    drawn, seen = Drawn(), []
    monkeypatch.setattr(ope, "draw_log", drawn)

    def keep(rows: LogRows, *given: Any, **named: Any) -> Rows:
        seen.append(rows.uniform)
        return rows_of(rows, *given, **named)

    monkeypatch.setattr(ope, "rows_of", keep)
    plan = LogPlan(300, 14, 3, Purpose.LOG, first=5)
    judge_logs(here, here.behavior, estimators={"ips": ips.Params()}, plan=plan, truth=0.0)
    assert drawn.seeds == [5, 6, 7]  # six logs of 300 from each draw of 2,000
    assert {len(uniform) for uniform in seen} == {300}
    assert len(np.unique(np.concatenate(seen))) == 14 * 300


def test_progress_counts_logs(here: Side) -> None:
    counts: list[int] = []
    plan = LogPlan(200, 3, 0, Purpose.LOG, first=1)
    judge_logs(here, here.behavior, estimators={"ips": ips.Params()}, plan=plan, truth=0.0, progress=counts.append)
    assert counts == [1, 1, 1]


def test_judging_the_logger_on_its_own_log_gives_the_mean_reward(here: Side) -> None:
    plan = LogPlan(2000, 2, 0, Purpose.LOG)
    (found,) = judge_logs(here, here.behavior, estimators={"ips": ips.Params()}, plan=plan, truth=0.0)
    np.testing.assert_allclose(found.value, [log(0).reward.mean(), log(1).reward.mean()], rtol=1e-12)
    np.testing.assert_allclose(found.ess, 2000)


def modelled(here: Side, rows: LogRows, scenario: Scenario, *, seed: int = 0) -> Rows:
    """The rows of a log beside their predictions, written out."""
    found = rows_of(rows, here.behavior, here.behavior, scenario=scenario)
    return written_out(predict(found, here.design, model=ModelParams(), seed=seed))


def test_predictions_lie_in_the_declared_range_and_are_a_function_of_the_seed(here: Side) -> None:
    narrow = replace(world(), reward_range=(0.2, 0.4))
    rows = log(0).part(0, 400)
    low, high = world().reward_range or (0.0, 0.0)
    wide = modelled(here, rows, world()).predicted
    assert wide is not None and wide.shape == (400, 75)
    assert low <= wide.min() and wide.max() <= high
    cut = modelled(here, rows, narrow).predicted
    assert cut is not None
    np.testing.assert_array_equal(cut, np.clip(wide, 0.2, 0.4))
    assert (cut.min(), cut.max()) == (0.2, 0.4)
    np.testing.assert_array_equal(modelled(here, rows, world()).predicted, wide)
    assert np.any(modelled(here, rows, world(), seed=1).predicted != wide)


def test_no_row_is_predicted_by_a_model_that_saw_it(here: Side) -> None:
    rows = log(0).part(0, 400)
    other = rows._replace(reward=np.where(np.arange(400) == 7, 100.0, rows.reward))
    free = replace(world(), reward_range=None)
    before, after = (modelled(here, r, free).predicted for r in (rows, other))
    assert before is not None and after is not None
    np.testing.assert_array_equal(before[7], after[7])
    assert np.mean(np.any(before != after, axis=1)) > 0.7  # the other folds did see it


def test_the_design_is_phi_of_every_slot_of_every_tasks_window(here: Side) -> None:
    spec, people, behavior = under_bounds(LEARNER).spec, world().population, logger()
    design = design_of(spec, world(), behavior)
    assert design.shape == (24, 75, n_features(spec))
    for i in (0, 11, 12, 23):
        ids = behavior.windows.action_ids[i]
        np.testing.assert_array_equal(design[i], phi(spec, people.features[i], people.task[i], ids))
    np.testing.assert_array_equal(design, here.design)


def test_weights_are_the_mix_shared_out_within_a_type() -> None:
    np.testing.assert_allclose(world().weights(), [1 / 36] * 12 + [2 / 36] * 12)


def test_rows_carry_whole_windows_and_the_declared_range(target: Target) -> None:
    rows = rows_of(log(0), logger(), target.frozen, scenario=world())
    np.testing.assert_array_equal(rows.behavior.sum(axis=1), 1.0)
    np.testing.assert_array_equal(rows.at(rows.behavior) * 2**20, log(0).mass)
    np.testing.assert_array_equal(written_out(rows).target, target.frozen.probs[log(0).index])
    assert rows.action_ids is not None and rows.points is not None
    np.testing.assert_array_equal(rows.action_ids[rows.row, rows.slot], log(0).action_id)
    assert len(rows.points) == world().lattice.size
    assert rows.reward_range == RewardRange(*(world().reward_range or (0.0, 0.0)))
    assert rows.cluster is None


def test_rows_of_a_recorded_world_are_clustered_by_problem(target: Target) -> None:
    problem = np.arange(24, dtype=np.int32) // 2
    recorded = replace(world(), is_exact=False, population=replace(world().population, cluster=problem))
    rows = rows_of(log(0), logger(), target.frozen, scenario=recorded)
    assert rows.cluster is not None
    np.testing.assert_array_equal(rows.cluster, problem[log(0).index])


def test_a_point_mass_has_no_support(target: Target) -> None:
    greedy = point_mass("greedy", logger(), target.frozen.masses.argmax(axis=1))
    rows = rows_of(log(0).part(0, 200), logger(), greedy, scenario=world())
    assert not assess(weights_of(rows)).sufficient


def test_measurements_name_world_target_estimator_and_size(judged: dict[str, Judged]) -> None:
    one = judged["doubly_robust"]
    rows = {row.measure: row for row in measure_ope("small", "softmax_0.25", one)}
    assert set(rows) == {"bias", "rmse", "coverage", "width", "ess", "truth", "value"}
    keys = {(row.section, row.world, row.policy, row.estimator, row.n) for row in rows.values()}
    assert keys == {("ope", "small", "softmax_0.25", "doubly_robust", 200)}
    assert (rows["bias"].value, rows["bias"].stderr) == one.bias
    assert (rows["coverage"].value, rows["coverage"].stderr) == one.coverage
    assert (rows["value"].value, rows["value"].lo) == (one.value[0], one.lo[0])
    assert rows["truth"].value == one.truth
    assert rows["width"].value == pytest.approx(np.mean(one.hi - one.lo))
