"""A policy that no longer learns: all that one recommendation needs, and the recommendation.

The uniform behind a draw is a keyed hash of the request id, so the same id gets the same
answer from every copy of a policy, and a log row can be derived again. The masses are
those of `policies.decide.weigh`, the function that simulation uses. Time stands still: a policy
whose exploration decays explores for ever as it did after the evaluations seen before it froze,
none unless told; what a gate has judged was judged, and is served, at none.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import Lattice
from envs.targets import nearest
from envs.tasks import FeatureSpec, TaskFeatures, encode
from envs.world import Scenario
from policies.base import Decision, Spec, Window
from policies.build import BoundedPolicy, learner_policy, ready
from policies.constraints import Bounds, Reason, legal, window
from policies.decide import weigh
from policies.digest import kind_of, policy_text
from policies.masses import TOTAL, draw_slot

__all__ = ["FrozenPolicy", "Recommendation", "freeze_policy", "request_uniform"]

MAX_REQUEST_ID = 1024  # bytes


class Recommendation(NamedTuple):
    """One answer, with all that a log row needs of it.

    Attributes:
        parameters: generation parameters under their names.
        action_id: their id on the lattice.
        propensity: their probability, mass / 2^20.
        masses: (k,) integer masses of the window, summing to 2^20.
        uniform: integer in [0, 2^20) they were drawn with.
        policy_digest: who answered.
        reason: in words.
        window: the (k,) actions that could be chosen; its centre is the approved action.
    """

    parameters: dict[str, float | int | str]
    action_id: int
    propensity: float
    masses: NDArray[np.int32]
    uniform: int
    policy_digest: str
    reason: str
    window: Window


def request_uniform(request_id: str, digest: str) -> int:
    """The integer in [0, 2^20) that belongs to a request and a policy: 64 bits of keyed blake2b, modulo.

    Args:
        request_id: 1 to 1024 bytes of UTF-8.
        digest: the policy's, 64 hex digits.

    Raises:
        ValueError: an empty, overlong or unencodable id.
        TypeError: an id that is not text.

    >>> request_uniform("r-1", "00" * 32) == request_uniform("r-1", "00" * 32)
    True
    """
    if not isinstance(request_id, str):
        raise TypeError(f"request_id = {request_id!r}, need text")
    raw = request_id.encode("utf-8", "replace")
    if not 0 < len(raw) <= MAX_REQUEST_ID or raw.decode() != request_id:
        raise ValueError(f"request_id = {request_id[:40]!r}, need 1 to {MAX_REQUEST_ID} bytes of UTF-8")
    keyed = hashlib.blake2b(raw, digest_size=8, key=bytes.fromhex(digest), person=b"guardband.draw")
    return int.from_bytes(keyed.digest(), "big") % TOTAL


@dataclass(frozen=True, kw_only=True)
class FrozenPolicy:
    """A learner, what it learned, its bounds, and the words to ask it with.

    Attributes:
        params: the learner's `Params`, floor included.
        state: what it has learned (NumPy arrays).
        spec: its static facts.
        limits: hard limits and trust region as lattice integers.
        approved: (tasks,) approved action of each task type, the window's centre.
        task_types: their names.
        features: how a task becomes a context vector.
        lattice: the actions.
        reward_span: width of the declared reward range; ties are told in its unit.
        seen: (tasks,) evaluations of each task type before it froze: the time of every answer.

    Raises:
        ValueError: parts that do not fit each other, or an approved action that is outside the
            lattice or the hard limits.
    """

    params: Any
    state: Any
    spec: Spec
    limits: Bounds
    approved: NDArray[np.int32]
    task_types: tuple[str, ...]
    features: FeatureSpec
    lattice: Lattice
    reward_span: float
    seen: NDArray[np.int32]

    def __post_init__(self) -> None:
        """Refuse what could not answer, or would answer out of bounds."""
        self._check_shapes()
        for name, action in zip(self.task_types, self.approved, strict=True):
            if not 0 <= action < self.lattice.size:
                raise ValueError(f"approved of {name!r} = {action}, need an action id in [0, {self.lattice.size})")
        met = legal(self.lattice, self.limits)[np.arange(len(self.approved)), self.approved]
        for name, action in zip(np.array(self.task_types, object)[~met], self.approved[~met], strict=True):
            raise ValueError(
                f"approved of {name!r} = {action} ({self.lattice.parameters(int(action))}), "
                "need an action within the hard limits that the world has recorded"
            )

    def _check_shapes(self) -> None:
        n_tasks, axes = len(self.task_types), len(self.lattice.axes)
        pairs = {
            "spec.shape": (self.spec.shape, self.lattice.shape),
            "spec.d": (self.spec.d, len(self.features.names)),
            "spec.n_tasks": (self.spec.n_tasks, n_tasks),
            "task_types, distinct": (len(set(self.task_types)), n_tasks),
            "approved.shape": (np.shape(self.approved), (n_tasks,)),
            "seen.shape": (np.shape(self.seen), (n_tasks,)),
            "limits.recorded.shape": (np.shape(self.limits.recorded), (n_tasks, self.lattice.size)),
            "limits.stride.shape": (np.shape(self.limits.stride), (axes, max(self.lattice.shape))),
            **{f"limits.{name}.shape": (np.shape(getattr(self.limits, name)), (axes,)) for name in Bounds._fields[:3]},
        }
        for name, (got, need) in pairs.items():
            if got != need:
                raise ValueError(f"{name} = {got}, need {need}")
        reach = np.abs(np.array(self.spec.offsets)).max(axis=0)
        if np.any(self.limits.radius > reach) or np.any(self.limits.radius < 0):
            raise ValueError(f"limits.radius = {self.limits.radius.tolist()}, need 0 to {reach.tolist()} lattice steps")
        if np.any(self.limits.stride < 1):
            raise ValueError(f"limits.stride holds {np.min(self.limits.stride)}, need at least one lattice step")
        if np.any(self.seen < 0):
            raise ValueError(f"seen holds {np.min(self.seen)}, need a number of evaluations >= 0")
        if not (np.isfinite(self.reward_span) and self.reward_span > 0):
            raise ValueError(f"reward_span = {self.reward_span}, need a finite number > 0")

    @property
    def kind(self) -> str:
        """The learner's name."""
        return kind_of(self.params)

    @cached_property
    def numbers(self) -> Any:
        """The learner's numbers: its parameters, or the tables it makes of them."""
        return ready(self.params, self.spec)

    @cached_property
    def text(self) -> bytes:
        """Its canonical text: `policies.digest.policy_text`."""
        return policy_text(self.params, state=self.state, spec=self.spec)

    @cached_property
    def digest(self) -> str:
        """Its identity, the sha256 of `text`, as `policies.digest.policy_digest`."""
        return hashlib.sha256(self.text).hexdigest()

    def recommend(
        self, task: TaskFeatures, task_type: str, request_id: str, *, prices: tuple[float, float] = (1.0, 1.0)
    ) -> Recommendation:
        """Parameters for one request; the same request id always gets the same answer.

        Args:
            task: what is known of the request.
            task_type: its task type.
            request_id: 1 to 1024 bytes of UTF-8.
            prices: input and output token prices now, relative to those the policy was built with; only
                policies that know prices listen.

        Raises:
            ValueError: an unknown task type (the nearest is named), a model that the features do
                not list, or a bad request id.
            TypeError: a request id that is not text.
        """
        if task_type not in self.task_types:
            near = nearest(task_type, self.task_types)
            raise ValueError(f"task_type = {task_type!r}, need one of {', '.join(self.task_types)}{near}")
        uniform = request_uniform(request_id, self.digest)
        index = np.int32(self.task_types.index(task_type))
        held = window(self.spec, self.limits, self.approved[index], index)
        known = np.int32(self.seen[index]), np.float64(self.reward_span), np.array(prices, np.float64)
        asked = Decision(encode(task, self.features), index, *known, held)
        masses = weigh(learner_policy(self.params, self.spec.lean()), self.numbers, self.state, asked)
        slot = int(draw_slot(masses, np.int32(uniform)))
        action = int(held.action_ids[slot])
        return Recommendation(
            parameters=self.lattice.parameters(action),
            action_id=action,
            propensity=int(masses[slot]) / TOTAL,
            masses=masses,
            uniform=uniform,
            policy_digest=self.digest,
            reason=self._reason(held, masses, slot),
            window=held,
        )

    def _reason(self, held: Window, masses: NDArray[np.int32], slot: int) -> str:
        """What was chosen against the approved parameters, and from how many."""
        home, there = (self.lattice.parameters(int(held.action_ids[s])) for s in (held.incumbent, slot))
        moved = [f"{name} {_told(home[name])} -> {_told(there[name])}" for name in home if home[name] != there[name]]
        what = "moves " + ", ".join(moved) if moved else "keeps the approved parameters"
        counts = Counter(Reason(int(code)) for code in held.reason if code)
        left_out = [f"{n} {reason.name.lower().replace('_', ' ')}" for reason, n in sorted(counts.items())]
        possible = f"{np.count_nonzero(masses)} of {np.count_nonzero(held.feasible)} feasible actions had a chance"
        return f"{what}; {possible}" + (f" (left out: {', '.join(left_out)})" if left_out else "")


def _told(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def freeze_policy(
    scenario: Scenario,
    bounded: BoundedPolicy,
    *,
    state: Any,
    approved: NDArray[np.int32] | None = None,
    seen: NDArray[np.int32] | None = None,
) -> FrozenPolicy:
    """A bounded policy as it stands: what it has learned and what is approved.

    Args:
        scenario: where it learned.
        bounded: its functions and numbers.
        state: the learner's own state (`BoundedState.inner`), arrays of any library and precision.
        approved: (tasks,) approved actions; None for the start of `bounded`.
        seen: (tasks,) evaluations so far (`BoundedState.seen`), None for none: the time at which a policy that
            depends on it was judged.

    Raises:
        ValueError: as `FrozenPolicy`.
    """
    inner = state if state == () else type(state)(*(_exact(leaf) for leaf in state))
    limits = Bounds(*(np.asarray(leaf) for leaf in bounded.params.limits))
    return FrozenPolicy(
        params=bounded.settings,
        state=inner,
        spec=bounded.spec,
        limits=limits,
        approved=np.asarray(bounded.params.start if approved is None else approved, np.int32),
        task_types=scenario.population.names,
        features=scenario.population.spec,
        lattice=scenario.lattice,
        reward_span=scenario.reward_span,
        seen=np.zeros(len(scenario.population.names), np.int32) if seen is None else np.asarray(seen, np.int32),
    )


def _exact(leaf: Any) -> NDArray[Any]:
    array = np.asarray(leaf)
    return array.astype(np.float64) if array.dtype.kind == "f" else array.astype(np.int32)
