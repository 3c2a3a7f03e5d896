"""Edits of a bundle, generated: each field and each file, broken in every way that has a name."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from policies.manifest import MANIFEST
from policies.strict_json import canonical, pretty

__all__ = ["STAND_IN", "Broken", "broken_files", "broken_folders", "broken_values", "text_of"]

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


def text_of(file: str, document: object) -> bytes:
    """A JSON file of a bundle as its writer spells it."""
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


def broken_values(file: str, raw: bytes, *, every: int = 1) -> Iterator[Broken]:
    """Every field of a JSON file removed, of another type, changed a little, not finite, or said twice.

    Args:
        file: its name.
        raw: its text.
        every: each so-manieth edit is made.
    """
    document = json.loads(raw)
    for i, (kind, path, token) in enumerate(_edits(document)):
        if i % every == 0:
            yield Broken(kind=kind, where=f"{file}: {path}", files={file: text_of(file, document)}, raw=token)


def _edits(document: Any) -> Iterator[tuple[str, str, bytes]]:
    """What was done, where, and what stands in place of `STAND_IN`; the document is broken until the next is asked."""
    for holder, key, path in list(_places(document, "")):
        value = holder[key]
        for kind, other in _others(value):
            if json.dumps(value) != json.dumps(other):
                holder[key] = other
                yield kind, path, b""
        holder[key] = STAND_IN.decode().strip('"')
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield from ((token, path, token.encode()) for token in NOT_FINITE)
        if isinstance(holder, dict):
            yield "said twice", path, f"{json.dumps(value)}, {json.dumps(key)}: {json.dumps(value)}".encode()
        holder[key] = value
        kept = holder.copy()
        del holder[key]
        yield "removed", path, b""
        holder.clear()
        holder.update(kept) if isinstance(holder, dict) else holder.extend(kept)


def broken_files(files: Mapping[str, bytes], other: Mapping[str, bytes], *, seed: int, each: int) -> Iterator[Broken]:
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
