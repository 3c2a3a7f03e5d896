"""The calibrated surface: expectations are exact, engines agree, models and weights are their own, ranges hold."""

from collections.abc import Sequence
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
from envs.curves import jitter_mean
from envs.drift import Params as DriftParams
from envs.drift import Sizes
from envs.fields import Spot, convert
from envs.lattice import AxisRange, LatticeRanges
from envs.population import Effects, TaskType
from envs.quality_noise import Params as NoiseParams
from envs.reward import RewardWeights, reward, weights
from envs.surfaces.llm_outcome import Baseline, Model, Params, Service, build
from envs.targets import ConfigError
from envs.traffic import Context
from envs.world import Noise, Outcome, Scenario, World

N_DRAWS = 200_000
N_BOUNDED = 100_000
Drifts = tuple[DriftParams, ...]
SWAP = (
    DriftParams(
        shape="ramp", onset=10, duration=40, quality_factor=0.61, cliff_shift=-0.2, optimum_shift=0.1, length_shift=0.3,
        first_token_factor=3.0, token_factor=1.5, cold_share=0.1, input_price_factor=0.5, output_price_factor=2.0,
        failure_share=0.1,
    ),
    DriftParams(shape="pulse", onset=30, duration=20, token_factor=2.0),
)  # fmt: skip
PUBLISHED = {0.0: 0.389, 0.5: 0.359, 0.7: 0.296, 1.0: 0.269, 1.5: 0.0, 2.0: 0.0}  # Mistral-7B, GSM8K
PUBLISHED_PROBLEMS = 1319  # of GSM8K's test set

# Everything that a preset may leave out: failures, two lengths, penalties, jitter, cold starts, two
# models, seven levels of difficulty, weights of a task type's own.
BUSY = Params(
    name="busy",
    lattice=LatticeRanges(
        temperature=AxisRange("0", "2", "0.2"),
        max_tokens=AxisRange("64", "256", "64"),
        top_p=AxisRange("0.3", "1", "0.7"),
        frequency_penalty=AxisRange("-1", "1", "1"),
        presence_penalty=AxisRange("0", "1", "1"),
    ),
    baseline=Baseline(max_tokens="128", model="large"),
    task_types=[
        TaskType(
            name="chat", q0=0.8, t_star=0.5, k_t=0.1, k_f=0.05, f_star=0.5, k_p=0.1, failure_floor=0.03, failing=0.9,
            length_weight_1=0.72, length_median_1=104.0, length_sd_1=0.71, length_median_2=406.0, length_sd_2=0.05,
            between=0.5,
        ),
        TaskType(
            name="code", weight=2.0, q0=0.6, cliff=1.1, between=0.8, length_median_1=200.0,
            reward=RewardWeights(1.0, 20.0, 0.2, 0.0, 0.1, 0.5),
        ),
    ],
    effects=Effects(0.2, 0.2, 0.3, 0.2, 0.1),
    service=Service(first_token_jitter=0.5, token_jitter=0.5, cold_share=0.05, cold_low_ms=1000.0, cold_high_ms=9000.0),
    models={
        "small": Model(0.8, -0.2, 1.5, 0.1, -0.2, Service(0.05, 0.2, first_token_ms=200.0, token_ms=4.0)),
        "large": Model(),
    },
    reward=RewardWeights(2.0, 100.0, 0.1, 0.2, 0.3, 0.4),
    noise=NoiseParams(checks=8),
    levels=7,
    contexts_per_type=16,
)  # fmt: skip
KINDS = {
    "binomial": BUSY.noise,
    "graded": NoiseParams("graded", spread=0.3),
    "gaussian": NoiseParams("gaussian", sd=0.3, slope=0.5),
}


@cache
def world_of(name: str, drift: Drifts = ()) -> Scenario:
    """A preset by its name; or the busy world, as `busy KIND REPLAYS`."""
    if not name.startswith("busy"):
        params = presets.load("world", name)
        assert isinstance(params, Params)
        return build(params, drift=drift)
    _, kind, replays = name.split()
    return build(replace(BUSY, noise=KINDS[kind], replays=int(replays)), drift=drift)


def noise(world: World, n: int, seed: int = 20260) -> Noise:
    rng = np.random.default_rng(seed)
    return Noise(rng.random((n, world.n_uniform)), rng.standard_normal((n, world.n_normal)))


def context(scenario: Scenario, index: int, level: Any = 0) -> Context:
    return Context(
        np.int32(index), scenario.population.task[index], scenario.population.features[index], np.int32(level)
    )


@partial(jax.jit, static_argnames="world")
def drawn(world: World, params: Any, t: Any, at: tuple[Context, Any], draws: tuple[Any, Noise]) -> Any:
    """Mean and standard error over all draws of each part, and of the reward."""
    where, action = at

    def one(level: Any, one_noise: Noise) -> tuple[Outcome, Any]:
        return world.outcome(params, t, where._replace(level=level), action, noise=one_noise)

    outcome, worth = jax.vmap(one)(*draws)
    table = jnp.stack([*(part + jnp.zeros_like(worth) for part in outcome), worth])
    return table.mean(axis=1), table.std(axis=1) / np.sqrt(N_DRAWS)


def spots(scenario: Scenario) -> list[tuple[int, int]]:
    """Task and action of six corners: the baseline, cold, hot, and three anywhere."""
    n, actions = len(scenario.population.tasks), scenario.lattice.size
    rng = np.random.default_rng(7)
    return [(0, int(scenario.baseline[0])), (n - 1, 0), (n // 2, actions - 1)] + [
        (int(rng.integers(n)), int(rng.integers(actions))) for _ in range(3)
    ]


@pytest.mark.parametrize(
    ("name", "drift", "t"),
    [
        ("gsm8k_small", (), 0),
        ("flat_null", (), 0),
        ("busy binomial 0", SWAP, 9),
        ("busy binomial 0", SWAP, 35),
        ("busy binomial 0", SWAP, 1000),
        pytest.param("busy graded 0", SWAP, 35, marks=pytest.mark.slow),
        pytest.param("busy gaussian 2", SWAP, 35, marks=pytest.mark.slow),
    ],
)
def test_the_mean_of_many_outcomes_is_the_expected_outcome_in_every_part(name: str, drift: Drifts, t: int) -> None:
    scenario, z = world_of(name, drift), []
    world, when = scenario.world, np.int32(t)
    levels = np.random.default_rng(3).integers(int(scenario.traffic.levels), size=N_DRAWS, dtype=np.int32)
    draws = (levels, noise(world, N_DRAWS))
    for index, action in spots(scenario):
        at = (context(scenario, index), np.int32(action))
        mean, error = drawn(world, scenario.params, when, at, draws)
        parts, worth = world.expected(scenario.params, when, np.int32(index), at[1].reshape(1))
        want = np.array([*(np.ravel(part)[0] for part in parts), worth[0]])
        gap = np.asarray(mean) - want
        # A part that never varied in 200,000 draws varies with probability below 1e-4, if at all.
        fixed = np.asarray(error) < 1e-12 * (1.0 + np.abs(want))
        assert np.all(np.abs(gap[fixed]) <= 1e-4 * np.array([1, 1e3, 1e4, 1, 1, 1, 1, 10.0])[fixed])
        z += (gap[~fixed] / np.asarray(error)[~fixed]).tolist()
    # Six spots of at most eight parts in seven worlds: 336 values of z. One beyond 4 has
    # probability 6.3e-5, so a right surface fails with probability 2.1 %; the draws are fixed.
    assert np.abs(z).max() < 4.0


@pytest.mark.parametrize("name", ["gsm8k_small", "busy binomial 0"])
def test_expected_in_jax_is_expected_in_numpy_to_1e_12(name: str) -> None:
    scenario, t = world_of(name, SWAP), np.int32(35)
    ids = np.arange(scenario.lattice.size, dtype=np.int32)
    rows = np.arange(len(scenario.population.tasks), dtype=np.int32)[::16]
    over = jax.jit(jax.vmap(scenario.world.expected, (None, None, 0, None)))(scenario.params, t, rows, ids)
    for place, row in enumerate(rows):
        here = scenario.world.expected(scenario.params, t, row, ids)
        for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(over), strict=True):
            np.testing.assert_allclose(np.asarray(b)[place], a, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["busy binomial 0", "busy gaussian 2"])
def test_an_outcome_in_jax_is_the_outcome_in_numpy(name: str) -> None:
    scenario, t = world_of(name, SWAP), np.int32(35)
    world, some, at = scenario.world, noise(scenario.world, 50), (context(scenario, 20, 3), np.int32(100))
    each = jax.vmap(lambda params, one: world.outcome(params, t, *at, noise=one), (None, 0))
    there = jax.jit(each)(scenario.params, some)
    for i in range(50):
        here = world.outcome(scenario.params, t, *at, noise=Noise(some.uniform[i], some.normal[i]))
        for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
            np.testing.assert_allclose(np.broadcast_to(np.asarray(b), (50,))[i], a, rtol=1e-12, atol=1e-12)


@partial(jax.jit, static_argnames="world")
def extremes(world: World, params: Any, t: Any, at: tuple[Any, ...]) -> Any:
    """Smallest and largest reward over draws of index, action, level and noise."""

    def one(index: Any, action: Any, level: Any, one_noise: Noise) -> Any:
        here = Context(index, jnp.int32(0), jnp.zeros(0), level)  # a surface reads the row and the level only
        return world.outcome(params, t, here, action, noise=one_noise)[1]

    worth = jax.vmap(one)(*at)
    return worth.min(), worth.max()


SINGLE = presets.components([name for name in presets.names("drift") if name != "prompt_shift"])  # moves no outcome
ALL = tuple(SINGLE.values())


@pytest.mark.parametrize(
    ("name", "drift"),
    [
        *(("busy binomial 0", (one,)) for one in ALL),
        ("busy binomial 0", ALL),
        pytest.param("busy graded 3", ALL, marks=pytest.mark.slow),
    ],
    ids=[*SINGLE, "all", "all, paired and graded"],
)
def test_no_bounded_reward_leaves_the_declared_range_under_any_drift(name: str, drift: Drifts) -> None:
    scenario, rng = world_of(name, drift), np.random.default_rng(2)
    draws = noise(scenario.world, N_BOUNDED)
    for row, (u, z) in enumerate([(0.0, -8.0), (1.0 - 2.0**-53, 8.0), (0.0, 8.0), (1.0 - 2.0**-53, -8.0)]):
        draws.uniform[row :: N_BOUNDED // 100], draws.normal[row :: N_BOUNDED // 100] = u, z
    sizes = (len(scenario.population.tasks), scenario.lattice.size, int(scenario.traffic.levels))
    at = (*(rng.integers(n, size=N_BOUNDED, dtype=np.int32) for n in sizes), draws)
    low, high = scenario.reward_range or (0.0, 0.0)
    for t in (0, 105, 190):
        least, most = extremes(scenario.world, scenario.params, np.int32(t), at)
        assert low <= least and most <= high


def test_the_worst_answer_under_two_drifts_at_once_is_the_lower_end_of_the_range() -> None:
    slow = DriftParams(
        onset=1, first_token_factor=2.0, token_factor=3.0, input_price_factor=4.0, output_price_factor=5.0
    )
    scenario = build(replace(BUSY, task_types=BUSY.task_types[:1]), drift=(slow, slow))
    # Not failed, of the longest length, cold for the longest wait, every jitter at its end: the largest cap of `large`.
    worst = Noise(np.array([1.0 - 2.0**-53, 0.999, 0.0, 0.0, 1.0 - 2.0**-53]), np.full(3, 8.0))
    point = {"temperature": 2, "max_tokens": 256, "top_p": 1, "frequency_penalty": -1, "presence_penalty": 0}
    action = np.int32(scenario.lattice.action_id(point | {"model": "large"}))
    rewards = [
        scenario.world.outcome(scenario.params, np.int32(5), context(scenario, i), action, noise=worst)[1]
        for i in range(len(scenario.population.tasks))
    ]
    assert min(rewards) == pytest.approx(scenario.value_range[0], rel=1e-9)


@pytest.mark.parametrize("drift", [(), SWAP, ALL], ids=["none", "swap", "all"])
def test_no_expected_reward_leaves_its_declared_range(drift: Drifts) -> None:
    scenario = world_of("busy binomial 0", drift)
    tables = [scenario.table(t=t) for t in (0, 35, 150)]
    low, high = scenario.value_range
    assert low <= np.min(tables) and np.max(tables) <= high
    assert scenario.reward_span == high - low


@pytest.mark.parametrize("kind", ["gaussian", "heavy"])
def test_unbounded_noise_declares_no_range_and_says_so(kind: str) -> None:
    scenario = build(replace(BUSY, noise=NoiseParams(kind)))
    assert scenario.reward_range is None and np.isfinite(scenario.value_range).all()
    assert any("bounded intervals refuse" in note for note in scenario.notes)
    assert scenario.world.n_normal == 5


CHANGES = {
    "quality_factor": {"quality"},
    "optimum_shift": {"quality"},
    "cliff_shift": {"quality", "output_tokens", "latency_ms", "cost_usd", "truncated"},
    "length_shift": {"quality", "output_tokens", "latency_ms", "cost_usd", "truncated"},
    "first_token_factor": {"latency_ms"},
    "token_factor": {"latency_ms"},
    "cold_share": {"latency_ms"},
    "input_price_factor": {"cost_usd"},
    "output_price_factor": {"cost_usd"},
    "failure_share": {"quality", "failure", "output_tokens", "latency_ms", "cost_usd", "truncated"},
}


@pytest.mark.parametrize("size", Sizes._fields)
def test_each_size_of_a_drift_moves_its_own_parts_and_no_others(size: str) -> None:
    moved = world_of("busy binomial 0", (DriftParams(onset=4, **{size: 0.5}),))  # type: ignore[arg-type]  # sizes are floats
    (before, _), (after, _) = moved.parts(t=3), moved.parts(t=4)
    changed = {name for name in Outcome._fields if not np.array_equal(getattr(before, name), getattr(after, name))}
    assert changed == CHANGES[size]


def test_prices_and_latency_by_hand() -> None:
    alone = replace(
        BUSY, task_types=[TaskType(length_median_1=100.0, length_sd_1=0.01, runaway=0.0)], effects=Effects(), models={},
        baseline=Baseline(max_tokens="128"), service=Service(3.0, 8.0, 400.0, 10.0, 0.3, 0.2, 0.25, 1000.0, 3000.0),
    )  # fmt: skip
    scenario = build(alone, drift=(DriftParams(onset=1, output_price_factor=2.0, cold_share=0.2),))
    (before, _), (after, _) = scenario.parts(t=0), scenario.parts(t=1)
    out, at = before.output_tokens, (0, int(scenario.baseline[0]))
    assert out[at] == pytest.approx(100.0 * np.exp(0.01**2 / 2), rel=1e-9)  # the cap of 128 is 25 deviations off
    prompt = float(scenario.population.tasks[0].prompt_tokens or 0)
    # USD per million tokens; medians x the mean of their jitter; a quarter of calls wait 2 s more, then .25 + .75 x .2
    assert before.cost_usd[at] == pytest.approx((3.0 * prompt + 8.0 * out[at]) / 1e6, rel=1e-12)
    assert after.cost_usd[at] == pytest.approx((3.0 * prompt + 16.0 * out[at]) / 1e6, rel=1e-12)
    warm = 400.0 * jitter_mean(0.3) + 10.0 * jitter_mean(0.2) * out[at]
    assert before.latency_ms[at] == pytest.approx(warm + 0.25 * 2000.0, rel=1e-12)
    assert after.latency_ms[at] == pytest.approx(warm + 0.4 * 2000.0, rel=1e-12)


@pytest.mark.parametrize("share", [0.08, 1.0])
def test_cold_starts_raise_the_mean_latency_by_their_share_of_the_mean_wait(share: float) -> None:
    cold = replace(BUSY.service, cold_share=share, cold_low_ms=20_000.0, cold_high_ms=70_000.0)
    models = {"small": Model(), "large": Model()}
    waits, none = (build(replace(BUSY, models=models, service=s)) for s in (cold, replace(cold, cold_share=0.0)))
    gap = waits.parts()[0].latency_ms - none.parts()[0].latency_ms
    np.testing.assert_allclose(gap, share * 45_000.0, rtol=1e-10)


def test_prices_move_with_the_drift_and_only_with_it() -> None:
    moved = world_of("gsm8k_small", drift=(DriftParams(onset=5, output_price_factor=2.0, input_price_factor=0.5),))
    for t, wanted in ((4, [1.0, 1.0]), (5, [0.5, 2.0])):
        np.testing.assert_allclose(moved.world.prices(moved.params, np.int32(t)), wanted, rtol=0, atol=1e-15)
    assert moved.prices == ((0.2, 1.25),)
    # quality, cost, latency, tokens, reservation, failure
    assert moved.worth == ((1.0, 80.0, 0.005, 0.0, 0.05, 0.0),) * 2


def test_every_task_type_has_its_own_weights() -> None:
    scenario = world_of("busy binomial 0")
    parts, rewards = scenario.parts()
    for kind, worth in ((0, BUSY.reward), (1, BUSY.task_types[1].reward)):
        assert worth is not None
        mine = scenario.population.task == kind
        own = reward(weights(worth), Outcome(*(part[mine] for part in parts)))
        np.testing.assert_allclose(rewards[mine], own, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_world_of_one_model_is_the_world_of_several_held_to_it(name: str) -> None:
    several = world_of("busy binomial 0", SWAP)
    alone = build(
        replace(BUSY, models={name: BUSY.models[name]}, baseline=replace(BUSY.baseline, model=name)), drift=SWAP
    )
    ids = [i for i in range(several.lattice.size) if several.lattice.parameters(i)["model"] == name]
    assert alone.lattice.size == len(ids) == several.lattice.size // 2
    for t in (0, 35):
        (here, worth), (there, rewards) = alone.parts(t=t), several.parts(t=t)
        for a, b in zip((*here, worth), (*there, rewards), strict=True):
            np.testing.assert_allclose(a, b[:, ids], rtol=1e-13, atol=1e-15)
    some, at = noise(alone.world, 20), context(alone, 5, 2)
    for i in range(20):
        one, action = Noise(some.uniform[i], some.normal[i]), np.int32(i * 7)
        here, worth = alone.world.outcome(alone.params, np.int32(35), at, action, noise=one)
        chosen = np.int32(ids[int(action)])
        there, rewards = several.world.outcome(several.params, np.int32(35), at, chosen, noise=one)
        np.testing.assert_allclose([*here, worth], [*there, rewards], rtol=1e-13)


def test_a_models_curve_price_and_latency_are_its_own() -> None:
    one_type = [TaskType(q0=0.8, cliff=20.0, truncation_loss=0.0, runaway=0.0)]
    services = (Service(1.0, 2.0, 300.0, 5.0, 0.0, 0.0), Service(10.0, 40.0, 900.0, 20.0, 0.0, 0.0))
    models = {"cheap": Model(quality_factor=0.5, service=services[0]), "dear": Model(service=services[1])}
    scenario = build(
        Params(task_types=one_type, models=models, baseline=Baseline(temperature="0"), contexts_per_type=2)
    )
    (parts, _), tokens_in = scenario.parts(), [float(t.prompt_tokens or 0) for t in scenario.population.tasks]
    assert scenario.lattice.axes[-1].values == ("cheap", "dear")
    assert scenario.baseline.tolist() == [0]  # the first listed, where the baseline names none
    np.testing.assert_allclose(parts.quality, [[0.4, 0.8]] * 2, rtol=1e-12)
    for k, service in enumerate(services):
        out = parts.output_tokens[:, k]
        cost = (service.input_price * np.array(tokens_in) + service.output_price * out) / 1e6
        np.testing.assert_allclose(parts.cost_usd[:, k], cost, rtol=1e-12)
        np.testing.assert_allclose(parts.latency_ms[:, k], service.first_token_ms + service.token_ms * out, rtol=1e-12)


def reference_task() -> tuple[TaskType, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """`short_answer` of gsm8k_small without effects, at the widest cap: temperatures, quality, truncation."""
    params = presets.load("world", "gsm8k_small")
    assert isinstance(params, Params)
    scenario = build(replace(params, effects=Effects(), contexts_per_type=2))
    temperatures = scenario.lattice.values("temperature")
    ids = [
        scenario.lattice.action_id({"temperature": f"{t:.1f}", "max_tokens": 1012, "top_p": 1}) for t in temperatures
    ]
    outcome, _ = scenario.world.expected(scenario.params, np.int32(0), np.int32(0), np.array(ids, np.int32))
    kind = params.task_types[0]
    assert kind.name == "short_answer"
    return kind, temperatures, np.asarray(outcome.quality), np.asarray(outcome.truncated)


def test_quality_at_the_reference_task_is_a_gentle_fall_and_then_a_cliff() -> None:
    kind, t, quality, truncated = reference_task()
    assert (kind.q0, kind.k_t, kind.cliff, kind.cliff_width) == (0.389, 0.12, 1.3, 0.05)  # the fit to the min-p logs
    curve = 0.389 * sigmoid((1.3 - t) / 0.05) / sigmoid(np.array(1.3 / 0.05)) - 0.12 * t**2
    curve = np.clip(curve, 0.0, 1.0)
    np.testing.assert_allclose(quality, curve * (1.0 - kind.truncation_loss * truncated), rtol=1e-12, atol=1e-15)
    assert np.max(curve - quality) < 0.002  # what the cap of 1,012 tokens costs, at most


def test_the_mean_task_passes_by_the_published_points_within_their_noise(gsm8k_small: Scenario) -> None:
    points = [{"temperature": t, "max_tokens": 1012, "top_p": 1} for t in PUBLISHED]
    ids = [gsm8k_small.lattice.action_id(point) for point in points]
    quality = gsm8k_small.parts()[0].quality[gsm8k_small.population.task == 0][:, ids].mean(axis=0)
    accuracy = np.array(list(PUBLISHED.values()))
    error = np.sqrt(accuracy * (1.0 - accuracy) / PUBLISHED_PROBLEMS)  # .013; 0 where no answer was right
    # two standard errors; .01 where the published share is zero and has none
    assert np.all(np.abs(quality - accuracy) <= np.maximum(2.0 * error, 0.01))


@pytest.mark.parametrize("drift", [(), SWAP], ids=["as it is", "after a drift"])
def test_flat_null_is_flat_in_reward_for_every_task_and_action(drift: Drifts) -> None:
    table = world_of("flat_null", drift).table(t=1000)
    assert table.shape == (256, 840)
    assert np.ptp(table, axis=1).max() <= (0.0 if not drift else 1e-15)
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
    parts, table = gsm8k_small.parts()
    rows = np.flatnonzero(gsm8k_small.population.task == 1)
    at = int(gsm8k_small.baseline[1])
    best = {gsm8k_small.lattice.parameters(int(table[i].argmax()))["temperature"] for i in rows}
    assert np.std(parts.quality[rows, at]) > 0.05
    assert np.std(parts.output_tokens[rows, at]) > 30.0
    assert len(best) >= 3


def test_equal_structure_is_one_world_whatever_the_numbers(gsm8k_small: Scenario, flat_null: Scenario) -> None:
    assert gsm8k_small.world is flat_null.world
    shapes = [jax.tree.map(np.shape, s.params) for s in (gsm8k_small, flat_null)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("types", [[], [TaskType(name="a"), TaskType(name="a")]])
def test_a_world_needs_task_types_of_distinct_names(types: Sequence[TaskType]) -> None:
    with pytest.raises(
        ValueError, match=r"world\.task_types has the names \[.*\], need at least one task type, each name"
    ):
        build(Params(task_types=list(types)))


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (Baseline(model="large"), r"max_tokens = 512 is not on the grid, the nearest value is 256"),
        (replace(BUSY.baseline, model="lrge"), r"model = 'lrge', need one of small, large"),
    ],
)
def test_a_baseline_off_the_grid_is_refused_by_name(baseline: Baseline, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(replace(BUSY, baseline=baseline))


def test_a_drift_that_this_population_cannot_follow_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"drift\.NAME\.toward: got 'cod', .*; did you mean 'code'\?"):
        build(BUSY, drift=(DriftParams(task_mix=0.5, toward="cod"),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": {"quality": float("nan")}}, r"^world\.reward\.quality: got nan, need a number .*finite"),
        ({"reward": {"latency": -0.1}}, r"^world\.reward\.latency: got -0\.1, need a number >= 0\.0"),
        ({"noise": {"kind": "gaussian", "sd": -1}}, r"^world\.noise\.sd: got -1\.0, need a number > 0\.0"),
        ({"levels": 0}, r"^world\.levels: got 0, need an int >= 1 and <= 16"),
        ({"levels": 17}, r"^world\.levels: got 17, need an int >= 1 and <= 16"),
        ({"replays": 5}, r"^world\.replays: got 5, need an int >= 0 and <= 4"),
        ({"replays": -1}, r"^world\.replays: got -1, need an int >= 0"),
        (
            {"service": {"cold_low_ms": 500.0, "cold_high_ms": 100.0}},
            r"^world\.service: .*cold_high_ms = 100, need at least cold_low_ms = 500",
        ),
        (
            {"task_types": [{"between": 1.5}]},
            r"^world\.task_types.*between: got 1\.5, need a number >= 0\.0 and <= 1\.0",
        ),
        ({"task_types": [{"reward": {"cost": float("nan")}}]}, r"^world\.task_types.*reward\.cost: got nan"),
        ({"models": {"a": {"qualty_factor": 1.0}}}, r"^world\.models\.a\.qualty_factor: .*mean 'quality_factor'\?"),
        ({"lattice": {"temprature": {}}}, r"^world\.lattice\.temprature: .*did you mean 'temperature'\?"),
    ],
)
def test_a_world_that_makes_no_sense_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(change, Params, Spot("world", {}, ()))
