"""A frozen policy answers as simulation does, the same for the same request id, and within its bounds."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.tasks import TaskFeatures, encode
from envs.traffic import Context
from policies.decide import Known, decide
from policies.frozen import FrozenPolicy, freeze_policy, request_uniform
from policies.learners import epsilon_greedy
from policies.masses import TOTAL
from tests.examples import LEARNERS, LIMITS, Run, numbers, run_policy, small_world

WORLD = small_world()
TASKS = WORLD.population.tasks


def frozen(run: Run, **options: Any) -> FrozenPolicy:
    return freeze_policy(WORLD, run.bounded, state=run.state.inner, **{"approved": run.state.approved, **options})


LEARNED = run_policy(LEARNERS["thompson shared"])
POLICY = frozen(LEARNED)


@pytest.mark.parametrize("learner", LEARNERS)
def test_masses_are_those_of_the_engine_for_every_task(learner: str) -> None:
    run = run_policy(LEARNERS[learner])
    policy = frozen(run)
    for i, task in enumerate(TASKS):
        kind = WORLD.population.task[i]
        answer = policy.recommend(task, WORLD.population.names[kind], f"r-{i}")
        context = Context(np.int32(i), kind, WORLD.population.features[i], np.int32(0))
        known = Known(np.int32(99), np.float64(WORLD.reward_span), np.int32(answer.uniform))
        engine = decide(run.bounded.policy, run.bounded.params, run.state, context, known)
        assert np.array_equal(answer.masses, engine.masses)
        assert answer.action_id == engine.choice.action_id
        assert answer.propensity == engine.choice.mass / TOTAL
        assert WORLD.lattice.action_id(answer.parameters) == answer.action_id


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_answer_is_within_hard_limits_and_trust_region(learner: str) -> None:
    run = run_policy(LEARNERS[learner])
    policy = frozen(run)
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


def test_the_uniform_is_the_keyed_hash_that_the_manifest_describes() -> None:
    digest = POLICY.digest
    raw = hashlib.blake2b(b"r-7", digest_size=8, key=bytes.fromhex(digest), person=b"guardband.draw").digest()
    assert request_uniform("r-7", digest) == int.from_bytes(raw, "big") % 2**20
    assert request_uniform("r-7", digest) != request_uniform("r-7", "0" * 64)


def test_actions_come_up_as_often_as_their_propensity_says() -> None:
    """2,000 ids, one context: chi-square over cells expected >= 20 times, at a false alarm rate of 1e-6.

    The normal approximation of Wilson and Hilferty gives the bound on chi-square; 4.75 = z(1 - 1e-6).
    """
    n, policy = 2000, frozen(run_policy(LEARNERS["softmax shared"]))
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
    still = frozen(run_policy(LEARNERS["fixed"])).recommend(TASKS[0], "short", "r")
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
    run = run_policy(epsilon_greedy.Params(epsilon=0.5, halving=20.0))
    told = np.array([20, 10**6], np.int32)
    first, later = frozen(run), frozen(run, seen=told)
    assert first.seen.tolist() == [0, 0]
    assert first.digest == later.digest  # when it froze is an event, not another policy
    for kind, task, share in ((0, "short", 0.25), (1, "long", 0.1)):
        begun, answer = (one.recommend(TASKS[0], task, "r") for one in (first, later))
        context = Context(np.int32(0), np.int32(kind), encode(TASKS[0], WORLD.population.spec), np.int32(0))
        known = Known(told[kind], np.float64(WORLD.reward_span), np.int32(answer.uniform))
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


@pytest.mark.parametrize("request_id", ["", "x" * 1025, "\ud800"], ids=["empty", "long", "surrogate"])
def test_a_bad_request_id_is_refused(request_id: str) -> None:
    with pytest.raises(ValueError, match="need 1 to 1024 bytes of UTF-8"):
        POLICY.recommend(TASKS[0], "short", request_id)


def test_a_request_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="request_id = 7, need text"):
        request_uniform(7, POLICY.digest)  # type: ignore[arg-type]  # what callers without a type checker send


def test_an_unknown_task_type_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="task_type = 'shrot', need one of short, long; did you mean 'short'"):
        POLICY.recommend(TaskFeatures(), "shrot", "r")


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
