"""A release's words have one form, on the way out and on the way in."""

from dataclasses import asdict
from typing import Any

import pytest

from policies.evidence import Approval, Waiver
from policies.refusals import BundleError, FormatError
from policies.release import Release, read_release, version_key
from policies.strict_json import canonical, parse, plain
from tests.examples import evidence, release

WAIVER = Waiver(identity="release manager", reason="two weeks of shadow traffic", expires="2030-01-31T12:00:00Z")
FULL = release(
    approvals=(Approval(identity="release manager", role="owner"), Approval(identity="on call", role="operations")),
    waivers=(WAIVER,),
    previous="ab" * 32,
    writer="0.1.0",
    code="cd" * 32,
)


def part(said: Release, **changes: Any) -> Any:
    """The manifest's members that a release is read from."""
    policy = {"name": said.name, "version": said.version, "kind": "fixed", "parameters": {}, "exploration_floor": 0.0}
    whole = {
        "created_by": {"name": "guardband", "version": said.writer, "code_sha256": said.code},
        "policy": policy | {"digest": "0" * 64},
        "evidence": said.evidence.plain(),
        "approvals": [asdict(one) for one in said.approvals],
        "waivers": [plain(asdict(one), "waivers") for one in said.waivers],
        "previous": said.previous,
        **changes,
    }
    return parse(canonical(whole), "manifest.json").mapping()


@pytest.mark.parametrize("said", [release(), FULL, release(evidence=evidence(verdict="refused"))])
def test_a_release_comes_back_whole(said: Release) -> None:
    assert read_release(part(said)) == said


@pytest.mark.parametrize("version", ["0.0.0", "1.10.0", "999999999.0.1"])
def test_versions_are_three_numbers_that_compare(version: str) -> None:
    assert ".".join(map(str, version_key(version))) == version
    assert version_key("1.10.0") > version_key("1.9.9") > version_key("1.9.0")


@pytest.mark.parametrize(
    "version", ["1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0\n", " 1.0.0", "1.\u0662.0", "1." + "9" * 10 + ".0", ""]
)
def test_another_form_of_version_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="need MAJOR.MINOR.PATCH"):
        release(version=version)


@pytest.mark.parametrize("name", ["", "Thompson", "a/b", "../a", "-a", "a.", "a b", "a\n", "\u00e9", "x" * 101])
def test_a_name_that_could_not_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="need lower-case letters, digits, dots and dashes"):
        release(name=name)


WORDS = [({"identity": "  "}, "identity"), ({"identity": "x" * 1001}, "identity"), ({"reason": ""}, "reason")]


@pytest.mark.parametrize(("change", "field"), WORDS)
def test_a_waiver_without_a_name_or_a_reason_is_refused(change: dict[str, str], field: str) -> None:
    with pytest.raises(ValueError, match=rf"waivers.{field} = .*, need 1 to 1000 characters"):
        release(waivers=(Waiver(**{**asdict(WAIVER), **change}),))


@pytest.mark.parametrize("waives", [(), ("card",), ("gate", "everything")])
def test_nothing_but_the_gate_can_be_waived(waives: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="need some of gate"):
        release(waivers=(Waiver(identity="a", reason="b", expires=WAIVER.expires, waives=waives),))


def test_an_end_of_another_form_and_an_approval_by_nobody_are_refused() -> None:
    with pytest.raises(ValueError, match="need a time in UTC"):
        release(waivers=(Waiver(identity="a", reason="b", expires="next week"),))
    with pytest.raises(ValueError, match="approvals.role = '', need 1 to 1000"):
        release(approvals=(Approval(identity="a", role=""),))


SAID = plain(asdict(WAIVER), "w")
assert isinstance(SAID, dict)
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a waiver of everything": ({"waivers": [SAID | {"waives": ["all"]}]}, "need some of gate"),
    "a waiver without an end": ({"waivers": [{k: v for k, v in SAID.items() if k != "expires"}]}, "expires = nothing"),
    "an end that never comes": (
        {"waivers": [SAID | {"expires": "never"}]},
        r"waivers\[0\].expires = 'never', need a t",
    ),
    "an end as number": ({"waivers": [SAID | {"expires": 2030}]}, r"waivers\[0\].expires = 2030, need text"),
    "a waiver by nobody": ({"waivers": [SAID | {"identity": ""}]}, "need 1 to 1000 characters"),
    "waivers as mapping": ({"waivers": SAID}, "need a list"),
    "an approval of more": ({"approvals": [{"identity": "a", "role": "b", "key": "c"}]}, "unknown field"),
    "an approval as text": ({"approvals": ["release manager"]}, r"approvals\[0\] = .*, need a JSON object"),
    "a predecessor of no length": ({"previous": "ab"}, "previous = 'ab', need 64 hex digits or null"),
    "another version": ({"policy": {"name": "a", "version": "1"}}, "policy.kind = nothing, need a value"),
    "code of no length": (
        {"created_by": {"name": "guardband", "version": "1", "code_sha256": "x"}},
        "created_by.code_sha256 = 'x', need 64 hex digits",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_field_of_another_form_is_refused_by_its_place(fault: str) -> None:
    change, words = FAULTS[fault]
    with pytest.raises(FormatError, match=words) as caught:
        read_release(part(FULL, **change))
    assert isinstance(caught.value, BundleError) and "\n" not in str(caught.value)
