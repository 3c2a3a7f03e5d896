"""From a manifest back to a bounded policy; a field that says anything else is refused by its path."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policies import manifest
from policies.constraints import Bounds
from policies.evidence import Approval, Digests, Finding, Waiver
from policies.frozen import FrozenPolicy
from policies.golden import requests
from policies.learned import Learned
from policies.manifest import CARD, GRAPH, POLICY, render, sha256
from policies.manifest_reader import FIELDS, LIMITS, Described, read_files, read_manifest
from policies.refusals import BoundsError, BundleError, FormatError, GoldenError, IntegrityError, VersionError
from policies.strict_json import canonical, parse
from tests.examples import evidence, frozen, release, small_world

RECORDED = np.ones((2, small_world().lattice.size), np.bool_)
RECORDED[1, [0, 1, 7]] = False
HERE = frozen("epsilon_greedy shared", stops={"long": ("END",)})
HERE = replace(HERE, limits=HERE.limits._replace(recorded=RECORDED))
WAIVER = Waiver(identity="release manager", reason="pilot", expires="2030-01-31T12:00:00Z")
SAID = release(
    evidence=evidence(
        findings=(Finding(claim="c", measured="m", required="r", holds=None),), digests=Digests(config="ab" * 32)
    ),
    **{"approvals": (Approval(identity="release manager", role="owner"),), "waivers": (WAIVER,), "code": "ab" * 32},
)
GRAPH_BYTES, CARD_BYTES = b"graph", b"card"


def written(policy: FrozenPolicy) -> Any:
    files = {POLICY: policy.text, GRAPH: GRAPH_BYTES}
    return manifest.sealed(render(policy, SAID, golden=requests(policy), files=files), CARD_BYTES)


MANIFEST = written(HERE)
Edit = Callable[[Any], None]


def sealed(edit: Edit) -> dict[str, Any]:
    """The manifest after an edit, with a digest that fits: an editor who knows the format."""
    made: dict[str, Any] = copy.deepcopy(MANIFEST)
    edit(made)
    made.pop("digest", None)
    made["digest"] = sha256(canonical(made))
    return made


def described(made: dict[str, Any], policy: FrozenPolicy = HERE) -> Described:
    root = parse(canonical(made), "manifest.json")
    read_files(root)
    learned = Learned(policy.params, policy.spec, policy.state)
    return read_manifest(root, learned, files={POLICY: policy.text, GRAPH: GRAPH_BYTES}, card=CARD_BYTES)


def read(made: dict[str, Any], policy: FrozenPolicy = HERE) -> FrozenPolicy:
    return described(made, policy).policy


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
        assert np.array_equal(getattr(found.limits, name), getattr(HERE.limits, name)), name
    assert np.array_equal(found.approved, HERE.approved)
    assert (found.task_types, found.features, found.lattice) == (HERE.task_types, HERE.features, HERE.lattice)
    assert (found.reward_span, found.digest) == (HERE.reward_span, HERE.digest)
    assert (found.fallback, found.stops) == (HERE.fallback, HERE.stops) == (HERE.fallback, ((), ("END",)))
    assert described(MANIFEST).release == SAID


def test_the_files_are_listed_with_their_sizes() -> None:
    listed = read_files(parse(canonical(MANIFEST), "manifest.json"))
    assert list(listed) == [POLICY, GRAPH, CARD] == list(LIMITS)
    assert listed[POLICY] == (sha256(HERE.text), len(HERE.text))
    bare = render(HERE, SAID, golden=requests(HERE), files={POLICY: HERE.text})
    assert list(read_files(parse(canonical(manifest.sealed(bare, CARD_BYTES)), "m"))) == [POLICY, CARD]


REFUSALS: dict[str, tuple[Edit, str]] = {
    "a later format": (at("format_version", value="3.0"), "format_version = '3.0', need '2.0', the format that this"),
    "a later minor": (
        at("format_version", value="2.1"),
        "format_version = '2.1', need '2.0', the format that this code",
    ),
    "the first format": (at("format_version", value=1), "format_version = 1, need '2.0'"),
    "no format": (at("format_version", value=...), "format_version = None, need '2.0'"),
    "a truth as format": (at("format_version", value=True), "format_version = True, need '2.0'"),
    "a number as format": (at("format_version", value=2.0), "format_version = 2.0, need '2.0'"),
    "unknown field": (at("hard_limit", value={}), "unknown field 'hard_limit'; did you mean 'hard_limits'"),
    "missing field": (at("trust_region", value=...), "trust_region = nothing, need a value"),
    "a wider trust region": (at("trust_region", "temperature", "steps", value=3), r"limits.radius = .* lattice steps"),
    "a narrower region in one place": (
        at("trust_region", "temperature", "steps", value=1),
        r"golden\[0\].* = .*, what this machine answers",
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
    "an empty lattice": (at("actions", "axes", value=[]), r"actions.axes = \[\], need at least one axis"),
    "an axis twice": (at("actions", "axes", 1, "name", value="temperature"), "need at least one axis, each name once"),
    "an axis out of order": (
        at("actions", "axes", 0, "values", 0, value="2"),
        "a lattice: axis temperature = .*ascending",
    ),
    "a grid value that is no number": (
        at("actions", "axes", 0, "values", 0, value="warm"),
        "a lattice: .*'warm', need a decimal",
    ),
    "no span": (at("reward", "span", value=0.0), "reward_span = 0.0, need a finite number > 0"),
    "a span as whole number": (at("reward", "span", value=2), "reward.span = 2, need 2.0, which follows"),
    "evidence that is no mapping": (at("evidence", value=[1]), r"evidence = \[1\], need a JSON object"),
    "another author": (at("created_by", "name", value="nobody"), "created_by.name = 'nobody', need 'guardband'"),
    "files left out": (at("files", value={}), "files.policy.json = nothing, need a value"),
    "the card left out": (at("files", CARD, value=...), "files.MODEL_CARD.md = nothing, need a value"),
    "a graph that is not there": (at("files", GRAPH, value={}), "files.policy.onnx.sha256 = nothing"),
    "a graph unsaid": (at("files", GRAPH, value=...), "files.policy.onnx = nothing, need a value"),
    "another size": (at("files", CARD, "bytes", value=3), "files.MODEL_CARD.md.bytes = 3, need 4"),
    "a size of a file too large": (
        at("files", POLICY, "bytes", value=2**26 + 1),
        r"files.policy.json.bytes = 67108865, need a whole number in \[0, 67108864\]",
    ),
    "a size below nothing": (at("files", CARD, "bytes", value=-1), "need a whole number in"),
    "another hash": (at("files", GRAPH, "sha256", value="0" * 64), r"files.policy.onnx.sha256 = '0+\.\.\., need '"),
    **{
        f"a file at {name!r}": (
            at("files", name, value={"sha256": "0" * 64, "bytes": 1}),
            "has the unknown field 'files",
        )
        for name in ("../policy.json", "/etc/passwd", "a/b", "policy.json\x00", "", ".", "manifest.json", "policy.pkl")
    },
    "a fallback outside the limits": (
        at("fallback", "action_id", value=0),
        "fallback = 0 .*, need an action within the hard limits",
    ),
    "a fallback outside the grid": (at("fallback", "action_id", value=144), r"need a whole number in \[0, 143\]"),
    "a fallback at odds with its id": (
        at("fallback", "parameters", "temperature", value=0.6),
        "fallback.parameters.temperature = 0.6, need",
    ),
    "stop sequences as text": (
        at("task_types", 1, "stop_sequences", value="END"),
        "stop_sequences = 'END', need a list",
    ),
    "an empty stop sequence": (at("task_types", 1, "stop_sequences", value=[""]), "need at most 16 sequences of 1 to"),
    "too many stop sequences": (at("task_types", 1, "stop_sequences", value=["x"] * 17), "need at most 16 sequences"),
    "another parameter": (
        at("actions", "axes", 0, "parameter", value="gen_ai.request.top_p"),
        "actions.axes.0..parameter = 'gen_ai.request.top_p', need 'gen_ai.request.temperature'",
    ),
    "another unit": (at("actions", "axes", 1, "unit", value="words"), "unit = 'words', need 'tokens'"),
    "another order": (at("actions", "order", value="column-major"), "actions.order = 'column-major', need 'row-major"),
    "an axis unheard of": (at("actions", "axes", 0, "name", value="warmth"), "unknown field 'hard_limits.temperature'"),
    "another fingerprint": (at("actions", "fingerprint", value="0" * 64), r"actions.fingerprint = '0+\.\.\., need '"),
    "another default": (
        at("features", "inputs", 0, "missing", value="taken as 3"),
        r"features.inputs.0..missing = 'taken as 3', need 'taken as 2'",
    ),
    "another rule for models": (
        at("features", "unknown_model", value="guess"),
        "features.unknown_model = 'guess', need",
    ),
    "models that no entry knows": (at("features", "models", value=["a", "b"]), "spec.d = 12, need 14"),
    "other weights": (at("reward", "weights", 0, 0, value=9.0), r"reward.weights.0..0. = 9.0, need"),
    "endless weights": (at("reward", "span", value=10**400), "need a number that float64"),
    "the digest of another policy": (at("policy", "digest", value="0" * 64), r"policy.digest = '0+\.\.\., need '"),
    "a waiver that is none": (at("waivers", 0, "waives", value=[]), "need some of gate"),
    "evidence retyped": (at("evidence", "n", value="2000"), "evidence.n = '2000', need a whole number"),
    "a longer release name": (at("policy", "name", value="A B"), "need lower-case letters"),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_fault_is_refused_even_under_a_fitting_digest(fault: str) -> None:
    edit, words = REFUSALS[fault]
    with pytest.raises(BundleError, match=words) as caught:
        read(sealed(edit))
    assert str(caught.value).startswith("manifest.json: ")
    assert "\n" not in str(caught.value)


KINDS: dict[type[BundleError], tuple[str, ...]] = {
    VersionError: ("a later format", "a later minor", "the first format", "no format", "a truth as format"),
    BoundsError: (
        *("a wider trust region", "a limit off the lattice", "approved outside the limits", "approved never recorded"),
        *("a fallback outside the limits", "an axis out of order", "no span"),
    ),
    FormatError: ("unknown field", "missing field", "words at odds with numbers", "another clip", "evidence retyped"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_type_of_a_refusal_tells_its_cause(kind: type[BundleError]) -> None:
    for fault in KINDS[kind]:
        with pytest.raises(BundleError) as caught:
            read(sealed(REFUSALS[fault][0]))
        assert type(caught.value) is kind, fault


def test_an_answer_of_another_machine_and_an_edit_have_their_own_types() -> None:
    with pytest.raises(GoldenError, match=r"golden\[7\].seed"):
        read(sealed(at("golden", 7, "seed", value=1)))
    made = copy.deepcopy(MANIFEST)
    at("evidence", "lower_bound", value=0.02)(made)
    with pytest.raises(IntegrityError, match="manifest.json: digest = .* need [0-9a-f]{64}, the digest of the rest"):
        read(made)
    made["digest"] = 7
    with pytest.raises(IntegrityError, match="manifest.json: digest = 7, need"):
        read(made)


STRIDE = np.where(np.arange(8) < 6, 1, 2) * np.array([[1]] * 6)
STRIDE[[0, 2, 3, 4, 5]] = 1
RELATIVE = replace(HERE, limits=HERE.limits._replace(stride=STRIDE.astype(np.int32)))


def test_relative_steps_come_back_and_are_said_only_where_there_are_any() -> None:
    made = written(RELATIVE)
    assert made["trust_region"]["max_tokens"] == {"steps": 2, "radius": "200", "strides": [1] * 6 + [2, 2]}
    assert "strides" not in made["trust_region"]["temperature"]
    assert np.array_equal(read(made, RELATIVE).limits.stride, STRIDE)


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
    made = written(replace(HERE, seen=np.array([0, 7], np.int32)))
    assert ["evaluations" in kind for kind in made["task_types"]] == [False, True]
    assert read(made).seen.tolist() == [0, 7]
    assert read(MANIFEST).seen.tolist() == [0, 0]


@pytest.mark.parametrize("value", [0, -3, 2**31, 2.5, "7"])
def test_evaluations_that_can_not_have_been_are_refused(value: Any) -> None:
    with pytest.raises(
        BundleError, match=r"task_types\[1\].evaluations = .*, need a whole number in \[1, 2147483647\]"
    ):
        read(sealed(at("task_types", 1, "evaluations", value=value)))


@pytest.mark.slow
def test_every_field_taken_away_or_retyped_is_refused() -> None:
    """Law: no field that decides, describes or proves can be left out, or replaced by a list of lists, unseen."""
    brief = {**MANIFEST, "golden": MANIFEST["golden"][:1]}
    paths = [path for path in _paths(brief) if path != ("digest",)]
    assert {path[0] for path in paths} == {*FIELDS} - {"digest"} and len(paths) > 200
    for path in paths:
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
