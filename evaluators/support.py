"""What a log can say about a target: effective sample size, heaviest weight, missing mass.

An estimate without support is not a wide estimate but a wrong one: its interval does not know what
was never tried. Read the design ESS beside the in-sample one, which is optimistic (by about 2x at
n = 200 where weights are heavy-tailed) because the heaviest weights are the rarest.
"""

from typing import NamedTuple

import numpy as np

from evaluators.rows import ROUNDING
from evaluators.sums import Weights


class Rule(NamedTuple):
    """When a log's support for a target is insufficient."""

    min_ess: float = 50.0  # rows
    max_weight_share: float = 0.1  # of n: one row may not count for more
    max_unsupported: float = 0.01  # share of the target's mass that only a model speaks for


class Support(NamedTuple):
    """How far a log speaks about a target, and the verdict on it in words."""

    n: int  # rows
    ess: float  # rows, in sample
    design_ess: float  # rows, expected from the logger's whole distribution
    max_weight: float
    unsupported_mass: float  # share of the target's mass off the logger's support
    sufficient: bool
    reasons: tuple[str, ...]  # empty when sufficient


def assess(weights: Weights, rule: Rule | None = None) -> Support:
    """Judge the support a log gives a target.

    Args:
        weights: of one log: `sums.weight_sums(...)` or the `weights` of any `sums.Sums`.
        rule: thresholds; None takes the defaults of `Rule`.

    >>> from evaluators.sums import Weights
    >>> assess(Weights(200, 200.0, 4000.0, 30.0, 4000.0, 200.0)).reasons
    ('ESS 10 < 50', 'largest weight 30 > 20 (0.1 of n = 200)')
    """
    rule = Rule() if rule is None else rule
    ess, largest, mass, design = (float(f) for f in (weights.ess(), weights.largest, weights.mass, weights.design))
    missing = float(np.maximum(1 - mass / weights.n, 0.0))
    # mass^2 / design per row is 1 / E[w^2] when all of the target is supported
    design_ess = 0.0 if design == 0 else mass**2 / design
    reasons = _reasons(weights.n, rule, ess=ess, largest=largest, missing=missing)
    return Support(
        n=weights.n,
        ess=ess,
        design_ess=design_ess,
        max_weight=largest,
        unsupported_mass=missing,
        sufficient=not reasons,
        reasons=reasons,
    )


def _reasons(n: int, rule: Rule, *, ess: float, largest: float, missing: float) -> tuple[str, ...]:
    heaviest = rule.max_weight_share * n
    reasons = []
    if ess < rule.min_ess:
        reasons.append(f"ESS {ess:.3g} < {rule.min_ess:g}")
    if largest > heaviest:
        reasons.append(f"largest weight {largest:.3g} > {heaviest:.4g} ({rule.max_weight_share:.3g} of n = {n:,})")
    if missing > rule.max_unsupported + ROUNDING:
        reasons.append(
            f"{missing:.1%} of the target's mass is where the logger never goes, more than {rule.max_unsupported:.1%}"
        )
    if np.isnan(missing):
        reasons.append("the logger is known at the logged actions only, so nobody knows what it never tries")
    return tuple(reasons)
