"""Every preset under every drift is a Gymnasium environment: its own checker passes, warnings being errors."""

from itertools import product

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from envs import presets
from envs.gym import ENV_ID, LLMOutcome, preset_id
from envs.gym_vector import LLMOutcomeVector

PAIRS = list(product(presets.simulated(), presets.names("drift")))
every_pair = pytest.mark.parametrize(("preset", "drift"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])


@every_pair
def test_gymnasiums_own_check_passes_without_a_warning(
    preset: str, drift: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = gymnasium.make(preset_id(preset), drift=[drift], feedback="delayed", horizon=200)
    assert isinstance(made.unwrapped, LLMOutcome)
    check_env(made.unwrapped)
    capsys.readouterr()  # what render_mode="human" prints


@pytest.mark.parametrize("preset", presets.simulated())
@pytest.mark.parametrize("feedback", presets.names("feedback"))
def test_an_episode_runs_to_its_end_inside_its_spaces(preset: str, feedback: str) -> None:
    env = gymnasium.make(ENV_ID, preset=preset, feedback=feedback, horizon=3, coordinates=True, oracle=False)
    env.reset(seed=1)
    env.action_space.seed(1)
    is_over, total, sent = False, 0, 0
    while not is_over:  # the checker that `make` wraps around looks at every step
        observation, reward, is_terminated, is_over, info = env.step(env.action_space.sample())
        assert observation in env.observation_space and not is_terminated
        assert reward == pytest.approx(info["delivered_reward"].sum(), abs=1e-12)
        total, sent = total + 1, sent + int((info["delivered"] >= 0).sum())
    unwrapped = env.unwrapped
    assert isinstance(unwrapped, LLMOutcome) and total == unwrapped.n_rounds
    assert sent + info["censored"] <= total and (feedback != "immediate" or sent == total)


@pytest.mark.slow
@pytest.mark.parametrize("preset", presets.simulated())
def test_under_all_drifts_at_once_env_and_vector_env_agree_past_every_onset(preset: str) -> None:
    drift = presets.names("drift")
    horizon = max(one.onset for one in presets.components(drift).values()) + 10
    one = LLMOutcome(preset, drift=drift, feedback="delayed", horizon=horizon, oracle=False)
    two = LLMOutcomeVector(preset, drift=drift, feedback="delayed", horizon=horizon, num_envs=2)
    one.reset(seed=8)
    two.reset(seed=[7, 8])
    two.action_space.seed(0)
    for _ in range(one.n_rounds):
        actions = two.action_space.sample()
        a, b = one.step(actions[1]), two.step(actions)
        assert a[1] == pytest.approx(b[1][1], abs=1e-9) and a[3] == b[3][1]
        for name in ("index", "evaluation", "uniform", "pending"):
            assert a[4][name] == b[4][name][1], name
        for name, part in a[4]["outcome"].items():
            assert part == pytest.approx(b[4]["outcome"][name][1], rel=1e-9, abs=1e-9), name


def test_every_preset_and_nothing_else_has_a_short_id() -> None:
    mine = {name for name, spec in gymnasium.registry.items() if spec.namespace == "guardband"}
    assert mine == {ENV_ID, *map(preset_id, presets.simulated())}
