"""Why a policy was let out: what the gate measured, who approved it, and what was waived until when.

A bundle's evidence is typed: each field has its place, unit and range, and is refused elsewhere. A policy whose gate
did not approve it, or whose lower bound is below zero, needs a waiver: a name, a reason and an end. Nothing else opens
the door.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from policies.refusals import EvidenceError
from policies.strict_json import Node, plain

__all__ = ["Approval", "Digests", "Evidence", "Finding", "Waiver", "check_evidence", "parse_time", "read_evidence"]
__all__ += ["this_moment"]

VERDICTS = ("approved", "refused", "no_change")
REGIMES = ("iid", "adaptive", "drift")
WAIVABLE = ("gate",)
MAX_TEXT = 4000  # characters
MAX_ROWS = 10**12
FIGURES = ("estimate", "standard_error", "lower_bound", "ess", "max_weight_share")  # all of them, or none
ROUNDING = 1e-9
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One claim of the vetting run, in words ready for print; `holds` is None where nothing was required."""

    claim: str
    measured: str
    required: str
    holds: bool | None


@dataclass(frozen=True, kw_only=True)
class Digests:
    """The sha256 of what the evidence rests on, 64 hex digits each; None where there was none."""

    training_log: str | None = None
    judgement_log: str | None = None
    config: str | None = None
    dependencies: str | None = None  # the lock file, or the versions that were installed


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the gate said.

    Attributes:
        verdict: `approved`, `refused` or `no_change`.
        reasons: the gate's, in words.
        candidate: who was judged.
        world: where.
        estimator, interval: of the difference to the baseline.
        regime: of the logs: `iid`, `adaptive` or `drift`.
        estimate: the difference, reward units; None where nobody was judged, as those that follow.
        standard_error: of it.
        lower_bound: its one-sided bound at 1 - alpha.
        alpha: share of wrong approvals that was accepted, after it was divided among those judged.
        n: rows of the judgement log.
        ess: effective sample size, rows.
        max_weight_share: largest importance weight, as a share of n.
        truth: the exact difference, where the world knows it.
        findings: claims about convergence and the rest.
        digests: of what all this rests on.
        master_seed: of the run.
    """

    verdict: str
    reasons: tuple[str, ...]
    candidate: str
    world: str
    estimator: str
    interval: str
    regime: str
    estimate: float | None
    standard_error: float | None
    lower_bound: float | None
    alpha: float
    n: int
    ess: float | None
    max_weight_share: float | None
    truth: float | None = None
    findings: tuple[Finding, ...] = ()
    digests: Digests = field(default_factory=Digests)
    master_seed: int = 0

    def plain(self) -> dict[str, Any]:
        """As JSON holds it.

        Raises:
            ValueError: a number that is not finite.
        """
        made = plain(asdict(self), "evidence")
        assert isinstance(made, dict)
        return made

    @property
    def carries(self) -> bool:
        """Whether the gate approved and its lower bound is at least 0."""
        return self.verdict == "approved" and self.lower_bound is not None and self.lower_bound >= 0


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Who let it out, and as what."""

    identity: str
    role: str


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """Who lets a policy out although a rule says no, why, and until when (RFC 3339 in UTC, to the second)."""

    identity: str
    reason: str
    expires: str
    waives: tuple[str, ...] = WAIVABLE

    def is_valid(self, now: datetime) -> bool:
        """Whether it has not ended."""
        return parse_time(self.expires) > now


def parse_time(text: str) -> datetime:
    """A moment in UTC from its one spelling.

    Raises:
        ValueError: any other spelling, or a day that is none.

    >>> parse_time("2030-01-31T12:00:00Z").isoformat()
    '2030-01-31T12:00:00+00:00'
    """
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r}, need a time in UTC such as '2030-01-31T12:00:00Z'")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def this_moment() -> datetime:
    """The time by this machine's clock: waivers end in the world outside, so someone must look at it."""
    return datetime.now(UTC)


def check_evidence(evidence: Evidence, waivers: tuple[Waiver, ...], *, now: datetime, file: str) -> None:
    """Refuse what the evidence does not carry, unless a waiver that is valid now does.

    Args:
        evidence: the gate's.
        waivers: of the bundle; one that has ended refuses whatever else holds.
        now: the time, with its zone.
        file: whose evidence, for messages.

    Raises:
        EvidenceError: an ended waiver; no approval or a lower bound below 0, and no waiver of `gate`.
    """
    for i, waiver in enumerate(waivers):
        if not waiver.is_valid(now):
            when = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            needed = f"a time after {when}: export again, by the gate or with a new waiver"
            raise EvidenceError(file, f"waivers[{i}].expires", got=repr(waiver.expires), needed=needed)
    if evidence.carries or any("gate" in waiver.waives for waiver in waivers):
        return
    if evidence.verdict != "approved":
        why = f"{evidence.verdict!r} ({'; '.join(evidence.reasons)})"
        raise EvidenceError(file, "evidence.verdict", got=why, needed="'approved', or a waiver of 'gate'")
    raise EvidenceError(
        file, "evidence.lower_bound", got=str(evidence.lower_bound), needed="a number >= 0, or a waiver of 'gate'"
    )


def read_evidence(node: Node) -> Evidence:
    """The evidence of a manifest.

    Raises:
        FormatError: a field that is missing, unknown, of another kind or out of range.
    """
    names = tuple(Evidence.__dataclass_fields__)
    part = dict(zip(names, node.members(*names), strict=True))
    verdict, regime = _one_of(part["verdict"], VERDICTS), _one_of(part["regime"], REGIMES)
    found = Evidence(
        verdict=verdict,
        reasons=tuple(read_text(item) for item in part["reasons"].items()),
        candidate=read_text(part["candidate"]),
        world=read_text(part["world"]),
        estimator=read_text(part["estimator"]),
        interval=read_text(part["interval"]),
        regime=regime,
        estimate=_maybe(part["estimate"], _any),
        standard_error=_maybe(part["standard_error"], lambda x: x >= 0, need="a number >= 0"),
        lower_bound=_maybe(part["lower_bound"], _any),
        alpha=_number(part["alpha"], lambda x: 0 < x <= 0.5, "a share in (0, 0.5]"),
        n=part["n"].whole(lowest=0, highest=MAX_ROWS),
        ess=_maybe(part["ess"], lambda x: x >= 0, need="a number of rows >= 0"),
        max_weight_share=_maybe(part["max_weight_share"], lambda x: x >= 0, need="a share >= 0"),
        truth=_maybe(part["truth"], _any),
        findings=tuple(_finding(item) for item in part["findings"].items()),
        digests=_digests(part["digests"]),
        master_seed=part["master_seed"].whole(lowest=0, highest=2**31 - 1),
    )
    for name, need in contradictions(found):
        raise part[name].refuse(need)
    return found


def contradictions(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Fields that can't be as they are beside the others, and what they would have to be."""
    figures = {name: getattr(evidence, name) for name in FIGURES}
    said = {name for name, value in figures.items() if value is not None}
    if evidence.verdict == "approved" or said:
        for name in FIGURES:
            if figures[name] is None:
                yield name, "a number where the verdict is 'approved' or another figure is given"
                return
        if evidence.n < 1:
            yield "n", "at least one row where there is an estimate"
        if figures["lower_bound"] > figures["estimate"]:
            yield "lower_bound", f"at most the estimate, {figures['estimate']}"
        if figures["ess"] > evidence.n * (1 + ROUNDING):
            yield "ess", f"at most n = {evidence.n}"
        if figures["max_weight_share"] > 1 + ROUNDING:
            yield "max_weight_share", "a share of n, at most 1"


def read_text(node: Node, highest: int = MAX_TEXT) -> str:
    """Text of at most so many characters.

    Raises:
        FormatError: anything else.
    """
    if len(node.text()) > highest:
        raise node.refuse(f"at most {highest} characters")
    return node.text()


def read_hex(node: Node) -> str | None:
    """A sha256 as 64 hex digits, or null.

    Raises:
        FormatError: anything else.
    """
    if node.value is not None and not _HEX.fullmatch(node.text()):
        raise node.refuse("64 hex digits or null")
    return None if node.value is None else node.text()


def _one_of(node: Node, allowed: tuple[str, ...]) -> str:
    if node.text() not in allowed:
        raise node.refuse(f"one of {', '.join(allowed)}")
    return node.text()


def _any(_value: float) -> bool:
    return True


def _number(node: Node, holds: Callable[[float], bool], need: str) -> float:
    if type(node.value) is not float or not holds(node.value):
        raise node.refuse(f"{need}, written with a point")
    return node.value


def _maybe(node: Node, holds: Callable[[float], bool], *, need: str = "a number") -> float | None:
    return None if node.value is None else _number(node, holds, f"{need} or null")


def _finding(node: Node) -> Finding:
    claim, measured, required, holds = node.members("claim", "measured", "required", "holds")
    if holds.value is not None:
        holds.truth()
    return Finding(
        claim=read_text(claim),
        measured=read_text(measured),
        required=read_text(required),
        holds=None if holds.value is None else holds.truth(),
    )


def _digests(node: Node) -> Digests:
    names = tuple(Digests.__dataclass_fields__)
    found: Mapping[str, str | None] = {
        name: read_hex(item) for name, item in zip(names, node.members(*names), strict=True)
    }
    return Digests(**found)
