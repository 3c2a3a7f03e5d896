"""The gate from end to end: separate logs, cross-fitted selection, and answers that can be wrong but rarely are."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.randomness import Purpose
from evaluators.gates import Params as GateParams
from evaluators.gates import Verdict, select
from evaluators.rows import Rows
from experiments import gating
from experiments.compilations import counted
from experiments.frozen import LOG_ROWS, LogRows, design_ess
from experiments.gating import Gate, GateRun, candidates_from, decide_gate, feasible_share, softened
from experiments.ope import value_of
from policies.learners import fixed, uniform
from tests.compiled import LEARNER, LIMITS, gate, log, world

LOGS = (Purpose.NULL, Purpose.CERTIFY)


def decided(opened: Gate, *, seed: int = 0, n: int = LOG_ROWS) -> GateRun:
    return decide_gate(opened, n=n, purposes=LOGS, seed=seed)


@pytest.fixture(scope="module")
def once() -> GateRun:
    """One pass through the gate where a large improvement exists."""
    return decided(gate())


def test_a_real_improvement_is_approved_and_is_one(once: GateRun) -> None:
    assert once.verdict.answer == "approved"
    assert once.judged is not None and once.verdict.candidate == once.judged.name
    here, table = gate().judge, world().table()
    gain = value_of(world(), table, once.judged.frozen) - value_of(world(), table, here.baseline)
    found = once.verdict.improvement
    assert found is not None
    assert 0 < found.lower < gain
    assert abs(found.difference - gain) < 4.9 * found.stderr  # false alarm 1e-6
    assert f"lower bound {found.lower:.3g} >= 0" in once.verdict.sentence()


def test_the_two_logs_share_no_randomness(once: GateRun) -> None:
    first, second = once.selection_log, once.judgement_log
    assert len(first.index) == len(second.index) == LOG_ROWS
    assert np.sum(first.uniform == second.uniform) <= 3  # chance: Poisson of mean 0.002
    np.testing.assert_array_equal(first.uniform, log(0, LOGS[0]).uniform)
    np.testing.assert_array_equal(second.uniform, log(0, LOGS[1]).uniform)


def test_a_gate_that_would_judge_on_the_selection_log_is_refused() -> None:
    with pytest.raises(ValueError, match="share purpose LOG, need two"):
        decide_gate(gate(), n=200, purposes=(Purpose.LOG, Purpose.LOG), seed=0)


@pytest.mark.parametrize("n", [0, LOG_ROWS + 1])
def test_a_log_of_impossible_length_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"n = {n}, need 1 <= n <= {LOG_ROWS}"):
        decided(gate(), n=n)


def test_no_candidate_is_selected_on_rows_it_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def keep(params: GateParams, baseline: Rows, *, candidates: Any) -> Any:
        seen.update(rows=baseline, tables=candidates)
        return select(params, baseline, candidates=candidates)

    monkeypatch.setattr(gating, "select", keep)
    run = decided(gate(), n=1000)
    rows: LogRows = run.selection_log
    halves = rows.part(0, 500), rows.part(500, 1000)
    learned = [candidates_from(gate(), half) for half in halves]
    assert list(seen["tables"]) == [c.name for c in run.candidates] == ["thompson", "softmax_0.25"]
    for place, name in enumerate(seen["tables"]):
        table = seen["tables"][name]
        np.testing.assert_array_equal(table[:500], learned[1][place].frozen.probs[halves[0].index])
        np.testing.assert_array_equal(table[500:], learned[0][place].frozen.probs[halves[1].index])
        whole = run.candidates[place].frozen.probs[rows.index]
        assert np.any(table != whole)  # the copy that is judged learned from all rows
    np.testing.assert_array_equal(seen["rows"].slot, rows.slot)


def test_halves_of_a_recorded_log_share_no_problem() -> None:
    here = gate().learn
    recorded = here._replace(scenario=replace(here.scenario, is_exact=False))
    rows = log()
    first = gating._first_half(recorded, rows)
    cluster = here.scenario.population.cluster[rows.index]
    assert first.any() and not first.all()
    assert not set(cluster[first]) & set(cluster[~first])


def test_softened_candidates_have_the_support_they_are_named_after(once: GateRun) -> None:
    here = gate().learn
    for share in (0.2, 0.25, 0.3):
        found = softened(gate(), once.candidates[0].state, ess_share=share)
        assert found.name == f"softmax_{share}"
        assert share * 0.999 <= design_ess(found.frozen, here.behavior, here.weight) <= share * 1.002
        assert found.state is once.candidates[0].state


def test_a_softened_candidate_keeps_the_beliefs_numbers() -> None:
    learner = replace(LEARNER, prior_mean=0.4, prior_sd=0.2, noise_sd=0.3, floor=0.02)
    soft = gate(learner=learner).soft
    assert soft is not None
    assert soft.settings.learner == soft.params.inner.inner == learner
    assert soft.params.inner.floor == learner.floor


def test_production_itself_is_no_change() -> None:
    run = decided(gate(learner=fixed.Params()))
    assert run.verdict == Verdict("no_change", "", ("every candidate equals the baseline",), None)
    assert run.judged is None
    assert [c.name for c in run.candidates] == ["fixed"]


def test_a_policy_without_a_belief_has_no_softened_candidate() -> None:
    opened = gate(learner=uniform.Params())
    assert opened.soft is None
    assert [c.name for c in decided(opened, n=400).candidates] == ["uniform"]


def test_the_gate_refuses_where_nothing_can_improve_and_approves_where_much_can() -> None:
    # At an error rate of 5 %, 4 or more of 8 approvals have probability 4e-4; a gate that approves
    # 80 % gets fewer than 4 of 8 with probability 1e-2 (here the gain is 6 times what it can detect).
    flat, better = gate("flat"), gate()
    approved = {name: 0 for name in ("flat", "better")}
    for seed in range(8):
        for name, opened in (("flat", flat), ("better", better)):
            approved[name] += decided(opened, seed=seed).verdict.answer == "approved"
    assert approved["flat"] <= 3
    assert approved["better"] >= 4


def test_a_refusal_on_a_flat_world_says_why() -> None:
    said = decided(gate("flat")).verdict
    assert said.answer == "refused"
    assert "not distinguishable from noise" in said.sentence()


def test_every_judged_candidate_counts_and_shares_alpha(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[tuple[str, int]] = []

    def refuse_first(*_: object, target: Any, candidate: str, n_judged: int, feasible_share: float) -> Verdict:
        counts.append((candidate, n_judged))
        answer = "refused" if len(counts) == 1 else "approved"
        return Verdict("refused" if answer == "refused" else "approved", candidate, ("made up",), None)

    monkeypatch.setattr(gating, "judge", refuse_first)
    run = decided(gate(params=GateParams(max_judged=2)))
    assert [n for _, n in counts] == [2, 2]
    assert {name for name, _ in counts} == {"thompson", "softmax_0.25"}
    assert run.verdict.answer == "approved"
    assert run.judged is not None and run.judged.name == run.verdict.candidate == counts[1][0]


def test_alpha_is_divided_by_the_candidates_judged() -> None:
    run = decided(gate(params=GateParams(max_judged=2)))
    assert len(run.selection.kept) == 2
    assert run.verdict.improvement is not None
    assert run.verdict.improvement.confidence == pytest.approx(1 - 0.05 / 2)


def test_one_recommendation_out_of_bounds_spoils_the_audit(once: GateRun) -> None:
    opened, rows = gate(), once.judgement_log
    good = once.candidates[0].frozen
    assert feasible_share(opened, rows, good) == 1.0
    tighter = replace(LIMITS, temperature=replace(LIMITS.temperature, highest="1.0"))
    assert feasible_share(opened._replace(constraints=tighter), rows, good) < 1.0
    # A window that calls an infeasible slot feasible is caught too: the audit does not ask the window.
    masses = good.masses.copy()
    slot = np.argmin(good.windows.feasible, axis=1)
    masses[:, slot[0]] += masses[:, 0] // 2
    masses[:, 0] -= masses[:, 0] // 2
    lying = good.windows._replace(feasible=np.ones_like(good.windows.feasible))
    assert feasible_share(opened, rows, good._replace(masses=masses, windows=lying)) < 1.0


def test_no_number_of_the_gate_compiles_anything(once: GateRun) -> None:
    assert once.candidates
    with counted() as programs:
        for i in range(1, 9):
            learner = replace(LEARNER, floor=0.01 * i, prior_mean=0.1 * i, prior_sd=0.1 * i, noise_sd=0.1 * i)
            params = GateParams(
                alpha=0.01 * i, power=0.5 + 0.05 * i, min_ess=10.0 * i, max_weight_share=0.05 * i,
                max_unsupported=0.01 * i, select_z=0.5 * i, max_judged=i,
            )  # fmt: skip
            opened = gate(learner=learner, params=params, shares=(0.1 + 0.05 * i,))
            decide_gate(opened, n=100 * i, purposes=LOGS, seed=i)
    assert programs.programs == 0
