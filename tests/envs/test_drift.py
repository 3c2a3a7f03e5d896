"""Drift by hand: shapes in sixteen stairs, components that compose, regimes, and the control that does nothing."""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import presets
from envs.drift import SHAPES, STAIRS, Params, Sizes, check_onsets, drift, intensity, moves_outcomes, regimes, sizes_at
from envs.surfaces.llm_outcome import Params as WorldParams
from envs.surfaces.llm_outcome import build
from envs.targets import ConfigError
from envs.traffic import Context
from envs.world import Noise

DEFAULT_HORIZON = 200
FAST = settings(derandomize=True, database=None, deadline=None, max_examples=60)
FACTORS = [name for name in Sizes._fields if name.endswith("_factor")]
SHIFTS = [name for name in Sizes._fields if name.endswith("_shift")]
SHARES = [name for name in Sizes._fields if name.endswith("_share")]


def components(n: int = 3) -> st.SearchStrategy[list[Params]]:
    sizes: dict[str, st.SearchStrategy[Any]] = {name: st.floats(0.1, 2.0) for name in FACTORS}
    sizes |= {name: st.floats(-1.0, 1.0) for name in SHIFTS} | {name: st.floats(0.0, 1.0) for name in SHARES}
    when = {"shape": st.sampled_from(SHAPES), "onset": st.integers(0, 30), "duration": st.integers(1, 40)}
    return st.lists(st.builds(Params, **when, **sizes), min_size=1, max_size=n)


def level(component: Params, t: int) -> float:
    moving = drift([component])
    return float(intensity(moving.shape, moving.onset, moving.duration, t=np.int32(t))[0])


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        # onset 10, duration 8: evaluation 12 is a quarter through, 14 half, 18 the end, 26 a duration later
        ("step", {0: 0, 9: 0, 10: 1, 11: 1, 18: 1, 10**6: 1}),
        ("ramp", {9: 0, 10: 0, 12: 0.25, 14: 0.5, 17: 0.875, 18: 1, 26: 1}),
        ("pulse", {9: 0, 10: 1, 17: 1, 18: 0, 26: 0}),
        # (1 - cos(2 pi / 4)) / 2 = 1/2; an eighth: (1 - .7071) / 2 = .1464, 2.34 stairs, so 2/16
        ("season", {9: 0, 10: 0, 11: 2 / 16, 12: 0.5, 14: 1, 16: 0.5, 18: 0, 22: 1, 26: 0}),
    ],
)
def test_a_shape_at_named_evaluations(shape: str, wanted: dict[int, float]) -> None:
    component = Params(shape=shape, onset=10, duration=8)
    assert {t: level(component, t) for t in wanted} == wanted


@FAST
@given(components(1), st.integers(0, 10**9))
def test_intensity_is_a_multiple_of_a_sixteenth_between_0_and_1(one: list[Params], t: int) -> None:
    found = level(one[0], t)
    assert 0.0 <= found <= 1.0 and (found * STAIRS).is_integer()
    assert t >= one[0].onset or found == 0.0


def test_no_component_is_one_that_does_nothing() -> None:
    for t in (0, 1, 10**9):
        assert sizes_at(drift([]), np.int32(t)) == tuple(getattr(Params, name) for name in Sizes._fields)


def test_factors_multiply_shifts_add_and_shares_are_cut_at_one() -> None:
    both = [
        Params(quality_factor=0.5, length_shift=0.3, cold_share=0.7, failure_share=0.25),
        Params(shape="ramp", duration=4, quality_factor=0.5, length_shift=0.2, cold_share=0.8, failure_share=0.5),
    ]
    half = sizes_at(drift(both), np.int32(2))  # the ramp stands at one half
    assert half.quality_factor == 0.5 * 0.75
    assert half.length_shift == pytest.approx(0.3 + 0.1, rel=1e-15)
    assert half.cold_share == 1.0  # .7 + .4
    assert half.failure_share == 0.5
    assert half.token_factor == 1.0 and half.cliff_shift == 0.0


@FAST
@given(components(), st.integers(0, 80), st.randoms(use_true_random=False))
def test_components_commute_and_compose_one_by_one(many: list[Params], t: int, random: Any) -> None:
    mixed = random.sample(many, len(many))
    here, there = (np.array(sizes_at(drift(some), np.int32(t))) for some in (many, mixed))
    np.testing.assert_allclose(here, there, rtol=1e-14, atol=1e-14)
    alone = {name: [float(getattr(sizes_at(drift([c]), np.int32(t)), name)) for c in many] for name in Sizes._fields}
    wanted = [
        math.prod(each) if name in FACTORS else min(sum(each), 1.0) if name in SHARES else sum(each)
        for name, each in alone.items()
    ]
    np.testing.assert_allclose(here, wanted, rtol=1e-14, atol=1e-14)


@FAST
@given(components(), st.integers(0, 80))
def test_sizes_in_jax_are_those_in_numpy(many: list[Params], t: int) -> None:
    moving = drift(many)
    there = sizes_at(jax.tree.map(jnp.asarray, moving), jnp.int32(t))
    np.testing.assert_allclose(np.array(there), np.array(sizes_at(moving, np.int32(t))), rtol=1e-14, atol=1e-14)


def test_a_component_says_which_outcomes_it_moves() -> None:
    assert moves_outcomes(Params(quality_factor=0.5, cold_share=0.1)) == ["quality_factor", "cold_share"]
    assert moves_outcomes(Params(task_mix=0.5, prompt_divergence=0.3)) == []


@pytest.mark.parametrize(
    ("component", "wanted"),
    [
        (Params(onset=100, quality_factor=0.5), (0, 100)),
        (Params(onset=0, quality_factor=0.5), (0,)),  # from the first evaluation on: nothing changes later
        (Params(onset=300, quality_factor=0.5), (0,)),
        (Params(shape="pulse", onset=5, duration=3), (0, 5, 8)),
        (Params(shape="ramp", onset=5, duration=4), (0, 6, 7, 8, 9)),
        # 64 evaluations, 16 stairs: a stair lasts four, and begins where t/4 rounds up
        (Params(shape="ramp", onset=0, duration=64), (0, *range(2, 64, 4))),
    ],
)
def test_regimes_by_hand(component: Params, wanted: tuple[int, ...]) -> None:
    assert regimes([component], 220) == wanted


def test_there_are_at_most_seventeen_truths_however_long_a_season_lasts() -> None:
    component = Params(shape="season", duration=5000)
    assert {level(component, t) for t in range(0, 10_000, 7)} == {i / 16 for i in range(17)}


@pytest.mark.parametrize("shape", SHAPES)
def test_regimes_are_exactly_where_a_worlds_truth_changes(shape: str, tiny: WorldParams) -> None:
    moving = [
        Params(shape=shape, onset=7, duration=20, quality_factor=0.8, output_price_factor=2.0),
        Params(onset=31, length_shift=0.5),
    ]
    scenario = build(tiny, drift=moving)
    tables = [scenario.table(t=t) for t in range(50)]
    changes = [t for t in range(1, 50) if not np.array_equal(tables[t], tables[t - 1])]
    assert scenario.regimes(50) == (0, *changes)
    assert 31 in changes and len(changes) >= 2


def test_null_drift_leaves_every_outcome_bit_for_bit() -> None:
    still, announced = (presets.scenario("gsm8k_small", drift=name) for name in ("none", "null_drift"))
    onset = announced.drift[0].onset
    assert announced.regimes(DEFAULT_HORIZON) == (0, onset)  # something is announced
    rng, world = np.random.default_rng(5), still.world
    for t in (0, onset - 1, onset, onset + 50):
        for _ in range(20):
            index, action = rng.integers(256), np.int32(rng.integers(840))
            context = Context(
                np.int32(index), still.population.task[index], still.population.features[index], np.int32(0)
            )
            noise = Noise(rng.random(world.n_uniform), rng.standard_normal(world.n_normal))
            one, two = (world.outcome(s.params, np.int32(t), context, action, noise=noise) for s in (still, announced))
            assert np.array(one[0]).tobytes() == np.array(two[0]).tobytes() and one[1] == two[1]
    assert np.array_equal(still.table(t=onset), announced.table(t=onset))
    assert np.array_equal(still.weights(t=onset), announced.weights(t=onset))


def test_an_onset_after_everything_is_over_is_refused_by_name() -> None:
    swap = Params(onset=200)
    check_onsets({"version_swap": replace(swap, onset=199), "none": Params()}, horizon=200)
    message = r"drift\.version_swap\.onset: got 200, need an onset before the horizon, 200 evaluations; or drift=none"
    with pytest.raises(ConfigError, match=message):
        check_onsets({"decay": Params(onset=50), "version_swap": swap}, horizon=200)


@pytest.mark.parametrize("name", presets.names("drift"))
def test_every_preset_moves_what_it_says_before_the_default_horizon(name: str) -> None:
    (component,) = presets.components(name).values()
    assert component.onset < DEFAULT_HORIZON
    moves = moves_outcomes(component) or component.task_mix > 0 or component.prompt_divergence > 0
    assert bool(moves) == (name not in ("none", "null_drift"))
