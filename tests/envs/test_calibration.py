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
from envs.surfaces.llm_outcome import Model, Params, Service
from envs.targets import ConfigError

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
    assert got == pytest.approx(norm.sf(math.log(137 / 100) / 0.5), rel=1e-9)


def test_a_length_ratio_counts_failed_calls_as_empty():
    failing = replace(PLAIN.task_types[0], failing=1.0, failure_centre=1.5, failure_width=0.01)
    params = replace(PLAIN, task_types=[failing])
    assert simulated(params, record("length_ratio", temperature="1.5")) == pytest.approx(0.5)  # half of the calls fail


def test_latency_is_that_of_an_answer_of_the_stated_length():
    sd = (0.2, 0.1)
    cut = [norm.expect(lambda z, s=s: math.exp(s * np.clip(z, -3, 3))) for s in sd]
    got = simulated(PLAIN, record("latency_ms", at=50, model="large"))
    assert got == pytest.approx(100.0 * cut[0] + 50 * 2.0 * cut[1], rel=1e-6)


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
