"""May we believe it? Seven readings of one target on one log, each with a light and a sentence.

Lights say how far an estimate from this log may carry a decision: green, amber (read the reason
first), red (do not decide on it). What a log cannot tell is amber, never green. All of it comes of
sums that merge, so a log of 10^8 rows is judged in shards. Thresholds carry their reasons below.
"""

from collections.abc import Callable
from functools import reduce
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from evaluators import calibration, mean_weight, model_calibration, weight_shares
from evaluators.calibration import PromiseSums
from evaluators.mean_weight import CutSums
from evaluators.model_calibration import ModelSums
from evaluators.rows import ROUNDING, Floats, Rows, check
from evaluators.scores import importance, origin_of
from evaluators.sums import Weights, weights_of
from evaluators.support import Rule
from evaluators.weight_shares import TopShare, WeightShares

Light = Literal["green", "amber", "red"]
T = TypeVar("T")
BLOCK = 2_000  # rows
GATE = Rule()  # where the gate refuses, the light is red


class Limits(NamedTuple):
    """Where a reading turns amber, and where red; falling limits mean that low is bad."""

    amber: float
    red: float


# An estimate is about 1/sqrt(ESS) of the reward's spread wide: 14 % at 50, where the gate refuses
# (support.Rule), and 7 % at 200, the shortest log for which the intervals are certified.
ESS = Limits(200.0, GATE.min_ess)  # rows
# One reward unit on the heaviest row moves the value by w / n: by 0.02, half of the smallest
# improvement that is asked for at 2,000 rows, or by 0.1, where the gate refuses (support.Rule).
MAX_WEIGHT = Limits(0.02, GATE.max_weight_share)  # of n
# Equal weights give 0.01. At 0.5 one row in a hundred says as much as the other ninety-nine.
TOP_SHARE = Limits(0.2, 0.5)  # of sum |w r|
# The reward of a mass m that was never tried may move the value by m of the range: a tenth of what
# the gate bears (support.Rule), and all of it.
UNSUPPORTED = Limits(0.001, GATE.max_unsupported + ROUNDING)  # of the target's mass
# Where rewards are rare, few rows say how they vary. With 2 rewards in 200 rows the default interval covers 68 %,
# with 4 it covers 86 %, with 10 and more what it promises: measured on five actions and cross-fitted means.
VARYING = Limits(30.0, 10.0)  # rows
# Nominal 4 % and 0.5 %: what the normal tail of a skewed sum adds then stays within 5 % and 1 %.
LEVELS = Limits(0.04, 0.005)  # p-values
DEVIATES = Limits(2.0537, 2.8070)  # the same two-sided, as normal deviates
# Never red: doubly robust estimators take a model's error away, so it forbids the direct method only.
MODEL = Limits(DEVIATES.amber, float("inf"))


class Diagnostic(NamedTuple):
    """One reading, judged."""

    name: str
    value: float  # NaN where the log cannot tell
    light: Light
    sentence: str
    thresholds: Limits


class Evidence(NamedTuple):
    """Mergeable sums behind the diagnostics that `sums.Weights` does not hold."""

    shares: WeightShares
    cuts: CutSums | None  # None: the logger is known at the logged slot only
    promises: PromiseSums | None  # None: the same
    model: ModelSums | None  # None: no reward model, or no declared range
    powers: Floats  # (5,) sums of reward^0..4 about the middle of its range


def evidence(rows: Rows) -> Evidence:
    """One pass over the rows of a shard: 2 microseconds a row of 50 slots, in blocks that fit a cache.

    Args:
        rows: checked rows.
    """
    size = BLOCK if rows.row is None else rows.slot.size  # shared tables are cut once, whatever n
    blocks = (rows.part(begin, begin + size) for begin in range(0, rows.slot.size, size))
    return reduce(merge, map(_evidence, blocks))


def _evidence(rows: Rows) -> Evidence:
    weight = importance(rows.target, rows.behavior)
    at = rows.at(weight)
    has_model = rows.predicted is not None and rows.reward_range is not None
    return Evidence(
        shares=weight_shares.weight_shares(at, at * rows.reward),
        cuts=None if rows.is_partial else mean_weight.cut_sums(rows, weight),
        promises=None if rows.is_partial else calibration.promise_sums(rows),
        model=model_calibration.model_sums(rows, weight) if has_model else None,
        powers=np.vander(rows.reward - origin_of(rows.reward_range), 5, increasing=True).sum(axis=0),
    )


def merge(left: Evidence, right: Evidence) -> Evidence:
    """Evidence of two disjoint sets of rows as that of their union.

    Args:
        left: of some rows of a log.
        right: of other rows of it.

    Raises:
        ValueError: one shard has a reward model or whole distributions and the other has not.
    """
    return Evidence(
        shares=weight_shares.merge(left.shares, right.shares),
        cuts=_both(left.cuts, right.cuts, mean_weight.merge),
        promises=_both(left.promises, right.promises, calibration.merge),
        model=_both(left.model, right.model, model_calibration.merge),
        powers=left.powers + right.powers,
    )


def _both(left: T | None, right: T | None, join: Callable[[T, T], T]) -> T | None:
    if (left is None) != (right is None):
        kind = type(right if left is None else left).__name__
        raise ValueError(f"one shard has {kind} and the other has not; need shards of one kind of log")
    return None if left is None or right is None else join(left, right)


def diagnose(weights: Weights, found: Evidence, *, top: TopShare | None = None) -> tuple[Diagnostic, ...]:
    """Judge one target on one log.

    Args:
        weights: of one log: (merged) `sums.weights_of`, or the `weights` of an estimator's sums.
        found: (merged) evidence of the same rows.
        top: `weight_shares.exact_top_share` where the rows are in memory; None reads the histogram.

    Returns:
        ess, design_ess, varying_rows, max_weight, top_share, mean_weight, unsupported_mass and
        propensity_calibration, in this order; then model_error if there is a reward model.
    """
    top = weight_shares.top_share(found.shares) if top is None else top
    common = (
        _ess(weights),
        _design_ess(weights),
        _varying(found.powers),
        _max_weight(weights),
        _top_share(top),
        _mean_weight(weights, found.cuts),
        _unsupported(weights),
        _promises(found.promises),
    )
    return common if found.model is None else (*common, _model(found.model))


def diagnose_rows(rows: Rows) -> tuple[Diagnostic, ...]:
    """The same for a log in memory, its top share exact.

    Args:
        rows: one target on one log.

    Raises:
        ValueError: as `rows.check`.
        TypeError: as `rows.check`.
    """
    rows = check(rows)
    at = rows.at(importance(rows.target, rows.behavior))
    top = weight_shares.exact_top_share(at, at * rows.reward)
    return diagnose(weights_of(rows), evidence(rows), top=top)


def worst(diagnostics: tuple[Diagnostic, ...]) -> Light:
    """The gravest light."""
    lights = {found.light for found in diagnostics}
    return "red" if "red" in lights else "amber" if "amber" in lights else "green"


def light_of(value: float, limits: Limits) -> Light:
    """The light of a reading; amber where it is NaN.

    >>> light_of(60.0, Limits(amber=200.0, red=50.0))
    'amber'
    """
    sign = 1.0 if limits.red > limits.amber else -1.0
    if np.isnan(value) or sign * limits.amber < sign * value <= sign * limits.red:
        return "amber"
    return "red" if sign * value > sign * limits.red else "green"


def _ess(weights: Weights) -> Diagnostic:
    value = float(weights.ess())
    sentence = f"The weighted log is worth {value:,.0f} of its {weights.n:,} rows."
    return Diagnostic("ess", value, light_of(value, ESS), sentence, ESS)


def _varying(powers: Floats) -> Diagnostic:
    """(sum d^2)^2 / sum d^4 of rewards about their mean: n for an even coin, the rare side's count for a rare one."""
    n, mean = powers[0], powers[1] / powers[0]
    second = powers[2] - n * mean**2
    fourth = powers[4] - 4 * mean * powers[3] + 6 * mean**2 * powers[2] - 3 * n * mean**4
    value = float(second**2 / fourth) if second > ROUNDING * powers[2] and fourth > 0 else 0.0
    sentence = (
        f"Rewards vary as if {value:,.0f} of {n:,.0f} rows told how; where they are rare, intervals are too narrow."
    )
    return Diagnostic("varying_rows", value, light_of(value, VARYING), sentence, VARYING)


def _design_ess(weights: Weights) -> Diagnostic:
    value = 0.0 if weights.design == 0 else float(weights.mass**2 / weights.design)
    if np.isnan(value):
        sentence = "Unknown: the log holds no whole distributions, so heavy weights not drawn are not counted."
    else:
        sentence = f"Counting the weights that were possible but not drawn, the log is worth {value:,.0f} rows."
    return Diagnostic("design_ess", value, light_of(value, ESS), sentence, ESS)


def _max_weight(weights: Weights) -> Diagnostic:
    share = float(weights.largest) / weights.n
    sentence = (
        f"The heaviest row weighs {float(weights.largest):,.3g}: a reward of 1 there moves the value by {share:.2g}."
    )
    return Diagnostic("max_weight", share, light_of(share, MAX_WEIGHT), sentence, MAX_WEIGHT)


def _top_share(top: TopShare) -> Diagnostic:
    doubt = f" (within {top.error:.1%})" if top.error > 0 else ""
    sentence = f"The heaviest 1 % of the rows carry {top.value:.1%}{doubt} of the estimate."
    return Diagnostic("top_share", top.value, light_of(top.value, TOP_SHARE), sentence, TOP_SHARE)


def _mean_weight(weights: Weights, cuts: CutSums | None) -> Diagnostic:
    if cuts is None:
        return _naive_mean_weight(weights)
    found = mean_weight.check_mean(cuts, weights.n)
    light = light_of(abs(found.z), DEVIATES)
    verdict = "as promised" if light == "green" else "not what the logged propensities promise"
    sentence = f"Weights cut at {found.cut:,.0f} average {found.mean:.4g}, expected {found.expected:.4g}: {verdict}."
    return Diagnostic("mean_weight", found.z, light, sentence, DEVIATES)


def _naive_mean_weight(weights: Weights) -> Diagnostic:
    """Without whole distributions a low mean may be missing support or an undrawn heavy weight; a high one may not."""
    z = mean_weight.naive_z(weights.n, float(weights.total), float(weights.square))
    mean = float(weights.total) / weights.n
    light: Light = "red" if z > DEVIATES.red else "amber"
    verdict = "too high for true propensities" if light == "red" else "but the log cannot tell what it should be"
    return Diagnostic("mean_weight", z, light, f"The weights average {mean:.4g}, {verdict}.", DEVIATES)


def _unsupported(weights: Weights) -> Diagnostic:
    missing = max(1 - float(weights.mass) / weights.n, 0.0)  # NaN stays NaN
    value = 0.0 if missing <= ROUNDING else missing
    if np.isnan(float(weights.mass)):
        value, sentence = float("nan"), "Unknown: the log does not say which actions the logger could take."
    else:
        sentence = f"{value:.2%} of what the target does was never possible for the logger."
    return Diagnostic("unsupported_mass", value, light_of(value, UNSUPPORTED), sentence, UNSUPPORTED)


def _promises(sums: PromiseSums | None) -> Diagnostic:
    name, unknown = "propensity_calibration", float("nan")
    if sums is None:
        sentence = "Unknown: the log holds the propensity of the logged action only."
        return Diagnostic(name, unknown, "amber", sentence, LEVELS)
    found = calibration.check_promises(sums)
    if found.worst is None:
        sentence = "Unknown: too few random decisions to compare frequencies with promises."
        return Diagnostic(name, unknown, "amber", sentence, LEVELS)
    low, high, promised, observed, _ = found.worst
    verdict = "are" if found.p_value >= LEVELS.amber else "do not look"
    sentence = (
        f"Promised probabilities {verdict} kept (p = {found.p_value:.2g}); furthest off: "
        f"{low:g} to {high:g}, {observed:,.0f} hits where {promised:,.0f} were promised."
    )
    return Diagnostic(name, found.p_value, light_of(found.p_value, LEVELS), sentence, LEVELS)


def _model(sums: ModelSums) -> Diagnostic:
    fit = model_calibration.fit_of(sums, is_weighted=True)
    if not fit.bins:
        sentence = "Unknown: the target would have taken none of the logged actions."
        return Diagnostic("model_error", float("nan"), "amber", sentence, MODEL)
    z = fit.error / fit.stderr if fit.stderr > 0 else float("nan")
    sentence = (
        f"Where the target goes the reward model is off by {fit.error:+.3f} +- {fit.stderr:.3f} "
        f"(slope {fit.slope:.2f}): the direct method keeps this error, doubly robust estimators repair it."
    )
    return Diagnostic("model_error", z, light_of(abs(z), MODEL), sentence, MODEL)
