"""The calibrated surface: expectations are exact, engines agree, presets say what was published."""

from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from envs import presets
from envs.arrays import sigmoid
from envs.drift import Params as DriftParams
from envs.lattice import AxisRange, LatticeRanges
from envs.population import Effects, TaskType
from envs.reward import RewardWeights
from envs.surfaces.llm_outcome import Params, Service, build
from envs.world import N_NORMAL, N_UNIFORM, Noise, Outcome, Scenario, World, WorldState

N_DRAWS = 200_000
SWAP = DriftParams(onset=10, quality_factor=0.61, cliff_shift=-0.2, length_shift=0.3, latency_factor=3.0)
PUBLISHED = {0.0: 0.389, 0.5: 0.359, 0.7: 0.296, 1.0: 0.269, 1.5: 0.0, 2.0: 0.0}  # Mistral-7B, GSM8K
PUBLISHED_PROBLEMS = 1319  # of GSM8K's test set

# Everything that the two presets leave out: failures, two lengths, penalties, jitter, every weight.
BUSY = Params(
    name="busy",
    lattice=LatticeRanges(
        temperature=AxisRange("0", "2", "0.2"),
        max_tokens=AxisRange("64", "256", "64"),
        top_p=AxisRange("0.3", "1", "0.7"),
        frequency_penalty=AxisRange("-1", "1", "1"),
        presence_penalty=AxisRange("0", "1", "1"),
    ),
    task_types=[
        TaskType(
            q0=0.8, t_star=0.5, k_t=0.1, k_f=0.05, f_star=0.5, k_p=0.1, failing=1.0, length_weight_1=0.72,
            length_median_1=104.0, length_sd_1=0.71, length_median_2=406.0, length_sd_2=0.05,
        )
    ],
    effects=Effects(0.2, 0.2, 0.3, 0.2, 0.1),
    service=Service(first_token_jitter=0.5, token_jitter=0.5),
    reward=RewardWeights(2.0, 100.0, 0.1, 0.2, 0.3, 0.4),
    checks=8,
    contexts_per_type=16,
)  # fmt: skip


def world_of(name: str, drift: DriftParams) -> Scenario:
    params = BUSY if name == "busy" else presets.load("world", name)
    assert isinstance(params, Params)
    baseline = replace(params.baseline, temperature="1", max_tokens="128", frequency_penalty="0")
    params = replace(params, baseline=baseline) if name == "busy" else params
    return build(params, drift_params=drift)


@cache
def noise() -> Noise:
    rng = np.random.default_rng(20260)
    return Noise(rng.random((N_DRAWS, N_UNIFORM)), rng.standard_normal((N_DRAWS, N_NORMAL)))


@partial(jax.jit, static_argnames="world")
def drawn(world: World, params: Any, state: WorldState, at: tuple[Any, Any], draws: Noise) -> Any:
    """Mean and standard error over all draws of each part, and of the reward."""

    def one(one_noise: Noise) -> tuple[Outcome, Any]:
        return world.outcome(params, state, *at, noise=one_noise)

    outcome, reward = jax.vmap(one)(draws)
    table = jnp.stack([*(part + jnp.zeros_like(reward) for part in outcome), reward])
    return table.mean(axis=1), table.std(axis=1) / np.sqrt(N_DRAWS)


def spots(scenario: Scenario) -> list[tuple[int, int]]:
    """Task and action of six corners: the baseline, cold, hot, short, long, narrow nucleus."""
    n, actions = len(scenario.population.tasks), scenario.lattice.size
    rng = np.random.default_rng(7)
    return [(0, int(scenario.baseline[0])), (n - 1, 0), (n // 2, actions - 1)] + [
        (int(rng.integers(n)), int(rng.integers(actions))) for _ in range(3)
    ]


@pytest.mark.parametrize(
    ("name", "drift", "rounds"),
    [
        ("gsm8k_small", DriftParams(), 0),
        ("gsm8k_small", SWAP, 1000),
        ("flat_null", DriftParams(), 0),
        ("busy", DriftParams(), 0),
        ("busy", SWAP, 1000),
    ],
    ids=["gsm8k_small", "gsm8k_small after a step", "flat_null", "every part", "every part after a step"],
)
def test_the_mean_of_many_outcomes_is_the_expected_outcome_in_every_part(
    name: str, drift: DriftParams, rounds: int
) -> None:
    scenario, state = world_of(name, drift), WorldState(np.int32(rounds))
    z = []
    for index, action in spots(scenario):
        at = (np.int32(index), np.int32(action))
        mean, error = drawn(scenario.world, scenario.params, state, at, noise())
        parts, reward = scenario.world.expected(scenario.params, state, at[0], at[1].reshape(1))
        want = np.array([*(np.ravel(part)[0] for part in parts), reward[0]])
        gap = np.asarray(mean) - want
        # A part that never varied in 200,000 draws varies with probability below 1e-4, if at all.
        fixed = np.asarray(error) < 1e-12 * (1.0 + np.abs(want))
        assert np.all(np.abs(gap[fixed]) <= 1e-4 * np.array([1, 1e3, 1e4, 1, 1, 1, 1, 10.0])[fixed])
        z += (gap[~fixed] / np.asarray(error)[~fixed]).tolist()
    # Six spots of at most eight parts in five worlds: 240 values of z. One beyond 4 has
    # probability 6.3e-5, so a right surface fails with probability 1.5 %; the draws are fixed.
    assert np.abs(z).max() < 4.0


@pytest.mark.parametrize("name", ["gsm8k_small", "busy"])
def test_expected_in_jax_is_expected_in_numpy_to_1e_12(name: str) -> None:
    scenario, state = world_of(name, SWAP), WorldState(np.int32(1000))
    ids = np.arange(scenario.lattice.size, dtype=np.int32)
    rows = np.arange(len(scenario.population.tasks), dtype=np.int32)[:: 1 if name == "busy" else 16]
    over = jax.jit(jax.vmap(scenario.world.expected, (None, None, 0, None)))(scenario.params, state, rows, ids)
    for place, row in enumerate(rows):
        here = scenario.world.expected(scenario.params, state, row, ids)
        for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(over), strict=True):
            np.testing.assert_allclose(np.asarray(b)[place], a, rtol=1e-12, atol=1e-12)


def test_an_outcome_in_jax_is_the_outcome_in_numpy() -> None:
    scenario, state = world_of("busy", SWAP), WorldState(np.int32(1000))
    some = Noise(noise().uniform[:50], noise().normal[:50])
    at = (np.int32(3), np.int32(100))
    each = jax.vmap(lambda params, now, one: scenario.world.outcome(params, now, *at, noise=one), (None, None, 0))
    there = jax.jit(each)(scenario.params, state, some)
    for i in range(50):
        here = scenario.world.outcome(scenario.params, state, *at, noise=Noise(some.uniform[i], some.normal[i]))
        for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
            np.testing.assert_allclose(np.asarray(b)[i], a, rtol=1e-12, atol=1e-12)


def reference_task() -> tuple[TaskType, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """`short_answer` of gsm8k_small without effects, at the widest cap: temperatures, quality, truncation."""
    params = presets.load("world", "gsm8k_small")
    assert isinstance(params, Params)
    plain = replace(params, effects=Effects(), contexts_per_type=2)
    scenario = build(plain, drift_params=DriftParams())
    temperatures = scenario.lattice.values("temperature")
    ids = [
        scenario.lattice.action_id({"temperature": f"{t:.1f}", "max_tokens": 1012, "top_p": 1}) for t in temperatures
    ]
    outcome, _ = scenario.world.expected(scenario.params, WorldState(np.int32(0)), np.int32(0), np.array(ids, np.int32))
    kind = params.task_types[0]
    assert kind.name == "short_answer"
    return kind, temperatures, np.asarray(outcome.quality), np.asarray(outcome.truncated)


def test_quality_at_the_reference_task_is_the_published_logistic_curve() -> None:
    kind, t, quality, truncated = reference_task()
    assert (kind.q0, kind.cliff, kind.cliff_width) == (0.357, 1.12, 0.133)  # the fit to the min-p logs
    curve = 0.357 * sigmoid((1.12 - t) / 0.133) / sigmoid(np.array(1.12 / 0.133))
    np.testing.assert_allclose(quality, curve * (1.0 - kind.truncation_loss * truncated), rtol=1e-12)
    assert np.max(curve - quality) < 0.002  # what the cap of 1,012 tokens costs, at most


def test_the_curve_passes_by_the_published_points_within_their_noise() -> None:
    _, t, quality, _ = reference_task()
    at = [int(np.argmin(np.abs(t - point))) for point in PUBLISHED]
    accuracy = np.array(list(PUBLISHED.values()))
    error = np.sqrt(accuracy * (1.0 - accuracy) / PUBLISHED_PROBLEMS)  # .013; 0 where no answer was right
    gap = np.abs(quality[at] - accuracy)
    # Two numbers cannot pass through six points: each lies within 4 standard errors, or .02 of
    # zero (the foot of a logistic never reaches it), and all of them within 2 in the root mean square.
    assert np.all(gap <= np.maximum(4.0 * error, 0.02))
    assert np.sqrt(np.mean(gap**2)) <= 2.0 * error[error > 0].mean()


def test_top_p_acts_as_a_lower_temperature_as_published(gsm8k_small: Scenario) -> None:
    kind, *_ = reference_task()
    # Published at top_p .9, T .7: .361; the surface has T_e = .7 (1 - .98 sqrt(.1) / (1 + e^((.7 - 1.2) / .15))) = .490
    heat = 0.7 * (1.0 - 0.98 * np.sqrt(0.1) * sigmoid(np.array(0.5 / 0.15)))
    assert heat == pytest.approx(0.490, abs=0.001)
    quality = (
        kind.q0 * sigmoid((kind.cliff - heat) / kind.cliff_width) / sigmoid(np.array(kind.cliff / kind.cliff_width))
    )
    assert abs(quality - 0.361) <= 2.0 * np.sqrt(0.361 * 0.639 / PUBLISHED_PROBLEMS)
    assert gsm8k_small.lattice.values("top_p")[-2] == 0.9


@pytest.mark.parametrize("drift", [DriftParams(), SWAP], ids=["as it is", "after a step"])
def test_flat_null_is_flat_in_reward_for_every_task_and_action(drift: DriftParams) -> None:
    scenario = world_of("flat_null", drift)
    table = scenario.table(rounds=1000)
    assert table.shape == (256, 840)
    assert np.ptp(table, axis=1).max() == 0.0
    assert np.ptp(table, axis=0).min() > 0.1  # tasks differ all the same


def test_one_action_for_all_requests_is_measurably_worse_than_the_best_for_each(gsm8k_small: Scenario) -> None:
    table, task = gsm8k_small.table(), gsm8k_small.population.task
    contextual = table.max(axis=1).mean()
    one_per_type = np.mean([table[task == k].mean(axis=0).max() for k in (0, 1)])
    one_for_all = table.mean(axis=0).max()
    # Exact values. Measurable: four standard errors of a mean over the default run's 256 seeds x 200
    # evaluations x 2 task types, taking the largest spread that the declared range allows.
    visible = 4.0 * (gsm8k_small.reward_span / 2.0) / np.sqrt(256 * 200 * 2)
    assert contextual - one_per_type > visible
    assert contextual - one_for_all > visible
    assert one_for_all < one_per_type


def test_features_move_difficulty_length_and_optimum(gsm8k_small: Scenario) -> None:
    table, world = gsm8k_small.table(), gsm8k_small.world
    rows = np.flatnonzero(gsm8k_small.population.task == 1)
    outcomes = [
        world.expected(gsm8k_small.params, WorldState(np.int32(0)), np.int32(i), gsm8k_small.baseline[1:])[0]
        for i in rows
    ]
    best = {gsm8k_small.lattice.parameters(int(table[i].argmax()))["temperature"] for i in rows}
    assert np.std([float(o.quality[0]) for o in outcomes]) > 0.05
    assert np.std([float(o.output_tokens[0]) for o in outcomes]) > 30.0
    assert len(best) >= 3


def test_equal_structure_is_one_world_whatever_the_numbers(gsm8k_small: Scenario, flat_null: Scenario) -> None:
    assert gsm8k_small.world is flat_null.world
    shapes = [jax.tree.map(np.shape, s.params) for s in (gsm8k_small, flat_null)]
    assert shapes[0] == shapes[1]


def test_a_world_without_task_types_is_refused() -> None:
    with pytest.raises(ValueError, match=r"world\.task_types is empty, need at least one"):
        build(Params(), drift_params=DriftParams())


def test_a_baseline_off_the_grid_is_refused_with_the_nearest_value() -> None:
    with pytest.raises(ValueError, match=r"max_tokens = 512 is not on the grid, the nearest value is 256"):
        build(BUSY, drift_params=DriftParams())
