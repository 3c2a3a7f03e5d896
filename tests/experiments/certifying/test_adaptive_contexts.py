"""The part on targets that see contexts: its arrays agree with the rows, the whole of it once."""

import numpy as np
import pytest

from evaluators.adaptive import Params, estimate
from evaluators.rows import Rows
from experiments.certifying.adaptive_contexts import (
    certify_adaptive_contexts,
    mean_rewards,
    methods,
    score,
    targets,
    worlds,
)
from experiments.certifying.arms import draw_logs


@pytest.fixture(scope="module")
def logs():
    return draw_logs(np.random.default_rng(0), mean_rewards(), n_logs=6, n_rounds=300)


@pytest.mark.parametrize("name", ["softmax", "worst", "uniform"])
def test_arrays_say_what_the_estimator_says_of_each_log(logs, name) -> None:
    target = targets()[name]
    fits = methods(score(logs, target))
    behavior, predicted = logs.rounds(logs.prob), logs.rounds(logs.believed)
    for i in range(6):
        slot = logs.action[i].astype(np.int64)
        rows = Rows(logs.reward[i], slot, behavior[i], target[logs.context[i]], predicted[i])
        with_model, without = estimate(Params(), rows), estimate(Params(), rows._replace(predicted=None))
        for found, method in ((with_model, "hajek_hc2"), (without, "no_model_hc2")):
            lo, hi = fits[method].bounds()
            wanted = [fits[method].value[i], lo[i], hi[i]]
            np.testing.assert_allclose([found.value, found.lo, found.hi], wanted, rtol=1e-9)


def test_targets_are_policies_and_their_best_is_the_best() -> None:
    values = {name: (target * mean_rewards()).sum(axis=1).mean() for name, target in targets().items()}
    for target in targets().values():
        np.testing.assert_allclose(target.sum(axis=1), 1.0)
    assert max(values, key=values.__getitem__) == "best"
    assert min(values, key=values.__getitem__) == "worst"


def test_every_target_noise_size_and_method_is_measured() -> None:
    found = certify_adaptive_contexts(20, 1, horizons=(200,))
    keys = {(row.world, row.policy, row.estimator, row.n, row.measure) for row in found.measurements}
    assert len(keys) == len(found.measurements)
    shares = {key[:4] for key in keys if key[4] == "coverage"}
    assert len(shares) == len(worlds()) * len(targets()) * 7
    assert all(claim.holds is None for claim in found.claims)


def test_the_starved_target_is_covered_and_plain_scores_fail() -> None:
    # 500 logs: standard error of a coverage of 0.95 is 0.0097, of 0.88 0.0145; z = 4 either side
    found = certify_adaptive_contexts(500, 2, horizons=(200,))
    coverage = {
        row.estimator: row.value
        for row in found.measurements
        if row.measure == "coverage" and row.policy == "worst" and row.world == "contexts_even_noise"
    }
    assert coverage["hajek_hc2"] >= 0.95 - 4 * 0.0097
    assert coverage["plain_dr"] <= 0.95 - 4 * 0.0097
