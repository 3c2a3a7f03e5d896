"""Made-up answers of known truth, which the tests of a calibration fit: one task type unless said otherwise.

The formulae are written out here once more, so that a slip in the fit cannot hide in the test.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Q0, CLIFF, WIDTH, LEVELS, BETWEEN = 0.6, 1.2, 0.25, 16, 0.7
FLOOR, CENTRE, FAIL_WIDTH = 0.02, 1.5, 0.05
MEDIANS, SDS, SHARE = (100.0, 400.0), (0.5, 0.1), 0.7
FIRST_MS, TOKEN_MS, FIRST_SD, TOKEN_SD = 400.0, 12.0, 0.3, 0.1
HEATS = tuple(round(0.1 * i, 1) for i in range(18))


def sigmoid(x):
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-np.asarray(x)))


def quality(heat):
    """Mean quality of calls that work."""
    return Q0 * sigmoid((CLIFF - heat) / WIDTH) / sigmoid(CLIFF / WIDTH)


def failure(heat):
    """Share of calls that fail."""
    return FLOOR + (1 - FLOOR) * sigmoid((heat - CENTRE) / FAIL_WIDTH)


def lengths(rng, n):
    """(n,) log-normal mixture."""
    second = rng.random(n) >= SHARE
    return np.where(second, MEDIANS[1], MEDIANS[0]) * np.exp(np.where(second, *SDS[::-1]) * rng.normal(size=n))


def hard(mean, level):
    """Mean quality of a problem of a difficulty level."""
    steep = np.sqrt(BETWEEN)
    return (1 - steep) * mean + steep * np.clip(LEVELS * mean - level, 0, 1)


def table(*, n_problems=160, heats=HEATS, seed=0) -> dict[str, np.ndarray]:
    """Every problem once at every temperature, as columns."""
    rng = np.random.default_rng(seed)
    problem, heat = (x.reshape(-1) for x in np.meshgrid(np.arange(n_problems), np.array(heats), indexing="ij"))
    n = len(heat)
    failed = rng.random(n) < failure(heat)
    right = rng.random(n) < hard(quality(heat), problem % LEVELS)
    tokens = np.maximum(np.rint(lengths(rng, n)), 1)
    first, each = (np.exp(sd * rng.normal(size=n)) for sd in (FIRST_SD, TOKEN_SD))
    return {
        "item": problem,
        "T": heat,
        "score": np.where(failed, 0, right).astype(int),
        "error": failed,
        "tokens": np.where(failed, 0, tokens).astype(int),
        "prompt": 300 + problem,
        "wait": FIRST_MS * first + TOKEN_MS * tokens * each,
    }


def write(path: Path, columns: Mapping[str, Any]) -> Path:
    """A CSV file of some columns."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


COLUMNS = {
    "problem": "item",
    "temperature": "T",
    "quality": "score",
    "failure": "error",
    "output_tokens": "tokens",
    "input_tokens": "prompt",
    "latency_ms": "wait",
}
