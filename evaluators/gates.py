"""The improvement gate: may this candidate replace the baseline, on the evidence of two logs?

`select` keeps promising candidates on one log, `judge` decides on another; no row serves both. A
candidate is approved only if the one-sided lower bound of its mean per-row difference of doubly
robust scores is >= 0, its support and the baseline's are sufficient, the audit found every
recommendation feasible, and the interval held where its kind of log was certified. The bound is
`intervals.gate`: it needs the logger's whole distribution and a declared reward range, and says no
when it has not seen enough.
Source: Dunn (1961) for alpha over the judged; `experiment=ope_validation` has measurements.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from envs.targets import function_of
from evaluators.certified import DIFFERENCE, Held, held
from evaluators.estimation import needs_of
from evaluators.intervals import gate as gate_interval
from evaluators.quantiles import Interval
from evaluators.rows import ROUNDING, Floats, Rows, check
from evaluators.scores import Table, basis_of, importance, row_scores
from evaluators.sums import Sums, summed, weight_columns, weight_sums, weights_of
from evaluators.support import Rule, Support, assess

__all__ = ["Params", "certified", "compare", "judge", "none_selected", "select"]

JUDGED = ("iid", "adaptive", "drift")  # regimes a log may honestly be said to be of
SAME = 1e-12  # probabilities closer than this are the same policy


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the gate."""

    alpha: float = field(default=0.05, metadata={"gt": 0.0, "le": 0.5, "unit": "share"})
    power: float = field(default=0.8, metadata={"gt": 0.5, "lt": 1.0, "unit": "share"})
    min_ess: float = field(default=50.0, metadata={"ge": 1.0, "le": 1e9, "unit": "rows"})
    max_weight_share: float = field(default=0.1, metadata={"gt": 0.0, "le": 1.0, "unit": "of n"})
    max_unsupported: float = field(default=0.01, metadata={"ge": 0.0, "le": 1.0, "unit": "share"})
    select_z: float = field(default=1.0, metadata={"ge": 0.0, "le": 100.0, "unit": "standard errors"})
    interval: object = field(default_factory=gate_interval.Params)
    regime: str = field(default="iid", metadata={"choices": JUDGED})  # of the logs
    max_judged: int = field(default=1, metadata={"ge": 1, "le": 10_000, "unit": "candidates"})


class Improvement(NamedTuple):
    """Target minus baseline on one log, in reward units, with what is needed to doubt it."""

    difference: float
    stderr: float
    lower: float  # one-sided bound at `confidence`
    upper: float  # one-sided bound at `confidence`
    confidence: float  # 1 - alpha / candidates judged
    detectable: float  # true difference that would be approved with the wanted power
    n: int  # rows
    target: Support
    baseline: Support
    is_same: bool  # the probabilities equal the baseline's everywhere


class Verdict(NamedTuple):
    """The gate's answer about one candidate, with its reasons in words."""

    answer: Literal["approved", "refused", "no_change"]
    candidate: str
    reasons: tuple[str, ...]
    improvement: Improvement | None  # None when no candidate reached the judge

    def sentence(self) -> str:
        """The verdict as one line."""
        return f"{self.answer}: " + "; ".join(self.reasons)


class Selection(NamedTuple):
    """What the selection log says of every candidate."""

    kept: tuple[str, ...]  # most standard errors above the baseline first, at most max_judged
    improvements: dict[str, Improvement]
    reasons: dict[str, str]  # why each candidate was kept or not


def compare(params: Params, baseline: Rows, *, target: Floats, n_judged: int = 1) -> Improvement:
    """Mean per-row difference of doubly robust scores, target minus baseline, and its bound.

    Args:
        params: the gate's numbers.
        baseline: one log of n rows with `target` the baseline's probabilities, with a cross-fitted
            reward model and a declared reward range. With clusters the larger of the
            cluster-robust variance and the half model variance counts, with G - 1 degrees of
            freedom.
        target: (n, k) the candidate's probabilities on the same windows.
        n_judged: candidates that share alpha.

    Raises:
        ValueError: as `rows.check` for baseline and target; no reward model; no declared range;
            n_judged < 1.
        TypeError: as `rows.check`.
    """
    if n_judged < 1:
        raise ValueError(f"n_judged = {n_judged}, need >= 1")
    baseline = check(baseline)
    target = check(baseline._replace(target=target)).target
    if baseline.predicted is None or baseline.reward_range is None:
        missing = "a reward model" if baseline.predicted is None else "a declared reward range"
        raise ValueError(f"the gate's bound needs {missing}, got none: see rows.Rows")
    level = 1 - params.alpha / n_judged
    added = difference_sums(params.interval, baseline, target=target)
    found, chance = (_ends(params.interval, added, level=level) for level in (level, params.power))
    rule = Rule(params.min_ess, params.max_weight_share, params.max_unsupported)
    return Improvement(
        difference=found.value,
        stderr=found.stderr,
        lower=found.lo,
        upper=found.hi,
        confidence=level,
        detectable=found.value - found.lo + chance.value - chance.lo,
        n=baseline.reward.size,
        target=assess(added.weights, rule),
        baseline=assess(weights_of(baseline), rule),
        is_same=bool(np.abs(target - baseline.target).max() <= SAME),
    )


def difference_sums(interval: object, baseline: Rows, *, target: Floats, n_logs: int = 0) -> Sums:
    """Sums of the per-row doubly robust difference, target minus `baseline.target`.

    Args:
        interval: Params of a file in `evaluators/intervals/`: what it needs is summed.
        baseline: checked rows with a reward model.
        target: (c, k) the candidate's probabilities.
        n_logs: logs of equal length that stand one after another, each summed by itself; 0: one log.
    """
    assert baseline.predicted is not None
    contrast = target - baseline.target
    weight, needs = importance(contrast, baseline.behavior), needs_of(interval)
    table = Table(np.vecdot(contrast, baseline.predicted), weight, baseline.predicted, is_difference=True)
    scores = row_scores(table, baseline, has_design="design" in needs)
    towards = baseline._replace(target=target)
    weights = weight_sums(weight_columns(towards, basis_of(towards)), n_logs=n_logs)
    return summed(scores.folded(n_logs) if n_logs else scores, weights, rows=baseline, keep="scores" in needs)


class _Ends(NamedTuple):
    value: float
    stderr: float
    lo: float
    hi: float


def _ends(interval: object, added: Sums, *, level: float) -> _Ends:
    """One-sided ends at `level`; what rounding left of nothing is no error, not evidence."""
    found: Interval = function_of(interval, "bounds")(interval, added, 2 * level - 1)
    value, stderr, lo, hi = (float(figure) for figure in found)
    declared = added.reward_range or (0.0, 0.0)
    if stderr > ROUNDING * (declared[1] - declared[0]):
        return _Ends(value, stderr, lo, hi)
    return _Ends(value, 0.0, value, value)


def select(params: Params, baseline: Rows, *, candidates: Mapping[str, Floats]) -> Selection:
    """Keep the candidates worth judging on another log, most standard errors above the baseline first.

    Args:
        params: the gate's numbers.
        baseline: the *selection* log, as in `compare`.
        candidates: name -> (n, k) probabilities on that log's windows.

    Raises:
        ValueError: as `compare`.
        TypeError: as `compare`.
    """
    improvements = {name: compare(params, baseline, target=prob) for name, prob in candidates.items()}
    doubts = {name: _doubt(params, found) for name, found in improvements.items()}
    promising = [name for name, doubt in doubts.items() if not doubt]
    promising.sort(key=lambda name: -improvements[name].difference / improvements[name].stderr)
    kept = tuple(promising[: params.max_judged])
    late = f"only the best {params.max_judged} are judged"
    reasons = {name: doubt or ("selected" if name in kept else late) for name, doubt in doubts.items()}
    return Selection(kept, improvements, reasons)


def judge(
    params: Params,
    baseline: Rows,
    *,
    target: Floats,
    candidate: str,
    n_judged: int,
    feasible_share: float,
) -> Verdict:
    """Decide about one selected candidate on a log that selected nothing.

    Args:
        params: the gate's numbers.
        baseline: the *judgement* log, as in `compare`.
        target: (n, k) the candidate's probabilities on that log's windows.
        candidate: its name.
        n_judged: candidates judged on this log; alpha is divided by it.
        feasible_share: share of the candidate's recommendations a separate audit found feasible.

    Raises:
        ValueError: as `compare`, or a share outside [0, 1].
        TypeError: as `compare`.
    """
    if not 0 <= feasible_share <= 1:
        raise ValueError(f"feasible_share = {feasible_share:.6g}, need a share in [0, 1]")
    found = compare(params, baseline, target=target, n_judged=n_judged)
    if found.is_same:
        reason = f"the probabilities equal the baseline's on all {found.n:,} rows"
        return Verdict("no_change", candidate, (reason,), found)
    reasons = [f"insufficient support for the candidate: {r}" for r in found.target.reasons]
    reasons += [f"insufficient support for the baseline: {r}" for r in found.baseline.reasons]
    if feasible_share < 1:
        reasons.append(f"{feasible_share:.2%} of the recommendations are feasible, need all")
    rests = certified(params, found.n)
    if not rests.holds:
        reasons.append(f"the interval is not certified: {rests.reason}")
    if found.stderr == 0:
        reasons.append("standard error 0, need a positive number: nothing varied, nothing is shown")
    elif not np.isfinite(found.lower):
        reasons.append("standard error unknown: a single row or cluster shows nothing")
    elif found.lower < 0:
        reasons.append(_noise(found))
    if reasons:
        return Verdict("refused", candidate, tuple(reasons), found)
    return Verdict("approved", candidate, (_numbers(found),), found)


def certified(params: Params, n: int) -> Held:
    """Whether a decision about n rows may rest on the gate's interval: it held in the regime, with these numbers."""
    kind = type(params.interval)
    name = kind.__module__.rsplit(".", 1)[-1]
    if params.interval != kind():
        return Held(False, f"{name} was certified with its default numbers, got {params.interval}")
    return held(DIFFERENCE, name, regime=params.regime, n=n)


def none_selected(selection: Selection) -> Verdict:
    """The verdict when no candidate reached the judge: no change if all equal the baseline."""
    if all(found.is_same for found in selection.improvements.values()):
        return Verdict("no_change", "", ("every candidate equals the baseline",), None)
    reasons = tuple(f"{name} not selected: {why}" for name, why in selection.reasons.items())
    return Verdict("refused", "", reasons, None)


def _doubt(params: Params, found: Improvement) -> str:
    """Why a candidate is not worth judging; empty if it is."""
    if found.is_same:
        return "equals the baseline"
    if found.target.reasons or found.baseline.reasons:
        return "insufficient support: " + ", ".join(found.target.reasons + found.baseline.reasons)
    if found.stderr == 0:
        return "standard error 0: nothing varied, nothing is shown"
    if not found.difference > params.select_z * found.stderr:
        return (
            f"not distinguishable from noise on the selection log: difference {found.difference:.3g} is not more "
            f"than {params.select_z:g} standard errors of {found.stderr:.3g}"
        )
    return ""


def _noise(found: Improvement) -> str:
    if found.upper < 0:
        level = f"{100 * found.confidence:.4g} %"
        return (
            f"worse than the baseline: difference {found.difference:.3g}, one-sided {level} upper "
            f"bound {found.upper:.3g} < 0 (n = {found.n:,}, ESS {found.target.ess:,.0f})"
        )
    return f"not distinguishable from noise: {_numbers(found)}"


def _numbers(found: Improvement) -> str:
    sign = ">=" if found.lower >= 0 else "<"
    return (
        f"difference {found.difference:.3g}, one-sided {100 * found.confidence:.4g} % lower bound "
        f"{found.lower:.3g} {sign} 0 (n = {found.n:,}, ESS {found.target.ess:,.0f}); at this size "
        f"a difference of {found.detectable:.3g} would have been detectable"
    )
