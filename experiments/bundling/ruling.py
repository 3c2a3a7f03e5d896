"""Edits of a bundle that break one rule of its format, by an editor who keeps everything else right."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.bundling.breaking import Broken, text_of
from policies.manifest import CARD, GRAPH, MANIFEST, POLICY, SIGNATURE

__all__ = ["broken_rules", "external_data"]

Way = tuple[str | int, ...]
VERSIONS = ("1.0", "1", "2.1", "3.0", "2.00", "2", "", 2.0, None, ["2.0"])
STRANGERS = ("../policy.json", "/etc/passwd", "policy.json/../policy.json", "notes.txt", SIGNATURE, MANIFEST)
EVIDENCE: dict[str, dict[str, object]] = {
    "a lower bound just below 0": {"lower_bound": -5e-324},
    "a lower bound below 0": {"lower_bound": -0.01},
    "no lower bound": {"lower_bound": None},
    "refused": {"verdict": "refused"},
    "no change": {"verdict": "no_change"},
    "another verdict": {"verdict": "Approved"},
    "approved, and nobody judged": {"estimate": None},
    "alpha of 0": {"alpha": 0.0},
    "less than no rows": {"n": -1},
}
WAIVER: dict[str, object] = {"identity": "release manager", "reason": "an incident", "expires": "2030-01-01T00:00:00Z"}
WAIVERS: dict[str, dict[str, object]] = {
    "an ended waiver": {"expires": "2025-12-31T00:00:00Z"},
    "a waiver that ends this very second": {"expires": "2026-01-01T00:00:00Z"},
    "a waiver of all that there is": {"waives": ["everything"]},
    "a waiver of nothing": {"waives": []},
    "a waiver by nobody": {"identity": " "},
    "a waiver without reason": {"reason": ""},
    "a waiver to no such day": {"expires": "2030-02-30T00:00:00Z"},
    "a waiver for ever": {"expires": "never"},
}


def _at(document: Any, way: Way) -> Any:
    for step in way:
        document = document[step]
    return document


def _rule(kind: str, way: Way, raw: bytes, change: Mapping[str, object]) -> Broken:
    """The manifest with other members in the mapping that a way leads to."""
    document = json.loads(raw)
    _at(document, way).update(change)
    where = ": ".join((MANIFEST, ".".join(map(str, way)) or ", ".join(change)))
    return Broken(kind=kind, where=where, files={MANIFEST: text_of(MANIFEST, document)}, is_rule=True)


def broken_rules(files: Mapping[str, bytes]) -> Iterator[Broken]:
    """Each rule of the format broken: version, evidence, waivers, bounds, names of files, data outside the graph.

    Args:
        files: of a bundle with its graph, whose waivers are judged by 1 January 2026.
    """
    raw = files[MANIFEST]
    for version in VERSIONS:
        yield _rule(repr(version), (), raw, {"format_version": version})
    for kind, change in EVIDENCE.items():
        yield _rule(kind, ("evidence",), raw, change)
    for kind, change in WAIVERS.items():
        yield _rule(kind, (), raw, {"waivers": [WAIVER | {"waives": ["gate"]} | change]})
    yield from _actions(raw)
    yield from _limits(raw)
    for name in STRANGERS:
        yield _rule(f"names {name}", ("files",), raw, {name: {"sha256": "0" * 64, "bytes": 1}})
    for name, size in ((POLICY, (1 << 26) + 1), (CARD, -1), (CARD, 1 << 40)):
        document = json.loads(raw)
        document["files"][name]["bytes"] = size
        whole = {MANIFEST: text_of(MANIFEST, document)}
        yield Broken(kind=f"{size} bytes", where=f"{MANIFEST}: files.{name}", files=whole)  # resealing mends it
    yield Broken(kind="external data", where=GRAPH, files={GRAPH: external_data(files[GRAPH])}, is_rule=True)


def _actions(raw: bytes) -> Iterator[Broken]:
    """Approved actions and fallback that are none, or not those that their parameters say."""
    size = math.prod(len(axis["values"]) for axis in json.loads(raw)["actions"]["axes"])
    for kind, action in (("beyond the lattice", size), ("below the lattice", -1), ("another action", 0)):
        for way in (("task_types", 0, "approved"), ("fallback",)):
            yield _rule(kind, way, raw, {"action_id": action})


def _limits(raw: bytes) -> Iterator[Broken]:
    """Hard limits that leave the approved action outside, or are none; regions wider than what was learned."""
    document = json.loads(raw)
    for axis in document["actions"]["axes"]:
        name, edges = axis["name"], (axis["values"][0], axis["values"][-1])
        if edges[0] == edges[1]:
            continue
        limits, region = ("hard_limits", name), document["trust_region"][name]
        home = float(document["fallback"]["parameters"][name])
        for edge in edges:
            if float(edge) != home:
                yield _rule(f"nothing but {edge}", limits, raw, {"lowest": edge, "highest": edge})
        yield _rule("turned round", limits, raw, {"lowest": edges[1], "highest": edges[0]})
        yield _rule("off the lattice", limits, raw, {"highest": "9e9"})
        yield _rule("wider", ("trust_region", name), raw, _wider(region))


def _wider(region: Mapping[str, Any]) -> dict[str, object]:
    """One step more, in its own unit too."""
    steps, radius = region["steps"], region["radius"]
    is_number = steps and radius.replace(".", "", 1).isdigit()
    return {"steps": steps + 1, "radius": str(float(radius) / steps * (steps + 1)) if is_number else radius}


def external_data(raw: bytes) -> bytes:
    """A graph whose first constant is said to lie in another file.

    Raises:
        ModuleNotFoundError: the export extra is missing.
    """
    try:
        import onnx  # optional: part of the export extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("graphs need the package onnx: pip install 'guardband[export]'") from error
    model = onnx.load_from_string(raw)
    first = model.graph.initializer[0] if model.graph.initializer else model.graph.node[0].attribute[0].t
    first.ClearField("raw_data")
    first.data_location = onnx.TensorProto.EXTERNAL
    place = first.external_data.add()
    place.key, place.value = "location", "../secrets"
    return bytes(model.SerializeToString())
