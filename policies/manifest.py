"""A bundle's manifest: what a policy is and may do, in words and numbers a reviewer can read.

Rendering is the only definition: `manifest_reader` renders again what it read, so no line
can say one thing and mean another. The digest finds accidents and edits; who wrote it, a signature says.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.lattice import MODEL, Axis, places
from envs.reward import Weights
from envs.tasks import CLIP, MAX_COUNT, FeatureSpec, TaskFeatures
from policies.digest import numbers_of
from policies.frozen import REQUEST, FrozenPolicy
from policies.golden import Asked, answers
from policies.masses import TIE, TOTAL
from policies.release import Release
from policies.strict_json import canonical, plain, pretty

__all__ = [
    "CARD",
    "FORMAT_VERSION",
    "GRAPH",
    "MANIFEST",
    "POLICY",
    "SIGNATURE",
    "TRANSFORMS",
    "render",
    "sealed",
    "sha256",
    "spelled",
]

FORMAT_VERSION = "2.0"
MANIFEST, POLICY, GRAPH, CARD = "manifest.json", "policy.json", "policy.onnx", "MODEL_CARD.md"
SIGNATURE = "manifest.sig"
SAMPLING = {
    "total_mass": TOTAL,
    "ties": f"values within {TIE:g} of the reward's span are equal: the approved action, else the lowest id",
    "masses": "largest remainder of the probabilities, ties to the lower slot, common floor rounded up first",
    "uniform": "first 8 bytes, big-endian, of HMAC-SHA256(policy digest, 'guardband.draw\\n' + request_id), mod 2^20",
    "seed": "first 8 bytes, big-endian, of SHA-256('guardband.seed\\n' + request_id), mod 2^31",
    "action": "first window slot whose cumulative mass exceeds the uniform; propensity = mass / 2^20",
}
TRANSFORMS = {  # the fixed entries of a context vector; counts and models follow
    "risk_tier": "value - 2",
    "has_external_deps": "2 * value - 1",
    "complexity_indicators": "length - 2",
    "missing": "number of unknown counts",
}
SCALED = "(log(1 + count) - centre) / scale, 0 where unknown"
UNITS = {
    "risk_tier": "1 (strict) to 3 (lax)",
    "title_length": "characters",
    "description_length": "characters",
    "acceptance_criteria_count": "criteria",
    "scope_files_count": "files",
    "max_files": "files",
    "max_loc": "lines of code",
    "has_external_deps": "yes or no",
    "complexity_indicators": "names",
    "model_name": "name",
    "prompt_tokens": "tokens",
    "prior_failures": "failures",
    "temperature": "dimensionless",
    "max_tokens": "tokens",
    "top_p": "probability",
    "frequency_penalty": "dimensionless",
    "presence_penalty": "dimensionless",
    MODEL: "name",
}
_KINDS = {int: "integer", bool: "boolean", tuple: "list of text", str: "text"}


def sha256(raw: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(raw).hexdigest()


def _marked(section: dict[str, Any]) -> dict[str, Any]:
    """A section with its own fingerprint last."""
    return section | {"fingerprint": sha256(canonical(section))}


def _inputs() -> list[dict[str, object]]:
    """What a request may say, and what is taken where it does not."""
    found: list[dict[str, object]] = []
    for item in fields(TaskFeatures):
        optional = item.default is None
        kind = "text" if item.name == "model_name" else "integer" if optional else _KINDS[type(item.default)]
        one: dict[str, object] = {"name": item.name, "kind": kind, "unit": UNITS[item.name]}
        if kind == "integer":
            one |= {"lowest": 1, "highest": 3} if item.name == "risk_tier" else {"lowest": 0, "highest": MAX_COUNT}
        if kind == "integer" and optional:
            one["missing"] = "null: its entry is 0, and `missing` counts it"
        else:
            default = list(item.default) if isinstance(item.default, tuple) else item.default
            one["missing"] = f"taken as {canonical(default).decode()}"
        found.append(one)
    return found


def _features(spec: FeatureSpec) -> dict[str, Any]:
    entries: list[dict[str, object]] = [{"name": n, "transform": text} for n, text in TRANSFORMS.items()]
    entries += [{"name": n, "transform": SCALED, "centre": c, "scale": s} for n, c, s in spec.counts]
    rule = "the approved parameters" if len(spec.models) > 1 else "ignored: no entry depends on the model"
    section = {"inputs": _inputs(), "entries": entries, "models": list(spec.models), "clip": CLIP}
    return _marked(section | {"unknown_model": rule})


def _actions(axes: tuple[Axis, ...]) -> dict[str, Any]:
    listed = [
        {"name": axis.name, "parameter": REQUEST + axis.name, "unit": UNITS[axis.name], "values": list(axis.values)}
        for axis in axes
    ]
    return _marked({"axes": listed, "order": "row-major: the last axis counts fastest, the first action has id 0"})


def _reward(policy: FrozenPolicy) -> dict[str, Any]:
    worth = [list(row) for row in policy.spec.worth]
    return _marked({"span": float(policy.reward_span), "parts": list(Weights._fields), "weights": worth})


def _unrecorded(recorded: NDArray[np.bool_]) -> list[list[int]]:
    """First and last id of every run of actions that the world can't answer.

    >>> _unrecorded(np.array([True, False, False, True, False]))
    [[1, 2], [4, 4]]
    """
    edges = np.diff(np.concatenate([[False], ~recorded, [False]]).astype(np.int8))
    first, after = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [[int(a), int(b) - 1] for a, b in zip(first, after, strict=True)]


def _bounds(policy: FrozenPolicy) -> tuple[dict[str, object], dict[str, object]]:
    limits: dict[str, object] = {}
    radii: dict[str, object] = {}
    for i, axis in enumerate(policy.lattice.axes):
        low, high, steps = (int(leaf[i]) for leaf in policy.limits[:3])
        limits[axis.name] = {"lowest": axis.values[low], "highest": axis.values[high]}
        radii[axis.name] = {"steps": steps, "radius": _radius(axis, steps), **_strides(axis, policy.limits.stride[i])}
    return limits, radii


def _radius(axis: Axis, steps: int) -> str:
    """The largest change along an axis, in its own unit where its steps are even."""
    numbers = places(axis)
    gaps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
    return str(steps * gaps.pop()) if len(gaps) == 1 else f"{steps} lattice steps"


def _strides(axis: Axis, stride: NDArray[np.int32]) -> dict[str, list[int]]:
    """Where a step is relative: per value of an axis, what `steps` and `radius` are multiplied by around it."""
    along = stride[: len(axis.values)].tolist()
    return {"strides": along} if max(along) > 1 else {}


def _task_types(policy: FrozenPolicy) -> list[dict[str, object]]:
    """Per task type; evaluations are said where there were any, as time is all that they tell."""
    rows = zip(policy.task_types, policy.approved, policy.stops, policy.limits.recorded, policy.seen, strict=True)
    return [
        {
            "name": name,
            "approved": _point(policy, int(action)),
            "stop_sequences": list(stops),
            "unrecorded": _unrecorded(np.asarray(recorded)),
            **({"evaluations": int(seen)} if seen else {}),
        }
        for name, action, stops, recorded, seen in rows
    ]


def _point(policy: FrozenPolicy, action: int) -> dict[str, object]:
    return {"action_id": action, "parameters": policy.lattice.parameters(action)}


def render(
    policy: FrozenPolicy, release: Release, *, golden: Sequence[Asked], files: Mapping[str, bytes]
) -> dict[str, Any]:
    """The manifest of a policy but for its card and its digest, which `sealed` adds.

    Args:
        policy: what is described.
        release: its words.
        golden: requests whose answers are recorded.
        files: the bundle's other files so far, by name.

    Raises:
        ValueError: a number that is not finite.
    """
    limits, radii = _bounds(policy)
    return {
        "format_version": FORMAT_VERSION,
        "created_by": {"name": "guardband", "version": release.writer, "code_sha256": release.code},
        "policy": {
            "name": release.name,
            "version": release.version,
            "kind": policy.kind,
            "parameters": numbers_of(policy.params),
            "exploration_floor": float(policy.params.floor),
            "digest": policy.digest,
        },
        "features": _features(policy.features),
        "actions": _actions(policy.lattice.axes),
        "hard_limits": limits,
        "trust_region": radii,
        "task_types": _task_types(policy),
        "fallback": _point(policy, policy.fallback),
        "reward": _reward(policy),
        "sampling": SAMPLING,
        "evidence": release.evidence.plain(),
        "approvals": [asdict(one) for one in release.approvals],
        "waivers": [plain(asdict(one), "waivers") for one in release.waivers],
        "previous": release.previous,
        "golden": answers(policy, golden),
        "files": {name: _file(raw) for name, raw in files.items()},
    }


def _file(raw: bytes) -> dict[str, object]:
    return {"sha256": sha256(raw), "bytes": len(raw)}


def sealed(body: Mapping[str, Any], card: bytes) -> dict[str, Any]:
    """A rendered manifest with its card's place and its own digest."""
    whole = {**body, "files": body["files"] | {CARD: _file(card)}}
    return whole | {"digest": sha256(canonical(whole))}


def spelled(manifest: Mapping[str, Any]) -> bytes:
    """The one text of a sealed manifest."""
    return (pretty(manifest) + "\n").encode("ascii")
