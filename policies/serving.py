"""A frozen policy made ready to answer: all that no request changes is computed once.

Each task type has its window and a program: `policies.decide.weigh` of the policy's own functions,
recorded around that window (`policies.tape`). So masses are equal bit for bit to those that the
functions themselves give, and no learner needs a second definition to be served fast.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array
from policies.base import Decision, Spec, Window
from policies.build import learner_policy, ready
from policies.constraints import Bounds, window
from policies.decide import weigh
from policies.tape import Program, record

__all__ = ["Parts", "Server", "drawn", "prepare"]


class Parts(Protocol):
    """What is served: each part is described where a policy has it, in `policies.frozen.FrozenPolicy`."""

    @property
    def params(self) -> Any:
        """The learner's `Params`."""

    @property
    def state(self) -> Any:
        """What it has learned."""

    @property
    def spec(self) -> Spec:
        """Its static facts."""

    @property
    def limits(self) -> Bounds:
        """Hard limits and trust region."""

    @property
    def approved(self) -> NDArray[np.int32]:
        """(tasks,) the windows' centres."""

    @property
    def seen(self) -> NDArray[np.int32]:
        """(tasks,) the time of every answer."""

    @property
    def reward_span(self) -> float:
        """Width of the declared reward range."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A frozen policy's windows and programs; nothing of it is ever written, so threads may share it.

    Attributes:
        facts: per task type a decision that lacks only its request: context 0, prices 1.
        programs: per task type, (context, prices) -> (masses,).
    """

    facts: tuple[Decision, ...]
    programs: tuple[Program, ...]

    @property
    def windows(self) -> tuple[Window, ...]:
        """The window of each task type; its arrays are read-only."""
        return tuple(known.window for known in self.facts)

    def weigh(self, context: NDArray[np.float64], task: int, prices: NDArray[np.float64]) -> NDArray[np.int32]:
        """Integer masses of a request's window.

        Args:
            context: (d,) context vector.
            task: index of the task type.
            prices: (2,) as in `policies.base.Decision`.

        Returns:
            (k,) those of `policies.decide.weigh`, bit for bit, in an array of the caller's own.

        Raises:
            ValueError: arrays of other shapes, or of another dtype than float64.
        """
        known = self.facts[task]
        for name, got, like in (("context", context, known.features), ("prices", prices, known.prices)):
            if got.shape != like.shape or got.dtype != like.dtype:
                raise ValueError(f"{name} is {got.dtype} of shape {got.shape}, need float64 of shape {like.shape}")
        masses: NDArray[np.int32] = self.programs[task](context, prices)[0]
        return masses


def drawn(masses: NDArray[np.int32], uniform: int) -> int:
    """The slot that a uniform draws: `policies.masses.draw_slot` for NumPy alone.

    Args:
        masses: (k,) summing to 2^20.
        uniform: integer in [0, 2^20).

    >>> [drawn(np.array([0, 524288, 524288], np.int32), u) for u in (0, 524287, 524288)]
    [1, 1, 2]
    """
    return int(masses.cumsum().searchsorted(uniform, side="right"))


def _facts(parts: Parts) -> Iterator[Decision]:
    for task in map(np.int32, range(parts.spec.n_tasks)):
        held = window(parts.spec, parts.limits, parts.approved[task], task)
        for leaf in held:
            leaf.setflags(write=False)
        known = np.int32(parts.seen[task]), np.float64(parts.reward_span)
        yield Decision(np.zeros(parts.spec.d), task, *known, np.ones(2), held)


def prepare(parts: Parts) -> Server:
    """A server of a policy; its arrays must not be written from here on.

    Raises:
        TypeError: a learner whose functions branch on numbers, which neither JAX nor ONNX could run.
        AttributeError: one that asks an array for what the Python Array API has not.
    """
    policy, numbers = learner_policy(parts.params, parts.spec.lean()), ready(parts.params, parts.spec)
    facts = tuple(_facts(parts))

    def program(known: Decision) -> Program:
        def masses(context: Array, prices: Array) -> tuple[Array]:
            asked = known._replace(features=context, prices=prices)
            return (weigh(policy, numbers, parts.state, asked),)

        return record(masses, known.features, known.prices)

    return Server(facts=facts, programs=tuple(map(program, facts)))
