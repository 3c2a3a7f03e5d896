"""Logged propensities against what happened, per policy, and two faults the check must catch.

Cells are actions and window slots; hits are compared with the sum of logged propensities,
Holm over cells. The planted faults are the classic ones: a propensity computed before the
mask, and a traffic split left out.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import Lattice
from envs.randomness import Purpose
from envs.world import Scenario
from evaluators.propensity import PropensityCheck, Tally, check_cells, tally
from experiments.convergence import PolicyRun
from experiments.frozen import Frozen, draw_log
from experiments.measurement import Measurement
from policies.base import Spec
from policies.masses import TOTAL

__all__ = ["Checked", "check_runs", "planted_faults", "split_checks", "window_ids"]

SPLIT_SEED = 2_000_000  # of purpose CERTIFY: the log behind a traffic split


class Checked(NamedTuple):
    """One policy's check, by action and by slot."""

    policy: str
    rule: str
    by_action: tuple[Tally, PropensityCheck]
    by_slot: tuple[Tally, PropensityCheck]

    @property
    def holds(self) -> bool:
        """Neither family of cells is rejected."""
        return self.by_action[1].holds and self.by_slot[1].holds


def window_ids(lattice: Lattice, spec: Spec, *, stride: NDArray[np.int32] | None = None) -> NDArray[np.int32]:
    """(actions, k) ids of the window around every action; slots off the lattice repeat the centre.

    Args:
        lattice: the actions.
        spec: whose window.
        stride: (axes, longest axis) as in `policies.constraints.Bounds`; None: one lattice step everywhere.
    """
    centre = lattice.decode(np.arange(lattice.size, dtype=np.int32))
    apart = 1 if stride is None else stride[np.arange(len(lattice.axes)), centre][:, None, :]
    grid = centre[:, None, :] + np.array(spec.offsets, np.int32)[None] * apart
    off = np.any((grid < 0) | (grid >= np.array(lattice.shape)), axis=-1)
    ids = lattice.encode(np.where(off[..., None], centre[:, None, :], grid))
    return np.asarray(ids, np.int32)


def check_runs(scenario: Scenario, runs: Sequence[PolicyRun]) -> list[Checked]:
    """The check of every run's kept trajectories.

    Raises:
        AssertionError: the masses of a decision do not sum to 2^20.
    """
    found = []
    for run in runs:
        k, rows = run.bounded.spec.k, run.kept
        masses, slot = rows.masses.reshape(-1, k), rows.slot.reshape(-1)
        ids = window_ids(scenario.lattice, run.bounded.spec, stride=run.bounded.params.limits.stride)[
            rows.centre.reshape(-1)
        ]
        if np.any(masses.sum(axis=1) != TOTAL):
            raise AssertionError(f"{run.bounded.name}: masses of a decision do not sum to 2^20")
        found.append(_checked((run.bounded.name, run.rule), masses / TOTAL, slot, ids, scenario.lattice.size))
    return found


def _checked(
    name: tuple[str, str], probs: NDArray[np.float64], slot: NDArray[np.int32], ids: NDArray[np.int32], size: int
) -> Checked:
    k, drawn = probs.shape[1], slot.astype(np.int64)
    by_action = tally(probs, drawn, cell=ids.astype(np.int64), n_cells=size)
    by_slot = tally(probs, drawn, cell=np.arange(k), n_cells=k)
    return Checked(*name, (by_action, check_cells(*by_action)), (by_slot, check_cells(*by_slot)))


def planted_faults(run: PolicyRun) -> dict[str, PropensityCheck]:
    """The check on a run's log with propensities from before the mask: name of the fault -> what the check says.

    Where no window of the run has a masked slot, that would be the truth, and is left out.

    Args:
        run: of the policy `uniform`, whose propensity before the mask is 1 / k.
    """
    k, rows = run.bounded.spec.k, run.kept
    if not np.any(rows.masses == 0):
        return {}
    unmasked = np.full((rows.slot.size, k), 1.0 / k)
    cells = tally(unmasked, rows.slot.reshape(-1), cell=np.arange(k), n_cells=k)
    return {"propensity before the mask": check_cells(*cells)}


def split_checks(
    scenario: Scenario, logger: Frozen, split: Frozen, *, master_seed: int
) -> tuple[PropensityCheck, PropensityCheck]:
    """A log written behind a traffic split: checked with its own propensities, and with the split left out.

    Args:
        scenario: the world.
        logger: the policy without the split.
        split: the same behind it; it writes the log.
        master_seed: of the log.
    """
    log = draw_log(scenario, split, master_seed=master_seed, purpose=Purpose.CERTIFY, seed=SPLIT_SEED)
    k = logger.masses.shape[1]
    true, false = (
        check_cells(*tally(who.probs[log.index], log.slot, cell=np.arange(k), n_cells=k)) for who in (split, logger)
    )
    return true, false


def measure_propensities(world: str, checked: Sequence[Checked]) -> Iterator[Measurement]:
    """Z of every cell of enough variance, and each family's smallest adjusted p."""
    for check in checked:
        row = partial(Measurement, section="propensity", world=world, policy=check.policy, rule=check.rule)
        for kind, (cells, said) in (("action", check.by_action), ("slot", check.by_slot)):
            yield row(measure=f"p_{kind}", value=said.p_value)
            for cell in np.flatnonzero(cells.variance >= 25.0):
                z = (cells.hits[cell] - cells.expected[cell]) / np.sqrt(cells.variance[cell])
                yield row(measure=f"z_{kind}", n=int(cell), value=float(z))
