"""The features' inner products against the kernel written out."""

import numpy as np
import pytest

from envs.lattice import Axis, Lattice
from evaluators.kernel_features import LENGTHS, kernel_features, matern

LATTICE = Lattice(
    (
        Axis("temperature", ("0.0", "0.5", "1.0", "1.4")),
        Axis("max_tokens", ("128", "256", "512", "1024")),
        Axis("model", ("small", "large")),
    )
)


def kernel(first, second):
    """The product kernel of two parameter points of LATTICE, from the definition."""
    names = {"small": 0.0, "large": 1.0}
    apart = {
        "temperature": first["temperature"] - second["temperature"],
        "max_tokens": np.log2(first["max_tokens"]) - np.log2(second["max_tokens"]),
        "model": names[first["model"]] - names[second["model"]],
    }
    return np.prod([matern(np.abs(gap) / LENGTHS[name]) for name, gap in apart.items()])


def gram():
    points = [LATTICE.parameters(i) for i in range(LATTICE.size)]
    return np.array([[kernel(a, b) for b in points] for a in points])


def test_at_full_rank_inner_products_are_the_kernel() -> None:
    features = kernel_features(LATTICE, rank=LATTICE.size)
    np.testing.assert_allclose(features @ features.T, gram(), atol=1e-10)


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_at_lower_rank_they_are_its_best_approximation(rank) -> None:
    features, whole = kernel_features(LATTICE, rank=rank), gram()
    assert features.shape == (LATTICE.size, rank)
    assert (features**2).sum(axis=1).max() <= 1 + 1e-12
    dropped = np.sort(np.linalg.eigvalsh(whole))[:-rank]  # Eckart and Young: what the best one leaves out
    np.testing.assert_allclose(((features @ features.T - whole) ** 2).sum(), (dropped**2).sum(), rtol=1e-9)


def test_an_axis_with_one_value_changes_nothing() -> None:
    longer = Lattice((*LATTICE.axes[:2], Axis("top_p", ("1.0",)), LATTICE.axes[2]))
    first, second = kernel_features(LATTICE, rank=9), kernel_features(longer, rank=9)
    np.testing.assert_allclose(second @ second.T, first @ first.T, atol=1e-10)


def test_tokens_act_by_doublings() -> None:
    tokens = Lattice((Axis("max_tokens", ("100", "200", "400", "1600")),))
    features = kernel_features(tokens, rank=4)
    products = features @ features.T
    assert products[0, 1] == pytest.approx(products[1, 2], rel=1e-9)
    assert products[0, 2] == pytest.approx(products[2, 3], rel=1e-9)


def test_no_rank_and_an_unknown_axis_are_refused() -> None:
    with pytest.raises(ValueError, match="rank = 0"):
        kernel_features(LATTICE, rank=0)
    with pytest.raises(ValueError, match="top_k"):
        kernel_features(Lattice((Axis("top_k", ("1", "2")),)))
