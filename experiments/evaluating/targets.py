"""Who is judged: the logger itself (the control), a policy that need not learn, a bundle, or a column of the file.

A target answers with its probabilities on each row's logged slots. What a bundle would do outside the logged
window is left out of them: it is unsupported mass, reported and never renormalised away.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.targets import nearest, refuse
from evaluators.reading.batches import Batch, Facts
from policies.base import MAX_WINDOW, Decision, Spec, Window
from policies.build import learner_policy, ready
from policies.bundle import read_candidate
from policies.decide import weigh
from policies.frozen import FrozenPolicy
from policies.masses import TOTAL

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

__all__ = ["Target", "bundle_target", "column_target", "logger_target", "policy_target"]

UNTAUGHT = ("fixed", "uniform")  # learners that are the same before and after a log
REMEMBERED = 2**13  # answers of a bundle that are kept for requests alike: at most 60 MB


class Target(NamedTuple):
    """A policy as columns of a batch.

    `whole` gives (n, k) probabilities, `logged` (n,) those of the logged actions; exactly one is there, and
    `logged` also where a batch's logger is known at its action only and is the target itself.
    """

    name: str
    whole: Callable[[Batch], Floats | None]
    logged: Callable[[Batch], Floats | None]


def _nothing(_: Batch) -> None:
    return None


def logger_target() -> Target:
    """The logger: its value is the mean reward, every weight is 1, and the difference to it is 0."""
    return Target("logger", lambda batch: batch.behavior, lambda batch: batch.propensity)


def column_target(name: str) -> Target:
    """Probabilities that stand in the file, whole or of the logged action."""
    return Target(name, lambda batch: batch.target, lambda batch: batch.target_logged)


def policy_target(settings: Any, *, name: str, incumbent: str, facts: Facts) -> Target:
    """A policy that is the same before and after learning, on the actions of each row.

    Args:
        settings: its `Params`.
        name: for tables.
        incumbent: label of the action that production takes now; our own log says it itself.
        facts: of the file.

    Raises:
        ConfigError: a policy that has to learn, an unknown incumbent, or too many slots.
    """
    kind = type(settings).__module__.rsplit(".", 1)[-1]
    if kind not in UNTAUGHT:
        need = f"{' or '.join(UNTAUGHT)}; one that learns is judged as the bundle it leaves: experiment.target=DIR"
        raise refuse("policy", name, need)
    if facts.n_slots > MAX_WINDOW:
        raise refuse("policy", name, f"a log of at most {MAX_WINDOW} slots, this one has {facts.n_slots}")
    home, is_homed = 0, kind == "fixed"
    if is_homed and not facts.is_windowed:
        if incumbent not in facts.labels:
            shown = ", ".join(facts.labels[:20])
            need = f"one of the actions {shown}{nearest(incumbent, facts.labels)}"
            raise refuse("experiment.incumbent", incumbent, need)
        home = facts.labels.index(incumbent)
    asked = _Asked(settings, facts.n_slots, home, is_homed)
    return Target(name, asked.table, _nothing)


@dataclass(frozen=True)
class _Asked:
    """A policy that needs no context, asked once per distinct window."""

    settings: Any
    k: int
    home: int
    is_homed: bool  # plays the incumbent, and nothing where a row could not
    known: dict[bytes, Floats] = field(default_factory=dict)

    def table(self, batch: Batch) -> Floats:
        """(n, k) its probabilities."""
        mask = np.ones((batch.row.size, self.k), np.bool_) if batch.mask is None else batch.mask
        home = np.full(batch.row.size, self.home)
        if batch.windows is not None:  # infeasible slots may repeat the centre's id
            home = ((batch.windows.action_ids == batch.windows.centre[:, None]) & mask).argmax(axis=1)
        keys = np.concatenate([np.packbits(mask, axis=1), home.astype("<i2").view(np.uint8).reshape(-1, 2)], axis=1)
        distinct, first, back = _distinct(keys)
        found = [self._probs(key, mask[at], int(home[at])) for key, at in zip(distinct, first, strict=True)]
        return np.stack(found)[back]

    def _probs(self, key: bytes, mask: NDArray[np.bool_], home: int) -> Floats:
        if key not in self.known:
            if mask[home] or not self.is_homed:
                spec = Spec(shape=(self.k,), positions=(), offsets=tuple((i,) for i in range(self.k)), n_tasks=1, d=1)
                none = np.zeros(self.k, np.int32)
                held = Window(np.arange(self.k, dtype=np.int32), mask, none, np.int32(home))
                asked = Decision(np.zeros(1), np.int32(0), np.int32(0), np.float64(1.0), np.ones(2), held)
                numbers = ready(self.settings, spec)
                self.known[key] = weigh(learner_policy(self.settings, spec), numbers, (), asked) / TOTAL
            else:
                self.known[key] = np.zeros(self.k)  # the row's own actions lack the incumbent: all of it is unsupported
        return self.known[key]


def _distinct(keys: NDArray[np.uint8]) -> tuple[list[bytes], Ints, Ints]:
    """Distinct rows of bytes, where each stood first, and which of them each row is."""
    whole = np.ascontiguousarray(keys).view(np.dtype((np.void, keys.shape[1])))[:, 0]
    distinct, first, back = np.unique(whole, return_index=True, return_inverse=True)
    return [one.tobytes() for one in distinct], first, back


def bundle_target(folder: Path) -> Target:
    """A bundle or a vetting run's candidate: what production would have answered to each logged request.

    Judging is not serving: evidence that would not let it out, or an ended waiver, does not matter here.

    Raises:
        BundleError: as `policies.bundle.read_candidate`.
    """
    return Target(f"bundle {folder.name}", _Served(read_candidate(folder).policy).table, _nothing)


@dataclass(frozen=True)
class _Served:
    """A frozen policy, asked once per distinct request and window."""

    policy: FrozenPolicy
    known: dict[bytes, Floats] = field(default_factory=dict)

    def table(self, batch: Batch) -> Floats:
        """(n, k) its probabilities on the logged slots.

        Raises:
            ConfigError: a log that does not say what was asked.
            ValueError: requests that the bundle does not know.
        """
        there = batch.windows
        if there is None or batch.mask is None:
            raise refuse("experiment.target", "a bundle", "our own log: other files do not hold the request and window")
        if there.features.shape[1] != self.policy.spec.d:
            got, need = there.features.shape[1], self.policy.spec.d
            raise ValueError(
                f"the log's contexts have {got} entries, the bundle needs {need}; was it learned elsewhere?"
            )
        task = np.array([self._task(name) for name in there.task_type.tolist()], np.int64)
        words = np.concatenate([there.features, task[:, None], there.action_ids, batch.mask], axis=1)
        distinct, first, back = _distinct(words.view(np.uint8).reshape(len(words), -1))
        if len(self.known) > REMEMBERED:
            self.known.clear()
        return np.stack(
            [self._probs(key, batch, int(at), int(task[at])) for key, at in zip(distinct, first, strict=True)]
        )[back]

    def _task(self, name: str) -> int:
        if name not in self.policy.task_types:
            need = ", ".join(self.policy.task_types)
            raise ValueError(
                f"the log's task type {name!r}, the bundle knows {need}{nearest(name, self.policy.task_types)}"
            )
        return self.policy.task_types.index(name)

    def _probs(self, key: bytes, batch: Batch, at: int, task: int) -> Floats:
        if key not in self.known:
            there, policy, kind = batch.windows, self.policy, np.int32(task)
            assert there is not None and batch.mask is not None
            held = policy.windows[task]
            asked = Decision(
                there.features[at], kind, np.int32(policy.seen[task]), np.float64(policy.reward_span), np.ones(2), held
            )
            masses = policy.masses(asked)
            same = (there.action_ids[at][:, None] == held.action_ids) & batch.mask[at][:, None]
            self.known[key] = same @ (masses / TOTAL)
        return self.known[key]
