"""A form says of every log what the estimator's own table says, and batched models are those of one log at a time."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from evaluators.estimation import Estimator, summarise_logs
from evaluators.estimators import adaptive_blending, direct, doubly_robust, ips, replay, self_normalised_dr, snips
from evaluators.gates import difference_sums
from evaluators.intervals import assisted
from evaluators.reward_model import Params as ModelParams
from evaluators.rows import RewardRange, Rows
from evaluators.scores import Table, basis_of
from evaluators.sums import Sums, weight_columns, weight_sums
from experiments.certifying.forms import Fitted, difference_form, fit_logs, form_of, sums_of_forms
from experiments.certifying.world_logs import Logs

C, K, P, LOGS, N = 6, 5, 3, 4, 50
MODEL = ModelParams(n_folds=5)
ESTIMATORS = {
    name: module.Params(interval=assisted.Params())
    for name, module in (
        ("ips", ips), ("snips", snips), ("direct", direct), ("doubly_robust", doubly_robust),
        ("self_normalised_dr", self_normalised_dr), ("adaptive_blending", adaptive_blending),
    )
}  # fmt: skip


@cache
def contexts() -> Rows:
    rng = np.random.default_rng(1)
    behavior, target = rng.dirichlet(np.ones(K), size=(2, C))
    behavior[:, 0] = 0.0  # the logger never tries one slot
    behavior /= behavior.sum(axis=1, keepdims=True)
    nothing = np.zeros(C)
    return Rows(nothing, nothing.astype(np.int64), behavior, target, reward_range=RewardRange(-0.5, 1.0))


@cache
def logs() -> Logs:
    rng = np.random.default_rng(2)
    row = rng.integers(C, size=(LOGS, N)).astype(np.int32)
    uniform = rng.random((LOGS, N, 1))
    slot = (contexts().behavior.cumsum(axis=1)[row] < uniform).sum(axis=2).clip(max=K - 1).astype(np.int32)
    return Logs(row, slot, rng.uniform(-0.5, 1.0, size=(LOGS, N)))


@cache
def fitted() -> Fitted:
    return fit_logs(np.random.default_rng(3).normal(size=(C, K, P)), logs(), contexts(), model=MODEL)


def long_rows() -> Rows:
    """Every row with its own tables: what the forms are a shortcut for."""
    row, slot = (column.reshape(-1).astype(np.int64) for column in (logs().row, logs().slot))
    return contexts()._replace(
        reward=logs().reward.reshape(-1),
        slot=slot,
        behavior=contexts().behavior[row],
        target=contexts().target[row],
        predicted=fitted().table[fitted().place.reshape(-1), row],
    )


def of_forms(forms: dict[str, Any]) -> dict[str, Sums]:
    row, slot = (column.reshape(-1).astype(np.int64) for column in (logs().row, logs().slot))
    rows = contexts()._replace(row=row, slot=slot, reward=logs().reward.reshape(-1))
    weights = weight_sums(weight_columns(rows, basis_of(rows)), n_logs=LOGS)
    return sums_of_forms(forms, contexts(), logs=logs(), fitted=fitted(), weights=weights)


def assert_same(got: Sums, wanted: Sums) -> None:
    for name in ("powers", "gram", "residual", "design", "ends"):
        np.testing.assert_allclose(getattr(got, name), getattr(wanted, name), rtol=1e-9, atol=1e-9, err_msg=name)
    for a, b in zip(got.weights, wanted.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert (got.n, got.origin, got.is_ratio) == (wanted.n, wanted.origin, wanted.is_ratio)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_form_sums_to_what_the_estimators_own_table_sums_to(name: str) -> None:
    form = form_of(ESTIMATORS[name], contexts())
    assert_same(of_forms({name: form})[name], summarise_logs(ESTIMATORS, long_rows(), n_logs=LOGS)[name])


def test_the_differences_form_sums_to_what_the_gate_sums() -> None:
    baseline = np.random.default_rng(4).dirichlet(np.ones(K), size=C)
    rows = long_rows()
    own = rows._replace(target=baseline[logs().row.reshape(-1)])
    wanted = difference_sums(assisted.Params(), own, target=rows.target, n_logs=LOGS)
    assert_same(of_forms({"difference": difference_form(contexts(), baseline)})["difference"], wanted)


def test_batched_models_are_the_ridge_regressions_of_one_log_at_a_time() -> None:
    design = np.random.default_rng(3).normal(size=(C, K, P))
    one, fold = 2, np.arange(N) % MODEL.n_folds
    row, slot, reward = (column[one] for column in logs()[:3])
    for held_out in range(MODEL.n_folds):
        train = fold != held_out
        x, mean = design[row[train], slot[train]], reward[train].mean()
        weight = np.linalg.solve(x.T @ x + MODEL.ridge * np.eye(P), x.T @ (reward[train] - mean))
        wanted = np.clip(design @ weight + mean, -0.5, 1.0)
        np.testing.assert_allclose(fitted().table[one * MODEL.n_folds + held_out], wanted, rtol=1e-9)
        assert (fitted().place[one][~train] == one * MODEL.n_folds + held_out).all()


def test_an_estimator_that_refuses_the_contexts_has_no_form() -> None:
    with pytest.raises(ValueError, match="takes one action of every row for certain"):
        form_of(replay.Params(), contexts())


def test_a_table_that_is_not_linear_in_the_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plain: Callable[..., Table] = doubly_robust.table

    def squared(params: Estimator, rows: Rows, weight: Any) -> Table:
        found = plain(params, rows, weight)
        return found._replace(part=np.square(found.part))

    monkeypatch.setattr(doubly_robust, "table", squared)
    with pytest.raises(ValueError, match="not linear in the reward model"):
        form_of(doubly_robust.Params(), contexts())
