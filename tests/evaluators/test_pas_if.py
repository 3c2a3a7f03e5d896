"""The learned deal is a pair of policies that mimics the true weights, and its choice beats the average's error."""

from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import check_grad

from evaluators import pas_if
from evaluators.estimators import direct, doubly_robust, ips
from evaluators.intervals import t
from evaluators.pas_if import Params, features_of, fit_split, pseudo_errors, select, values_by
from evaluators.rows import RewardRange, Rows
from evaluators.scores import importance


def softmax(logits):
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)


class Task(NamedTuple):
    """100 contexts, 8 actions, rewards 0 or 1, random policies and a model of random quality."""

    mean: np.ndarray
    behavior: np.ndarray
    target: np.ndarray
    model: np.ndarray

    def truth(self) -> float:
        return float((self.target * self.mean).sum(axis=1).mean())

    def draw(self, rng, n) -> Rows:
        row = rng.integers(100, size=n)
        slot = np.minimum((self.behavior.cumsum(axis=1)[row] < rng.random(n)[:, None]).sum(axis=1), 7)
        reward = (rng.random(n) < self.mean[row, slot]).astype(float)
        tables = (self.behavior, self.target, self.model)
        return Rows(reward, slot, *tables, row=row, reward_range=RewardRange(0, 1))


def make_task(seed) -> Task:
    rng = np.random.default_rng(seed)
    mean = rng.uniform(0.1, 0.9, size=(100, 8))
    behavior = 0.97 * softmax(rng.uniform(-4, 4) * mean + rng.normal(size=mean.shape)) + 0.03 / 8
    target = softmax(rng.uniform(0, 6) * mean + rng.normal(size=mean.shape))
    error = rng.uniform(-0.2, 0.2) + rng.choice([0.02, 0.2]) * rng.normal(size=mean.shape)
    return Task(mean, behavior / behavior.sum(axis=1, keepdims=True), target, np.clip(mean + error, 0, 1))


def textbook(rows):
    """Six estimators written out."""
    w, q = rows.at(importance(rows.target, rows.behavior)), rows.at(rows.predicted)
    direct_value, e, cut = rows.at(np.vecdot(rows.target, rows.predicted)).mean(), rows.reward - q, np.minimum(w, 5)
    return {
        "ips": (w * rows.reward).mean(),
        "clipped_ips": (cut * rows.reward).mean(),
        "snips": (w * rows.reward).sum() / max(w.sum(), 1e-12),
        "direct": direct_value,
        "doubly_robust": direct_value + (w * e).mean(),
        "switch": direct_value + (w * (w <= 5) * e).mean(),
    }


def test_the_gradient_is_that_of_the_loss() -> None:
    rows = make_task(0).draw(np.random.default_rng(0), 50)
    weight, times = importance(rows.target, rows.behavior), np.full(100, 0.01)
    problem = pas_if._Problem(features_of(rows), rows.behavior, weight, times, 0.2)
    theta = np.array([-1.0, 0.8, 0.05, -0.1])

    def loss(point):
        return pas_if._loss(point, problem, 10.0)[0]

    def gradient(point):
        return pas_if._loss(point, problem, 10.0)[1]

    assert check_grad(loss, gradient, theta) <= 1e-5 * np.abs(gradient(theta)).max()


@pytest.mark.parametrize("seed", range(5))
def test_the_halves_are_logs_of_two_policies_that_mimic_the_weights(seed) -> None:
    rows = make_task(seed).draw(np.random.default_rng(seed), 500)
    split = fit_split(rows)
    for policy in (split.behavior, split.target):
        assert policy.min() >= 0
        np.testing.assert_allclose(policy.sum(axis=1), 1.0, atol=1e-12)
    # the halves together are the logger again: m target + (1 - m) behavior = pi_b
    m = np.vecdot(rows.behavior, split.rate)[:, None]
    np.testing.assert_allclose(m * split.target + (1 - m) * split.behavior, rows.behavior, atol=1e-12)
    assert abs(split.share - 0.2) <= 0.02
    # a split by lot has weights of 1, at the distance E[(1 - w)^2]; ours explains nine tenths of it
    weight = importance(rows.target, rows.behavior)
    by_lot = rows.at(np.vecdot(rows.behavior, (weight - 1) ** 2)).mean()
    assert split.distance <= 0.1 * by_lot


def test_the_penalty_is_the_closest_of_those_that_keep_the_share(monkeypatch) -> None:
    rows = make_task(2).draw(np.random.default_rng(1), 500)
    chosen, splits = fit_split(rows), []
    for penalty in pas_if.PENALTIES:
        monkeypatch.setattr(pas_if, "PENALTIES", (penalty,))
        splits.append(fit_split(rows))
    near = [split.distance for split in splits if abs(split.share - 0.2) <= 0.02]
    assert chosen.distance == min(near) < max(split.distance for split in splits)


def test_dealt_rows_are_unbiased_for_the_pseudo_target() -> None:
    # IPS from the pseudo logger's half and the mean of the other agree but for the contexts' shift, here none
    task = make_task(3)
    one = task._replace(**{name: np.repeat(getattr(task, name)[:1], 100, axis=0) for name in task._fields})
    rng = np.random.default_rng(0)
    rows = one.draw(rng, 2_000)
    split = fit_split(rows)
    gaps = []

    def record(pseudo):
        w = pseudo.at(importance(pseudo.target, pseudo.behavior))
        gaps.append((w * pseudo.reward).mean())
        return {"ips": gaps[-1]}

    errors = pseudo_errors(rng, rows, split=split, values=record, n_repeats=200)
    truth = float(split.target[0] @ one.mean[0])
    # the rewards of one log are resampled, so the mean of the estimates keeps that log's own error
    w_sd = np.sqrt(np.vecdot(split.target, split.target / split.behavior)[0] / 1_600)
    assert abs(np.mean(gaps) - truth) <= 4 * w_sd
    assert errors["ips"] <= 4 * (w_sd**2 + 0.25 / 400)


def test_the_choice_beats_the_average_candidate_and_always_ips() -> None:
    chosen, average, always = [], [], []
    for seed in range(12):
        task, rng = make_task(seed), np.random.default_rng(100 + seed)
        logs = [textbook(task.draw(rng, 500)) for _ in range(200)]
        mse = {name: np.mean([(log[name] - task.truth()) ** 2 for log in logs]) for name in logs[0]}
        best = min(mse.values())
        picks = [select(rng, task.draw(rng, 500), values=textbook, params=Params(n_repeats=20)).name for _ in range(3)]
        chosen.append(np.log(np.mean([mse[name] for name in picks]) / best))
        average.append(np.log(np.mean(list(mse.values())) / best))
        always.append(np.log(mse["ips"] / best))
    for other in (average, always):
        gap = np.array(other) - np.array(chosen)
        assert gap.mean() > 2 * gap.std(ddof=1) / np.sqrt(12)


def test_estimators_of_the_house_are_judged_in_one_pass() -> None:
    rows = make_task(1).draw(np.random.default_rng(2), 400)
    plain = {"interval": t.Params()}
    modules = {"ips": ips, "direct": direct, "doubly_robust": doubly_robust}
    estimators = {name: module.Params(**plain) for name, module in modules.items()}
    found = values_by(estimators)(rows)
    wanted = textbook(rows)
    assert found == pytest.approx({name: wanted[name] for name in estimators}, rel=1e-12)
    selection = select(np.random.default_rng(0), rows, values=values_by(estimators), params=Params(n_repeats=5))
    assert selection.errors[selection.name] == min(selection.errors.values())


def test_the_same_seed_makes_the_same_choice() -> None:
    rows = make_task(2).draw(np.random.default_rng(3), 300)
    one, two = (select(np.random.default_rng(7), rows, values=textbook) for _ in range(2))
    assert one.errors == two.errors


def test_rows_written_out_are_rows_looked_up() -> None:
    rows = make_task(4).draw(np.random.default_rng(5), 200)
    names = ("behavior", "target", "predicted")
    long = rows._replace(**{name: getattr(rows, name)[rows.row] for name in names}, row=None)
    one, two = (select(np.random.default_rng(0), r, values=textbook, params=Params(n_repeats=5)) for r in (rows, long))
    assert one.split.distance == pytest.approx(two.split.distance, rel=1e-3)
    assert one.errors == pytest.approx(two.errors, rel=0.2)


def test_an_estimator_that_is_undefined_is_never_chosen() -> None:
    rows = make_task(5).draw(np.random.default_rng(6), 100)

    def values(pseudo):
        return {"broken": float("nan"), "mean": pseudo.reward.mean()}

    assert select(np.random.default_rng(0), rows, values=values).name == "mean"


def test_what_cannot_be_split_is_refused() -> None:
    rows = make_task(6).draw(np.random.default_rng(7), 10)
    assert rows.row is not None
    with pytest.raises(ValueError, match=r"need \(c, k, p\)"):
        fit_split(rows, features=np.ones((3, 8, 1)))
    partial = rows._replace(behavior=rows.behavior[:10], target=rows.target[:10], row=None, is_partial=True)
    with pytest.raises(ValueError, match="known at the logged slot only"):
        fit_split(partial)
    never = fit_split(rows)._replace(rate=np.zeros((100, 8)))
    with pytest.raises(ValueError, match="deals of 10 rows left a half empty"):
        pseudo_errors(np.random.default_rng(0), rows, split=never, values=textbook, n_repeats=1)
    single = rows._replace(reward=rows.reward[:1], slot=rows.slot[:1], row=rows.row[:1])
    with pytest.raises(ValueError, match="need at least 2"):
        pseudo_errors(np.random.default_rng(0), single, split=fit_split(rows), values=textbook, n_repeats=1)
