"""What the border of the decision log lets through, and what it refuses in which words."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from envs.lattice import Axis, Lattice
from evaluators.decisions import COLUMNS, FEEDBACK, DecisionLog
from evaluators.log_checks import check_log
from policies.masses import TOTAL
from tests.examples import LEARNERS, run_policy, small_world

ROW = 3  # where faults are planted
LOG = run_policy(LEARNERS["softmax shared"], n_rounds=8).log
Plant = Callable[[DecisionLog], DecisionLog]


def put(name: str, value: object, *, entry: int | None = None) -> Plant:
    """A log with one value of one column changed in the planted row."""

    def plant(log: DecisionLog) -> DecisionLog:
        values = getattr(log, name).copy()
        values[ROW if entry is None else (ROW, entry)] = value
        return replace(log, **{name: values})

    return plant


def _off_mask(log: DecisionLog) -> DecisionLog:
    masses = log.masses.copy()
    slot = int(np.flatnonzero(~log.mask[ROW])[0])
    masses[ROW, slot] += 1
    masses[ROW, int(masses[ROW].argmax())] -= 1
    return replace(log, masses=masses)


def _other_mass(log: DecisionLog) -> DecisionLog:
    """A traffic split left out: the propensity of half of the traffic."""
    return replace(log, propensity=log.propensity / 2)


def _twice_feasible(log: DecisionLog) -> DecisionLog:
    ids = log.action_ids.copy()
    first, second = np.flatnonzero(log.mask[ROW] & (log.action_ids[ROW] != log.action_id[ROW]))[:2]
    ids[ROW, first] = ids[ROW, second]
    return replace(log, action_ids=ids)


PLANTS: dict[str, tuple[Plant, str]] = {
    "NaN in a reward": (put("reward", np.nan), r"guardband.reward, row 3 \(request 'r-00003'\) = nan, need a finite"),
    "NaN in a context": (put("context", np.nan, entry=2), r"guardband.context, row 3, entry 2 .* = nan"),
    "infinite latency": (put("latency_ms", np.inf), r"latency_ms, row 3 .* = inf, need a finite"),
    "negative tokens": (put("output_tokens", -1.0), r"output_tokens, row 3 .* = -1.0, need a number >= 0"),
    "quality above 1": (put("quality", 1.5), r"outcome.quality, row 3 .* = 1.5, need a share in \[0, 1\]"),
    "negative evaluation": (put("evaluation", -1), r"guardband.evaluation, row 3 .* = -1, need a number >= 0"),
    "empty request id": (put("request_id", ""), r"request_id, row 3 .* need a text that is not empty"),
    "request id that is a number": (put("request_id", 7), r"request_id, row 3 .* = 7, need text"),
    "text that UTF-8 can't hold": (put("task_type", "\ud800"), r"task_type, row 3 .* need text that UTF-8"),
    "duplicate request id": (put("request_id", "r-00001"), r"request_id, row 3 .* = r-00001, need each request once"),
    "no time": (put("timestamp", np.datetime64("NaT")), r"timestamp, row 3 .* = NaT, need a time"),
    "propensity of 0": (put("propensity", 0.0), r"propensity, row 3 .* = 0.0, need 0 < p <= 1; was the logger"),
    "propensity above 1": (put("propensity", 1.25), r"propensity, row 3 .* = 1.25, need 0 < p <= 1"),
    "log-probability": (put("propensity", -2.3), r"propensity, row 3 .* = -2.3, .* or a log-probability stored"),
    "propensity of other masses": (_other_mass, r"propensity, row 0 .* need mass / 2\^20 .* \(8 of 8 rows\)"),
    "masses that do not sum": (put("masses", 7, entry=0), r"masses, row 3 .*(sums to \d+, need exactly 1048576|= 7)"),
    "negative mass": (put("masses", -1, entry=0), r"masses, row 3, entry 0 .* = -1, need a mass >= 0"),
    "mass off the mask": (_off_mask, r"masses, row 3, entry \d+ .* = 1, need 0 on an infeasible slot"),
    "uniform out of range": (put("uniform", TOTAL), r"uniform, row 3 .* = 1048576, need an integer in \[0, 1048576\)"),
    "action outside the grid": (put("action_id", 144), r"action_id, row 3 .* = 144, need an action on the grid"),
    "negative action": (put("action_id", -1), r"action_id, row 3 .* = -1, need an action on the grid, 0 <= id < 144"),
    "window outside the grid": (put("action_ids", 999, entry=4), r"action_ids, row 3, entry 4 .* = 999"),
    "action outside the window": (put("action_id", 0), r"action_id, row 3 .* = 0, need a feasible action of the row's"),
    "centre outside the window": (put("centre", 0), r"window.centre, row 3 .* = 0, need an action of the row's window"),
    "nothing feasible": (put("mask", False), r"window.mask, row 3 .* need at least one feasible slot"),
    "an action in two slots": (_twice_feasible, r"action_ids, row 3 .* need each feasible action once"),
}


def test_a_log_that_a_policy_wrote_passes_unchanged() -> None:
    checked = check_log(LOG, lattice=small_world().lattice)
    for name in COLUMNS:
        assert np.array_equal(getattr(checked, name), getattr(LOG, name)), name


def test_feedback_that_never_came_passes_where_it_may_and_only_whole() -> None:
    lost = LOG
    for name in FEEDBACK:
        lost = replace(lost, **{name: np.where(np.arange(len(LOG)) == 3, np.nan, getattr(LOG, name))})
    assert lost.is_answered.tolist() == [i != 3 for i in range(len(LOG))]
    check_log(lost, may_lack_feedback=True)
    with pytest.raises(ValueError, match=r"row 3 .* = nan, need .* feedback never came \(1 of 8 rows"):
        check_log(lost)
    for name in FEEDBACK:  # one of them alone is a fault
        part = replace(lost, **{name: np.where(np.arange(len(LOG)) == 3, 0.5, getattr(lost, name))})
        with pytest.raises(ValueError, match=r"row 3 .* = nan, need a finite number"):
            check_log(part, may_lack_feedback=True)
    with pytest.raises(ValueError, match=r"guardband.context, row 3, entry 0 .* = nan, need a finite number \("):
        context = np.where(np.arange(len(LOG))[:, None] == 3, np.nan, LOG.context)
        check_log(replace(lost, context=context), may_lack_feedback=True)


@pytest.mark.parametrize("learner", LEARNERS)
def test_logs_of_every_learner_pass(learner: str) -> None:
    check_log(run_policy(LEARNERS[learner], n_rounds=6).log, lattice=small_world().lattice)


@pytest.mark.parametrize("fault", PLANTS)
def test_a_planted_fault_is_refused_by_column_row_and_need(fault: str) -> None:
    plant, words = PLANTS[fault]
    with pytest.raises(ValueError, match=words) as caught:
        check_log(plant(LOG), lattice=small_world().lattice)
    assert "\n" not in str(caught.value)


def test_a_log_of_another_grid_is_refused_only_where_the_grid_is_known() -> None:
    grid = Lattice((Axis("temperature", ("0", "1")),))
    check_log(LOG)
    with pytest.raises(ValueError, match="written with another lattice"):
        check_log(LOG, lattice=grid)


def test_a_log_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows, need at least one decision"):
        check_log(replace(LOG, **{name: getattr(LOG, name)[:0] for name in COLUMNS}))


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"guardband.reward has shape \(7,\), need \(8,\)"):
        check_log(replace(LOG, reward=LOG.reward[1:]))
    with pytest.raises(ValueError, match=r"mask has \d+ slots, need \d+, as guardband.masses has"):
        check_log(replace(LOG, mask=LOG.mask[:, 1:]))
    with pytest.raises(ValueError, match=r"guardband.context has shape \(8,\), need \(8, at least 1\)"):
        check_log(replace(LOG, context=LOG.reward))


@pytest.mark.parametrize(
    ("name", "values", "need"),
    [
        ("reward", np.array(["1"] * 8), "has dtype <U1, need float64"),
        ("masses", LOG.masses.astype(float), "has dtype float64, need int32"),
        ("mask", LOG.mask.astype(int), "need bool"),
        ("timestamp", np.arange(8), "need datetime64"),
    ],
)
def test_columns_of_another_kind_are_refused(name: str, values: np.ndarray, need: str) -> None:
    with pytest.raises(TypeError, match=need):
        check_log(replace(LOG, **{name: values}))


def test_values_that_would_be_cut_are_refused() -> None:
    wide: np.ndarray = LOG.action_id.astype(np.int64)
    wide[ROW] += 2**32  # the same 32 low bits
    with pytest.raises(ValueError, match="action_id, row 3 .* can hold exactly"):
        check_log(replace(LOG, action_id=wide))
    fine: np.ndarray = LOG.timestamp.astype("datetime64[ns]") + np.timedelta64(1, "ns")
    with pytest.raises(ValueError, match="timestamp, row 0"):
        check_log(replace(LOG, timestamp=fine))


def test_arrays_of_other_widths_are_settled_without_loss() -> None:
    wide = replace(LOG, masses=LOG.masses.astype(np.int64), reward=LOG.reward.astype(np.float32))
    checked = check_log(wide)
    assert checked.masses.dtype == np.int32
    assert checked.reward.dtype == np.float64


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 7), st.integers(0, LOG.masses.shape[1] - 1), st.integers(-5, TOTAL))
def test_no_single_mass_can_be_changed_unseen(row: int, slot: int, mass: int) -> None:
    masses = LOG.masses.copy()
    assume(mass != masses[row, slot])
    masses[row, slot] = mass
    with pytest.raises(ValueError, match=f"masses, row {row}"):
        check_log(replace(LOG, masses=masses))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 7), st.floats(0, 1))
def test_no_propensity_can_be_changed_unseen(row: int, propensity: float) -> None:
    values = LOG.propensity.copy()
    assume(propensity != values[row])
    values[row] = propensity
    with pytest.raises(ValueError, match=f"propensity, row {row}"):
        check_log(replace(LOG, propensity=values))
