"""A pilot log answers as the world that wrote it, as far as its noise goes, under any floor."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from envs.randomness import Purpose
from envs.targets import ConfigError
from evaluators.gates import Params as GateParams
from evaluators.gates import difference_sums
from evaluators.log import write_log
from evaluators.rows import Rows
from evaluators.sums import weights_of
from evaluators.support import Rule, assess
from experiments.frozen import draw_log, point_mass
from experiments.logs import Identity, log_of_rows
from experiments.powering.contests import Contest, aimed, explored
from experiments.powering.pilots import (
    Pilot,
    _drawn,
    _level,
    _shape,
    _supported,
    approvals,
    design_of,
    loss_of,
    open_pilot,
)
from experiments.powering.predicting import power
from tests.compiled import log, logger, world
from tests.other_logs import columns, draw, write_table

RANGE = world().reward_range or (0.0, 0.0)


@cache
def pilot(folder: Path) -> Pilot:
    """2,000 rows of the small world's logger."""
    file = folder / "pilot.parquet"
    write_log(file, log_of_rows(world(), log(), logger(), Identity("pilot", "0" * 32, 0)))
    return open_pilot(file, folder / "rejected.csv", declared=RANGE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pilot")


def better(one: Pilot, difference: float = 0.03) -> Contest:
    return aimed(np.random.default_rng(0), one.contest, difference, logger=one.logger, ess_share=0.3)


def test_the_pilot_is_read_whole(folder: Path) -> None:
    one = pilot(folder)
    np.testing.assert_array_equal(one.logger, logger().probs[log().index])
    np.testing.assert_array_equal(one.slot, log().slot)
    np.testing.assert_array_equal(one.reward, log().reward)
    np.testing.assert_array_equal(one.contest.baseline.argmax(axis=1), logger().windows.incumbent[log().index])
    np.testing.assert_array_equal(one.contest.feasible, logger().windows.feasible[log().index])


def test_the_floor_is_found_and_its_own_logger_comes_back(folder: Path) -> None:
    """The logger is half uniform; its softmax adds a little to every slot, which counts as floor."""
    one = pilot(folder)
    assert 0.5 <= one.floor < 0.7
    floors = np.where(one.contest.feasible, one.logger, np.inf).min(axis=1) * one.contest.feasible.sum(axis=1)
    tables = zip(one.contest.shape[:50], one.contest.feasible[:50], floors, strict=False)
    parts = [(one.contest._replace(shape=shape[None], feasible=slots[None]), floor) for shape, slots, floor in tables]
    rebuilt = np.concatenate([explored(part, floor) for part, floor in parts])
    np.testing.assert_allclose(rebuilt, one.logger[:50], atol=1e-9)


def test_a_logger_that_is_all_floor_falls_back_to_the_baseline(folder: Path) -> None:
    one = pilot(folder)
    even = one.contest.feasible / one.contest.feasible.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(_shape(even, one.contest), one.contest.baseline)


def test_the_spread_is_the_one_that_the_pilot_itself_shows(folder: Path) -> None:
    """Under the pilot's own logger the model's score variance is near the sample's: 4 standard errors."""
    one = pilot(folder)
    contest = better(one)
    rows = _rows(one, contest)
    floors = np.where(one.contest.feasible, one.logger, np.inf).min(axis=1) * one.contest.feasible.sum(axis=1)
    said = design_of(one, contest, float(floors.mean())).spread_at(2000).score
    sums = difference_sums(GateParams().interval, rows, target=contest.target)
    y = _scores(one, contest)
    seen = y.var(ddof=1)
    assert float(sums.powers[2, 0] / 2000 - (sums.powers[1, 0] / 2000) ** 2) == pytest.approx(y.var(), rel=1e-9)
    stderr = ((y - y.mean()) ** 2).std() / np.sqrt(y.size)
    assert abs(said - seen) <= 4 * stderr


def _rows(one: Pilot, contest: Contest) -> Rows:
    return _drawn(np.random.default_rng(0), design_of(one, contest, 0.5), 1.0, 1)._replace(
        reward=one.reward, slot=one.slot, behavior=one.logger, row=np.arange(one.slot.size)
    )


def _scores(one: Pilot, contest: Contest) -> np.ndarray:
    cell = np.arange(one.slot.size), one.slot
    part = np.vecdot(contest.contrast, contest.value)
    weight = (contest.contrast / np.where(one.logger > 0, one.logger, 1.0))[cell]
    return np.asarray(part + weight * (one.reward - contest.value[cell]))


def test_less_exploration_spreads_more(folder: Path) -> None:
    one = pilot(folder)
    contest = better(one)
    spreads = [design_of(one, contest, floor).spread_at(100).score for floor in (0.02, 0.1, 0.4)]
    assert spreads == sorted(spreads, reverse=True)


def test_the_loss_of_exploring_comes_with_its_error(folder: Path) -> None:
    """Against the exact loss of the world's logger: 4 standard errors."""
    one = pilot(folder)
    contest = better(one)
    design = design_of(one, contest, 0.5)._replace(behavior=one.logger)
    found = loss_of(one, design)
    table = np.where(
        contest.feasible, np.take_along_axis(world().table(), logger().windows.action_ids, 1)[log().index], 0
    )
    exact = float(((contest.baseline - one.logger) * table).sum(axis=1).mean())
    assert 0 < found.stderr < 0.05
    assert abs(found.value - exact) <= 4 * found.stderr


def test_simulated_rewards_have_the_models_mean_and_the_pilots_noise(folder: Path) -> None:
    one = pilot(folder)
    design = design_of(one, better(one), 0.5)
    level = _level(one, design.contest)
    rows = _drawn(np.random.default_rng(2), design, level, 200_000)
    mean = design.contest.value[rows.row, rows.slot]
    gap = rows.reward - mean
    assert abs(gap.mean()) <= 4 * gap.std() / np.sqrt(gap.size)
    lo, hi = RANGE
    wanted = level * ((mean - lo) * (hi - mean) + 1e-4 * (hi - lo) ** 2)
    excess = gap**2 - wanted
    assert abs(excess.mean()) <= 4 * excess.std() / np.sqrt(gap.size)
    assert (design.behavior[rows.row, rows.slot] > 0).all()
    drawn = np.bincount(rows.slot, minlength=design.behavior.shape[1]) / gap.size
    expected = design.behavior.mean(axis=0)
    assert (np.abs(drawn - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / gap.size) + 1e-5).all()


def test_support_of_many_logs_is_the_rules_own(folder: Path) -> None:
    one = pilot(folder)
    gate = GateParams(min_ess=90.0)
    contest = better(one)
    rows = _rows(one, contest)._replace(target=contest.target)
    rule = Rule(gate.min_ess, gate.max_weight_share, gate.max_unsupported)
    for n in (150, 400, 2000):
        weights = weights_of(rows.part(0, n))
        assert bool(_supported(gate, weights)) == assess(weights, rule).sufficient


def test_prediction_and_simulated_gate_agree(folder: Path) -> None:
    """400 logs: within 4 standard errors and the experiment's tolerance of 0.05."""
    one, gate = pilot(folder), GateParams()
    design = design_of(one, better(one), 0.4)
    n = next(n for n in range(500, 20_000, 500) if power(gate, design, n) > 0.6)
    share = np.mean(list(approvals(one, gate, design, n=n, n_logs=400, first=1)))
    assert abs(share - power(gate, design, n)) <= 0.05 + 4 * np.sqrt(share * (1 - share) / 400)


def test_a_pilot_that_never_tried_an_action_is_refused(tmp_path: Path) -> None:
    only = point_mass("only", logger(), logger().windows.incumbent)
    file = tmp_path / "a.parquet"
    rows = draw_log(world(), only, master_seed=0, purpose=Purpose.LOG, seed=0).part(0, 100)
    write_log(file, log_of_rows(world(), rows, only, Identity("pilot", "0" * 32, 0)))
    with pytest.raises(ConfigError, match="need a logger that takes every feasible action sometimes"):
        open_pilot(file, tmp_path / "r.csv", declared=RANGE)


def test_other_files_and_rewards_without_a_range_are_refused(tmp_path: Path) -> None:
    file = write_table(tmp_path / "a.csv", columns(draw(50, seed=1)))
    with pytest.raises(ConfigError, match="need our own decision log, which holds every window; this reads as table"):
        open_pilot(file, tmp_path / "r.csv", declared=(0.0, 1.0))
    with pytest.raises(ConfigError, match="rewards without a declared range"):
        open_pilot(file, tmp_path / "r.csv", declared=None)
    with pytest.raises(ConfigError, match=r"experiment\.reward_range"):
        open_pilot(file, tmp_path / "r.csv", declared=(1.0, 0.0))
