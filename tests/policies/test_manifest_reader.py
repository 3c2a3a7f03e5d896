"""From a manifest back to a bounded policy; a field that says anything else is refused by its path."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policies.constraints import Bounds
from policies.frozen import freeze_policy
from policies.learned import Learned
from policies.manifest import render, sha256
from policies.manifest_reader import read_files, read_manifest
from policies.strict_json import BundleError, canonical, parse
from tests.examples import LEARNERS, run_policy, small_world

RUN = run_policy(LEARNERS["epsilon_greedy shared"])
RECORDED = np.ones((2, small_world().lattice.size), np.bool_)
RECORDED[1, [0, 1, 7]] = False
POLICY = freeze_policy(small_world(), RUN.bounded, state=RUN.state.inner, approved=RUN.state.approved)
POLICY = replace(POLICY, limits=POLICY.limits._replace(recorded=RECORDED))
LEARNED = Learned(POLICY.params, POLICY.spec, POLICY.state)
MANIFEST = render(POLICY, version="0.1.0", evidence={"gate": {"lower_bound": 0.01, "n": 2000}})
Edit = Callable[[Any], None]


def sealed(edit: Edit) -> dict[str, Any]:
    """The manifest after an edit, with a digest that fits: an editor who knows the format."""
    made = copy.deepcopy(MANIFEST)
    edit(made)
    made.pop("digest", None)
    return made | {"digest": sha256(canonical(made))}


def read(made: dict[str, Any]) -> Any:
    root = parse(canonical(made), "manifest.json")
    read_files(root)
    return read_manifest(root, LEARNED)


def at(*path: str | int, value: Any) -> Edit:
    def edit(made: Any) -> None:
        for step in path[:-1]:
            made = made[step]
        if value is ...:
            del made[path[-1]]
        else:
            made[path[-1]] = value

    return edit


def test_a_policy_comes_back_whole() -> None:
    found = read(MANIFEST)
    for name in Bounds._fields:
        assert np.array_equal(getattr(found.limits, name), getattr(POLICY.limits, name)), name
    assert np.array_equal(found.approved, POLICY.approved)
    assert (found.task_types, found.features, found.lattice) == (POLICY.task_types, POLICY.features, POLICY.lattice)
    assert (found.reward_span, found.digest) == (POLICY.reward_span, POLICY.digest)


REFUSALS: dict[str, tuple[Edit, str]] = {
    "a later format": (at("format_version", value=2), "format_version = 2, need 1, the format that this code reads"),
    "no format": (at("format_version", value=...), "format_version = None, need 1"),
    "a truth as format": (at("format_version", value=True), "format_version = True, need 1"),
    "unknown field": (at("hard_limit", value={}), "unknown field 'hard_limit'; did you mean 'hard_limits'"),
    "missing field": (at("trust_region", value=...), "field 'trust_region' is missing"),
    "a wider trust region": (at("trust_region", "temperature", "steps", value=3), r"limits.radius = .* lattice steps"),
    "a narrower region in one place": (
        at("trust_region", "temperature", "steps", value=1),
        "trust_region.temperature.radius = '0.2', need '0.1', which follows",
    ),
    "words at odds with numbers": (
        at("trust_region", "temperature", "radius", value="0.21"),
        "radius = '0.21', need '0.2'",
    ),
    "a limit off the lattice": (
        at("hard_limits", "temperature", "highest", value="1.15"),
        "hard_limits.temperature.highest = '1.15', need a value of the lattice, 0.6 to 1.1",
    ),
    "a limit as a number": (at("hard_limits", "temperature", "highest", value=1.1), "highest = 1.1, need text"),
    "approved outside the limits": (
        at("hard_limits", "max_tokens", "lowest", value="812"),
        "approved of .* need an action within the hard limits",
    ),
    "approved outside the grid": (
        at("task_types", 0, "approved", "action_id", value=144),
        r"task_types\[0\].approved.action_id = 144, need a whole number in \[0, 143\]",
    ),
    "approved parameters at odds with the id": (
        at("task_types", 0, "approved", "parameters", "temperature", value=0.6),
        r"task_types\[0\].approved.parameters.temperature = 0.6, need [\d.]+, which follows",
    ),
    "approved never recorded": (
        at("task_types", 0, "unrecorded", value=[[0, 143]]),
        "approved of 'short' .* that the world has recorded",
    ),
    "a run that is no pair": (at("task_types", 1, "unrecorded", value=[[0]]), r"unrecorded\[0\] = \[0\], need first"),
    "runs out of order": (at("task_types", 1, "unrecorded", value=[[7, 7], [0, 1]]), "which follows from"),
    "a task type renamed to another": (at("task_types", 1, "name", value="short"), "task_types, distinct = 1, need 2"),
    "a task type left out": (at("task_types", value=[]), "spec.n_tasks = 2, need 0"),
    "the floor at odds with the policy": (
        at("policy", "exploration_floor", value=0.5),
        "policy.exploration_floor = 0.5, need 0.1, which follows from the other fields and policy.json",
    ),
    "hyper-parameters at odds": (at("policy", "parameters", "noise_sd", value=0.5), "parameters.noise_sd = 0.5, need"),
    "another kind": (at("policy", "kind", value="linucb"), "policy.kind = 'linucb', need 'epsilon_greedy'"),
    "another sampling scheme": (at("sampling", "uniform", value="dice"), "sampling.uniform = 'dice', need"),
    "another clip": (at("features", "clip", value=4.0), "features.clip = 4.0, need 3.0"),
    "another transform": (at("features", "entries", 0, "transform", value="x"), "transform = 'x', need 'value - 2'"),
    "an unknown count": (
        at("features", "entries", 4, "name", value="titel_length"),
        r"features.entries\[4\].name = 'titel_length', need one of",
    ),
    "a scale of zero": (at("features", "entries", 4, "scale", value=0.0), "scale = 0.0, need a number > 0"),
    "a feature left out": (at("features", "entries", 5, value=...), "spec.d = 12, need 11"),
    "an empty lattice": (at("lattice", value=[]), "lattice = .*, need at least one axis"),
    "an axis twice": (at("lattice", 1, "name", value="temperature"), "need at least one axis, each name once"),
    "an axis out of order": (at("lattice", 0, "values", 0, value="2"), "lattice: axis temperature = .*ascending"),
    "a grid value that is no number": (
        at("lattice", 0, "values", 0, value="warm"),
        "lattice: .*'warm', need a decimal",
    ),
    "no span": (at("reward_span", value=0.0), "reward_span = 0.0, need a finite number > 0"),
    "a span as whole number": (at("reward_span", value=2), "reward_span = 2, need 2.0, which follows"),
    "evidence that is no mapping": (at("evidence", value=[1]), r"evidence = \[1\], need a JSON object"),
    "another author": (at("created_by", "name", value="nobody"), "created_by.name = 'nobody', need 'guardband'"),
    "files left out": (at("files", value={}), "field 'files.policy.json' is missing"),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_fault_is_refused_even_under_a_fitting_digest(fault: str) -> None:
    edit, words = REFUSALS[fault]
    with pytest.raises(BundleError, match=words) as caught:
        read(sealed(edit))
    assert str(caught.value).startswith("manifest.json: ")
    assert "\n" not in str(caught.value)


STRIDE = np.where(np.arange(8) < 6, 1, 2) * np.array([[1]] * 6)
STRIDE[[0, 2, 3, 4, 5]] = 1
RELATIVE = replace(POLICY, limits=POLICY.limits._replace(stride=STRIDE.astype(np.int32)))


def test_relative_steps_come_back_and_are_said_only_where_there_are_any() -> None:
    made = render(RELATIVE, version="0.1.0", evidence={})
    assert made["trust_region"]["max_tokens"] == {"steps": 2, "radius": "200", "strides": [1] * 6 + [2, 2]}  # type: ignore[index]  # a mapping
    assert "strides" not in made["trust_region"]["temperature"]  # type: ignore[index]  # a mapping
    assert np.array_equal(read(made).limits.stride, STRIDE)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1] * 8, "unknown field 'trust_region.max_tokens.strides'"),  # says nothing: would not have been written
        ([1, 2], r"strides = \[1, 2\], need 8 whole numbers, one for each value of the axis"),
        ([0] + [1] * 7, r"strides\[0\] = 0, need a whole number in \[1, "),
        (["2"] * 8, r"strides\[0\] = '2', need a whole number"),
        (2, "strides = 2, need a list"),
    ],
)
def test_strides_that_no_policy_has_are_refused(value: Any, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        read(sealed(at("trust_region", "max_tokens", "strides", value=value)))


def test_evaluations_come_back_and_are_said_only_where_there_were_any() -> None:
    made = render(replace(POLICY, seen=np.array([0, 7], np.int32)), version="0.1.0", evidence={})
    assert ["evaluations" in kind for kind in made["task_types"]] == [False, True]  # type: ignore[attr-defined]  # a list
    assert read(made).seen.tolist() == [0, 7]
    assert read(MANIFEST).seen.tolist() == [0, 0]


@pytest.mark.parametrize("value", [0, -3, 2**31, 2.5, "7"])
def test_evaluations_that_can_not_have_been_are_refused(value: Any) -> None:
    with pytest.raises(
        BundleError, match=r"task_types\[1\].evaluations = .*, need a whole number in \[1, 2147483647\]"
    ):
        read(sealed(at("task_types", 1, "evaluations", value=value)))


def test_any_edit_without_a_fitting_digest_is_refused() -> None:
    made = copy.deepcopy(MANIFEST)
    at("evidence", "gate", "lower_bound", value=0.02)(made)
    with pytest.raises(BundleError, match="manifest.json: digest = .* need [0-9a-f]{64}, the digest of the rest"):
        read(made)


def test_every_field_taken_away_or_retyped_is_refused_but_for_evidence() -> None:
    """Law: no field that decides or describes can be left out, or replaced by a list of lists, unseen."""
    for path in _paths(MANIFEST):
        if path[0] in ("digest", "evidence") and len(path) > 1 or path == ("digest",):
            continue
        for value in (..., [[None]]):
            with pytest.raises(BundleError):
                read(sealed(at(*path, value=value)))


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The place of every member of every mapping, those within lists included."""
    found: list[tuple[str | int, ...]] = []
    for name, child in value.items() if isinstance(value, dict) else ():
        found += [(*path, name), *_paths(child, (*path, name))]
    for i, child in enumerate(value) if isinstance(value, list) else ():
        found += _paths(child, (*path, i))
    return found
