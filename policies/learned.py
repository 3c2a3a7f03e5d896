"""From the text of a learned policy back to the policy, with every number checked.

The text is trusted for nothing: the learner must be a file of `policies/learners`, its
parameters lie in the ranges its `Params` declare, and arrays have the shapes and types
that its own `init` gives.
"""

import operator
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib import import_module
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import MAX_ACTIONS
from envs.reward import Weights
from envs.targets import nearest
from policies.base import MAX_WINDOW, Spec
from policies.digest import LEARNERS, SOFTENED, changed_rows, fresh_state
from policies.features import n_features
from policies.refusals import FormatError
from policies.softened import SHARPNESS, bare
from policies.softened import Params as SoftenedParams
from policies.strict_json import Node, parse

__all__ = ["Learned", "read_learned"]

MAX_FEATURES = 2048  # entries of phi: a root of its covariance is then 32 MB
MAX_COUNT = 4096  # draws, reservoir, task types, context entries
MAX_AXES = 16
_SIGNS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "gt": (">", operator.gt),
    "ge": (">=", operator.ge),
    "lt": ("<", operator.lt),
    "le": ("<=", operator.le),
}


class Learned(NamedTuple):
    """A learner's parameters, its static facts and what it has learned."""

    params: Any
    spec: Spec
    state: Any


def read_learned(raw: bytes, *, file: str) -> Learned:
    """The policy that a text describes.

    Args:
        raw: as `policies.digest.policy_text` wrote it.
        file: its name, for messages.

    Raises:
        FormatError: anything that `policy_text` would not have written.
    """
    root = parse(raw, file, is_bulk=True)
    kind, parameters, spec_node, state_node = root.members("kind", "parameters", "spec", "state")
    params = _read_softened(parameters) if kind.value == SOFTENED else _read_learner(kind, parameters)
    spec = _read_spec(spec_node)
    features = getattr(bare(params), "features", spec.features)
    if features != spec.features:
        raise spec_node.refuse(f"features = {features!r}, as the parameters say")
    try:
        fresh = fresh_state(params, spec)
    except ValueError as error:  # a learner that these facts, or this inner learner, cannot make
        raise FormatError(file, got=str(error), needed="a policy that can be made") from None
    return Learned(params, spec, _read_state(state_node, fresh))


def _read_softened(node: Node) -> SoftenedParams:
    learner, sharpness = node.members("learner", "sharpness")
    kind, parameters = learner.members("kind", "parameters")
    made = _read_learner(kind, parameters)
    return SoftenedParams(made, sharpness=_read_value(sharpness, float, SHARPNESS))


def _read_learner(kind: Node, parameters: Node) -> Any:
    return _read_params(parameters, import_module(f"{LEARNERS}.{_known(kind)}").Params)


def _known(kind: Node) -> str:
    names = sorted(found.name for found in pkgutil.iter_modules(import_module(LEARNERS).__path__))
    if kind.text() not in names:
        raise kind.refuse(f"one of {', '.join(names)}{nearest(kind.text(), names)}")
    return kind.text()


def _read_params(node: Node, form: Any) -> Any:
    items = {item.name: item for item in fields(form)}
    values: dict[str, object] = {}
    for name, member in zip(items, node.members(*items), strict=True):
        values[name] = _read_value(member, items[name].type, items[name].metadata)
    return form(**values)


def _read_value(member: Node, kind: Any, rules: Mapping[str, Any]) -> Any:
    """One parameter, of its declared type and within its declared range."""
    if type(member.value) is not kind:
        raise member.refuse(f"a value of type {getattr(kind, '__name__', kind)}")
    if kind is float:
        member.number()
    if "choices" in rules and member.value not in rules["choices"]:
        raise member.refuse(f"one of {', '.join(map(str, rules['choices']))}")
    for rule, (sign, holds) in _SIGNS.items():
        if rule in rules and not holds(member.number(), float(rules[rule])):
            raise member.refuse(f"a number {sign} {rules[rule]}")
    return member.value


def _integers(node: Node, highest: int) -> tuple[int, ...]:
    return tuple(item.whole(lowest=0, highest=highest) for item in node.items())


def _read_spec(node: Node) -> Spec:
    part = dict(zip(Spec._fields, node.members(*Spec._fields), strict=True))
    spec = Spec(
        shape=tuple(item.whole(lowest=1, highest=MAX_ACTIONS) for item in part["shape"].items()),
        positions=tuple(tuple(p.number() for p in axis.items()) for axis in part["positions"].items()),
        offsets=tuple(
            tuple(o.whole(lowest=-MAX_WINDOW, highest=MAX_WINDOW) for o in slot.items())
            for slot in part["offsets"].items()
        ),
        n_tasks=part["n_tasks"].whole(lowest=1, highest=MAX_COUNT),
        d=part["d"].whole(lowest=1, highest=MAX_COUNT),
        features=part["features"].text(),
        knots=_integers(part["knots"], MAX_ACTIONS),
        interactions=_integers(part["interactions"], MAX_COUNT),
        n_draws=part["n_draws"].whole(lowest=2, highest=MAX_COUNT),
        reservoir=part["reservoir"].whole(lowest=1, highest=MAX_COUNT),
        **{name: _rows(part[name]) for name in ("values", "worth", "prices")},
    )
    _check_spec(spec, part)
    return spec


def _rows(node: Node) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(item.number() for item in row.items()) for row in node.items())


def _check_spec(spec: Spec, part: dict[str, Node]) -> None:
    """Refuse static facts that contradict each other."""
    axes = len(spec.shape)
    if not 1 <= axes <= MAX_AXES or int(np.prod(np.array(spec.shape, np.float64))) > MAX_ACTIONS:
        raise part["shape"].refuse(f"1 to {MAX_AXES} axes and at most {MAX_ACTIONS} actions")
    sizes = tuple(len(axis) for axis in spec.positions)
    if sizes != spec.shape or not all(0 <= place <= 1 for axis in spec.positions for place in axis):
        raise part["positions"].refuse(f"a place in [0, 1] for each value of a lattice of shape {spec.shape}")
    reach = [max((abs(o) for o in column), default=0) for column in zip(*spec.offsets, strict=False)]
    fits = float(np.prod([2.0 * r + 1.0 for r in reach])) <= MAX_WINDOW
    block = tuple(product(*[range(-r, r + 1) for r in reach])) if fits else ()
    if len(reach) != axes or spec.offsets != block:
        raise part["offsets"].refuse(f"a whole block of at most {MAX_WINDOW} slots around the centre, in ascending id")
    if spec.features not in ("shared", "disjoint"):
        raise part["features"].refuse("'shared' or 'disjoint'")
    if len(spec.knots) != axes or any(k >= size for k, size in zip(spec.knots, spec.shape, strict=False)):
        raise part["knots"].refuse(f"a number below the axis's size for each of {axes} axes")
    if any(i >= spec.d for i in spec.interactions):
        raise part["interactions"].refuse(f"entries of a context of {spec.d}")
    if spec.n_draws % 2:
        raise part["n_draws"].refuse("an even number")
    if n_features(spec) > MAX_FEATURES or spec.d > MAX_FEATURES:
        raise part["n_tasks"].refuse(f"at most {MAX_FEATURES} joint features, this makes {n_features(spec)}")
    if tuple(map(len, spec.values)) != spec.shape:
        raise part["values"].refuse(f"a number for each value of a lattice of shape {spec.shape}")
    if spec.worth and len(spec.worth) != spec.n_tasks or any(len(row) != len(Weights._fields) for row in spec.worth):
        raise part["worth"].refuse(f"{len(Weights._fields)} reward weights for each of {spec.n_tasks} task types")
    if spec.prices and len(spec.prices) != spec.shape[-1] or any(len(row) != 2 or min(row) < 0 for row in spec.prices):
        raise part["prices"].refuse(f"two prices >= 0 for each of {spec.shape[-1]} models")


def _read_state(node: Node, template: Any) -> Any:
    """Arrays in the structure, dtypes and shapes of a fresh state."""
    names = getattr(template, "_fields", ())
    found = []
    for name, member in zip(names, node.members(*names), strict=True):
        found.append(_read_array(member, np.asarray(getattr(template, name))))
    return type(template)(*found)


def _read_array(node: Node, like: NDArray[Any]) -> NDArray[Any]:
    dtype, shape, rows, values = node.members("dtype", "shape", "rows", "values")
    wanted = "float64" if like.dtype.kind == "f" else "int32"
    if dtype.value != wanted:
        raise dtype.refuse(repr(wanted))
    if shape.value != list(like.shape):
        raise shape.refuse(f"{list(like.shape)}, the shape of this learner's state")
    kind = float if wanted == "float64" else int
    n_rows = rows.whole(lowest=0 if like.ndim else 1, highest=len(like) if like.ndim else 1)
    held, size = values.value, n_rows * (like[:1].size if like.ndim else 1)
    if not isinstance(held, list) or len(held) != size or not set(map(type, held)) <= {kind}:
        raise values.refuse(f"a list of {size} numbers written as {wanted}")
    return _filled(values, np.asarray(like, wanted), wanted)


def _filled(values: Node, fresh: NDArray[Any], wanted: str) -> NDArray[Any]:
    """A fresh array under the rows that were written, which must end with one that differs from it."""
    held = values.value
    assert isinstance(held, list)
    try:
        array = np.concatenate([np.array(held, wanted), fresh.ravel()[len(held) :]]).reshape(fresh.shape)
    except OverflowError:
        raise values.refuse("integers of 32 bits") from None
    if not np.isfinite(array).all():
        raise values.refuse("numbers that float64 holds")
    if changed_rows(array, fresh).size != len(held):
        raise values.refuse("no rows after the last that learning changed")
    return array
