"""Logged propensities are the truth, and a log that lies is caught.

Each check rejects a true log with probability at most 0.001 (Holm over its cells) if the seed is redrawn.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluators.propensity import PropensityCheck, Tally
from experiments.convergence import PolicyRun
from experiments.frozen import split_traffic
from experiments.propensities import (
    Checked,
    check_runs,
    measure_propensities,
    planted_faults,
    split_checks,
    window_ids,
)
from policies import approval, constraints
from policies.build import bounded
from policies.constraints import legal, window
from policies.learners import proximity
from policies.learners.thompson import Params
from policies.masses import TOTAL
from tests.compiled import LEARNER, N_ROUNDS, SEEDS, learning_runs, logger, under_bounds, world

UNIFORM = replace(LEARNER, floor=1.0)
FLOORED = replace(LEARNER, floor=0.5, noise_sd=0.02)  # soon nearly greedy, half of the time
Masses = NDArray[np.int32]


def lying(run: PolicyRun, change: Callable[[Masses], Masses]) -> PolicyRun:
    """The same run with other masses in its log."""
    return replace(run, kept=run.kept._replace(masses=change(np.asarray(run.kept.masses))))


def test_window_ids_are_those_of_the_policies_own_windows() -> None:
    who, lattice = under_bounds(LEARNER), world().lattice
    ids = window_ids(lattice, who.spec)
    assert ids.shape == (lattice.size, who.spec.k)
    for centre in range(0, lattice.size, 5):
        held = window(who.spec, who.params.limits, np.int32(centre), np.int32(0))
        np.testing.assert_array_equal(ids[centre], held.action_ids)


def test_window_ids_know_relative_steps() -> None:
    far = constraints.Params(radius=constraints.Radius(max_tokens_share="1"))
    who = bounded(world(), constraints=far, approval=approval.Params(), learner=LEARNER)
    stride = who.params.limits.stride
    assert stride.max() == 4  # 812 tokens are 8 steps over 2 slots
    ids = window_ids(world().lattice, who.spec, stride=stride)
    for centre in range(0, world().lattice.size, 5):
        held = window(who.spec, who.params.limits, np.int32(centre), np.int32(0))
        np.testing.assert_array_equal(ids[centre], held.action_ids)


@pytest.mark.parametrize("learner", [LEARNER, UNIFORM], ids=["thompson", "uniform"])
def test_the_check_holds_on_what_policies_really_logged(learner: Params) -> None:
    checked = check_runs(world(), learning_runs("small", learner))
    assert [(c.policy, c.rule) for c in checked] == [("thompson", "improve"), ("thompson", "two_sample")]
    for found in checked:
        assert found.holds
        for cells, said in (found.by_action, found.by_slot):
            assert cells.hits.sum() == SEEDS * N_ROUNDS
            assert cells.expected.sum() == pytest.approx(SEEDS * N_ROUNDS)
            assert said.n_cells > 1


def whole(vector: NDArray[np.float64]) -> Masses:
    """Probabilities as masses; what rounding leaves goes to the largest."""
    masses: Masses = np.floor(TOTAL * vector / vector.sum(axis=-1, keepdims=True)).astype(np.int32)
    top = masses.argmax(axis=-1)[..., None]
    left = TOTAL - masses.sum(axis=-1, keepdims=True)
    np.put_along_axis(masses, top, np.take_along_axis(masses, top, -1) + left, -1)
    return masses


def before_the_floor(masses: Masses) -> Masses:
    """As if the exploration floor had been mixed in after the propensity was computed."""
    floor = FLOORED.floor * TOTAL / (masses > 0).sum(axis=-1, keepdims=True)
    return whole(np.maximum(masses - floor * (masses > 0), 0.0))


def wrong_temperature(masses: Masses) -> Masses:
    """As if a sharper softmax had been logged than the one that was drawn from."""
    return whole((masses / TOTAL) ** 2)


def one_slot_off(masses: Masses) -> Masses:
    """As if the vector had been written one slot late."""
    return np.roll(masses, 1, axis=-1)


@pytest.mark.parametrize("fault", [before_the_floor, wrong_temperature, one_slot_off])
def test_further_lies_are_caught(fault: Callable[[Masses], Masses]) -> None:
    run = learning_runs("small", FLOORED)[0]
    assert check_runs(world(), [run])[0].holds
    (found,) = check_runs(world(), [lying(run, fault)])
    assert not found.holds
    assert min(found.by_action[1].p_value, found.by_slot[1].p_value) < 1e-9  # far from the threshold


def test_masses_that_do_not_sum_to_the_total_stop_the_run() -> None:
    with pytest.raises(AssertionError, match="thompson: masses of a decision do not sum to 2\\^20"):
        check_runs(world(), [lying(learning_runs()[0], lambda masses: masses + np.int32(1))])


def test_a_propensity_before_the_mask_is_caught() -> None:
    (said,) = planted_faults(learning_runs("small", UNIFORM)[0]).values()
    assert not said.holds
    assert said.p_value < 0.001


def test_behind_a_traffic_split_the_splits_propensities_are_the_truth_and_the_policys_are_not() -> None:
    who = under_bounds(proximity.Params())
    split = split_traffic(who, logger(), world(), share=0.9)
    centre = np.arange(len(split.masses)), np.asarray(logger().windows.incumbent)
    wanted = 0.9 * logger().probs[centre] + 0.1
    np.testing.assert_allclose(split.probs[centre], wanted, rtol=0, atol=8 / TOTAL)  # floors are rounded up first
    true, false = split_checks(world(), logger(), split, master_seed=0)
    assert true.holds
    assert not false.holds


def test_where_nothing_is_masked_a_propensity_before_the_mask_is_no_fault() -> None:
    run = learning_runs("small", UNIFORM)[0]
    even = whole(np.ones((SEEDS, N_ROUNDS, run.bounded.spec.k)))
    assert planted_faults(lying(run, lambda _: even)) == {}


def test_the_mask_is_where_the_uniform_policys_masses_are_zero() -> None:
    run = learning_runs("small", UNIFORM)[0]
    ids = window_ids(world().lattice, run.bounded.spec)[run.kept.centre]
    allowed = legal(world().lattice, run.bounded.params.limits)[run.kept.task[..., None], ids]
    assert np.all(allowed[run.kept.masses > 0])
    assert np.any(run.kept.masses == 0)


def test_measurements_tell_every_cell_of_enough_variance() -> None:
    cells = Tally(np.array([60.0, 40.0, 1.0]), np.array([50.0, 50.0, 1.0]), np.array([25.0, 25.0, 0.9]))
    said = PropensityCheck(2.0, 0.09, 3, True)
    rows = list(measure_propensities("small", [Checked("uniform", "two_sample", (cells, said), (cells, said))]))
    told = [(row.measure, row.n, row.value) for row in rows]
    once = [(None, 0.09), (0, 2.0), (1, -2.0)]  # (60 - 50) / sqrt(25), (40 - 50) / sqrt(25)
    assert told == [
        (("p_" if n is None else "z_") + kind, n, value) for kind in ("action", "slot") for n, value in once
    ]
    assert {(row.section, row.world, row.policy, row.rule) for row in rows} == {
        ("propensity", "small", "uniform", "two_sample")
    }
