"""Every claim can fail: numbers on both sides of every threshold, and the words that are printed."""

import numpy as np
import pytest

from evaluators.gates import Verdict
from evaluators.propensity import PropensityCheck, Tally
from evaluators.regret import Convergence, Share
from evaluators.shares import clopper_pearson
from evaluators.support import Support
from experiments import claims
from experiments.ope import Judged
from experiments.propensities import Checked
from experiments.results import Claim


def judged(error: np.ndarray, *, n: int = 2000, half: float = 1.0, truth: float = 0.5) -> Judged:
    """Logs whose estimates miss the truth by `error`, with intervals of half width `half`."""
    value, ones = truth + error, np.ones(len(error))
    return Judged("any", n, value, ones, value - half, value + half, ones, truth)


def biased(standard_errors: float) -> Judged:
    """100 logs whose mean error is so many of its standard errors."""
    spread = np.tile([-1.0, 1.0], 50)
    error = spread.std(ddof=1) / 10
    return judged(spread + standard_errors * error)


def covering(share: float, *, n: int = 2000, n_logs: int = 10_000) -> Judged:
    """Logs of which a share has the truth inside the interval."""
    return judged(np.where(np.arange(n_logs) < round(share * n_logs), 0.0, 2.0), n=n)


def support(*, is_sufficient: bool) -> Support:
    return Support(2000, 60.0, 60.0, 10.0, 0.0, is_sufficient, ())


def check(p_value: float) -> PropensityCheck:
    return PropensityCheck(3.0, p_value, 7, p_value >= 0.001)


def checked(by_action: float, by_slot: float) -> Checked:
    cells = Tally(np.ones(1), np.ones(1), np.ones(1))
    return Checked("linucb", "improve", (cells, check(by_action)), (cells, check(by_slot)))


def least_hits(total: int, *, confidence: float, share: float, side: str, end: str) -> int:
    """The fewest hits of `total` whose exact bound exceeds a share."""
    return next(
        hits
        for hits in range(total + 1)
        if getattr(clopper_pearson(hits, total, confidence=confidence, side=side), end) > share
    )


HITS_1000 = least_hits(1000, confidence=0.99, share=0.95, side="lower", end="lo")
HITS_40 = least_hits(40, confidence=0.99, share=0.95, side="two", end="hi")
GAINS_40 = least_hits(40, confidence=0.95, share=0.8, side="two", end="hi")
APPROVED = Verdict("approved", "softmax_0.25", ("a reason",), None)
PAIRS = {  # on numbers that do not meet the threshold, and on numbers that do
    "context": (claims.context_matters(0.5099, 0.5, strict=True), claims.context_matters(0.5101, 0.5, strict=True)),
    "bias above": (claims.ips_unbiased(biased(3.01)), claims.ips_unbiased(biased(2.99))),
    "bias below": (claims.ips_unbiased(biased(-3.01)), claims.ips_unbiased(biased(-2.99))),
    "coverage low": (
        claims.dr_coverage(covering(0.9299), strict=True),
        claims.dr_coverage(covering(0.93), strict=True),
    ),
    "coverage high": (
        claims.dr_coverage(covering(0.9701), strict=True),
        claims.dr_coverage(covering(0.97), strict=True),
    ),
    # 200 logs: three standard errors of a share of 0.875 are 0.070, of 0.88 they are 0.069
    "coverage of few logs": (
        claims.dr_coverage(covering(0.85, n_logs=200), strict=False),
        claims.dr_coverage(covering(0.88, n_logs=200), strict=False),
    ),
    "point mass": (
        claims.point_mass({200: support(is_sufficient=False), 2000: support(is_sufficient=True)}),
        claims.point_mass({200: support(is_sufficient=False), 2000: support(is_sufficient=False)}),
    ),
    "propensities by action": (
        claims.propensities([checked(0.5, 0.5), checked(0.0009, 0.5)]),
        claims.propensities([checked(0.5, 0.5), checked(0.001, 0.5)]),
    ),
    "propensities by slot": (
        claims.propensities([checked(0.5, 0.0009)]),
        claims.propensities([checked(0.5, 0.001)]),
    ),
    "target support low": tuple(claims.target_support(share, is_exact=True) for share in (0.199, 0.2)),
    "target support high": tuple(claims.target_support(share, is_exact=True) for share in (0.301, 0.3)),
    "planted": (claims.planted("a lie", check(0.001)), claims.planted("a lie", check(0.0009))),
    "approvals": (
        claims.approvals("gsm8k_small", 319, 400, gain=0.1, strict=True),
        claims.approvals("x", 320, 400, gain=0.1, strict=True),
    ),
    "approvals of few": (
        claims.approvals("x", GAINS_40 - 1, 40, gain=0.1, strict=False),
        claims.approvals("x", GAINS_40, 40, gain=0.1, strict=False),
    ),
    "refusals": (claims.refusals("flat_null", HITS_1000 - 1, 1000), claims.refusals("flat_null", HITS_1000, 1000)),
    "refusals of few": (claims.refusals("flat_null", HITS_40 - 1, 40), claims.refusals("flat_null", HITS_40, 40)),
    "true gain": (claims.true_gain(APPROVED, -1e-6), claims.true_gain(APPROVED, 0.0)),
    "split logged": (claims.split_logged(check(0.0009)), claims.split_logged(check(0.001))),
    "programs": (claims.programs(13, strict=True), claims.programs(12, strict=True)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_claim_fails_on_one_side_of_its_threshold_and_holds_on_the_other(name: str) -> None:
    below, above = PAIRS[name]
    assert (below.holds, above.holds) == (False, True)
    assert below.required == above.required != "reported"
    assert all(isinstance(text, str) for text in below[:4]) and below.claim and below.measured


def test_the_thresholds_are_printed() -> None:
    required = {name: pair[0].required for name, pair in PAIRS.items()}
    assert required["context"] == "> 0.01"
    assert required["bias above"] == "within 3 standard errors of 0"
    assert required["coverage low"] == "[0.93, 0.97]"
    assert required["coverage of few logs"] == "[0.93, 0.97] up to 3 standard errors"
    assert required["point mass"] == "ESS < 50 or w > n / 10"
    assert required["propensities by slot"] == ">= 0.001"
    assert required["target support low"] == "[0.2, 0.3]"
    assert required["planted"] == "< 0.001"
    assert required["approvals"] == ">= 80 %"
    assert required["approvals of few"] == ">= 80 % not excluded at 95 %"
    assert required["refusals"] == "exact 99 % lower bound > 95 %"
    assert required["refusals of few"] == "95 % not excluded at 99 %"
    assert required["programs"] == "<= 12"


def test_what_was_measured_stands_beside_its_uncertainty() -> None:
    assert claims.context_matters(0.51, 0.5, strict=False).measured == "0.5100 - 0.5000 = 0.0100"
    coverage = claims.dr_coverage(covering(0.95, n_logs=200), strict=False)
    assert (coverage.measured, coverage.interval) == ("0.9500", "standard error 0.0154, 200 logs")
    assert claims.ips_unbiased(biased(2.0)).interval == "standard error 0.10050, 100 logs"
    # 950 of 1,000: the exact one-sided 99 % lower bound is 93.2 %
    assert claims.refusals("flat_null", 950, 1000).measured == "950 of 1,000"
    assert claims.refusals("flat_null", 950, 1000).interval == "[93.2%, 100.0%]"
    found = claims.propensities([checked(0.5, 0.25), checked(0.125, 0.5)])
    assert (found.measured, found.interval) == ("smallest Holm p 0.125", "28 cells of 2 policy runs")


def test_coverage_of_short_logs_and_of_recorded_worlds_is_reported_only() -> None:
    short = claims.dr_coverage(covering(0.5, n=200), strict=True)
    recorded = claims.dr_coverage(covering(0.5), strict=True, is_exact=False)
    assert (short.holds, short.required, recorded.holds, recorded.required) == (None, "reported", None, "reported")
    assert "the exact value, n = 200" in short.claim
    assert "the recorded mean, n = 2,000" in recorded.claim


def test_a_point_mass_may_be_supported_where_few_settings_were_recorded() -> None:
    found = claims.point_mass({200: support(is_sufficient=True)}, is_exact=False)
    assert (found.holds, found.required, found.measured) == (None, "reported", "n = 200: sufficient (ESS 60)")


def test_the_support_of_a_recorded_worlds_target_is_reported_only() -> None:
    found = claims.target_support(0.5, is_exact=False)
    assert (found.holds, found.required, found.measured) == (None, "reported", "0.500")


def test_a_refused_candidates_exact_gain_is_reported_only() -> None:
    refused = APPROVED._replace(answer="refused")
    assert claims.true_gain(refused, -0.1).holds is None


def test_too_few_replications_are_reported_only() -> None:
    for found in (claims.approvals("w", 2, 2, gain=0.1, strict=False), claims.refusals("w", 29, 29)):
        assert (found.holds, found.required) == (None, "reported")


def test_what_was_not_run_is_not_claimed() -> None:
    hardly = claims.approvals("w", 0, 400, gain=0.049, strict=True)  # nobody could see so little
    assert (hardly.required, hardly.holds) == ("reported", None)
    for found in (claims.approvals("w", 0, 0, gain=0.1, strict=True), claims.refusals("w", 0, 0)):
        assert (found.holds, found.measured, found.required) == (None, "not run", "reported")


def test_without_a_random_decision_there_is_no_propensity_to_check() -> None:
    nothing = (Tally(np.ones(1), np.ones(1), np.zeros(1)), PropensityCheck(0.0, 1.0, 0, True))
    found = claims.propensities([Checked("fixed", "two_sample", nothing, nothing)])
    assert (found.holds, found.required) == (None, "reported")


def shares(hits: int, total: int) -> tuple[Share, ...]:
    return tuple(Share(by, hits, total, hits / total if total else float("nan"), 0.25) for by in (50, 100))


def began(*, inside: bool, hits: int = 3, total: int = 4) -> Convergence:
    """Seeds that all began inside the tolerance, or all outside."""
    some, none = shares(hits, total), shares(0, 0)
    return Convergence(none if inside else some, none if inside else some, some if inside else none)


def test_convergence_is_reported_by_task_type_reached_and_kept_apart() -> None:
    found = claims.converged("thompson", "improve", {"a": began(inside=False), "b": began(inside=True)})
    assert found.claim == "thompson (improve) converged by 50/100 evaluations"
    assert found.measured == "a reached 75/75 %; b kept 75/75 %"
    assert (found.interval, found.required, found.holds) == (">= 25/25 %, strict 75/75 %; >= 25/25 %", "reported", None)


def test_many_task_types_are_pooled_reached_and_kept_apart() -> None:
    kinds = {name: began(inside=False, hits=hits) for name, hits in zip("abc", (4, 2, 0), strict=True)}
    found = claims.converged("linucb", "two_sample", kinds | {"d": began(inside=True)})
    assert found.measured == "reached 50/50 % (3 task types); kept 75/75 % (1 task types)"
    assert found.holds is None


def test_every_claim_is_made_of_plain_values() -> None:
    for pair in PAIRS.values():
        for claim in pair:
            assert type(claim) is Claim
            assert type(claim.holds) is bool  # NumPy's own is not JSON
