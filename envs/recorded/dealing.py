"""Problems dealt at random into hands of equal size: halves to learn and to judge on, or groups.

Whole problems are dealt, and a problem lies in the same hand in every task type, so that
hands share nothing. Source: Wolter (2007), "Introduction to Variance Estimation", chapter 2
(random groups).
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUPS", "HALVES", "deal"]

HALVES, GROUPS = 0, 1  # streams: the two deals of one seed have nothing to do with each other


def deal(
    task: NDArray[np.integer], cluster: NDArray[np.integer], *, n_hands: int, seed: int, stream: int
) -> NDArray[np.int32]:
    """The hand of each problem.

    Problems that stand in the same task types are dealt in turn, so the hands of every task type
    differ by few problems.

    Args:
        task: (n,) task type of each unit or row.
        cluster: (n,) its problem, 0 .. problems - 1, each at least once.
        n_hands: how many.
        seed: of the deal.
        stream: HALVES or GROUPS.

    Returns:
        (problems,) in [0, n_hands).
    """
    stands = np.zeros((int(cluster.max()) + 1, int(task.max()) + 1), np.bool_)
    stands[cluster, task] = True
    _, pattern = np.unique(stands, axis=0, return_inverse=True)
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, stream], np.uint64)))
    shuffled = rng.permutation(len(stands))
    ranked = shuffled[np.argsort(pattern.reshape(-1)[shuffled], kind="stable")]
    hand = np.empty(len(stands), np.int32)
    hand[ranked] = np.arange(len(stands)) % n_hands
    return hand
