"""Evidence carries a policy, or a waiver valid now does, and nothing else; each field has its kind and range."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from policies.evidence import Digests, Finding, Waiver, check_evidence, parse_time, read_evidence, read_hex, read_text
from policies.refusals import EvidenceError, FormatError
from policies.strict_json import Node, canonical, parse
from tests.examples import evidence

NOW = datetime(2030, 6, 1, 12, 0, 0, tzinfo=UTC)
VALID, EXPIRED, OTHER = "valid", "expired", "another rule"
WAIVERS = {
    VALID: Waiver(identity="release manager", reason="pilot", expires="2030-06-01T12:00:01Z"),
    EXPIRED: Waiver(identity="release manager", reason="pilot", expires="2030-06-01T12:00:00Z"),
    OTHER: Waiver(identity="release manager", reason="pilot", expires="2031-01-01T00:00:00Z", waives=("card",)),
}
BOUNDS = {"above": 0.03, "zero": 0.0, "minus zero": -0.0, "below": -1e-12, "unknown": None}
SETS = [names for n in range(3) for names in itertools.combinations(WAIVERS, n)]


def lets_out(verdict: str, bound: float | None, waivers: tuple[str, ...]) -> bool:
    """The rule in one sentence: nothing has ended, and either the gate approved above zero or its waiver is there."""
    if EXPIRED in waivers:
        return False
    return VALID in waivers or (verdict == "approved" and bound is not None and not bound < 0)


@pytest.mark.parametrize("waivers", SETS, ids=[" and ".join(names) or "none" for names in SETS])
@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("verdict", ["approved", "refused", "no_change"])
def test_the_door_opens_as_the_rule_says_and_never_otherwise(
    verdict: str, bound: str, waivers: tuple[str, ...]
) -> None:
    said = evidence(verdict=verdict, lower_bound=BOUNDS[bound])
    held = tuple(WAIVERS[name] for name in waivers)
    if lets_out(verdict, BOUNDS[bound], waivers):
        check_evidence(said, held, now=NOW, file="manifest.json")
        return
    with pytest.raises(EvidenceError) as caught:
        check_evidence(said, held, now=NOW, file="manifest.json")
    blamed = (
        "waivers" if EXPIRED in waivers else "evidence.verdict" if verdict != "approved" else "evidence.lower_bound"
    )
    assert caught.value.field.startswith(blamed)
    assert caught.value.file == "manifest.json"


def test_a_refusal_says_why_the_gate_refused_and_when_a_waiver_ended() -> None:
    said = evidence(verdict="refused", reasons=("the ess is 40", "need 200"))
    with pytest.raises(
        EvidenceError, match=r"verdict = 'refused' \(the ess is 40; need 200\), need 'approved', or a w"
    ):
        check_evidence(said, (), now=NOW, file="f")
    with pytest.raises(EvidenceError, match="lower_bound = -0.5, need a number >= 0, or a waiver of 'gate'"):
        check_evidence(evidence(lower_bound=-0.5), (), now=NOW, file="f")
    with pytest.raises(
        EvidenceError, match=r"waivers\[1\].expires = '2030-06-01T12:00:00Z', need a time after 2030-06"
    ):
        check_evidence(evidence(), (WAIVERS[VALID], WAIVERS[EXPIRED]), now=NOW, file="f")


def test_the_time_is_the_callers_whatever_its_zone() -> None:
    waiver, zone = WAIVERS[VALID], timezone(timedelta(hours=5))
    assert waiver.is_valid(NOW.astimezone(zone))
    assert not waiver.is_valid((NOW + timedelta(seconds=1)).astimezone(zone))
    assert not waiver.is_valid(NOW + timedelta(seconds=1))  # at its end it has ended


@pytest.mark.parametrize(
    "text",
    [
        *("2030-01-31 12:00:00Z", "2030-01-31T12:00:00", "2030-01-31T12:00:00+00:00", "2030-01-31T12:00:00z"),
        *("2030-01-31T12:00:00.5Z", "2030-02-30T12:00:00Z", "2030-01-31T24:00:00Z", "2030-01-31T12:00:00Z\n", ""),
        *("0000-01-01T00:00:00Z", "\u0662030-01-31T12:00:00Z", "30-01-31T12:00:00Z"),
    ],
)
def test_a_time_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)
    assert parse_time("2028-02-29T23:59:59Z") == datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)


FULL = evidence(
    truth=0.04,
    findings=(
        Finding(claim="converged", measured="800", required="1000", holds=True),
        Finding(claim="seen", measured="3", required="none", holds=None),
    ),
    digests=Digests(training_log="ab" * 32, config="0" * 64),
    master_seed=7,
)
NOBODY = evidence(
    verdict="no_change",
    **dict.fromkeys(("estimate", "standard_error", "lower_bound", "ess", "max_weight_share")),
    n=0,
)


def node(said: Any) -> Node:
    return parse(canonical(said), "manifest.json")


@pytest.mark.parametrize("said", [evidence(), FULL, NOBODY, evidence(lower_bound=-0.5, verdict="refused")])
def test_evidence_comes_back_whole(said: Any) -> None:
    assert read_evidence(node(said.plain())) == said


def test_only_an_approval_above_zero_carries() -> None:
    assert evidence().carries and FULL.carries and evidence(lower_bound=0.0).carries
    assert not any(one.carries for one in (NOBODY, evidence(verdict="refused"), evidence(lower_bound=-1e-300)))


FAULTS: dict[str, tuple[str, Any, str]] = {
    "verdict": ("verdict", "aproved", "need one of approved, refused, no_change"),
    "regime": ("regime", "chaos", "need one of iid, adaptive, drift"),
    "text as number": ("candidate", 3, "candidate = 3, need text"),
    "long text": ("world", "x" * 4001, "need at most 4000 characters"),
    "reasons as text": ("reasons", "fine", "reasons = 'fine', need a list"),
    "a whole number": ("estimate", 0, "estimate = 0, need a number or null, written with a point"),
    "a truth": ("lower_bound", True, "lower_bound = True, need a number or null"),
    "a number in words": ("lower_bound", "0.1", "lower_bound = '0.1', need a number or null"),
    "a negative error": ("standard_error", -0.1, "need a number >= 0 or null"),
    "alpha of nothing": ("alpha", 0.0, r"need a share in \(0, 0.5\], written with a point"),
    "alpha of most": ("alpha", 0.6, r"need a share in \(0, 0.5\]"),
    "alpha unknown": ("alpha", None, r"alpha = None, need a share"),
    "rows below nothing": ("n", -1, "need a whole number in"),
    "half a row": ("n", 2.5, "n = 2.5, need a whole number in"),
    "negative ess": ("ess", -1.0, "need a number of rows >= 0 or null"),
    "negative share": ("max_weight_share", -1.0, "need a share >= 0 or null"),
    "truth in words": ("truth", "yes", "truth = 'yes', need a number or null"),
    "a seed too large": ("master_seed", 2**31, "need a whole number in"),
    "findings as mapping": ("findings", {}, "findings = {}, need a list"),
    "a finding with less": ("findings", [{"claim": "c", "measured": "m", "required": "r"}], r"holds = nothing"),
    "a finding half true": (
        "findings",
        [{"claim": "c", "measured": "m", "required": "r", "holds": 1}],
        r"findings\[0\].holds = 1, need true or false",
    ),
    "a digest too short": ("digests", {**FULL.plain()["digests"], "config": "ab"}, "config = 'ab', need 64 hex digits"),
    "a digest in capitals": ("digests", {**FULL.plain()["digests"], "config": "AB" * 32}, "need 64 hex digits or null"),
    "an approval of nobody": ("estimate", None, "need a number where the verdict is 'approved'"),
    "one field too many": ("lower_bnd", 0.1, "unknown field 'lower_bnd'; did you mean 'lower_bound'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_field_of_another_kind_or_range_is_refused_by_its_place(fault: str) -> None:
    name, value, words = FAULTS[fault]
    with pytest.raises(FormatError, match=words):
        read_evidence(node(FULL.plain() | {name: value}))


@pytest.mark.parametrize("name", list(FULL.plain()))
def test_no_field_may_be_left_out(name: str) -> None:
    said = FULL.plain()
    del said[name]
    with pytest.raises(FormatError, match=f"{name} = nothing, need a value"):
        read_evidence(node(said))


def test_evidence_that_json_can_not_hold_is_refused() -> None:
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="evidence.ess = (nan|inf), need a finite number"):
            evidence(ess=bad).plain()
    assert json.loads(json.dumps(FULL.plain())) == FULL.plain()


def test_a_text_and_a_digest_are_read_or_refused() -> None:
    assert read_text(node("abc"), 3) == "abc"
    with pytest.raises(FormatError, match="need at most 2 characters"):
        read_text(node("abc"), 2)
    assert read_hex(node(None)) is None and read_hex(node("0f" * 32)) == "0f" * 32
    with pytest.raises(FormatError, match="need text"):
        read_hex(node(3))


def test_evidence_is_frozen() -> None:
    with pytest.raises(AttributeError):
        FULL.verdict = "approved"  # type: ignore[misc]  # what the test is about
    assert replace(FULL, n=3).n == 3
