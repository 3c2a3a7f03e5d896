"""Which pairs of estimator and interval held where: what the gate may rest a decision on.

The certification (`experiment=ope_validation`) judges every pair against known truth, in six regimes
and at three log sizes. A pair *held* in a regime at a size if in every world, and over all of them
together, the two-sided 95 % interval covers at least 93 %, and both one-sided 95 % bounds err at most
6 % of the time, each up to two Monte Carlo standard errors. `certified.json` lists the pairs that did.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["DIFFERENCE", "REGIMES", "Held", "held", "sizes"]

REGIMES = ("iid", "adaptive", "drift", "misspecified_reward", "misspecified_propensity", "deficient_support")
DIFFERENCE = "difference"  # what the gate judges: doubly robust, target minus baseline
FILE = Path(__file__).with_name("certified.json")


class Held(NamedTuple):
    """Whether a pair may be relied on, and why or why not in a sentence."""

    holds: bool
    reason: str


@cache
def _pairs() -> dict[str, dict[int, frozenset[tuple[str, str]]]]:
    listed = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        regime: {int(n): frozenset((estimator, interval) for estimator, interval in pairs) for n, pairs in by_n.items()}
        for regime, by_n in listed.items()
    }


def sizes(regime: str) -> tuple[int, ...]:
    """Log sizes at which a regime was measured, rows, ascending.

    Raises:
        ValueError: no such regime.
    """
    if regime not in _pairs():
        raise ValueError(f"regime = {regime!r}, need one of {', '.join(_pairs())}")
    return tuple(sorted(_pairs()[regime]))


def held(estimator: str, interval: str, *, regime: str, n: int) -> Held:
    """Whether a pair held in a regime at the measured log sizes on either side of n.

    Args:
        estimator: the name of its yaml, or `DIFFERENCE`.
        interval: the name of its yaml.
        regime: one of `REGIMES`.
        n: rows of the log. Below the smallest measured size nothing holds; above the largest, what
            held at the largest: there the normal approximation only gets better, as long as the regime is.

    Raises:
        ValueError: no such regime, or n < 1.
    """
    measured, pair = sizes(regime), f"{estimator} with interval {interval}"
    if n < 1:
        raise ValueError(f"n = {n}, need >= 1 row")
    if n < measured[0]:
        return Held(False, f"{n:,} rows are fewer than the {measured[0]:,} at which {regime} logs were measured")
    around = {max(m for m in measured if m <= n), min((m for m in measured if m >= n), default=measured[-1])}
    failed = [m for m in sorted(around) if (estimator, interval) not in _pairs()[regime][m]]
    if failed:
        return Held(False, f"{pair} did not hold on {regime} logs of {_told(failed)} rows")
    beyond = f", the most that was measured (asked: {n:,})" if n > measured[-1] else ""
    return Held(True, f"{pair} held on {regime} logs of {_told(sorted(around))} rows{beyond}")


def _told(found: list[int]) -> str:
    return " and ".join(f"{n:,}" for n in found)
