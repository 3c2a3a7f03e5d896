"""Which estimators and intervals can run on this log: those asked for, tried on its first rows.

A log without the logger's whole distribution, a reward without a declared range, or a target known at the logged
action only leave some of them without what they need; what was left out or replaced is said.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from envs.targets import function_of
from evaluators.estimation import finish, needs_of, summarise
from evaluators.intervals import hall, hc3, t
from evaluators.rows import Rows
from evaluators.scores import importance
from experiments.evaluating.contrast import Difference, Own

__all__ = ["DIFFERENCE", "LOGGER", "Choice", "choose", "interval_word"]

LOGGER, DIFFERENCE = "logger", "difference "
KEPT_ROWS = 1_000_000  # scores that an interval may hold in memory: 50 MB of each estimator
FALLBACKS = (hall.Params(), hc3.Params(), t.Params())


class Choice(NamedTuple):
    """What runs."""

    estimators: dict[str, Any]  # asked for and possible, with `logger` and `difference NAME`
    ratios: dict[str, Any]
    notes: tuple[str, ...]


def choose(asked: Mapping[str, Any], sample: Rows, *, n: int, confidence: float = 0.95) -> Choice:
    """Try everything on a few rows.

    Args:
        asked: estimators by name.
        sample: the first rows of the log, as they will be read.
        n: usable rows of the whole log.
        confidence: of the logger's own interval.

    Raises:
        ConfigError: an interval that is no file of `evaluators/intervals/`; it is not replaced.
        ValueError: none of them can run.
    """
    for params in asked.values():
        needs_of(params.interval)
    estimators: dict[str, Any] = {LOGGER: Own(confidence=confidence)}
    ratios, notes = {}, []
    for name, params in asked.items():
        found, why = _possible(params, sample, n)
        if found is None:
            notes.append(f"Not run: {name} ({why}).")
            continue
        if found.interval != params.interval:
            notes.append(_replaced(name, found, params, why))
        estimators[name] = found
        if _is_ratio(found, sample):
            ratios[name] = found
        else:
            less, why = _possible(Difference(found, found.confidence, params.interval), sample, n)
            assert less is not None
            if less.interval != found.interval:
                notes.append(_replaced(DIFFERENCE + name, less, params, why))
            estimators[DIFFERENCE + name] = less
    if len(estimators) == 1:
        raise ValueError(f"no estimator can run on this log: {' '.join(notes)}")
    return Choice(estimators, ratios, tuple(notes))


def _possible(params: Any, sample: Rows, n: int) -> tuple[Any | None, str]:
    """The estimator with its own interval or the first that works, and why not its own."""
    why = ""
    for interval in (params.interval, *FALLBACKS):
        tried = replace(params, interval=interval)
        if n > KEPT_ROWS and "scores" in needs_of(interval):
            why = why or f"it keeps the scores of {n:,} rows in memory, at most {KEPT_ROWS:,} are"
            continue
        try:
            with np.errstate(all="ignore"):
                said = finish(tried, summarise({"tried": tried}, sample)["tried"])
        except ValueError as error:
            why = why or str(error)
            continue
        if not np.isnan(said.lo):
            return tried, why
        why = why or "it is unknown on this log"
    return None, why


def _is_ratio(params: Any, sample: Rows) -> bool:
    weight = importance(sample.target, sample.behavior)
    return bool(function_of(params, "table")(params, sample, weight).is_ratio)


def _replaced(name: str, found: Any, params: Any, why: str) -> str:
    return f"{name}: interval {interval_word(found.interval)} instead of {interval_word(params.interval)} ({why})."


def interval_word(interval: object) -> str:
    """The name of an interval's file."""
    return type(interval).__module__.rsplit(".", 1)[-1]
