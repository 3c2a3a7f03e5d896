"""Edits of a bundle, generated: each field, each file, each rule, each broken in every way that has a name."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from policies.manifest import CARD, GRAPH, MANIFEST, POLICY, SIGNATURE
from policies.strict_json import canonical, pretty

__all__ = ["STAND_IN", "Broken", "broken_files", "broken_folders", "broken_rules", "broken_values", "external_data"]

STAND_IN = b'"-- stands in --"'  # where a token goes that no JSON writer writes
NOT_FINITE = ("NaN", "Infinity", "-Infinity", "1e999")
Act = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class Broken:
    """One edit.

    Attributes:
        kind: what was done.
        where: file, and field within it.
        files: what it makes of files; None: gone.
        raw: what stands in place of `STAND_IN`.
        act: what it does to the folder, where that is not a matter of bytes.
        is_rule: whether it breaks a rule that a reader must find without a signature, however well resealed.
    """

    kind: str
    where: str
    files: Mapping[str, bytes | None] = field(default_factory=dict)
    raw: bytes = b""
    act: Act | None = None
    is_rule: bool = False


def _text(file: str, document: object) -> bytes:
    return (pretty(document) + "\n").encode("ascii") if file == MANIFEST else canonical(document)


def _sampled(count: int) -> list[int]:
    """First, middle and last place of a list."""
    return sorted({0, count // 2, count - 1} if count else set())


def _places(node: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    """Every member of every mapping, and some items of every list: holder, key, dotted path."""
    keys: list[Any] = list(node) if isinstance(node, dict) else _sampled(len(node))
    for key in keys:
        here = f"{path}[{key}]" if isinstance(node, list) else f"{path}.{key}".lstrip(".")
        yield node, key, here
        if isinstance(node[key], dict | list):
            yield from _places(node[key], here)


def _retyped(value: object) -> object:
    if value is None or isinstance(value, str):
        return 1
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return str(value)
    return [] if isinstance(value, dict) else {}


def _others(value: object) -> Iterator[tuple[str, object]]:
    """Named values that are not this one but are near it."""
    yield "retyped", _retyped(value)
    if value is not None:
        yield "null", None
    if isinstance(value, bool):
        yield "flipped", not value
    elif isinstance(value, int):
        yield from (("plus one", value + 1), ("minus one", value - 1), ("with a point", float(value)))
        yield "far beyond", 10**30
    elif isinstance(value, float):
        yield from (("one ULP up", math.nextafter(value, math.inf)), ("one ULP down", math.nextafter(value, -math.inf)))
        yield from [("without a point", int(value))] if value.is_integer() else []
    elif isinstance(value, str):
        yield from (("text longer", value + "0"), ("text emptied", ""))
    elif isinstance(value, list) and value:
        yield from (("item doubled", [*value, value[-1]]), ("items turned round", value[::-1]))
    elif isinstance(value, dict):
        yield "unknown field", value | {"unknown": 1}
    if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
        yield "minus zero", -0.0


def _differs(a: object, b: object) -> bool:
    return json.dumps(a) != json.dumps(b)


def broken_values(file: str, raw: bytes) -> Iterator[Broken]:
    """Every field of a JSON file removed, of another type, changed a little, not finite, or said twice."""
    document = json.loads(raw)
    for holder, key, path in list(_places(document, "")):
        value, where = holder[key], f"{file}: {path}"
        for kind, other in _others(value):
            if _differs(value, other):
                holder[key] = other
                yield Broken(kind=kind, where=where, files={file: _text(file, document)})
        holder[key] = STAND_IN.decode().strip('"')
        standing = {file: _text(file, document)}
        if isinstance(value, int | float) and not isinstance(value, bool):
            for token in NOT_FINITE:
                yield Broken(kind=token, where=where, files=standing, raw=token.encode())
        if isinstance(holder, dict):
            twice = f"{json.dumps(value)}, {json.dumps(key)}: {json.dumps(value)}"
            yield Broken(kind="said twice", where=where, files=standing, raw=twice.encode())
        yield Broken(kind="removed", where=where, files={file: _without(document, holder, key, file=file)})
        holder[key] = value


def _without(document: Any, holder: Any, key: Any, *, file: str) -> bytes:
    """The text of a document that lacks one member, which is put back where it stood."""
    kept = holder.copy()
    del holder[key]
    text = _text(file, document)
    holder.clear()
    holder.update(kept) if isinstance(holder, dict) else holder.extend(kept)
    return text


def broken_files(
    files: Mapping[str, bytes], other: Mapping[str, bytes], *, seed: int, each: int
) -> Iterator[Broken]:
    """Every file swapped with another bundle's, cut, emptied, lengthened, gone, or with one bit flipped.

    Args:
        files: of the bundle.
        other: of another one.
        seed: of the places.
        each: places of each file, for cuts and for flips.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    for name, raw in files.items():
        yield Broken(kind="swapped with another bundle's", where=name, files={name: other[name]})
        yield Broken(kind="emptied", where=name, files={name: b""})
        yield Broken(kind="gone", where=name, files={name: None})
        yield Broken(kind="one byte longer", where=name, files={name: raw + b"\n"})
        yield Broken(kind="one byte shorter", where=name, files={name: raw[:-1]})
        for at in sorted({int(place) for place in rng.integers(1, len(raw), each)}):
            yield Broken(kind=f"cut at {at}", where=name, files={name: raw[:at]})
        for at, bit in zip(rng.integers(0, len(raw), each).tolist(), rng.integers(0, 8, each).tolist(), strict=True):
            flipped = raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]
            yield Broken(kind=f"bit {bit} of byte {at} flipped", where=name, files={name: flipped})
    yield from _respelled(files[MANIFEST])


def _respelled(raw: bytes) -> Iterator[Broken]:
    """The same manifest in other bytes: a signature would notice, and so must a reader without one."""
    spelled = {
        "without spaces": canonical(json.loads(raw)),
        "with spaces": b" " + raw,
        "with an exponent in capitals": raw.replace(b"e-0", b"E-0"),
        "with a zero written -0": raw.replace(b": 0,", b": -0,", 1),
        "with a byte order mark": b"\xef\xbb\xbf" + raw,
        "with line ends of two bytes": raw.replace(b"\n", b"\r\n"),
    }
    for kind, text in spelled.items():
        yield Broken(kind=f"spelled {kind}", where=MANIFEST, files={MANIFEST: text})


def _linked(folder: Path, name: str) -> None:
    os.rename(folder / name, folder.parent / name)
    (folder / name).symlink_to(folder.parent / name)


def _as_folder(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def _as_pipe(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def _huge(folder: Path, name: str) -> None:
    os.truncate(folder / name, (1 << 26) + 1)


def broken_folders(files: Mapping[str, bytes]) -> Iterator[Broken]:
    """Each file as a link, a folder, a pipe or larger than any; files that nobody named; no folder at all."""
    acts = {"a link": _linked, "a folder": _as_folder, "a pipe": _as_pipe, "oversize": _huge}
    for name in files:
        for kind, act in acts.items():
            if hasattr(os, "mkfifo") or act is not _as_pipe:
                yield Broken(kind=kind, where=name, act=_bound(act, name), is_rule=True)
    for name in ("notes.txt", ".hidden", "policy.pkl", "manifest.json.bak", "Manifest.json"):
        yield Broken(kind="a file too many", where=name, files={name: b"{}"}, is_rule=True)
    yield Broken(kind="gone", where="the folder", act=shutil.rmtree, is_rule=True)


def _bound(act: Callable[[Path, str], None], name: str) -> Act:
    return lambda folder: act(folder, name)


def _rule(kind: str, where: str, raw: bytes, edit: Callable[[Any], object]) -> Broken:
    document = json.loads(raw)
    edit(document)
    files = {MANIFEST: _text(MANIFEST, document)}
    return Broken(kind=kind, where=f"{MANIFEST}: {where}", files=files, is_rule=True)


def broken_rules(files: Mapping[str, bytes]) -> Iterator[Broken]:
    """Each rule of the format broken by an editor who keeps everything else right."""
    raw = files[MANIFEST]
    for version in ("1.0", "1", "2.1", "3.0", "2.00", "2", "", 2.0, None, ["2.0"]):
        yield _rule(f"{version!r}", "format_version", raw, lambda m, v=version: m.update(format_version=v))
    yield from _evidence(raw)
    yield from _bounds(raw)
    for name in ("../policy.json", "/etc/passwd", "policy.json/../policy.json", "notes.txt", SIGNATURE, MANIFEST):
        listed = {"sha256": "0" * 64, "bytes": 1}
        yield _rule(f"names {name}", "files", raw, lambda m, n=name: m["files"].update({n: listed}))
    for name, size in ((POLICY, (1 << 26) + 1), (CARD, -1), (CARD, 1 << 40)):
        document = json.loads(raw)
        document["files"][name]["bytes"] = size
        yield Broken(kind=f"{size} bytes", where=f"{MANIFEST}: files.{name}", files={MANIFEST: _text(MANIFEST, document)})
    yield Broken(kind="external data", where=GRAPH, files={GRAPH: external_data(files[GRAPH])}, is_rule=True)


def _evidence(raw: bytes) -> Iterator[Broken]:
    ended = {"identity": "release manager", "reason": "an incident", "expires": "2025-12-31T00:00:00Z"}
    ended |= {"waives": ["gate"]}
    changes: dict[str, dict[str, Any]] = {
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
    for kind, change in changes.items():
        yield _rule(kind, "evidence", raw, lambda m, c=change: m["evidence"].update(c))
    for kind, told in {
        "an ended waiver": ended,
        "a waiver that ends this very second": ended | {"expires": "2026-01-01T00:00:00Z"},
        "a waiver of all that there is": ended | {"expires": "2030-01-01T00:00:00Z", "waives": ["everything"]},
        "a waiver of nothing": ended | {"expires": "2030-01-01T00:00:00Z", "waives": []},
        "a waiver by nobody": ended | {"expires": "2030-01-01T00:00:00Z", "identity": " "},
        "a waiver without reason": ended | {"expires": "2030-01-01T00:00:00Z", "reason": ""},
        "a waiver to no such day": ended | {"expires": "2030-02-30T00:00:00Z"},
        "a waiver for ever": ended | {"expires": "never"},
    }.items():
        yield _rule(kind, "waivers", raw, lambda m, t=told: m.update(waivers=[t]))


def _bounds(raw: bytes) -> Iterator[Broken]:
    """Approved actions and fallback outside limits or lattice, regions wider than what was learned."""
    document = json.loads(raw)
    sizes = [len(axis["values"]) for axis in document["actions"]["axes"]]
    size = math.prod(sizes)
    for kind, action in (("beyond the lattice", size), ("below the lattice", -1), ("another action", 0)):
        yield _rule(kind, "approved", raw, lambda m, a=action: m["task_types"][0]["approved"].update(action_id=a))
        yield _rule(kind, "fallback", raw, lambda m, a=action: m["fallback"].update(action_id=a))
    for axis in document["actions"]["axes"]:
        name, first, last = axis["name"], axis["values"][0], axis["values"][-1]
        if first == last:
            continue
        home = str(document["fallback"]["parameters"][name])
        for kind, edge in (("highest", first), ("lowest", last)):
            if float(edge) != float(home):
                where, change = f"hard_limits.{name}", {"lowest": edge, "highest": edge}
                yield _rule(f"all at its {kind}", where, raw, lambda m, n=name, c=change: m["hard_limits"].update({n: c}))
        yield _rule("turned round", f"hard_limits.{name}", raw, lambda m, n=name: _turn(m["hard_limits"][n]))
        yield _rule("off the lattice", f"hard_limits.{name}", raw, lambda m, n=name: m["hard_limits"][n].update(highest="9e9"))
        yield _rule("wider", f"trust_region.{name}", raw, lambda m, n=name: _widen(m["trust_region"][n]))


def _turn(edges: dict[str, str]) -> None:
    edges.update(lowest=edges["highest"], highest=edges["lowest"])


def _widen(region: dict[str, Any]) -> None:
    """One step more, in its own unit too."""
    steps = region["steps"]
    region["steps"] = steps + 1
    with_unit = region["radius"]
    if steps and with_unit.replace(".", "", 1).isdigit():
        region["radius"] = str(float(with_unit) / steps * (steps + 1))


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
