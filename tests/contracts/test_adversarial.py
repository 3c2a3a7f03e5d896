"""Whatever a caller sends: every policy stays within its bounds, and what is no task is refused by name."""

import math
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import presets, traffic
from envs.tasks import CLIP, MAX_COUNT, FeatureSpec, TaskFeatures, encode, fingerprint, parse_task
from envs.traffic import Context
from policies.base import Feedback
from policies.build import BoundedPolicy
from policies.decide import Decided, Known, decide
from policies.frozen import freeze_policy
from policies.masses import TOTAL
from tests.examples import LIMITS, numbers, small_world, under_limits

WORLD = small_world()
D = WORLD.population.features.shape[1]
FAST = settings(derandomize=True, database=None, deadline=None, max_examples=12)
CASES = [(group, name) for group in ("policy", "logger") for name in presets.names(group)]
every_policy = pytest.mark.parametrize("case", CASES, ids=["/".join(case) for case in CASES])
N_ROUNDS = 24

# Streams of context vectors: constants, what an all-missing task gives, and what changes as much as can be.
_missing = TaskFeatures(prompt_tokens=None, prior_failures=None)
STREAMS: dict[str, Any] = {
    "highest": lambda _: np.full(D, CLIP),
    "lowest": lambda _: np.full(D, -CLIP),
    "alternating": lambda t: np.full(D, CLIP if t % 2 else -CLIP),
    "checkered": lambda t: np.where((np.arange(D) + t) % 2, CLIP, -CLIP),
    "nothing": lambda _: np.zeros(D),
    "all missing": lambda _: encode(_missing, WORLD.population.spec),
    "one at a time": lambda t: np.where(np.arange(D) == t % D, CLIP, 0.0),
}
contexts = st.lists(
    st.lists(st.sampled_from([-CLIP, 0.0, CLIP]) | st.floats(-CLIP, CLIP), min_size=D, max_size=D),
    min_size=4,
    max_size=12,
)


@cache
def made(case: tuple[str, str]) -> BoundedPolicy:
    return under_limits(presets.load(*case))


def held_to_its_bounds(policy: BoundedPolicy, approved: Any, done: Decided) -> None:
    """The drawn action and everything that could have been drawn."""
    window, task = done.decision.window, int(done.decision.task)
    home = numbers(WORLD, approved[task])
    assert done.masses.sum() == TOTAL and done.masses.dtype == np.int32 and np.all(done.masses >= 0)
    assert np.all(done.masses[~window.feasible] == 0)
    assert done.choice.mass == done.masses[done.choice.slot] > 0
    for action in window.action_ids[done.masses > 0]:
        sent = numbers(WORLD, action)
        assert sent["temperature"] <= float(LIMITS.temperature.highest)
        assert sent["max_tokens"] >= float(LIMITS.max_tokens.lowest)
        assert abs(sent["temperature"] - home["temperature"]) <= 0.2 + 1e-9
        assert abs(sent["max_tokens"] - home["max_tokens"]) <= 200
    assert policy.spec.k == len(done.masses)


def play(policy: BoundedPolicy, vectors: list[Any], seed: int = 0) -> None:
    """Decide and learn on these contexts, with rewards at both ends of the declared range."""
    rng = np.random.Generator(np.random.Philox(seed))
    low, high = WORLD.reward_range or (0.0, 0.0)
    state, clock = policy.policy.init(policy.params), traffic.start(2)
    for t, vector in enumerate(vectors):
        context = Context(np.int32(0), np.int32(t % 2), np.asarray(vector, np.float64), np.int32(0))
        known = Known(clock.seen[t % 2], np.float64(WORLD.reward_span), np.int32(rng.integers(TOTAL)))
        before = state.approved.copy()
        done = decide(policy.policy, policy.params, state, context, known)
        held_to_its_bounds(policy, before, done)
        told = Feedback(np.float64(high if rng.random() < 0.5 else low), np.bool_(True))
        state = policy.policy.update(policy.params, state, done.decision, done.choice, told)
        finite(state)
        there, here = (WORLD.lattice.decode(one.astype(np.int32)) for one in (state.approved, before))
        assert np.all(np.abs(there - here) <= policy.params.limits.radius)
        clock = traffic.advance(clock, np.int32(t % 2))


def finite(state: Any) -> None:
    if isinstance(state, tuple):
        for part in state:
            finite(part)
    else:
        assert np.isfinite(np.asarray(state)).all()


@pytest.mark.parametrize("stream", STREAMS)
@every_policy
def test_extreme_contexts_never_move_a_policy_out_of_its_bounds(case: tuple[str, str], stream: str) -> None:
    play(made(case), [STREAMS[stream](t) for t in range(N_ROUNDS)])


@FAST
@given(vectors=contexts, seed=st.integers(0, 2**16))
@every_policy
def test_no_sequence_of_contexts_moves_a_policy_out_of_its_bounds(
    case: tuple[str, str], vectors: list[list[float]], seed: int
) -> None:
    play(made(case), vectors, seed)


EXTREME = {
    "nothing known": TaskFeatures(),
    "the largest": TaskFeatures(
        risk_tier=3, has_external_deps=True, complexity_indicators=("x",) * 10_000,
        title_length=MAX_COUNT, description_length=MAX_COUNT, acceptance_criteria_count=MAX_COUNT, max_loc=MAX_COUNT,
        scope_files_count=MAX_COUNT, max_files=MAX_COUNT, prompt_tokens=MAX_COUNT, prior_failures=MAX_COUNT,
    ),
    "a name of a megabyte": TaskFeatures(model_name="m" * 10**6),
    "NUL in every text": TaskFeatures(model_name="\x00", complexity_indicators=("\x00", "")),
    "half a known task": TaskFeatures(prompt_tokens=0, prior_failures=None, max_loc=MAX_COUNT),
}  # fmt: skip


@pytest.mark.parametrize("kind", EXTREME)
def test_extreme_tasks_are_encoded_within_their_bounds_and_have_fingerprints(kind: str) -> None:
    context = encode(EXTREME[kind], FeatureSpec())
    assert np.isfinite(context).all() and np.abs(context).max() <= CLIP == 3.0
    assert len(fingerprint(EXTREME[kind], task_type="\x00" * 1000)) == 32


@pytest.mark.parametrize("kind", EXTREME)
@pytest.mark.parametrize("name", presets.names("policy"))
def test_a_frozen_policy_answers_extreme_tasks_within_its_bounds(name: str, kind: str) -> None:
    policy = made(("policy", name))
    frozen = freeze_policy(WORLD, policy, state=policy.learner.init(policy.params.inner))
    answer = frozen.recommend(EXTREME[kind], "long", "r")
    assert answer.masses.sum() == TOTAL and 0 < answer.propensity <= 1
    assert answer.window.feasible[answer.masses > 0].all()
    sent = {name: answer.parameters[f"gen_ai.request.{name}"] for name in ("temperature", "max_tokens")}
    assert sent["temperature"] <= 1.1 and sent["max_tokens"] >= 212


WRONG: dict[str, Any] = {
    "a fraction": 1.5,
    "a whole fraction": 2.0,
    "NaN": math.nan,
    "infinity": math.inf,
    "a negative number": -1,
    "a huge number": 10**13,
    "a number of 10,000 digits": 10**10_000,
    "a negative number of 10,000 digits": -(10**10_000),
    "text": "7",
    "a list": [1],
    "an object": {"a": 1},
    "true": True,
    "bytes": b"1",
}
NUMBERS = [f.name for f in fields(TaskFeatures) if f.type in ("int", "int | None", int, int | None)]


def refused(record: Any, *, naming: str) -> str:
    """The message of a refusal, which names the feature and is short."""
    with pytest.raises((TypeError, ValueError)) as told:
        parse_task(record)
    message = str(told.value)
    assert message.startswith(naming), message
    assert len(message) < 600
    message.encode("utf-8")
    return message


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_of_the_wrong_kind_or_size_is_refused_by_name(name: str, kind: str) -> None:
    assert len(NUMBERS) == 9
    refused({name: WRONG[kind]}, naming=f"{name} = ")


OTHERS: dict[str, tuple[str, object]] = {
    "text for a truth value": ("has_external_deps", "yes"),
    "a huge number for a truth value": ("has_external_deps", 10**10_000),
    "a huge number for a name": ("model_name", 10**10_000),
    "a lone surrogate": ("model_name", "gpt\ud800"),
    "a megabyte of lone surrogates": ("model_name", "\udfff" * 10**6),
    "a lone surrogate in a list": ("complexity_indicators", ["fine", "\ud800"]),
    "a list in a list": ("complexity_indicators", [["nested"]]),
    "null in a list": ("complexity_indicators", [None]),
    "an object for a list": ("complexity_indicators", {"a": 1}),
    "text for a list": ("complexity_indicators", "x" * 10**6),
    "bytes for a list": ("complexity_indicators", b"ab"),
    "a huge number in a list": ("complexity_indicators", [10**10_000]),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_features_of_the_wrong_kind_are_refused_by_name(kind: str) -> None:
    name, value = OTHERS[kind]
    refused({name: value}, naming=f"{name} = ")


def test_an_unknown_feature_is_refused_whatever_its_name() -> None:
    for name in ("", "risk_tiers", "Risk_Tier", "\ud800", "x" * 10**6, "__class__", 7, None, ("a",)):
        refused({name: 1}, naming="unknown task feature ")


@pytest.mark.parametrize("record", [None, [], [("risk_tier", 1)], "risk_tier", 7, b"{}"])
def test_what_is_no_object_is_refused(record: object) -> None:
    refused(record, naming="the task is ")


@FAST
@given(
    record=st.dictionaries(
        st.sampled_from([f.name for f in fields(TaskFeatures)]) | st.text(max_size=8),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.text(max_size=3)),
        max_size=6,
    )
)
def test_any_record_is_a_task_within_bounds_or_refused(record: dict[str, Any]) -> None:
    try:
        task = parse_task(record)
    except (TypeError, ValueError):
        return
    context = encode(task, FeatureSpec())
    assert np.isfinite(context).all() and np.abs(context).max() <= CLIP
    assert replace(task) == task and len(fingerprint(task, task_type="t")) == 32
