"""The decision log in memory: one row per decision, with the exact probability it was made with.

Columns are NumPy arrays under short names; `COLUMNS` gives each its name in the file
(OpenTelemetry GenAI names where they exist, our prefix where they do not) and its type.
"""

import hashlib
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import AXES, MODEL, Lattice
from policies.masses import TOTAL

__all__ = ["COLUMNS", "DTYPES", "FEEDBACK", "Column", "DecisionLog", "prompt_hash", "request_parameters", "take_rows"]

Kind = Literal["text", "float", "int32", "int64", "bool", "time"]
DTYPES: dict[Kind, str] = {
    "text": "O",
    "float": "float64",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
    "time": "datetime64[us]",
}
MIN_KEY = 16  # bytes: a guessed key would make a prompt's hash as good as the prompt
_PROMPT = b"guardband.prompt"
FEEDBACK = ("output_tokens", "quality", "latency_ms", "cost_usd", "failure", "truncated", "reward")  # what comes after


class Column(NamedTuple):
    """A column of the file: its name, its type, and whether a row holds a list of them."""

    name: str
    kind: Kind
    is_list: bool


def _column(name: str, kind: Kind, *, is_list: bool = False) -> Any:
    return field(metadata={"column": Column(name, kind, is_list)})


@dataclass(frozen=True, kw_only=True, eq=False)
class DecisionLog:
    """n decisions over windows of k slots, with contexts of d entries.

    Attributes:
        request_id: (n,) text, each once.
        timestamp: (n,) UTC, microseconds.
        prompt_hash: (n,) `prompt_hash` of the rendered prompt; the prompt itself is nowhere.
        fingerprint: (n,) `envs.tasks.fingerprint` of the task.
        context: (n, d) context vector.
        task_type: (n,) its name.
        evaluation: (n,) evaluations of this task type before this one.
        centre: (n,) approved action that the window stood around.
        action_ids: (n, k) actions of the window; infeasible slots may repeat the centre's id.
        mask: (n, k) which slots were feasible.
        masses: (n, k) probabilities in units of 2^-20.
        uniform: (n,) integer in [0, 2^20) that drew the action.
        propensity: (n,) probability of the action, mass / 2^20.
        action_id: (n,) what was done.
        policy_digest: (n,) `policies.digest.policy_digest` of who decided.
        temperature: (n,) as sent to the model; likewise the four that follow.
        model: (n,) its name, chosen or of the request; empty where there is only one.
        output_tokens: (n,) tokens; a synthetic world's need not be whole.
        quality: (n,) share of checks passed, 0..1.
        latency_ms: (n,) milliseconds.
        cost_usd: (n,) USD.
        failure: (n,) share of calls failed, 0 or 1 for one call.
        truncated: (n,) share of answers cut off, 0 or 1 for one answer.
        reward: (n,) reward units.
        cluster: (n,) problem; standard errors are clustered by it.
    """

    request_id: NDArray[np.object_] = _column("guardband.request_id", "text")
    timestamp: NDArray[np.datetime64] = _column("timestamp", "time")
    prompt_hash: NDArray[np.object_] = _column("guardband.prompt_hash", "text")
    fingerprint: NDArray[np.object_] = _column("guardband.context.fingerprint", "text")
    context: NDArray[np.float64] = _column("guardband.context", "float", is_list=True)
    task_type: NDArray[np.object_] = _column("guardband.task_type", "text")
    evaluation: NDArray[np.int32] = _column("guardband.evaluation", "int32")
    centre: NDArray[np.int32] = _column("guardband.window.centre", "int32")
    action_ids: NDArray[np.int32] = _column("guardband.window.action_ids", "int32", is_list=True)
    mask: NDArray[np.bool_] = _column("guardband.window.mask", "bool", is_list=True)
    masses: NDArray[np.int32] = _column("guardband.masses", "int32", is_list=True)
    uniform: NDArray[np.int32] = _column("guardband.uniform", "int32")
    propensity: NDArray[np.float64] = _column("guardband.propensity", "float")
    action_id: NDArray[np.int32] = _column("guardband.action_id", "int32")
    policy_digest: NDArray[np.object_] = _column("guardband.policy_digest", "text")
    temperature: NDArray[np.float64] = _column("gen_ai.request.temperature", "float")
    max_tokens: NDArray[np.int64] = _column("gen_ai.request.max_tokens", "int64")
    top_p: NDArray[np.float64] = _column("gen_ai.request.top_p", "float")
    frequency_penalty: NDArray[np.float64] = _column("gen_ai.request.frequency_penalty", "float")
    presence_penalty: NDArray[np.float64] = _column("gen_ai.request.presence_penalty", "float")
    model: NDArray[np.object_] = _column("gen_ai.request.model", "text")
    output_tokens: NDArray[np.float64] = _column("gen_ai.usage.output_tokens", "float")
    quality: NDArray[np.float64] = _column("guardband.outcome.quality", "float")
    latency_ms: NDArray[np.float64] = _column("guardband.outcome.latency_ms", "float")
    cost_usd: NDArray[np.float64] = _column("guardband.outcome.cost_usd", "float")
    failure: NDArray[np.float64] = _column("guardband.outcome.failure", "float")
    truncated: NDArray[np.float64] = _column("guardband.outcome.truncated", "float")
    reward: NDArray[np.float64] = _column("guardband.reward", "float")
    cluster: NDArray[np.int64] = _column("guardband.cluster", "int64")

    def __len__(self) -> int:
        """Rows."""
        return len(self.request_id)

    @property
    def slot(self) -> NDArray[np.int64]:
        """(n,) window slot of each action: the feasible one that holds its id."""
        return np.asarray(np.argmax((self.action_ids == self.action_id[:, None]) & self.mask, axis=1), np.int64)

    @property
    def is_answered(self) -> NDArray[np.bool_]:
        """(n,) False where feedback never came: all of its columns are NaN."""
        lost = np.all([np.isnan(getattr(self, name)) for name in FEEDBACK], axis=0)
        return np.asarray(~lost, np.bool_)

    @property
    def behavior(self) -> NDArray[np.float64]:
        """(n, k) propensities of the whole window, 0 where infeasible."""
        return self.masses / TOTAL


COLUMNS: dict[str, Column] = {item.name: item.metadata["column"] for item in fields(DecisionLog)}


def prompt_hash(text: str, key: bytes) -> str:
    """128 bits of keyed BLAKE2b, 32 hex digits: equal prompts meet, nobody without the key can guess them.

    Args:
        text: the rendered prompt.
        key: 16 to 64 secret bytes; it is stored nowhere.

    Raises:
        ValueError: a key of another length.

    >>> prompt_hash("hello", b"0" * 32) == prompt_hash("hello", b"1" * 32)
    False
    """
    if not MIN_KEY <= len(key) <= 64:
        raise ValueError(f"the key has {len(key)} bytes, need {MIN_KEY} to 64 secret ones")
    raw = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=16, key=key, person=_PROMPT).hexdigest()


def request_parameters(lattice: Lattice, action_id: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
    """The parameter columns of actions (n,), as sent to the model, and the model where it was chosen.

    Raises:
        ValueError: an id outside the grid.
    """
    point = lattice.decode(action_id)
    values = {axis.name: lattice.values(axis.name)[point[:, i]] for i, axis in enumerate(lattice.axes)}
    chosen = {name: values[name].astype(DTYPES[COLUMNS[name].kind]) for name in AXES}
    models = {axis.name: np.array(axis.values, object)[point[:, i]] for i, axis in enumerate(lattice.axes)}.get(MODEL)
    return chosen if models is None or models[0] == "" else chosen | {MODEL: models}


def take_rows(log: DecisionLog, rows: NDArray[Any]) -> DecisionLog:
    """Some rows of a log: a boolean mask (n,) or indices."""
    return replace(log, **{name: getattr(log, name)[rows] for name in COLUMNS})
