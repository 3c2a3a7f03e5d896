"""Off-policy fits: exact gradients, closed-form optima, and a gain where there is one and only there."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from evaluators.off_policy_fit import Fitted, Params, fit, objective, tilted
from evaluators.rows import Rows
from policies.base import Decision
from policies.features import n_features, phi
from policies.learners import off_policy_dr
from policies.log_linear import closeness, with_logits
from tests.evaluators.conftest import Floats, World
from tests.hand import SHARED, decision, window

N_LOGS = 20


@cache
def features() -> Floats:
    """(8, 5, 6) of the session's world: a slot's own intercept for four of the slots, and two contexts' tilt."""
    rng = np.random.default_rng(1)
    own = np.broadcast_to(np.eye(5)[None, :, 1:], (8, 5, 4))
    return np.concatenate([own, rng.normal(size=(8, 5, 2))], axis=2)


@cache
def table() -> Floats:
    """(8, 5, 40) one feature for each context and slot: every policy is log-linear."""
    return np.eye(40).reshape(8, 5, 40)


def logged(world: World, seed: int, n: int = 500) -> Rows:
    """A log as tables of the 8 contexts; `target` is the logger."""
    rows, context = world.draw(np.random.default_rng(seed), n)
    return rows._replace(row=context, behavior=world.behavior, target=world.behavior, predicted=world.model)


@pytest.mark.parametrize("weighting", ["dr", "ipw"])
@pytest.mark.parametrize("penalty", [0.0, 1.5])
def test_the_gradient_is_that_of_the_objective(world: World, weighting: str, penalty: float) -> None:
    """Central differences of step 1e-5 err by their third derivative, 1e-10 of it, and by rounding, 1e-11."""
    loss = objective(Params(weighting, 0.03, penalty), logged(world, 0), features())
    rng, h = np.random.default_rng(2), 1e-5
    for scale in (0.0, 1.0, 3.0):
        at = scale * rng.normal(size=6)
        gradient = loss(at)[1]
        steps = h * np.eye(6)
        numeric = [(loss(at + step)[0] - loss(at - step)[0]) / (2 * h) for step in steps]
        assert gradient == pytest.approx(np.array(numeric), abs=1e-8)
        assert np.abs(gradient).max() > 1e-3  # there is something to compare


def test_the_objective_by_hand() -> None:
    """One context, two slots at 1/2; rewards 1 on slot 0 and 0 on slot 1, q = 1/2; log 3 makes 3/4 and 1/4.

    Scores: 1/2 + 3/4 * (1 - 1/2) / (1/2) = 5/4, and 1/2 - 1/4 * (1/2) / (1/2) = 1/4; mean 3/4, their
    standard error 1 / sqrt(2) / sqrt(2) = 1/2; KL = 3/4 ln(3/2) + 1/4 ln(1/2).
    """
    half = np.full((1, 2), 0.5)
    rows = Rows(np.array([1.0, 0.0]), np.array([0, 1]), half, half, half, row=np.array([0, 0]))
    loss = objective(Params("dr", 0.1, 0.2), rows, np.array([[[1.0], [0.0]]]))
    divergence = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert -loss(np.log([3.0]))[0] == pytest.approx(0.75 - 0.2 * 0.5 - 0.1 * divergence, abs=1e-15)


@pytest.mark.parametrize("weighting", ["dr", "ipw"])
def test_with_a_feature_for_every_slot_the_fit_is_gibbs(world: World, weighting: str) -> None:
    """Then the maximum is known: logger * exp(mean score of the slot / cost), context by context."""
    rows, cost = logged(world, 3, 2000), 0.1
    assert rows.row is not None and rows.predicted is not None
    q = rows.predicted if weighting == "dr" else np.full((8, 5), rows.reward.mean())
    error = (rows.reward - rows.at(q)) / rows.at(rows.behavior)
    count = np.bincount(rows.row, minlength=8)[:, None]
    score = q + np.bincount(rows.row * 5 + rows.slot, error, minlength=40).reshape(8, 5) / count
    gibbs = world.behavior * np.exp(score / cost)
    found = fit(Params(weighting, cost, max_steps=2000), rows, table())
    assert found.is_converged
    assert found.probs == pytest.approx(gibbs / gibbs.sum(axis=1, keepdims=True), abs=1e-4)
    assert found.divergence > 0.1


def test_at_a_high_cost_the_fit_is_one_natural_gradient_step(world: World) -> None:
    """Cost times weights tend to F^-1 g, the logger's Fisher information and the value's gradient, as in `log_linear`.

    The next term is of the order of reward / cost = 1e-4 of it.
    """
    rows, at = logged(world, 4), features()
    assert rows.row is not None and rows.predicted is not None
    gap = at - np.einsum("ck,ckp->cp", rows.behavior, at)[:, None, :]
    share = np.bincount(rows.row, minlength=8) / rows.row.size
    fisher = np.einsum("c,ck,ckp,ckr->pr", share, rows.behavior, gap, gap)
    error = rows.reward - rows.at(rows.predicted)
    gradient = np.einsum("c,ck,ck,ckp->p", share, rows.behavior, rows.predicted, gap)
    gradient += (error[:, None] * gap[rows.row, rows.slot]).mean(axis=0)  # the logger's own weight is 1
    natural = np.linalg.solve(fisher, gradient)
    found = fit(Params("dr", 1e4), rows, at)
    assert found.weights * 1e4 == pytest.approx(natural, rel=2e-3, abs=2e-3)


def gains(world: World, params: Params) -> tuple[Floats, list[Fitted]]:
    """(20,) exact values of fits over the logger's, and the fits."""
    fits = [fit(params, logged(world, 100 + seed), features()) for seed in range(N_LOGS)]
    return np.array([world.truth(one.probs) - world.truth(world.behavior) for one in fits]), fits


@pytest.mark.parametrize("weighting", ["dr", "ipw"])
def test_a_fit_gains_where_there_is_a_gain_and_its_own_log_flatters_it(world: World, weighting: str) -> None:
    gain, fits = gains(world, Params(weighting))
    error = gain.std(ddof=1) / np.sqrt(N_LOGS)
    assert gain.mean() > 4 * error > 0
    told = np.array([one.value for one in fits]) - world.truth(world.behavior)
    flattery = told - gain
    assert flattery.mean() > 4 * flattery.std(ddof=1) / np.sqrt(N_LOGS)


def test_where_no_action_matters_nothing_is_gained(world: World) -> None:
    flat = world._replace(mean=np.full((8, 5), 0.5), model=np.full((8, 5), 0.5))
    gain, fits = gains(flat, Params("dr"))
    assert np.abs(gain).max() < 1e-12
    assert np.mean([one.value for one in fits]) > 0.5  # what the log alone says


def test_the_dearer_the_divergence_the_closer_the_logger(world: World) -> None:
    rows = logged(world, 5)
    found = [fit(Params("dr", cost), rows, features()) for cost in (0.01, 0.1, 1.0, 100.0)]
    far = [one.divergence for one in found]
    assert far == sorted(far, reverse=True) and far[-1] < 1e-5
    assert found[-1].probs == pytest.approx(world.behavior, abs=0.01)


def test_a_variance_penalty_lowers_the_standard_error(world: World) -> None:
    rows, cost = logged(world, 6), 0.1
    plain, careful = (fit(Params("ipw", cost, penalty), rows, features()) for penalty in (0.0, 3.0))
    assert careful.stderr < plain.stderr
    assert careful.value - cost * careful.divergence < plain.value - cost * plain.divergence


def test_contexts_that_share_features_are_one_problem(world: World) -> None:
    """A table row for every log row, pointed at the 8 contexts, is the table of 8; so are features laid out in full."""
    rows = logged(world, 7)
    assert rows.row is not None and rows.predicted is not None
    behavior, predicted = rows.behavior[rows.row], rows.predicted[rows.row]
    spread = rows._replace(row=None, behavior=behavior, target=behavior, predicted=predicted)
    few, at = Params("dr"), np.array([0.3, -1.0, 0.5, 2.0, 1.0, -0.4])
    want, slope = objective(few, rows, features())(at)
    for given, context in ((features(), rows.row), (features()[rows.row], None)):
        value, gradient = objective(few, spread, given, context=context)(at)
        assert value == pytest.approx(want, abs=1e-12)
        assert gradient == pytest.approx(slope, abs=1e-12)


def test_a_fit_never_leaves_the_loggers_support() -> None:
    behavior = np.array([[0.5, 0.5, 0.0]])
    rows = Rows(np.array([1.0, 0.0, 1.0]), np.array([0, 1, 0]), behavior, behavior, row=np.zeros(3, np.int64))
    found = fit(Params("ipw", 1e-3), rows, np.array([[[0.0], [1.0], [-9.0]]]))
    assert found.probs[0, 2] == 0.0 and found.probs[0, 0] > 0.99
    assert np.isfinite([found.value, found.divergence, found.stderr]).all()


def test_what_was_fitted_is_a_policy_that_can_be_served() -> None:
    """Features of a lattice, the logger a prior's shape: the learner's own vector, floor aside, is the table fitted."""
    rng, params, policy = np.random.default_rng(8), off_policy_dr.Params(), off_policy_dr.make(SHARED)
    asked = [_asked(rng.normal(size=3), task) for task in (0, 1)]
    behavior = np.stack([closeness(SHARED)(params, one) for one in asked])
    at = np.stack([phi(SHARED, one.features, one.task, one.window.action_ids) for one in asked])
    row, slot = rng.integers(2, size=200), rng.integers(9, size=200)
    reward = (rng.random(200) < slot / 8).astype(np.float64)
    found = fit(Params("ipw", 0.05), Rows(reward, slot, behavior, behavior, row=row), at)
    assert found.divergence > 0.1
    state = with_logits(params, policy.init(params), found.weights, span=1.0)
    for one, probs in zip(asked, found.probs, strict=True):
        assert policy.probs(params, state, one, None) == pytest.approx(probs, abs=1e-12)
    with pytest.raises(ValueError, match=rf"shape \(3,\), need \({n_features(SHARED)},\)"):
        with_logits(params, state, np.zeros(3), span=1.0)


def _asked(context: Any, task: int) -> Decision:
    ids = [0, 1, 2, 4, 5, 6, 8, 9, 10]  # the 3 x 3 block around action 5 of 5 x 4
    return decision(window([True] * 9, ids=ids, incumbent=4), features=context, task=task)


@pytest.mark.parametrize(
    ("changes", "given", "message"),
    [
        ({"predicted": None}, {}, "predicted is None, need"),
        ({}, {"features": np.zeros((8, 4, 2))}, r"shape \(8, 4, 2\), need finite \(contexts, 5, p\)"),
        ({}, {"features": np.full((8, 5, 2), np.nan)}, "need finite"),
        ({}, {"features": np.zeros((3, 5, 2))}, "one of 3 contexts"),
        ({}, {"context": np.zeros(3, np.int64)}, "each of 8 table rows"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    world: World, changes: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    rows = logged(world, 9)._replace(**changes)
    with pytest.raises(ValueError, match=message):
        fit(Params(), rows, **({"features": features()} | given))


def test_a_logger_that_is_known_in_part_is_refused() -> None:
    behavior = np.array([[0.5, np.nan], [np.nan, 0.25]])
    rows = Rows(np.array([1.0, 0.0]), np.array([0, 1]), behavior, np.full((2, 2), 0.5), is_partial=True)
    with pytest.raises(ValueError, match="need its whole distribution"):
        fit(Params("ipw"), rows, np.zeros((2, 2, 1)))


def test_weights_of_zero_are_the_logger_and_one_feature_shifts_its_odds(world: World) -> None:
    assert tilted(np.zeros(6), world.behavior, features()) == pytest.approx(world.behavior, abs=1e-15)
    moved = tilted(np.log([1.0, 5.0, 1.0, 1.0, 1.0, 1.0]), world.behavior, features())
    odds = moved[:, 2] / moved[:, 0] / (world.behavior[:, 2] / world.behavior[:, 0])
    assert odds == pytest.approx(np.full(8, 5.0))
