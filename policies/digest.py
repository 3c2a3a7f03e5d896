"""The identity of a learned policy: the sha256 of one canonical text.

The text holds kind, hyper-parameters, static facts and learned state, floats with the
fewest digits that read back to the same bits; of an array's rows, those up to the last one
that learning changed. A bundle's policy.json is this very text,
so a log row's digest is the sha256 of that file. Two policies that differ in one bit
differ in digest; bounds and approved parameters are not part of it.
"""

import hashlib
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.base import Spec
from policies.build import learner_policy, ready
from policies.softened import Params as SoftenedParams
from policies.strict_json import canonical

__all__ = ["SOFTENED", "changed_rows", "fresh_state", "kind_of", "leaves", "numbers_of", "policy_digest", "policy_text"]

LEARNERS = "policies.learners"
SOFTENED = "softened"  # the kind of a policy that is the softmax of a learner's belief


def kind_of(params: object) -> str:
    """The learner that parameters belong to: its module's name in `policies.learners`, or `softened`.

    Raises:
        TypeError: parameters of anything else.
    """
    if isinstance(params, SoftenedParams):
        return SOFTENED
    package, _, name = type(params).__module__.rpartition(".")
    if package != LEARNERS:
        raise TypeError(f"{type(params).__module__}.{type(params).__name__} is no learner's Params ({LEARNERS}.*)")
    return name


def leaves(state: Any) -> dict[str, NDArray[Any]]:
    """The arrays of a learned state by name: float64 or int32, finite.

    Args:
        state: () or a NamedTuple of arrays.

    Raises:
        ValueError: NaN or infinity.
        TypeError: a leaf that is neither a float nor a 32-bit integer array.

    >>> from policies.linear import SharedState
    >>> sorted(leaves(SharedState(np.zeros(2), np.eye(2))))
    ['root', 'theta']
    """
    if state != () and not hasattr(state, "_fields"):
        raise TypeError(f"state is a {type(state).__name__}, need a NamedTuple of arrays")
    return {name: _settled(getattr(state, name), f"state.{name}") for name in getattr(state, "_fields", ())}


def _settled(leaf: Any, where: str) -> NDArray[Any]:
    array = np.asarray(leaf)
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        bad = np.argwhere(~np.isfinite(array))
        if bad.size:
            at = tuple(int(i) for i in bad[0])
            raise ValueError(f"{where}{list(at)} = {array[at]}, need a finite number ({len(bad)} of {array.size})")
        return array
    if array.dtype.kind in "iu" and np.all(array == array.astype(np.int32)):
        return array.astype(np.int32)
    raise TypeError(f"{where} has dtype {array.dtype}, need floats or integers of 32 bits")


def numbers_of(params: Any) -> dict[str, object]:
    """A learner's hyper-parameters as plain values, each of the type that its field declares.

    Of a softened learner, the sharpness beside the learner's kind and parameters.

    Raises:
        ValueError: a number that is not finite.
    """
    plain: dict[str, object] = {}
    for item in fields(params):
        if isinstance(params, SoftenedParams) and item.name == "learner":
            plain[item.name] = {"kind": kind_of(params.learner), "parameters": numbers_of(params.learner)}
            continue
        kind = item.type if isinstance(item.type, type) else str
        value = kind(getattr(params, item.name))
        if isinstance(value, float) and not np.isfinite(value):
            raise ValueError(f"{item.name} = {value}, need a finite number")
        plain[item.name] = value
    return plain


def fresh_state(params: Any, spec: Spec) -> Any:
    """The state of a learner before its first observation."""
    return learner_policy(params, spec.lean()).init(ready(params, spec))


def changed_rows(array: NDArray[Any], fresh: NDArray[Any]) -> NDArray[Any]:
    """The rows of an array up to the last that differs, in any bit, from a fresh one; of a single number, itself.

    >>> changed_rows(np.array([0, 3, 0, 0]), np.zeros(4, int)).tolist()
    [0, 3]
    """
    if array.ndim == 0 or array.size == 0:
        return array
    raw, old = (np.ascontiguousarray(x).reshape(len(x), -1).view(np.uint8) for x in (array, fresh))
    differ = np.flatnonzero(np.any(raw != old, axis=1))
    return array[: differ[-1] + 1 if differ.size else 0]


def _written(array: NDArray[Any], fresh: NDArray[Any]) -> dict[str, object]:
    """An array as the text holds it: `rows` counts its leading rows that are written."""
    rows = changed_rows(array, fresh)
    n_rows = len(rows) if rows.ndim else 1
    said = {"dtype": str(array.dtype), "shape": list(array.shape), "rows": n_rows}
    return said | {"values": rows.ravel().tolist()}


def policy_text(params: Any, *, state: Any, spec: Spec) -> bytes:
    """The canonical text of a learned policy.

    Args:
        params: a learner's `Params`.
        state: what it has learned: a NamedTuple of arrays, () where it learns nothing.
        spec: its static facts.

    Raises:
        ValueError: a number that is not finite.
        TypeError: parameters or a state that no learner has.
    """
    made, fresh = leaves(state), leaves(fresh_state(params, spec))
    got, need = ({name: array.shape for name, array in arrays.items()} for arrays in (made, fresh))
    if got != need:
        raise TypeError(f"state has arrays of the shapes {got}, need those of a fresh one, {need}")
    arrays = {name: _written(array, fresh[name]) for name, array in made.items()}
    document = {"kind": kind_of(params), "parameters": numbers_of(params), "spec": spec._asdict(), "state": arrays}
    return canonical(document)


def policy_digest(params: Any, *, state: Any, spec: Spec) -> str:
    """The sha256 of `policy_text`, 64 hex digits.

    Raises:
        ValueError: a number that is not finite.
        TypeError: parameters or a state that no learner has.
    """
    return hashlib.sha256(policy_text(params, state=state, spec=spec)).hexdigest()
