"""What a policy is: a deterministic map from what is known to a probability vector.

Nothing here draws an action; `policies.decide` does, once, for all policies. Functions
are pure and written against the Python Array API, so JAX compiles them, NumPy serves
with them, and ONNX is traced from the same lines.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from envs.arrays import Array
from envs.world import Outcome

__all__ = ["Belief", "Choice", "Decision", "Feedback", "Policy", "Question", "Spec", "Window"]

MAX_WINDOW = 256  # slots of a window, and action slots of a disjoint learner


class Spec(NamedTuple):
    """Static facts of a policy: hashable, so that equal specs share one compilation.

    Attributes:
        shape: values per lattice axis.
        positions: per axis, each value's place in [0, 1].
        offsets: (k) window slots as coordinate offsets from the centre, ascending id.
        n_tasks: task types.
        d: entries of the context vector.
        features: `shared` (one joint posterior over phi(context, parameters)) or `disjoint`.
        knots: per axis, number of straight pieces of phi along it.
        interactions: context entries that bend phi along the parameter axes.
        n_draws: posterior draws behind a shared Thompson vector and behind approvals.
        reservoir: contexts per task type that an approval averages over.
        values: per axis, its values in their own unit (of `model`, places from 0).
        worth: (tasks, 6) reward weights, in the order of `envs.reward.Weights`; may be empty.
        prices: (models, 2) USD per million input and output tokens; empty where the world knows none.
    """

    shape: tuple[int, ...]
    positions: tuple[tuple[float, ...], ...]
    offsets: tuple[tuple[int, ...], ...]
    n_tasks: int
    d: int
    features: str = "shared"
    knots: tuple[int, ...] = ()
    interactions: tuple[int, ...] = ()
    n_draws: int = 64
    reservoir: int = 16
    values: tuple[tuple[float, ...], ...] = ()
    worth: tuple[tuple[float, ...], ...] = ()
    prices: tuple[tuple[float, ...], ...] = ()

    def lean(self) -> "Spec":
        """The facts that shape a program; without the numbers of the world, which travel as arrays."""
        return self._replace(values=(), worth=(), prices=())

    @property
    def k(self) -> int:
        """Slots of the window."""
        return len(self.offsets)

    @property
    def centre(self) -> int:
        """The slot of the incumbent."""
        return self.offsets.index((0,) * len(self.shape))


class Window(NamedTuple):
    """The block of actions a decision may choose from, in ascending id.

    Attributes:
        action_ids: (k,) ids; slots outside the lattice repeat the centre's id and are infeasible.
        feasible: (k,) boolean.
        reason: (k,) integer, `policies.constraints.Reason` of each exclusion, 0 where feasible.
        incumbent: () slot of the last approved action (the centre).
    """

    action_ids: Array
    feasible: Array
    reason: Array
    incumbent: Array


class Decision(NamedTuple):
    """What is known before acting.

    Attributes:
        features: (d,) context vector.
        task: () task type.
        t: () evaluation of this task type, from 0.
        span: () width of the declared reward range; ties are told in its unit.
        prices: (2,) input and output token prices now, relative to those of `Spec.prices`.
        window: what may be chosen.
    """

    features: Array
    task: Array
    t: Array
    span: Array
    prices: Array
    window: Window


class Choice(NamedTuple):
    """What was drawn: () slot, action id, and probability mass out of 2^20."""

    slot: Array
    action_id: Array
    mass: Array


UNKNOWN = Outcome(*(np.float64(np.nan),) * 7)  # parts that nobody recorded


class Feedback(NamedTuple):
    """What came back: () reward, False in `valid` when nothing usable arrived, and the outcome's parts, () each.

    A learner that reads parts leaves its state alone where they are NaN.
    """

    reward: Array
    valid: Array
    outcome: Outcome = UNKNOWN


class Question(NamedTuple):
    """What a belief is asked about: (r, d) contexts of one () task type, (2,) prices as in `Decision`."""

    contexts: Array
    task: Array
    prices: Array


class Belief(NamedTuple):
    """A posterior over expected rewards at m actions: (m,) mean and sd, (m, s) joint draws."""

    mean: Array
    sd: Array
    draws: Array


class Policy(NamedTuple):
    """Pure functions; every number is a traced leaf of `params`.

    Attributes:
        init: params -> State.
        window: (params, state, task) -> Window; None for a bare learner, which is handed one.
        belief: (params, state, question, action_ids (m,)) -> Belief averaged over the question's
            contexts, at any lattice points; None without a posterior.
        probs: (params, state, decision, belief of the window or None) -> (k,), sums to 1, 0 where infeasible.
        update: (params, state, decision, choice, feedback) -> State; invalid feedback leaves it bit-equal.
        outlook: (params, state, question) -> (actions,) posterior mean at every lattice point; None where
            a learner has no cheap one.
    """

    init: Callable[[Any], Any]
    window: Callable[[Any, Any, Array], Window] | None
    belief: Callable[..., Belief] | None
    probs: Callable[..., Array]
    update: Callable[..., Any]
    outlook: Callable[..., Array] | None = None
