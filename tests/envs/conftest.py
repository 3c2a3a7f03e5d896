"""Worlds and tables that several tests of this folder read."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs import presets
from envs.drift import Params as DriftParams
from envs.lattice import AxisRange, LatticeRanges
from envs.population import Effects, TaskType
from envs.recorded.recording import Columns
from envs.reward import RewardWeights
from envs.surfaces import replay
from envs.surfaces.llm_outcome import Params as WorldParams
from envs.world import Scenario

HEADER = ("model", "problem", "temperature", "score", "tokens", "length", "error")
Row = tuple[Any, ...]


@pytest.fixture(scope="session")
def gsm8k_small() -> Scenario:
    """The default preset, as it is in configs/world."""
    return presets.scenario("gsm8k_small")


@pytest.fixture(scope="session")
def flat_null() -> Scenario:
    """The control in which no parameter matters."""
    return presets.scenario("flat_null")


@pytest.fixture(scope="session")
def tiny() -> WorldParams:
    """Two task types of two tasks each on four temperatures and two caps; every price in the reward."""
    return WorldParams(
        name="tiny",
        lattice=LatticeRanges(temperature=AxisRange("0", "1.5", "0.5"), max_tokens=AxisRange("128", "512", "384")),
        task_types=[TaskType(name="short", length_median_1=100.0), TaskType(name="long", q0=0.8, weight=3.0)],
        effects=Effects(0.1, 0.1, 0.2, 0.1, 0.1),
        reward=RewardWeights(1.0, 80.0, 0.005, 0.05, 0.05, 0.1),
        contexts_per_type=2,
    )


@pytest.fixture(scope="session")
def answers() -> list[Row]:
    """Models `b` and `a`, 8 problems, T = 0.0, 0.5, 1.0 (`b` also 1.5), two answers each.

    The score is ((7 problem + 3 place of T + 5 copy + [model is b]) mod 5) / 4.
    """
    return [
        (model, f"p{problem}", t / 10, score, 100 + problem, 40 * (t + copy + 1), "False")
        for model in ("b", "a")
        for problem in range(8)
        for place, t in enumerate((0, 5, 10, 15) if model == "b" else (0, 5, 10))
        for copy in (0, 1)
        for score in [((7 * problem + 3 * place + 5 * copy + (model == "b")) % 5) / 4]
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows as CSV and returns the path."""

    def to_csv(rows: Sequence[Row], *, header: Sequence[str] = HEADER, name: str = "answers.csv") -> Path:
        lines = [",".join(map(str, row)) for row in (header, *rows)]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path / name

    return to_csv


@pytest.fixture(scope="session")
def columns() -> Columns:
    """What the columns of `answers` hold."""
    return Columns(
        problem="problem",
        temperature="temperature",
        quality="score",
        model="model",
        input_tokens="tokens",
        output_tokens="length",
        failure="error",
    )


@pytest.fixture
def replayed(columns: Columns) -> Callable[..., Scenario]:
    """The scenario of a table, with settings changed at will."""

    def build(path: Path, *, drift: Sequence[DriftParams] = (), **changes: Any) -> Scenario:
        params = replace(replay.Params(str(path), columns), **changes)
        return replay.build(params, drift=drift)

    return build
