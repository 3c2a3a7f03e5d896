"""Cross-fitting: no row is predicted by a model that saw it, and the model is ridge."""

from typing import Any

import numpy as np
import pytest

from evaluators.estimation import estimate
from evaluators.estimators import doubly_robust
from evaluators.models import logistic, mrdr
from evaluators.reward_model import (
    Params,
    Sample,
    check_sample,
    clip,
    cross_fit,
    fit_tables,
    make_folds,
    modelled,
    others,
    with_model,
)
from evaluators.rows import RewardRange, Rows


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
        values.append(estimate(doubly_robust.Params(), log).value)
    stderr = np.std(values, ddof=1) / np.sqrt(400)
    assert abs(np.mean(values) - world.truth()) <= 4 * stderr


def test_clipped_predictions_pass_the_door_and_others_do_not(world) -> None:
    rows, _ = world.draw(np.random.default_rng(4), 50)
    wild = rows._replace(predicted=rows.predicted * 3 - 1)
    with pytest.raises(ValueError, match="clip it with reward_model.clip"):
        estimate(doubly_robust.Params(), wild)
    tamed = wild._replace(predicted=clip(wild.predicted, wild.reward_range))
    assert np.isfinite(estimate(doubly_robust.Params(), tamed).value)


def test_an_undeclared_range_clips_nothing() -> None:
    wild = np.array([-5.0, 7.0])
    assert clip(wild, None) is wild
    assert clip(wild, RewardRange(0.0, 1.0)).tolist() == [0.0, 1.0]


def test_the_weight_of_a_row_counts_it_so_often() -> None:
    design, given, _ = sample(np.random.default_rng(10))
    times = np.random.default_rng(11).integers(0, 4, size=300)
    often: dict[str, Any] = {name: np.repeat(values, times) for name, values in given.items()}
    once = fit_tables(Params(), design, Sample(**given, weight=times.astype(float)))
    np.testing.assert_allclose(once, fit_tables(Params(), design, Sample(**often)), rtol=1e-9)


def test_a_table_per_fold_holds_what_every_row_is_told() -> None:
    design, given, _ = sample(np.random.default_rng(12))
    tables = fit_tables(Params(ridge=2.0), design, Sample(**given))
    assert tables.shape == (5, 12, 6)
    assert np.array_equal(tables[given["fold"], given["row"]], cross_fit(design, **given, ridge=2.0))


def test_predictions_stay_in_the_declared_range() -> None:
    design, given, _ = sample(np.random.default_rng(13))
    declared = RewardRange(-0.5, 0.5)
    found = fit_tables(Params(), design, Sample(**given, reward_range=declared))
    assert (found.min(), found.max()) == (-0.5, 0.5)


def test_shared_tables_beside_a_model_are_the_rows_own_tables(world) -> None:
    drawn, context = world.draw(np.random.default_rng(14), 400)
    fold = make_folds(np.random.default_rng(15), 400, n_folds=4)
    design = np.random.default_rng(16).normal(size=(8, 5, 3))
    learnt = Sample(context, drawn.slot, drawn.reward, fold, reward_range=drawn.reward_range)
    tables = fit_tables(Params(), design, learnt)
    short = drawn._replace(behavior=world.behavior, target=world.target, predicted=None, row=context)
    shared = with_model(short, tables, fold)
    assert shared.behavior.shape == (32, 5)
    params = doubly_robust.Params()
    own = estimate(params, drawn._replace(predicted=tables[fold, context]))
    np.testing.assert_allclose(estimate(params, shared), own, rtol=1e-9)
    by_row = with_model(drawn, tables[:, context], fold)
    np.testing.assert_allclose(estimate(params, by_row), own, rtol=1e-12)


def test_a_model_for_other_contexts_is_refused(world) -> None:
    rows, _ = world.draw(np.random.default_rng(17), 20)
    for tables, fold in ((np.zeros((2, 8, 5)), np.arange(20) % 2), (np.zeros((2, 20, 5)), np.arange(20) % 3)):
        with pytest.raises(ValueError, match=r"need \(folds, c, k\)"):
            with_model(rows, tables, fold)


def test_rows_without_a_model_say_who_asked() -> None:
    one = np.ones((1, 1))
    with pytest.raises(ValueError, match="estimator direct needs rows.predicted"):
        modelled(Rows(np.ones(1), np.zeros(1, int), one, one), "direct")


def test_the_sum_of_the_others_has_no_trace_of_a_folds_own() -> None:
    parts = np.array([[1e300], [1.0], [2.0]])
    assert others(parts)[0] == 3.0


@pytest.mark.parametrize("model", [Params(), mrdr.Params(), logistic.Params()])
def test_every_model_predicts_a_fold_without_it(world, model) -> None:
    drawn, context = world.draw(np.random.default_rng(18), 300)
    fold = make_folds(np.random.default_rng(19), 300, n_folds=model.n_folds)
    design = np.concatenate([np.ones((8, 5, 1)), np.random.default_rng(20).normal(size=(8, 5, 3))], axis=2)
    given = Sample(context, drawn.slot, drawn.reward, fold, None, world.behavior, world.target, drawn.reward_range)
    flipped = given._replace(reward=np.where(fold == 1, 1 - drawn.reward, drawn.reward))
    before, after = fit_tables(model, design, given), fit_tables(model, design, flipped)
    assert before.shape == (5, 8, 5)
    assert np.array_equal(before[1], after[1])
    assert np.all(np.abs(before[[0, 2, 3, 4]] - after[[0, 2, 3, 4]]).max(axis=(1, 2)) > 0)
    assert 0 <= before.min() < before.max() <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": -np.ones(300)}, "weight needs finite numbers >= 0"),
        ({"weight": np.ones(3)}, r"weight has shape \(3,\)"),
        ({"behavior": np.ones((3, 3))}, r"behavior has shape \(3, 3\), need \(12, 6\)"),
        ({"target": np.ones((12, 5))}, "target has shape"),
    ],
)
def test_weights_and_policies_that_do_not_fit_are_refused(changes, message) -> None:
    design, given, _ = sample(np.random.default_rng(21))
    with pytest.raises(ValueError, match=message):
        check_sample(design, Sample(**given)._replace(**changes))


def test_weight_in_one_fold_only_leaves_nothing_to_fit() -> None:
    design, given, _ = sample(np.random.default_rng(22))
    with pytest.raises(ValueError, match="outside every fold"):
        check_sample(design, Sample(**given, weight=(given["fold"] == 2).astype(float)))


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
