"""What a policy is: a deterministic map from what is known to a probability vector.

Nothing here draws an action; `policies.decide` does, once, for all policies. Functions
are pure and written against the Python Array API, so JAX compiles them, NumPy serves
with them, and ONNX is traced from the same lines.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from envs.arrays import Array

__all__ = ["Belief", "Choice", "Decision", "Feedback", "Policy", "Spec", "Window"]

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
        window: what may be chosen.
    """

    features: Array
    task: Array
    t: Array
    span: Array
    window: Window


class Choice(NamedTuple):
    """What was drawn: () slot, action id, and probability mass out of 2^20."""

    slot: Array
    action_id: Array
    mass: Array


class Feedback(NamedTuple):
    """What came back: () reward, and False in `valid` when nothing usable arrived."""

    reward: Array
    valid: Array


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
        belief: (params, state, contexts (r, d), task, action_ids (m,)) -> Belief averaged over the
            r contexts, at any lattice points; None without a posterior.
        probs: (params, state, decision, belief of the window or None) -> (k,), sums to 1, 0 where infeasible.
        update: (params, state, decision, choice, feedback) -> State; invalid feedback leaves it bit-equal.
    """

    init: Callable[[Any], Any]
    window: Callable[[Any, Any, Array], Window] | None
    belief: Callable[..., Belief] | None
    probs: Callable[..., Array]
    update: Callable[..., Any]
