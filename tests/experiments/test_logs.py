"""Simulated traffic as decision logs: whole, replayable, and within its bounds."""

from pathlib import Path

import numpy as np
import pytest

from envs.randomness import Purpose
from envs.tasks import fingerprint
from evaluators.audit import audit
from evaluators.decisions import FEEDBACK, DecisionLog, take_rows
from evaluators.log import check_log, read_log, write_log
from experiments.convergence import answered
from experiments.frozen import draw_log, freeze, point_mass, start_state
from experiments.logs import Identity, log_of_rows, log_of_run, recommendations
from policies.learners import proximity
from policies.masses import TOTAL
from tests.compiled import LIMITS, N_ROUNDS, delayed_runs, learning_runs, log, logger, world
from tests.examples import two_models, under_limits

WHO = Identity("test", "ab" * 32, 7)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written() -> DecisionLog:
    return log_of_rows(world(), log(), logger(), WHO)


def test_a_frozen_policys_log_passes_the_files_checks_and_comes_back_the_same(
    written: DecisionLog, tmp_path: Path
) -> None:
    write_log(tmp_path / "log.parquet", written)
    back = read_log(tmp_path / "log.parquet", lattice=world().lattice)
    for name in ("masses", "propensity", "reward", "timestamp", "context", "prompt_hash"):
        np.testing.assert_array_equal(getattr(back, name), getattr(written, name))


def test_a_frozen_policys_log_is_what_was_drawn(written: DecisionLog) -> None:
    rows = log()
    np.testing.assert_array_equal(written.action_id, rows.action_id)
    np.testing.assert_array_equal(written.propensity, rows.mass / TOTAL)
    np.testing.assert_array_equal(written.reward, rows.reward)
    task = world().population.tasks[rows.index[0]]
    assert written.fingerprint[0] == fingerprint(task, task_type=str(written.task_type[0]))


def test_evaluations_count_each_task_type_by_itself(written: DecisionLog) -> None:
    for name in world().population.names:
        mine = written.evaluation[written.task_type == name]
        np.testing.assert_array_equal(mine, np.arange(len(mine)))


def test_an_audit_finds_nothing_in_logs_of_frozen_and_of_learning_policies(written: DecisionLog) -> None:
    runs = learning_runs()
    logs = [written, *(log_of_run(world(), run, seeds=range(2), who=WHO) for run in runs)]
    for each in logs:
        found = audit(each, world().lattice, constraints=LIMITS)
        assert found.holds, found.violations


def test_a_learning_runs_log_passes_the_files_checks(tmp_path: Path) -> None:
    run = learning_runs()[0]
    whole = log_of_run(world(), run, seeds=range(3), who=WHO)
    write_log(tmp_path / "log.parquet", whole)
    assert len(whole) == 3 * run.centre.shape[1]
    np.testing.assert_array_equal(whole.centre[: run.centre.shape[1]], run.centre[0])


def test_a_decision_whose_reward_never_arrived_tells_nothing_of_its_outcome(tmp_path: Path) -> None:
    run, n = delayed_runs()[0], 3 * N_ROUNDS
    late = log_of_run(world(), run, seeds=range(3), who=WHO)
    heard = answered(run.delivered[:3]).ravel()
    assert 0.5 * n < heard.sum() < n
    np.testing.assert_array_equal(late.is_answered, heard)
    for name in FEEDBACK:
        np.testing.assert_array_equal(np.isnan(getattr(late, name)), ~heard, err_msg=name)
    np.testing.assert_array_equal(late.reward[heard], run.kept.reward[:3].ravel()[heard])
    assert np.isfinite(late.propensity).all() and audit(late, world().lattice, constraints=LIMITS).holds
    path = tmp_path / "late.parquet"
    write_log(path, late)
    with pytest.raises(ValueError, match=r"late.parquet: gen_ai.usage.output_tokens, row .* = nan, need .* drop rows"):
        read_log(path)  # an estimator's view
    back = read_log(path, lattice=world().lattice, may_lack_feedback=True)
    np.testing.assert_array_equal(back.reward, late.reward)
    check_log(take_rows(back, back.is_answered))


def test_where_models_are_chosen_the_log_names_the_one_that_was_asked() -> None:
    scenario = two_models()
    who = under_limits(proximity.Params(), scenario)
    behavior = freeze("logger", who, start_state(who), scenario)
    rows = draw_log(scenario, behavior, master_seed=0, purpose=Purpose.LOG, seed=0).part(0, 200)
    made = log_of_rows(scenario, rows, behavior, WHO)
    assert made.model.tolist() == [scenario.lattice.parameters(int(action))["model"] for action in rows.action_id]
    assert set(made.model) == {"small", "large"}
    assert audit(made, scenario.lattice, constraints=LIMITS).holds


def test_recommendations_of_the_logger_itself_are_its_log(written: DecisionLog) -> None:
    again = recommendations(world(), log(), logger(), WHO)
    np.testing.assert_array_equal(again.action_id, written.action_id)
    assert np.isnan(again.reward).all()


def test_recommendations_follow_the_candidates_own_masses() -> None:
    slots = np.asarray(logger().windows.incumbent)
    candidate = point_mass("stay", logger(), slots)
    said = recommendations(world(), log(), candidate, WHO)
    np.testing.assert_array_equal(said.action_id, said.centre)
    assert (said.propensity == 1.0).all()


def test_prompts_are_hashed_under_a_key_that_the_master_seed_makes(written: DecisionLog) -> None:
    other = log_of_rows(world(), log(), logger(), WHO._replace(master_seed=8))
    assert not np.any(other.prompt_hash == written.prompt_hash)
    same_task = log().index == log().index[0]
    assert len(set(written.prompt_hash[same_task])) == 1
