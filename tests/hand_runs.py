"""A hand-made surface of 5 temperatures x 3 caps and hand-made runs on it, for tests of the convergence experiment."""

import numpy as np

from experiments.converging.cases import Named
from experiments.converging.running import Run
from experiments.converging.surfaces import Surface

HEAT, CAPS = np.array([0.0, 0.1, 0.2, 0.3, 0.4]), np.array([112.0, 212.0, 312.0])
# Rows are temperatures. Best .8 at (0, 0), worst 0; tolerance max(.05 * .8, .02 * 1) = .04: ids 0 and 1 are inside.
VALUES = np.array([[0.8, 0.77, 0.6], [0.7, 0.6, 0.5], [0.5, 0.4, 0.3], [0.3, 0.3, 0.2], [0.2, 0.1, 0.0]]).ravel()
START = 14  # temperature .4, 312 tokens: worth 0


def surface(*, values=VALUES, begins=(0,), world="hand", task="task", legal=None) -> Surface:
    """One stretch unless `values` has rows."""
    table = np.atleast_2d(values)
    allowed = np.ones(table.shape[1], bool) if legal is None else legal
    axes = (HEAT, CAPS, *(np.zeros(1),) * 4)
    return Surface(world, task, begins, table, allowed, 1.0, (5, 3, 1, 1, 1, 1), (2, 1, 0, 0, 0, 0), axes, START)


def run(centre, *, policy="mine", rule="improve", world="hand", task="task", params=None, **more) -> Run:
    """A run that tries what is approved."""
    ids = np.asarray(centre, np.int32)
    quiet = {
        "action": ids,
        "reward": VALUES[ids % VALUES.size], "recommended": ids, "confidence": np.full(ids.shape, np.nan),
        "counts": np.zeros((len(ids), 3), np.int32),
    }  # fmt: skip
    where = Named(world, more.pop("start", "default"), more.pop("drift", ""), params, ())
    return Run(where, task, policy, rule, ids, **(quiet | more))
