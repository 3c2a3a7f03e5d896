"""Text in, counts out: whatever the text."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.prompts import CHARACTERS_PER_TOKEN, features_of_prompt
from envs.tasks import FeatureSpec, TaskFeatures, encode

TEN_MEGABYTES = 10_000_000
HUGE = {
    "one line": "x" * TEN_MEGABYTES,
    "blanks": " " * TEN_MEGABYTES,
    "newlines": "\n" * TEN_MEGABYTES,
    "dashes": "-" * TEN_MEGABYTES,
    "bullets": "- \n" * (TEN_MEGABYTES // 3),
    "a bullet and blanks": "-" + " " * TEN_MEGABYTES,
    "digits": "7" * TEN_MEGABYTES,
}


def counts(text: str) -> tuple[int, int, int, int | None]:
    made = features_of_prompt(text)
    return made.title_length, made.description_length, made.acceptance_criteria_count, made.prompt_tokens


def test_a_request_by_hand() -> None:
    """Title of 9 characters, description of 34 with its line ends; bullets `-`, `*`, `1.`; 47 characters, 12 tokens."""
    text = "\n## Add retry\nMust:\n- three times\n* logged\n1. tested"
    assert text.index("Must") == 14 and len(text) == 52
    assert counts(text) == (9, 38, 3, 13)


@pytest.mark.parametrize("text", ["", " ", "\n\n\t\n"])
def test_nothing_is_nothing(text: str) -> None:
    assert counts(text) == (0, 0, 0, -(-len(text) // CHARACTERS_PER_TOKEN))


@pytest.mark.parametrize("line", ["-", "-x", "--- x", "1.x", "1234567890. x", "a - b", "–– x", "- \t"])
def test_what_only_looks_like_a_criterion_is_none(line: str) -> None:
    assert counts(line)[2] == 0


@pytest.mark.parametrize("kind", HUGE)
def test_ten_megabytes_take_no_longer_than_reading_them(kind: str) -> None:
    """Nothing may grow faster than the text: 10 MB in well under 5 CPU seconds."""
    begin = time.process_time()
    made = features_of_prompt(HUGE[kind])
    assert time.process_time() - begin < 5.0
    assert made.prompt_tokens == -(-len(HUGE[kind]) // CHARACTERS_PER_TOKEN)
    assert np.abs(encode(made, FeatureSpec())).max() <= 3.0


def test_nul_bytes_and_lone_surrogates_are_characters_like_any_other() -> None:
    assert counts("\x00\x00\nab\x00\ud800") == (2, 4, 0, 2)


@pytest.mark.parametrize("text", [b"bytes", None, 7, ["a"]])
def test_what_is_no_text_is_refused(text: object) -> None:
    with pytest.raises(TypeError, match=f"text is {type(text).__name__}, need a string; decode bytes first"):
        features_of_prompt(text)  # type: ignore[arg-type]  # what callers without a type checker send


def test_what_is_known_besides_stays() -> None:
    known = TaskFeatures(risk_tier=1, max_files=3, prompt_tokens=7, prior_failures=2, title_length=99)
    made = features_of_prompt("abcd efgh", known)
    assert made == TaskFeatures(risk_tier=1, max_files=3, prompt_tokens=7, prior_failures=2, title_length=9)


@given(text=st.text(st.characters(codec=None), max_size=200))
def test_any_text_becomes_a_context_within_its_bounds(text: str) -> None:
    made = features_of_prompt(text)
    assert made.title_length + made.description_length <= len(text)
    context = encode(made, FeatureSpec())
    assert np.isfinite(context).all() and np.abs(context).max() <= 3.0
