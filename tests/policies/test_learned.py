"""From a policy's text back to the policy: the same bits, or a refusal that names the field."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from policies.digest import policy_text
from policies.learned import Learned, read_learned
from policies.refusals import FormatError
from policies.strict_json import canonical
from tests.examples import LEARNERS, run_policy


def text_of(learner: str) -> bytes:
    run = run_policy(LEARNERS[learner], n_rounds=20)
    return policy_text(run.bounded.params.inner, state=run.state.inner, spec=run.bounded.spec)


TEXTS = {name: text_of(name) for name in ("thompson shared", "linucb disjoint", "fixed")}


def read(raw: bytes) -> Learned:
    return read_learned(raw, file="policy.json")


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_comes_back_bit_for_bit(learner: str) -> None:
    run = run_policy(LEARNERS[learner], n_rounds=20)
    found = read(policy_text(run.bounded.params.inner, state=run.state.inner, spec=run.bounded.spec))
    assert found.params == run.bounded.params.inner
    assert found.spec == run.bounded.spec
    assert type(found.state) is type(run.state.inner)
    for there, here in zip(found.state, run.state.inner, strict=True):
        assert there.dtype == here.dtype
        assert np.array_equal(there, here)


def at(*path: str | int, value: Any) -> Callable[[Any], None]:
    """One field of the document set to a value; `...` takes it away."""

    def edit(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        if value is ...:
            del document[path[-1]]
        else:
            document[path[-1]] = value

    return edit


REFUSALS: dict[str, tuple[str, Callable[[Any], None], str]] = {
    "unknown learner": ("fixed", at("kind", value="fixd"), "kind = 'fixd', need one of .*did you mean 'fixed'"),
    "learner outside the folder": ("fixed", at("kind", value="os.path"), "kind = 'os.path', need one of"),
    "kind that is no text": ("fixed", at("kind", value=["fixed"]), "kind = .*, need text"),
    "missing section": ("fixed", at("spec", value=...), "spec = nothing, need a value"),
    "unknown section": ("fixed", at("spce", value=1), "unknown field 'spce'; did you mean 'spec'"),
    "parameter out of range": (
        "fixed",
        at("parameters", "floor", value=1.5),
        r"parameters.floor = 1.5, need a number <= 1.0",
    ),
    "prior without spread": (
        "thompson shared",
        at("parameters", "prior_sd", value=0.0),
        "prior_sd = 0.0, need a number > 0",
    ),
    "missing parameter": ("fixed", at("parameters", "floor", value=...), "parameters.floor = nothing, need a value"),
    "parameter of another type": ("fixed", at("parameters", "floor", value=1), "parameters.floor = 1, need .* float"),
    "parameter that is a truth": ("fixed", at("parameters", "floor", value=True), "floor = True, need a value of type"),
    "another choice": (
        "thompson shared",
        at("parameters", "features", value="joint"),
        "parameters.features = 'joint', need one of shared, disjoint",
    ),
    "features at odds": (
        "thompson shared",
        at("parameters", "features", value="disjoint"),
        "spec = .* need features = 'disjoint', as the parameters say",
    ),
    "odd draws": ("thompson shared", at("spec", "n_draws", value=15), "spec.n_draws = 15, need an even number"),
    "endless tasks": ("fixed", at("spec", "n_tasks", value=4000), "spec.n_tasks = 4000, need at most 2048 joint"),
    "huge context": ("fixed", at("spec", "d", value=10**9), r"spec.d = 1000000000, need a whole number in \[1, 4096\]"),
    "a grid too large": ("fixed", at("spec", "shape", value=[2**20, 8, 3, 1, 1]), "spec.shape = .* at most 1048576"),
    "places at odds": ("fixed", at("spec", "positions", 0, value=[0.0]), "spec.positions = .* need a place in"),
    "place out of range": ("fixed", at("spec", "positions", 0, 1, value=1.5), "need a place in"),
    "window with a hole": ("fixed", at("spec", "offsets", 3, value=...), "spec.offsets = .* need a whole block"),
    "window out of order": (
        "fixed",
        at("spec", "offsets", 0, value=[2, 2, 1, 0, 0]),
        "need a whole block of at most 256",
    ),
    "window too wide": ("fixed", at("spec", "offsets", 0, value=[-99, -99, -99, 0, 0]), "need a whole block"),
    "no window": ("fixed", at("spec", "offsets", value=[]), "spec.offsets = .*, need a whole block"),
    "too many knots": ("fixed", at("spec", "knots", 0, value=99), "spec.knots = .* need a number below"),
    "interaction past the context": (
        "fixed",
        at("spec", "interactions", 0, value=12),
        "need entries of a context of 12",
    ),
    "values of another lattice": ("fixed", at("spec", "values", 0, value=[0.6]), "need a number for each value of"),
    "a weight too few": (
        "fixed",
        at("spec", "worth", 0, value=[1.0]),
        "need 6 reward weights for each of 2",
    ),
    "worth of another world": ("fixed", at("spec", "worth", 1, value=...), "for each of 2 task types"),
    "a price below nothing": ("fixed", at("spec", "prices", 0, 1, value=-1.0), "need two prices >= 0 for each of 1"),
    "features unheard of": ("fixed", at("spec", "features", value="joint"), "need 'shared' or 'disjoint'"),
    "state that is missing": (
        "thompson shared",
        at("state", "theta", value=...),
        "state.theta = nothing, need a value",
    ),
    "state of another learner": ("fixed", at("state", "theta", value={}), "unknown field 'state.theta'"),
    "state of another shape": (
        "thompson shared",
        at("state", "theta", "shape", value=[7]),
        r"state.theta.shape = \[7\], need \[\d+\], the shape of this learner's state",
    ),
    "state of another type": (
        "thompson shared",
        at("state", "theta", "dtype", value="O"),
        "dtype = 'O', need 'float64'",
    ),
    "a number too few": (
        "thompson shared",
        at("state", "theta", "values", 0, value=...),
        "need a list of \\d+ numbers",
    ),
    "text among numbers": ("thompson shared", at("state", "theta", "values", 0, value="0"), "need a list of"),
    "whole among floats": ("thompson shared", at("state", "theta", "values", 0, value=0), "need a list of"),
    "integer too large": (
        "linucb disjoint",
        at("state", "clock", "values", 0, value=2**40),
        "need integers of 32 bits",
    ),
    "rows past the end": ("thompson shared", at("state", "theta", "rows", value=10**6), "rows = 1000000, need a whole"),
    "a row unsaid": ("thompson shared", at("state", "theta", "rows", value=3), "need a list of 3 numbers"),
    "rows below nothing": ("linucb disjoint", at("state", "clock", "rows", value=-1), "rows = -1, need a whole number"),
    "rows missing": ("linucb disjoint", at("state", "clock", "rows", value=...), "state.clock.rows = nothing, need"),
    "endless among numbers": ("thompson shared", at("state", "theta", "values", 0, value=10**400), "need a list of"),
    "endless parameter": ("fixed", at("parameters", "floor", value=10**400), "need a value of type float"),
    "endless place": ("fixed", at("spec", "positions", 0, 1, value=10**400), "need a number that float64"),
    "endless price": ("fixed", at("spec", "prices", 0, 0, value=10**400), "need a number that float64"),
    "float among integers": ("linucb disjoint", at("state", "key", "values", 0, value=0.5), "written as int32"),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_text_with_a_fault_is_refused_by_field(fault: str) -> None:
    learner, edit, words = REFUSALS[fault]
    document = json.loads(TEXTS[learner])
    edit(document)
    with pytest.raises(FormatError, match=words) as caught:
        read(canonical(document))
    assert str(caught.value).startswith("policy.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("learner", ["thompson disjoint", "linucb disjoint", "thompson shared"])
def test_a_row_that_learning_left_alone_is_not_written_at_the_end(learner: str) -> None:
    """One spelling: the same state with a last row spelt out, as a fresh state has it, is refused."""
    document = json.loads(text_of(learner))
    longer = 0
    for name, array in document["state"].items():
        if array["shape"] and array["rows"] < array["shape"][0]:
            made = json.loads(text_of(learner))
            width = int(np.prod(array["shape"][1:]))
            state = read(text_of(learner)).state
            row = getattr(state, name)[array["rows"]].ravel().tolist()
            assert len(row) == width
            at("state", name, "rows", value=array["rows"] + 1)(made)
            at("state", name, "values", value=array["values"] + row)(made)
            with pytest.raises(FormatError, match="need no rows after the last that learning changed"):
                read(canonical(made))
            longer += 1
    assert longer or learner == "thompson shared"


def test_every_field_taken_away_or_retyped_is_refused() -> None:
    """Law: no field of any text can be left out, or replaced by a list of lists, unseen."""
    for raw in TEXTS.values():
        for path in _paths(json.loads(raw)):
            for value in (..., [[None]]):
                document = json.loads(raw)
                at(*path, value=value)(document)
                with pytest.raises(FormatError):
                    read(canonical(document))


@pytest.mark.parametrize("number", [b"1e999", b"-1e999"])
def test_endless_decimals_are_refused_wherever_they_stand(number: bytes) -> None:
    """The fast reader gives infinity for them, so that each place must look."""
    for learner, raw in TEXTS.items():
        document = json.loads(raw)
        places = [path for path in _leaves(document) if isinstance(_get(document, path), float)]
        for path in places[:: max(1, len(places) // 60)]:
            made = json.loads(raw)
            at(*path, value="@")(made)
            with pytest.raises(FormatError):
                read(canonical(made).replace(b'"@"', number))
        assert len(places) > 20, learner


def _get(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def _leaves(document: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The place of every value that holds no other."""
    if not isinstance(document, dict | list):
        return [path]
    children = document.items() if isinstance(document, dict) else enumerate(document)
    return [place for name, child in children for place in _leaves(child, (*path, name))]


def _paths(document: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The place of every member of every mapping."""
    found = []
    for name, child in document.items() if isinstance(document, dict) else ():
        found += [(*path, name), *_paths(child, (*path, name))]
    return found
