"""The Gymnasium environment: it passes Gymnasium's own check and is the compiled run of its seed."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs import presets
from envs.gym import ENV_ID, LLMOutcome
from envs.randomness import Purpose
from envs.targets import ConfigError
from envs.world import Context, Outcome, Scenario
from experiments import simulate as compiled
from policies.approval import Params as Approval
from policies.base import Feedback
from policies.build import BoundedPolicy, bounded
from policies.constraints import Params as Constraints
from policies.constraints import Radius
from policies.decide import decide
from policies.learners import fixed, thompson, uniform

N_ROUNDS = 60


@pytest.fixture
def env(gsm8k_small: Scenario) -> LLMOutcome:
    return LLMOutcome(gsm8k_small, horizon=N_ROUNDS // 2, render_mode="ansi")


@pytest.mark.parametrize("preset", ["gsm8k_small", "flat_null"])
def test_gymnasiums_own_check_passes_without_a_warning(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = gymnasium.make(ENV_ID, preset=preset, horizon=2)
        check_env(made.unwrapped)
    capsys.readouterr()


def test_an_id_with_its_module_needs_no_import() -> None:
    made = gymnasium.make(f"envs.gym:{ENV_ID}", preset="flat_null", drift="step", horizon=3, master_seed=7)
    assert isinstance(made.unwrapped, LLMOutcome)
    assert (made.unwrapped.horizon, made.unwrapped.master_seed, made.unwrapped.scenario.name) == (3, 7, "flat_null")
    assert made.unwrapped.scenario.params.drift.onset < 2**31 - 1


def looped(env: LLMOutcome, policy: BoundedPolicy, seed: int) -> list[tuple[int, int, float, float]]:
    """(index, action, reward, expected) of every round: a policy in a plain Gymnasium loop, in NumPy."""
    span = np.float64(env.scenario.reward_span)
    state, rows, is_over = policy.policy.init(policy.params), [], False
    observation, info = env.reset(seed=seed)
    while not is_over:
        context = Context(np.int32(info["index"]), np.int32(observation["task"]), observation["context"])
        known = (np.int32(info["evaluation"]), span, np.int32(info["uniform"]))
        done = decide(policy.policy, policy.params, state, context, known)
        observation, reward, _, is_over, info = env.step(done.choice.action_id)
        rows.append((int(context.index), int(done.choice.action_id), reward, info["expected"]))
        feedback = Feedback(np.float64(reward), np.bool_(True))
        state = policy.policy.update(policy.params, state, done.decision, done.choice, feedback)
    return rows


def scanned(scenario: Scenario, policy: BoundedPolicy, seed: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same rounds from the compiled simulation."""
    monkeypatch.setattr(compiled, "SLAB", compiled.CHUNK)
    plan = compiled.Plan(0, Purpose.TRAIN, (seed,), N_ROUNDS)
    with jax.numpy_dtype_promotion("standard"):  # as a run has it, outside of tests
        [(_, _, trajectory)] = list(compiled.simulate([scenario], [policy], plan))
    return trajectory


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learner", "rule"),
    [(thompson.Params(), "improve"), (fixed.Params(), "two_sample")],
    ids=["thompson", "fixed"],
)
def test_a_loop_over_the_env_is_the_compiled_run_of_that_seed(
    env: LLMOutcome, learner: Any, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = bounded(env.scenario, constraints=Constraints(), approval=Approval(rule=rule), learner=learner)
    rows = looped(env, policy, 3)
    trajectory = scanned(env.scenario, policy, 3, monkeypatch)
    index, action, reward, expected = (np.array(column) for column in zip(*rows, strict=True))
    assert len(rows) == N_ROUNDS
    assert np.array_equal(index, trajectory.index[0]) and np.array_equal(action, trajectory.action_id[0])
    np.testing.assert_allclose(reward, trajectory.reward[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(expected, trajectory.expected[0], rtol=0, atol=1e-9)
    assert (len(set(action.tolist())) > 10) == (rule == "improve")


@pytest.mark.slow
def test_a_replay_in_the_env_is_the_compiled_run_too(
    replayed: Callable[..., Scenario], write: Callable[..., Path], answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = replayed(write(answers))
    limits = Constraints(radius=Radius(temperature="0.5"))
    policy = bounded(scenario, constraints=limits, approval=Approval(rule="two_sample"), learner=uniform.Params())
    rows = looped(LLMOutcome(scenario, horizon=N_ROUNDS // 2), policy, 5)
    trajectory = scanned(scenario, policy, 5, monkeypatch)
    assert [row[1] for row in rows] == trajectory.action_id[0].tolist()
    np.testing.assert_allclose([row[2:] for row in rows], np.stack([trajectory.reward[0], trajectory.expected[0]], 1))
    tasks = np.arange(N_ROUNDS) % 2
    assert scenario.recorded[tasks, [row[1] for row in rows]].all()


def test_the_next_episode_of_an_unseeded_reset_follows_from_the_last_seed(env: LLMOutcome) -> None:
    env.reset(seed=3)
    first = [env.reset()[1]["seed"] for _ in range(3)]
    env.reset(seed=3)
    assert [env.reset()[1]["seed"] for _ in range(3)] == first
    assert len({*first, 3}) == 4


def test_noise_is_float64_and_the_same_whatever_the_callers_jax_uses(env: LLMOutcome) -> None:
    def rewards() -> list[float]:
        env.reset(seed=3)
        return [float(env.step(100)[1]) for _ in range(5)]

    wide = rewards()
    with jax.enable_x64(False):
        assert rewards() == wide


def test_info_tells_the_request_to_decide_and_the_round_just_played(env: LLMOutcome, gsm8k_small: Scenario) -> None:
    observation, info = env.reset(seed=0)
    assert set(info) == {"seed", "round", "evaluation", "task_name", "index", "uniform", "action_mask"}
    table = gsm8k_small.table()
    for r in range(6):
        index, task = info["index"], int(observation["task"])
        assert (info["round"], info["evaluation"], task) == (r, r // 2, r % 2)
        assert gsm8k_small.population.task[index] == task
        assert info["task_name"] == gsm8k_small.population.names[task]
        assert np.array_equal(observation["context"], gsm8k_small.population.features[index])
        assert observation in env.observation_space
        observation, reward, terminated, truncated, info = env.step(200 + r)
        assert info["expected"] == pytest.approx(table[index, 200 + r], rel=1e-14)
        assert info["oracle"] == pytest.approx(table[index].max(), rel=1e-14)
        assert set(info["outcome"]) == set(Outcome._fields)
        assert info["parameters"] == gsm8k_small.lattice.parameters(200 + r)
        assert type(reward) is float and not terminated and not truncated


def test_an_episode_is_truncated_after_horizon_evaluations_of_every_task_type(gsm8k_small: Scenario) -> None:
    env = LLMOutcome(gsm8k_small, horizon=2)
    with pytest.raises(gymnasium.error.ResetNeeded, match="no episode yet"):
        env.step(0)
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(4)] == [(False, False)] * 3 + [(False, True)]
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"call reset\(\) before step"):
        env.step(0)


@pytest.mark.parametrize("bad", [-1, 840, 10**9])
def test_an_action_outside_the_grid_is_refused(env: LLMOutcome, bad: int) -> None:
    env.reset(seed=0)
    with pytest.raises(ValueError, match=rf"action {bad} lies outside the grid, need 0 <= action < 840"):
        env.step(bad)


@pytest.mark.parametrize("bad", [1.0, "1", None, np.array([1, 2])])
def test_an_action_that_is_no_integer_is_refused(env: LLMOutcome, bad: Any) -> None:
    env.reset(seed=0)
    with pytest.raises(TypeError, match="need an integer id, 0 <= id < 840"):
        env.step(bad)


def test_an_action_never_recorded_is_refused_and_masked(
    replayed: Callable[..., Scenario], write: Callable[..., Path], answers: Any
) -> None:
    env = LLMOutcome(replayed(write(answers)), horizon=2)
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [1, 1, 1, 0]
    assert env.action_space.sample(mask=info["action_mask"]) in range(3)
    with pytest.raises(ValueError, match=r"action 3, \{'temperature': 1\.5.*never recorded for task type 'a'"):
        env.step(3)
    info = env.step(0)[-1]
    assert info["action_mask"].tolist() == [1, 1, 1, 1]


def test_text_rendering_is_one_line_on_the_round_just_played(
    env: LLMOutcome, capsys: pytest.CaptureFixture[str]
) -> None:
    assert env.render() == "no episode yet: call reset()"
    env.reset(seed=3)
    assert env.render() == "seed 3: 60 rounds of short_answer, long_form"
    reward = env.step(env.scenario.lattice.action_id({"temperature": 0.7, "max_tokens": 512, "top_p": 1}))[1]
    line = env.render()
    assert isinstance(line, str) and "\n" not in line
    assert line.startswith("short_answer, evaluation 0: temperature 0.7, max_tokens 512, top_p 1 -> quality ")
    assert f"reward {reward:.3f} (expected " in line
    assert capsys.readouterr().out == ""
    human = LLMOutcome(env.scenario, horizon=2, render_mode="human")
    human.reset(seed=3)
    human.step(0)
    assert human.render() is None
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_cannot_be_an_environment_is_refused(gsm8k_small: Scenario) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'gsm8k_small'\?"):
        gymnasium.make(ENV_ID, preset="gsm8k_smal")
    with pytest.raises(ValueError, match="horizon = 0, need 1 <= horizon"):
        LLMOutcome(gsm8k_small, horizon=0)
    with pytest.raises(ValueError, match="master_seed = -1, need 0 <= master_seed"):
        LLMOutcome(gsm8k_small, master_seed=-1)
    with pytest.raises(ValueError, match="render_mode = 'rgb_array', need one of"):
        LLMOutcome(gsm8k_small, render_mode="rgb_array")
    with pytest.raises(ValueError, match="seed = 2147483648, need 0 <= seed <= 2147483647"):
        LLMOutcome(gsm8k_small).reset(seed=2**31)


def test_a_master_seed_makes_other_episodes(gsm8k_small: Scenario) -> None:
    indices = []
    for master in (0, 1):
        env = LLMOutcome(gsm8k_small, horizon=N_ROUNDS // 2, master_seed=master)
        info = env.reset(seed=0)[1]
        indices.append([info["index"], *(env.step(0)[-1]["index"] for _ in range(9))])
    assert indices[0] != indices[1]


def test_the_default_preset_is_the_default_world(gsm8k_small: Scenario) -> None:
    made = gymnasium.make(ENV_ID).unwrapped
    assert isinstance(made, LLMOutcome) and made.scenario.name == gsm8k_small.name
    assert presets.scenario("gsm8k_small").world is made.scenario.world
