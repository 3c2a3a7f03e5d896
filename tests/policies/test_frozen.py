"""A frozen policy answers as simulation does, the same for the same id, within its bounds, whatever is asked."""

import math
from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.tasks import FeatureSpec, TaskFeatures, encode
from envs.traffic import Context
from policies.base import Question
from policies.decide import Known, decide
from policies.frozen import REQUEST, FrozenPolicy, Recommendation, freeze_policy
from policies.learners import decomposed, epsilon_greedy
from policies.masses import TOTAL
from policies.request import request_seed, request_uniform
from tests.examples import (
    LEARNERS,
    LIMITS,
    frozen,
    many_types,
    numbers,
    run_policy,
    small_world,
    told,
    two_models,
    under_limits,
)

WORLD = small_world()
TASKS = WORLD.population.tasks
LEARNED = run_policy(LEARNERS["thompson shared"])
POLICY = frozen("thompson shared")
MODELS = frozen("thompson shared", world=two_models(), stops={"long": ("END", "\n\n")})
NAMES = {"short", "long"}


def grid(answer: Recommendation) -> dict[str, Any]:
    """Its lattice parameters alone, under their own names."""
    extra = (REQUEST + "seed", REQUEST + "stop_sequences")
    return {name.removeprefix(REQUEST): value for name, value in answer.parameters.items() if name not in extra}


@pytest.mark.parametrize("learner", LEARNERS)
def test_masses_are_those_of_the_engine_for_every_task(learner: str) -> None:
    run, policy = run_policy(LEARNERS[learner]), frozen(learner)
    for i, task in enumerate(TASKS):
        kind = WORLD.population.task[i]
        answer = policy.recommend(task, WORLD.population.names[kind], f"r-{i}")
        context = Context(np.int32(i), kind, WORLD.population.features[i], np.int32(0))
        known = Known(np.int32(99), np.float64(WORLD.reward_span), np.int32(answer.uniform or 0))
        engine = decide(run.bounded.policy, run.bounded.params, run.state, context, known)
        assert np.array_equal(answer.masses, engine.masses)
        assert answer.action_id == engine.choice.action_id
        assert answer.propensity == engine.choice.mass / TOTAL
        assert WORLD.lattice.action_id(grid(answer)) == answer.action_id


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_answer_is_within_hard_limits_and_trust_region(learner: str) -> None:
    run, policy = run_policy(LEARNERS[learner]), frozen(learner)
    for i in range(200):
        task, kind = TASKS[i % len(TASKS)], ("short", "long")[i % 2]
        answer = policy.recommend(task, kind, f"r-{i}")
        home, sent = numbers(WORLD, run.state.approved[i % 2]), numbers(WORLD, answer.action_id)
        assert sent["temperature"] <= float(LIMITS.temperature.highest)
        assert sent["max_tokens"] >= float(LIMITS.max_tokens.lowest)
        assert abs(sent["temperature"] - home["temperature"]) < 0.2 + 1e-9
        assert abs(sent["max_tokens"] - home["max_tokens"]) <= 200
        assert answer.masses.sum() == TOTAL
        assert answer.propensity > 0


def test_the_same_request_id_gets_the_same_answer() -> None:
    asked = [("long", f"r-{i % 5}") for i in range(10)]
    answers = [POLICY.recommend(TASKS[20], kind, name) for kind, name in asked]
    assert [a.action_id for a in answers[:5]] == [a.action_id for a in answers[5:]]
    assert len({a.uniform for a in answers}) == 5


def test_uniform_and_seed_are_those_of_the_request() -> None:
    answer = POLICY.recommend(TASKS[0], "short", "r-7")
    assert answer.uniform == request_uniform("r-7", POLICY.digest)
    assert answer.parameters[REQUEST + "seed"] == request_seed("r-7")
    other = frozen("linucb shared").recommend(TASKS[0], "short", "r-7")
    assert other.uniform != answer.uniform
    assert other.parameters[REQUEST + "seed"] == request_seed("r-7")  # whichever policy answers


def test_actions_come_up_as_often_as_their_propensity_says() -> None:
    """2,000 ids, one context: chi-square over cells expected >= 20 times, at a false alarm rate of 1e-6.

    The normal approximation of Wilson and Hilferty gives the bound on chi-square; 4.75 = z(1 - 1e-6).
    """
    n, policy = 2000, frozen("softmax shared")
    answers = [policy.recommend(TASKS[0], "short", f"r-{i}") for i in range(n)]
    slots = [
        (a.window.action_ids == a.action_id) & a.window.feasible for a in answers
    ]  # beyond the lattice: the centre's id
    hits = np.bincount(np.argmax(slots, axis=1))
    hits = np.pad(hits, (0, policy.spec.k - hits.size))
    expected = n * answers[0].masses / TOTAL
    large = expected >= 20
    cells = [*zip(hits[large], expected[large], strict=True), (hits[~large].sum(), expected[~large].sum())]
    statistic = sum((h - e) ** 2 / e for h, e in cells if e > 0)
    freedom = len(cells) - 1
    bound = freedom * (1 - 2 / (9 * freedom) + 4.75 * np.sqrt(2 / (9 * freedom))) ** 3
    assert statistic < bound


def test_the_answer_says_why() -> None:
    still = frozen("fixed").recommend(TASKS[0], "short", "r")
    assert still.reason.startswith("keeps the approved parameters; 1 of ")
    reasons = [POLICY.recommend(TASKS[0], "short", f"r-{i}").reason for i in range(50)]
    assert any("moves temperature" in reason for reason in reasons)
    assert all("outside lattice" in reason or "hard limit" in reason for reason in reasons)


def test_approved_parameters_are_the_start_unless_given() -> None:
    policy = freeze_policy(WORLD, LEARNED.bounded, state=LEARNED.state.inner)
    assert np.array_equal(policy.approved, LEARNED.bounded.params.start)
    assert policy.digest == POLICY.digest  # an approval is an event, not another policy


def test_exploration_that_decays_stands_where_it_was_when_the_policy_froze() -> None:
    """Half of all decisions at t = 0, half of that after 20 evaluations; the floor is a tenth."""
    learner = epsilon_greedy.Params(epsilon=0.5, halving=20.0)
    run, later_on = run_policy(learner), np.array([20, 10**6], np.int32)
    first, later = frozen(learner), frozen(learner, seen=later_on)
    assert first.seen.tolist() == [0, 0]
    assert first.digest == later.digest  # when it froze is an event, not another policy
    for kind, task, share in ((0, "short", 0.25), (1, "long", 0.1)):
        begun, answer = (one.recommend(TASKS[0], task, "r") for one in (first, later))
        context = Context(np.int32(0), np.int32(kind), encode(TASKS[0], WORLD.population.spec), np.int32(0))
        known = Known(later_on[kind], np.float64(WORLD.reward_span), np.int32(answer.uniform or 0))
        engine = decide(run.bounded.policy, run.bounded.params, run.state, context, known)
        assert np.array_equal(answer.masses, engine.masses)
        n = np.count_nonzero(answer.masses)
        assert answer.masses.max() / TOTAL == pytest.approx(1 - share + share / n, abs=n / TOTAL)
        assert begun.masses.max() / TOTAL == pytest.approx(0.5 + 0.5 / n, abs=n / TOTAL)


@pytest.mark.parametrize(
    ("seen", "words"), [([1], r"seen.shape = \(1,\), need \(2,\)"), ([0, -1], "seen holds -1, need a number")]
)
def test_evaluations_that_can_not_have_been_are_refused(seen: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(POLICY, seen=np.array(seen, np.int32))


def test_narrow_arrays_are_widened_exactly() -> None:
    narrow = type(LEARNED.state.inner)(*(leaf.astype(np.float32) for leaf in LEARNED.state.inner))
    policy = freeze_policy(WORLD, LEARNED.bounded, state=narrow)
    assert policy.state.theta.dtype == np.float64
    assert np.array_equal(policy.state.theta, narrow.theta)


@pytest.mark.parametrize(
    ("request_id", "words"),
    [
        ("", "request_id = '', need 1 to 1024 bytes of UTF-8"),
        ("x" * 1025, "need 1 to 1024 bytes of UTF-8"),
        ("\ud800", r"request_id = '\ud800', need 1 to 1024 bytes of UTF-8"),
        (7, "request_id = 7, need text"),
    ],
    ids=["empty", "long", "surrogate", "number"],
)
def test_a_bad_request_id_gets_the_approved_parameters_and_no_seed(request_id: Any, words: str) -> None:
    answer = POLICY.recommend(TASKS[0], "long", request_id)
    settled(answer, POLICY, "long")
    assert words in answer.reason
    assert REQUEST + "seed" not in answer.parameters  # a made-up one would look like a good one


def settled(answer: Recommendation, policy: FrozenPolicy, kind: str) -> None:
    """Nothing was drawn: the approved parameters, for sure, and the reason in one short line."""
    home = int(policy.approved[policy.task_types.index(kind)])
    assert (answer.action_id, answer.propensity, answer.uniform, answer.confidence) == (home, 1.0, None, None)
    assert grid(answer) == policy.lattice.parameters(home)
    assert np.count_nonzero(answer.masses) == 1
    assert answer.window.action_ids[int(np.argmax(answer.masses))] == home
    assert answer.reason.startswith("approved parameters: ") and answer.reason == answer.refusal


UNKNOWN: dict[str, tuple[Any, str]] = {
    "misspelt": ("shrot", "task_type = 'shrot', need one of short, long; did you mean 'short'"),
    "empty": ("", "task_type = '', need one of short, long"),
    "number": (3, "task_type = 3, need one of short, long"),
    "list": (["short"], r"task_type = ['short'], need one of short, long"),
    "nothing": (None, "task_type = None, need one of short, long"),
    "endless number": (10**5000, "task_type = an int, need one of short, long"),
    "long": ("x" * 10**6, "need one of short, long"),
}


@pytest.mark.parametrize("fault", UNKNOWN)
def test_an_unknown_task_type_gets_the_fallback_with_the_reason(fault: str) -> None:
    kind, words = UNKNOWN[fault]
    answer = POLICY.recommend(TaskFeatures(), kind, "r")
    assert (answer.action_id, answer.propensity, answer.uniform) == (POLICY.fallback, 1.0, None)
    assert grid(answer) == WORLD.lattice.parameters(POLICY.fallback)
    assert answer.parameters[REQUEST + "seed"] == request_seed("r")
    assert answer.parameters[REQUEST + "stop_sequences"] == []
    assert answer.masses.tolist() == [TOTAL] and answer.window.action_ids.tolist() == [POLICY.fallback]
    assert answer.reason.startswith("fallback: ") and words in answer.reason
    assert answer.confidence is None


def test_a_refusal_stays_short_where_there_are_many_task_types() -> None:
    world = many_types(40)
    made = under_limits(LEARNERS["fixed"], world)
    policy = freeze_policy(world, made, state=made.policy.init(made.params).inner)
    words = policy.recommend({}, "type-4o", "r").reason
    assert len(words) < 400 and "need one of type-00, type-01, " in words and "did you mean 'type-4" not in words
    assert "did you mean 'type-" in words


def test_the_fallback_is_the_commonest_start_and_within_the_limits() -> None:
    assert POLICY.fallback == np.bincount(LEARNED.bounded.params.start).argmax()
    with pytest.raises(ValueError, match=r"fallback = 0 \(.*\), need an action within the hard limits"):
        replace(POLICY, fallback=0)
    for fallback in (-1, WORLD.lattice.size):
        with pytest.raises(ValueError, match=f"fallback = {fallback}, need an action id in"):
            replace(POLICY, fallback=fallback)


def test_an_unknown_model_gets_the_approved_parameters_with_the_reason() -> None:
    still = frozen("uniform")
    policy = replace(still, features=FeatureSpec(models=("small", "large")), spec=still.spec._replace(d=14))
    for sent in ({"model_name": "medium"}, {}, {"model_name": None}):
        answer = policy.recommend(sent, "long", "r-1")
        settled(answer, policy, "long")
        assert f"model_name = {sent.get('model_name')!r}, need one of ['small', 'large']" in answer.reason
        assert answer.parameters[REQUEST + "seed"] == request_seed("r-1")
    assert policy.recommend({"model_name": "small"}, "long", "r-1").uniform is not None
    assert still.recommend({"model_name": "medium"}, "long", "r-1").uniform is not None  # no entry depends on it


DEFAULTS = asdict(TaskFeatures())


@pytest.mark.parametrize("name", [*DEFAULTS, "all"])
def test_a_missing_feature_is_answered_as_its_default_sent_explicitly(name: str) -> None:
    """The manifest's rule, for every feature alone and for all of them."""
    full = asdict(TASKS[15])
    missing = {} if name == "all" else {key: value for key, value in full.items() if key != name}
    explicit = DEFAULTS if name == "all" else full | {name: DEFAULTS[name]}
    for i in range(10):
        assert told(POLICY.recommend(missing, "long", f"r-{i}")) == told(POLICY.recommend(explicit, "long", f"r-{i}"))


def test_features_may_be_a_task_or_its_fields() -> None:
    one, other = (POLICY.recommend(sent, "long", "r") for sent in (TASKS[15], asdict(TASKS[15])))
    assert told(one) == told(other)


def test_parameters_go_by_their_opentelemetry_names() -> None:
    answer = MODELS.recommend({"model_name": "large"}, "long", "r-1")
    axes = ("model", "temperature", "max_tokens", "top_p", "frequency_penalty", "presence_penalty")
    assert set(answer.parameters) == {f"gen_ai.request.{name}" for name in (*axes, "seed", "stop_sequences")}
    assert answer.parameters["gen_ai.request.stop_sequences"] == ["END", "\n\n"]
    assert MODELS.recommend({"model_name": "large"}, "short", "r").parameters["gen_ai.request.stop_sequences"] == []
    assert "gen_ai.request.model" not in POLICY.recommend({}, "long", "r").parameters  # one model: not chosen


def test_an_answer_is_the_callers_own_and_can_not_reach_into_the_policy() -> None:
    asked = ({"model_name": "large"}, "long", "r-1")
    before = told(MODELS.recommend(*asked))
    answer = MODELS.recommend(*asked)
    answer.parameters.clear()
    answer.masses[:] = 0
    for leaf in answer.window:
        with pytest.raises(ValueError, match="read-only"):
            leaf[...] = 0
    answer = MODELS.recommend(*asked)
    answer.parameters[REQUEST + "stop_sequences"].append("more")
    answer.parameters[REQUEST + "temperature"] = 2.0
    assert told(MODELS.recommend(*asked)) == before
    with pytest.raises(FrozenInstanceError):
        answer.action_id = 3  # type: ignore[misc]  # what the test is about


def test_probabilities_are_masses_over_the_whole() -> None:
    answer = POLICY.recommend(TASKS[0], "short", "r")
    assert answer.probabilities.sum() == 1.0
    chosen = (answer.window.action_ids == answer.action_id) & answer.window.feasible
    assert answer.propensity == answer.probabilities[chosen].item()


def test_confidence_is_the_share_of_draws_that_favour_the_choice() -> None:
    """The same count from the belief that the learner gives for this decision."""
    for i in range(40):
        answer = POLICY.recommend(TASKS[i % 24], "long", f"r-{i}")
        asked = POLICY.decision(TASKS[i % 24], 1, np.ones(2))
        question = (asked.features[None, :], asked.task, asked.prices)
        belief = POLICY.learner.belief
        assert belief is not None
        draws = belief(POLICY.numbers, POLICY.state, Question(*question), asked.window.action_ids).draws
        chosen = np.flatnonzero((asked.window.action_ids == answer.action_id) & asked.window.feasible)[0]
        better = np.count_nonzero(draws[chosen] >= draws[asked.window.incumbent])
        assert answer.confidence == better / draws.shape[1]
    assert frozen("uniform").recommend(TASKS[0], "short", "r").confidence is None


def test_words_are_made_when_they_are_asked_for() -> None:
    answer = POLICY.recommend(TASKS[0], "short", "r")
    assert not {"reason", "confidence"} & vars(answer).keys()
    assert answer.reason is answer.reason


def test_prices_that_no_market_has_get_the_approved_parameters() -> None:
    for prices in ((1.0,), (1.0, -1.0), (1.0, math.nan), "11", None):
        answer = POLICY.recommend(TASKS[0], "short", "r", prices=prices)  # type: ignore[arg-type]  # bad data
        settled(answer, POLICY, "short")
        assert "need two numbers in [0, 1e+06]" in answer.reason


class Hostile:
    """An object whose every question fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __hash__(self) -> int:
        return 7

    def __len__(self) -> int:
        raise RuntimeError("no length")


def nested(depth: int) -> list[Any]:
    """Lists within lists, deeper than Python prints."""
    held: list[Any] = []
    for _ in range(depth):
        held = [held]
    return held


TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["\ud800", "a\nb", "x" * 2000, "\x00", "short", "r-1"]))
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.sampled_from([10**12, 10**12 + 1, -(10**400)]),
    st.builds(pow, st.just(10), st.just(5000)),  # Python refuses to print it
)
ODD = st.one_of(
    st.none(),
    st.binary(max_size=4),
    st.builds(object),
    st.builds(Hostile),
    st.builds(nested, st.sampled_from([3, 3000])),
)
VALUES = st.recursive(
    TEXTS | NUMBERS | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)
FEATURES = st.one_of(
    VALUES,
    st.dictionaries(st.sampled_from(list(DEFAULTS)), VALUES, max_size=4),
    st.dictionaries(st.sampled_from(list(DEFAULTS)), st.integers(0, 3), max_size=12),
    st.dictionaries(st.one_of(st.integers(), st.none(), st.text(max_size=4)), VALUES, max_size=2),
    st.sampled_from(TASKS),
)
PRICES = st.one_of(st.just((1.0, 1.0)), st.tuples(NUMBERS, NUMBERS), VALUES)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.sampled_from([POLICY, MODELS]), FEATURES, st.one_of(st.sampled_from(sorted(NAMES)), VALUES), VALUES, PRICES)
def test_whatever_is_sent_gets_an_answer_within_the_limits(
    policy: FrozenPolicy, features: Any, kind: Any, request_id: Any, prices: Any
) -> None:
    """Law: never an exception; parameters within the hard limits, masses whole, a refusal in one short line."""
    answer = policy.recommend(features, kind, request_id, prices=prices)
    sent = numbers(two_models() if policy is MODELS else WORLD, answer.action_id)
    assert sent["temperature"] <= float(LIMITS.temperature.highest)
    assert sent["max_tokens"] >= float(LIMITS.max_tokens.lowest)
    assert grid(answer) == policy.lattice.parameters(answer.action_id)
    assert answer.masses.sum() == TOTAL and answer.masses.min() >= 0
    assert 0 < answer.propensity <= 1
    assert (answer.uniform is None) == bool(answer.refusal)
    assert len(answer.reason.splitlines()) == 1 and len(answer.reason) < 500
    assert answer.refusal.isprintable()


def test_prices_reach_a_policy_that_knows_them() -> None:
    policy = frozen(decomposed.Params(shapes=64, rank=4, n_draws=16))
    usual, dear = (policy.recommend(TASKS[15], "long", "r", prices=pair) for pair in ((1.0, 1.0), (1.0, 50.0)))
    assert not np.array_equal(usual.masses, dear.masses)


@pytest.mark.parametrize("words", [("",), ("x" * 257,), ("x",) * 17])
def test_stop_sequences_have_bounds(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="stop sequences of 'short' = .*, need at most 16 sequences of 1 to 256 char"):
        replace(POLICY, stops=(words, ()))
    with pytest.raises(ValueError, match="stops, one tuple per task type = 1, need 2"):
        replace(POLICY, stops=((),))
    with pytest.raises(ValueError, match="stop sequences of 'shrot', need task types among short, long; did you mean"):
        frozen("fixed", stops={"shrot": ("x",)})


LIMIT = POLICY.limits
MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "approved outside the grid": ({"approved": np.array([144, 0])}, "approved of 'short' = 144, need an action id in"),
    "approved outside the limits": (
        {"approved": np.array([POLICY.approved[0], 0])},
        "approved of 'long' = 0 .*'max_tokens': 112.* need an action within the hard limits",
    ),
    "approved never recorded": (
        {"limits": LIMIT._replace(recorded=np.zeros_like(LIMIT.recorded))},
        "that the world has recorded",
    ),
    "another grid": (
        {"spec": POLICY.spec._replace(shape=(6, 8, 4, 1, 1, 1))},
        r"spec.shape = .*, need \(6, 8, 3, 1, 1, 1\)",
    ),
    "task types at odds": ({"task_types": ("short",)}, "spec.n_tasks = 2, need 1"),
    "a task type twice": ({"task_types": ("short", "short")}, "task_types, distinct = 1, need 2"),
    "a window without a step": (
        {"limits": LIMIT._replace(stride=0 * LIMIT.stride)},
        "limits.stride holds 0, need at least one lattice step",
    ),
    "strides of another lattice": (
        {"limits": LIMIT._replace(stride=LIMIT.stride[:, 1:])},
        r"limits.stride.shape = \(6, 7\), need \(6, 8\)",
    ),
    "a radius past the window": (
        {"limits": LIMIT._replace(radius=LIMIT.radius + 1)},
        r"limits.radius = \[3, 3, 2, 1, 1, 1\], need 0 to \[2, 2, 1, 0, 0, 0\]",
    ),
    "no span": ({"reward_span": 0.0}, "reward_span = 0.0, need a finite number > 0"),
    "endless span": ({"reward_span": np.inf}, "reward_span = inf, need a finite number > 0"),
}


@pytest.mark.parametrize("fault", MISFITS)
def test_parts_that_do_not_fit_are_refused(fault: str) -> None:
    change, words = MISFITS[fault]
    with pytest.raises(ValueError, match=words):
        replace(POLICY, **change)
