"""The independent audit: it finds nothing in honest logs, and every planted violation in the others."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.lattice import Axis, AxisRange, Lattice, LatticeRanges
from evaluators.audit import Audit, audit
from evaluators.decisions import DecisionLog, request_parameters, take_rows
from policies import constraints
from policies.base import Spec
from policies.constraints import Limits, Radius, legal, window
from policies.masses import TOTAL
from tests.examples import LEARNERS, LIMITS, run_policy, small_world, two_models

ROW = 5
GRID = small_world().lattice
LOG = run_policy(LEARNERS["softmax shared"], n_rounds=30).log


def judged(log: DecisionLog, **options: Any) -> Audit:
    return audit(log, GRID, constraints=LIMITS, **options)


def drawn_again(log: DecisionLog, *, masses: np.ndarray) -> DecisionLog:
    """The planted row with other masses, and the action, propensity and parameters that follow from them."""
    action, propensity, every = log.action_id.copy(), log.propensity.copy(), log.masses.copy()
    slot = int((np.cumsum(masses) <= log.uniform[ROW]).sum())
    action[ROW], propensity[ROW], every[ROW] = log.action_ids[ROW, slot], masses[slot] / TOTAL, masses
    sent = request_parameters(GRID, action)
    return replace(log, action_id=action, propensity=propensity, masses=every, **sent)


def all_on(log: DecisionLog, action: int, *, is_offered: bool) -> DecisionLog:
    """All mass of the planted row on one action, put into the last slot if the window lacks it."""
    ids, mask = log.action_ids.copy(), log.mask.copy()
    held = np.flatnonzero(ids[ROW] == action)
    slot = int(held[0]) if held.size else ids.shape[1] - 1
    ids[ROW, slot] = action
    mask[ROW, slot] = mask[ROW, slot] or is_offered
    masses = np.where(np.arange(ids.shape[1]) == slot, TOTAL, 0).astype(np.int32)
    return drawn_again(replace(log, action_ids=ids, mask=mask), masses=masses)


def changed(name: str, value: Any) -> Callable[[DecisionLog], DecisionLog]:
    def plant(log: DecisionLog) -> DecisionLog:
        values = getattr(log, name).copy()
        values[ROW] = value(values[ROW]) if callable(value) else value
        return replace(log, **{name: values})

    return plant


def point(temperature: str, max_tokens: str) -> int:
    return GRID.action_id({"temperature": temperature, "max_tokens": max_tokens, "top_p": "1"})


def far_away(log: DecisionLog) -> DecisionLog:
    """0.3 from the approved 0.9: further than the trust region's 0.2."""
    return all_on(changed("centre", point("0.9", "412"))(log), point("0.6", "412"), is_offered=True)


def before_the_mask(log: DecisionLog) -> DecisionLog:
    """A propensity computed before the mask: mass on an infeasible slot."""
    masses = log.masses[ROW].copy()
    off = int(np.flatnonzero(~log.mask[ROW])[0])
    masses[off], masses[masses.argmax()] = 1000, masses.max() - 1000
    return drawn_again(log, masses=masses)


def narrow(log: DecisionLog) -> DecisionLog:
    mask, masses = log.mask.copy(), log.masses.copy()
    spare = int(np.flatnonzero(mask[ROW] & (log.action_ids[ROW] != log.action_id[ROW]))[0])
    mask[ROW, spare], masses[ROW, spare] = False, 0
    masses[ROW, int(log.slot[ROW])] += log.masses[ROW, spare]
    return drawn_again(replace(log, mask=mask), masses=masses[ROW])


FAULTS: dict[str, tuple[Callable[[DecisionLog], DecisionLog], bool, str]] = {
    "below the hard limit": (
        lambda log: all_on(log, point("0.9", "112"), is_offered=True),
        False,
        "breaks the hard limits",
    ),
    "out of the trust region": (far_away, False, "leaves the trust region"),
    "outside the grid": (changed("action_id", 10_000), False, "action 10000 lies outside the grid"),
    "a centre outside the grid": (changed("centre", -3), False, "lies outside the grid, or its window's centre does"),
    "before the mask": (before_the_mask, True, "probability on an infeasible slot"),
    "a mask too narrow": (narrow, True, "its mask leaves out actions that the bounds allow"),
    "another uniform": (
        changed("uniform", lambda u: (u + TOTAL // 2) % TOTAL),
        True,
        "its uniform and masses give another action",
    ),
    "a traffic split left out": (changed("propensity", lambda p: p / 4), True, "its propensity is not mass / 2^20"),
    "masses that sum to less": (
        changed("masses", lambda m: np.where(m == m.max(), m - 1, m)),
        True,
        "its masses are no distribution",
    ),
    "other parameters sent": (changed("temperature", 0.95), True, "the parameters sent are not those of its action"),
    "other tokens sent": (changed("max_tokens", 4096), True, "the parameters sent are not those of its action"),
}


@pytest.mark.parametrize("learner", LEARNERS)
def test_nothing_is_found_in_the_log_of_any_learner(learner: str) -> None:
    run = run_policy(LEARNERS[learner], n_rounds=30)
    assert judged(run.log) == Audit(30, 1.0, 0, ())
    assert judged(run.log).holds


MODELS = run_policy(LEARNERS["uniform"], n_rounds=30, world=two_models()).log


def test_chosen_models_are_logged_as_sent_and_audited_like_any_other_parameter() -> None:
    grid = two_models().lattice
    assert set(MODELS.model) == {"small", "large"}
    chosen = [grid.parameters(int(i))["model"] for i in MODELS.action_id]
    assert MODELS.model.tolist() == chosen
    assert audit(MODELS, grid, constraints=LIMITS).holds
    other = replace(MODELS, model=np.where(np.arange(30) == ROW, "medium", MODELS.model).astype(object))
    found = audit(other, grid, constraints=LIMITS)
    assert found.n_violations == 1 and "the parameters sent are not those of its action" in found.violations[0]
    small_only = audit(MODELS, grid, constraints=replace(LIMITS, model=Limits(highest="small")))
    assert small_only.share_feasible == np.mean(MODELS.model == "small")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_violation_is_found_in_its_row_and_in_no_other(fault: str) -> None:
    plant, is_feasible, words = FAULTS[fault]
    found = judged(plant(LOG))
    assert found.n_violations == 1
    assert not found.holds
    assert found.share_feasible == (1.0 if is_feasible else 29 / 30)
    assert all(line.startswith("request r-00005 (row 5): ") for line in found.violations)
    assert any(words in line for line in found.violations), found.violations


def test_a_window_that_is_too_wide_is_found_even_if_it_is_never_drawn_from() -> None:
    found = audit(LOG, GRID, constraints=replace(LIMITS, temperature=Limits(highest="1.0")))
    assert found.n_violations == 30
    assert any("its mask offers actions that the bounds exclude" in line for line in found.violations)
    assert found.share_feasible == np.mean(LOG.temperature <= 1.0)


def test_an_action_in_two_slots_is_found() -> None:
    ids = LOG.action_ids.copy()
    first, second = np.flatnonzero(LOG.mask[ROW] & (ids[ROW] != LOG.action_id[ROW]))[:2]
    ids[ROW, first] = ids[ROW, second]
    assert any("offers an action twice" in line for line in judged(replace(LOG, action_ids=ids)).violations)


def test_unrecorded_actions_are_infeasible_for_their_task_type_alone() -> None:
    seen = {kind: np.ones(GRID.size, np.bool_) for kind in ("short", "long")}
    assert judged(LOG, recorded=seen).holds
    action = int(LOG.action_id[ROW])
    seen[LOG.task_type[ROW]][action] = False
    found = judged(LOG, recorded=seen)
    same = LOG.task_type == LOG.task_type[ROW]
    assert found.share_feasible == 1 - np.mean(same & (LOG.action_id == action))
    assert "was never recorded" in found.violations[0]
    with pytest.raises(ValueError, match="recorded has no task type 'long', need one of short"):
        judged(LOG, recorded={"short": seen["short"]})


def test_each_kind_of_violation_is_told_once_with_its_count() -> None:
    found = judged(replace(LOG, propensity=LOG.propensity / 2, top_p=LOG.top_p + 0.01))
    assert found.n_violations == 30
    assert [line.partition(": ")[2] for line in found.violations] == [
        "its propensity is not mass / 2^20 (30 of 30 decisions)",
        "the parameters sent are not those of its action (30 of 30 decisions)",
    ]


def test_a_log_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        judged(take_rows(LOG, np.zeros(30, np.bool_)))


def test_decimal_edges_are_exact() -> None:
    """0.9 - 0.7 > 0.2 in floats; the trust region holds it."""
    grid = Lattice.from_ranges(LatticeRanges(temperature=AxisRange("0.7", "0.9", "0.1")))
    ids = np.arange(3, dtype=np.int32)
    row = replace(
        take_rows(LOG, np.array([0])),
        centre=ids[:1],
        action_ids=ids[None],
        mask=np.ones((1, 3), np.bool_),
        masses=np.array([[0, 0, TOTAL]], np.int32),
        propensity=np.ones(1),
        action_id=ids[2:],
        **request_parameters(grid, ids[2:]),
    )
    assert audit(row, grid, constraints=constraints.Params()).holds
    tight = audit(row, grid, constraints=constraints.Params(radius=Radius(temperature="0.19")))
    assert tight.share_feasible == 0.0


def test_a_step_beyond_a_relative_region_or_between_its_slots_is_found() -> None:
    """Around 1,200 tokens 50 % is 600, six steps over two slots: 600, 900, 1,200, 1,500, 1,800 are offered."""
    grid = Lattice.from_ranges(LatticeRanges(AxisRange("1", "1", "0.1"), AxisRange("100", "2000", "100")))
    rule = constraints.Params(radius=Radius(max_tokens_share="0.5"))
    ids = {cap: grid.action_id({"max_tokens": str(cap)}) for cap in (600, 700, 900, 1200, 1400, 1500, 1800, 1900)}

    def offered(*caps: int) -> Audit:
        shown = np.array([[ids[cap] for cap in caps]], np.int32)
        row = replace(
            take_rows(LOG, np.array([0])),
            centre=np.array([ids[1200]], np.int32),
            action_ids=shown,
            mask=np.ones(shown.shape, np.bool_),
            masses=np.array([[0] * (len(caps) - 1) + [TOTAL]], np.int32),
            propensity=np.ones(1),
            action_id=shown[0, -1:],
            **request_parameters(grid, shown[0, -1:]),
        )
        return audit(row, grid, constraints=rule)

    assert offered(600, 900, 1200, 1500, 1800).holds
    for planted in ((600, 900, 1200, 1500, 1900), (600, 900, 1200, 1500, 1800, 1400), (700, 900, 1200, 1500, 1800)):
        assert not offered(*planted).holds
    assert "leaves the trust region" in offered(600, 900, 1200, 1500, 1900).violations[0]
    assert "leaves out actions" in offered(600, 900, 1200, 1500).violations[0]


def _uniform_log(spec: Spec, limits: constraints.Bounds, centres: np.ndarray) -> DecisionLog:
    """One row per centre, uniform over `policies.constraints.window`, the first feasible slot drawn."""
    rows = take_rows(LOG, np.zeros(len(centres), np.int64))
    windows = [window(spec, limits, np.int32(c), np.int32(0)) for c in centres]
    mask = np.stack([w.feasible for w in windows])
    first = mask.argmax(axis=1)
    masses = np.zeros(mask.shape, np.int32)
    masses[np.arange(len(centres)), first] = TOTAL
    ids = np.stack([w.action_ids for w in windows])
    action = ids[np.arange(len(centres)), first]
    known = {"centre": centres, "action_ids": ids, "mask": mask, "masses": masses, "action_id": action}
    return replace(rows, propensity=np.ones(len(centres)), **known)


decimals = st.sampled_from(["0.05", "0.1", "0.25", "1"])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(step=decimals, sizes=st.tuples(st.integers(1, 9), st.integers(1, 16)), radius=st.integers(0, 3), data=st.data())
def test_the_audit_and_the_policy_find_the_same_window_everywhere(
    step: str, sizes: tuple[int, int], radius: int, data: st.DataObject
) -> None:
    """Two programs, one rule: on random lattices, limits and radii, from every legal centre."""
    values = tuple(f"{i * float(step):.2f}" for i in range(sizes[0]))
    tokens = tuple(str(100 * (i + 1)) for i in range(sizes[1]))
    single = {name: ("0",) for name in ("frequency_penalty", "presence_penalty")}
    grid = Lattice(
        tuple(
            Axis(name, axis)
            for name, axis in {"temperature": values, "max_tokens": tokens, "top_p": ("1",), **single}.items()
        )
    )
    low, high = sorted((data.draw(st.sampled_from(values)), data.draw(st.sampled_from(values))), key=float)
    tall = Radius(
        temperature=f"{radius * float(step):.2f}",
        max_tokens=data.draw(st.sampled_from(["", "150", "200"])),
        max_tokens_share=data.draw(st.sampled_from(["", "0.35", "0.5", "1"])),
    )
    rule = constraints.Params(temperature=Limits(low, high), radius=tall)
    limits = constraints.bounds(grid, rule, recorded=np.ones((1, grid.size), np.bool_))
    spec = Spec(grid.shape, (), constraints.offsets(grid, rule), 1, 12)
    centres = np.flatnonzero(legal(grid, limits)[0]).astype(np.int32)
    log = _uniform_log(spec, limits, centres)
    sent = request_parameters(grid, log.action_id)
    log = replace(log, uniform=np.zeros(len(centres), np.int32), **sent)
    assert audit(log, grid, constraints=rule).violations == ()
