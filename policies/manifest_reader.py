"""From a bundle's manifest back to a policy within its bounds, every field checked.

Reading takes what it needs, builds the policy, renders its manifest again and refuses the
first field that differs from what the policy itself would say.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import MAX_ACTIONS, Axis, Lattice
from envs.tasks import FeatureSpec
from policies.constraints import Bounds
from policies.frozen import FrozenPolicy
from policies.learned import Learned
from policies.manifest import FORMAT_VERSION, POLICY, TRANSFORMS, render, sha256
from policies.strict_json import BundleError, Node, canonical

__all__ = ["MAX_BYTES", "read_files", "read_manifest"]

MAX_EVALUATIONS = (1 << 31) - 1  # they are counted in 32 bits
MAX_BYTES = 1 << 26  # of a file; a learner with 256 action slots and 12 features needs 1 MB
FIELDS = (
    *("format_version", "created_by", "policy", "features", "lattice", "hard_limits", "trust_region"),
    *("task_types", "reward_span", "sampling", "evidence", "files", "digest"),
)


def read_files(root: Node) -> dict[str, tuple[str, int]]:
    """What a manifest says of the other files, name -> (sha256, bytes), after its own digest was checked.

    Raises:
        BundleError: a format version that this code does not read, or a digest that is not the content's.
    """
    fields = root.mapping()
    version = fields.get("format_version", Node(root.file, "format_version", None))
    if type(version.value) is not int or version.value != FORMAT_VERSION:
        raise version.refuse(f"{FORMAT_VERSION}, the format that this code reads")
    fields = dict(zip(FIELDS, root.members(*FIELDS), strict=True))
    digest = fields.pop("digest")
    actual = sha256(canonical({name: node.value for name, node in fields.items()}))
    if digest.value != actual:
        raise digest.refuse(f"{actual}, the digest of the rest; was the file edited?")
    listed = {}
    for name, node in zip((POLICY,), fields["files"].members(POLICY), strict=True):
        text, size = node.members("sha256", "bytes")
        listed[name] = (text.text(), size.whole(lowest=0, highest=MAX_BYTES))
    return listed


def read_manifest(root: Node, learned: Learned) -> FrozenPolicy:
    """The policy that a manifest bounds.

    Args:
        root: the manifest, its digest checked.
        learned: what policy.json holds.

    Raises:
        BundleError: any field that `render` would not have written for this policy.
    """
    part = dict(zip(FIELDS, root.members(*FIELDS), strict=True))
    lattice = _read_lattice(part["lattice"])
    names, approved, recorded, seen = _read_tasks(part["task_types"], lattice.size)
    try:
        policy = FrozenPolicy(
            params=learned.params,
            state=learned.state,
            spec=learned.spec,
            limits=_read_bounds(part, lattice, recorded),
            approved=approved,
            task_types=names,
            features=_read_features(part["features"]),
            lattice=lattice,
            reward_span=part["reward_span"].number(),
            seen=seen,
        )
    except BundleError:
        raise
    except ValueError as error:
        raise BundleError(f"{root.file}: {error}") from None
    version = part["created_by"].members("name", "version")[1].text()
    evidence = {name: node.value for name, node in part["evidence"].mapping().items()}
    _same(root, render(policy, version=version, evidence=evidence))
    return policy


def _same(node: Node, wanted: object) -> None:
    """Refuse the first field that differs from what the policy itself would say."""
    if isinstance(wanted, dict):
        for name, member in zip(wanted, node.members(*wanted), strict=True):
            _same(member, wanted[name])
    elif isinstance(wanted, list) and len(node.items()) == len(wanted):
        for item, value in zip(node.items(), wanted, strict=True):
            _same(item, value)
    elif canonical(node.value) != canonical(wanted):
        raise node.refuse(f"{wanted!r}, which follows from the other fields and {POLICY}")


def _read_lattice(node: Node) -> Lattice:
    axes = []
    for item in node.items():
        name, values = item.members("name", "values")
        axes.append(Axis(name.text(), tuple(value.text() for value in values.items())))
    if not axes or len({axis.name for axis in axes}) < len(axes):
        raise node.refuse("at least one axis, each name once")
    try:
        return Lattice(tuple(axes))
    except ValueError as error:
        raise BundleError(f"{node.file}: {node.path}: {error}") from None


def _read_bounds(part: dict[str, Node], lattice: Lattice, recorded: NDArray[np.bool_]) -> Bounds:
    names = [axis.name for axis in lattice.axes]
    limits, radii = part["hard_limits"].members(*names), part["trust_region"].members(*names)
    edges = [
        [_position(axis, edge) for edge in node.members("lowest", "highest")]
        for axis, node in zip(lattice.axes, limits, strict=True)
    ]
    stride = np.ones((len(names), max(lattice.shape)), np.int32)
    steps = [_read_radius(axis, node, row) for axis, node, row in zip(lattice.axes, radii, stride, strict=True)]
    low, high = np.array(edges, np.int32).T
    return Bounds(low, high, np.array(steps, np.int32), recorded, stride)


def _read_radius(axis: Axis, node: Node, stride: NDArray[np.int32]) -> int:
    """The radius of an axis in slots; what is said of its strides is written into a row of the table."""
    fields = ("steps", "radius", *(("strides",) if "strides" in node.mapping() else ()))
    steps, _radius, *strides = node.members(*fields)
    for listed in strides:
        along = [item.whole(lowest=1, highest=MAX_ACTIONS) for item in listed.items()]
        if len(along) != len(axis.values):
            raise listed.refuse(f"{len(axis.values)} whole numbers, one for each value of the axis")
        stride[: len(along)] = along
    return steps.whole(lowest=0, highest=MAX_ACTIONS)


def _position(axis: Axis, node: Node) -> int:
    if node.text() not in axis.values:
        raise node.refuse(f"a value of the lattice, {axis.values[0]} to {axis.values[-1]}")
    return axis.values.index(node.text())


class _Tasks(NamedTuple):
    """Names, approved actions (tasks,), what was recorded (tasks, actions), evaluations before (tasks,)."""

    names: tuple[str, ...]
    approved: NDArray[np.int32]
    recorded: NDArray[np.bool_]
    seen: NDArray[np.int32]


def _read_tasks(node: Node, size: int) -> _Tasks:
    items = node.items()
    names, approved, recorded, seen = [], [], np.ones((len(items), size), np.bool_), []
    for row, item in zip(recorded, items, strict=True):
        fields = ("name", "approved", "unrecorded", *(("evaluations",) if "evaluations" in item.mapping() else ()))
        name, home, runs, *told = item.members(*fields)
        names.append(name.text())
        approved.append(home.members("action_id", "parameters")[0].whole(lowest=0, highest=size - 1))
        seen.append(sum(part.whole(lowest=1, highest=MAX_EVALUATIONS) for part in told))
        for run in runs.items():
            ends = [end.whole(lowest=0, highest=size - 1) for end in run.items()]
            if len(ends) != 2:
                raise run.refuse("first and last action id of a run")
            row[ends[0] : ends[1] + 1] = False
    return _Tasks(tuple(names), np.array(approved, np.int32), recorded, np.array(seen, np.int32))


def _read_features(node: Node) -> FeatureSpec:
    entries, models, _clip = node.members("entries", "models", "clip")
    known = [name for name, _, _ in FeatureSpec().counts]
    counts = []
    for item in entries.items()[len(TRANSFORMS) :]:
        name, _transform, centre, scale = item.members("name", "transform", "centre", "scale")
        if name.text() not in known:
            raise name.refuse(f"one of {', '.join(known)}")
        if scale.number() <= 0:
            raise scale.refuse("a number > 0")
        counts.append((name.text(), centre.number(), scale.number()))
    return FeatureSpec(tuple(counts), tuple(model.text() for model in models.items()))
