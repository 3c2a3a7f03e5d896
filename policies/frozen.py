"""A policy that no longer learns: all that one recommendation needs, and the recommendation.

The same request id gets the same answer from every copy. The masses are those of
`policies.decide.weigh`, the function that simulation uses, recorded once and played back (`policies.serving`).
Bad data in a request is no exception: it gets the approved parameters of its task type, or the fallback where the
task type itself is unknown, and the reason. Time stands still: a policy whose exploration decays explores for ever
as it did after the evaluations seen before it froze, none unless told; what a gate has judged was judged, and is
served, at none.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.lattice import Lattice
from envs.targets import nearest
from envs.tasks import FeatureSpec, TaskFeatures, encode
from envs.world import Scenario
from policies.base import Decision, Policy, Spec, Window
from policies.build import BoundedPolicy, learner_policy, ready
from policies.constraints import Bounds, Reason, legal, start
from policies.decide import asked_in
from policies.digest import kind_of, policy_text
from policies.masses import TOTAL
from policies.request import read_prices, read_task, request_seed, request_uniform, said, shown
from policies.serving import Server, drawn, prepare

__all__ = ["REQUEST", "FrozenPolicy", "Recommendation", "freeze_policy"]

REQUEST = "gen_ai.request."  # OpenTelemetry's prefix of generation parameters
MAX_STOPS = 16  # stop sequences of a task type
MAX_STOP = 256  # characters of one
_PAIR = (1.0, 1.0)
_SHOWN, _LISTED, _LONGEST = 60, 16, 400  # in a refusal: characters of a value, task types, characters in all


@dataclass(frozen=True, eq=False, kw_only=True)
class Recommendation:
    """One answer, with all that a log row needs of it.

    Attributes:
        parameters: generation parameters under their OpenTelemetry names, `gen_ai.request.seed` and
            `gen_ai.request.stop_sequences` among them; no seed where the request id was bad.
        action_id: their id on the lattice.
        propensity: their probability, mass / 2^20.
        masses: (k,) integer masses of the window, summing to 2^20.
        uniform: integer in [0, 2^20) they were drawn with; None where nothing was drawn.
        policy_digest: who answered.
        window: the (k,) actions that could be chosen; its centre is the approved action.
        refusal: why the request was not put to the policy; empty where it was.
    """

    parameters: dict[str, Any]
    action_id: int
    propensity: float
    masses: NDArray[np.int32]
    uniform: int | None
    policy_digest: str
    window: Window
    refusal: str = ""
    _slot: int = field(repr=False)
    _decision: Decision | None = field(repr=False)
    _policy: "FrozenPolicy" = field(repr=False)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(k,) probability of every action of the window; they sum to exactly 1."""
        return self.masses / TOTAL

    @cached_property
    def reason(self) -> str:
        """In words: what was chosen against the approved parameters, and from how many; or why nothing was chosen."""
        return self.refusal or self._policy.explain(self.window, self.masses, self._slot)

    @cached_property
    def confidence(self) -> float | None:
        """The policy's own probability, in [0, 1], that this action is worth at least the approved one.

        The share of its posterior draws in which that holds; None where the policy has no posterior, or was not asked.
        """
        policy, asked = self._policy, self._decision
        if asked is None or policy.learner.belief is None:
            return None
        ids = np.stack([self.window.action_ids[self._slot], self.window.action_ids[self.window.incumbent]])
        held = policy.learner.belief(policy.numbers, policy.state, asked_in(asked), self.window.action_ids)
        here, home = held.draws[self._slot], held.draws[self.window.incumbent]
        return 1.0 if ids[0] == ids[1] else float(np.mean(here >= home))


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
        fallback: action id of the answer where the task type is unknown.
        stops: (tasks) stop sequences that the answer carries.

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
    fallback: int
    stops: tuple[tuple[str, ...], ...]

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
        self._check_rest()

    def _check_rest(self) -> None:
        if not 0 <= self.fallback < self.lattice.size:
            raise ValueError(f"fallback = {self.fallback}, need an action id in [0, {self.lattice.size})")
        point = self.lattice.decode(np.array([self.fallback]))[0]
        if np.any((point < self.limits.lowest) | (point > self.limits.highest)):
            raise ValueError(
                f"fallback = {self.fallback} ({self.lattice.parameters(self.fallback)}), "
                "need an action within the hard limits"
            )
        for name, words in zip(self.task_types, self.stops, strict=True):
            if len(words) > MAX_STOPS or not all(0 < len(word) <= MAX_STOP for word in words):
                need = f"at most {MAX_STOPS} sequences of 1 to {MAX_STOP} characters"
                raise ValueError(f"stop sequences of {name!r} = {list(words)!r:.60}, need {need}")

    def _check_shapes(self) -> None:
        n_tasks, axes = len(self.task_types), len(self.lattice.axes)
        pairs = {
            "spec.shape": (self.spec.shape, self.lattice.shape),
            "spec.d": (self.spec.d, len(self.features.names)),
            "spec.n_tasks": (self.spec.n_tasks, n_tasks),
            "task_types, distinct": (len(set(self.task_types)), n_tasks),
            "approved.shape": (np.shape(self.approved), (n_tasks,)),
            "seen.shape": (np.shape(self.seen), (n_tasks,)),
            "stops, one tuple per task type": (len(self.stops), n_tasks),
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

    @cached_property
    def learner(self) -> Policy:
        """The learner's functions."""
        return learner_policy(self.params, self.spec.lean())

    @cached_property
    def server(self) -> Server:
        """What answers: its windows and programs, made ready once."""
        return prepare(self)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """Per task type, what may be chosen."""
        return self.server.windows

    @cached_property
    def _named(self) -> dict[int, dict[str, Any]]:
        """The parameters of actions that were sent before, under their OpenTelemetry names."""
        return {}

    def decision(self, task: TaskFeatures, index: int, prices: NDArray[np.float64]) -> Decision:
        """What the learner is asked about a request of one task type.

        Raises:
            ValueError: a model that the features do not list.
        """
        known = np.int32(self.seen[index]), np.float64(self.reward_span), prices
        return Decision(encode(task, self.features), np.int32(index), *known, self.windows[index])

    def masses(self, asked: Decision) -> NDArray[np.int32]:
        """(k,) integer masses of a decision, summing to 2^20."""
        return self.server.weigh(asked.features, int(asked.task), asked.prices)

    def recommend(
        self,
        features: TaskFeatures | Mapping[str, object],
        task_type: str,
        request_id: str,
        *,
        prices: Sequence[float] = _PAIR,
    ) -> Recommendation:
        """Parameters for one request; the same request id always gets the same answer.

        Never an exception, whatever is sent: a request that can't be read gets the approved parameters of its task
        type, or the fallback where that is unknown, with propensity 1 and the reason.

        Args:
            features: what is known of the request, as `envs.tasks.TaskFeatures` or its fields by name.
            task_type: its task type.
            request_id: 1 to 1024 bytes of UTF-8.
            prices: input and output token prices now, relative to those the policy was built with; only
                policies that know prices listen.
        """
        if type(task_type) is not str or task_type not in self.task_types:
            near = nearest(task_type[:_SHOWN], self.task_types) if isinstance(task_type, str) else ""
            known = ", ".join(self.task_types[:_LISTED]) + (", ..." if len(self.task_types) > _LISTED else "")
            return self._settled(None, request_id, f"task_type = {shown(task_type)}, need one of {known}{near}")
        index = self.task_types.index(task_type)
        try:
            asked = self.decision(read_task(features), index, read_prices(prices))
            uniform = request_uniform(request_id, self.digest)
        except Exception as error:  # whatever a caller's objects raise when they are looked at
            return self._settled(index, request_id, said(error)[:_LONGEST])
        masses = self.masses(asked)
        slot = drawn(masses, uniform)
        action = int(asked.window.action_ids[slot])
        return Recommendation(
            parameters=self.sent(action, index, request_id),
            action_id=action,
            propensity=int(masses[slot]) / TOTAL,
            masses=masses,
            uniform=uniform,
            policy_digest=self.digest,
            window=asked.window,
            _slot=slot,
            _decision=asked,
            _policy=self,
        )

    def _settled(self, index: int | None, request_id: str, why: str) -> Recommendation:
        """What a request gets that can't be put to the policy."""
        if index is None:
            one = np.array([self.fallback], np.int32)
            held = Window(one, np.ones(1, np.bool_), np.zeros(1, np.int32), np.int32(0))
        else:
            held = self.windows[index]
        slot = int(held.incumbent)
        masses = np.zeros(len(held.action_ids), np.int32)
        masses[slot] = TOTAL
        action = int(held.action_ids[slot])
        return Recommendation(
            parameters=self.sent(action, index, request_id),
            action_id=action,
            propensity=1.0,
            masses=masses,
            uniform=None,
            policy_digest=self.digest,
            window=held,
            refusal=f"{'fallback' if index is None else 'approved parameters'}: " + " ".join(why.split()),
            _slot=slot,
            _decision=None,
            _policy=self,
        )

    def sent(self, action: int, index: int | None, request_id: str) -> dict[str, Any]:
        """Generation parameters under their OpenTelemetry names, a fresh mapping.

        Args:
            action: its id.
            index: of the task type; None where it is unknown.
            request_id: whose seed goes along; none where it is bad.
        """
        if action not in self._named:
            self._named[action] = {REQUEST + name: value for name, value in self.lattice.parameters(action).items()}
        named = self._named[action].copy()
        named[REQUEST + "stop_sequences"] = list(self.stops[index]) if index is not None else []
        with suppress(Exception):  # a bad id: a made-up seed would look like a good one
            named[REQUEST + "seed"] = request_seed(request_id)
        return named

    def explain(self, held: Window, masses: NDArray[np.int32], slot: int) -> str:
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
    stops: Mapping[str, Sequence[str]] | None = None,
) -> FrozenPolicy:
    """A bounded policy as it stands: what it has learned and what is approved.

    Args:
        scenario: where it learned.
        bounded: its functions and numbers.
        state: the learner's own state (`BoundedState.inner`), arrays of any library and precision.
        approved: (tasks,) approved actions; None for the start of `bounded`.
        seen: (tasks,) evaluations so far (`BoundedState.seen`), None for none: the time at which a policy that
            depends on it was judged.
        stops: task type -> stop sequences that its answers carry; none where a task type is not named.

    Raises:
        ValueError: as `FrozenPolicy`.
    """
    names = scenario.population.names
    unknown = sorted(set(stops or {}) - set(names))
    if unknown:
        near = nearest(unknown[0], names)
        raise ValueError(f"stop sequences of {unknown[0]!r}, need task types among {', '.join(names)}{near}")
    inner = state if state == () else type(state)(*(_exact(leaf) for leaf in state))
    limits = Bounds(*(np.asarray(leaf) for leaf in bounded.params.limits))
    return FrozenPolicy(
        params=bounded.settings,
        state=inner,
        spec=bounded.spec,
        limits=limits,
        approved=np.asarray(bounded.params.start if approved is None else approved, np.int32),
        task_types=names,
        features=scenario.population.spec,
        lattice=scenario.lattice,
        reward_span=float(scenario.reward_span),
        seen=np.zeros(len(names), np.int32) if seen is None else np.asarray(seen, np.int32),
        fallback=_fallback(start(scenario.lattice, limits, scenario.baseline)),
        stops=tuple(tuple((stops or {}).get(name, ())) for name in names),
    )


def _fallback(starts: NDArray[np.int32]) -> int:
    """The commonest start of the task types, the lowest id among equals: what production did before."""
    ids, counts = np.unique(starts, return_counts=True)
    return int(ids[np.argmax(counts)])


def _exact(leaf: Any) -> NDArray[Any]:
    array = np.asarray(leaf)
    return array.astype(np.float64) if array.dtype.kind == "f" else array.astype(np.int32)
