"""Hands share no problem, are as equal as they can be, and are a function of the seed."""

import numpy as np
import pytest

from envs.recorded.dealing import GROUPS, HALVES, deal


def two_types(n_shared: int, n_own: int) -> tuple[np.ndarray, np.ndarray]:
    """Problems that stand in both task types, and some of the first type only."""
    task = np.repeat([0, 1], [n_shared + n_own, n_shared])
    return task, np.concatenate([np.arange(n_shared + n_own), np.arange(n_shared)])


@pytest.mark.parametrize("n_hands", [2, 3, 7])
def test_hands_of_every_task_type_differ_by_few_problems(n_hands: int) -> None:
    task, cluster = two_types(23, 10)
    for seed in range(20):
        hand = deal(task, cluster, n_hands=n_hands, seed=seed, stream=HALVES)
        assert hand.shape == (33,) and set(hand) == set(range(n_hands))
        for kind in (0, 1):
            sizes = np.bincount(hand[cluster[task == kind]], minlength=n_hands)
            assert sizes.max() - sizes.min() <= 2, "one for each pattern of task types"


def test_a_deal_is_a_function_of_seed_and_stream() -> None:
    task, cluster = two_types(40, 0)
    deals = [deal(task, cluster, n_hands=2, seed=seed, stream=HALVES).tolist() for seed in (0, 0, 1, 2)]
    assert deals[0] == deals[1] and deals[1] != deals[2] != deals[3]
    assert deal(task, cluster, n_hands=2, seed=0, stream=GROUPS).tolist() != deals[0]


def test_every_problem_is_learned_on_under_half_of_the_seeds() -> None:
    task, cluster = two_types(8, 0)
    n_seeds, learned = 400, np.zeros(8)
    for seed in range(n_seeds):
        learned += deal(task, cluster, n_hands=2, seed=seed, stream=HALVES) == 0
    # 8 problems, each beyond 4 standard errors with probability 6.3e-5: false alarm 0.05 %
    assert np.abs(learned / n_seeds - 0.5).max() < 4.0 * 0.5 / np.sqrt(n_seeds)
