"""Many episodes at once: those of the plain environments, and of the compiled run, under every drift and delay."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from envs import feedback as mail
from envs.drift import Params as DriftParams
from envs.gym import ENV_ID, LLMOutcome, preset_id
from envs.gym_noise import BLOCK
from envs.gym_vector import LLMOutcomeVector
from envs.randomness import Purpose
from envs.surfaces import llm_outcome
from envs.traffic import Context
from envs.world import Scenario
from experiments.simulate import Plan, simulate
from policies.approval import Params as Approval
from policies.base import Feedback
from policies.build import BoundedPolicy, bounded
from policies.constraints import Params as Constraints
from policies.constraints import Radius
from policies.decide import Known, decide
from policies.learners import uniform
from tests import compiled

SEEDS, HORIZON = (3, 4, 9), 20
LATE = mail.Params(mean_delay=4.0, missing=0.1, duplicated=0.3, max_delay=12, max_arrivals=1)
TWICE = replace(LATE, deduplicate=False, max_arrivals=2)
AT_ONCE = mail.Params()
LOST = mail.Params(missing=0.3)
MOVING = (
    DriftParams(onset=5, quality_factor=0.6, cliff_shift=-0.2, length_shift=0.3),
    DriftParams(shape="season", duration=8, task_mix=0.6),
    DriftParams(shape="ramp", onset=4, duration=6, prompt_divergence=0.2),
)
WORLD = replace(
    compiled.PARAMS, levels=4, task_types=[replace(kind, between=0.3) for kind in compiled.PARAMS.task_types]
)


class Row(NamedTuple):
    """What is compared of one round."""

    asked: int  # row of the population
    action: int
    reward: float  # all that was delivered in it
    expected: float
    delivered: list[int]


class Player:
    """A policy in NumPy that learns from what is delivered."""

    def __init__(self, policy: BoundedPolicy, span: float) -> None:
        self.bounded, self.span, self.sent = policy, np.float64(span), dict[int, Any]()
        self.state = policy.policy.init(policy.params)

    def act(self, observation: dict[str, Any], info: dict[str, Any]) -> int:
        context = Context(
            np.int32(info["index"]), np.int32(observation["task"]), np.array(observation["context"]), np.int32(0)
        )
        known = Known(np.int32(info["evaluation"]), self.span, np.int32(info["uniform"]))
        done = decide(self.bounded.policy, self.bounded.params, self.state, context, known)
        self.sent[int(info["round"])] = (done.decision, done.choice)
        return int(done.choice.action_id)

    def hear(self, info: dict[str, Any]) -> None:
        for of, reward in zip(info["delivered"].tolist(), info["delivered_reward"].tolist(), strict=True):
            if of >= 0:
                feedback = Feedback(np.float64(reward), np.bool_(True))
                self.state = self.bounded.policy.update(self.bounded.params, self.state, *self.sent[of], feedback)


def row(before: dict[str, Any], action: int, reward: float, after: dict[str, Any]) -> Row:
    return Row(before["index"], action, reward, after["expected"], sorted(after["delivered"].tolist()))


def alone(env: LLMOutcome, policy: BoundedPolicy, seed: int) -> list[Row]:
    """An episode in a plain Gymnasium loop."""
    player, rows, is_over = Player(policy, env.scenario.reward_span), [], False
    observation, info = env.reset(seed=seed)
    while not is_over:
        action = player.act(observation, info)
        observation, reward, _, is_over, after = env.step(action)
        player.hear(after)
        rows.append(row(info, action, float(reward), after))
        info = after
    return rows


def one_of(tree: Any, i: int) -> dict[str, Any]:
    return {name: value[i] for name, value in tree.items() if not isinstance(value, dict)}


def together(envs: LLMOutcomeVector, policy: BoundedPolicy) -> list[list[Row]]:
    """The same episodes in a vectorised loop."""
    players = [Player(policy, envs.scenario.reward_span) for _ in SEEDS]
    rows: list[list[Row]] = [[] for _ in SEEDS]
    observations, infos = envs.reset(seed=SEEDS)
    for _ in range(envs.n_rounds):
        before = [one_of(infos, i) for i in range(len(SEEDS))]
        actions = [player.act(one_of(observations, i), before[i]) for i, player in enumerate(players)]
        observations, rewards, _, truncated, infos = envs.step(np.array(actions))
        for i, player in enumerate(players):
            after = one_of(infos, i)
            player.hear(after)
            rows[i].append(row(before[i], actions[i], float(rewards[i]), after))
    assert truncated.all()
    return rows


def scanned(scenario: Scenario, policy: BoundedPolicy, post: mail.Params, n_rounds: int) -> list[list[Row]]:
    """The same episodes from the compiled simulation."""
    plan = Plan(0, Purpose.TRAIN, SEEDS, n_rounds, feedback=post)
    with jax.numpy_dtype_promotion("standard"):  # as a run has it, outside of tests
        [(_, _, run)] = list(simulate([scenario], [policy], plan))
    came = np.where(run.delivered >= 0, np.take_along_axis(run.reward[..., None], run.delivered, axis=1), 0.0)
    leaves = (run.index, run.action_id, came.sum(axis=2), run.expected)

    def one(i: int, r: int) -> Row:
        asked, action, reward, expected = (leaf[i, r] for leaf in leaves)
        return Row(int(asked), int(action), float(reward), float(expected), sorted(run.delivered[i, r].tolist()))

    return [[one(i, r) for r in range(n_rounds)] for i in range(len(SEEDS))]


def agree(one: Sequence[Sequence[Row]], two: Sequence[Sequence[Row]]) -> None:
    for mine, theirs in zip(one, two, strict=True):
        for name in ("asked", "action", "delivered"):
            assert [getattr(r, name) for r in mine] == [getattr(r, name) for r in theirs], name
        for name in ("reward", "expected"):
            values = np.array([[getattr(r, name) for r in rows] for rows in (mine, theirs)])
            np.testing.assert_allclose(values[0], values[1], rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("drift", "post"),
    [((), AT_ONCE), ((), LOST), (MOVING, AT_ONCE), (MOVING, LATE), ((), TWICE)],
    ids=["plain", "lost", "drifting", "drifting and delayed", "copies heard"],
)
def test_env_vector_env_and_compiled_run_give_equal_trajectories(
    drift: tuple[DriftParams, ...], post: mail.Params
) -> None:
    scenario = llm_outcome.build(WORLD, drift=drift)
    how = Approval(rule="improve", min_evaluations=2)
    policy = bounded(scenario, constraints=compiled.LIMITS, approval=how, learner=compiled.LEARNER)
    plain = LLMOutcome(scenario, feedback=post, horizon=HORIZON)
    side_by_side = LLMOutcomeVector(scenario, feedback=post, horizon=HORIZON, num_envs=len(SEEDS))
    ours = [alone(plain, policy, seed) for seed in SEEDS]
    theirs = scanned(scenario, policy, post, plain.n_rounds)
    agree(ours, together(side_by_side, policy))
    agree(ours, theirs)
    assert len({r.action for rows in ours for r in rows}) > 10


@pytest.mark.slow
def test_a_replay_gives_equal_trajectories_too(
    replayed: Callable[..., Scenario], write: Callable[..., Path], answers: Any
) -> None:
    scenario = replayed(write(answers))
    limits = Constraints(radius=Radius(temperature="0.5"))
    policy = bounded(scenario, constraints=limits, approval=Approval(rule="two_sample"), learner=uniform.Params())
    plain = LLMOutcome(scenario, horizon=HORIZON)
    ours = [alone(plain, policy, seed) for seed in SEEDS]
    agree(ours, together(LLMOutcomeVector(scenario, horizon=HORIZON, num_envs=len(SEEDS)), policy))
    agree(ours, scanned(scenario, policy, AT_ONCE, plain.n_rounds))


def shown(infos: dict[str, Any]) -> dict[str, Any]:
    """Infos where their masks are on."""
    kept: dict[str, Any] = {}
    for name in (name for name in infos if not name.startswith("_")):
        mask, value = infos[f"_{name}"], infos[name]
        kept[name] = shown(value) if isinstance(value, dict) else value[mask]
        kept[f"_{name}"] = mask
    return kept


def same(one: Any, two: Any, where: str = "") -> None:
    """The same type, keys and dtypes, the same values to the last digits that two engines share."""
    assert type(one) is type(two), where
    if isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for name in one:
            same(one[name], two[name], f"{where}.{name}")
    elif isinstance(one, np.ndarray) and one.dtype == object:
        for a, b in zip(one, two, strict=True):
            same(a, b, where)
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (two.dtype, two.shape), where
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12, err_msg=where)
    else:
        assert one == two, where


def both(mode: str, **settings: Any) -> tuple[SyncVectorEnv, LLMOutcomeVector]:
    make = partial(LLMOutcome, **settings)
    return SyncVectorEnv([make] * 3, autoreset_mode=mode), LLMOutcomeVector(
        num_envs=3, autoreset_mode=mode, **{"oracle": True, **settings}
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", [mode.value for mode in AutoresetMode])
def test_observations_rewards_ends_and_infos_are_those_of_a_sync_vector_env(mode: str) -> None:
    scenario = llm_outcome.build(WORLD, drift=MOVING)
    pair = both(mode, preset=scenario, feedback=LATE, horizon=8)
    rng, mask = np.random.default_rng(0), np.array([True, False, True])
    assert pair[0].observation_space == pair[1].observation_space and pair[0].action_space == pair[1].action_space
    assert pair[1].metadata["autoreset_mode"] is AutoresetMode(mode)

    def reset(seed: Any, options: dict[str, Any] | None) -> None:
        one, two = (envs.reset(seed=seed, options=options and dict(options)) for envs in pair)
        same(one[0], two[0])
        same(shown(one[1]), shown(two[1]))

    reset(5, None)
    for r in range(60):
        if r == 6:  # from here on episodes end at different times
            reset([7, None, None], {"reset_mask": mask})
        actions = rng.integers(scenario.lattice.size, size=3)
        one, two = (envs.step(actions) for envs in pair)
        for name, a, b in zip(["observation", "reward", "terminated", "truncated"], one, two, strict=False):
            same(a, b, f"{r} {name}")
        same(shown(one[4]), shown(two[4]), f"{r}")
        assert two[0] in pair[1].observation_space
        if mode == "Disabled" and one[3].any():
            with pytest.raises(gymnasium.error.ResetNeeded, match="are over; call reset"):
                pair[1].step(actions)
            reset(None, {"reset_mask": one[3]})


def make(**settings: Any) -> LLMOutcomeVector:
    return LLMOutcomeVector(**{"preset": compiled.world(), "num_envs": 3, "horizon": 4, **settings})


def test_an_id_makes_it(gsm8k_small: Scenario) -> None:
    made = gymnasium.make_vec(
        ENV_ID, num_envs=2, vectorization_mode="vector_entry_point", preset="flat_null", drift=["decay"], horizon=60
    )
    assert isinstance(made, LLMOutcomeVector) and made.scenario.name == "flat_null" and made.num_envs == 2
    short = gymnasium.make_vec(preset_id("flat_null"), num_envs=2, horizon=3)
    assert isinstance(short, LLMOutcomeVector) and "guardband/flat_null-v0, num_envs=2" in str(short)


def test_steps_past_a_block_of_noise_go_on_as_in_a_plain_environment() -> None:
    settings: dict[str, Any] = {"preset": compiled.world(), "horizon": BLOCK, "oracle": False}
    one, two = LLMOutcome(**settings), make(**settings)  # two rounds an evaluation
    one.reset(seed=5)
    two.reset(seed=[4, 5, 6])
    for _ in range(one.n_rounds):
        a, b = one.step(50), two.step(np.full(3, 50))
        assert a[1] == pytest.approx(b[1][1], abs=1e-12) and a[-1]["uniform"] == b[-1]["uniform"][1]


def test_an_ended_episode_begins_again_in_the_next_step_whatever_the_action() -> None:
    envs = make(horizon=1)
    envs.reset(seed=[1, 2, 3])
    envs.step(np.zeros(3, int))
    ended = envs.step(np.zeros(3, int))
    assert ended[3].all() and ended[4]["censored"].tolist() == [0, 0, 0]
    again = envs.step(np.full(3, -7))
    assert not again[3].any() and not again[1].any()
    assert again[4]["round"].tolist() == [0, 0, 0] and "expected" not in again[4]
    assert not set(again[4]["seed"].tolist()) & {1, 2, 3}


def test_coordinates_are_the_same_actions() -> None:
    by_id, by_place = make(), make(coordinates=True)
    by_id.reset(seed=0)
    by_place.reset(seed=0)
    by_place.action_space.seed(0)
    points = by_place.action_space.sample()
    ids = compiled.world().lattice.encode(points)
    np.testing.assert_array_equal(by_id.step(ids)[1], by_place.step(points)[1])


def test_infos_are_float64_and_the_same_whatever_the_callers_jax_uses() -> None:
    envs = make()

    def rewards() -> list[float]:
        envs.reset(seed=0)
        reward = envs.step(np.full(3, 50))[1]
        assert reward.dtype == np.float64
        return [float(one) for one in reward]

    wide = rewards()
    with jax.enable_x64(False):
        assert rewards() == wide


def test_returned_arrays_are_the_callers_own() -> None:
    envs = make()
    first = envs.reset(seed=0)
    kept = [np.array(first[0]["context"]), np.array(first[1]["round"])]
    out = envs.step(np.zeros(3, int))
    out[0]["context"][:], out[3][:], out[4]["seed"][:], out[4]["outcome"]["quality"][:] = 0.0, True, -5, 7.0
    np.testing.assert_array_equal(first[0]["context"], kept[0])
    np.testing.assert_array_equal(first[1]["round"], kept[1])
    assert envs.step(np.zeros(3, int))[4]["seed"].tolist() == [0, 1, 2]


def test_text_rendering_is_a_line_for_every_episode() -> None:
    envs = make(render_mode="ansi", feedback=LATE, preset=compiled.world("drifting"), horizon=10)
    assert envs.render() == ("no episode yet: call reset()",) * 3
    envs.reset(seed=0)
    assert (envs.render() or ())[1] == "seed 1: 20 rounds of short, long; drift component 0 from evaluation 4"
    for _ in range(10):
        infos = envs.step(np.full(3, 50))[4]
    for line, pending in zip(envs.render() or (), infos["pending"], strict=True):
        assert line.startswith("long, evaluation 4: temperature ") and "reward" in line
        assert line.endswith(f"; drift component 0 1.00; {pending} rewards pending")
    assert make().render() is None


def test_gymnasiums_vector_wrappers_fit() -> None:
    counted = wrappers.vector.RecordEpisodeStatistics(make())
    counted.reset(seed=0)
    for _ in range(8):
        infos = counted.step(np.zeros(3, int))[-1]
    assert infos["episode"]["l"].tolist() == [8, 8, 8]
    flat: VectorEnv[Any, Any, Any] = wrappers.vector.FlattenObservation(make())
    width = compiled.world().population.features.shape[1]
    assert flat.reset(seed=0)[0].shape == (3, width + 2)


def test_what_cannot_be_played_is_refused() -> None:
    envs = make()
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"no episode yet: call reset\(\)"):
        envs.step(np.zeros(3, int))
    with pytest.raises(gymnasium.error.ResetNeeded, match="leave out reset_mask"):
        envs.reset(options={"reset_mask": np.array([True, False, False])})
    with pytest.raises(ValueError, match="2 seeds, need 3"):
        envs.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="seed = -1, need 0 <= seed"):
        envs.reset(seed=-1)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="action 144 lies outside the grid, need 0 <= action < 144"):
        envs.step(np.array([0, 144, 0]))
    for actions in (np.zeros(2, int), np.zeros(3), [None] * 3):
        with pytest.raises(TypeError, match="need an integer id, 0 <= id < 144 for each of 3"):
            envs.step(actions)
    with pytest.raises(TypeError, match="need a NumPy array of booleans"):
        envs.reset(options={"reset_mask": [True, False, True]})
    with pytest.raises(ValueError, match=r"need \(3,\) with at least one True"):
        envs.reset(options={"reset_mask": np.zeros(3, np.bool_)})
    with pytest.raises(ValueError, match="num_envs = 0, need at least 1"):
        make(num_envs=0)
    with pytest.raises(ValueError, match="Sometimes"):
        make(autoreset_mode="Sometimes")
    with pytest.raises(ValueError, match="render_mode = 'rgb_array', need one of"):
        make(render_mode="rgb_array")


def test_human_rendering_prints_every_round_of_every_episode(capsys: pytest.CaptureFixture[str]) -> None:
    envs = make(render_mode="human")
    envs.reset(seed=[4, 5, 6])
    envs.step(np.zeros(3, np.int64))
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines[:3]] == ["0: seed 4", "1: seed 5", "2: seed 6"]
    assert [line[:2] for line in lines[3:]] == ["0:", "1:", "2:"] and all("reward" in line for line in lines[3:])
    assert envs.render() is None
