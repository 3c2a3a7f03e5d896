"""The Gaussian process behind a pick: the textbook posterior mean, scales that fit, a pick that luck does not move."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.lattice import AxisRange, Lattice, LatticeRanges
from experiments.peers.picks import first_scales, fitted, pick
from experiments.peers.space import Space, space_of

GRID = Lattice.from_ranges(
    LatticeRanges(AxisRange("0", "2", "0.1"), AxisRange("512", "512"), AxisRange("0.5", "1", "0.1")),
    models=("small", "large"),
)
SPACE = space_of(GRID, np.ones(GRID.size, np.bool_), 0)
ONE_MODEL = space_of(GRID, np.arange(GRID.size) % 2 == 0, 0)
Floats = NDArray[np.float64]


def hill(space: Space, ids: NDArray[np.int32]) -> Floats:
    """At most 0, at (0.6, 0.4) of model 0."""
    rows = space.rows(ids)
    gap = np.square(space.places[rows] - np.array([0.6, 0.4])).sum(axis=1)
    return np.asarray(-gap - 0.2 * space.model[rows])


def trials(space: Space, n: int, *, seed: int = 0, sd: float = 0.0) -> tuple[NDArray[np.int32], Floats]:
    rng = np.random.default_rng(seed)
    ids = rng.choice(space.ids, n).astype(np.int32)
    return ids, hill(space, ids) + sd * rng.normal(size=n)


def by_hand(space: Space, ids: NDArray[np.int32], rewards: Floats, *, scales: Floats) -> Floats:
    """The posterior mean of every legal action by a loop over pairs and a dense solve (2.25)."""
    lengths, ratio = np.exp(scales[:-1]), np.exp(scales[-1])

    def kernel(i: int, j: int) -> float:
        gap = np.square((space.places[i] - space.places[j]) / lengths[:2]).sum()
        if space.model[i] != space.model[j]:
            gap += 1.0 / lengths[2] ** 2
        r = np.sqrt(5.0 * gap)
        return float((1.0 + r + r * r / 3.0) * np.exp(-r))

    rows = space.rows(ids)
    inner = np.array([[kernel(i, j) for j in rows] for i in rows]) + ratio * np.eye(len(rows))
    outer = np.array([[kernel(i, j) for j in rows] for i in range(len(space.ids))])
    return np.asarray(rewards.mean() + outer @ np.linalg.solve(inner, rewards - rewards.mean()))


@pytest.mark.parametrize("space", [SPACE, ONE_MODEL], ids=["models", "one model"])
@pytest.mark.parametrize("seed", range(4))
def test_a_pick_is_the_top_of_the_textbook_posterior_along_every_axis(space: Space, seed: int) -> None:
    ids, rewards = trials(space, 25, seed=seed, sd=0.2)
    scales = first_scales(space)
    found, mean = pick(space, ids, rewards, scales=scales), by_hand(space, ids, rewards, scales=scales)
    grid, here = GRID.decode(space.ids), GRID.decode(np.array([found]))[0]
    line = (grid != here).sum(axis=1) <= 1
    height = mean[space.rows(np.array([found], np.int32))[0]]
    assert height == pytest.approx(mean[line].max(), abs=1e-9)
    assert height >= mean[space.rows(ids)].max() - 1e-9  # and no trial's is higher


@pytest.mark.parametrize("space", [SPACE, ONE_MODEL], ids=["models", "one model"])
def test_without_noise_the_pick_is_the_best_action_though_it_was_never_tried(space: Space) -> None:
    best = int(space.ids[hill(space, space.ids).argmax()])
    ids, rewards = trials(space, 60)
    ids, rewards = ids[ids != best], rewards[ids != best]
    scales = fitted(space, ids, rewards, scales=first_scales(space))
    assert pick(space, ids, rewards, scales=scales) == best


def test_one_lucky_reward_does_not_move_the_pick() -> None:
    ids, rewards = trials(ONE_MODEL, 120, sd=0.05)
    far = np.flatnonzero(ONE_MODEL.places[ONE_MODEL.rows(ids)][:, 0] < 0.1)[0]
    rewards[far] = rewards.max() + 0.2
    scales = fitted(ONE_MODEL, ids, rewards, scales=first_scales(ONE_MODEL))
    found = pick(ONE_MODEL, ids, rewards, scales=scales)
    assert found != ids[far]
    assert hill(ONE_MODEL, np.array([found], np.int32))[0] > -0.05


def test_a_fit_finds_the_noise_and_the_axis_that_does_nothing() -> None:
    rng = np.random.default_rng(1)
    ids = rng.choice(ONE_MODEL.ids, 200).astype(np.int32)
    signal = np.sin(6.0 * ONE_MODEL.places[ONE_MODEL.rows(ids), 0])  # variance about a half; top_p does nothing
    quiet, loud = (signal + sd * rng.normal(size=200) for sd in (0.05, 1.0))
    for_quiet, for_loud = first_scales(ONE_MODEL), first_scales(ONE_MODEL)
    for _ in range(4):
        for_quiet = fitted(ONE_MODEL, ids, quiet, scales=for_quiet)
        for_loud = fitted(ONE_MODEL, ids, loud, scales=for_loud)
    assert for_quiet[1] > for_quiet[0] + np.log(2.0)
    assert for_loud[-1] > for_quiet[-1] + np.log(20.0)  # of the true 400 between the two ratios


def test_rewards_that_are_all_the_same_pick_the_first_trial() -> None:
    ids, rewards = trials(SPACE, 20)[0], np.zeros(20)
    scales = fitted(SPACE, ids, rewards, scales=first_scales(SPACE))
    assert np.all(np.isfinite(scales))
    assert pick(SPACE, ids, rewards, scales=scales) == ids[0]


def test_a_fit_and_a_pick_are_functions_of_their_arguments() -> None:
    for seed, space in product(range(3), (SPACE, ONE_MODEL)):
        ids, rewards = trials(space, 30, seed=seed, sd=0.1)
        first, again = (fitted(space, ids, rewards, scales=first_scales(space)) for _ in range(2))
        assert np.array_equal(first, again)
