"""A world's tables are its own expectations, its check is the vetting run's own gate, and both agree."""

from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from envs.randomness import Purpose
from envs.targets import ConfigError
from evaluators.gates import Params as GateParams
from evaluators.gates import compare
from experiments.frozen import draw_log, freeze, start_state
from experiments.ope import value_of
from experiments.powering.contests import Contest, aimed, explored, reach
from experiments.powering.predicting import power
from experiments.powering.worlds import World, _logs, _with_model, approvals, design_of, loss_of, open_world
from experiments.vetting import open_bench, under_bounds
from tests.compiled import SIZES, job, small

WORDS = ("experiment=power", *small("world"), *SIZES)
OUT = Path("unused")


@cache
def opened() -> World:
    """The small command-line world."""
    asked = job(*WORDS, out=OUT)
    return open_world(asked, open_bench(asked))


@cache
def contest(difference: float) -> Contest:
    one = opened()
    most = reach(one.contest)
    rng = np.random.default_rng(0)
    return aimed(rng, one.contest, difference * most, logger=one.side.behavior.probs, ess_share=0.25)


def test_values_are_the_worlds_own_and_the_loss_is_exact() -> None:
    one = opened()
    scenario, table = one.side.scenario, one.side.scenario.table()
    assert one.contest.mean(one.contest.baseline) == pytest.approx(value_of(scenario, table, one.side.baseline))
    logger = value_of(scenario, table, one.side.behavior)
    found = loss_of(one, design_of(one, contest(0.4), 0.5))  # the logger as configured
    assert found.value == pytest.approx(value_of(scenario, table, one.side.baseline) - logger)
    assert found.stderr == 0


def test_the_logger_has_the_floor_it_is_asked_for() -> None:
    one = opened()
    for floor in (0.2, 1.0):
        behavior = design_of(one, contest(0.4), floor).behavior
        bare = one._replace(contest=one.contest._replace(shape=design_of(one, contest(0.4), 1e-9).behavior)).contest
        np.testing.assert_allclose(behavior, explored(bare, floor), atol=2e-5)  # masses are multiples of 2^-20


def test_noise_is_the_mean_squared_error_about_the_exact_mean() -> None:
    """Another stream of rows shows the same mean noise within 4 standard errors."""
    one = opened()
    logger = under_bounds(one.bench, one.side.scenario, one.bench.logger)
    frozen = freeze("again", logger, start_state(logger), one.side.scenario)
    logs = [draw_log(one.side.scenario, frozen, master_seed=9, purpose=Purpose.LOG, seed=i) for i in range(5)]
    gaps = [(log.reward - one.contest.value[log.index, log.slot]) ** 2 - one.noise[log.index, log.slot] for log in logs]
    gap = np.concatenate(gaps).astype(np.float64)
    assert abs(gap.mean()) <= 4 * gap.std() / np.sqrt(gap.size)


def test_logs_are_cut_from_one_stream_and_never_overlap() -> None:
    one = opened()
    logs = list(_logs(one, one.side.behavior, (1500, 3), first=7))
    draws = [
        draw_log(one.side.scenario, one.side.behavior, master_seed=0, purpose=Purpose.CERTIFY, seed=7 + i)
        for i in range(3)
    ]
    stream = np.concatenate([drawn.reward for drawn in draws])
    np.testing.assert_array_equal(np.concatenate([log.reward for log in logs]), stream[:4500])


def test_an_answer_is_the_gates_own() -> None:
    one, gate, target = opened(), GateParams(), contest(0.5)
    design = design_of(one, target, 0.5)
    said = list(approvals(one, gate, design, n=800, n_logs=20, first=50))
    again = []
    logger = one.side.behavior
    for number, log in enumerate(_logs(one, logger, (800, 20), first=50)):
        rng = np.random.Generator(np.random.Philox(key=np.array([50, number], np.uint64)))
        rows = _with_model(one, target, design.behavior, log=log, rng=rng)
        found = compare(gate, rows, target=np.tile(target.target, (one.model.n_folds, 1)))
        again.append(found.lower >= 0 and found.target.sufficient and found.baseline.sufficient)
    assert said == again and 0 < sum(said) < 20


@pytest.mark.slow
@pytest.mark.parametrize(("difference", "floor"), [(0.5, 0.5), (0.5, 0.1), (0.0, 0.5)])
def test_prediction_and_gate_agree(difference: float, floor: float) -> None:
    """300 logs: within 4 standard errors and the experiment's tolerance of 0.05."""
    one, gate = opened(), GateParams()
    design = design_of(one, contest(difference), floor)
    predicted = partial(power, gate, design)
    n = next(n for n in (500, 1000, 2000, 4000) if predicted(n) > (0.5 if difference else 0.04))
    share = sum(approvals(one, gate, design, n=n, n_logs=300, first=1000)) / 300
    assert abs(share - predicted(n)) <= 0.05 + 4 * np.sqrt(max(share * (1 - share), 1 / 300) / 300)


def test_a_logger_whose_floor_cannot_be_varied_is_refused() -> None:
    asked = job(*WORDS, out=OUT)
    with pytest.raises(ConfigError, match="need a logger with a floor of uniform exploration"):
        open_world(asked, open_bench(asked)._replace(logger=object()))


def test_rewards_without_a_range_are_refused() -> None:
    asked = job(*WORDS, "world.noise.kind=gaussian", out=OUT)
    with pytest.raises(ConfigError, match="need a declared reward range for the gate's bound"):
        open_world(asked, open_bench(asked))
