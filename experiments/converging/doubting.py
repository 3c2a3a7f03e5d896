"""The sceptic on a run's own log: from which evaluation on it claims an improvement over the start."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from envs.lattice import Lattice, LatticeRanges
from evaluators.kernel_features import kernel_features
from evaluators.sceptic import RunLog, first_claims, lower_bounds
from experiments.converging.running import Run
from experiments.converging.surfaces import Surface

__all__ = ["first_claim"]


@cache
def _features(ranges: LatticeRanges, models: tuple[str, ...]) -> NDArray[np.float64]:
    return kernel_features(Lattice.from_ranges(ranges, models=models or ("",)))


def first_claim(run: Run, surface: Surface) -> NDArray[np.int64]:
    """(s,) evaluation, from 1, at which each run first claims that what is approved beats the start; 0: never."""
    features = _features(run.where.params.lattice, tuple(run.where.params.models))
    action, centre = run.action.astype(np.int64), run.centre.astype(np.int64)
    alone = np.zeros_like(action)  # one task type: its own evaluations
    log = RunLog(action, run.reward, alone, centre)
    found = lower_bounds(features, log, start=np.array([surface.start]), n_tasks=1)
    return np.asarray(first_claims(found.lower, alone, n_tasks=1)[:, 0], np.int64)
