"""From rows to estimates: check, table, look up, sum, finish; in blocks, so that memory stays small.

`summarise` passes once over the rows for any number of estimators; its sums merge over shards and
machines. `finish` gives them a value and an interval. `estimate` is both, for one log in memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import reduce
from typing import Any, NamedTuple, Protocol

import numpy as np

from envs.targets import function_of, refuse
from evaluators.rows import Checked, Estimate, Floats, Rows, check_logged, check_shapes, check_tables, typed
from evaluators.scores import Looked, RowScores, Table, assemble, basis_of, join_looked, look
from evaluators.sums import Sums, WeightColumns, merge, summed, weight_columns, weight_sums

BLOCK_ENTRIES = 2**15  # of a (rows, slots) table: what a core's cache holds a few times over
STRIDE = 2**14  # rows whose scores are summed at once


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
    check_logged(rows)
    asked, stride = _asked(estimators, keep), _stride(rows)
    found: dict[str, list[Sums]] = {name: [] for name in estimators}
    for begin in range(0, rows.reward.size, stride):
        stretch = rows.part(begin, begin + stride)
        for name, added in _summed(asked, stretch, whole=rows).items():
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
    rows, asked = typed(rows), _asked(estimators, keep)
    check_shapes(rows)
    check_logged(rows)
    columns, looked = _look(asked, rows, check_tables(rows))
    weights = weight_sums(columns, n_logs=n_logs)
    return {
        one.name: summed(_scores(looked[one.name], rows).folded(n_logs), weights, rows=rows, keep=one.is_kept)
        for one in asked
    }


class _Asked(NamedTuple):
    """An estimator, its table's function, and what its interval needs."""

    name: str
    params: Estimator
    table: Callable[..., Table]
    has_design: bool
    columns: Callable[..., Floats] | None
    is_kept: bool


def _asked(estimators: Mapping[str, Estimator], keep: bool | None) -> list[_Asked]:
    found = []
    for name, params in estimators.items():
        needs = needs_of(params.interval)
        columns = function_of(params.interval, "columns") if "columns" in needs else None
        is_kept = "scores" in needs if keep is None else keep
        found.append(_Asked(name, params, function_of(params, "table"), "design" in needs, columns, is_kept))
    return found


def _stride(rows: Rows) -> int:
    """Rows summed at once: tables that rows share are few, and must not be made anew too often."""
    return STRIDE if rows.row is None else max(STRIDE, 4 * rows.behavior.shape[0])


def _summed(asked: Sequence[_Asked], stretch: Rows, *, whole: Rows) -> dict[str, Sums]:
    """Sums of a stretch of rows, looked up block by block: a block's tables fit in a core's cache."""
    n, k = stretch.reward.size, stretch.behavior.shape[1]
    size = max(BLOCK_ENTRIES // k, 64) if stretch.row is None else n
    blocks = []
    for begin in range(0, n, size):
        block = stretch.part(begin, begin + size)
        blocks.append(_look(asked, block, _check_block(block, whole)))
    weights = weight_sums(_joined([columns for columns, _ in blocks]))
    found = {}
    for one in asked:
        scores = _scores(join_looked([looked[one.name] for _, looked in blocks]), stretch)
        found[one.name] = summed(scores, weights, rows=stretch, keep=one.is_kept)
    return found


def _joined(columns: Sequence[WeightColumns]) -> WeightColumns:
    return columns[0] if len(columns) == 1 else WeightColumns(*map(np.concatenate, zip(*columns, strict=True)))


def _scores(looked: Looked, rows: Rows) -> RowScores:
    return assemble(looked, rows.reward, declared=rows.reward_range)


def _check_block(block: Rows, whole: Rows) -> Checked:
    """Check while the block is in the cache; what is refused is named by its place in the whole."""
    try:
        return check_tables(block)
    except ValueError:
        check_tables(whole)
        raise


def _look(asked: Sequence[_Asked], rows: Rows, checked: Checked) -> tuple[WeightColumns, dict[str, Looked]]:
    basis, found = basis_of(rows, checked), {}
    for one in asked:
        table = one.table(one.params, rows, basis.weight)
        looked = look(table, rows, basis, has_design=one.has_design)
        extra = None if one.columns is None or looked.is_difference else one.columns(one.params.interval, rows)
        found[one.name] = looked if extra is None else looked._replace(extra=extra)
    return weight_columns(rows, basis), found


def needs_of(interval: object) -> frozenset[str]:
    """What an interval reads beyond sums of scores: `design`, `scores`, `columns` of its own, or nothing.

    Raises:
        ConfigError: not the Params of a file in `evaluators/intervals/`.
    """
    if not is_dataclass(interval):
        word = "interval._target_=evaluators.intervals.NAME.Params"
        raise refuse("an estimator's interval", interval, f"a file of evaluators/intervals: {word}")
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
