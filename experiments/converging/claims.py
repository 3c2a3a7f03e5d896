"""The claims of a convergence run: each names its threshold, what was measured, and whether it holds."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluators.regret import Share
from evaluators.resampling import Interval
from evaluators.shares import clopper_pearson
from experiments.converging.scoring import Falls, Live, median_or_later, share_of
from experiments.results import Claim

__all__ = [
    "ahead_of_all",
    "deployed_again",
    "excess_approvals",
    "few_falls",
    "false_claims",
    "kept",
    "power",
    "reached",
    "recommended_again",
    "recovered",
    "recovered_for_good",
    "statements",
]

Floats = NDArray[np.float64]
MAX_EXCESS, MAX_FALLS, MAX_FALSE = 6, 0.01, 0.05
MAX_SWAP, PRICE_SLACK, MIN_AHEAD = 60, 10, 0.75
MIN_TRUE, MIN_SAID = 0.95, 0.60


def reached(what: str, share: Share, *, least: float, bound: float | None = None) -> Claim:
    """Share of runs that reached the tolerance, and its lower bound where one is required too."""
    required = f">= {least:g}" + ("" if bound is None else f", lower bound >= {bound:g}")
    holds = share.share >= least and (bound is None or share.lo >= bound)
    return _share(f"Reached {what}", share, required=required, holds=holds)


def kept(what: str, share: Share, *, least: float | None) -> Claim:
    """Share, of runs that began within tolerance, inside from there to the end; reported if nothing is required."""
    if least is None:
        return _share(f"Kept {what}", share, required="reported", holds=None)
    return _share(f"Kept {what}", share, required=f">= {least:g}", holds=share.share >= least)


def _share(text: str, share: Share, *, required: str, holds: bool | None) -> Claim:
    if not share.total:
        return Claim(text, "no run began there", "reported", "0 runs", None)
    words = f"{share.share:.3f} ({share.hits:,} of {share.total:,})"
    return Claim(text, words, required, f"lower bound {share.lo:.3f}", None if holds is None else bool(holds))


def excess_approvals(found: NDArray[np.int64]) -> Claim:
    """Approvals in a run beyond the fewest that lead into the tolerance set, median over runs."""
    low, median, high = np.percentile(found, [25, 50, 75])
    return Claim(
        "Approvals beyond the geometric minimum, median over runs, both starts", f"{median:g}", f"<= {MAX_EXCESS}",
        f"quartiles {low:g} and {high:g}, {found.size:,} runs", bool(median <= MAX_EXCESS),
    )  # fmt: skip


def few_falls(found: Sequence[Falls], *, where: str = "") -> Claim:
    """Approvals after which the exact deployed value was lower by more than 0.05."""
    total, fallen = sum(one.approvals for one in found), sum(one.fallen for one in found)
    share = fallen / total if total else 0.0
    hi = clopper_pearson(fallen, total, confidence=0.95, side="upper").hi if total else 1.0
    return Claim(
        f"Approvals whose true value falls by more than 0.05{where}", f"{share:.4f} ({fallen:,} of {total:,})",
        f"<= {MAX_FALLS:g}", f"upper bound {hi:.4f}", share <= MAX_FALLS,
    )  # fmt: skip


def false_claims(world: str, hits: int, total: int) -> Claim:
    """Runs on the control that ever claim an improvement over the start."""
    hi = clopper_pearson(hits, total, confidence=0.95, side="upper").hi
    return Claim(
        f"Runs on {world} with any improvement claim (anytime-valid)", f"{hits / total:.4f} ({hits:,} of {total:,})",
        f"<= {MAX_FALSE:g} by the exact upper bound", f"upper bound {hi:.4f}", hi <= MAX_FALSE,
    )  # fmt: skip


def power(what: str, hits: int, total: int) -> Claim:
    """Runs elsewhere that claim an improvement, of those whose deployed value is truly higher at the end."""
    share = share_of(hits, total)
    words = f"{share.share:.3f} ({hits:,} of {total:,})" if total else "no run improved"
    return Claim(f"Runs that claim an improvement {what}", words, "reported", f"lower bound {share.lo:.3f}", None)


def recovered(found: Floats) -> Claim:
    """Evaluations from a version swap until within tolerance again, of runs that it drove out."""
    median = median_or_later(found)
    return _times(
        "After a version swap: evaluations until within tolerance again",
        found,
        (median, f"{MAX_SWAP}", median <= MAX_SWAP),
    )


def recovered_for_good(found: Floats) -> Claim:
    """The same until they leave it no more; reported: a run that ends 120 evaluations later has little time to stay."""
    median = median_or_later(found)
    told = _times("After a version swap: evaluations until within tolerance for good", found, (median, "", True))
    return told._replace(required="reported", holds=None)


def recommended_again(found: Floats) -> Claim:
    """The same of the recommended point after a price change."""
    median = median_or_later(found)
    return _times(
        "After a price change, recommended point: evaluations until within tolerance", found, (median, "0", median <= 0)
    )


def deployed_again(found: Floats, steps: NDArray[np.int64]) -> Claim:
    """Of the deployed point, less the fewest approvals that lead from it into the new tolerance set.

    Args:
        found: (m,) evaluations.
        steps: (m,) fewest approvals.
    """
    median = median_or_later(found - steps)
    fewest = (
        f"minimum steps (median {np.median(steps):g}) + {PRICE_SLACK}"
        if steps.size
        else f"minimum steps + {PRICE_SLACK}"
    )
    text = "After a price change, deployed point: evaluations until within tolerance, less the minimum steps"
    return _times(text, found - steps, (median, f"{PRICE_SLACK}: {fewest}", median <= PRICE_SLACK))


def _times(text: str, found: Floats, judged: tuple[float, str, bool]) -> Claim:
    median, limit, holds = judged
    if not found.size:
        return Claim(text, "no run was driven out of tolerance", "reported", "0 runs", None)
    never = int(np.isinf(found).sum())
    words = "never, for half of the runs" if np.isinf(median) else f"median {median:g}"
    low, high = (f"{q:g}" for q in np.sort(found)[[found.size // 4, 3 * found.size // 4]])
    return Claim(
        text, words, f"<= {limit}", f"quartiles {low} and {high}; {never} of {found.size} runs never", bool(holds)
    )


def ahead_of_all(found: Mapping[tuple[str, int], Interval]) -> Claim:
    """The least probability of improvement over all others and evaluations.

    Args:
        found: by (name of the other, evaluation).
    """
    text = "Ahead of every other policy and peer: probability of improvement"
    if not found:
        return Claim(text, "nobody to compare with", "reported", "0 policies", None)
    least = {
        by: min((float(i.value), name) for (name, n), i in found.items() if n == by)
        for by in sorted({n for _, n in found})
    }
    words = "; ".join(f"at {by}: {value:.3f} ({name})" for by, (value, name) in least.items())
    bounds = ", ".join(f"{float(found[name, by].lo):.3f}" for by, (_, name) in least.items())
    n_others = len({name for name, _ in found})
    return Claim(
        text, f"least {words}", f">= {MIN_AHEAD:g} at each", f"bootstrap 95 % lower ends {bounds}; {n_others} others",
        all(value >= MIN_AHEAD for value, _ in least.values()),
    )  # fmt: skip


def statements(found: Sequence[Live], converged: Sequence[NDArray[np.bool_]], *, by: int) -> tuple[Claim, Claim]:
    """Whether the live statement is true when it is made, and how many converged runs make it.

    Args:
        found: of each surface.
        converged: (s,) per surface, whether the run is within tolerance from `by` on.
        by: evaluation until which a run must have spoken.
    """
    first = np.concatenate([one.first for one in found])
    stands = sum(int(one.said.sum()) for one in found)
    holds = sum(int((one.said & one.true).sum()) for one in found)
    spoke = [np.any(one.said[:, :by], axis=1).tolist() for one in found]
    pairs = [pair for row, good in zip(spoke, converged, strict=True) for pair in zip(row, good, strict=True)]
    of_good = [has_spoken for has_spoken, is_good in pairs if is_good]
    true, said = share_of(int(first.sum()), first.size), share_of(sum(of_good), len(of_good))
    always = f"{holds / stands:.3f} of {stands:,} evaluations at which it stands" if stands else "never made"
    return (
        Claim(
            "Live statement true when first made, one per run", _words(true), _least(true, MIN_TRUE),
            f"lower bound {true.lo:.3f}; {always}", bool(true.share >= MIN_TRUE) if true.total else None,
        ),
        Claim(
            f"Live statement made by {by} by runs that have converged", _words(said), _least(said, MIN_SAID),
            f"lower bound {said.lo:.3f}", bool(said.share >= MIN_SAID) if said.total else None,
        ),
    )  # fmt: skip


def _words(share: Share) -> str:
    return f"{share.share:.3f} ({share.hits:,} of {share.total:,})" if share.total else "never made"


def _least(share: Share, least: float) -> str:
    return f">= {least:g}" if share.total else "reported"
