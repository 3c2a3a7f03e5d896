"""The flagship beside others: probability of improvement, profiles and curves of hand-made runs."""

import numpy as np
import pytest

from experiments.converging.comparing import (
    THRESHOLDS,
    Table,
    ahead,
    curve,
    middle,
    players,
    profile,
    settled,
)
from tests.hand_runs import START, run, surface

KEY = ("hand", "task")
MINE = run([[START, 0], [START, 1]], policy="mine")  # .8 and .77 at the end
OTHER = run([[START, 1], [START, START]], policy="other")  # .77 and 0


@pytest.fixture
def table():
    return Table(players([MINE, OTHER], [KEY]), {KEY: surface()}, 0)


def test_players_need_every_task():
    assert [one.policy for one in players([MINE, OTHER], [KEY])] == ["mine", "other"]
    assert players([MINE], [KEY, ("hand", "another")]) == ()


def test_probability_of_improvement_by_hand(table):
    # Pairs: .8 > .77, .8 > 0, .77 = .77 (a half), .77 > 0: 3.5 of 4. At the first evaluation all are equal.
    mine, other = table.players
    assert ahead(table, mine, other, by=2).value == 0.875
    assert ahead(table, other, mine, by=2).value == 0.125
    assert ahead(table, mine, other, by=1).value == 0.5


def test_a_difference_below_the_tie_is_none():
    close = surface(values=surface().values[0] + np.r_[0.0, 0.03 - 1e-7, np.zeros(13)])
    near = Table(players([MINE, run([[START, 0]] * 2, policy="other")], [KEY]), {KEY: close}, 0)
    assert ahead(near, *near.players, by=2).value == 0.5


def test_the_interquartile_mean_is_told_between_worst_and_best(table):
    # Two runs: nothing is cut. (.8 + .77) / 2 / .8.
    assert middle(table, table.players[0], by=2).value == pytest.approx(0.98125)


def test_the_profile_counts_runs_within_each_threshold(table):
    # .8 loses nothing, .77 loses .03 of the .03 that still is inside: one tolerance of the worst inside.
    found = profile(table, table.players[1], by=2).value
    assert found[THRESHOLDS < 0.99].max() == 0.0
    assert found[np.isclose(THRESHOLDS, 1.0)][0] == 0.5
    assert found[-1] == 0.5  # the one that never moved is farther than any threshold


def test_curves_by_hand(table):
    assert curve(table, table.players[0]).value.round(3).tolist() == [0.8, 0.815]
    assert settled(table, table.players[1]).value.tolist() == [0.0, 0.5]
    assert (settled(table, table.players[1]).lo >= 0).all()
