"""Figures are of what they say: sizes to the byte, times of acts that took them, none invented."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies import bundle_bench
from policies.bundle import DIGEST_ONLY, BundleError, write_candidate
from policies.bundle_bench import measure, resident, told
from policies.digest import leaves
from policies.evidence import Evidence
from policies.frozen import FrozenPolicy, freeze_policy
from policies.release import Release
from tests.examples import LEARNERS, run_policy, small_world

EVIDENCE = Evidence(
    verdict="approved",
    reasons=("better than what is approved",),
    candidate="thompson",
    world="small",
    estimator="doubly_robust",
    interval="gate",
    regime="iid",
    estimate=0.1,
    standard_error=0.01,
    lower_bound=0.08,
    alpha=0.05,
    n=2000,
    ess=500.0,
    max_weight_share=0.01,
)
RELEASE = Release(name="answers", version="1.0.0", evidence=EVIDENCE)


def frozen(learner: str) -> FrozenPolicy:
    run = run_policy(LEARNERS[learner])
    return freeze_policy(small_world(), run.bounded, state=run.state.inner, approved=run.state.approved)


def measured(path: Path, learner: str) -> dict[str, Any]:
    write_candidate(path, frozen(learner), RELEASE)
    return measure(path, trust=DIGEST_ONLY, n_requests=10)


@pytest.mark.parametrize("learner", LEARNERS)
def test_sizes_are_those_on_disk_and_in_the_arrays(learner: str, tmp_path: Path) -> None:
    figures = measured(tmp_path / "bundle", learner)
    assert figures["file_bytes"] == {file.name: file.stat().st_size for file in (tmp_path / "bundle").iterdir()}
    size = sum(np.asarray(leaf).nbytes for leaf in leaves(frozen(learner).state).values())
    assert figures["state_bytes"]["all"] == size
    assert size <= 2 * figures["state_bytes"]["per_task_type"] <= size + 1  # two task types
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert set(figures["recommend_us"]) == {"short", "long"}


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_policy_without_a_posterior_has_no_time_of_confidence(learner: str, tmp_path: Path) -> None:
    policy = frozen(learner)
    has_posterior = policy.recommend({}, "short", "r-1").confidence is not None
    figures = measured(tmp_path / "bundle", learner)
    assert bool(figures["confidence_us"]) == has_posterior
    rows = dict(told(figures)["CPU time"])
    assert (rows["confidence"] == "none: no posterior") == (not has_posterior)


def test_cpu_time_is_counted_and_sleep_is_not() -> None:
    """Spinning for 4 ms of CPU time costs at least that; sleeping for 20 ms costs less than it lasts."""

    def spin(_i: int) -> None:
        end = time.process_time_ns() + 4_000_000
        while time.process_time_ns() < end:
            pass

    assert np.all(bundle_bench._cpu_us(spin, 3) >= 4000)
    assert np.all(bundle_bench._cpu_us(lambda _i: time.sleep(0.02), 3) < 20_000)


def test_acts_are_told_apart_by_their_number() -> None:
    seen: list[int] = []
    assert bundle_bench._cpu_us(seen.append, 4).shape == (4,)
    assert seen == [0, 1, 2, 3]


def test_percentiles_are_values_that_were_measured() -> None:
    """Of 1..100 the median by inverted ranks is 50, the 99th percentile 99, the mean 50.5."""
    assert bundle_bench._spread(np.arange(1.0, 101.0)) == {"p50": 50.0, "p99": 99.0, "mean": 50.5}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell the peak alone")
def test_resident_memory_grows_with_what_is_held() -> None:
    before, which = resident()
    held = np.ones(8_000_000)  # 64 MB, written to
    assert which == "now"
    assert resident()[0] - before > 0.9 * held.nbytes


def test_threads_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in bundle_bench.THREADS:
        monkeypatch.delenv(name, raising=False)
    free = told(measured(tmp_path / "free", "uniform"))
    assert "set OMP_NUM_THREADS=1" in dict(free["measured"])["threads"]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pinned = told(measured(tmp_path / "pinned", "uniform"))
    assert dict(pinned["measured"])["threads"] == "OMP_NUM_THREADS=1"


def test_a_bundle_that_does_not_load_is_not_measured(tmp_path: Path) -> None:
    write_candidate(tmp_path / "bundle", frozen("uniform"), RELEASE)
    with open(tmp_path / "bundle" / "policy.json", "ab") as stream:
        stream.write(b" ")
    with pytest.raises(BundleError, match=r"policy\.json"):
        measure(tmp_path / "bundle", trust=DIGEST_ONLY)
    assert os.listdir(tmp_path) == ["bundle"]
