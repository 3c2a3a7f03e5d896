"""The card: all of it from the manifest, each text of it shown and none of it markup."""

import copy
import json
import re
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.evidence import Approval, Evidence, Finding, Waiver
from policies.frozen import freeze_policy
from policies.golden import requests
from policies.manifest import POLICY, render
from policies.model_card import render_card
from policies.release import Release
from tests.examples import LEARNERS, run_policy, small_world

NASTY = 'a|b\n\n# c <script>alert(1)</script> `d` [e](http://f) **g** "h": {i} \\ \u202e \U0001f600 \x7f'
EVIDENCE = Evidence(
    verdict="approved",
    reasons=("the lower bound is above 0",),
    candidate="thompson",
    world="small",
    estimator="dr",
    interval="betting",
    regime="iid",
    estimate=0.03125,
    standard_error=0.005,
    lower_bound=0.0125,
    alpha=0.05,
    n=4321,
    ess=1200.5,
    max_weight_share=0.01,
    truth=0.02875,
    findings=(Finding(claim="regret slope", measured="0.41", required="at most 0.6", holds=True),),
)
SECTIONS = (
    *("What it does", "Who may use it, for what", "Bounds", "Inputs", "Evidence", "Approvals and waivers"),
    *("Limitations", "How to load it", "Digests"),
)


@cache
def _rendered() -> str:
    run = run_policy(LEARNERS["thompson shared"], n_rounds=5)
    policy = freeze_policy(small_world(), run.bounded, state=run.state.inner, approved=run.state.approved)
    release = Release(
        name="writer",
        version="1.2.3",
        evidence=EVIDENCE,
        approvals=(Approval(identity="release manager", role="owner"),),
        waivers=(Waiver(identity="on-call engineer", reason="a trial", expires="2030-01-31T12:00:00Z"),),
    )
    return json.dumps(render(policy, release, golden=requests(policy), files={POLICY: policy.text}))


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_rendered())
    return found


def split(card: str) -> tuple[Any, str]:
    """The header as YAML reads it, and the text."""
    _, header, body = card.split("---\n", 2)
    return yaml.safe_load(header), body


def test_the_header_says_what_it_is_and_claims_no_licence() -> None:
    header, _ = split(render_card(manifest()))
    assert header["model_name"] == "writer" and header["version"] == "1.2.3"
    assert header["policy_digest"] == manifest()["policy"]["digest"]
    assert "thompson" in header["tags"] and "license" not in header


def test_every_section_is_there_once_and_in_order() -> None:
    assert tuple(re.findall(r"^## (.*)$", render_card(manifest()), re.M)) == SECTIONS


@pytest.mark.parametrize(
    "line",
    [
        "| max_tokens | tokens | 212 | 812 | 200 (2 steps) |",
        "| model | name | not chosen | not chosen | fixed |",
        "| estimate | 0.03125 |",
        "| lower bound | 0.0125 |",
        "| n | 4,321 |",
        "| regime | iid |",
        "| regret slope | 0.41 | at most 0.6 | yes |",
        "The exact difference, known to the simulator alone: 0.02875.",
        "- release manager, as owner",
        "- gate: waived by on-call engineer until 2030-01-31T12:00:00Z, because: a trial",
        "| has_external_deps | boolean | yes or no |   | taken as false |",
        "| complexity_indicators | list of text | names |   | taken as \\[\\] |",
        "| previous bundle | none |",
    ],
)
def test_the_manifest_is_said(line: str) -> None:
    assert line in render_card(manifest()).splitlines()


def test_the_approved_parameters_stand_per_task_type() -> None:
    """The small world starts at temperature 0.9 and 412 tokens."""
    made = manifest()
    made["task_types"][1]["stop_sequences"] = ["|", "\n"]
    rows = [line for line in render_card(made).splitlines() if line.startswith(("| short |", "| long |"))]
    assert len(rows) == 2 and all("temperature 0.9, max_tokens 412" in row for row in rows)
    assert r'"\|", "\\n"' in rows[1]


def _texts(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places of all texts that a card may show."""
    if isinstance(node, dict | list):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        return [place for key, child in pairs if key != "golden" for place in _texts(child, (*path, key))]
    return [path] if isinstance(node, str) else []


def _with(text: str, path: tuple[Any, ...]) -> dict[str, Any]:
    made = manifest()
    if path[0] == "actions" and path[-1] == "name":
        return made  # axes are looked up by name; readers know them all
    node = made
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = text
    return made


PLACES = _texts(manifest())


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_no_text_becomes_markup(path: tuple[Any, ...]) -> None:
    """The same lines, cells and headings as with plain text; no HTML; and the header reads as YAML."""
    card, like = render_card(_with(NASTY, path)), render_card(_with("x", path))
    assert "<" not in card and card.isascii()
    assert len(card.splitlines()) == len(like.splitlines())
    assert re.findall(r"^#+ ", card, re.M) == re.findall(r"^#+ ", like, re.M)
    bars = re.compile(r"(?<!\\)\|")
    columns = [[len(bars.findall(line)) for line in split(one)[1].splitlines()] for one in (card, like)]
    assert columns[0] == columns[1]
    header, _ = split(card)
    assert header["model_name"] == (_shown(NASTY) if path == ("policy", "name") else "writer")


def _shown(text: str) -> str:
    return " ".join("".join(c for c in " ".join(text.split()) if c.isprintable()).split())


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
def test_any_reason_stays_on_its_line(text: str) -> None:
    made = manifest()
    made["waivers"][0]["reason"] = made["policy"]["name"] = text
    card = render_card(made)
    assert len(card.split("\n")) == len(render_card(manifest()).split("\n"))
    header, body = split(card)
    assert header["model_name"] == _shown(text)
    assert "<" not in body and card.isascii()


def test_the_card_does_not_depend_on_what_depends_on_it() -> None:
    made = manifest()
    assert "digest" not in made
    whole = made | {"files": {"MODEL_CARD.md": {"sha256": "0" * 64, "bytes": 1}}, "digest": "1" * 64}
    assert render_card(whole) == render_card(made) == render_card({k: v for k, v in made.items() if k != "files"})


def test_its_code_imports_what_there_is() -> None:
    code = re.search(r"```python\n(.*?)```", render_card(manifest()), re.S)
    assert code and compile(code[1], "card", "exec")
    line = code[1].splitlines()[0]
    held: dict[str, Any] = {}
    exec(line, held)
    assert {"Trust", "load"} <= set(held) and held["Trust"](keys=()).keys == ()


def test_equal_manifests_give_equal_cards() -> None:
    made = manifest()
    assert render_card(copy.deepcopy(made)) == render_card(dict(reversed(made.items())))


@pytest.mark.parametrize("text", ["1. a", "12) a", "- a", "+ a", "= a", "1. <b>|"])
def test_a_list_does_not_begin_within_a_line(text: str) -> None:
    made = manifest()
    made["evidence"]["reasons"] = [text]
    line = next(line for line in render_card(made).splitlines() if re.search(r"^- .{0,3}\\", line))
    assert re.match(r"- \d*\\[-+=.)]", line) and ("|" not in text or r"&gt;\|" in line)


LIMITS: dict[str, tuple[dict[str, Any], str]] = {
    "a bound below zero": ({"lower_bound": -0.25}, "Its lower bound is -0.25: it may be worse than the baseline."),
    "no bound": ({"lower_bound": None, "estimate": None}, "There is no lower bound: nobody was judged."),
    "no truth": ({"truth": None}, "What it is truly worth is not known, only estimated."),
    "a claim that fails": (
        {"findings": [{"claim": "a", "measured": "b", "required": "c", "holds": False}]},
        "Some claims of its vetting run do not hold; they are marked `no` above.",
    ),
}


@pytest.mark.parametrize("case", LIMITS)
def test_what_is_not_known_is_said(case: str) -> None:
    change, line = LIMITS[case]
    made = manifest()
    assert f"- {line}" not in render_card(made).splitlines()
    made["evidence"] |= change
    assert f"- {line}" in render_card(made).splitlines()


def test_no_approvals_and_no_waivers_are_said() -> None:
    made = manifest() | {"approvals": [], "waivers": []}
    assert render_card(made).count("\nNone.\n") == 2
