"""What a fit must show on problems that were held out, each claim with a bound that a wrong curve exceeds.

Quality and failure are held against their noise floor, quality also against no curve at all;
lengths against what separates two random halves, and two components against one. Answers to
one problem are not independent, so wherever a count decides it counts problems.
Source: Smirnov (1948) for the 1 % point of two samples' Kolmogorov distance.
"""

import math
from collections.abc import Mapping

import numpy as np

from experiments.calibration.fit_quality import HeldOut
from experiments.calibration.task_fit import CurvePart, LengthPart, WorldFit
from experiments.results import Claim

__all__ = ["allowance", "fit_claims"]

ALLOWED = {"quality": 1.5, "failure": 2.0}  # times the noise floor, which is the held-out half's error alone
WORSE = 0.02  # of the constant's error: the price of a curve where there is none
CRITICAL = 1.63  # 1 % point of two samples' Kolmogorov distance, times sqrt(1/n1 + 1/n2)
FEW_PROBLEMS = 30  # of a task type; with fewer, claims are reported, not judged


def fit_claims(fit: WorldFit, *, named: bool) -> list[Claim]:
    """Held-out errors of quality, failure and lengths, each against its bound.

    Args:
        fit: of all task types.
        named: whether the table names its problems; if not, every answer counts as one.
    """
    curves = {
        part: {one.name: getattr(one, part) for one in fit.tasks if _is_held(getattr(one, part))} for part in ALLOWED
    }
    claims = []
    if curves["quality"]:
        claims += [_against_floor("quality", curves["quality"]), _against_constant(curves["quality"])]
    if curves["failure"]:
        claims.append(_against_floor("failure", curves["failure"]))
    lengths = {one.name: one.length for one in fit.tasks if one.length is not None and one.length.distances}
    return [*claims, *_lengths(lengths, "problems" if named else "answers (no problem is named)")]


def allowance(n_problems: tuple[int, int]) -> float:
    """What sampling explains of the Kolmogorov distance between two halves, at the 1 % point.

    >>> round(allowance((50, 50)), 3)
    0.326
    """
    return CRITICAL * math.sqrt(sum(1.0 / n for n in n_problems))


def _is_held(part: CurvePart | None) -> bool:
    return part is not None and part.held is not None


def _held(parts: Mapping[str, CurvePart]) -> dict[str, HeldOut]:
    return {name: part.held for name, part in parts.items() if part.held is not None}


def _pooled(held: Mapping[str, HeldOut], name: str) -> float:
    return math.sqrt(float(np.mean([getattr(one, name) ** 2 for one in held.values()])))


def _many(parts: Mapping[str, CurvePart]) -> bool:
    return min(len(np.unique(part.rows.problem)) for part in parts.values()) >= FEW_PROBLEMS


def _against_floor(part: str, parts: Mapping[str, CurvePart]) -> Claim:
    """Root mean squared error against what sampling of the held-out half alone explains."""
    held = _held(parts)
    rmse, floor, raw, constant = (_pooled(held, name) for name in ("rmse", "floor", "raw", "constant"))
    counts = _many(parts) and floor > 0
    return Claim(
        f"{part.capitalize()} by temperature foretells held-out problems ({_types(len(held))}), "
        "root mean squared error",
        f"{rmse:.4f}",
        f"<= {ALLOWED[part] * floor:.4f} ({ALLOWED[part]:g} x the noise floor)" if counts else "reported",
        f"floor {floor:.4f}; without a curve {constant:.4f}; the other half's own means {raw:.4f}",
        rmse <= ALLOWED[part] * floor if counts else None,
    )


def _against_constant(parts: Mapping[str, CurvePart]) -> Claim:
    """A curve that foretells less than the overall mean does was fitted to noise."""
    held = _held(parts)
    rmse, constant = (_pooled(held, name) for name in ("rmse", "constant"))
    bound, counts = (1.0 + WORSE) * constant, _many(parts)
    worst = max(held, key=lambda name: held[name].rmse - held[name].constant)
    return Claim(
        f"Quality by temperature foretells no less than its overall mean does ({_types(len(held))})",
        f"{rmse:.4f}",
        f"<= {bound:.4f} (the mean's error and {WORSE:.0%})" if counts else "reported",
        f"farthest beyond: {worst} {held[worst].rmse:.4f}, its mean {held[worst].constant:.4f}",
        rmse <= bound if counts else None,
    )


def _types(n: int) -> str:
    return f"{n} task type" if n == 1 else f"{n} task types"


def _found(part: LengthPart) -> float:
    return part.distances[len(part.chosen.weight) - 1]


def _lengths(parts: Mapping[str, LengthPart], counted: str) -> list[Claim]:
    """The length fit farthest from held-out answers for its number of problems; two components against one."""
    if not parts:
        return []
    many = {name: part for name, part in parts.items() if sum(part.n_problems) >= FEW_PROBLEMS} or dict(parts)
    counts = sum(next(iter(many.values())).n_problems) >= FEW_PROBLEMS
    claims = [_against_chance(many, counted, counts=counts)]
    two = {name: part for name, part in many.items() if len(part.chosen.weight) > 1}
    return [*claims, _against_one(two, counts=counts)] if two else claims


def _against_chance(parts: Mapping[str, LengthPart], counted: str, *, counts: bool) -> Claim:
    name, worst = max(parts.items(), key=lambda item: _found(item[1]) / allowance(item[1].n_problems))
    bound, (here, there) = allowance(worst.n_problems), worst.n_problems
    kind = "one component" if len(worst.chosen.weight) == 1 else "two components"
    return Claim(
        f"Lengths: Kolmogorov distance on held-out answers, the worst of {_types(len(parts))} ({name}, {kind})",
        f"{_found(worst):.4f}",
        f"<= {bound:.4f} (two halves of {here:,} and {there:,} {counted}, 1 % point)" if counts else "reported",
        f"one component {worst.distances[0]:.4f}, two {worst.distances[1]:.4f}, the halves {worst.halves:.4f}; "
        f"{worst.n_held:,} answers",
        _found(worst) <= bound if counts else None,
    )


def _against_one(parts: Mapping[str, LengthPart], *, counts: bool) -> Claim:
    name, worst = max(parts.items(), key=lambda item: item[1].distances[1] - item[1].distances[0])
    one, two = worst.distances
    return Claim(
        f"Lengths: two components, where chosen ({_types(len(parts))}), lie no farther from held-out answers "
        f"than one; the worst, {name}",
        f"{two:.4f}",
        f"<= {one:.4f} (one log-normal)" if counts else "reported",
        f"the halves {worst.halves:.4f}; {worst.n_held:,} answers",
        two <= one if counts else None,
    )
