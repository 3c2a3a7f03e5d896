"""Log-linear policies: the sums by brute force, unbiased for any logger, and Gibbs over the logger's shape."""

from typing import Any

import numpy as np
import pytest

from envs import presets
from policies.base import Decision, Policy
from policies.features import n_features, phi
from policies.learners import off_policy_dr, off_policy_ipw, proximity
from policies.log_linear import LogLinearParams, LogLinearState, closeness, supported
from policies.masses import TOTAL, integer_masses
from tests.hand import SHARED, choice, decision, feedback, generator, leaves, window

IDS = [0, 1, 2, 4, 5, 6, 8, 9, 10]  # the 3 x 3 block around action 5 of 5 x 4
P = n_features(SHARED)
KINDS: dict[str, tuple[Policy, Any]] = {
    "ipw": (off_policy_ipw.make(SHARED), off_policy_ipw.Params(ridge=0.7, cap=1e6)),
    "dr": (off_policy_dr.make(SHARED), off_policy_dr.Params(ridge=0.7, cap=1e6)),
}
both = pytest.mark.parametrize("kind", KINDS)


def asked(rng: np.random.Generator, *, span: float = 1.0) -> Decision:
    """A decision in a random context and task; one slot beside the incumbent is infeasible."""
    on = [True, True, True, True, True, True, True, False, True]
    held = window(on, ids=IDS, incumbent=4)
    return decision(held, features=rng.normal(size=3), task=int(rng.integers(2)), span=span)


def features(here: Decision) -> np.ndarray:
    return np.asarray(phi(SHARED, here.features, here.task, here.window.action_ids))


def played(rng: np.random.Generator, here: Decision) -> tuple[int, int, float]:
    """A slot drawn from random masses, its mass, and a reward that depends on it."""
    masses = integer_masses(rng.random(9) * here.window.feasible, here.window.feasible)
    slot = int(rng.choice(9, p=masses / TOTAL))
    return slot, int(masses[slot]), float(0.3 + 0.05 * slot + 0.1 * rng.normal())


def after(kind: str, n: int, *, shift: float = 0.0, seed: int = 0) -> LogLinearState:
    """The state after n random rows whose rewards, and the neutral one, are shifted."""
    (policy, params), rng = KINDS[kind], generator(seed)
    params = type(params)(ridge=0.7, cap=1e6, neutral=0.2 + shift)
    state: LogLinearState = policy.init(params)
    for _ in range(n):
        here = asked(rng)
        slot, mass, reward = played(rng, here)
        state = policy.update(params, state, here, choice(slot, IDS[slot], mass=mass), feedback(reward + shift))
    return state


@both
def test_the_weights_are_the_regression_of_doubly_robust_scores(kind: str) -> None:
    """By brute force: every row predicted by a ridge regression (or mean) of the rows before it, every slot scored."""
    rng, params = generator(0), KINDS[kind][1]
    gram, moment = 0.7 * np.eye(P), np.zeros(P)
    seen: list[np.ndarray] = []
    told: list[float] = []
    for _ in range(30):
        here = asked(rng)
        slot, mass, reward = played(rng, here)
        at, prior = features(here), np.asarray(closeness(SHARED)(params, here))
        x = at if kind == "dr" else np.ones((9, 1))
        past = np.array(seen).reshape(-1, x.shape[1])
        theta = np.linalg.solve(past.T @ past + 0.7 * np.eye(x.shape[1]), past.T @ (np.array(told) - 0.2))
        scores = 0.2 + x @ theta
        scores[slot] += (reward - scores[slot]) * TOTAL / mass
        gap = at - prior @ at
        gram += gap.T @ (prior[:, None] * gap)
        moment += gap.T @ (prior * scores)
        seen.append(x[slot])
        told.append(reward)
    state = after(kind, 30)
    assert state.gram == pytest.approx(gram, abs=1e-9)
    assert state.moment == pytest.approx(moment, abs=1e-9)
    assert state.weights == pytest.approx(np.linalg.solve(gram, moment), abs=1e-9)


@both
def test_a_row_is_unbiased_whoever_drew_it_and_whatever_was_predicted(kind: str) -> None:
    """Each play's change of the moment, weighted by the masses that drew it, sums to the true rewards' covariance."""
    (policy, params), rng, state = KINDS[kind], generator(7), after(kind, 12)
    for _ in range(5):
        here, rewards = asked(rng), rng.normal(0.5, 1.0, 9)
        masses = integer_masses(rng.random(9) * here.window.feasible, here.window.feasible)
        expected = np.zeros(P)
        for a in np.flatnonzero(here.window.feasible).tolist():
            row = here, choice(a, IDS[a], mass=int(masses[a])), feedback(rewards[a])
            expected += masses[a] / TOTAL * (policy.update(params, state, *row).moment - state.moment)
        prior, at = np.asarray(closeness(SHARED)(params, here)), features(here)
        assert expected == pytest.approx((prior * rewards) @ (at - prior @ at), abs=1e-9)


@both
def test_a_cap_binds_on_heavy_rows_only(kind: str) -> None:
    policy, rng = KINDS[kind][0], generator(3)
    here = asked(rng)
    prior = np.asarray(closeness(SHARED)(LogLinearParams(), here))
    free, capped = (type(KINDS[kind][1])(cap=cap) for cap in (1e6, 2.0))
    state = policy.init(free)
    for ratio, expected in ((1.5, 1.0), (8.0, 4.0)):  # of the correction, free over capped
        row = here, choice(4, IDS[4], mass=int(prior[4] * TOTAL / ratio)), feedback(1.0)
        moments = [policy.update(params, state, *row).moment for params in (free, capped)]
        assert moments[0] == pytest.approx(expected * moments[1], rel=1e-4, abs=1e-12)
        assert np.abs(moments[0]).max() > 0


@both
def test_without_data_the_policy_is_the_loggers_shape(kind: str) -> None:
    policy, params = KINDS[kind]
    here = asked(generator(1))
    near = np.array([np.exp(-6.0 * (a * a + b * b)) for a in (-1, 0, 1) for b in (-1, 0, 1)])
    near *= here.window.feasible
    expected = 0.5 * here.window.feasible / 8 + 0.5 * near / near.sum()
    assert policy.probs(params, policy.init(params), here, None) == pytest.approx(expected, abs=1e-15)


@both
def test_the_vector_is_gibbs_in_the_unit_of_the_declared_range(kind: str) -> None:
    policy, rng = KINDS[kind][0], generator(2)
    here = asked(rng, span=2.0)
    params = type(KINDS[kind][1])(divergence_cost=0.1, support=0.0)
    state = policy.init(params)._replace(weights=rng.normal(size=P))
    weight = closeness(SHARED)(params, here) * np.exp(features(here) @ state.weights / (0.1 * 2.0))
    assert policy.probs(params, state, here, None) == pytest.approx(weight / weight.sum(), abs=1e-12)


def test_the_vector_has_the_highest_value_less_divergence() -> None:
    """Against 200 distributions beside it: value - cost span KL is strictly lower."""
    policy, rng = KINDS["dr"][0], generator(4)
    here, params = asked(rng), off_policy_dr.Params(divergence_cost=0.3, support=0.0)
    state = policy.init(params)._replace(weights=rng.normal(size=P))
    prior, rewards = np.asarray(closeness(SHARED)(params, here)), features(here) @ state.weights
    able = here.window.feasible

    def objective(p: np.ndarray) -> float:
        return float(p @ rewards - 0.3 * np.sum(p[able] * np.log(p[able] / prior[able])))

    best = np.asarray(policy.probs(params, state, here, None))
    for _ in range(200):
        other = best * np.exp(rng.normal(scale=0.1, size=9))
        assert objective(other / other.sum()) < objective(best)


def test_the_dearer_the_divergence_the_closer_the_logger() -> None:
    policy, state, here = KINDS["dr"][0], after("dr", 50), asked(generator(5))
    costs = (1e-3, 1e-2, 1e-1, 1.0, 1e3)
    prior = np.asarray(closeness(SHARED)(off_policy_dr.Params(), here))
    far = [
        np.abs(policy.probs(off_policy_dr.Params(divergence_cost=c), state, here, None) - prior).sum() for c in costs
    ]
    assert far == sorted(far, reverse=True) and far[0] > 0.1 and far[-1] < 1e-3


@pytest.mark.parametrize("cost", [1e-6, 1e6])
@pytest.mark.parametrize("support", [0.0, 0.05, 1.0])
def test_extreme_costs_and_weights_stay_finite(cost: float, support: float) -> None:
    policy, params = (
        KINDS["dr"][0],
        off_policy_dr.Params(divergence_cost=cost, sharpness=1e4, uniform=0.001, support=support),
    )
    state = policy.init(params)._replace(weights=1e3 * generator(6).normal(size=P))
    for seed in range(5):
        probs = np.asarray(policy.probs(params, state, asked(generator(seed)), None))
        assert np.isfinite(probs).all() and probs.sum() == pytest.approx(1.0) and probs[7] == 0.0


def kept(policy: np.ndarray, prior: np.ndarray) -> float:
    """ESS / n of judging a policy on a log of the prior."""
    return float(1.0 / np.sum(policy**2 / prior))


@pytest.mark.parametrize("wanted", [0.02, 0.05, 0.3, 0.9])
def test_a_tilt_keeps_the_support_that_was_asked_and_hardly_more(wanted: float) -> None:
    """A 1/32 smaller share of the tilt is the most that is given away; a tilt that keeps enough is left whole."""
    rng, bound = generator(8), 0
    for _ in range(50):
        prior = rng.dirichlet(np.ones(60))
        gap = rng.normal(scale=rng.choice([0.1, 2.0, 20.0]), size=60)
        gap -= gap.max()
        found = np.asarray(supported(prior, gap, support=np.float64(wanted)))
        whole = prior * np.exp(gap)
        whole /= whole.sum()
        assert kept(found, prior) >= wanted * (1 - 1e-12)
        if kept(whole, prior) >= wanted:
            assert found == pytest.approx(whole, abs=1e-12)
            continue
        bound += 1
        held = found > 1e-300
        log_ratio = np.log(found[held] / prior[held])
        more = np.zeros(60)
        more[held] = prior[held] * np.exp((log_ratio - log_ratio.max()) * (1 + 1 / 16))
        assert kept(more / more.sum(), prior) < wanted
    assert bound > 5


def test_support_of_one_is_the_prior_and_of_zero_asks_nothing() -> None:
    prior, gap = np.full(4, 0.25), np.array([0.0, -1.0, -2.0, -30.0])
    assert supported(prior, gap, support=np.float64(1.0)) == pytest.approx(prior, abs=1e-4)
    assert supported(prior, gap, support=np.float64(0.0)) == pytest.approx(np.exp(gap) / np.exp(gap).sum(), abs=1e-15)


@both
def test_a_constant_in_all_rewards_changes_nothing(kind: str) -> None:
    assert after(kind, 30, shift=5.0).weights == pytest.approx(after(kind, 30).weights, abs=1e-9)


@both
@pytest.mark.parametrize("reward", [np.nan, np.inf, 0.4])
def test_a_reward_that_is_not_valid_changes_nothing(kind: str, reward: float) -> None:
    (policy, params), state, here = KINDS[kind], after(kind, 5), asked(generator(9))
    refused = policy.update(params, state, here, choice(4, 5, mass=TOTAL // 8), feedback(reward, valid=False))
    assert leaves(refused) == leaves(state)


@both
def test_the_prior_of_the_yaml_is_the_logger_of_the_house(kind: str) -> None:
    fitted, logger = presets.load("policy", f"off_policy_{kind}"), presets.load("logger", "frozen_softmax")
    assert isinstance(fitted, LogLinearParams) and isinstance(logger, proximity.Params)
    assert (fitted.uniform, fitted.sharpness) == (logger.floor, logger.sharpness)


def test_the_two_yamls_differ_in_what_they_name_alone() -> None:
    ipw, dr = (presets.load("policy", f"off_policy_{kind}") for kind in ("ipw", "dr"))
    assert vars(ipw) == vars(dr) and type(ipw) is not type(dr)
