"""Pages say what was put in, in 80 columns, and nothing of it reaches a terminal as a command."""

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.bundle import DIGEST_ONLY, read_candidate, write_candidate
from policies.bundle_page import checked, laid_out, safe, summary, wrapped
from policies.evidence import Approval, Digests, Evidence, Finding, Waiver
from policies.frozen import freeze_policy
from policies.release import Release
from tests.examples import LEARNERS, run_policy, two_models

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOBODY = Evidence(
    verdict="no_change",
    reasons=("nobody was better",),
    candidate="",
    world="two models",
    estimator="",
    interval="",
    regime="drift",
    estimate=None,
    standard_error=None,
    lower_bound=None,
    alpha=0.05,
    n=0,
    ess=None,
    max_weight_share=None,
    findings=(
        Finding(claim="settled", measured="12 of 12", required="12", holds=True),
        Finding(claim="steady", measured="0.3", required="< 0.2", holds=False),
        Finding(claim="runtime", measured="3 s", required="", holds=None),
    ),
    digests=Digests(config="ab" * 32),
)
TEXTS = st.text(st.characters(), max_size=300)  # lone surrogates among them


def columns(line: str) -> int:
    """How wide a terminal shows a line."""
    return sum(1 + (unicodedata.east_asian_width(c) in ("W", "F")) for c in line)


@given(TEXTS, TEXTS, TEXTS)
def test_whatever_a_bundle_says_a_page_has_80_columns_and_no_commands(heading: str, label: str, text: str) -> None:
    page = laid_out({heading: [(label, text), ("short", text)]})
    assert all(columns(line) <= 80 and line.isprintable() for line in page.split("\n"))
    assert "".join(page.split()) == "".join(safe(f"{heading}{label}{text}short{text}").split())  # nothing lost


@given(st.text("ab 审查\x1b", max_size=60), st.integers(2, 9))
def test_lines_are_as_wide_as_allowed_and_lose_nothing(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(columns(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(safe(text).split())


@given(TEXTS)
def test_what_is_escaped_can_be_told_again_and_what_is_printable_stands(text: str) -> None:
    shown = safe(text)
    assert shown.isprintable()
    assert all(c in shown for c in text if c.isprintable())
    assert safe(shown) == shown


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\r\n\t", r"\r\n\t"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("a\u202eb\u200b", r"a\u202eb\u200b"),  # turns the direction; has no width
        ("\u2028\udc80", r"\u2028\udc80"),
        ("é 审 e\u0301", "é 审 e\u0301"),
    ],
)
def test_safe_text_by_hand(bad: str, shown: str) -> None:
    assert safe(bad) == shown


def test_wide_characters_take_two_columns() -> None:
    assert wrapped("审查通过", 5) == ["审查", "通过"]
    assert wrapped("审查通过", 4) == ["审查", "通过"]
    assert wrapped("", 10) == [""]


def test_a_label_as_long_as_its_place_stands_above_its_text() -> None:
    assert laid_out({"a": [("x" * 13, "b"), ("x" * 14, "b"), ("审" * 6, "b"), ("审" * 7, "b")]}).split("\n") == [
        "a",
        f"  {'x' * 13} b",
        f"  {'x' * 14}",
        f"{' ' * 16}b",
        f"  {'审' * 6}  b",
        f"  {'审' * 7}",
        f"{' ' * 16}b",
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A page of a bundle with models, failed findings, an approval and a waiver: its text, and what was checked."""
    world = two_models()
    run = run_policy(LEARNERS["linucb shared"], world=world)
    policy = freeze_policy(world, run.bounded, state=run.state.inner, approved=run.state.approved)
    release = Release(
        name="answers",
        version="0.3.0",
        evidence=NOBODY,
        approvals=(Approval(identity="release manager", role="approver"),),
        waivers=(Waiver(identity="owner", reason="a trial", expires="2026-01-31T00:00:00Z"),),
        previous="cd" * 32,
    )
    path = tmp_path_factory.mktemp("bundles") / "answers"
    write_candidate(path, policy, release)
    found = read_candidate(path)
    texts = {
        "summary": laid_out(summary(found, NOW)),
        "checked": laid_out({"checked": list(checked(found, DIGEST_ONLY, NOW))}),
    }
    return {name: " ".join(text.split()) for name, text in texts.items()}


def test_a_summary_tells_findings_that_fail_from_those_that_hold(page: dict[str, str]) -> None:
    text = page["summary"]
    assert "finding holds settled: 12 of 12 (required: 12)" in text
    assert "finding FAILS steady: 0.3 (required: < 0.2)" in text
    assert "finding told runtime: 3 s" in text
    assert f"config {'ab' * 32} dependencies no digest" in text


def test_a_summary_tells_what_is_unknown(page: dict[str, str]) -> None:
    text = page["summary"]
    assert "judged nobody on two models, seed 0 finding" in text
    assert f"previous {'cd' * 32}" in text
    assert "model small to large; at most 1 away among small, large" in text
    assert "approved by release manager, approver" in text


def test_what_was_checked_says_that_a_waiver_carries_the_bundle(page: dict[str, str]) -> None:
    text = page["checked"]
    assert "does NOT carry it, a waiver does: no_change: nobody was better; lower bound unknown" in text
    assert "of gate by owner until 2026-01-31T00:00:00Z (30 days left): a trial" in text
