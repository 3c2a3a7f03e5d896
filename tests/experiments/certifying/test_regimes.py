"""Each regime breaks one assumption by a stated amount and leaves the rest; truths are sums over the population."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from evaluators.certified import REGIMES
from experiments.certifying.pool import open_pool
from experiments.certifying.regimes import LEVEL, UNTRIED, Case, pool_cases, untried, world_cases
from experiments.frozen import Frozen
from experiments.ope import value_of
from experiments.vetting import judged_target
from tests.compiled import gate, logger, world

HORIZON = 10
Cases = Callable[[], dict[tuple[str, str], Case]]
KINDS = [
    ("iid", ""), ("adaptive", ""), ("drift", "halved"), ("misspecified_reward", "level"),
    ("misspecified_reward", "ranking"), ("misspecified_propensity", "sharpened"),
    ("misspecified_propensity", "flattened"), ("deficient_support", ""),
]  # fmt: skip


@cache
def target() -> Frozen:
    return judged_target(gate())[0]


@cache
def cases() -> dict[tuple[str, str], Case]:
    found = world_cases(gate(), target(), drifts={"halved": world("drifting")}, horizon=HORIZON)
    return {(case.regime, case.kind): case for case in found}


@cache
def pools() -> dict[tuple[str, str], Case]:
    return {(case.regime, case.kind): case for case in pool_cases(open_pool(n_contexts=300), seed=0)}


def test_a_world_has_every_regime_and_the_pool_those_of_a_still_world_with_a_frozen_logger() -> None:
    assert list(cases()) == KINDS and {regime for regime, _ in KINDS} == set(REGIMES)
    assert list(pools()) == [kind for kind in KINDS if kind[0] not in ("adaptive", "drift")]


@pytest.mark.parametrize("where", [cases, pools])
def test_every_table_is_a_policy_and_holds_all_that_may_be_played(where: Cases) -> None:
    for case in where().values():
        for table in (case.behavior, case.target, case.baseline):
            np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=1e-9)


def test_truths_are_exact_values_now_and_over_the_logs_time() -> None:
    scenario, moving = world(), world("drifting")
    before, after = (value_of(scenario, moving.table(t=t), target()) for t in (0, 9))
    assert cases()["iid", ""].truth.target == value_of(scenario, scenario.table(), target())
    drifting = cases()["drift", "halved"].truth  # quality is halved from evaluation 4 of 10 on
    assert drifting.target == pytest.approx(0.4 * before + 0.6 * after, abs=1e-12)
    assert drifting.target_now == pytest.approx(after, abs=1e-12) and before > after


def test_the_wrong_level_and_the_wrong_ranking_are_wrong_as_stated() -> None:
    for found in (cases(), pools()):
        level, ranking, plain = (
            found["misspecified_reward", "level"], found["misspecified_reward", "ranking"], found["iid", ""],
        )  # fmt: skip
        assert level.predicted is not None and ranking.predicted is not None and plain.reward_range is not None
        lo, hi = plain.reward_range
        said = (level.target * level.predicted).sum(axis=1).mean() - plain.truth.target
        assert 0.5 * LEVEL * (hi - lo) < said <= LEVEL * (hi - lo) * 1.2  # clipping takes some
        inside = (level.predicted < hi) & (ranking.predicted > lo) & (ranking.predicted < hi) & (plain.behavior > 0)
        for a, b, on in zip(level.predicted, ranking.predicted, inside, strict=True):
            assert on.sum() < 3 or np.corrcoef(a[on], b[on])[0, 1] == pytest.approx(-1.0, abs=1e-6)


def test_a_wrong_log_says_a_sharper_or_a_flatter_logger() -> None:
    for found in (cases(), pools()):
        true = found["iid", ""].behavior
        sharp, flat = (found["misspecified_propensity", kind].behavior for kind in ("sharpened", "flattened"))
        assert (sharp.max(axis=1) > true.max(axis=1)).all() and (flat.max(axis=1) < true.max(axis=1)).all()
        assert ((sharp > 0) == (true > 0)).all()


def test_a_deficient_logger_misses_the_stated_share_of_the_target_and_never_the_baseline() -> None:
    for found in (cases(), pools()):
        case = found["deficient_support", ""]
        missed = np.where(case.behavior == 0, case.target, 0.0).sum(axis=1)
        assert (missed >= UNTRIED - 1e-9).all() and missed.max() < 1
        assert (np.where(case.behavior == 0, case.baseline, 0.0) == 0).all()


def test_untried_takes_no_more_slots_than_it_needs() -> None:
    target = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7]])
    allowed = np.array([[True, True, True, True], [True, True, True, False]])
    assert untried(target, allowed).tolist() == [[True, False, False, False], [True, True, False, False]]


@pytest.mark.parametrize("where", [cases, pools])
@pytest.mark.parametrize("regime", ["iid", "deficient_support"])
def test_logs_are_drawn_from_the_propensities_they_say(where: Cases, regime: str) -> None:
    case = where()[regime, ""]
    logs = case.draw((10, 600))
    feasible = case.behavior > 0
    even = feasible / feasible.sum(axis=1, keepdims=True)
    weight = (even[logs.row, logs.slot] / case.behavior[logs.row, logs.slot]).reshape(-1)
    assert abs(weight.mean() - 1) <= 4 * weight.std(ddof=1) / np.sqrt(weight.size)
    assert case.draw((10, 600)) is logs  # drawn once, read by several regimes


def test_slots_that_nobody_plays_are_left_out() -> None:
    case = cases()["iid", ""]
    played = (logger().masses > 0).any(axis=0) | (target().masses > 0).any(axis=0)
    assert case.behavior.shape[1] == played.sum() < played.size
    learning = cases()["adaptive", ""].draw((5, 200))
    assert learning.masses is not None and learning.masses.shape[-1] == played.sum()
    assert learning.slot.min() >= 0 and learning.slot.max() < played.sum()
