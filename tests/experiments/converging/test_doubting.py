"""The sceptic on runs of the experiment: silent where nothing differs, loud where much does."""

import numpy as np

from experiments.converging.cases import named
from experiments.converging.doubting import first_claim
from experiments.converging.surfaces import surfaces_of
from policies.constraints import Params as ConstraintParams
from tests.hand_runs import run

PLACE = named("gsm8k_small", "bad")


def _runs(reward):
    one = surfaces_of(PLACE, ConstraintParams(), evaluations=220)[0]
    best, rng = int(one.values[0].argmax()), np.random.default_rng(0)
    action = np.where(rng.random((8, 220)) < 0.5, one.start, best).astype(np.int32)
    centre = np.where(np.arange(220) < 20, one.start, best).astype(np.int32) + np.zeros((8, 1), np.int32)
    noise = 0.1 * rng.standard_normal((8, 220))
    values = one.values[0][action] if reward is None else np.full(action.shape, reward)
    drawn = run(centre, action=action, reward=values + noise, params=PLACE.params, world=PLACE.world, start="bad")
    return first_claim(drawn, one)


def test_a_large_gain_is_claimed_by_all_and_never_before_it_is_deployed():
    found = _runs(None)
    assert (found > 20).all()


def test_equal_rewards_are_no_gain():
    assert (_runs(0.4) == 0).sum() >= 7  # of 8, each wrong with at most 5 %: two or more wrong in 6 % of such tests
