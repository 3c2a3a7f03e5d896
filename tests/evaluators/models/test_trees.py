"""Tree ensembles as reward models, where scikit-learn is installed; what is said where it is not."""

import sys

import numpy as np
import pytest

from evaluators.models.trees import Params, tables
from evaluators.reward_model import Params as RidgeParams
from evaluators.reward_model import Sample, fit_tables, make_folds

KINDS = ("boosting", "forest")


def sample(rng, n: int = 1500) -> tuple[np.ndarray, Sample, np.ndarray]:
    """A reward that no sum of features describes: the product of two signs."""
    design = rng.normal(size=(200, 4, 3))
    mean = 0.5 + 0.4 * np.sign(design[..., 0] * design[..., 1])
    row, slot = rng.integers(200, size=n), rng.integers(4, size=n)
    reward = (rng.random(n) < mean[row, slot]).astype(float)
    return design, Sample(row, slot, reward, make_folds(rng, n, n_folds=3)), mean


@pytest.mark.parametrize("kind", KINDS)
def test_an_interaction_is_learnt_that_ridge_cannot_see(kind) -> None:
    design, given, mean = sample(np.random.default_rng(0))
    found = tables(Params(kind=kind, n_trees=40), design, given)
    plain = fit_tables(RidgeParams(), design, given)
    assert found.shape == plain.shape == (3, 200, 4)
    errors = [np.sqrt(((one - mean) ** 2).mean()) for one in (found, plain)]
    assert errors[1] > 0.38  # the means are 0.4 from their middle
    assert errors[0] < errors[1] / 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_fold_has_no_say_in_its_own_predictions_and_a_seed_settles_the_rest(kind) -> None:
    design, given, _ = sample(np.random.default_rng(1), n=400)
    params = Params(kind=kind, n_trees=10)
    before = tables(params, design, given)
    after = tables(params, design, given._replace(reward=np.where(given.fold == 2, 9.0, given.reward)))
    assert np.array_equal(before[2], after[2])
    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before, tables(params, design, given))


@pytest.mark.parametrize("kind", KINDS)
def test_without_scikit_learn_the_extra_is_named(kind, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    design, given, _ = sample(np.random.default_rng(2), n=100)
    with pytest.raises(ImportError, match=r"guardband\[models\]"):
        fit_tables(Params(kind=kind), design, given)
