"""From a bundle's manifest back to a policy within its bounds, every field checked.

Reading takes what it needs, builds the policy, renders its manifest again and refuses the
first field that differs from what the policy itself would say.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import MAX_ACTIONS, Axis, Lattice
from envs.tasks import FeatureSpec
from policies.build import positions, values
from policies.constraints import Bounds
from policies.frozen import FrozenPolicy
from policies.golden import read_golden
from policies.learned import Learned
from policies.manifest import CARD, FORMAT_VERSION, GRAPH, POLICY, TRANSFORMS, render, sealed, sha256, spelled
from policies.refusals import BoundsError, BundleError, FormatError, GoldenError, IntegrityError, VersionError
from policies.release import Release, read_release
from policies.strict_json import Node, canonical

__all__ = ["FIELDS", "LIMITS", "Described", "read_files", "read_manifest"]

MAX_EVALUATIONS = (1 << 31) - 1  # they are counted in 32 bits
LIMITS = {POLICY: 1 << 26, GRAPH: 1 << 26, CARD: 1 << 20}  # bytes; a policy of 256 slots and 12 features needs 1 MB
FIELDS = (
    *("format_version", "created_by", "policy", "features", "actions", "hard_limits", "trust_region", "task_types"),
    *("fallback", "reward", "sampling", "evidence", "approvals", "waivers", "previous", "golden", "files", "digest"),
)


class Described(NamedTuple):
    """A policy within its bounds, and what its release says."""

    policy: FrozenPolicy
    release: Release


def read_files(root: Node) -> dict[str, tuple[str, int]]:
    """What a manifest says of the other files, name -> (sha256, bytes), after its own digest was checked.

    Raises:
        VersionError: a format version that this code does not read.
        IntegrityError: a digest that is not the content's.
        FormatError: a field that is missing, unknown or of another kind.
    """
    fields = root.mapping()
    version = fields.get("format_version", Node(root.file, "format_version", None))
    if version.value != FORMAT_VERSION:
        raise version.refuse(f"{FORMAT_VERSION!r}, the format that this code reads; export again", VersionError)
    fields = dict(zip(FIELDS, root.members(*FIELDS), strict=True))
    digest = fields.pop("digest")
    actual = sha256(canonical({name: node.value for name, node in fields.items()}))
    if digest.value != actual:
        raise digest.refuse(f"{actual}, the digest of the rest; was the file edited?", IntegrityError)
    has_graph = GRAPH in fields["files"].mapping()
    names = (POLICY, *((GRAPH,) if has_graph else ()), CARD)
    listed = {}
    for name, node in zip(names, fields["files"].members(*names), strict=True):
        text, size = node.members("sha256", "bytes")
        listed[name] = (text.text(), size.whole(lowest=0, highest=LIMITS[name]))
    return listed


def read_manifest(
    root: Node, learned: Learned, *, files: Mapping[str, bytes], card: bytes, text: bytes | None = None
) -> Described:
    """The policy that a manifest bounds, and its release.

    Args:
        root: the manifest, its digest checked.
        learned: what policy.json holds.
        files: the bundle's other files by name, in the order of the manifest, without the card.
        card: MODEL_CARD.md.
        text: the manifest's bytes, which must be those that export writes; None: its fields are enough.

    Raises:
        BoundsError: an approved action or fallback outside the lattice or the limits, or a region that none has.
        GoldenError: a golden case that this machine answers otherwise.
        IntegrityError: the same fields in another spelling.
        FormatError: any other field that `render` would not have written for this policy.
    """
    part = dict(zip(FIELDS, root.members(*FIELDS), strict=True))
    lattice = _read_lattice(part["actions"])
    release = read_release(part)
    policy = _read_policy(part, learned, lattice)
    for array in (*policy.state, *policy.limits, policy.approved, policy.seen):
        array.setflags(write=False)  # threads share it
    vars(policy).update(text=files[POLICY], digest=sha256(files[POLICY]))  # saves writing every number again
    golden = read_golden(part["golden"], policy)
    body = render(policy, release, golden=golden, files=files)
    wanted = sealed(body, card)
    if text != spelled(wanted):
        _same_cases(part["golden"], body["golden"])
        _same(root, wanted)
        if text is not None:
            need = "the one spelling that export writes"
            raise IntegrityError(root.file, got="is spelled in another way", needed=need)
    return Described(policy, release)


def _read_policy(part: dict[str, Node], learned: Learned, lattice: Lattice) -> FrozenPolicy:
    tasks = _read_tasks(part["task_types"], lattice.size)
    for name, needed in (("positions", positions(lattice)), ("values", values(lattice))):
        if (got := getattr(learned.spec, name)) not in (needed, ()):
            raise FormatError(POLICY, f"spec.{name}", got=str(got)[:60], needed=f"those of the lattice, {needed}"[:400])
    try:
        return FrozenPolicy(
            params=learned.params,
            state=learned.state,
            spec=learned.spec,
            limits=_read_bounds(part, lattice, tasks.recorded),
            approved=tasks.approved,
            task_types=tasks.names,
            features=_read_features(part["features"]),
            lattice=lattice,
            reward_span=part["reward"].members("span", "parts", "weights", "fingerprint")[0].number(),
            seen=tasks.seen,
            fallback=part["fallback"].members("action_id", "parameters")[0].whole(lowest=0, highest=lattice.size - 1),
            stops=tasks.stops,
        )
    except BundleError:
        raise
    except ValueError as error:
        raise BoundsError(part["task_types"].file, got=str(error), needed="parts that fit each other") from None


def _same_cases(node: Node, wanted: list[dict[str, Any]]) -> None:
    """Refuse the first golden case that is answered otherwise here."""
    if canonical(node.value) == canonical(wanted):
        return
    for case, answer in zip(node.items(), wanted, strict=True):
        for name, member in case.mapping().items():
            if canonical(member.value) != canonical(answer[name]):
                need = f"{str(answer[name])[:60]}, what this machine answers: another policy, or other arithmetic"
                raise member.refuse(need, GoldenError)


def _same(node: Node, wanted: object) -> None:
    """Refuse the first field that differs from what the policy itself would say."""
    if canonical(node.value) == canonical(wanted):
        return
    if isinstance(wanted, dict):
        for name, member in zip(wanted, node.members(*wanted), strict=True):
            _same(member, wanted[name])
    elif isinstance(wanted, list) and len(node.items()) == len(wanted):
        for item, value in zip(node.items(), wanted, strict=True):
            _same(item, value)
    else:
        raise node.refuse(f"{wanted!r}, which follows from the other fields and {POLICY}")


def _read_lattice(section: Node) -> Lattice:
    axes = []
    node = section.members("axes", "order", "fingerprint")[0]
    for item in node.items():
        name, _parameter, _unit, values = item.members("name", "parameter", "unit", "values")
        axes.append(Axis(name.text(), tuple(value.text() for value in values.items())))
    if not axes or len({axis.name for axis in axes}) < len(axes):
        raise node.refuse("at least one axis, each name once")
    try:
        return Lattice(tuple(axes))
    except ValueError as error:
        raise node.refuse(f"a lattice: {error}", BoundsError) from None


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
        raise node.refuse(f"a value of the lattice, {axis.values[0]} to {axis.values[-1]}", BoundsError)
    return axis.values.index(node.text())


class _Tasks(NamedTuple):
    """Names, stop sequences, approved actions (tasks,), what was recorded (tasks, actions), evaluations (tasks,)."""

    names: tuple[str, ...]
    stops: tuple[tuple[str, ...], ...]
    approved: NDArray[np.int32]
    recorded: NDArray[np.bool_]
    seen: NDArray[np.int32]


def _read_tasks(node: Node, size: int) -> _Tasks:
    items = node.items()
    names, stops, approved, recorded, seen = [], [], [], np.ones((len(items), size), np.bool_), []
    for row, item in zip(recorded, items, strict=True):
        told = ("evaluations",) if "evaluations" in item.mapping() else ()
        name, home, words, runs, *seen_here = item.members("name", "approved", "stop_sequences", "unrecorded", *told)
        names.append(name.text())
        stops.append(tuple(word.text() for word in words.items()))
        approved.append(home.members("action_id", "parameters")[0].whole(lowest=0, highest=size - 1))
        seen.append(sum(part.whole(lowest=1, highest=MAX_EVALUATIONS) for part in seen_here))
        for run in runs.items():
            ends = [end.whole(lowest=0, highest=size - 1) for end in run.items()]
            if len(ends) != 2:
                raise run.refuse("first and last action id of a run")
            row[ends[0] : ends[1] + 1] = False
    return _Tasks(tuple(names), tuple(stops), np.array(approved, np.int32), recorded, np.array(seen, np.int32))


def _read_features(node: Node) -> FeatureSpec:
    names = ("inputs", "entries", "models", "clip", "unknown_model", "fingerprint")
    _inputs, entries, models = node.members(*names)[:3]
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
