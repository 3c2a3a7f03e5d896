"""The claims of the experiments: each names its threshold, what was measured, and whether it holds.

Pure functions from numbers to `Claim`; nothing here decides what is run.
"""

from collections.abc import Mapping, Sequence

from evaluators.intervals import clopper_pearson
from evaluators.propensity import PropensityCheck
from evaluators.regret import Convergence
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
]

DR_BAND = (0.93, 0.97)
MAX_PROGRAMS = 12
NULL_LOGS = 1000


def context_matters(seeing: float, blind: float) -> Claim:
    """Best contextual value against the best single action, both exact."""
    gap = seeing - blind
    return Claim(
        "Context matters: best value seeing the context, less the best without (exact)",
        f"{seeing:.4f} - {blind:.4f} = {gap:.4f}", "> 0.01", "exact", gap > 0.01,
    )  # fmt: skip


def converged(policy: str, rule: str, *, task: str, shares: Convergence) -> Claim:
    """Shares of seeds that reached (or kept) the oracle's tolerance; reported, nothing is required."""
    kind = "reached" if shares.reached[0].total else "kept"
    rows = getattr(shares, kind)
    return Claim(
        f"{policy} ({rule}), {task}: {kind} by {'/'.join(str(s.by) for s in rows)} evaluations",
        " / ".join(f"{s.share:.1%}" for s in rows),
        "reported",
        ">= " + " / ".join(f"{s.lo:.1%}" for s in rows),
        None,
    )


def ips_unbiased(ips: Judged) -> Claim:
    """IPS bias within three Monte Carlo standard errors of zero."""
    bias, error = ips.bias
    return Claim(
        f"IPS is unbiased, n = {ips.n:,}", f"{bias:+.5f}", "within 3 standard errors of 0",
        f"standard error {error:.5f}, {len(ips.value):,} logs", abs(bias) <= 3 * error,
    )  # fmt: skip


def dr_coverage(robust: Judged, *, strict: bool) -> Claim:
    """DR interval coverage; `strict` requires the band itself, else the band up to 3 standard errors."""
    coverage, error = robust.coverage
    slack = 0.0 if strict else 3 * error
    inside = DR_BAND[0] - slack <= coverage <= DR_BAND[1] + slack
    required = f"[{DR_BAND[0]}, {DR_BAND[1]}]" + ("" if strict else " up to 3 standard errors")
    large = robust.n >= 2000
    return Claim(
        f"DR 95 % interval covers the exact value, n = {robust.n:,}", f"{coverage:.4f}",
        required if large else "reported", f"standard error {error:.4f}, {len(robust.value):,} logs",
        inside if large else None,
    )  # fmt: skip


def point_mass(found: Mapping[int, Support]) -> Claim:
    """A point-mass target must be answered with `insufficient support`, at every log size."""
    words = [f"n = {n:,}: {'sufficient' if s.sufficient else 'insufficient'} (ESS {s.ess:.0f})" for n, s in found.items()]
    return Claim(
        "A point-mass target: insufficient support", "; ".join(words), "insufficient: ESS < 50 or w > n / 10",
        "one log of each size", not any(s.sufficient for s in found.values()),
    )  # fmt: skip


def propensities(checked: Sequence[Checked]) -> Claim:
    """No family of cells rejected at 0.001."""
    least = min(min(c.by_action[1].p_value, c.by_slot[1].p_value) for c in checked)
    cells = sum(c.by_action[1].n_cells + c.by_slot[1].n_cells for c in checked)
    return Claim(
        "Logged propensities are the truth, every policy, by action and by slot", f"smallest Holm p {least:.3g}",
        ">= 0.001", f"{cells:,} cells of {len(checked)} policy runs", cells > 0 and all(c.holds for c in checked),
    )  # fmt: skip


def planted(name: str, said: PropensityCheck) -> Claim:
    """The propensity check must reject a log that lies."""
    return Claim(f"Planted fault is caught: {name}", f"Holm p {said.p_value:.3g}", "< 0.001", "", not said.holds)


def approvals(world: str, hits: int, total: int, *, strict: bool) -> Claim:
    """Share approved where an improvement exists; `strict` wants 80 % measured, else 80 % not excluded."""
    if not total:
        return Claim(f"Gate approves on fresh logs of {world}", "not run", "reported", "0 replications", None)
    bounds = clopper_pearson(hits, total, confidence=0.95)
    return Claim(
        f"Gate approves on fresh logs of {world}, where a real improvement exists", f"{hits:,} of {total:,}",
        ">= 80 %" + ("" if strict else " not excluded at 95 %"), f"[{bounds.lo:.1%}, {bounds.hi:.1%}]",
        hits / total >= 0.8 if strict else bounds.hi >= 0.8,
    )  # fmt: skip


def refusals(world: str, hits: int, total: int) -> Claim:
    """Share refused where nothing can improve; judged at 99 % from 1,000 replications on."""
    if not total:
        return Claim(f"Gate refuses on fresh logs of {world}", "not run", "reported", "0 replications", None)
    enough = total >= NULL_LOGS
    bounds = clopper_pearson(hits, total, confidence=0.99, side="lower" if enough else "two")
    required = "exact 99 % lower bound > 95 %" if enough else "95 % not excluded at 99 %"
    return Claim(
        f"Gate refuses on fresh logs of {world}, where no improvement exists", f"{hits:,} of {total:,}", required,
        f"[{bounds.lo:.1%}, {bounds.hi:.1%}]", bounds.lo > 0.95 if enough else bounds.hi > 0.95,
    )  # fmt: skip


def programs(count: int) -> Claim:
    """Programs compiled by one vetting run."""
    return Claim("Programs compiled by this run", f"{count}", f"<= {MAX_PROGRAMS}", "count", count <= MAX_PROGRAMS)
