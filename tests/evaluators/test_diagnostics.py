"""Lights: green on a sound log, red on each planted fault, amber for what the log cannot tell, and they merge."""

import numpy as np
import pytest

from evaluators.diagnostics import DEVIATES, ESS, LEVELS, diagnose, diagnose_rows, evidence, light_of, merge, worst
from evaluators.mean_weight import p_value
from evaluators.rows import RewardRange, Rows
from evaluators.sums import weights_of

NAMES = [
    "ess",
    "design_ess",
    "varying_rows",
    "max_weight",
    "top_share",
    "mean_weight",
    "unsupported_mass",
    "propensity_calibration",
]


def lights(rows: Rows) -> dict[str, str]:
    return {found.name: found.light for found in diagnose_rows(rows)}


def readings(rows: Rows) -> dict[str, float]:
    return {found.name: found.value for found in diagnose_rows(rows)}


@pytest.fixture
def sound(world):
    """2,000 rows whose reward model is the truth."""
    rows, context = world.draw(np.random.default_rng(0), 2_000)
    return rows._replace(predicted=world.mean[context])


def test_a_sound_log_is_green_throughout(sound) -> None:
    assert lights(sound) == dict.fromkeys([*NAMES, "model_error"], "green")
    assert worst(diagnose_rows(sound)) == "green"


def test_readings_by_hand() -> None:
    # weights 0.5 and 1.5 of slots equally likely; 2 rows of each
    rows = Rows(np.ones(4), np.array([0, 1, 0, 1]), np.full((4, 2), 0.5), np.array([[0.25, 0.75]] * 4))
    found = readings(rows)
    assert found["ess"] == pytest.approx(4**2 / 5)
    assert found["design_ess"] == pytest.approx(4**2 / (4 * (0.25 * 0.5 + 0.75 * 1.5)))
    assert found["max_weight"] == pytest.approx(1.5 / 4)
    assert found["top_share"] == pytest.approx(0.04 * 1.5 / 4)
    assert (found["mean_weight"], found["unsupported_mass"]) == (0.0, 0.0)


def test_a_short_heavy_log_is_red(heavy_world) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(1), 200)
    found = lights(rows)
    assert (found["ess"], found["design_ess"]) == ("red", "red")
    assert worst(diagnose_rows(rows)) == "red"


def test_one_giant_weight_is_red(sound) -> None:
    behavior, target = sound.behavior.copy(), sound.target.copy()
    behavior[0], target[0] = (1 - 1e-4) / 4, 0.0
    behavior[0, 2], target[0, 2] = 1e-4, 1.0
    rows = sound._replace(
        behavior=behavior, target=target, slot=np.r_[2, sound.slot[1:]], reward=np.r_[1.0, sound.reward[1:]]
    )
    found = lights(rows)
    assert (found["max_weight"], found["top_share"], found["mean_weight"]) == ("red", "red", "green")


def test_targets_that_leave_the_support_are_red(sound) -> None:
    target = 0.98 * sound.target
    assert lights(sound._replace(target=target))["unsupported_mass"] == "red"
    assert readings(sound._replace(target=target))["unsupported_mass"] == pytest.approx(0.02)
    assert lights(sound._replace(target=0.995 * sound.target))["unsupported_mass"] == "amber"


def test_a_log_that_lies_of_its_propensities_is_red(world) -> None:
    sharp = world.behavior**2
    liar = world._replace(behavior=sharp / sharp.sum(axis=1, keepdims=True))
    rows, context = liar.draw(np.random.default_rng(2), 5_000)
    found = lights(rows._replace(behavior=world.behavior[context]))
    assert found["propensity_calibration"] == "red"


def test_a_wrong_reward_model_is_amber_and_never_red(sound) -> None:
    assert lights(sound._replace(predicted=0.5 * sound.predicted))["model_error"] == "amber"


def test_a_target_that_the_log_never_met_is_red_and_its_model_unknown(sound) -> None:
    behavior, target = np.array([[0.5, 0.5]] * 100), np.array([[0.0, 1.0]] * 100)
    rows = Rows(np.ones(100), np.zeros(100, int), behavior, target, behavior, reward_range=sound.reward_range)
    found = {one.name: one for one in diagnose_rows(rows)}
    assert (found["ess"].light, found["ess"].value) == ("red", 0.0)
    assert (found["mean_weight"].light, found["propensity_calibration"].light) == ("red", "amber")
    assert found["model_error"].sentence.startswith("Unknown")


def test_what_a_log_cannot_tell_is_amber_and_says_so(sound) -> None:
    known = np.full_like(sound.behavior, np.nan)
    place = (np.arange(2_000), sound.slot)
    known[place] = sound.behavior[place]
    found = {one.name: one for one in diagnose_rows(sound._replace(behavior=known, is_partial=True))}
    for name in ("design_ess", "unsupported_mass", "propensity_calibration"):
        assert found[name].light == "amber"
        assert found[name].sentence.startswith("Unknown")
        assert np.isnan(found[name].value)
    assert found["mean_weight"].light == "amber"
    assert found["ess"].light == "green"


def test_weights_far_too_high_are_red_even_without_whole_distributions(sound) -> None:
    known = np.full_like(sound.behavior, np.nan)
    place = (np.arange(2_000), sound.slot)
    known[place] = sound.behavior[place] / 2
    found = {one.name: one for one in diagnose_rows(sound._replace(behavior=known, is_partial=True))}
    assert found["mean_weight"].light == "red"


def test_shards_merge_to_the_whole(heavy_world) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(3), 1_000)
    weights = weights_of(rows)
    merged = merge(merge(evidence(rows.part(0, 10)), evidence(rows.part(10, 600))), evidence(rows.part(600, 1_000)))
    for found, wanted in zip(diagnose(weights, merged), diagnose(weights, evidence(rows)), strict=True):
        assert found.value == pytest.approx(wanted.value, rel=1e-9)
        assert (found.light, found.sentence) == (wanted.light, wanted.sentence)


def test_shards_of_two_kinds_of_log_do_not_merge(sound) -> None:
    without = evidence(sound._replace(predicted=None))
    with pytest.raises(ValueError, match="one shard has ModelSums and the other has not"):
        merge(without, evidence(sound))


def test_the_histogram_gives_the_light_of_the_exact_share(heavy_world) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(4), 5_000)
    weights = weights_of(rows)
    binned = {one.name: one for one in diagnose(weights, evidence(rows))}["top_share"]
    exact = {one.name: one for one in diagnose_rows(rows)}["top_share"]
    assert binned.value == pytest.approx(exact.value, abs=0.02)
    assert "within" in binned.sentence
    assert "within" not in exact.sentence


@pytest.mark.parametrize(
    ("value", "limits", "light"),
    [
        (200.0, ESS, "green"),
        (199.0, ESS, "amber"),
        (50.0, ESS, "amber"),
        (49.0, ESS, "red"),
        (DEVIATES.amber, DEVIATES, "green"),
        (2.5, DEVIATES, "amber"),
        (2.9, DEVIATES, "red"),
        (float("nan"), DEVIATES, "amber"),
    ],
)
def test_lights_turn_at_their_limits(value, limits, light) -> None:
    assert light_of(value, limits) == light


def test_tests_of_a_true_log_stay_within_their_promise(heavy_world) -> None:
    # 400 logs: amber or red at most 0.05 + 4 sqrt(0.05 x 0.95 / 400) = 0.094, red 0.01 + 4 SE = 0.030
    rng = np.random.default_rng(5)
    seen: dict[str, list[str]] = {"mean_weight": [], "propensity_calibration": []}
    for _ in range(400):
        found = lights(heavy_world.draw(rng, 200)[0]._replace(predicted=None))
        for name, kept in seen.items():
            kept.append(found[name])
    for name, kept in seen.items():
        assert np.mean([light != "green" for light in kept]) <= 0.094, name
        assert np.mean([light == "red" for light in kept]) <= 0.030, name


def test_deviates_and_levels_agree() -> None:
    for deviate, level in zip(DEVIATES, LEVELS, strict=True):
        assert p_value(deviate) == pytest.approx(level, rel=1e-3)


@pytest.mark.parametrize(
    ("hits", "light", "value"),
    [(0, "red", 0.0), (2, "red", 2.0), (10, "amber", 10.5), (100, "green", 200.0), (198, "red", 2.0)],
)
def test_rare_rewards_are_said_to_tell_little(hits, light, value) -> None:
    # (sum d^2)^2 / sum d^4 = n p (1 - p) / (p^3 + (1 - p)^3) for a share p of ones: 10 of 200 give 9.5 / 0.857
    reward = np.zeros(200)
    reward[:hits] = 1.0
    half = np.full((200, 2), 0.5)
    rows = Rows(reward, np.arange(200) % 2, half, half, reward_range=RewardRange(0.0, 1.0))
    found = {one.name: one for one in diagnose_rows(rows)}["varying_rows"]
    assert found.light == light
    p = hits / 200
    exact = 200 * p * (1 - p) / (p**3 + (1 - p) ** 3)
    assert found.value == pytest.approx(exact, rel=1e-9, abs=1e-9)
    assert found.value == pytest.approx(value, rel=0.06, abs=1e-9)
