"""The approval rules, by hand arithmetic."""

import numpy as np
import pytest

from policies.approval import (
    NEVER,
    RULES,
    TALLY_COLUMNS,
    Params,
    improve,
    is_better,
    leaves,
    one_hot_slot,
    settled,
    standing,
    tallied,
    two_sample,
)
from policies.base import Belief

ALL = np.ones(3, np.bool_)


def tally_of(*plays: tuple[int, float, float]) -> np.ndarray:
    """A tally of three slots after plays of (slot, weight, reward)."""
    tally = np.zeros((3, TALLY_COLUMNS))
    for slot, weight, reward in plays:
        tally = tallied(tally, np.arange(3) == slot, np.float64(weight), np.float64(reward))
    return tally


def winner(tally: np.ndarray, *, z: float = 2.0, min_plays: int = 2, feasible: np.ndarray = ALL) -> list[float]:
    hot = two_sample(tally, feasible, incumbent=np.int32(0), z=np.float64(z), min_plays=np.int32(min_plays))
    return list(hot.tolist())


def test_a_tally_by_hand() -> None:
    """Weights 2 and 4, rewards 0.5 and 1: w 6, wr 5, w^2 20, w^2 r 18, w^2 r^2 17."""
    assert tally_of((1, 2, 0.5), (1, 4, 1)).tolist() == [[0] * 6, [2, 6, 5, 20, 18, 17], [0] * 6]


def test_a_play_that_is_in_no_slot_counts_in_none() -> None:
    tally = tally_of((1, 2, 0.5))
    late = tallied(tally, np.zeros(3, np.bool_), np.float64(4.0), np.float64(1.0))
    assert late.tobytes() == tally.tobytes()


STEADY = ((0, 1, 0.0), (0, 1, 0.2), (1, 1, 1.0), (1, 1, 1.2))  # means 0.1 and 1.1, each variance 0.02 / 4


def test_two_sample_asks_for_z_standard_errors() -> None:
    """Gap 1 over sqrt(0.005 + 0.005) = 0.1: exactly 10 standard errors."""
    assert winner(tally_of(*STEADY), z=9.999) == [0, 1, 0]
    assert winner(tally_of(*STEADY), z=10.001) == [0, 0, 0]


def test_two_sample_weights_by_inverse_propensity() -> None:
    """Weights 3 and 1 on rewards 1 and 0: Hajek mean 3/4, variance (9/16 + 9/16) / 16 = 9/128."""
    tally = tally_of((0, 1, 0.25), (0, 1, 0.25), (2, 3, 1.0), (2, 1, 0.0))
    score = 0.5 / np.sqrt(9 / 128)
    assert winner(tally, z=score - 1e-3) == [0, 0, 1]
    assert winner(tally, z=score + 1e-3) == [0, 0, 0]


def test_two_sample_needs_its_plays_on_both_sides() -> None:
    assert winner(tally_of(*STEADY), min_plays=2) == [0, 1, 0]
    assert winner(tally_of(*STEADY, (0, 1, 0.1)), min_plays=3) == [0, 0, 0]
    assert winner(tally_of(*STEADY, (1, 1, 1.1)), min_plays=3) == [0, 0, 0]
    assert winner(tally_of(*STEADY, (0, 1, 0.1), (1, 1, 1.1)), min_plays=3) == [0, 1, 0]


def test_two_sample_never_names_what_is_not_feasible_nor_anything_without_data() -> None:
    assert winner(tally_of(*STEADY), feasible=np.array([True, False, True])) == [0, 0, 0]
    assert winner(tally_of()) == [0, 0, 0]
    assert winner(tally_of((0, 1, 1.0), (0, 1, 1.1), (1, 1, 0.0), (1, 1, 0.1)), z=0.0) == [0, 0, 0]


def test_two_sample_names_the_lower_of_two_equal_winners() -> None:
    both = (*STEADY, (2, 1, 1.0), (2, 1, 1.2))
    assert winner(tally_of(*both)) == [0, 1, 0]


def test_improve_names_the_best_mean_and_keeps_the_incumbent_in_a_tie() -> None:
    mean = np.array([0.5, 0.7, 0.9])
    assert improve(mean, ALL, incumbent=np.int32(0), span=np.float64(1)) == 2
    assert improve(mean, np.array([True, True, False]), incumbent=np.int32(0), span=np.float64(1)) == 1
    assert improve(np.full(3, 0.5), ALL, incumbent=np.int32(1), span=np.float64(1)) == 1


@pytest.mark.parametrize(("gamma", "margin", "holds"), [(0.75, 0.1, True), (0.76, 0.1, False), (0.75, 0.3, False)])
def test_is_better_counts_draws_beyond_the_margin(gamma: float, margin: float, holds: bool) -> None:
    """Gaps 0.2, 0.25, 0.4 and -0.5: three of four exceed 0.1, one exceeds 0.3."""
    draws = np.array([[0.2, 0.25, 0.4, -0.5], [0, 0, 0, 0]])
    pair = Belief(draws.mean(axis=1), draws.std(axis=1), draws)
    assert is_better(pair, gamma=np.float64(gamma), margin=np.float64(margin)) == holds


def test_a_one_hot_vector_gives_its_slot_and_zeros_give_zero() -> None:
    assert [int(one_hot_slot(row)) for row in np.eye(3)] == [0, 1, 2]
    assert one_hot_slot(np.zeros(3)) == 0


@pytest.mark.parametrize(
    ("rule", "by_belief", "gamma", "stuck"),
    [
        ("improve", 1.0, 0.8, NEVER),
        ("non_inferior", 1.0, 2.0, 1.0),  # no probability reaches 2
        ("hybrid", 1.0, 0.8, 6.0),
        ("passage", 1.0, 0.8, 6.0),
        ("two_sample", 0.0, 0.8, NEVER),
    ],
)
def test_leaves_say_which_rule_it_is(rule: str, by_belief: float, gamma: float, stuck: float) -> None:
    made = leaves(Params(rule=rule, z=3.0, ledger=0.1))
    assert (made.by_belief, made.gamma, made.stuck) == (by_belief, gamma, stuck)
    assert (made.z, made.ledger, made.min_evaluations, made.min_plays) == (3.0, 0.1, 5, 3.0)


def test_every_rule_has_leaves_of_one_structure() -> None:
    made = [leaves(Params(rule=rule)) for rule in RULES]
    assert len({tuple(np.asarray(leaf).dtype for leaf in one) for one in made}) == 1


def test_standing_is_the_expected_gain_and_the_probability_of_a_tolerable_loss() -> None:
    """Draws exceed the incumbent's by (0.3, 0.1) and (-0.1, 0): spreads 0.1 and 0.05 around gains 0.1 and -0.05.

    Against a loss of 0.05: Phi(0.15 / 0.1) = Phi(1.5) = 0.93319, and Phi(0) = 0.5.
    """
    draws = np.array([[0.5, 0.3], [0.1, 0.2], [0.2, 0.2]])
    belief = Belief(np.array([0.3, 0.15, 0.2]), np.ones(3), draws)
    stand = standing(belief, delta=np.float64(0.05))
    assert stand.gain == pytest.approx([0.1, -0.05])
    assert stand.tolerable == pytest.approx([0.9331928, 0.5], abs=1e-6)


def test_without_any_spread_a_loss_is_tolerable_or_not() -> None:
    belief = Belief(np.array([0.97, 0.95, 1.0]), np.zeros(3), np.repeat([[0.97], [0.95], [1.0]], 4, axis=1))
    assert standing(belief, delta=np.float64(0.04)).tolerable.round(9).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("debt", "gain", "is_step", "after"),
    [
        (0.02, -0.01, True, 0.03),  # a step that loses is charged
        (0.02, 0.01, True, 0.02),  # a step that gains pays nothing back
        (0.02, 0.015, False, 0.005),  # an improvement does
        (0.02, 0.5, False, 0.0),  # at most all of it: the anchor moves up
        (0.0, 0.0, True, 0.0),
    ],
)
def test_the_ledger_charges_losses_of_steps_and_is_paid_by_improvements(
    debt: float, gain: float, is_step: bool, after: float
) -> None:
    assert settled(np.float64(debt), np.float64(gain), is_step=np.bool_(is_step)) == pytest.approx(after)
