"""A learner that believes what it is told: one table of means, one spread; for approvals by hand."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from envs.lattice import AxisRange, Lattice, LatticeRanges
from policies import approval, constraints
from policies.base import Belief, Choice, Policy, Question, Spec
from policies.constrained import BoundedParams, BoundedState, constrained
from policies.constraints import Bounds, bounds, legal, offsets
from policies.masses import TOTAL
from tests.hand import decision, feedback

DRAWS = np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(1.25)  # mean 0, variance 1


class Told(NamedTuple):
    """(actions,) means and spreads; with equal spreads, two actions differ by their means in every draw."""

    mean: Any
    spread: Any
    floor: Any = 0.0


def believes(params: Told, _state: Any, question: Question, ids: Any) -> Belief:
    mean, spread = params.mean[ids], params.spread[ids]
    return Belief(mean, spread, mean[:, None] + spread[:, None] * DRAWS[None, :])


BELIEVER = Policy(
    init=lambda params: (),
    window=None,
    belief=believes,
    probs=lambda params, state, here, held: here.window.feasible / here.window.feasible.sum(),
    update=lambda params, state, here, choice, told: state,
    outlook=lambda params, state, question: params.mean,
)
SILENT = BELIEVER._replace(belief=None, outlook=None)


def line(n: int) -> Lattice:
    """N caps, 100 apart from 100 on; nothing else moves."""
    last = str(100 * n)
    return Lattice.from_ranges(LatticeRanges(AxisRange("1", "1", "0.1"), AxisRange("100", last, "100")))


@dataclass
class Walk:
    """A bounded believer at work on one task type."""

    lattice: Lattice
    rule: approval.Params
    limits: constraints.Params = constraints.Params()
    recorded: Any = None
    start: int = 0
    inner: Policy = BELIEVER

    def __post_init__(self) -> None:
        seen = np.ones((1, self.lattice.size), np.bool_) if self.recorded is None else self.recorded
        self.spec = Spec(self.lattice.shape, (), offsets(self.lattice, self.limits), n_tasks=1, d=1, reservoir=2)
        self.bounds: Bounds = bounds(self.lattice, self.limits, recorded=seen)
        self.policy = constrained(self.spec, self.inner, passage=self.rule.rule == approval.PASSAGE)
        self.params = BoundedParams(
            None,
            self.bounds,
            approval.leaves(self.rule),
            np.array([self.start], np.int32),
            legal(self.lattice, self.bounds),
        )
        self.state: BoundedState = self.policy.init(self.params)

    @property
    def at(self) -> int:
        """What is approved."""
        return int(self.state.approved[0])

    def here(self) -> Any:
        """The decision now."""
        assert self.policy.window is not None
        return decision(self.policy.window(self.params, self.state, np.int32(0)), features=[0.0])

    def evaluate(self, mean: Any, *, spread: Any = 1e-6, reward: float = 0.0, slot: int | None = None) -> int:
        """One evaluation under a belief; returns what is approved after it."""
        table = np.broadcast_to(np.asarray(spread, np.float64), self.lattice.size)
        params = self.params._replace(inner=Told(np.asarray(mean, np.float64), table))
        now = self.here()
        slot = int(now.window.incumbent) if slot is None else slot
        chosen = Choice(np.int32(slot), now.window.action_ids[slot], np.int32(TOTAL))
        self.state = self.policy.update(params, self.state, now, chosen, feedback(reward))
        return self.at
