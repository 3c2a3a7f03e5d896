"""One case at one log size: what every pair of estimator and interval said of many logs, against the truth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from envs.targets import function_of
from evaluators.certified import DIFFERENCE
from evaluators.estimation import Estimator, finish_as, needs_of, summarise_logs
from evaluators.gates import difference_sums
from evaluators.intervals import assisted
from evaluators.reward_model import Params as ModelParams
from evaluators.rows import Estimate, Floats, Rows
from evaluators.scores import basis_of, importance
from evaluators.sums import Sums, weight_columns, weight_sums
from experiments.certifying.forms import Form, difference_form, fit_logs, form_of, sums_of_forms
from experiments.certifying.regimes import Case, Shape
from experiments.certifying.world_logs import Logs, probs_of

__all__ = ["Cell", "Refused", "judge_case"]

ENTRIES = 2**21  # of the (log, fold, context, slot) tables held at once
ROW_ENTRIES = 2**19  # of tables with a row per decision: what a core's cache holds
MODEL = ModelParams()
OWN = "it needs rows or columns of its own, which the matrix does not keep"
_Able = dict[str, Any]
TINY = 1e-12  # reward units: an end this close to the truth holds it


class Cell(NamedTuple):
    """One pair of estimator and interval, one world, one regime, one log size; reward units."""

    regime: str
    kind: str
    world: str
    n: int
    estimator: str
    interval: str
    n_logs: int
    bias: float
    bias_stderr: float
    bias_now: float  # against the value at the log's end
    rmse: float
    rmse_stderr: float
    coverage: float  # of the two-sided 95 % interval
    low_error: float  # share of logs whose one-sided 95 % lower bound lies above the truth
    high_error: float  # share whose upper one lies below it
    width: float  # of the two-sided 95 % interval, mean over logs; infinite if one is
    width_stderr: float

    @property
    def name(self) -> str:
        """World and kind, for tables."""
        return f"{self.world} ({self.kind})" if self.kind else self.world

    def share_stderr(self, share: float) -> float:
        """Monte Carlo standard error of a share of the logs, never 0."""
        return float(np.sqrt(max(share * (1 - share), 1 / self.n_logs) / self.n_logs))


class Refused(NamedTuple):
    """A pair that was not measured, and why."""

    regime: str
    estimator: str
    interval: str  # "": all of them
    reason: str


def judge_case(
    case: Case, shapes: Sequence[Shape], *, estimators: Mapping[str, Any], intervals: Mapping[str, object]
) -> tuple[list[Cell], list[Refused]]:
    """Every estimator under every interval on the case's logs of every size, and the gate's difference.

    Args:
        case: a world in a regime.
        shapes: logs, and rows of each, by size.
        estimators: by name; their own intervals are not used.
        intervals: by name; those that need more than sums of scores are refused.
    """
    chosen = {name: one for name, one in intervals.items() if needs_of(one) <= {"design"}}
    refused = [Refused(case.regime, "", name, OWN) for name in intervals.keys() - chosen.keys()]
    own: dict[str, Any] = {name: replace(one, interval=assisted.Params()) for name, one in estimators.items()}
    able, reasons = _able(case, own)
    refused += [Refused(case.regime, name, "", reason) for name, reason in reasons.items()]
    found: list[Cell | Refused] = []
    for shape in shapes:
        for estimator, sums in _sums(case, case.draw(shape), able).items():
            for interval, params in chosen.items():
                found.append(_finished(case, sums, pair=(estimator, interval), params=params))
    cells = [one for one in found if isinstance(one, Cell)]
    refused += [one for one in found if isinstance(one, Refused)]
    return cells, list(dict.fromkeys(refused))


def _finished(case: Case, sums: Sums, *, pair: tuple[str, str], params: object) -> Cell | Refused:
    """What a pair said of all logs, or why it said nothing."""
    try:
        wide, one_sided = (finish_as(params, sums, confidence=level) for level in (0.95, 0.90))
    except ValueError as error:
        return Refused(case.regime, *pair, str(error))
    return _cell(case, pair, wide=wide, one_sided=one_sided)


def _cell(case: Case, pair: tuple[str, str], *, wide: Estimate, one_sided: Estimate) -> Cell:
    is_difference, true = pair[0] == DIFFERENCE, case.truth
    truth = true.target - true.baseline if is_difference else true.target
    now = true.target_now - true.baseline_now if is_difference else true.target_now
    value = np.asarray(wide.value)
    error, width, n_logs = value - truth, np.asarray(wide.hi) - np.asarray(wide.lo), value.size
    square, root = error**2, float(np.sqrt(np.mean(error**2)))
    covered = (wide.lo <= truth + TINY) & (truth - TINY <= wide.hi)
    return Cell(
        *(case.regime, case.kind, case.world, wide.n, *pair, n_logs),
        bias=float(error.mean()),
        bias_stderr=_stderr(error),
        bias_now=float(value.mean() - now),
        rmse=root,
        rmse_stderr=_stderr(square) / (2 * root) if root > 0 else 0.0,
        coverage=float(np.mean(covered)),
        low_error=float(np.mean(one_sided.lo > truth + TINY)),
        high_error=float(np.mean(one_sided.hi < truth - TINY)),
        width=float(width.mean()),
        width_stderr=_stderr(width) if np.isfinite(width).all() else 0.0,
    )


def _stderr(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size))


def _able(case: Case, estimators: Mapping[str, Estimator]) -> tuple[_Able, dict[str, str]]:
    """Estimators that do not refuse the case, as forms where models are fitted to frozen logs, and why others do."""
    rows, reasons = _contexts(case), {}
    found: dict[str, Any] = {}
    for name, params in estimators.items():
        try:
            if case.predicted is None and case.regime != "adaptive":
                found[name] = form_of(params, rows)
            else:
                rows = rows if case.predicted is not None else rows._replace(predicted=np.zeros(case.target.shape))
                function_of(params, "table")(params, rows, importance(rows.target, rows.behavior))
                found[name] = params
        except ValueError as error:
            reasons[name] = str(error)
    return found, reasons


def _sums(case: Case, logs: Logs, able: _Able) -> dict[str, Sums]:
    """Sums of every estimator and of the gate's difference, on every log."""
    if case.regime == "adaptive":
        return _learning(case, logs, able)
    if case.predicted is not None:
        return _given(case, logs, able)
    return _crossed(case, logs, able)


def _contexts(case: Case) -> Rows:
    """The population as rows, one per context."""
    nothing, is_learning = np.zeros(len(case.behavior)), case.regime == "adaptive"
    return Rows(
        reward=nothing,
        slot=nothing.astype(np.int64),
        behavior=case.behavior,
        target=case.target,
        predicted=case.predicted,
        reward_range=case.reward_range,
        action_ids=None if is_learning else case.action_ids,  # a kernel for every row would take minutes
        points=None if is_learning else case.points,
    )


def _blocks(n_logs: int, each: int, *, most: int) -> Iterator[slice]:
    """Blocks of logs, one log of which takes `each` entries of a table that may hold `most`."""
    size = max(most // each, 1)
    return (slice(begin, min(begin + size, n_logs)) for begin in range(0, n_logs, size))


def _crossed(case: Case, logs: Logs, forms: Mapping[str, Form]) -> dict[str, Sums]:
    """A frozen logger, reward models cross-fitted on every log."""
    assert case.design is not None
    contexts, parts = _contexts(case), []
    asked = {**forms, DIFFERENCE: difference_form(contexts, case.baseline)}
    for block in _blocks(len(logs.row), MODEL.n_folds * case.target.size, most=ENTRIES):
        some = logs.part(block.start, block.stop)
        rows = _rows(contexts, some)
        weights = weight_sums(weight_columns(rows, basis_of(rows)), n_logs=len(some.row))
        fitted = fit_logs(case.design, some, contexts, model=MODEL)
        parts.append(sums_of_forms(asked, contexts, logs=some, fitted=fitted, weights=weights))
    return _stacked(parts)


def _rows(contexts: Rows, logs: Logs) -> Rows:
    """Logs one after another, as rows of the shared tables."""
    row, slot = (column.reshape(-1).astype(np.int64) for column in (logs.row, logs.slot))
    return contexts._replace(row=row, slot=slot, reward=logs.reward.reshape(-1))


def _given(case: Case, logs: Logs, estimators: Mapping[str, Estimator]) -> dict[str, Sums]:
    """A frozen logger and a reward model that no log was asked about."""
    rows, n_logs = _rows(_contexts(case), logs), len(logs.row)
    found = summarise_logs(estimators, rows, n_logs=n_logs)
    return found | {DIFFERENCE: _difference(rows, case.baseline, n_logs=n_logs)}


def _difference(rows: Rows, baseline: Floats, *, n_logs: int) -> Sums:
    return difference_sums(assisted.Params(), rows._replace(target=baseline), target=rows.target, n_logs=n_logs)


def _learning(case: Case, logs: Logs, estimators: Mapping[str, Estimator]) -> dict[str, Sums]:
    """A learning logger: every row has its own propensities, so tables are as long as the logs."""
    assert case.design is not None
    contexts, n = _contexts(case), logs.row.shape[1]
    parts = []
    for block in _blocks(len(logs.row), n * case.target.shape[1], most=ROW_ENTRIES):
        some = logs.part(block.start, block.stop)
        fitted, where = fit_logs(case.design, some, contexts, model=MODEL), some.row.reshape(-1)
        rows = contexts._replace(
            reward=some.reward.reshape(-1),
            slot=some.slot.reshape(-1).astype(np.int64),
            behavior=probs_of(some, case.task),
            target=case.target[where],
            predicted=fitted.table[fitted.place.reshape(-1), where],
        )
        found = summarise_logs(estimators, rows, n_logs=len(some.row))
        parts.append(found | {DIFFERENCE: _difference(rows, case.baseline[where], n_logs=len(some.row))})
    return _stacked(parts)


def _stacked(parts: list[dict[str, Sums]]) -> dict[str, Sums]:
    """Sums of blocks of logs as sums of all of them."""
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(parts: list[Sums]) -> Sums:
    named: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("powers", "gram", "residual", "design", "ends")
    }
    weights: dict[str, Any] = {
        name: np.concatenate([getattr(part.weights, name) for part in parts])
        for name in ("total", "square", "largest", "design", "mass")
    }
    return parts[0]._replace(**named, weights=parts[0].weights._replace(**weights))
