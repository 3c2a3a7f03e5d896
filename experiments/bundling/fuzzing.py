"""Random damage to a bundle by Hypothesis: whatever is read, only declared errors may come out.

Three kinds of folders are loaded: random bytes as files; a bundle whose bytes were flipped, inserted, cut or moved;
one whose JSON holds other values, with every digest computed again so that the reader gets deep. The strict parser
and the scan of graphs are asked directly as well. Nothing is asserted within: what comes out is counted.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from evaluators.shares import clopper_pearson
from experiments.bundling.breaking import STAND_IN
from experiments.bundling.tampering import Files, Specimen, refusal, resealed
from experiments.measurement import Measurement
from experiments.results import Claim
from policies.bundle import DIGEST_ONLY, BundleError
from policies.manifest import CARD, GRAPH, MANIFEST, POLICY, SIGNATURE, sha256
from policies.manifest_reader import read_files
from policies.onnx_scan import scan
from policies.strict_json import canonical, parse, pretty

__all__ = ["Fuzzed", "claims", "damaged", "fuzz", "measurements", "set_value"]

REQUIRED = 10_000  # folders loaded
SHARES = {"random files": 0.1, "damaged bytes": 0.3, "other values": 0.6}  # of the folders
DIRECT = 0.25  # examples of the parser, and of the scan, per folder
NESTED = 3000  # brackets within brackets
TOKENS = (
    *(b"NaN", b"-Infinity", b"1e999", b"-0", b"-0.0", b"1E5", b"5e-324", b'"\\ud800"', b'{"a": 1, "a": 1}', b"00"),
    *(b"9" * 400, b"9" * 5000, b"[" * NESTED + b"]" * NESTED, b'{"a":' * NESTED + b"1" + b"}" * NESTED, b"'a'", b""),
)
SPECIAL: tuple[Any, ...] = (
    0,
    -1,
    2**31,
    2**63,
    10**30,
    1e308,
    -0.0,
    5e-324,
    "",
    "\x00",
    "\u2028",
    "../..",
    "a" * 5000,
    [],
    {},
    [[]],
)
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Fuzzed:
    """What came out, by kind of example.

    Attributes:
        tried: kind -> examples.
        errors: (kind, declared type, "" where it was accepted) -> examples.
        past: kind -> folders whose bytes were those that their manifest names, so that what follows was reached.
        undeclared: the first words of every other kind of error -> examples.
        let_in: damaged folders, digests not computed again, that were accepted.
    """

    tried: Counter[str] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    past: Counter[str] = field(default_factory=Counter)
    undeclared: Counter[str] = field(default_factory=Counter)
    let_in: Counter[str] = field(default_factory=Counter)

    @property
    def folders(self) -> int:
        """Folders loaded."""
        return sum(self.tried[kind] for kind in SHARES)

    def note(self, kind: str, name: str) -> None:
        """Count one outcome."""
        self.tried[kind] += 1
        self.errors[kind, name] += 1
        if name.startswith("undeclared"):
            self.undeclared[f"{kind}: {name.removeprefix('undeclared ')}"] += 1


def _hypothesis() -> Any:
    try:
        import hypothesis  # optional: part of the dev extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("fuzzing needs the package hypothesis: pip install 'guardband[dev]'") from error
    return hypothesis


def _each(strategy: Any, examples: int, act: Callable[[Any], None]) -> None:
    """Do something with so many examples, the same in every run."""
    hypothesis = _hypothesis()
    rules = hypothesis.settings(
        max_examples=max(1, examples),
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    def one(example: Any) -> None:
        act(example)

    rules(hypothesis.given(strategy)(one))()


def damaged(raw: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    """Bytes after some edits, each at a place given as a share of the length.

    >>> damaged(b"abcd", [("cut", 0.5, b"")]), damaged(b"ab", [("flip", 0.0, b" "), ("move", 0.5, b"")])
    (b'ab', b'bA')
    """
    for kind, share, given in edits:
        at = int(share * len(raw))
        if kind == "flip" and raw:
            at = min(at, len(raw) - 1)
            raw = raw[:at] + bytes([raw[at] ^ (given or b"\x01")[0]]) + raw[at + 1 :]
        elif kind == "insert":
            raw = raw[:at] + given + raw[at:]
        elif kind == "drop":
            raw = raw[:at] + raw[at + 1 + len(given) :]
        elif kind == "cut":
            raw = raw[:at]
        elif kind == "double":
            raw = raw[:at] + raw[at : at + 1 + len(given)] + raw[at:]
        elif kind == "move":
            raw = raw[at:] + raw[:at]
    return raw


def _byte_edits() -> Any:
    st = _hypothesis().strategies
    kind = st.sampled_from(("flip", "insert", "drop", "cut", "double", "move"))
    return st.lists(st.tuples(kind, st.floats(0.0, 1.0), st.binary(max_size=8)), min_size=1, max_size=3)


def _values() -> Any:
    """Any JSON value, the awkward ones often."""
    st = _hypothesis().strategies
    atom = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    atom = atom | st.text(max_size=8) | st.sampled_from(SPECIAL)
    return st.recursive(atom, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))


def _value_edits() -> Any:
    """A place as numbers that lead there, what is done, the value, and a token that no writer writes."""
    st = _hypothesis().strategies
    way = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6)
    kind = st.sampled_from(("set", "set", "drop", "add", "double", "token"))
    edit = st.tuples(way, kind, _values())
    return st.tuples(st.sampled_from((MANIFEST, MANIFEST, POLICY)), st.lists(edit, min_size=1, max_size=2),
                     st.sampled_from(TOKENS))  # fmt: skip


def set_value(document: Any, way: list[float], kind: str, value: Any) -> None:
    """Edit a JSON document in place, somewhere inside.

    Args:
        document: nested mappings and lists.
        way: shares of 1, each of which chooses a member of the mapping or list reached so far; ends where no more
            members are.
        kind: `set`, `drop`, `add`, `double` or `token`.
        value: what is put there.
    """
    holder = document
    for i, share in enumerate(way):
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = keys[min(int(share * len(keys)), len(keys) - 1)]
        if i + 1 < len(way) and isinstance(holder[key], dict | list) and holder[key]:
            holder = holder[key]
            continue
        _put(holder, key, kind, deepcopy(value))  # a later edit may reach into it
        return


def _put(holder: Any, key: Any, kind: str, value: Any) -> None:
    if kind == "drop":
        del holder[key]
    elif kind in ("add", "double"):
        value = deepcopy(holder[key]) if kind == "double" else value
        holder.append(value) if isinstance(holder, list) else holder.update({f"{key}+": value})
    else:
        holder[key] = STAND_IN.decode().strip('"') if kind == "token" else value


def _is_past(files: Files) -> bool:
    """Whether every byte is the one that the manifest names."""
    try:
        listed = read_files(parse(files[MANIFEST], MANIFEST))
        return all(sha256(files[name]) == digest for name, (digest, _) in listed.items())
    except (KeyError, BundleError):
        return False


class _Campaign:
    """One specimen under fire."""

    def __init__(self, specimen: Specimen, advance: Advance) -> None:
        self.files = {name: raw for name, raw in specimen.files.items() if name in (MANIFEST, POLICY, CARD, GRAPH)}
        self.parsed = {name: json.loads(self.files[name]) for name in (MANIFEST, POLICY)}
        self.found, self.advance = Fuzzed(), advance

    def load(self, kind: str, files: Files, *, is_sealed: bool) -> None:
        """Load one folder and count what comes out."""
        name, _ = refusal(files, DIGEST_ONLY)
        self.found.note(kind, name)
        self.found.past[kind] += is_sealed and _is_past(files)
        unsigned = {file: raw for file, raw in files.items() if file != SIGNATURE}  # digests alone do not ask for it
        if not name and not is_sealed and unsigned != self.files:
            self.found.let_in[kind] += 1
        self.advance(1)

    def random_files(self, files: dict[str, bytes]) -> None:
        """A folder of nothing but random bytes, or random bytes among a bundle's files."""
        self.load("random files", (self.files if len(files) < 3 else {}) | files, is_sealed=False)

    def bytes_edited(self, drawn: tuple[str, Any, bool]) -> None:
        """Some edits of one file's bytes, the digests computed again or not."""
        name, edits, is_sealed = drawn
        files = self.files | {name: damaged(self.files[name], edits)}
        self.load("damaged bytes", resealed(files) if is_sealed else files, is_sealed=is_sealed)

    def values_edited(self, drawn: tuple[str, Any, bytes]) -> None:
        """Some other values in manifest or policy, every digest computed again."""
        name, edits, token = drawn
        document = deepcopy(self.parsed[name])
        for way, kind, value in edits:
            set_value(document, way, kind, value)
        text = canonical(document) if name == POLICY else (pretty(document) + "\n").encode("ascii")
        files = self.files | {name: text.replace(STAND_IN, token) if name == POLICY else text}
        again = resealed(files)
        self.load("other values", again | {MANIFEST: again[MANIFEST].replace(STAND_IN, token)}, is_sealed=True)

    def direct(self, kind: str, act: Callable[[], object]) -> None:
        """One call of the parser or the scan."""
        try:
            act()
            self.found.note(kind, "")
        except BundleError as error:
            self.found.note(kind, type(error).__name__)
        except Exception as error:  # whatever it is, it is no declared one: that is what is measured
            self.found.note(kind, f"undeclared {type(error).__name__}")

    def parsed_direct(self, drawn: tuple[bytes, Any]) -> None:
        """Random text, and the damaged manifest."""
        self.direct("parser", lambda: parse(drawn[0], MANIFEST))
        self.direct("parser", lambda: parse(damaged(self.files[POLICY], drawn[1]), POLICY))

    def scanned_direct(self, drawn: tuple[bytes, Any]) -> None:
        """Random bytes, and the damaged graph."""
        sizes = len(self.parsed[POLICY]["spec"]["offsets"]), self.parsed[POLICY]["spec"]["d"]
        for raw in (drawn[0], damaged(self.files[GRAPH], drawn[1])):
            self.direct("graph scan", partial(scan, raw, file=GRAPH, d=sizes[1], k=sizes[0]))


def fuzz(specimen: Specimen, *, examples: int, advance: Advance) -> Fuzzed:
    """Load so many damaged folders.

    Args:
        specimen: a bundle with its graph; its signature is left out.
        examples: folders; parser and scan get half as many each on top.
        advance: told of every folder.

    Raises:
        ModuleNotFoundError: the dev extra is missing.
    """
    st = _hypothesis().strategies
    campaign = _Campaign(specimen, advance)
    names = st.sampled_from((MANIFEST, POLICY, CARD, GRAPH, SIGNATURE, "other"))
    file = st.sampled_from((MANIFEST, POLICY, CARD, GRAPH))
    texts = st.binary(max_size=200) | _values().map(lambda value: json.dumps(value).encode())
    plans: dict[str, tuple[Any, Callable[[Any], None]]] = {
        "random files": (st.dictionaries(names, texts, min_size=1), campaign.random_files),
        "damaged bytes": (st.tuples(file, _byte_edits(), st.booleans()), campaign.bytes_edited),
        "other values": (_value_edits(), campaign.values_edited),
    }
    for kind, (strategy, act) in plans.items():
        _each(strategy, round(examples * SHARES[kind]), act)
    direct = st.tuples(texts | st.sampled_from(TOKENS), _byte_edits())
    _each(direct, int(examples * DIRECT), campaign.parsed_direct)
    _each(direct, int(examples * DIRECT), campaign.scanned_direct)
    return campaign.found


def claims(found: Fuzzed) -> list[Claim]:
    """Only declared errors, and nothing let in whose bytes are not those of its manifest."""
    calls, bad = sum(found.tried.values()), sum(found.undeclared.values())
    past = sum(found.past.values())
    types = Counter({name: 0 for _, name in found.errors})
    for (_, name), count in found.errors.items():
        types[name or "accepted"] += count
    words = ", ".join(f"{name} {count:,}" for name, count in types.most_common() if count)
    first = f"; first: {next(iter(found.undeclared))}" if bad else ""
    upper = clopper_pearson(bad, calls, confidence=0.95, side="upper").hi
    enough = found.folders >= REQUIRED
    let_in = sum(found.let_in.values())
    return [
        Claim(
            f"Hypothesis on the loader, {found.folders:,} folders ({past:,} past every digest), parser and graph scan",
            f"{bad} undeclared errors{first} ({words})",
            f"0 of >= {REQUIRED:,}",
            f"<= {upper:.2%} at 95 %",
            False if bad else True if enough else None,
        ),
        Claim(
            "Damaged folders accepted by a reader of digests alone, digests not computed again",
            f"{let_in}" + (f" ({', '.join(found.let_in)})" if let_in else ""),
            "0",
            "all counted",
            let_in == 0,
        ),
    ]


def measurements(found: Fuzzed, section: str) -> Iterator[Measurement]:
    """Examples by kind, how deep they got, and what came out."""
    for kind, count in found.tried.items():
        yield Measurement(section=section, measure="examples", rule=kind, value=float(count))
        yield Measurement(section=section, measure="past_digests", rule=kind, value=float(found.past[kind]))
    for (kind, name), count in found.errors.items():
        yield Measurement(
            section=section, measure="outcomes", rule=kind, task=name or "accepted", value=float(count)
        )  # fmt: skip
