"""Cross-fitting: no row is predicted by a model that saw it, and the model is ridge."""

import numpy as np
import pytest

from evaluators.estimators import doubly_robust
from evaluators.reward_model import Params, clip, cross_fit, make_folds
from evaluators.rows import RewardRange


def sample(rng, n=300, n_contexts=12, n_slots=6, n_features=5):
    design = rng.normal(size=(n_contexts, n_slots, n_features))
    design[..., 0] = 1.0
    drawn = {"row": rng.integers(n_contexts, size=n), "slot": rng.integers(n_slots, size=n)}
    truth = rng.normal(size=n_features)
    reward = design[drawn["row"], drawn["slot"]] @ truth + 0.1 * rng.normal(size=n)
    return design, drawn | {"reward": reward, "fold": make_folds(rng, n, n_folds=5)}, truth


def test_predictions_are_ridge_on_the_other_folds() -> None:
    design, given, _ = sample(np.random.default_rng(0))
    found = cross_fit(design, **given, ridge=2.0)
    train = given["fold"] != 3
    x, y = design[given["row"], given["slot"]][train], given["reward"][train]
    weight = np.linalg.solve(x.T @ x + 2.0 * np.eye(5), x.T @ (y - y.mean()))
    held_out = given["fold"] == 3
    wanted = design[given["row"][held_out]] @ weight + y.mean()
    np.testing.assert_allclose(found[held_out], wanted, rtol=1e-9)


def test_a_rows_own_fold_has_no_say_in_its_predictions() -> None:
    design, given, _ = sample(np.random.default_rng(1))
    before = cross_fit(design, **given, ridge=1.0)
    mine = given["fold"] == 2
    changed = given | {"reward": np.where(mine, 1e6, given["reward"])}
    after = cross_fit(design, **changed, ridge=1.0)
    assert np.array_equal(after[mine], before[mine])
    assert np.abs(after[~mine] - before[~mine]).min() > 0


def test_a_linear_reward_is_learnt() -> None:
    design, given, truth = sample(np.random.default_rng(2), n=3000)
    found = cross_fit(design, **given, ridge=1e-3)
    # residual 0.1, 2,400 training rows: each weight is known to about 0.002
    np.testing.assert_allclose(found, (design @ truth)[given["row"]], atol=0.05)


def test_the_value_from_cross_fitted_predictions_is_unbiased(world) -> None:
    # 400 logs of 200 rows, |z| <= 4: false alarm 6e-5
    rng = np.random.default_rng(3)
    design = np.broadcast_to(np.eye(5), (8, 5, 5))
    values = []
    for _ in range(400):
        rows, context = world.draw(rng, 200)
        fold = make_folds(rng, 200, n_folds=5)
        fitted = cross_fit(design, row=context, slot=rows.slot, reward=rows.reward, fold=fold, ridge=1.0)
        log = rows._replace(predicted=clip(fitted, rows.reward_range))
        values.append(doubly_robust.estimate(doubly_robust.Params(), log).value)
    stderr = np.std(values, ddof=1) / np.sqrt(400)
    assert abs(np.mean(values) - world.truth()) <= 4 * stderr


def test_clipped_predictions_pass_the_door_and_others_do_not(world) -> None:
    rows, _ = world.draw(np.random.default_rng(4), 50)
    wild = rows._replace(predicted=rows.predicted * 3 - 1)
    with pytest.raises(ValueError, match="clip it with reward_model.clip"):
        doubly_robust.estimate(doubly_robust.Params(), wild)
    tamed = wild._replace(predicted=clip(wild.predicted, wild.reward_range))
    assert np.isfinite(doubly_robust.estimate(doubly_robust.Params(), tamed).value)


def test_an_undeclared_range_clips_nothing() -> None:
    wild = np.array([-5.0, 7.0])
    assert clip(wild, None) is wild
    assert clip(wild, RewardRange(0.0, 1.0)).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("n", [5, 101, 2000])
def test_folds_are_even(n) -> None:
    sizes = np.bincount(make_folds(np.random.default_rng(5), n, n_folds=5), minlength=5)
    assert sizes.max() - sizes.min() <= 1


def test_no_cluster_is_split_over_folds() -> None:
    rng = np.random.default_rng(6)
    cluster = rng.integers(40, size=500)
    fold = make_folds(rng, 500, n_folds=5, cluster=cluster)
    assert all(np.unique(fold[cluster == label]).size == 1 for label in range(40))
    assert set(fold) == {0, 1, 2, 3, 4}


def test_the_same_generator_deals_the_same_folds() -> None:
    deals = [make_folds(np.random.default_rng(7), 50, n_folds=5) for _ in range(2)]
    assert np.array_equal(deals[0], deals[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ridge": 0.0}, "ridge = 0, need > 0"),
        ({"row": np.full(300, 12)}, r"row = 12 somewhere, need 0 <= row < 12"),
        ({"slot": np.full(300, -1)}, r"slot = -1 somewhere, need 0 <= slot < 6"),
        ({"reward": np.full(300, np.nan)}, "NaN or infinity"),
        ({"fold": np.zeros(300, dtype=np.int64)}, "fold 0 holds all 300 rows"),
        ({"reward": np.zeros(299)}, r"reward has shape \(299,\), need \(300,\)"),
    ],
)
def test_a_sample_that_cannot_be_fitted_is_refused(changes, message) -> None:
    design, given, _ = sample(np.random.default_rng(8))
    with pytest.raises(ValueError, match=message):
        cross_fit(design, **({"ridge": 1.0} | given | changes))


@pytest.mark.parametrize(
    ("n_folds", "cluster", "message"),
    [
        (1, None, "n_folds = 1, need 2 <= n_folds <= 10 rows"),
        (11, None, "n_folds = 11, need 2 <= n_folds <= 10 rows"),
        (3, np.arange(10) % 2, "need 2 <= n_folds <= 2 clusters"),
        (3, np.arange(9), r"cluster has shape \(9,\), need \(10,\)"),
    ],
)
def test_folds_that_cannot_be_dealt_are_refused(n_folds, cluster, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_folds(np.random.default_rng(0), 10, n_folds=n_folds, cluster=cluster)


def test_the_defaults_can_be_fitted() -> None:
    design, given, _ = sample(np.random.default_rng(9))
    fitted = cross_fit(design, **given, ridge=Params().ridge)
    assert fitted.shape == (300, 6)
