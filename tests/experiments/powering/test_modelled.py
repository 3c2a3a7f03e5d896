"""The spread that ridge regression leaves, against many simulated logs and fits."""

import numpy as np

from evaluators.adjusting import model_variance, score_variance
from evaluators.gates import difference_sums
from evaluators.intervals import gate
from evaluators.reward_model import Params as ModelParams
from evaluators.reward_model import Sample, fit_tables, make_folds, with_model
from evaluators.rows import Floats, RewardRange, Rows
from experiments.powering.contests import Contest, aimed, explored
from experiments.powering.modelled import modelled

M, K, P, N = 30, 5, 8, 400


def contest() -> tuple[Contest, Floats]:
    """A contest with a candidate 0.05 better, and features that say part of its values."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(M, K, P))
    features[..., 0] = 1.0
    value = 1 / (1 + np.exp(-(features @ rng.normal(size=P) / 2)))
    home = np.zeros((M, K))
    home[:, 0] = 1.0
    empty = Contest(np.full(M, 1 / M), np.ones((M, K), np.bool_), home, home, home, value, RewardRange(0.0, 1.0))
    return aimed(rng, empty, 0.05, logger=explored(empty, 0.5), ess_share=0.3), features


def test_the_predicted_spread_is_the_one_that_simulated_logs_show() -> None:
    """Means over 300 logs within 4 standard errors, and 3 % for what the expansion leaves out."""
    one, features = contest()
    behavior, params, rng = explored(one, 0.5), ModelParams(), np.random.default_rng(1)
    noise = one.value * (1 - one.value)  # rewards 0 or 1
    said = modelled(one, behavior, noise=noise, features=features, model=params)(N)
    scores, models, means = [], [], []
    for _ in range(300):
        row = rng.integers(M, size=N)
        slot = (behavior.cumsum(axis=1)[row] < rng.random(N)[:, None]).sum(axis=1)
        reward = (rng.random(N) < one.value[row, slot]).astype(np.float64)
        fold = make_folds(rng, N, n_folds=params.n_folds)
        predicted = fit_tables(params, features, Sample(row, slot, reward, fold, reward_range=one.reward_range))
        rows = Rows(reward, slot, behavior, one.baseline, reward_range=one.reward_range, row=row)
        rows = with_model(rows, predicted, fold)
        sums = difference_sums(gate.Params(), rows, target=np.tile(one.target, (params.n_folds, 1)))
        scores.append(float(score_variance(sums)))
        models.append(float(model_variance(sums)) * N)
        means.append(float(sums.powers[1, 0] / N))
    for drawn, expected in ((scores, said.score), (models, said.model)):
        stderr = np.std(drawn, ddof=1) / np.sqrt(len(drawn))
        assert abs(np.mean(drawn) - expected) <= 4 * stderr + 0.03 * expected
    spread = np.var(means, ddof=1) * N  # relative standard error sqrt(2 / 299) = 0.082
    assert abs(spread / said.score - 1) <= 4 * 0.082
    assert abs(np.mean(means) - 0.05) <= 4 * np.sqrt(said.score / N / 300)


def test_a_longer_log_leaves_less_and_never_less_than_the_noise() -> None:
    one, features = contest()
    behavior = explored(one, 0.5)
    noise = one.value * (1 - one.value)
    at = modelled(one, behavior, noise=noise, features=features, model=ModelParams())
    scores = [at(n).score for n in (100, 400, 1600, 10**8)]
    assert scores == sorted(scores, reverse=True)
    part = np.vecdot(one.contrast, one.value)
    least = np.var(part) + float(one.share @ (one.contrast**2 / behavior * noise).sum(axis=1))
    assert scores[-1] >= least
