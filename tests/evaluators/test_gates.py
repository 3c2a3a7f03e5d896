"""The gate says no to noise, yes to a real improvement, and why."""

import numpy as np
import pytest
from scipy import stats

from evaluators.adjusting import model_variance, score_variance
from evaluators.gates import Improvement, Params, Verdict, compare, difference_sums, judge, none_selected, select
from evaluators.intervals import gate, half_model, model, t
from evaluators.rows import RewardRange, Rows
from evaluators.shares import clopper_pearson

GATE = Params()


def log(world, rng, n):
    """A log judged against the logger as baseline, and the target's probabilities on it."""
    rows, _ = world.draw(rng, n)
    return rows._replace(target=rows.behavior), rows.target


def bounds(verdict: Verdict) -> Improvement:
    assert verdict.improvement is not None
    return verdict.improvement


def decide(world, rng, n, params=GATE):
    """The whole rule: select on one log, judge on another."""
    first, target = log(world, rng, n)
    if not select(params, first, candidates={"new": target}).kept:
        return "refused"
    second, target = log(world, rng, n)
    verdict = judge(params, second, target=target, candidate="new", n_judged=1, feasible_share=1.0)
    return verdict.answer


def half_variance(baseline, target) -> float:
    sums = difference_sums(half_model.Params(), baseline, target=target)
    return float((score_variance(sums) / sums.n + model_variance(sums)) / 2)


def test_the_bound_by_its_definition(world) -> None:
    baseline, target = log(world, np.random.default_rng(0), 500)
    found = compare(GATE, baseline, target=target, n_judged=2)
    stderr = np.sqrt(half_variance(baseline, target))
    reach, power = stats.t.ppf([0.975, 0.8], 499)  # 0.05 over two candidates; power 0.8
    assert found.confidence == pytest.approx(0.975)
    np.testing.assert_allclose(found.stderr, stderr, rtol=1e-12)
    np.testing.assert_allclose(found.lower, found.difference - reach * stderr, rtol=1e-9)
    np.testing.assert_allclose(found.upper, found.difference + reach * stderr, rtol=1e-9)
    np.testing.assert_allclose(found.detectable, (reach + power) * stderr, rtol=1e-9)


def test_a_large_log_is_judged_by_the_models_variance(world) -> None:
    baseline, target = log(world, np.random.default_rng(8), 500)
    small, large = (Params(interval=gate.Params(large=rows)) for rows in (501, 500))
    only = Params(interval=model.Params())
    assert compare(large, baseline, target=target) == compare(only, baseline, target=target)
    assert compare(small, baseline, target=target) == compare(
        Params(interval=half_model.Params()), baseline, target=target
    )


def test_the_difference_is_unbiased(world) -> None:
    # |z| <= 4, false alarm 6e-5
    baseline, target = log(world, np.random.default_rng(1), 400_000)
    found = compare(GATE, baseline, target=target)
    truth = world.truth() - world.truth(world.behavior)
    assert abs(found.difference - truth) <= 4 * found.stderr


def test_the_difference_is_known_better_than_the_two_values(world) -> None:
    baseline, target = log(world, np.random.default_rng(2), 2000)
    near = 0.9 * baseline.target + 0.1 * target
    nobody = baseline._replace(target=np.zeros_like(near))
    apart = [half_variance(nobody, prob) for prob in (near, baseline.target)]
    assert compare(GATE, baseline, target=near).stderr < 0.3 * np.sqrt(sum(apart))


def test_clusters_widen_the_bound_of_rows_that_repeat_each_other(world) -> None:
    baseline, target = log(world, np.random.default_rng(3), 300)
    index = np.repeat(np.arange(300), 4)
    names = ("reward", "slot", "behavior", "target", "predicted")
    copied = Rows(
        **{name: getattr(baseline, name)[index] for name in names},
        cluster=index,
        reward_range=baseline.reward_range,
    )
    wide = compare(GATE, copied, target=target[index])
    narrow = compare(GATE, copied._replace(cluster=None), target=target[index])
    assert wide.stderr > 1.8 * narrow.stderr
    reach = stats.t.ppf(0.95, 299)  # G - 1
    np.testing.assert_allclose(wide.lower, wide.difference - reach * wide.stderr, rtol=1e-9)


def test_the_baselines_own_probabilities_are_no_change(world) -> None:
    baseline, _ = log(world, np.random.default_rng(4), 500)
    verdict = judge(
        GATE,
        baseline,
        target=baseline.target.copy(),
        candidate="same",
        n_judged=1,
        feasible_share=1.0,
    )
    assert verdict.answer == "no_change"
    assert verdict.sentence() == ("no_change: the probabilities equal the baseline's on all 500 rows")


def test_a_real_improvement_is_approved_with_its_numbers(world) -> None:
    baseline, target = log(world, np.random.default_rng(5), 5000)
    verdict = judge(GATE, baseline, target=target, candidate="new", n_judged=1, feasible_share=1.0)
    assert verdict.answer == "approved"
    assert bounds(verdict).lower > 0
    assert "one-sided 95 % lower bound" in verdict.sentence()
    assert "(n = 5,000, ESS " in verdict.sentence()


@pytest.fixture
def null_world(world):
    """No action matters, so no candidate is better."""
    return world._replace(mean=np.full_like(world.mean, 0.5), model=np.full_like(world.mean, 0.5))


def test_noise_is_refused_with_what_could_have_been_seen(null_world) -> None:
    baseline, target = log(null_world, np.random.default_rng(6), 300)
    verdict = judge(GATE, baseline, target=target, candidate="new", n_judged=1, feasible_share=1.0)
    assert verdict.answer == "refused"
    assert "not distinguishable from noise: difference" in verdict.sentence()
    assert f"a difference of {bounds(verdict).detectable:.3g} would" in verdict.sentence()


def test_a_worse_candidate_is_called_worse(world) -> None:
    rows, context = world.draw(np.random.default_rng(7), 5000)
    worst = 1 - 0.9 * world.target[context]
    target = worst / worst.sum(axis=1, keepdims=True)
    better = rows._replace(target=0.5 * rows.target + 0.5 * rows.behavior)
    verdict = judge(GATE, better, target=target, candidate="bad", n_judged=1, feasible_share=1.0)
    assert verdict.answer == "refused"
    assert "worse than the baseline" in verdict.sentence()


@pytest.mark.parametrize(
    ("share", "words"), [(0.99, "99.00% of the recommendations are feasible, need all"), (0.0, "0.00%")]
)
def test_an_infeasible_recommendation_refuses_what_is_better(world, share, words) -> None:
    baseline, target = log(world, np.random.default_rng(5), 5000)
    verdict = judge(GATE, baseline, target=target, candidate="new", n_judged=1, feasible_share=share)
    assert verdict.answer == "refused"
    assert words in verdict.sentence()


def test_insufficient_support_of_either_side_refuses(world) -> None:
    baseline, target = log(world, np.random.default_rng(8), 100)
    point = np.zeros_like(target)
    point[:, 4] = 1.0
    for rows, prob, side in (
        (baseline, point, "candidate"),
        (baseline._replace(target=point), target, "baseline"),
    ):
        verdict = judge(GATE, rows, target=prob, candidate="x", n_judged=1, feasible_share=1.0)
        assert verdict.answer == "refused"
        assert f"insufficient support for the {side}: ESS" in verdict.sentence()


def test_a_candidate_resting_on_the_model_alone_is_refused(world) -> None:
    baseline, target = log(world, np.random.default_rng(9), 2000)
    verdict = judge(GATE, baseline, target=0.9 * target, candidate="x", n_judged=1, feasible_share=1.0)
    assert "10.0% of the target's mass is where the logger never goes" in verdict.sentence()


def test_a_standard_error_of_zero_is_no_evidence() -> None:
    half = np.full((200, 2), 0.5)
    reward = np.tile([0.0, 1.0], 100)
    rows = Rows(reward, np.arange(200) % 2, half, half, np.tile([0.0, 1.0], (200, 1)), None, RewardRange(0, 1))
    verdict = judge(
        GATE,
        rows,
        target=np.tile([0.2, 0.8], (200, 1)),
        candidate="perfect",
        n_judged=1,
        feasible_share=1.0,
    )
    assert bounds(verdict).lower == pytest.approx(0.3)
    assert verdict.answer == "refused"
    assert "standard error 0, need a positive number" in verdict.sentence()
    found = select(GATE, rows, candidates={"perfect": np.tile([0.2, 0.8], (200, 1))})
    assert found.kept == ()
    assert "nothing varied" in found.reasons["perfect"]


def test_a_single_cluster_shows_nothing(world) -> None:
    baseline, target = log(world, np.random.default_rng(5), 500)
    one = baseline._replace(cluster=np.zeros(500, dtype=np.int64))
    verdict = judge(GATE, one, target=target, candidate="x", n_judged=1, feasible_share=1.0)
    assert verdict.answer == "refused"
    assert "standard error unknown" in verdict.sentence()


def test_selection_keeps_the_clearest_candidates_first_and_no_more_than_allowed(world) -> None:
    rows, context = world.draw(np.random.default_rng(10), 5000)
    baseline = rows._replace(target=rows.behavior)
    best = np.zeros_like(world.mean)
    best[np.arange(8), world.mean.argmax(axis=1)] = 1.0
    candidates = {
        "clear": rows.target,
        "clearer": 0.5 * rows.behavior + 0.5 * best[context],
        "same": baseline.target,
        "uniform": np.full_like(rows.target, 0.2),
    }
    found = select(Params(max_judged=2, select_z=2.0), baseline, candidates=candidates)
    standing = {name: one.difference / one.stderr for name, one in found.improvements.items() if one.stderr > 0}
    assert standing["clearer"] > standing["clear"] > 2
    assert found.kept == ("clearer", "clear")
    assert found.reasons["same"] == "equals the baseline"
    one = select(GATE, baseline, candidates=candidates)
    assert one.kept == ("clearer",)
    assert one.reasons["clear"] == "only the best 1 are judged"
    assert "is not more than 1 standard errors" in one.reasons["uniform"]


def test_without_a_selected_candidate_the_verdict_gives_each_ones_reason(null_world) -> None:
    baseline, target = log(null_world, np.random.default_rng(6), 60)
    point = np.zeros_like(target)
    point[:, 4] = 1.0
    found = select(GATE, baseline, candidates={"point": point, "same": baseline.target})
    verdict = none_selected(found)
    assert (verdict.answer, verdict.improvement) == ("refused", None)
    assert "point not selected: insufficient support: ESS" in verdict.sentence()
    same = select(GATE, baseline, candidates={"same": baseline.target})
    assert none_selected(same).answer == "no_change"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward_range": None}, "needs a declared reward range, got none"),
        ({"predicted": None}, "needs a reward model, got none"),
        ({"reward": np.full(50, np.nan)}, r"reward\[0\] = nan"),
    ],
)
def test_a_log_that_cannot_carry_the_bound_is_refused(world, changes, message) -> None:
    baseline, target = log(world, np.random.default_rng(11), 50)
    with pytest.raises(ValueError, match=message):
        compare(GATE, baseline._replace(**changes), target=target)


def test_bad_questions_are_refused(world) -> None:
    baseline, target = log(world, np.random.default_rng(11), 50)
    with pytest.raises(ValueError, match=r"target has shape \(49, 5\)"):
        compare(GATE, baseline, target=target[1:])
    with pytest.raises(ValueError, match="n_judged = 0"):
        compare(GATE, baseline, target=target, n_judged=0)
    with pytest.raises(ValueError, match="feasible_share = 1.5"):
        judge(GATE, baseline, target=target, candidate="x", n_judged=1, feasible_share=1.5)


@pytest.mark.slow
def test_the_gates_lower_bound_errs_as_promised_at_200_rows_where_a_t_bound_does_not(
    heavy_world,
) -> None:
    # threshold: 4 standard errors above 5 %, 3e-5 false alarms for a bound that errs 5 %
    truth = heavy_world.truth() - heavy_world.truth(heavy_world.behavior)
    n_logs, rng = 2000, np.random.default_rng(12)
    half, plain = 0, 0
    for _ in range(n_logs):
        baseline, target = log(heavy_world, rng, 200)
        found = compare(GATE, baseline, target=target)
        half += found.lower > truth
        plain += compare(Params(interval=t.Params()), baseline, target=target).lower > truth
    threshold = n_logs * (0.05 + 4 * np.sqrt(0.05 * 0.95 / n_logs))
    assert half <= threshold
    assert plain > threshold


@pytest.mark.slow
def test_a_world_without_gain_is_refused_in_nearly_all_of_1000_replications(null_world) -> None:
    rng = np.random.default_rng(13)
    refused = sum(decide(null_world, rng, 500) == "refused" for _ in range(1000))
    assert clopper_pearson(refused, 1000, confidence=0.99, side="lower").lo > 0.95


@pytest.mark.slow
def test_a_world_with_a_real_gain_is_approved_four_times_in_five(world) -> None:
    # the gain is about 0.1 at a standard error of 0.02: 300 replications, lower bound at 99 %
    rng = np.random.default_rng(14)
    approved = sum(decide(world, rng, 1000) == "approved" for _ in range(300))
    assert clopper_pearson(approved, 300, confidence=0.99, side="lower").lo >= 0.8
