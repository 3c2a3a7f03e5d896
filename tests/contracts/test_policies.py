"""Every yaml of configs/policy and configs/logger, with either kind of features: one suite of promises.

A vector is a distribution over what is feasible; NumPy, JAX and ONNX agree on it; a new
number is no new compilation; states hold int32, float64 and bool only.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from typing import Any, NamedTuple

import jax
import ndonnx as ndx
import numpy as np
import onnxruntime as ort
import pytest

from envs import presets, traffic
from envs.lattice import AxisRange, LatticeRanges
from envs.population import Effects, TaskType
from envs.randomness import Purpose, RoundNoise, episode_noise, sizes_of
from envs.reward import RewardWeights
from envs.surfaces import llm_outcome
from envs.traffic import Context
from envs.world import Noise, Outcome, Scenario
from experiments.compilations import counted
from experiments.simulate import Plan, Trajectory, register, simulate
from policies import approval, constraints
from policies.base import UNKNOWN, Decision, Feedback, Window
from policies.build import BoundedPolicy, bounded
from policies.constrained import BoundedState
from policies.decide import Decided, Known, asked_in, decide
from policies.floored import floored
from policies.masses import TOTAL

N_ROUNDS = 50
PLAN = Plan(master_seed=0, purpose=Purpose.TRAIN, seeds=(0,), n_rounds=N_ROUNDS)
LIMITS = constraints.Params(max_tokens=constraints.Limits(lowest="300"))
N_VALUES = 8


def _cases() -> Iterator[tuple[str, Any]]:
    """Every choice of the two groups, once for each kind of features it offers."""
    for group in ("policy", "logger"):
        for name in presets.names(group):
            params: Any = presets.load(group, name)
            kinds = [item.metadata["choices"] for item in fields(params) if item.name == "features"]
            for features in kinds[0] if kinds else ("",):
                changed = replace(params, features=features) if features else params
                yield f"{group}/{name} {features}".strip(), changed


CASES = dict(_cases())
every_case = pytest.mark.parametrize("case", CASES)


class Round(NamedTuple):
    """One round of NumPy: the decision, its vector, and the state before it."""

    done: Decided
    probs: Any
    before: BoundedState


@cache
def world() -> Scenario:
    """Two task types, 6 contexts each, 5 x 4 x 2 actions; the start is away from the best."""
    params = llm_outcome.Params(
        name="tiny",
        lattice=LatticeRanges(
            AxisRange("0.6", "1.0", "0.1"), AxisRange("212", "512", "100"), AxisRange("0.9", "1", "0.1")
        ),
        baseline=llm_outcome.Baseline(temperature="0.9", max_tokens="412"),
        task_types=[
            TaskType(name="short", cliff=0.9, length_median_1=130.0),
            TaskType(name="long", t_star=0.6, k_t=0.2, length_median_1=380.0),
        ],
        effects=Effects(difficulty=0.1, length=0.2, optimum=0.2),
        reward=RewardWeights(cost=80.0, latency=0.005),
        contexts_per_type=6,
    )
    return llm_outcome.build(params)


def under_bounds(learner: Any) -> BoundedPolicy:
    """A learner on the tiny world, quick to approve, by its belief where it has one."""
    rule = "improve" if hasattr(learner, "features") else "two_sample"
    how = approval.Params(rule=rule, gamma=0.6, z=0.5, min_evaluations=2)
    return bounded(world(), constraints=LIMITS, approval=how, learner=learner)


@cache
def noise() -> RoundNoise:
    """The randomness of PLAN's only seed, as NumPy arrays."""
    source = (np.uint32(PLAN.master_seed), np.uint32(PLAN.purpose), np.int32(PLAN.seeds[0]))
    drawn: RoundNoise = jax.tree.map(
        np.asarray, episode_noise(*source, n_rounds=N_ROUNDS, sizes=sizes_of(world().world), dtype="float64")
    )
    return drawn


@cache
def in_numpy(case: str) -> tuple[list[Round], BoundedState]:
    """PLAN played in NumPy: every round, and the state after the last."""
    here, made = world(), under_bounds(CASES[case])
    state, clock, rounds, drawn = made.policy.init(made.params), traffic.start(2), [], noise()
    for t in range(N_ROUNDS):
        now, context = traffic.now(clock), traffic.draw(here.traffic, clock, drawn.context[t])
        known = Known(clock.seen[context.task], np.float64(here.reward_span), drawn.decision[t])
        done = decide(made.policy, made.params, state, context, known)
        rounds.append(Round(done, vector(made, state, done.decision), state))
        some = Noise(drawn.outcome.uniform[t], drawn.outcome.normal[t])
        parts, reward = here.world.outcome(here.params, now, context, done.choice.action_id, noise=some)
        feedback = Feedback(reward, np.bool_(True), parts)
        state = made.policy.update(made.params, state, done.decision, done.choice, feedback)
        clock = traffic.advance(clock, context.task)
    return rounds, state


def vector(made: BoundedPolicy, state: BoundedState, decision: Decision) -> Any:
    """(k,) the vector that masses are made of."""
    held = None
    if made.policy.belief is not None:
        held = made.policy.belief(made.params, state, asked_in(decision), decision.window.action_ids)
    return made.policy.probs(made.params, state, decision, held)


def leaf_types(tree: Any) -> set[str]:
    """Names of the dtypes of a tree's leaves."""
    return {np.asarray(leaf).dtype.name for leaf in jax.tree.leaves(tree)}


def test_both_kinds_of_features_of_every_yaml_are_under_test() -> None:
    assert {"policy/thompson shared", "policy/thompson disjoint", "policy/fixed"} <= CASES.keys()
    assert len(CASES) >= len(presets.names("policy")) + len(presets.names("logger"))


@every_case
def test_a_vector_is_a_distribution_over_what_is_feasible(case: str) -> None:
    floor = CASES[case].floor
    n_excluded = 0
    for done, probs, _ in in_numpy(case)[0]:
        feasible = done.decision.window.feasible
        n_excluded += int((~feasible).sum())
        assert feasible.any() and np.all(probs >= 0.0)
        assert np.all(probs[~feasible] == 0.0)
        assert probs.sum() == pytest.approx(1.0, abs=1e-12)
        assert np.all(probs[feasible] >= floor / feasible.sum() * (1.0 - 1e-12))
        assert done.masses.sum() == TOTAL and np.all(done.masses[~feasible] == 0)
        assert np.abs(done.masses / TOTAL - probs).max() <= done.masses.size / TOTAL
    assert n_excluded > 0  # the mask was put to work


@every_case
def test_a_drawn_action_is_feasible_and_has_the_mass_that_is_kept(case: str) -> None:
    for done, _, _ in in_numpy(case)[0]:
        window, choice = done.decision.window, done.choice
        assert window.feasible[choice.slot] and window.action_ids[choice.slot] == choice.action_id
        assert choice.mass == done.masses[choice.slot] > 0


@every_case
def test_a_state_holds_int32_float64_and_bool_only(case: str) -> None:
    rounds, last = in_numpy(case)
    assert leaf_types(rounds[0].before) <= {"int32", "float64", "bool"}
    assert leaf_types(last) <= {"int32", "float64", "bool"}
    shapes = [jax.tree.map(np.shape, state) for state in (rounds[0].before, last)]
    assert shapes[0] == shapes[1]


@every_case
def test_feedback_that_is_not_valid_leaves_the_state_bit_equal(case: str) -> None:
    made, (rounds, last) = under_bounds(CASES[case]), in_numpy(case)
    done = rounds[-1].done
    parts = Outcome(*(np.float64(x) for x in (0.9, 300.0, 2000.0, 1e-3, 0.0, 1.0, 0.1)))
    for reward, told in ((np.nan, UNKNOWN), (1e300, UNKNOWN), (1e300, parts)):
        refused = Feedback(np.float64(reward), np.bool_(False), told)
        after = made.policy.update(made.params, last, done.decision, done.choice, refused)
        for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(last), strict=True):
            np.testing.assert_array_equal(a, b)


def _arguments(decision: Decision) -> dict[str, Any]:
    """What a served decision is handed, as NumPy arrays; ONNX gathers by int64."""
    window = decision.window
    return {
        "features": np.asarray(decision.features),
        "task": np.asarray(decision.task),
        "t": np.asarray(decision.t),
        "span": np.asarray(decision.span),
        "prices": np.asarray(decision.prices),
        "action_ids": np.asarray(window.action_ids, np.int64),
        "feasible": np.asarray(window.feasible),
        "incumbent": np.asarray(window.incumbent),
    }


def _traced(made: BoundedPolicy, learned: Any, values: dict[str, Any]) -> bytes:
    """The learner's belief and vector as an ONNX graph: state and numbers constant, the decision its input."""
    inputs = {name: ndx.argument(shape=v.shape, dtype=getattr(ndx, v.dtype.name)) for name, v in values.items()}
    state = jax.tree.map(lambda leaf: ndx.asarray(np.asarray(leaf)), learned)
    window = Window(inputs["action_ids"], inputs["feasible"], inputs["action_ids"] * 0, inputs["incumbent"])
    decision = Decision(inputs["features"], inputs["task"], inputs["t"], inputs["span"], inputs["prices"], window)
    held = None
    if made.learner.belief is not None:
        held = made.learner.belief(made.params.inner, state, asked_in(decision), window.action_ids)
    outputs = {"probs": made.learner.probs(made.params.inner, state, decision, held)}
    if held is not None:
        outputs |= {"mean": held.mean, "sd": held.sd}
    graph: bytes = ndx.build(inputs, outputs).SerializeToString()
    return graph


@every_case
def test_the_vector_traces_to_onnx_and_agrees_with_numpy(case: str) -> None:
    made, (rounds, last) = under_bounds(CASES[case]), in_numpy(case)
    decisions = [one.done.decision for one in rounds]
    session = ort.InferenceSession(_traced(made, last.inner, _arguments(decisions[0])))
    needed = {item.name for item in session.get_inputs()}
    for decision in decisions:
        given = {name: value for name, value in _arguments(decision).items() if name in needed}
        served = dict(zip([o.name for o in session.get_outputs()], session.run(None, given), strict=True))
        np.testing.assert_allclose(served["probs"], vector(made, last, decision), rtol=0, atol=1e-12)
        if made.learner.belief is not None:
            held = made.learner.belief(made.params.inner, last.inner, asked_in(decision), decision.window.action_ids)
            np.testing.assert_allclose(served["mean"], held.mean, rtol=0, atol=1e-12)
            np.testing.assert_allclose(served["sd"], held.sd, rtol=0, atol=1e-12)


def _eight(low: float, high: float, value: int | float) -> list[int | float]:
    """Eight values strictly inside a range, around `value` where the range is wide."""
    reach = max(2.0 * abs(value), 1.0)
    inside = np.linspace(max(low, value - reach), min(high, value + reach), N_VALUES + 2)[1:-1]
    return [type(value)(round(x) if isinstance(value, int) else x) for x in inside]


def _sweep(params: Any) -> list[Any]:
    """Eight copies of a dataclass; each number that is not structure takes another value in each."""
    ruled = {item.name: item.metadata for item in fields(params) if not item.metadata.get("static")}
    values = {}
    for name, rules in ruled.items():
        if isinstance(getattr(params, name), int | float):
            low, high = rules.get("ge", rules.get("gt")), rules.get("le", rules.get("lt"))
            values[name] = _eight(low, high, getattr(params, name))
            assert len(set(values[name])) >= N_VALUES // 2, name
    return [replace(params, **{name: column[i] for name, column in values.items()}) for i in range(N_VALUES)]


def _swept(case: str) -> list[BoundedPolicy]:
    """Eight policies: every number of the learner, the approval rule and the bounds moves, and the rule itself."""
    can_improve = hasattr(CASES[case], "features")
    rules = _sweep(approval.Params(rule="two_sample"))
    tokens = ("212", "300", "312", "400")
    made = []
    for i, (learner, rule) in enumerate(zip(_sweep(CASES[case]), rules, strict=True)):
        how = replace(rule, rule="improve") if can_improve and i % 2 else rule
        limits = replace(LIMITS, max_tokens=constraints.Limits(tokens[i % 4], "412" if i < 4 else "512"))
        one = bounded(world(), constraints=limits, approval=how, learner=learner)
        narrow = one.params.limits.radius - np.array([i % 2, i % 3 > 1, 0, 0, 0, 0], np.int32)
        bounds = one.params.limits._replace(radius=narrow)
        made.append(replace(one, params=one.params._replace(limits=bounds)))
    return made


def _simulated(made: BoundedPolicy) -> tuple[Any, Trajectory]:
    [(_, learned, rows)] = simulate([world()], [made], PLAN)
    return learned, rows


@cache
def warm() -> None:
    """Compile the program that draws noise, which all policies share."""
    _simulated(under_bounds(CASES["policy/fixed"]))


@pytest.mark.slow
@every_case
def test_numpy_is_jax_and_eight_values_of_every_number_are_one_compilation(case: str) -> None:
    warm()
    with counted() as count:
        learned, rows = _simulated(under_bounds(CASES[case]))
        for made in _swept(case):
            _simulated(made)
    # The yaml whose program another case has compiled (a logger that is also a policy) adds none.
    assert count.programs <= 1
    rounds, last = in_numpy(case)
    for t, (done, _, before) in enumerate(rounds):
        np.testing.assert_array_equal(rows.masses[0, t], done.masses, err_msg=f"round {t}")
        task = done.decision.task
        assert (rows.action_id[0, t], rows.centre[0, t]) == (done.choice.action_id, before.approved[task])
    assert leaf_types(learned) <= {"int32", "float64", "bool"}
    for a, b in zip(jax.tree.leaves(learned), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(np.asarray(a)[0], b, rtol=1e-9, atol=1e-9)


@every_case
def test_float32_stays_float32_through_a_whole_round(case: str) -> None:
    made, features = under_bounds(CASES[case]), world().population.features[0]
    register(made.params.inner)

    def narrow(tree: Any) -> Any:
        arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
        kinds = [np.float32 if a.dtype.kind == "f" else a.dtype for a in arrays]
        shapes = [jax.ShapeDtypeStruct(a.shape, kind) for a, kind in zip(arrays, kinds, strict=True)]
        return jax.tree.unflatten(jax.tree.structure(tree), shapes)

    def one(params: Any, state: Any, context: Context, known: Any, parts: Outcome) -> tuple[Any, Any]:
        done = decide(made.policy, params, state, context, known)
        feedback = Feedback(parts.quality, parts.quality == parts.quality, parts)
        return made.policy.update(params, state, done.decision, done.choice, feedback), done.masses

    state = narrow(made.policy.init(made.params))
    context = narrow(Context(np.int32(0), np.int32(0), features, np.int32(0)))
    known = narrow(Known(np.int32(0), np.float64(1.0), np.int32(0)))
    after, masses = jax.eval_shape(one, narrow(made.params), state, context, known, narrow(UNKNOWN))
    assert after == state  # dtypes and shapes, leaf by leaf
    assert masses.dtype == np.int32


@pytest.mark.slow
def test_a_structural_number_is_another_compilation() -> None:
    warm()
    with counted() as count:
        for n_draws in (10, 12):
            _simulated(under_bounds(replace(CASES["policy/epsilon_greedy shared"], n_draws=n_draws)))
    assert count.programs == 2


def test_equal_specs_make_the_same_functions() -> None:
    for learner in CASES.values():
        one, two = under_bounds(learner), under_bounds(replace(learner, floor=0.3))
        assert one.policy is two.policy and one.learner is two.learner
        assert floored(one.learner) is floored(two.learner)
