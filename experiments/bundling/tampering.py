"""The tamper matrix: every field, every file and every rule of a bundle broken in turn, and who finds it.

Each edit is tried three ways. *Plain*: the edit alone, by a reader that asks for no signature. *Resealed*: the editor
computes every digest again (files, policy, golden uniforms, fingerprints, card, manifest), same reader: what is still
consistent is another bundle, and only a signature can find it; such edits are counted by field. *Signed*: resealed,
and the reader asks for a signature. Edits that break a rule must be refused without one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from experiments.bundling.breaking import STAND_IN, Broken, broken_files, broken_folders, broken_values
from experiments.bundling.probe import NOW
from experiments.bundling.ruling import broken_rules
from experiments.measurement import Measurement
from experiments.results import Claim
from policies.bundle import DIGEST_ONLY, BundleError, Trust, load
from policies.manifest import CARD, GRAPH, MANIFEST, POLICY, SIGNATURE, sha256
from policies.model_card import render_card
from policies.request import request_uniform
from policies.strict_json import canonical, parse, plain, pretty

__all__ = ["MODES", "Matrix", "Specimen", "Tried", "cases", "claims", "measurements", "refusal", "resealed", "tamper"]

MODES = ("plain", "resealed", "signed")
LEAST = 200  # cases that the claim speaks of
SHOWN = 8  # fields that a claim names
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Specimen:
    """What is broken: a signed bundle with its graph, by file.

    Attributes:
        files: its files.
        other: those of another bundle, signed by another key.
        key: the public key that the first is signed under, 32 bytes.
    """

    files: Files
    other: Files
    key: bytes


class Tried(NamedTuple):
    """One edit in one mode: what was thrown, "" where it was accepted, and what of the refusal was not said."""

    mode: str
    kind: str
    where: str
    is_rule: bool
    error: str
    lacks: tuple[str, ...] = ()


class Matrix(NamedTuple):
    """Every edit in every mode it has a meaning in."""

    tried: tuple[Tried, ...]

    def of(self, mode: str) -> tuple[Tried, ...]:
        """Those of a mode."""
        return tuple(one for one in self.tried if one.mode == mode)


def cases(specimen: Specimen, *, seed: int, each: int, every: int) -> Iterator[Broken]:
    """All edits of a bundle.

    Args:
        specimen: it, and another.
        seed: of the places where bytes are changed.
        each: places of each file where a bit is flipped, and where it is cut.
        every: of the edits of values and bytes, each so-manieth; of those that break a rule, all.
    """
    for name in (MANIFEST, POLICY):
        yield from broken_values(name, specimen.files[name], every=every)
    yield from islice(broken_files(specimen.files, specimen.other, seed=seed, each=each), 0, None, every)
    yield from broken_folders(specimen.files)
    yield from broken_rules(specimen.files)


def _section(document: dict[str, Any], name: str) -> None:
    rest = {key: value for key, value in document[name].items() if key != "fingerprint"}
    document[name] = rest | {"fingerprint": sha256(canonical(rest))}


def _said_again(document: dict[str, Any], files: Files) -> None:
    digest = sha256(files[POLICY])
    document["policy"]["digest"] = digest
    for case in document["golden"]:
        case["uniform"] = request_uniform(case["request_id"], digest)


def _carded(document: dict[str, Any], files: dict[str, bytes]) -> None:
    files[CARD] = render_card(document).encode()


def _listed_again(document: dict[str, Any], files: Files) -> None:
    listed = document["files"]
    for name in [name for name in (POLICY, GRAPH, CARD) if name in listed]:
        if name in files:
            listed[name] = {"sha256": sha256(files[name]), "bytes": len(files[name])}
        else:
            del listed[name]


def resealed(files: Files) -> dict[str, bytes]:
    """The same files with every digest, fingerprint and the card made to fit, as far as they can be.

    Whoever edits a bundle can run this code too; what cannot be made to fit stays as it is.
    """
    held = dict(files)
    try:
        document = plain(parse(held[MANIFEST], MANIFEST).value, MANIFEST)
    except (KeyError, BundleError):
        return held
    if not isinstance(document, dict):
        return held
    steps: list[Callable[[], None]] = [partial(_said_again, document, held)]
    steps += [partial(_section, document, name) for name in ("features", "actions", "reward")]
    steps += [partial(_carded, document, held), partial(_listed_again, document, held)]
    for step in steps:
        with suppress(Exception):  # a broken document may break these anywhere, and then keeps what it said
            step()
    document.pop("digest", None)
    document["digest"] = sha256(canonical(document))
    held[MANIFEST] = (pretty(document) + "\n").encode("ascii")
    return held


def _finished(files: Files, raw: bytes) -> dict[str, bytes]:
    """With what no JSON writer would write put in its place."""
    return {name: text.replace(STAND_IN, raw) if raw else text for name, text in files.items()}


def _edited(specimen: Specimen, broken: Broken, *, reseal: bool) -> dict[str, bytes]:
    files = dict(specimen.files)
    for name, raw in broken.files.items():
        files.pop(name, None)
        files |= {} if raw is None else {name: raw}
    if POLICY in files and broken.raw:
        files[POLICY] = files[POLICY].replace(STAND_IN, broken.raw)
    return _finished(resealed(files) if reseal else files, broken.raw)


def refusal(files: Files, trust: Trust, *, act: Callable[[Path], None] | None = None) -> tuple[str, tuple[str, ...]]:
    """What loading files as a bundle throws: the type's name, "" for nothing, and the parts of it that say nothing.

    Args:
        files: of the bundle.
        trust: of the reader.
        act: what is done to its folder before.
    """
    with TemporaryDirectory() as name:
        folder = Path(name) / "bundle"
        folder.mkdir()
        for file, raw in files.items():
            (folder / file).write_bytes(raw)
        if act is not None:
            act(folder)
        try:
            load(folder, trust=trust, now=NOW)
        except BundleError as error:
            said = {"file": error.file, "got": error.got, "needed": error.needed}
            return type(error).__name__, tuple(part for part, text in said.items() if not str(text).strip())
        except Exception as error:  # whatever it is, it is no declared one: that is what is measured
            return f"undeclared {type(error).__name__}", ()
    return "", ()


def _tries(specimen: Specimen, broken: Broken) -> Iterator[Tried]:
    """One edit in the modes in which it is one."""
    asked, tag = Trust(keys=(specimen.key,)), (broken.kind, broken.where, broken.is_rule)
    edited = _edited(specimen, broken, reseal=False)
    if broken.act is None and edited == specimen.files:
        return
    if set(broken.files) == {SIGNATURE} and broken.act is None:  # who asks for none never looks at it
        yield Tried("signed", *tag, *refusal(edited, asked))
        return
    yield Tried("plain", *tag, *refusal(edited, DIGEST_ONLY, act=broken.act))
    again = _edited(specimen, broken, reseal=True)
    is_edit = broken.act is not None or again != specimen.files
    if is_edit:
        yield Tried("resealed", *tag, *refusal(again, DIGEST_ONLY, act=broken.act))
    yield Tried("signed", *tag, *refusal(again if is_edit else edited, asked, act=broken.act))


def tamper(specimen: Specimen, broken: Iterable[Broken], *, advance: Callable[[int], None]) -> Matrix:
    """Try edits in every mode.

    Args:
        specimen: the bundle.
        broken: the edits.
        advance: told of every edit tried.
    """
    found: list[Tried] = []
    for one in broken:
        found += _tries(specimen, one)
        advance(1)
    return Matrix(tuple(found))


def _share(tried: tuple[Tried, ...]) -> tuple[int, int]:
    return sum(bool(one.error) for one in tried), len(tried)


def _accepted(tried: Iterable[Tried]) -> str:
    missed = [f"{one.where}: {one.kind}" for one in tried if not one.error]
    return f"; accepted: {', '.join(islice(missed, SHOWN))}" if missed else ""


def _claim(text: str, tried: tuple[Tried, ...], *, least: int) -> Claim:
    """All refused; of fewer than were asked for nothing is claimed, but one that is accepted is a failure."""
    refused, total = _share(tried)
    return Claim(
        text,
        f"{refused:,} of {total:,} refused{_accepted(tried)}",
        f"100 % of >= {least}",
        "all counted",
        False if refused < total else True if total >= least else None,
    )


def claims(matrix: Matrix) -> list[Claim]:
    """What the matrix says, in the order of the modes; what only a signature finds is named, not claimed."""
    resealed_all = matrix.of("resealed")
    rules = tuple(one for one in resealed_all if one.is_rule)
    rest = tuple(one for one in resealed_all if not one.is_rule)
    refused, total = _share(rest)
    missed = Counter(one.where.split(": ")[-1].split(".")[0].split("[")[0] for one in rest if not one.error)
    names = ", ".join(f"{name} {n}" for name, n in missed.most_common(SHOWN))
    types = Counter(one.error for one in matrix.tried if one.error)
    bad = [one for one in matrix.tried if one.lacks or one.error.startswith("undeclared")]
    return [
        _claim("Tamper matrix, edits alone, digests checked", matrix.of("plain"), least=LEAST),
        _claim(
            "Tamper matrix, every digest computed again by the editor, signature asked for",
            matrix.of("signed"),
            least=LEAST,
        ),
        _claim("Tamper matrix, a rule broken and every digest computed again, no signature asked for", rules, least=1),
        Claim(
            "Tamper matrix, other edits with every digest computed again, no signature asked for",
            f"{refused:,} of {total:,} refused; only a signature finds edits of: {names or 'nothing'}",
            "reported",
            "all counted",
            None,
        ),
        Claim(
            "Every refusal of the tamper matrix is a declared error that names file, got and needed",
            ", ".join(f"{name} {n:,}" for name, n in types.most_common())
            + (f"; not so: {bad[0].where}: {bad[0].kind}: {bad[0].error} {bad[0].lacks}" if bad else ""),
            "all",
            "all counted",
            not bad and bool(types),
        ),
    ]


def measurements(matrix: Matrix, section: str) -> Iterator[Measurement]:
    """Edits and refusals by mode, and refusals by type."""
    for mode in MODES:
        refused, total = _share(matrix.of(mode))
        yield Measurement(section=section, measure="edits", rule=mode, value=float(total))
        yield Measurement(section=section, measure="refused", rule=mode, value=float(refused))
    for mode in MODES:
        for name, count in Counter(one.error for one in matrix.of(mode) if one.error).items():
            yield Measurement(section=section, measure="refusals", rule=mode, task=name, value=float(count))
