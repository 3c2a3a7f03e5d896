"""From rows to estimates: check, table, look up, sum, finish; in blocks, so that memory stays small.

`summarise` passes once over the rows for any number of estimators; its sums merge over shards and
machines. `finish` gives them a value and an interval. `estimate` is both, for one log in memory.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple, Protocol

import numpy as np

from envs.targets import function_of
from evaluators.rows import Estimate, Rows, check, check_shapes, check_values, typed
from evaluators.scores import RowScores, basis_of, join_scores, row_scores
from evaluators.sums import Sums, WeightColumns, merge, summed, weight_columns, weight_sums

BLOCK_ENTRIES = 2**16  # of a (rows, slots) table: what a core's cache holds a few times over
STRIDE = 2**13  # rows whose scores are summed at once


class Estimator(Protocol):
    """A plug-in of `evaluators/estimators/`: every one has these two, and numbers of its own."""

    @property
    def confidence(self) -> float:
        """Two-sided confidence of the interval."""

    @property
    def interval(self) -> object:
        """Params of a file in `evaluators/intervals/`."""


def summarise(estimators: Mapping[str, Estimator], rows: Rows, *, keep: bool | None = None) -> dict[str, Sums]:
    """Sums of every estimator in one pass over the rows.

    Args:
        estimators: by name.
        rows: one target on one log; checked here.
        keep: hold the scores in memory; None: where an estimator's interval needs them.

    Returns:
        Sums per name; merge those of several shards with `sums.merge`.

    Raises:
        ValueError: as `rows.check`, or an estimator lacks what it needs of the rows.
        TypeError: as `rows.check`.
    """
    rows = typed(rows)
    check_shapes(rows)
    n = rows.reward.size
    found: dict[str, list[Sums]] = {name: [] for name in estimators}
    for begin in range(0, n, STRIDE):
        stretch = rows.part(begin, begin + STRIDE)
        for name, added in _summed(estimators, stretch, whole=rows, keep=keep).items():
            found[name].append(added)
    return {name: reduce(merge, shards) for name, shards in found.items()}


def summarise_logs(
    estimators: Mapping[str, Estimator], rows: Rows, *, n_logs: int, keep: bool | None = None
) -> dict[str, Sums]:
    """The same for many logs of equal length that stand one after another, each summed by itself.

    Args:
        estimators: by name.
        rows: n_logs x n rows, without clusters.
        n_logs: how many logs.
        keep: as `summarise`.

    Raises:
        ValueError: as `summarise`, or rows that do not divide into n_logs.
    """
    if rows.reward.size % n_logs:
        raise ValueError(f"{rows.reward.size} rows, need a multiple of n_logs = {n_logs}")
    rows = check(rows)
    scored = _scored(estimators, rows)
    weights = weight_sums(scored.weights, n_logs=n_logs)
    return {
        name: summed(scored.scores[name].folded(n_logs), weights, rows=rows, keep=_held(params, keep))
        for name, params in estimators.items()
    }


def _summed(estimators: Mapping[str, Estimator], stretch: Rows, *, whole: Rows, keep: bool | None) -> dict[str, Sums]:
    """Sums of a stretch of rows, looked up block by block: a block's tables fit in a core's cache."""
    n, k = stretch.reward.size, stretch.behavior.shape[1]
    size = max(BLOCK_ENTRIES // k, 64) if stretch.row is None else n
    blocks = []
    for begin in range(0, n, size):
        block = stretch.part(begin, begin + size)
        _check_block(block, whole)
        blocks.append(_scored(estimators, block))
    weights = weight_sums(_joined([block.weights for block in blocks]))
    found = {}
    for name, params in estimators.items():
        scores = join_scores([block.scores[name] for block in blocks])
        found[name] = summed(scores, weights, rows=stretch, keep=_held(params, keep))
    return found


def _joined(columns: Sequence[WeightColumns]) -> WeightColumns:
    return columns[0] if len(columns) == 1 else WeightColumns(*map(np.concatenate, zip(*columns, strict=True)))


def _held(params: Estimator, keep: bool | None) -> bool:
    return "scores" in needs_of(params.interval) if keep is None else keep


def _check_block(block: Rows, whole: Rows) -> None:
    """Check while the block is in the cache; what is refused is named by its place in the whole."""
    try:
        check_values(block)
    except ValueError:
        check_values(whole)
        raise


class _Scored(NamedTuple):
    weights: WeightColumns
    scores: dict[str, RowScores]


def _scored(estimators: Mapping[str, Estimator], rows: Rows) -> _Scored:
    basis, found = basis_of(rows), {}
    for name, params in estimators.items():
        table = function_of(params, "table")(params, rows, basis.weight)
        found[name] = row_scores(table, rows, basis, has_design="design" in needs_of(params.interval))
    return _Scored(weight_columns(rows, basis), found)


def needs_of(interval: object) -> frozenset[str]:
    """What an interval reads beyond sums of scores: `design`, `scores`, or neither."""
    found: frozenset[str] = function_of(interval, "needs")(interval)
    return found


def finish(params: Estimator, sums: Sums) -> Estimate:
    """Value and interval from (merged) sums.

    Raises:
        ValueError: confidence outside (0, 1), or the interval lacks what it needs of the sums.
    """
    return finish_as(params.interval, sums, confidence=params.confidence)


def finish_as(interval: object, sums: Sums, *, confidence: float) -> Estimate:
    """The same by an interval of one's own choice.

    Args:
        interval: Params of a file in `evaluators/intervals/`.
        sums: of one log, or of many: then every figure is an array.
        confidence: two-sided; the ends at 0.90 are one-sided 95 % bounds.

    Raises:
        ValueError: as `finish`.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence:.6g}, need 0 < confidence < 1, e.g. 0.95")
    found = function_of(interval, "bounds")(interval, sums, confidence)
    value, lo, hi = (_plain(figure + sums.origin) for figure in (found.value, found.lo, found.hi))
    weights = sums.weights
    return Estimate(value, _plain(found.stderr), lo, hi, _plain(weights.ess()), _plain(weights.largest), weights.n)


def _plain(figure: Any) -> Any:
    """A float where there is one log, an array where there are many."""
    array = np.asarray(figure, np.float64)
    return float(array) if array.ndim == 0 else array


def estimate(params: Estimator, rows: Rows) -> Estimate:
    """One estimator on one log in memory.

    Args:
        params: which estimator, its interval and its confidence.
        rows: one target on one log.

    Raises:
        ValueError: as `summarise` and `finish`.
        TypeError: as `rows.check`.
    """
    return finish(params, summarise({"one": params}, rows)["one"])
