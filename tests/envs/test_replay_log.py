"""`world=replay_log` reads the decision log as it is written, and says what a log cannot tell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from envs.surfaces import replay
from envs.surfaces.replay import split, truth
from envs.targets import ConfigError
from envs.world import Scenario
from evaluators.decisions import COLUMNS, DecisionLog
from evaluators.log import write_log
from experiments import exporting
from experiments.results import load_summary
from experiments.run import main
from experiments.settings import build as typed
from policies.masses import TOTAL
from tests.compiled import TWO_POLICIES

TEMPERATURES = np.array([0.7, 0.8, 0.9, 1.0])
MEANS = np.array([[0.6, 0.5, 0.55, 0.4], [0.3, 0.4, 0.5, 0.6]])
MASSES = np.array([1 / 4, 1 / 4, 1 / 8, 3 / 8])
Floats = NDArray[np.float64]
Build = Callable[..., Scenario]


def requests(rng: np.random.Generator, n: int, *, n_problems: int = 80) -> dict[str, Any]:
    """A logger that plays four temperatures at fixed rates: problem effects have standard deviation 0.1."""
    problem, slot = rng.integers(n_problems, size=n), rng.choice(4, size=n, p=MASSES)
    task = problem % 2
    effect = np.clip(rng.normal(scale=0.1, size=n_problems), -0.25, 0.25)[problem]
    quality = (rng.random(n) < MEANS[task, slot] + effect).astype(np.float64)
    return {"problem": problem, "slot": slot, "task": task, "quality": quality}


def log_of(rng: np.random.Generator, n: int, *, prefix: str = "r", model: str = "", **known: Any) -> DecisionLog:
    """The decision log of n requests."""
    made = requests(rng, n) | known
    slot, zeros = made["slot"], np.zeros(n)
    ids = np.tile(np.arange(4, dtype=np.int32), (n, 1))
    text = {"policy_digest": "digest", "prompt_hash": "hash", "fingerprint": "print", "model": model}
    columns: dict[str, Any] = {name: np.full(n, word, object) for name, word in text.items()}
    return DecisionLog(
        **columns,
        request_id=np.array([f"{prefix}-{i}" for i in range(n)], object),
        timestamp=np.datetime64("2026-01-01T00:00:00", "us") + np.arange(n).astype("timedelta64[s]"),
        context=np.zeros((n, 3)),
        task_type=np.array(["code", "prose"], object)[made["task"]],
        evaluation=np.arange(n, dtype=np.int32),
        centre=np.full(n, 3, np.int32),
        action_ids=ids,
        mask=np.ones((n, 4), np.bool_),
        masses=np.tile((MASSES * TOTAL).astype(np.int32), (n, 1)),
        uniform=np.zeros(n, np.int32),
        propensity=MASSES[slot],
        action_id=slot.astype(np.int32),
        temperature=TEMPERATURES[slot],
        max_tokens=np.full(n, 512, np.int64),
        top_p=np.ones(n),
        frequency_penalty=zeros,
        presence_penalty=zeros,
        output_tokens=zeros + 100.5,
        quality=made["quality"],
        latency_ms=zeros + 800.0,
        cost_usd=zeros + 1e-5,
        failure=zeros,
        truncated=zeros + 0.5,
        reward=made["quality"],
        cluster=made["problem"],
    )


@pytest.fixture
def read(root: Path) -> Build:
    """The world of the yaml, with settings changed at will."""

    def build(path: Path, **changes: Any) -> Scenario:
        node = OmegaConf.load(root / "configs" / "world" / "replay_log.yaml")
        assert isinstance(node, DictConfig)
        merged = OmegaConf.merge(node, {"path": str(path)}, changes)
        assert isinstance(merged, DictConfig)
        params = typed(merged, "world")
        assert isinstance(params, replay.Params)
        return replay.build(params)

    return build


def test_every_column_of_the_yaml_is_one_of_the_log(root: Path) -> None:
    columns = OmegaConf.load(root / "configs" / "world" / "replay_log.yaml").columns
    names = {column.name for column in COLUMNS.values()}
    assert {name for name in columns.values() if name is not None} <= names


def test_a_log_is_a_world_without_naming_a_column(read: Build, tmp_path: Path) -> None:
    write_log(tmp_path / "x.parquet", log_of(np.random.default_rng(0), 4000))
    got = read(tmp_path / "x.parquet")
    assert got.population.names == ("code", "prose") and got.lattice.values("temperature").tolist() == [
        *TEMPERATURES.tolist()
    ]
    assert got.recorded.all() and got.baseline.tolist() == [3, 3], "1.0 was played most often"
    assert len(got.population.task) == 40 and got.population.spec.models == ()
    assert got.parts()[0].truncated[0, 0] == 0.5 and got.parts()[0].output_tokens[0, 0] == 100.5
    assert any("80 problems were dealt at random into 20 groups" in note for note in got.notes)
    assert any("one propensity throughout a task type" in note for note in got.notes)
    halves = split(got)
    assert [len(half.population.task) for half in halves] == [20, 20]
    assert not set(halves.learn.population.cluster) & set(halves.judge.population.cluster)


def test_a_folder_of_logs_is_one_world(read: Build, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        write_log(tmp_path / f"{name}.parquet", log_of(rng, 2000, prefix=name))
    got = read(tmp_path)
    assert any("(2 files, sha256" in note and "4000 rows" in note for note in got.notes)
    write_log(tmp_path / "c.parquet", log_of(rng, 100, prefix="a"))
    with pytest.raises(ConfigError, match=r"world\.columns\.id: got 'a-0', .*row 1 of c\.parquet, 100 such rows"):
        read(tmp_path)
    assert any("100 with a repeated id" in note for note in read(tmp_path, skip_bad=True).notes)


def test_a_log_of_few_rows_for_each_group_says_what_is_lacking(read: Build, tmp_path: Path) -> None:
    write_log(tmp_path / "x.parquet", log_of(np.random.default_rng(2), 120))
    with pytest.raises(
        ConfigError, match=r"best covered of 'code' \(temperature 1\) have \d+ of 20 groups, \d+ of \d+"
    ):
        read(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", groups=4).recorded.any()
    with pytest.raises(ConfigError, match=r"world\.groups: got 3, need 0 \(a unit is a problem\), or at least 4"):
        read(tmp_path / "x.parquet", groups=3)


def test_a_designed_log_needs_no_groups(read: Build, tmp_path: Path) -> None:
    problem, slot = np.repeat(np.arange(10), 8), np.tile(np.arange(4), 20)
    known: dict[str, Any] = {
        "problem": problem,
        "slot": slot,
        "task": problem % 2,
        "quality": (problem + slot) % 3 / 2.0,
    }
    write_log(tmp_path / "x.parquet", log_of(np.random.default_rng(3), 80, **known))
    got = read(tmp_path / "x.parquet", groups=0, baseline={"temperature": "0.9"})
    assert got.recorded.all() and len(got.population.task) == 10
    want = [[np.mean([(p + s) % 3 / 2.0 for p in range(k, 10, 2)]) for s in range(4)] for k in (0, 1)]
    np.testing.assert_allclose(truth(got).mean, want, rtol=1e-12)


def test_logged_models_are_context_or_action(read: Build, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    write_log(tmp_path / "a.parquet", log_of(rng, 3000, prefix="a", model="large"))
    write_log(tmp_path / "b.parquet", log_of(rng, 2000, prefix="b", model="small"))
    with pytest.raises(ConfigError, match=r"one model per task type and problem; .*world\.model_is=action"):
        read(tmp_path, model_is="context")
    got = read(tmp_path)
    assert got.lattice.axes[-1].values == ("large", "small")
    assert any("the model is an action" in note for note in got.notes)
    assert got.lattice.parameters(int(got.baseline[0]))["model"] == "large"
    context = read(tmp_path, columns={"task_type": ["gen_ai.request.model", "guardband.task_type"]})
    assert context.population.names == ("large/code", "large/prose", "small/code", "small/prose")
    for model_is in ("auto", "action"):
        alone = read(tmp_path / "b.parquet", model_is=model_is)
        assert alone.lattice.axes[-1].values == (("default",) if model_is == "auto" else ("small",))


def test_a_value_that_was_never_played_leaves_no_uneven_steps(read: Build, tmp_path: Path) -> None:
    slot = np.random.default_rng(6).choice([0, 2, 3], size=3000)
    write_log(tmp_path / "x.parquet", log_of(np.random.default_rng(5), 3000, slot=slot))
    got = read(tmp_path / "x.parquet")
    assert got.lattice.values("temperature").tolist() == TEMPERATURES.tolist()
    assert got.recorded.tolist() == [[True, False, True, True]] * 2
    assert any("1 of the 4 values of temperature" in note for note in got.notes)


def test_the_truth_of_a_log_covers_the_means_it_was_drawn_from(read: Build, tmp_path: Path) -> None:
    """50 logs of other problems: 95 % intervals with 20 groups cover 8 means; groups are the errors' only source."""
    covered = []
    for seed in range(50):
        write_log(tmp_path / "x.parquet", log_of(np.random.default_rng(seed), 3000))
        mean, stderr = truth(read(tmp_path / "x.parquet", split_seed=seed))
        covered.append(np.abs(mean - MEANS) < 2.093 * stderr)  # t quantile, 19 degrees of freedom
    # 400 intervals, those of one log correlated (two task types): at most as few as 100 independent ones, standard
    # error .022; 4 of them below .95
    assert np.mean(covered) > 0.862
    assert np.mean(covered) < 0.999, "intervals that always cover say nothing"


@pytest.mark.slow
def test_the_log_of_a_run_over_several_models_is_a_world_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_figures", lambda _: [])
    monkeypatch.setattr(exporting, "write_report", lambda out: out / "report.html")
    words = ("horizon=10", "seeds=4", *TWO_POLICIES, "~experiment.policies.uniform", "experiment.ope_logs=2")
    words = (*words, "experiment.log_sizes=[100]", "experiment.gate_replications=0", "experiment.converged_by=[5]")
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["world=gpqa_models", *words, f"hydra.run.dir={first}"]) == 0
    played = np.unique(pq.read_table(first / "log").column("gen_ai.request.model").to_pylist())
    assert played.tolist() == ["mistral-7b", "mistral-large"]
    assert main(["world=replay_log", f"world.path={first / 'log'}", *words, f"hydra.run.dir={second}"]) == 0
    assert any("the model is an action" in note for note in load_summary(second).notes)
