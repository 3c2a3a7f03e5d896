"""Task features: what is known of a request before its parameters are chosen.

A task becomes a context vector (fixed transforms, named in a hashable `FeatureSpec` that
a bundle carries) and a 128-bit fingerprint over a tagged, length-prefixed encoding, so
that None, 0, "" and False never collide.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FeatureSpec", "TaskFeatures", "encode", "fingerprint", "parse_task"]

CLIP = 3.0  # context entries lie in [-CLIP, CLIP], whatever a caller sends
MAX_COUNT = 10**12
_SHOWN = 60  # characters of a value that a message shows


@dataclass(frozen=True)
class TaskFeatures:
    """The features of one task; counts are >= 0, None means not known.

    Raises:
        ValueError: a negative, non-finite or absurd number, or a risk tier outside 1..3.
        TypeError: a value of the wrong kind.
    """

    risk_tier: int = 2
    title_length: int = 0
    description_length: int = 0
    acceptance_criteria_count: int = 0
    scope_files_count: int = 0
    max_files: int = 0
    max_loc: int = 0
    has_external_deps: bool = False
    complexity_indicators: tuple[str, ...] = ()
    model_name: str | None = None
    prompt_tokens: int | None = None
    prior_failures: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no later stage could make sense of."""
        if isinstance(self.risk_tier, bool) or not isinstance(self.risk_tier, int) or not 1 <= self.risk_tier <= 3:
            raise ValueError(f"risk_tier = {_shown(self.risk_tier)}, need 1 (strict), 2 or 3 (lax)")
        for name in _COUNTS:
            _check_count(name, getattr(self, name))
        if not isinstance(self.has_external_deps, bool):
            raise TypeError(f"has_external_deps = {_shown(self.has_external_deps)}, need true or false")
        if not (self.model_name is None or isinstance(self.model_name, str)):
            raise TypeError(f"model_name = {_shown(self.model_name)}, need a string or null")
        indicators = self.complexity_indicators
        if not (isinstance(indicators, tuple) and all(isinstance(i, str) for i in indicators)):
            raise TypeError(f"complexity_indicators = {_shown(indicators)}, need a list of strings")
        _check_text("model_name", self.model_name or "")
        for one in indicators:
            _check_text("complexity_indicators", one)


_COUNTS = (
    "title_length",
    "description_length",
    "acceptance_criteria_count",
    "scope_files_count",
    "max_files",
    "max_loc",
    "prompt_tokens",
    "prior_failures",
)
_OPTIONAL = ("prompt_tokens", "prior_failures")


def _shown(value: object) -> str:
    """A value as a message shows it: never long, and an integer too long to print by its size."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print more than 4300 digits
        text = f"an integer of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _check_text(name: str, text: str) -> None:
    if text.encode("utf-8", "replace").decode() != text:
        raise ValueError(f"{name} = {_shown(text)}, need text that UTF-8 can hold (no lone surrogates)")


def _check_count(name: str, value: object) -> None:
    if value is None and name in _OPTIONAL:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} = {_shown(value)}, need a whole number" + (" or null" if name in _OPTIONAL else ""))
    if not 0 <= value <= MAX_COUNT:
        raise ValueError(f"{name} = {_shown(value)}, need 0 <= {name} <= {MAX_COUNT}")


def parse_task(record: Mapping[str, object]) -> TaskFeatures:
    """A task from a JSON object.

    Raises:
        ValueError: an unknown name (the message has the nearest one) or a bad value.
        TypeError: a value of the wrong kind, or no object at all.

    >>> parse_task({"risk_tier": 1, "prompt_tokens": None}).risk_tier
    1
    """
    if not isinstance(record, Mapping):
        raise TypeError(f"the task is {_shown(record)}, need an object with some of the features")
    names = [f.name for f in fields(TaskFeatures)]
    for name in record:
        if name not in names:
            near = get_close_matches(name[:_SHOWN], names, n=1) if isinstance(name, str) else []
            hint = f"did you mean {near[0]!r}?" if near else f"need some of {names}"
            raise ValueError(f"unknown task feature {_shown(name)}, {hint}")
    values = dict(record)
    listed = values.get("complexity_indicators", ())
    if isinstance(listed, Sequence) and not isinstance(listed, str):
        values["complexity_indicators"] = tuple(listed)
    return TaskFeatures(**values)  # type: ignore[arg-type]  # kinds are checked in __post_init__


def fingerprint(task: TaskFeatures, *, task_type: str) -> str:
    """128-bit identity of a task, 32 hex digits; equal tasks only have equal ones.

    Each field is written as name, kind and value, each with its length before it.

    >>> a = fingerprint(TaskFeatures(prior_failures=None), task_type="t")
    >>> a == fingerprint(TaskFeatures(prior_failures=0), task_type="t")
    False
    """
    digest = hashlib.blake2b(digest_size=16, person=b"guardband.task.1")
    for name, value in (("task_type", task_type), *asdict(task).items()):
        for part in (name, type(value).__name__, *_atoms(value)):
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def _atoms(value: object) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return (str(len(value)), *(str(item) for item in value))
    return (repr(value) if not isinstance(value, str) else value,)


class FeatureSpec(NamedTuple):
    """How a task becomes a context vector: hashable, and part of every bundle.

    `counts` gives name, centre and scale of log(1 + count); a missing count sits at the centre
    and raises the `missing` entry. More than one model adds one entry per model.
    """

    counts: tuple[tuple[str, float, float], ...] = (
        ("title_length", math.log1p(48), 0.5),
        ("description_length", math.log1p(600), 0.8),
        ("acceptance_criteria_count", math.log1p(3), 0.5),
        ("scope_files_count", math.log1p(4), 0.7),
        ("max_files", math.log1p(15), 0.7),
        ("max_loc", math.log1p(600), 0.8),
        ("prompt_tokens", math.log1p(400), 0.7),
        ("prior_failures", math.log1p(1), 0.6),
    )
    models: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The entries of the context vector, in order."""
        fixed = ("risk_tier", "has_external_deps", "complexity_indicators", "missing")
        models = self.models if len(self.models) > 1 else ()
        return (*fixed, *(name for name, _, _ in self.counts), *(f"model={m}" for m in models))


def encode(task: TaskFeatures, spec: FeatureSpec) -> NDArray[np.float64]:
    """The context vector (d,), dimensionless, each entry in [-3, 3].

    Raises:
        ValueError: a model that the spec does not list.

    >>> encode(TaskFeatures(), FeatureSpec()).shape
    (12,)
    """
    known = [getattr(task, name) for name, _, _ in spec.counts]
    missing = sum(value is None for value in known)
    entries = [task.risk_tier - 2.0, 2.0 * task.has_external_deps - 1.0]
    entries += [len(task.complexity_indicators) - 2.0, float(missing)]
    for value, (_, centre, scale) in zip(known, spec.counts, strict=True):
        entries.append(0.0 if value is None else (math.log1p(value) - centre) / scale)
    if len(spec.models) > 1:
        if task.model_name not in spec.models:
            raise ValueError(f"model_name = {task.model_name!r}, need one of {list(spec.models)}")
        entries += [float(task.model_name == model) for model in spec.models]
    return np.asarray(np.clip(np.array(entries), -CLIP, CLIP))
