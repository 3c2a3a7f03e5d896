"""A bundle's manifest: what a policy is and may do, in words and numbers a reviewer can read.

Rendering is the only definition: `manifest_reader` renders again what it read, so no line
can say one thing and mean another. The digest finds accidents and edits; it is no signature.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from envs.lattice import Axis, places
from envs.tasks import CLIP, FeatureSpec
from policies.digest import numbers_of
from policies.frozen import FrozenPolicy
from policies.masses import TOTAL
from policies.strict_json import canonical, plain

__all__ = ["FORMAT_VERSION", "MANIFEST", "POLICY", "TRANSFORMS", "render", "sha256"]

FORMAT_VERSION = 1
MANIFEST, POLICY = "manifest.json", "policy.json"
SAMPLING = {
    "total_mass": TOTAL,
    "masses": "largest remainder of the probabilities, ties to the lower slot, common floor rounded up first",
    "uniform": "big-endian blake2b(request_id, digest_size=8, key=policy digest, person='guardband.draw') mod 2^20",
    "action": "first window slot whose cumulative mass exceeds the uniform; propensity = mass / 2^20",
}
TRANSFORMS = {  # the fixed entries of a context vector; counts and models follow
    "risk_tier": "value - 2",
    "has_external_deps": "2 * value - 1",
    "complexity_indicators": "length - 2",
    "missing": "number of unknown counts",
}
SCALED = "(log(1 + count) - centre) / scale, 0 where unknown"


def sha256(raw: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(raw).hexdigest()


def _features(spec: FeatureSpec) -> dict[str, object]:
    entries: list[dict[str, object]] = [{"name": n, "transform": text} for n, text in TRANSFORMS.items()]
    entries += [{"name": n, "transform": SCALED, "centre": c, "scale": s} for n, c, s in spec.counts]
    return {"entries": entries, "models": list(spec.models), "clip": CLIP}


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
    rows = zip(policy.task_types, policy.approved, policy.limits.recorded, policy.seen, strict=True)
    return [
        {
            "name": name,
            "approved": {"action_id": int(action), "parameters": policy.lattice.parameters(int(action))},
            "unrecorded": _unrecorded(np.asarray(recorded)),
            **({"evaluations": int(seen)} if seen else {}),
        }
        for name, action, recorded, seen in rows
    ]


def render(policy: FrozenPolicy, *, version: str, evidence: Mapping[str, object]) -> dict[str, object]:
    """The manifest of a policy, its own digest last.

    Args:
        policy: what is described.
        version: of the code that writes the bundle.
        evidence: why it was let out: plain numbers, text, lists and mappings.

    Raises:
        ValueError: a number that is not finite.
        TypeError: evidence that JSON can't hold.
    """
    limits, radii = _bounds(policy)
    body: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "created_by": {"name": "guardband", "version": version},
        "policy": {
            "kind": policy.kind,
            "parameters": numbers_of(policy.params),
            "exploration_floor": float(policy.params.floor),
            "digest": policy.digest,
        },
        "features": _features(policy.features),
        "lattice": [{"name": axis.name, "values": list(axis.values)} for axis in policy.lattice.axes],
        "hard_limits": limits,
        "trust_region": radii,
        "task_types": _task_types(policy),
        "reward_span": float(policy.reward_span),
        "sampling": SAMPLING,
        "evidence": plain(evidence, "evidence"),
        "files": {POLICY: {"sha256": sha256(policy.text), "bytes": len(policy.text)}},
    }
    return body | {"digest": sha256(canonical(body))}
