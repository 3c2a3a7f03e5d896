"""Rewards that travel: late, lost, doubled and out of order, against plain NumPy and against the ring's promises."""

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from envs import feedback as mail
from envs import traffic
from envs.feedback import Params as FeedbackParams
from envs.randomness import Purpose, RoundNoise, episode_noise, sizes_of
from envs.world import Noise
from experiments.simulate import Plan, Trajectory, simulate
from policies.base import Feedback
from policies.build import BoundedPolicy
from policies.decide import Known, decide
from tests import compiled

SEEDS = 16
N_ROUNDS = compiled.N_ROUNDS
LATE = compiled.DELAYED
pytestmark = pytest.mark.slow


class Run(NamedTuple):
    """The learned states and the trajectories of one policy, leading axis seeds."""

    learned: Any
    rows: Trajectory


@cache
def play(feedback: FeedbackParams, rule: str = "improve") -> Run:
    made = compiled.under_bounds(compiled.LEARNER, rule=rule)
    plan = Plan(0, Purpose.TRAIN, tuple(range(SEEDS)), N_ROUNDS, feedback=feedback)
    [(_, learned, rows)] = simulate([compiled.world()], [made], plan)
    return Run(learned, rows)


@cache
def noise(seed: int) -> RoundNoise:
    source, sizes = (np.uint32(0), np.uint32(Purpose.TRAIN), np.int32(seed)), sizes_of(compiled.world().world)
    drawn: RoundNoise = jax.tree.map(
        np.asarray, episode_noise(*source, n_rounds=N_ROUNDS, sizes=sizes, dtype="float64")
    )
    return drawn


def fates(feedback: FeedbackParams) -> Any:
    """(seeds, rounds, 2) delays of every reward and of its copy."""
    form, numbers = mail.spec(feedback), mail.leaves(feedback)
    return np.array([[mail.fate(form, numbers, u).delay for u in noise(seed).feedback] for seed in range(SEEDS)])


def same(one: Any, two: Any) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rule", compiled.RULES)
def test_a_ring_whose_delays_are_zero_is_the_immediate_path_bit_for_bit(rule: str) -> None:
    at_once, ring = play(FeedbackParams(), rule), play(FeedbackParams(max_delay=8), rule)
    same(ring.learned, at_once.learned)
    same(ring.rows._replace(delivered=0), at_once.rows._replace(delivered=0))
    np.testing.assert_array_equal(ring.rows.delivered[..., :1], at_once.rows.delivered)
    assert np.all(ring.rows.delivered[..., 1:] == -1)


@pytest.mark.parametrize("rule", compiled.RULES)
def test_each_reward_is_heard_once_at_most_and_never_before_its_time(rule: str) -> None:
    rows, delay = play(LATE, rule).rows, fates(LATE)
    assert (rows.delivered >= 0).any(axis=2).mean() > 0.5
    for seed in range(SEEDS):
        now, place = np.nonzero(rows.delivered[seed] >= 0)
        heard = rows.delivered[seed][now, place]
        assert len(set(heard.tolist())) == len(heard)
        late = now - heard
        assert np.all(late >= delay[seed, heard].min(axis=1)) and late.max() <= LATE.max_delay
        assert not rows.missing[seed, heard].any()
    np.testing.assert_array_equal(rows.missing, delay[..., 0] == mail.NEVER)


def test_delivered_missing_and_censored_are_all_rounds_and_censored_ones_had_no_chance() -> None:
    rows, delay = play(LATE).rows, fates(LATE)
    for seed in range(SEEDS):
        heard = np.zeros(N_ROUNDS, np.bool_)
        heard[rows.delivered[seed][rows.delivered[seed] >= 0]] = True
        censored = ~heard & ~rows.missing[seed]
        assert heard.sum() + rows.missing[seed].sum() + censored.sum() == N_ROUNDS
        due = np.arange(N_ROUNDS) + delay[seed].min(axis=1)
        assert np.all(due[censored] >= N_ROUNDS - LATE.max_delay)  # rooms for all: nothing was pushed out
        assert not (heard & rows.missing[seed]).any()


def test_a_ring_that_is_too_small_for_what_arrives_loses_rewards_and_repeats_none() -> None:
    """Nearly two arrive for every round, room for three rounds, one delivery a round: most copies are pushed out."""
    narrow = FeedbackParams(mean_delay=0.5, duplicated=0.9, max_delay=2, max_arrivals=1, deduplicate=False)
    rows = play(narrow).rows
    for seed in range(SEEDS):
        heard = rows.delivered[seed][rows.delivered[seed] >= 0]
        values, counts = np.unique(heard, return_counts=True)
        assert counts.max() == 2  # a reward and its copy
        assert counts.sum() < 1.2 * N_ROUNDS and not rows.missing.any()


def test_copies_change_nothing_where_they_are_told_apart_and_something_where_not() -> None:
    alone, told = (play(replace(LATE, duplicated=share)) for share in (0.0, 0.1))
    twice = play(replace(LATE, deduplicate=False))
    same(alone.learned, told.learned)
    same(alone.rows, told.rows)
    assert np.any(twice.rows.action_id != told.rows.action_id)
    heard = [(run.rows.delivered >= 0).sum() for run in (told, twice)]
    assert heard[1] > heard[0]


@cache
def in_numpy(seed: int, rule: str) -> Any:
    """The delayed run of one seed by a plain loop: a list of letters, no ring."""
    here, made = compiled.world(), compiled.under_bounds(compiled.LEARNER, rule=rule)
    form, numbers, drawn = mail.spec(LATE), mail.leaves(LATE), noise(seed)
    state, clock, letters, rows = made.policy.init(made.params), traffic.start(2), [], []
    for t in range(N_ROUNDS):
        context = traffic.draw(here.traffic, clock, drawn.context[t])
        known = Known(clock.seen[context.task], np.float64(here.reward_span), drawn.decision[t])
        done = decide(made.policy, made.params, state, context, known)
        some, now = Noise(drawn.outcome.uniform[t], drawn.outcome.normal[t]), traffic.now(clock)
        reward = here.world.outcome(here.params, now, context, done.choice.action_id, noise=some)[1]
        for is_copy, delay in enumerate(mail.fate(form, numbers, drawn.feedback[t]).delay):
            if delay != mail.NEVER and not is_copy:  # copies are told apart
                letters.append((t + int(delay), t, done, reward))
        due = sorted((letter for letter in letters if letter[0] <= t), key=lambda letter: letter[:2])
        heard = due[: LATE.max_arrivals]
        letters = [letter for letter in letters if letter not in heard]
        for _, _, then, told in heard:
            seen = (then.decision, then.choice, Feedback(told, np.bool_(True)))
            state = made.policy.update(made.params, state, *seen)
        rows.append((done.choice.action_id, done.decision.window.action_ids[done.decision.window.incumbent], heard))
        clock = traffic.advance(clock, context.task)
    return state, rows


@pytest.mark.parametrize("rule", compiled.RULES)
@pytest.mark.parametrize("seed", range(2))
def test_a_plain_loop_over_letters_gives_the_same_actions_approvals_and_deliveries(seed: int, rule: str) -> None:
    (state, plain), run = in_numpy(seed, rule), play(LATE, rule)
    assert run.rows.action_id[seed].tolist() == [int(row[0]) for row in plain]
    assert run.rows.centre[seed].tolist() == [int(row[1]) for row in plain]
    for t, (_, _, heard) in enumerate(plain):
        told = [letter[1] for letter in heard]
        assert [r for r in run.rows.delivered[seed, t].tolist() if r >= 0] == told
    for a, b in zip(jax.tree.leaves(run.learned), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(a[seed], b, rtol=1e-9, atol=1e-9)


def test_with_every_reward_lost_nothing_is_ever_learned() -> None:
    made: BoundedPolicy = compiled.under_bounds(compiled.LEARNER, rule="improve")
    fresh = made.policy.init(made.params)
    for feedback in (FeedbackParams(missing=1.0), replace(LATE, missing=1.0)):
        run = play(feedback)
        for leaf, first in zip(jax.tree.leaves(run.learned), jax.tree.leaves(fresh), strict=True):
            assert np.all(leaf == np.asarray(first)[None])
        assert np.all(run.rows.delivered == -1) and run.rows.missing.all()


def test_late_rewards_are_learned_from() -> None:
    """Exact values of the last approved actions, for their last contexts: better than where nothing ever arrives."""
    table = compiled.world().table()
    ends = {}
    for name, feedback in (("late", LATE), ("never", FeedbackParams(missing=1.0))):
        rows = play(feedback).rows
        ends[name] = table[rows.index[:, -2:], rows.centre[:, -2:]].mean(axis=1)
    gain = ends["late"] - ends["never"]
    assert gain.mean() > 3 * gain.std() / np.sqrt(SEEDS)  # one-sided false alarm rate 0.1 %
