"""What a bundle says of itself beside its policy: name, version, evidence, approvals, waivers, predecessor, code."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from policies.evidence import Approval, Evidence, Waiver, parse_time, read_evidence, read_hex, read_text
from policies.strict_json import Node

__all__ = ["Release", "read_release", "version_key"]

MAX_NAME = 100  # characters
MAX_WORDS = 1000  # characters of an identity, a role or a reason
WAIVES = ("gate",)
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Release:
    """The words and digests of one release.

    Attributes:
        name: of the policy: lower-case letters, digits, dots, dashes.
        version: of the policy, MAJOR.MINOR.PATCH (Semantic Versioning 2.0.0, without labels).
        evidence: why it was let out.
        approvals: who let it out.
        waivers: what was waived, by whom, until when.
        previous: digest of the bundle that it follows; None for the first.
        writer: version of the code that wrote it.
        code: sha256 of that code; None where it was not looked at.

    Raises:
        ValueError: a name, version, identity, reason or time of another form.
    """

    name: str
    version: str
    evidence: Evidence
    approvals: tuple[Approval, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    previous: str | None = None
    writer: str = "unknown"
    code: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no reader would accept."""
        if len(self.name) > MAX_NAME or not _NAME.fullmatch(self.name):
            raise ValueError(f"name = {self.name!r}, need lower-case letters, digits, dots and dashes")
        version_key(self.version)
        for one in self.approvals:
            _said("approvals", {"identity": one.identity, "role": one.role})
        for waiver in self.waivers:
            _said("waivers", {"identity": waiver.identity, "reason": waiver.reason})
            parse_time(waiver.expires)
            if not waiver.waives or any(rule not in WAIVES for rule in waiver.waives):
                raise ValueError(f"waivers.waives = {list(waiver.waives)}, need some of {', '.join(WAIVES)}")


def _said(where: str, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        if not any(letter.isalnum() for letter in text) or len(text) > MAX_WORDS:
            raise ValueError(f"{where}.{name} = {text[:40]!r}, need 1 to {MAX_WORDS} characters, letters among them")


def version_key(text: str) -> tuple[int, ...]:
    """A version as numbers that compare.

    Raises:
        ValueError: not MAJOR.MINOR.PATCH.

    >>> version_key("1.10.0") > version_key("1.9.3")
    True
    """
    if not _VERSION.fullmatch(text):
        raise ValueError(f"version = {text!r}, need MAJOR.MINOR.PATCH such as '1.0.0'")
    return tuple(int(part) for part in text.split("."))


def read_release(part: dict[str, Node]) -> Release:
    """The release that a manifest's fields describe.

    Args:
        part: the manifest's members by name.

    Raises:
        FormatError: a field of another kind or form.
    """
    writer, code = part["created_by"].members("name", "version", "code_sha256")[1:]
    fields = ("name", "version", "kind", "parameters", "exploration_floor", "digest")
    name, version = part["policy"].members(*fields)[:2]
    try:
        return Release(
            name=name.text(),
            version=version.text(),
            evidence=read_evidence(part["evidence"]),
            approvals=tuple(_approval(node) for node in part["approvals"].items()),
            waivers=tuple(_waiver(node) for node in part["waivers"].items()),
            previous=read_hex(part["previous"]),
            writer=read_text(writer),
            code=read_hex(code),
        )
    except ValueError as error:
        if hasattr(error, "needed"):
            raise
        raise part["policy"].refuse(f"a release that holds together: {error}") from None


def _approval(node: Node) -> Approval:
    identity, role = node.members("identity", "role")
    return Approval(identity=read_text(identity), role=read_text(role))


def _waiver(node: Node) -> Waiver:
    identity, reason, expires, waives = node.members("identity", "reason", "expires", "waives")
    try:
        parse_time(expires.text())
    except ValueError as error:
        raise expires.refuse(f"a time: {error}") from None
    return Waiver(
        identity=read_text(identity),
        reason=read_text(reason),
        expires=expires.text(),
        waives=tuple(item.text() for item in waives.items()),
    )
