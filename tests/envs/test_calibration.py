"""Every preset reproduces the numbers that it claims; the comparison itself is checked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from envs import presets
from envs.calibration import compare, simulated
from envs.lattice import AxisRange, LatticeRanges
from envs.population import TaskType
from envs.published import Published
from envs.surfaces.llm_outcome import Model, Params, Service, build
from envs.targets import ConfigError
from envs.traffic import Context
from envs.world import Noise

PLAIN = Params(
    name="plain",
    lattice=LatticeRanges(AxisRange("0", "1", "0.5"), AxisRange("512", "512", "1"), AxisRange("1", "1", "1")),
    task_types=[
        TaskType(
            name="one", q0=0.8, cliff=1.0, cliff_width=0.25, failure_floor=0.25, length_median_1=100.0, runaway=0.0
        ),
        TaskType(name="two", q0=0.4, cliff=20.0, between=0.75),
    ],
    models={"small": Model(), "large": Model(quality_factor=1.5, service=Service(first_token_ms=100.0, token_ms=2.0))},
    contexts_per_type=4,
)


def record(measure: str, **at: object) -> Published:
    return Published(measure, 0.0, "by hand", tolerance=1.0, **at)  # type: ignore[arg-type]  # the test's own keys


def test_quality_off_the_lattice_counts_failed_calls_as_wrong():
    fall = (1 / (1 + math.exp(-(1.0 - 0.7) / 0.25))) / (1 / (1 + math.exp(-1.0 / 0.25)))
    got = simulated(PLAIN, record("quality", task="one", temperature="0.7"))
    assert got == pytest.approx(0.75 * 0.8 * fall, rel=1e-12)
    assert simulated(PLAIN, record("failure", task="one")) == pytest.approx(0.25)


def test_a_number_of_one_model_is_told_of_that_model():
    small = simulated(PLAIN, record("quality", task="two", temperature="0"))
    large = simulated(PLAIN, record("quality", task="two", temperature="0", model="large"))
    assert [small, large] == pytest.approx([0.4, 0.6])


def test_truncation_is_asked_at_a_cap_that_no_lattice_holds():
    got = simulated(PLAIN, record("truncated", task="one", max_tokens="137"))
    assert got == pytest.approx(0.75 * norm.sf(math.log(137 / 100) / 0.5), rel=1e-9)  # a quarter of the calls fail


def test_a_length_ratio_counts_failed_calls_as_empty():
    failing = replace(PLAIN.task_types[0], failing=1.0, failure_centre=1.5, failure_width=0.01)
    params = replace(PLAIN, task_types=[failing])
    assert simulated(params, record("length_ratio", temperature="1.5")) == pytest.approx(0.5)  # half of the calls fail


def test_the_mean_time_to_the_first_token_has_its_cold_starts():
    cold = Service(
        first_token_ms=100.0, first_token_jitter=0.2, cold_share=0.1, cold_low_ms=1000.0, cold_high_ms=3000.0
    )
    got = simulated(replace(PLAIN, models={}, service=cold), record("first_token_mean"))
    mean = 100.0 * norm.expect(lambda z: math.exp(0.2 * np.clip(z, -3, 3)))
    assert got == pytest.approx(mean + 0.1 * 2000.0, rel=1e-6)


def test_a_tail_of_the_first_token_is_that_of_the_log_normal_or_of_the_cold_starts():
    warm = replace(PLAIN, models={}, service=Service(first_token_ms=100.0, first_token_jitter=0.2))
    assert simulated(warm, record("first_token_quantile", at=0.95)) == pytest.approx(
        100 * math.exp(0.2 * 1.6449), rel=1e-3
    )
    cold = Service(first_token_ms=0.0, first_token_jitter=0.0, cold_share=0.1, cold_low_ms=1000.0, cold_high_ms=3000.0)
    got = simulated(replace(PLAIN, models={}, service=cold), record("first_token_quantile", at=0.95))
    assert got == pytest.approx(2000.0, rel=1e-3)  # the upper half of the tenth that waits


def test_the_tail_agrees_with_what_the_world_draws():
    params = presets.load("world", "summarise_short")
    assert isinstance(params, Params)
    here, rng = build(params), np.random.default_rng(5)
    each = params.service.token_ms
    waits = []
    for _ in range(4000):
        context = Context(np.int32(0), np.int32(0), here.population.features[0], np.int32(0))
        noise = Noise(rng.random(here.world.n_uniform), rng.standard_normal(here.world.n_normal))
        out, _ = here.world.outcome(here.params, np.int32(0), context, np.int32(0), noise=noise)
        jittered = each * math.exp(params.service.token_jitter * float(np.clip(noise.normal[2], -3, 3)))
        waits.append(float(out.latency_ms) - float(out.output_tokens) * jittered)
    told = [simulated(params, record("first_token_quantile", at=at)) for at in (0.5, 0.98)]
    # shares below the told quantiles: 4 standard errors of a share, a false alarm in 1 of 8,000 seeds
    for at, value in zip((0.5, 0.98), told, strict=True):
        assert np.mean(np.array(waits) <= value) == pytest.approx(at, abs=4 * math.sqrt(at * (1 - at) / 4000))


def test_the_variance_ratio_is_the_enumerated_one():
    m, steep, levels = 0.4, math.sqrt(0.75), np.arange(16)
    q = (1 - steep) * m + steep * np.clip(16 * m - levels, 0, 1)
    got = simulated(PLAIN, record("variance_ratio", task="two", temperature="0"))
    assert got == pytest.approx(m * (1 - m) / np.mean(q * (1 - q)), rel=1e-9)
    assert q.mean() == pytest.approx(m)


@pytest.mark.parametrize("word", ["task", "model"])
def test_an_unknown_task_or_model_is_refused_by_name(word):
    with pytest.raises(ConfigError, match=rf"world\.published\.{word}: got 'onne', need one of"):
        simulated(PLAIN, record("quality", **{word: "onne"}))


@pytest.mark.parametrize("name", presets.simulated())
def test_a_preset_reproduces_every_number_that_it_claims(name):
    params = presets.load("world", name)
    assert isinstance(params, Params)
    off = [(one.record, one.simulated) for one in compare(params) if not one.holds]
    assert not off


def test_a_preset_that_is_moved_no_longer_holds():
    params = presets.load("world", "satmath_rising")
    assert isinstance(params, Params)
    moved = replace(params, task_types=[replace(params.task_types[0], k_t=0.0)])
    assert sum(not one.holds for one in compare(moved)) >= 1
