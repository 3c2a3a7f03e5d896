"""Task features: identities that never collide, context vectors that never leave their bounds."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.tasks import CLIP, MAX_COUNT, FeatureSpec, TaskFeatures, encode, fingerprint, parse_task

FAST = settings(derandomize=True, database=None, deadline=None, max_examples=50)
COUNTS = [f.name for f in fields(TaskFeatures) if f.name.endswith(("length", "count", "files", "loc"))]
COUNT = st.one_of(st.integers(0, 50), st.integers(0, MAX_COUNT))
TASKS = st.builds(
    TaskFeatures,
    risk_tier=st.integers(1, 3),
    has_external_deps=st.booleans(),
    complexity_indicators=st.lists(st.text(max_size=5), max_size=9).map(tuple),
    model_name=st.none() | st.text(max_size=5),
    prompt_tokens=st.none() | COUNT,
    prior_failures=st.none() | COUNT,
    **{name: COUNT for name in COUNTS},
)


def test_the_twelve_features_of_the_mission_are_there() -> None:
    assert [f.name for f in fields(TaskFeatures)] == [
        "risk_tier",
        "title_length",
        "description_length",
        "acceptance_criteria_count",
        "scope_files_count",
        "max_files",
        "max_loc",
        "has_external_deps",
        "complexity_indicators",
        "model_name",
        "prompt_tokens",
        "prior_failures",
    ]


def test_unknown_zero_empty_and_false_have_fingerprints_of_their_own() -> None:
    plain = TaskFeatures()
    same_but = [
        plain,
        replace(plain, prompt_tokens=0),
        replace(plain, prior_failures=0),
        replace(plain, model_name=""),
        replace(plain, model_name="None"),
        replace(plain, model_name="0"),
        replace(plain, has_external_deps=True),
        replace(plain, complexity_indicators=("",)),
        replace(plain, complexity_indicators=("", "")),
        replace(plain, complexity_indicators=("ab",)),
        replace(plain, complexity_indicators=("a", "b")),
        replace(plain, complexity_indicators=("b", "a")),
        replace(plain, title_length=1),
        replace(plain, description_length=1),
    ]
    prints = [fingerprint(task, task_type=kind) for task in same_but for kind in ("", "a", "None")]
    assert len(set(prints)) == len(prints)


@FAST
@given(TASKS, TASKS)
def test_equal_tasks_and_only_equal_tasks_share_a_fingerprint(a: TaskFeatures, b: TaskFeatures) -> None:
    assert (fingerprint(a, task_type="t") == fingerprint(b, task_type="t")) == (a == b)
    assert fingerprint(a, task_type="t") == fingerprint(replace(a), task_type="t")


def test_a_fingerprint_is_the_same_on_every_machine_and_in_every_process() -> None:
    task = TaskFeatures(1, 10, 200, 3, 4, 5, 60, True, ("security",), "m", 70, None)
    # golden: a change here changes every logged fingerprint, and the person string with it
    assert fingerprint(task, task_type="code") == "8a639b371c0e22d4ad4289386c415e27"


@FAST
@given(TASKS)
def test_the_context_vector_stays_in_its_bounds_for_the_most_extreme_features(task: TaskFeatures) -> None:
    spec = FeatureSpec()
    vector = encode(task, spec)
    assert vector.shape == (len(spec.names),) == (12,)
    assert vector.dtype == np.float64
    assert np.all(np.abs(vector) <= CLIP)


def test_the_reference_task_sits_at_the_centre_of_every_count() -> None:
    spec = FeatureSpec()
    centre = {name: round(math.expm1(middle)) for name, middle, _ in spec.counts}
    vector = dict(zip(spec.names, encode(parse_task(centre), spec), strict=True))
    assert max(abs(vector[name]) for name in centre) < 1e-12
    assert (vector["risk_tier"], vector["missing"]) == (0.0, 0.0)


def test_an_unknown_count_sits_at_the_centre_and_is_counted_as_missing() -> None:
    spec = FeatureSpec()
    known = TaskFeatures(prompt_tokens=9000, prior_failures=0)
    unknown = replace(known, prompt_tokens=None)
    gap = encode(unknown, spec) - encode(known, spec)
    moved = {spec.names[i] for i in np.flatnonzero(gap)}
    assert moved == {"missing", "prompt_tokens"}
    assert encode(unknown, spec)[spec.names.index("missing")] == 1.0


def test_one_model_has_no_entry_and_several_have_one_each() -> None:
    alone, many = FeatureSpec(models=("a",)), FeatureSpec(models=("a", "b"))
    assert alone.names == FeatureSpec().names
    task = TaskFeatures(model_name="b")
    assert encode(task, many)[-2:].tolist() == [0.0, 1.0]
    assert many.names[-2:] == ("model=a", "model=b")
    with pytest.raises(ValueError, match=r"model_name = 'c', need one of \['a', 'b'\]"):
        encode(replace(task, model_name="c"), many)


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        ({"risk_teir": 1}, ValueError, "unknown task feature 'risk_teir', did you mean 'risk_tier'"),
        ({"zzz": 1}, ValueError, r"unknown task feature 'zzz', need some of \['risk_tier'"),
        ({"risk_tier": 4}, ValueError, "risk_tier = 4, need 1"),
        ({"risk_tier": True}, ValueError, "risk_tier = True"),
        ({"title_length": -1}, ValueError, "title_length = -1, need 0 <= title_length"),
        ({"title_length": MAX_COUNT + 1}, ValueError, "title_length = 1000000000001"),
        ({"title_length": 1.5}, TypeError, "title_length = 1.5, need a whole number$"),
        ({"title_length": math.nan}, TypeError, "title_length = nan"),
        ({"title_length": None}, TypeError, "title_length = None, need a whole number$"),
        ({"prompt_tokens": "12"}, TypeError, "prompt_tokens = '12', need a whole number or null"),
        ({"prior_failures": True}, TypeError, "prior_failures = True"),
        ({"has_external_deps": 1}, TypeError, "has_external_deps = 1, need true or false"),
        ({"model_name": 3}, TypeError, "model_name = 3, need a string or null"),
        ({"complexity_indicators": "security"}, TypeError, "need a list of strings"),
        ({"complexity_indicators": [1]}, TypeError, "need a list of strings"),
    ],
)
def test_a_bad_feature_is_refused_by_name(record: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_task(record)


def test_a_record_from_json_keeps_its_values() -> None:
    task = parse_task({"risk_tier": 3, "complexity_indicators": ["a", "b"], "prompt_tokens": None, "max_loc": 7})
    assert task == TaskFeatures(risk_tier=3, complexity_indicators=("a", "b"), max_loc=7)
