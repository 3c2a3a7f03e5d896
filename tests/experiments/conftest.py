"""A small made-up run: the shape of a real one, numbers drawn from simple curves."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.calibration.charts import CELLS
from experiments.results import Claim, Results, Summary, load_results, write_summary

POLICIES = {"fixed": 0.0, "uniform": 0.1, "epsilon_greedy": 0.6, "linucb": 0.85, "thompson": 1.0}
RULES = ("improve", "two_sample")
TASKS = {"bugfix": (0.62, 0.78), "refactor": (0.55, 0.66)}  # value at the start, oracle
ESTIMATORS = {"ips": 1.0, "snips": 0.8, "direct": 0.5, "doubly_robust": 0.45}
HORIZON, SEEDS = 200, 256
WORLD = "gsm8k_small"


def make_results() -> Results:
    """5 policies x 2 rules x 2 task types x 200 evaluations, 4 estimators on two log sizes."""
    results, rng = Results(), np.random.default_rng(0)
    for policy, skill in POLICIES.items():
        for rule in RULES:
            _add_curves(results, policy, rule, skill * (1.0 if rule == "improve" else 0.7))
    for measure, column in (("start", 0), ("oracle", 1)):
        values = [pair[column] for pair in TASKS.values()]
        results.extend(_at("simulation", measure) | {"task": list(TASKS), "value": values})
    for estimator, spread in ESTIMATORS.items():
        for n in (200, 2000):
            _add_estimates(results, rng, estimator, n, spread)
    _add_gate(results)
    _add_propensities(results, rng)
    _add_calibration(results)
    speed = {"measure": ["compile_seconds", "decisions_per_second"], "value": [6.1, 310_000.0]}
    results.extend({"section": "speed", "world": WORLD} | speed)
    return results


def make_summary() -> Summary:
    """A verdict with three claims: one that holds, one that fails, one only reported."""
    claims = (
        Claim("Thompson sampling converges by 200 evaluations (bugfix)", "97.3 %", ">= 90 %",
              "lower 95 % bound 94.9 %", True),
        Claim("Coverage of doubly robust intervals at n = 2,000", "0.962", "0.93 to 0.97",
              "0.962 +- 0.003 (Monte Carlo)", True),
        Claim("The gate refuses every candidate on flat_null", "2 of 1,000 approved", "0 approved",
              "[0.0002, 0.0072]", False),
        Claim("Decisions per second after compilation", "310,000", "", "", None),
    )  # fmt: skip
    return Summary(
        experiment="vet",
        verdict="refused",
        reasons=(
            "thompson: the lower bound of the gain is -0.004, below 0 (200 decisions judged)",
            "linucb: insufficient support, ESS 31 of 200 rows <needs 50>",
        ),
        claims=claims,
        files=("config.yaml", "figures/convergence.svg", "results.parquet", "summary.json"),
        versions={"python": "3.11.7", "numpy": "2.4.6"},
        timings={"simulate": 5.2, "evaluate": 9.1},
    )


def make_run(root: Path) -> Path:
    """A finished run's folder below `root`, without report or figures."""
    run = root / "outputs" / "vet" / "2025-11-23_08-30-00"
    make_results().write(run)
    write_summary(run, make_summary())
    config = {"horizon": HORIZON, "seeds": SEEDS, "master_seed": 0, "precision": "float64"}
    lines = [f"{name}: {value}\n" for name, value in config.items()]
    (run / "config.yaml").write_text("".join(lines) + f"world:\n  name: {WORLD}\n")
    return run


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The measurements of the made-up run, read back from its file. Do not change it."""
    folder = tmp_path_factory.mktemp("run")
    make_results().write(folder)
    return load_results(folder)


@pytest.fixture(scope="session")
def one_world(table: pd.DataFrame) -> pd.DataFrame:
    """What was measured in the main world."""
    return table[table["world"] == WORLD]


@pytest.fixture(scope="session")
def summary() -> Summary:
    """The made-up run's summary."""
    return make_summary()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run's folder, without report or figures."""
    return make_run(tmp_path)


def _at(section: str, measure: str) -> dict[str, object]:
    return {"section": section, "measure": measure, "world": WORLD}


def _add_curves(results: Results, policy: str, rule: str, skill: float) -> None:
    t = np.arange(1, HORIZON + 1)
    where = {"policy": policy, "rule": rule}
    closed = skill * (1 - np.exp(-t / 45.0))  # share of the gap to the oracle that is closed
    gap = float(np.mean([best - start for start, best in TASKS.values()]))
    explored = 0.03 if policy == "uniform" else 0.01 * skill
    regret = np.cumsum((1 - closed) * gap + explored)
    band = 0.02 * np.sqrt(t)
    curve = {"t": t, "value": regret, "lo": regret - band, "hi": regret + band}
    results.extend(_at("simulation", "regret") | where | curve)
    for task, (start, best) in TASKS.items():
        deployed = start + closed * (best - start)
        band = 0.004 + 0.01 * closed * (1 - closed)
        curve = {"t": t, "value": deployed, "lo": deployed - band, "hi": deployed + band}
        results.extend(_at("simulation", "deployed") | where | {"task": task} | curve)
        share = [_share(skill, n) for n in (50, 100, 200)]
        lo = [max(0.0, s - 1.645 * math.sqrt(s * (1 - s) / SEEDS) - 1 / SEEDS) for s in share]
        reached = {"task": task, "n": [50, 100, 200], "value": share, "lo": lo}
        results.extend(_at("convergence", "reached") | where | reached)


def _share(skill: float, n: int) -> float:
    return round(skill**2 * (1 - math.exp(-n / 60)) * SEEDS) / SEEDS


def _add_estimates(results: Results, rng: np.random.Generator, estimator: str, n: int, spread: float) -> None:
    where = {"policy": "softmax", "estimator": estimator, "n": n}
    n_logs, truth = 400, 0.71
    rmse = spread / math.sqrt(n)
    bias = rmse / math.sqrt(n_logs) * rng.normal() + (0.004 if estimator == "direct" else 0.0)
    coverage = {"ips": 0.93, "snips": 0.945, "direct": 0.88, "doubly_robust": 0.953}[estimator]
    coverage_error = math.sqrt(coverage * (1 - coverage) / n_logs)
    columns = {
        "measure": ["value", "truth", "bias", "rmse", "coverage"],
        "value": [truth + bias, truth, bias, rmse, coverage],
        "stderr": [rmse / math.sqrt(n_logs), 0.0, rmse / math.sqrt(n_logs), 0.02 * rmse,
                   coverage_error],
    }  # fmt: skip
    results.extend({"section": "ope", "world": WORLD} | where | columns)


def _add_gate(results: Results) -> None:
    for world, gain in ((WORLD, 0.031), ("flat_null", 0.0004)):
        columns = {
            "policy": ["thompson", "linucb"],
            "value": [gain, gain * 0.8],
            "stderr": [0.009, 0.012],
        }
        where = {"section": "gate", "world": world, "n": 2000}
        results.extend(where | {"measure": "difference"} | columns)
        lower = [gain - 1.96 * 0.009, gain * 0.8 - 1.96 * 0.012]
        bound = {"policy": ["thompson", "linucb"], "value": lower}
        results.extend(where | {"measure": "lower_bound"} | bound)
        ess = {"policy": ["thompson", "linucb"], "value": [512.0, 431.0]}
        results.extend(where | {"measure": "ess"} | ess)


def _add_propensities(results: Results, rng: np.random.Generator) -> None:
    for policy in POLICIES:
        for measure, cells in (("z_action", 60), ("z_slot", 25)):
            columns = {"policy": policy, "n": np.arange(cells), "value": rng.normal(size=cells)}
            results.extend(_at("propensity", measure) | columns)


def _add_calibration(results: Results) -> None:
    cells = {"task": "bugfix", "n": np.arange(3), "value": np.array([0.1, 0.5, 0.9])}
    for measure in (measure for measures in CELLS.values() for measure in measures):
        results.extend(_at("world", measure) | cells)
