"""The lattice of a fitted preset: temperatures, values of max_tokens, top_p, and the baseline on them.

Temperatures run from 0 to 2 (or to the recorded ones, if higher); max_tokens covers the
recorded lengths with a tenth to spare; what was recorded on an even grid keeps that grid.
"""

import math
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.calibration.outcome_table import Outcomes

__all__ = ["Grid", "grids_of"]

Floats = NDArray[np.float64]
STEPS = (25, 50, 100, 200, 250, 500, 1000, 2000, 2500, 5000, 10_000, 50_000, 100_000)
MOST_VALUES = 20  # of max_tokens
COVERED = 0.99  # of the recorded lengths lie below the largest max_tokens, with a tenth to spare
LEAST_TOP = 100  # tokens: the usual hard limits allow 64 and more
HOTTEST = Decimal(2)


class Grid(NamedTuple):
    """One axis of the lattice and its baseline, as decimal strings."""

    start: str
    stop: str
    step: str
    baseline: str

    def holds(self, value: float) -> bool:
        """Whether a number is a point of the grid."""
        number, start, step = Decimal(f"{value:.9g}"), Decimal(self.start), Decimal(self.step)
        return start <= number <= Decimal(self.stop) and (number - start) % step == 0


def grids_of(table: Outcomes) -> dict[str, Grid]:
    """Axes that hold what was recorded: temperature, max_tokens, top_p."""
    return {
        "temperature": _temperatures(_recorded(table, "temperature")),
        "max_tokens": _caps(table),
        "top_p": _nuclei(_recorded(table, "top_p")),
    }


def _recorded(table: Outcomes, part: str) -> Floats:
    values = table.parts[part]
    return values[np.isfinite(values)]


def _usual(values: Floats, near: float) -> float:
    """The most frequent value; of several as frequent the one next to `near`; `near` if there is none."""
    if not values.size:
        return near
    distinct, count = np.unique(values, return_counts=True)
    most = distinct[count >= 0.99 * count.max()]
    return float(most[np.argmin(np.abs(most - near))])


def _temperatures(seen: Floats) -> Grid:
    hundredths = np.rint(np.unique(seen) * 100).astype(int)
    step = Decimal("0.05") if np.any(hundredths % 10) and not np.any(hundredths % 5) else Decimal("0.1")
    top = max(HOTTEST, math.ceil(Decimal(f"{seen.max() if seen.size else 0:.9g}") / step) * step)
    home = round(Decimal(f"{_usual(seen, 1.0):.9g}") / step) * step
    return Grid("0.0", str(top.quantize(step)), str(step), str(home.quantize(step)))


def _nuclei(seen: Floats) -> Grid:
    if np.unique(seen).size < 2:
        home = f"{_usual(seen, 1.0):.9g}"
        return Grid(home, home, "0.1", home)
    step = Decimal("0.1") if np.allclose(seen * 10, np.rint(seen * 10)) else Decimal("0.05")
    low = max(Decimal(f"{seen.min():.9g}") // step * step, step)
    usual = max(round(Decimal(f"{_usual(seen, 1.0):.9g}") / step) * step, low)
    return Grid(str(low), "1.0", str(step), str(usual))


def _caps(table: Outcomes) -> Grid:
    """Values of max_tokens: the recorded ones if they are even, else round steps through the baseline."""
    seen, lengths = np.unique(_recorded(table, "max_tokens")), _recorded(table, "output_tokens")
    if seen.size > 1 and np.all(seen == np.rint(seen)):
        step = int(np.gcd.reduce(np.diff(seen).astype(np.int64)))
        home = int(_usual(_recorded(table, "max_tokens"), float(seen[-1])))
        if (seen[-1] - seen[0]) / step < 4 * MOST_VALUES:
            return Grid(str(int(seen[0])), str(int(seen[-1])), str(step), str(home))
    covered = 1.1 * float(np.quantile(lengths, COVERED)) if lengths.size else 512.0
    top = max(LEAST_TOP, math.ceil(max(covered, float(seen[-1]) if seen.size else 0.0)))
    step = next((step for step in STEPS if top <= MOST_VALUES * step), STEPS[-1])
    home = int(_usual(_recorded(table, "max_tokens"), 0.0)) or -(-top // step) * step
    start = home % step or step
    stop = start + -(-max(top - start, 0) // step) * step
    return Grid(str(start), str(stop), str(step), str(home))
