"""Bounds hold whatever the learner does; approvals move only when the rule says so."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import traffic
from envs.lattice import AxisRange, Lattice, LatticeRanges
from policies.approval import RULES
from policies.approval import Params as ApprovalParams
from policies.approval import leaves as rule_leaves
from policies.base import Choice, Window
from policies.build import bounded
from policies.constrained import BoundedState, check_rule
from policies.constraints import Limits, Radius, bounds, legal
from policies.constraints import Params as ConstraintParams
from policies.decide import Decided, Known, decide
from policies.learners import thompson, uniform
from policies.masses import TOTAL
from tests.examples import LIMITS, numbers, small_world
from tests.hand import feedback, generator, leaves, question
from tests.told import Walk, line

WORLD = small_world()
TWO = ApprovalParams(rule="two_sample")
LEARNERS: dict[str, Any] = {
    "uniform": uniform.Params(),
    "thompson shared": thompson.Params(n_draws=16),
    "thompson disjoint": thompson.Params(n_draws=16, features="disjoint"),
}


class Bound:
    """A bounded policy at work: decides, is told a reward, and shows what it approved."""

    def __init__(self, learner: Any, rule: ApprovalParams, *, constraints: ConstraintParams = LIMITS) -> None:
        self.made = bounded(WORLD, constraints=constraints, approval=rule, learner=learner)
        self.state: BoundedState = self.made.policy.init(self.made.params)

    def decide(self, rng: np.random.Generator, task: int = 0) -> Decided:
        clock = traffic.start(2)._replace(rounds=np.int32(task))  # task types take turns
        context = traffic.draw(WORLD.traffic, clock, rng.random(3))
        known = Known(np.int32(0), np.float64(WORLD.reward_span), np.int32(rng.integers(TOTAL)))
        return decide(self.made.policy, self.made.params, self.state, context, known)

    def learn(self, done: Decided, reward: float, *, valid: bool = True) -> None:
        seen = (done.decision, done.choice, feedback(reward, valid=valid))
        self.state = self.made.policy.update(self.made.params, self.state, *seen)


def forced(done: Decided, slot: int) -> Decided:
    """The same decision, had this slot been drawn with certainty."""
    chosen = Choice(np.int32(slot), done.decision.window.action_ids[slot], np.int32(TOTAL))
    return done._replace(choice=chosen)


def other_slot(held: Window) -> int:
    """A feasible slot that is not the incumbent's."""
    return next(int(slot) for slot in np.flatnonzero(held.feasible) if slot != held.incumbent)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", LEARNERS)
def test_no_action_leaves_the_trust_region_or_the_hard_limits(kind: str, seed: int) -> None:
    """500 rounds with rewards drawn at random, so that approvals wander far over the lattice."""
    rule = "two_sample" if kind == "uniform" else "improve"
    policy = Bound(
        LEARNERS[kind], ApprovalParams(rule=rule, min_evaluations=1, gamma=0.5, gain=0.0, z=0.0, min_plays=2)
    )
    rng = generator(seed)
    for i in range(500):
        task = i % 2
        home = numbers(WORLD, policy.state.approved[task])
        done = policy.decide(rng, task)
        chosen = numbers(WORLD, done.choice.action_id)
        assert abs(round(10 * chosen["temperature"]) - round(10 * home["temperature"])) <= 2
        assert abs(chosen["max_tokens"] - home["max_tokens"]) <= 200
        assert chosen["temperature"] <= 1.1
        assert chosen["max_tokens"] >= 212
        policy.learn(done, float(rng.random()), valid=bool(rng.random() < 0.95))
    assert policy.state.approvals.sum() >= 2


def steps(one: int, two: int) -> Any:
    """Lattice steps between two actions, per axis."""
    there, here = WORLD.lattice.decode(np.array([one, two]))
    return np.abs(there - here)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), longest=st.integers(1, 60), at_once=st.integers(1, 4))
@pytest.mark.parametrize("kind", ["uniform", "thompson disjoint"])
def test_late_rewards_never_carry_the_approved_point_past_the_radius(
    kind: str, seed: int, longest: int, at_once: int
) -> None:
    """Rewards of decisions around older incumbents, up to four a round, in any order, each within its own window."""
    rule = "two_sample" if kind == "uniform" else "improve"
    eager = ApprovalParams(rule=rule, min_evaluations=1, gamma=0.5, gain=0.0, z=0.0, min_plays=2)
    policy, rng, sent = Bound(LEARNERS[kind], eager), generator(seed), []
    radius = policy.made.params.limits.radius
    for i in range(120):
        task = i % 2
        sent.append((i + int(rng.integers(longest)), policy.decide(rng, task)))
        due = sorted((one for one in sent if one[0] <= i), key=lambda one: one[0])[:at_once]
        for one in due:
            sent.remove(one)
            before = policy.state.approved.copy()
            policy.learn(one[1], float(rng.random()))
            for old, new in zip(before, policy.state.approved, strict=True):
                assert np.all(steps(int(new), int(old)) <= radius)
                here = numbers(WORLD, new)
                assert here["temperature"] <= 1.1 and here["max_tokens"] >= 212


def far_from(policy: Bound, task: int = 0) -> Decided:
    """A decision around another incumbent, whose choice lies outside today's window."""
    rng, home = generator(), policy.state.approved.copy()
    ids = np.arange(WORLD.lattice.size)
    radius = policy.made.params.limits.radius
    legal = [a for a in ids if numbers(WORLD, a)["max_tokens"] >= 212]
    away = next(a for a in legal if np.any(steps(int(a), int(home[task])) > radius))
    policy.state = policy.state._replace(approved=np.where(np.arange(2) == task, away, home).astype(np.int32))
    done = policy.decide(rng, task)
    policy.state = policy.state._replace(approved=home)
    return forced(done, int(done.decision.window.incumbent))


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_late_play_outside_the_current_window_counts_in_no_tally(kind: str) -> None:
    policy = Bound(LEARNERS[kind], ApprovalParams(rule="two_sample", min_evaluations=1))
    late = far_from(policy)
    policy.learn(late, 1.0)
    assert not policy.state.tally.any()
    assert policy.state.seen.tolist() == [1, 0] and policy.state.since.tolist() == [1, 0]
    near = policy.decide(generator())
    policy.learn(near, 1.0)
    assert policy.state.tally[0, :, 0].sum() == 1


def test_a_late_play_inside_the_current_window_counts_in_the_slot_it_has_there_now() -> None:
    """Decided as the neighbour of an older incumbent: today it is another slot."""
    policy, rng = Bound(uniform.Params(), ApprovalParams(rule="two_sample", min_evaluations=10**6)), generator()
    done = policy.decide(rng)
    old = done.decision.window
    moved = int(old.action_ids[other_slot(old)])
    policy.state = policy.state._replace(approved=np.array([moved, policy.state.approved[1]], np.int32))
    policy.learn(forced(done, int(old.incumbent)), 0.5)
    now = policy.decide(rng).decision.window
    slot = int(np.flatnonzero((now.action_ids == old.action_ids[old.incumbent]) & now.feasible)[0])
    assert slot != old.incumbent
    assert np.flatnonzero(policy.state.tally[0, :, 0]).tolist() == [slot]


def test_an_approval_waits_for_its_evaluations_and_holds_from_the_next_decision_on() -> None:
    """`two_sample`, 2 plays a side: rewards 0 at home, 1 elsewhere; four plays suffice, six are asked for."""
    policy = Bound(uniform.Params(), ApprovalParams(rule="two_sample", min_evaluations=6, min_plays=2))
    rng, home = generator(), int(policy.state.approved[0])
    for play in range(6):
        assert policy.state.approved[0] == home
        done = policy.decide(rng)
        held = done.decision.window
        assert held.action_ids[held.incumbent] == home
        better = play % 2 == 1
        slot = other_slot(held) if better else int(held.incumbent)
        policy.learn(forced(done, slot), float(better))
    moved = int(policy.state.approved[0])
    assert moved == held.action_ids[other_slot(held)]
    after = policy.decide(rng).decision.window
    assert after.action_ids[after.incumbent] == moved
    assert policy.state.approvals.tolist() == [1, 0]
    assert policy.state.since.tolist() == [0, 0]
    assert not policy.state.tally.any()


def test_a_play_is_weighted_by_its_inverse_propensity() -> None:
    """A slot drawn with probability 1/4 and reward 0.5: weight 4, so 1, 4, 2, 16, 8, 4."""
    policy = Bound(uniform.Params(), ApprovalParams(rule="two_sample"))
    done = policy.decide(generator())
    slot = other_slot(done.decision.window)
    quarter = forced(done, slot).choice._replace(mass=np.int32(TOTAL // 4))
    policy.learn(done._replace(choice=quarter), 0.5)
    assert policy.state.tally[0, slot].tolist() == [1, 4, 2, 16, 8, 4]
    assert policy.state.tally.sum() == 1 + 4 + 2 + 16 + 8 + 4


def test_a_task_type_never_moves_another() -> None:
    policy = Bound(LEARNERS["uniform"], ApprovalParams(rule="two_sample", min_evaluations=1))
    before, rng = policy.state, generator()
    for _ in range(50):
        policy.learn(policy.decide(rng, 1), float(rng.random()))
    for old, new in zip(before[1:], policy.state[1:], strict=True):
        assert np.array_equal(old[0], new[0])
    assert policy.state.seen.tolist() == [0, 50]


@pytest.mark.parametrize(("gain", "moves"), [(0.0, True), (1.0, False)])
def test_improve_moves_only_beyond_its_margin(gain: float, moves: bool) -> None:
    """Reward 1 for one action and 0 at home, 20 plays each: surely better, yet by less than the whole range."""
    rule = ApprovalParams(rule="improve", gamma=0.8, gain=gain, min_evaluations=40)
    policy, rng = Bound(LEARNERS["thompson disjoint"], rule), generator()
    for play in range(40):
        done = policy.decide(rng)
        held = done.decision.window
        policy.learn(forced(done, other_slot(held) if play % 2 else int(held.incumbent)), 0.9 * (play % 2))
    assert (policy.state.approvals[0] == 1) == moves


@pytest.mark.parametrize("kind", LEARNERS)
def test_an_invalid_reward_leaves_everything_bit_equal(kind: str) -> None:
    policy = Bound(LEARNERS[kind], ApprovalParams(rule="two_sample", min_evaluations=1))
    rng = generator()
    for _ in range(20):
        policy.learn(policy.decide(rng), float(rng.random()))
    before = leaves(policy.state)
    policy.learn(policy.decide(rng), float("nan"), valid=False)
    assert leaves(policy.state) == before


def test_the_reservoir_holds_the_most_recent_contexts() -> None:
    policy, rng = Bound(uniform.Params(), ApprovalParams(rule="two_sample")), generator()
    size, seen = policy.made.spec.reservoir, []
    for i in range(size + 3):
        done = policy.decide(rng)
        policy.learn(done, 0.5)
        seen.append(done.decision.features)
        if i == 0:
            assert np.array_equal(policy.state.contexts[0], np.stack(seen * size))
    recent = np.stack(seen[size:] + seen[3:size])
    assert np.array_equal(policy.state.contexts[0], recent)


@pytest.mark.parametrize("kind", ["thompson shared", "thompson disjoint"])
def test_the_belief_over_the_reservoir_is_the_average_over_its_contexts(kind: str) -> None:
    policy, rng = Bound(LEARNERS[kind], ApprovalParams(min_evaluations=100)), generator()
    for _ in range(60):
        policy.learn(policy.decide(rng), float(rng.random()))
    belief, contexts = policy.made.policy.belief, policy.state.contexts[0]
    assert belief is not None
    ids = np.arange(WORLD.lattice.size, dtype=np.int32)
    whole = belief(policy.made.params, policy.state, question(contexts), ids)
    each = [belief(policy.made.params, policy.state, question(one), ids).mean for one in contexts]
    assert whole.mean == pytest.approx(np.mean(each, axis=0), abs=1e-12)


UPHILL = np.arange(8) * 0.002  # each cap better by 0.002, less than the 0.005 that improvement needs


@pytest.mark.parametrize(("rule", "approved_at"), [("improve", []), ("hybrid", [4, 8]), ("non_inferior", [2, 4, 6, 8])])
def test_a_non_inferior_step_is_taken_when_stuck_and_by_no_other_rule(rule: str, approved_at: list[int]) -> None:
    """Two slots a step, every `min_evaluations` for non_inferior, every `stuck` for the hybrid."""
    walk, moved = Walk(line(20), ApprovalParams(rule=rule, stuck=4, min_evaluations=2)), []
    for evaluation in range(1, 9):
        before = walk.at
        if walk.evaluate(np.arange(20) * 0.002) != before:
            moved.append(evaluation)
    assert moved == approved_at
    assert walk.at == 2 * len(approved_at)
    assert (walk.state.steps[0], walk.state.approvals[0]) == (len(approved_at), len(approved_at))


def test_an_improvement_needs_no_waiting_and_is_no_step() -> None:
    walk = Walk(line(8), ApprovalParams(rule="hybrid", stuck=6, min_evaluations=2))
    assert [walk.evaluate(np.arange(8) * 0.1) for _ in range(4)] == [0, 2, 2, 4]
    assert (walk.state.approvals[0], walk.state.steps[0], walk.state.debt[0]) == (2, 0, 0.0)


def test_a_step_that_may_lose_too_much_is_not_taken() -> None:
    """A gain of 0.002 +- 0.05 loses more than 0.04 with probability Phi(-0.84) = 0.2 > 0.1."""
    walk = Walk(line(8), ApprovalParams(rule="hybrid", stuck=1, min_evaluations=1))
    spread = np.where(np.arange(8) == 0, 1e-9, 0.05)
    assert [walk.evaluate(UPHILL, spread=spread) for _ in range(5)] == [0] * 5


def test_a_risky_improvement_is_refused_and_counted_once_it_was_due() -> None:
    """A gain of 0.1 +- 0.1: three of four draws are ahead, yet P(no loss) = Phi(1) = 0.84 < 0.9."""
    rule = ApprovalParams(rule="improve", gamma=0.75, safe=0.9, delta=0.0, min_evaluations=3)
    walk, spread = Walk(line(3), rule), np.array([1e-9, 1e-9, 0.1])
    for _ in range(5):
        walk.evaluate([0.0, -1.0, 0.1], spread=spread)
    assert (walk.state.refused[0], walk.state.approvals[0], walk.at) == (3, 0, 0)
    assert walk.evaluate([0.0, -1.0, 0.3], spread=spread) == 2  # Phi(3) = 0.999
    assert (walk.state.refused[0], walk.state.approvals[0]) == (3, 1)


def downhill(n: int, loss: float) -> np.ndarray:
    """Caps that lose a little each, and one far away that is worth it."""
    mean = -loss * np.arange(n)
    mean[-1] = 1.0
    return mean


def test_the_ledger_stops_a_walk_of_small_accepted_losses() -> None:
    """Steps of two slots lose 0.02 each, too little to be undone: a ledger of 0.07 pays three in 50 evaluations."""
    walk = Walk(line(40), ApprovalParams(rule="passage", gain=0.05, stuck=1, min_evaluations=1, ledger=0.07))
    path = [walk.evaluate(downhill(40, 0.01)) for _ in range(50)]
    assert path == [2, 4] + [6] * 48
    assert walk.state.steps[0] == 3
    assert walk.state.debt[0] == pytest.approx(0.06)


def test_an_improvement_pays_the_ledger_back() -> None:
    walk = Walk(line(40), ApprovalParams(rule="passage", gain=0.05, stuck=1, min_evaluations=1, ledger=0.07))
    for _ in range(4):
        walk.evaluate(downhill(40, 0.01))
    mean = downhill(40, 0.01)
    mean[8] = mean[6] + 0.055
    assert walk.evaluate(mean) == 8
    assert walk.state.debt[0] == pytest.approx(0.005)


def test_a_passage_crosses_flat_ground_and_goes_nowhere_without_a_promise() -> None:
    promised = np.where(np.arange(20) == 15, 0.5, 0.0)
    for table, ends in ((promised, 15), (np.zeros(20), 0)):
        walk = Walk(line(20), ApprovalParams(rule="passage", stuck=1, min_evaluations=1))
        for _ in range(20):
            walk.evaluate(table)
        assert walk.at == ends
        assert walk.state.debt[0] == 0.0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), ledger=st.sampled_from([0.0, 0.03, 0.1]), rule=st.sampled_from(RULES[:4]))
def test_accepted_losses_since_the_best_approved_point_never_exceed_the_ledger(
    seed: int, ledger: float, rule: str
) -> None:
    """Beliefs that change at random; the losses are summed here, from the tables alone."""
    rng, owed = generator(seed), 0.0
    walk = Walk(line(12), ApprovalParams(rule=rule, stuck=2, min_evaluations=1, ledger=ledger, ni=0.5, delta=0.1))
    for _ in range(40):
        mean = 0.03 * rng.standard_normal(12) + 0.3 * (np.arange(12) == rng.integers(12))
        before, taken = walk.at, int(walk.state.steps[0])
        after = walk.evaluate(mean, spread=0.05 * rng.random())
        gain = mean[after] - mean[before]
        is_step = int(walk.state.steps[0]) > taken
        owed = owed + max(-gain, 0.0) if is_step else max(owed - gain, 0.0)
        assert owed <= ledger + 1e-12
        assert walk.state.debt[0] == pytest.approx(owed, abs=1e-12)


WIDE = Lattice.from_ranges(LatticeRanges(AxisRange("0.5", "1.0", "0.1"), AxisRange("100", "1500", "100")))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rule=st.sampled_from(RULES), share=st.sampled_from(["", "0.35", "1"]))
def test_whatever_a_belief_says_the_approved_point_stays_lawful_and_moves_within_the_radius(
    seed: int, rule: str, share: str
) -> None:
    """Random tables, spreads, rewards, records and choices; limits and radii are checked in their own units."""
    rng = generator(seed)
    limits = ConstraintParams(
        Limits("0.6", "0.9"), Limits("200", "1400"), radius=Radius(temperature="0.2", max_tokens_share=share)
    )
    recorded = rng.random((1, WIDE.size)) < 0.8
    whole = legal(WIDE, bounds(WIDE, limits, recorded=recorded))[0]
    eager = ApprovalParams(
        rule=rule, gamma=0.5, gain=0.0, ni=0.5, stuck=1, ledger=1.0, ahead=0.0, z=0.0, min_evaluations=1, min_plays=2
    )
    walk = Walk(WIDE, eager, limits, recorded, int(rng.choice(np.flatnonzero(whole))))
    for _ in range(30):
        before, slot = WIDE.parameters(walk.at), int(rng.integers(walk.spec.k))
        after = walk.evaluate(
            rng.standard_normal(WIDE.size), spread=rng.random(), reward=float(rng.random()), slot=slot
        )
        assert whole[after]
        there, reach = WIDE.parameters(after), max(200.0, float(share or 0) * float(before["max_tokens"]))
        assert abs(float(there["temperature"]) - float(before["temperature"])) < 0.2 + 1e-9
        assert abs(float(there["max_tokens"]) - float(before["max_tokens"])) <= reach


def test_rules_that_need_an_outlook_are_refused_without_one() -> None:
    spec = Bound(uniform.Params(), TWO).made.spec
    apart = thompson.make(spec._replace(features="disjoint"))
    with pytest.raises(ValueError, match="approval.rule = 'passage' needs the posterior mean .* use approval=hybrid"):
        check_rule(ApprovalParams(rule="passage"), apart)
    check_rule(ApprovalParams(rule="hybrid"), apart)
    check_rule(ApprovalParams(rule="passage"), thompson.make(spec))


def test_improve_without_a_belief_is_refused() -> None:
    with pytest.raises(ValueError, match="approval.rule = 'improve' needs a belief, .* use approval=two_sample"):
        check_rule(ApprovalParams(rule="improve"), uniform.make(Bound(uniform.Params(), TWO).made.spec))
    check_rule(TWO, uniform.make(Bound(uniform.Params(), TWO).made.spec))


def test_a_narrower_radius_is_a_number_not_a_new_policy() -> None:
    policy = Bound(uniform.Params(), TWO)
    limits = policy.made.params.limits
    still = policy.made.params._replace(limits=limits._replace(radius=0 * limits.radius), approval=rule_leaves(TWO))
    assert policy.made.policy.window is not None
    held = policy.made.policy.window(still, policy.state, np.int32(0))
    assert np.flatnonzero(held.feasible).tolist() == [held.incumbent]
