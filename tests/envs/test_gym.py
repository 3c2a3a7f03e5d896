"""The Gymnasium environment: what it tells, when rewards arrive, what it refuses, which wrappers it wears."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from envs import feedback as mail
from envs import presets
from envs.drift import Params as DriftParams
from envs.gym import ENV_ID, LLMOutcome, preset_id
from envs.gym_noise import BLOCK
from envs.oracle import best_of_contexts
from envs.randomness import Purpose, RoundNoise, episode_noise, sizes_of
from envs.surfaces import llm_outcome
from envs.targets import ConfigError
from envs.world import Outcome, Scenario
from tests import compiled

N_ROUNDS = 60
LATE = mail.Params(mean_delay=4.0, missing=0.1, duplicated=0.2, max_delay=12, max_arrivals=2)


@pytest.fixture
def env(gsm8k_small: Scenario) -> LLMOutcome:
    return LLMOutcome(gsm8k_small, horizon=N_ROUNDS // 2, render_mode="ansi")


def noise_of(scenario: Scenario, seed: int, n_rounds: int) -> RoundNoise:
    drawn = episode_noise(
        0, Purpose.TRAIN, np.int32(seed), n_rounds=n_rounds, sizes=sizes_of(scenario.world), dtype="float64"
    )
    return RoundNoise(*jax.tree.map(np.asarray, drawn))


def played(env: LLMOutcome, seed: int, action: int = 100) -> list[tuple[float, dict[str, Any]]]:
    """(reward, info) of every step of an episode."""
    env.reset(seed=seed)
    rows, is_over = [], False
    while not is_over:
        _, reward, _, is_over, info = env.step(action)
        rows.append((reward, info))
    return rows


def test_an_id_with_its_module_needs_no_import() -> None:
    made = gymnasium.make(
        f"envs.gym:{ENV_ID}", preset="flat_null", drift=["version_swap", "price_change"], horizon=300, master_seed=7
    )
    here = made.unwrapped
    assert isinstance(here, LLMOutcome) and here.scenario.name == "flat_null"
    assert (here.horizon, here.master_seed) == (300, 7)
    moved = presets.components(["version_swap", "price_change"])
    assert here.scenario.drift == tuple(moved.values())
    short = gymnasium.make(preset_id("flat_null"), horizon=3).unwrapped
    assert isinstance(short, LLMOutcome) and short.scenario.name == "flat_null"


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
    request = {"seed", "round", "evaluation", "clock", "task_name", "index", "uniform", "action_mask"}
    assert set(info) == request
    table = gsm8k_small.table()
    for r in range(6):
        index, task = info["index"], int(observation["task"])
        assert (info["round"], info["evaluation"], info["clock"], task) == (r, r // 2, r // 2, r % 2)
        assert gsm8k_small.population.task[index] == task
        assert info["task_name"] == gsm8k_small.population.names[task]
        assert np.array_equal(observation["context"], gsm8k_small.population.features[index])
        assert observation in env.observation_space
        observation, reward, terminated, truncated, info = env.step(200 + r)
        assert info["expected"] == pytest.approx(table[index, 200 + r], rel=1e-14)
        assert info["oracle"] == pytest.approx(table[index].max(), rel=1e-14)
        assert set(info["outcome"]) == set(Outcome._fields)
        assert info["parameters"] == gsm8k_small.lattice.parameters(200 + r)
        assert info["delivered"].tolist() == [r] and info["delivered_reward"].tolist() == [reward]
        assert info["pending"] == 0 and set(info) == request | {
            "parameters", "outcome", "expected", "oracle", "delivered", "delivered_reward", "pending"
        }  # fmt: skip
        assert type(reward) is float and not terminated and not truncated


def test_the_oracle_moves_with_the_drift_and_can_be_left_out() -> None:
    drift = (DriftParams(onset=2, quality_factor=0.5), DriftParams(shape="ramp", onset=1, duration=4, task_mix=0.5))
    scenario = llm_outcome.build(compiled.PARAMS, drift=drift)
    env = LLMOutcome(scenario, horizon=6)
    best = {t: best_of_contexts(scenario, t=t).value for t in range(6)}
    index, clock = (env.reset(seed=4)[1][name] for name in ("index", "clock"))
    for _ in range(env.n_rounds):
        info = env.step(50)[-1]
        assert info["oracle"] == pytest.approx(best[clock][index], abs=1e-14)
        index, clock = info["index"], info["clock"]
    assert best[0].max() > best[2].max() + 0.1
    bare = LLMOutcome(scenario, horizon=6, oracle=False)
    assert "oracle" not in played(bare, 4)[0][1]


def test_under_a_moving_mix_an_evaluation_counts_its_own_task_type() -> None:
    scenario = llm_outcome.build(compiled.PARAMS, drift=(DriftParams(task_mix=0.8),))
    env = LLMOutcome(scenario, horizon=20)
    infos = [env.reset(seed=0)[1], *(info for _, info in played(env, 0))]
    seen = {name: 0 for name in scenario.population.names}
    for r, info in enumerate(infos):
        assert (info["round"], info["clock"], info["evaluation"]) == (r, r // 2, seen[info["task_name"]])
        seen[info["task_name"]] += 1
    assert seen["short"] > 1.5 * seen["long"]  # 0.8 + 0.2 / 3 of the traffic against 0.13; task types in turn: equal


def test_an_episode_is_truncated_after_horizon_evaluations_of_every_task_type(gsm8k_small: Scenario) -> None:
    env = LLMOutcome(gsm8k_small, horizon=2)
    with pytest.raises(gymnasium.error.ResetNeeded, match="no episode yet"):
        env.step(0)
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(4)] == [(False, False)] * 3 + [(False, True)]
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"call reset\(\) before step"):
        env.step(0)


def test_a_delayed_reward_is_zero_until_it_is_delivered_and_then_its_own(gsm8k_small: Scenario) -> None:
    now = [reward for reward, _ in played(LLMOutcome(gsm8k_small, horizon=30), 3)]
    rows = played(LLMOutcome(gsm8k_small, horizon=30, feedback=LATE), 3)
    seen: list[int] = []
    for r, (reward, info) in enumerate(rows):
        rounds, rewards = info["delivered"], info["delivered_reward"]
        assert rounds.shape == rewards.shape == (2,) and (rounds.dtype, rewards.dtype) == (np.int64, np.float64)
        assert reward == pytest.approx(rewards.sum(), abs=1e-15) and np.all(rewards[rounds < 0] == 0.0)
        for of, value in zip(rounds.tolist(), rewards.tolist(), strict=True):
            assert of <= r and (of < 0 or value == now[of])
        seen += [of for of in rounds.tolist() if of >= 0]
        assert ("censored" in info) == (r == 59)
    assert len(set(seen)) == len(seen)  # copies are not heard
    assert seen != sorted(seen)  # out of order
    assert any(reward == 0.0 and (info["delivered"] < 0).all() for reward, info in rows)
    assert rows[-1][1]["censored"] == rows[-1][1]["pending"]


def test_every_reward_is_delivered_missing_or_censored(gsm8k_small: Scenario) -> None:
    roomy = mail.Params(mean_delay=4.0, missing=0.1, duplicated=0.2, max_delay=12, max_arrivals=8)
    rows = played(LLMOutcome(gsm8k_small, horizon=50, feedback=roomy), 3)
    delivered = sum(int((info["delivered"] >= 0).sum()) for _, info in rows)
    missing = int((noise_of(gsm8k_small, 3, 100).feedback[:, 0] < 0.1).sum())
    assert missing > 0 and rows[-1][1]["censored"] > 0
    assert delivered + missing + rows[-1][1]["censored"] == 100


def test_a_copy_counts_twice_for_who_does_not_deduplicate(gsm8k_small: Scenario) -> None:
    twice = mail.Params(duplicated=1.0, deduplicate=False, max_delay=4, max_arrivals=4)
    rows = played(LLMOutcome(gsm8k_small, horizon=10, feedback=twice), 0)
    assert [int((info["delivered"] == r).sum()) for r, (_, info) in enumerate(rows)] == [1] * 20
    copies = sum(int((info["delivered"] >= 0).sum()) for _, info in rows)
    assert copies + rows[-1][1]["censored"] == 40


def test_an_episode_longer_than_a_block_of_noise_goes_on_as_if_it_was_drawn_whole(flat_null: Scenario) -> None:
    env = LLMOutcome(flat_null, horizon=2 * BLOCK, oracle=False)
    rows = [info for _, info in played(env, 5)]
    whole = noise_of(flat_null, 5, env.n_rounds + 1)
    assert env.n_rounds > BLOCK
    assert [info["uniform"] for info in rows] == whole.decision[1:].tolist()


def test_coordinates_are_the_same_actions(gsm8k_small: Scenario) -> None:
    by_id, by_place = (LLMOutcome(gsm8k_small, horizon=5, coordinates=c) for c in (False, True))
    assert by_place.action_space == gymnasium.spaces.MultiDiscrete(list(gsm8k_small.lattice.shape))
    by_id.reset(seed=1)
    by_place.reset(seed=1)
    by_place.action_space.seed(0)
    for _ in range(10):
        point = by_place.action_space.sample()
        one, two = by_id.step(gsm8k_small.lattice.encode(point[None])[0]), by_place.step(point)
        assert one[1] == two[1] and one[-1]["parameters"] == two[-1]["parameters"]
    check_env(gymnasium.make(ENV_ID, coordinates=True, horizon=3).unwrapped, skip_render_check=True)


def test_coordinates_off_the_lattice_are_refused(gsm8k_small: Scenario) -> None:
    env = LLMOutcome(gsm8k_small, coordinates=True)
    env.reset(seed=0)
    top = gsm8k_small.lattice.shape[1]
    with pytest.raises(ValueError, match=rf"action {top} lies outside the grid, .* < {top} on axis max_tokens"):
        env.step(np.array([0, top, 0, 0, 0, 0]))
    for bad in (3, np.zeros(6), np.zeros(5, int)):
        with pytest.raises(TypeError, match="need 6 integer coordinates"):
            env.step(bad)


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
    assert isinstance(line, str) and "\n" not in line and ";" not in line
    assert line.startswith("short_answer, evaluation 0: temperature 0.7, max_tokens 512, top_p 1 -> quality ")
    assert f"reward {reward:.3f} (expected " in line and ", best " in line
    assert capsys.readouterr().out == ""
    human = LLMOutcome(env.scenario, horizon=2, render_mode="human")
    human.reset(seed=3)
    human.step(0)
    assert human.render() is None
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_text_rendering_names_what_drifts_and_what_is_pending(flat_null: Scenario) -> None:
    env = LLMOutcome("flat_null", drift=["decay", "null_drift"], feedback=LATE, render_mode="ansi", oracle=False)
    onset = presets.components("decay")["decay"].onset
    env.reset(seed=0)
    lines = []
    for _ in range((onset + 20) * len(flat_null.population.names)):
        pending = env.step(0)[-1]["pending"]
        lines.append(str(env.render()))
        assert lines[-1].endswith(f"; {pending} rewards pending")
    assert "drift" not in lines[0] and "; drift decay 0." in lines[-1] and "best" not in lines[-1]
    built = LLMOutcome(env.scenario, horizon=3, render_mode="ansi")
    assert set(built._stage.drifting(onset + 20)) == {"component 0"}


def test_what_cannot_be_an_environment_is_refused(gsm8k_small: Scenario) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'gsm8k_small'\?"):
        gymnasium.make(ENV_ID, preset="gsm8k_smal")
    with pytest.raises(ConfigError, match=r"did you mean 'version_swap'\?"):
        gymnasium.make(ENV_ID, drift=["version_swop"])
    with pytest.raises(ConfigError, match=r"did you mean 'delayed'\?"):
        gymnasium.make(ENV_ID, feedback="delay")
    with pytest.raises(ValueError, match=r"drift\.decay\.onset: got 50, need an onset before the horizon, 50"):
        LLMOutcome("flat_null", drift="decay", horizon=50)
    with pytest.raises(TypeError, match="horizon = 2.5, need a whole number of evaluations"):
        LLMOutcome(gsm8k_small, horizon=2.5)  # type: ignore[arg-type]  # what a caller without types may send
    with pytest.raises(ValueError, match="horizon = 0, need 1 <= horizon"):
        LLMOutcome(gsm8k_small, horizon=0)
    with pytest.raises(ValueError, match="master_seed = -1, need 0 <= master_seed"):
        LLMOutcome(gsm8k_small, master_seed=-1)
    with pytest.raises(ValueError, match="render_mode = 'rgb_array', need one of"):
        LLMOutcome(gsm8k_small, render_mode="rgb_array")
    with pytest.raises(ValueError, match="seed = 2147483648, need 0 <= seed <= 2147483647"):
        LLMOutcome(gsm8k_small).reset(seed=2**31)
    with pytest.raises(ValueError, match="drift = 'decay' with a scenario as preset"):
        LLMOutcome(gsm8k_small, drift="decay")


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


def test_gymnasiums_wrappers_fit(gsm8k_small: Scenario) -> None:
    def make() -> LLMOutcome:
        return LLMOutcome(gsm8k_small, horizon=10)

    short = wrappers.TimeLimit(make(), 3)
    short.reset(seed=0)
    assert [short.step(0)[3] for _ in range(3)] == [False, False, True]
    counted = wrappers.RecordEpisodeStatistics(make())
    counted.reset(seed=0)
    rows = [counted.step(0) for _ in range(20)]
    assert rows[-1][-1]["episode"]["l"] == 20
    assert rows[-1][-1]["episode"]["r"] == pytest.approx(sum(float(row[1]) for row in rows))
    flat = wrappers.FlattenObservation(wrappers.NormalizeReward(make()))
    width = gsm8k_small.population.features.shape[1]
    assert flat.observation_space.shape == (width + 2,)
    observation, _ = flat.reset(seed=0)
    assert observation in flat.observation_space and np.isfinite(float(flat.step(0)[1]))
    space = gymnasium.spaces.Box(-3, 3, (width,), np.float64)
    alone = wrappers.TransformObservation(make(), lambda seen: seen["context"], space)
    assert alone.reset(seed=0)[0] in space


def test_episodes_of_a_sync_vector_env_are_those_of_the_environments(gsm8k_small: Scenario) -> None:
    alone = [LLMOutcome(gsm8k_small, horizon=2) for _ in range(2)]
    for i, one in enumerate(alone):
        one.reset(seed=3 + i)
    with_axis = SyncVectorEnv([partial(LLMOutcome, gsm8k_small, horizon=2)] * 2)
    with_axis.reset(seed=3)
    for _ in range(4):
        rewards = with_axis.step(np.array([100, 200]))[1]
        assert rewards.tolist() == [one.step(a)[1] for one, a in zip(alone, (100, 200), strict=True)]


@pytest.mark.slow
def test_processes_of_an_async_vector_env_play_the_same() -> None:
    makers = [partial(LLMOutcome, "flat_null", horizon=2)] * 2
    one, two = SyncVectorEnv(makers), AsyncVectorEnv(makers, context="spawn")
    try:
        observations = [both.reset(seed=3)[0] for both in (one, two)]
        assert np.array_equal(observations[0]["context"], observations[1]["context"])
        for _ in range(6):
            a, b = (both.step(np.array([3, 5])) for both in (one, two))
            assert np.array_equal(a[1], b[1]) and np.array_equal(a[3], b[3])
            assert np.array_equal(a[0]["context"], b[0]["context"])
    finally:
        two.close()
