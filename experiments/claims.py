"""The claims of the experiments: each names its threshold, what was measured, and whether it holds.

Pure functions from numbers to `Claim`; nothing here decides what is run.
"""

from collections.abc import Iterable, Mapping, Sequence

from evaluators.gates import Verdict
from evaluators.propensity import PropensityCheck
from evaluators.regret import Convergence
from evaluators.shares import clopper_pearson
from evaluators.support import Support
from experiments.ope import Judged
from experiments.propensities import Checked
from experiments.results import Claim

__all__ = [
    "approvals",
    "context_matters",
    "converged",
    "dr_coverage",
    "ips_unbiased",
    "planted",
    "point_mass",
    "programs",
    "propensities",
    "refusals",
    "split_logged",
    "target_support",
    "true_gain",
]

DR_BAND = (0.93, 0.97)
ESS_BAND = (0.2, 0.3)
MAX_PROGRAMS = 12
NULL_LOGS = 1000
VISIBLE_GAIN = 0.05  # reward units; the gate detects about 0.043 in 2,000 rows of gsm8k_small
FEW = 30  # replications below which a share is reported, not judged
FEW_LOGS = 171  # 3 sqrt(0.95 0.05 / n) is 0.05 there; a coverage over fewer logs is reported, not judged


def context_matters(seeing: float, blind: float, *, strict: bool) -> Claim:
    """Best contextual value against the best single action, both exact; required of worlds with several task types."""
    gap = seeing - blind
    return Claim(
        "Context matters: best value seeing the context, less the best without (exact)",
        f"{seeing:.4f} - {blind:.4f} = {gap:.4f}",
        "> 0.01" if strict else "reported",
        "exact",
        gap > 0.01 if strict else None,
    )


def converged(policy: str, rule: str, by_task: Mapping[str, Convergence]) -> Claim:
    """Shares of seeds that reached (or kept) the oracle's tolerance; nothing is required.

    Up to three task types stand alone with their bounds; more are pooled, those that began
    inside the tolerance apart from those that reached it.
    """
    kinds = {task: "reached" if shares.reached[0].total else "kept" for task, shares in by_task.items()}
    by = "/".join(str(share.by) for share in next(iter(by_task.values())).reached)
    text = f"{policy} ({rule}) converged by {by} evaluations"
    if len(by_task) <= 3:
        rows = {task: getattr(shares, kinds[task]) for task, shares in by_task.items()}
        measured = [f"{task} {kinds[task]} {_percent(s.share for s in found)}" for task, found in rows.items()]
        bounds = [
            f">= {_percent(s.lo for s in found)}, strict {_percent(s.share for s in by_task[task].strict)}"
            if kinds[task] == "reached"
            else f">= {_percent(s.lo for s in found)}"
            for task, found in rows.items()
        ]
        return Claim(text, "; ".join(measured), "reported", "; ".join(bounds), None)
    words = []
    for kind in ("reached", "kept"):
        found = [getattr(by_task[task], kind) for task in by_task if kinds[task] == kind]
        if found:
            pooled = (sum(s.hits for s in same) / sum(s.total for s in same) for same in zip(*found, strict=True))
            words.append(f"{kind} {_percent(pooled)} ({len(found)} task types)")
    return Claim(text, "; ".join(words), "reported", "pooled; by task type in the report", None)


def _percent(shares: Iterable[float]) -> str:
    return "/".join(f"{100 * share:.0f}" for share in shares) + " %"


def ips_unbiased(ips: Judged) -> Claim:
    """IPS bias within three Monte Carlo standard errors of zero."""
    bias, error = ips.bias
    return Claim(
        f"IPS is unbiased, n = {ips.n:,}", f"{bias:+.5f}", "within 3 standard errors of 0",
        f"standard error {error:.5f}, {len(ips.value):,} logs", abs(bias) <= 3 * error,
    )  # fmt: skip


def dr_coverage(robust: Judged, *, strict: bool, is_exact: bool = True) -> Claim:
    """DR interval coverage at n >= 2,000.

    Args:
        robust: the estimator on many logs.
        strict: whether the band itself is required, else the band up to 3 standard errors.
        is_exact: whether the world knows its truth. Against a recorded table's mean, intervals that
            are clustered by problem (they speak of new problems) cover more: then nothing is required.
    """
    coverage, error = robust.coverage
    slack = 0.0 if strict else 3 * error
    inside = DR_BAND[0] - slack <= coverage <= DR_BAND[1] + slack
    required = f"[{DR_BAND[0]}, {DR_BAND[1]}]" + ("" if strict else " up to 3 standard errors")
    counts = is_exact and robust.n >= 2000 and len(robust.value) >= FEW_LOGS
    return Claim(
        f"DR 95 % interval covers the {'exact value' if is_exact else 'recorded mean'}, n = {robust.n:,}",
        f"{coverage:.4f}",
        required if counts else "reported",
        f"standard error {error:.4f}, {len(robust.value):,} logs",
        inside if counts else None,
    )


def target_support(share: float, *, is_exact: bool) -> Claim:
    """The judged target's expected ESS / n; on a recorded world few settings may allow more."""
    inside = ESS_BAND[0] <= share <= ESS_BAND[1]
    return Claim(
        "The judged target's expected ESS / n",
        f"{share:.3f}",
        f"[{ESS_BAND[0]}, {ESS_BAND[1]}]" if is_exact else "reported",
        "exact",
        inside if is_exact else None,
    )


def point_mass(found: Mapping[int, Support], *, is_exact: bool = True) -> Claim:
    """A point-mass target must be answered with `insufficient support`, at every log size.

    Where few settings were recorded a point mass can be supported: then nothing is required.
    """
    answer = {True: "sufficient", False: "insufficient"}
    words = [f"n = {n:,}: {answer[s.sufficient]} (ESS {s.ess:.0f})" for n, s in found.items()]
    return Claim(
        "A point-mass target: insufficient support",
        "; ".join(words),
        "ESS < 50 or w > n / 10" if is_exact else "reported",
        "one log of each size",
        not any(s.sufficient for s in found.values()) if is_exact else None,
    )


def propensities(checked: Sequence[Checked]) -> Claim:
    """No family of cells rejected at 0.001; where nothing was ever drawn at random there is nothing to check."""
    least = min(min(c.by_action[1].p_value, c.by_slot[1].p_value) for c in checked)
    cells = sum(c.by_action[1].n_cells + c.by_slot[1].n_cells for c in checked)
    return Claim(
        "Logged propensities are the truth, every policy, by action and by slot", f"smallest Holm p {least:.3g}",
        ">= 0.001" if cells else "reported", f"{cells:,} cells of {len(checked)} policy runs",
        all(c.holds for c in checked) if cells else None,
    )  # fmt: skip


def planted(name: str, said: PropensityCheck) -> Claim:
    """The propensity check must reject a log that lies."""
    return Claim(f"Planted fault is caught: {name}", f"Holm p {said.p_value:.3g}", "< 0.001", "", not said.holds)


def approvals(world: str, hits: int, total: int, *, gain: float, strict: bool) -> Claim:
    """Share approved where an improvement exists.

    Args:
        world: its name.
        hits: approvals.
        total: replications; fewer than 30 say too little, and are reported.
        gain: exact gain of the best feasible actions over the baseline, > 0; one too small for any gate
            to see in 2,000 rows is reported.
        strict: whether 80 % must be measured, else 80 % must not be excluded.
    """
    text = f"Gate approves on fresh logs of {world}, where up to {gain:.3f} can be gained (exact)"
    if not total:
        return Claim(text, "not run", "reported", "0 replications", None)
    bounds = clopper_pearson(hits, total, confidence=0.95)
    holds = hits / total >= 0.8 if strict else bounds.hi >= 0.8
    counts = total >= FEW and gain >= VISIBLE_GAIN
    return Claim(
        text,
        f"{hits:,} of {total:,}",
        ">= 80 %" + ("" if strict else " not excluded at 95 %") if counts else "reported",
        f"[{bounds.lo:.1%}, {bounds.hi:.1%}]",
        holds if counts else None,
    )


def refusals(world: str, hits: int, total: int) -> Claim:
    """Share refused where nothing can improve; judged at 99 % from 1,000 replications on, reported below 30."""
    text = f"Gate refuses on fresh logs of {world}, where nothing can be gained (exact)"
    if not total:
        return Claim(text, "not run", "reported", "0 replications", None)
    enough = total >= NULL_LOGS
    bounds = clopper_pearson(hits, total, confidence=0.99, side="lower" if enough else "two")
    required = "exact 99 % lower bound > 95 %" if enough else "95 % not excluded at 99 %"
    holds = bounds.lo > 0.95 if enough else bounds.hi > 0.95
    counts = total >= FEW
    return Claim(
        text,
        f"{hits:,} of {total:,}",
        required if counts else "reported",
        f"[{bounds.lo:.1%}, {bounds.hi:.1%}]",
        holds if counts else None,
    )


def true_gain(verdict: Verdict, gain: float) -> Claim:
    """What the judged candidate is really worth over the baseline; an approved one must not be worth less."""
    approved = verdict.answer == "approved"
    return Claim(
        f"Exact gain of the judged candidate, {verdict.candidate}, over the baseline",
        f"{gain:+.4f}",
        ">= 0 where approved" if approved else "reported",
        "exact",
        gain >= 0 if approved else None,
    )


def split_logged(said: PropensityCheck) -> Claim:
    """Propensities of a log written behind a traffic split must be the truth, split included."""
    text = "Logged propensities are the truth behind a traffic split"
    return Claim(text, f"Holm p {said.p_value:.3g}", ">= 0.001", f"{said.n_cells} cells, 2,000 decisions", said.holds)


def programs(count: int, *, strict: bool) -> Claim:
    """Programs compiled by one vetting run; required where world and control share their programs."""
    required = f"<= {MAX_PROGRAMS}" if strict else "reported"
    return Claim(
        "Programs compiled by this run", f"{count}", required, "count", count <= MAX_PROGRAMS if strict else None
    )
