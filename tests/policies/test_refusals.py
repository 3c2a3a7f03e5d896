"""A refusal names file, field, got and needed, in attributes and in one line, and survives a trip between processes."""

import pickle
import re

import pytest

from policies import refusals
from policies.refusals import BundleError, FormatError

KINDS = [getattr(refusals, name) for name in refusals.__all__]


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_is_a_bundle_error_with_its_place_in_attributes_and_words(kind: type[BundleError]) -> None:
    error = kind("manifest.json", "reward.span", got="0.0", needed="a number > 0")
    assert isinstance(error, BundleError) and isinstance(error, ValueError)
    assert (error.file, error.field, error.got, error.needed) == (
        "manifest.json",
        "reward.span",
        "0.0",
        "a number > 0",
    )
    assert str(error) == "manifest.json: reward.span = 0.0, need a number > 0"


def test_kinds_are_told_apart_by_their_type() -> None:
    for kind in KINDS:
        caught = [other for other in KINDS if issubclass(kind, other)]
        assert set(caught) == {kind, BundleError}
    assert len(set(KINDS)) == len(KINDS) == 10


def test_a_file_as_a_whole_has_no_field() -> None:
    error = FormatError("policy.json", got="has 2 bytes", needed="strict JSON")
    assert str(error) == "policy.json: has 2 bytes, need strict JSON"
    assert error.field == ""


def test_the_message_is_one_line_whatever_was_got() -> None:
    error = FormatError("policy.json", "a\nb", got="x\r\ny\u2028z", needed="one\n\nline")
    assert str(error) == "policy.json: a b = x y z, need one line"


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_comes_back_whole_from_another_process(kind: type[BundleError]) -> None:
    """A pool of processes sends its exceptions home by their positional arguments."""
    error = kind("f", "x.y", got="1", needed="2")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert vars(back) == vars(error) and str(back) == str(error)


def test_the_types_that_a_caller_may_catch_are_all_listed() -> None:
    found = {name for name, value in vars(refusals).items() if re.fullmatch(r"\w+Error", name) and value}
    assert found == set(refusals.__all__)
