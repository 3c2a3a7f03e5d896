"""The commands of `python -m policies.bundle`: check a bundle, read it, ask it, compare two, measure one.

Every command loads a bundle as production does, with every check.
Status: 0 done, 1 two bundles differ (`diff --exit-code`), 2 refused, with one line on standard error.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np

from envs.targets import nearest
from policies import bundle_bench
from policies.bundle_diff import SAME, differences
from policies.bundle_page import WIDTH, checked, laid_out, safe, summary, wrapped
from policies.evidence import parse_time, this_moment
from policies.frozen import REQUEST, FrozenPolicy
from policies.graph import Asked, Served, runner
from policies.loading import LoadedPolicy, load
from policies.manifest import GRAPH, MANIFEST, SIGNATURE, sha256
from policies.masses import TOTAL, draw_slot
from policies.refusals import BundleError, FolderError, FormatError, GoldenError, IntegrityError
from policies.request import read_task
from policies.signing import Trust, read_public_key
from policies.strict_json import Node, parse, plain, pretty

__all__ = ["main"]

DONE, DIFFERENT, REFUSED = 0, 1, 2
MAX_REQUEST = 1 << 20  # bytes of one request's features
_ASKED = ("task_type", "features", "request_id", "prices")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def _say(text: str) -> None:
    """Print what any terminal can: characters that its encoding lacks are escaped."""
    coding = getattr(sys.stdout, "encoding", None) or "ascii"
    shown = text.replace("\x7f", "\\u007f")  # the one control character that JSON leaves as it is
    print(shown.encode(coding, "backslashreplace").decode(coding), flush=True)


class _Opened(NamedTuple):
    """A bundle that passed, and what it was held against."""

    found: LoadedPolicy
    path: Path
    trust: Trust
    now: datetime


def _open(options: argparse.Namespace, name: str = "bundle") -> _Opened:
    """The bundle that an option names; a link such as a store's `current` is followed once."""
    path, trust = Path(os.path.realpath(getattr(options, name))), _trust(options)
    now = options.now or this_moment()
    return _Opened(load(path, trust=trust, now=now), path, trust, now)


def _trust(options: argparse.Namespace) -> Trust:
    keys = tuple(read_public_key(Path(name)) for name in options.key)
    wanted = {name: getattr(options, f"{name}_print", None) or "" for name in ("features", "actions")}
    return Trust(keys=keys, quarantined=_quarantined(options.quarantined), **wanted)


def _quarantined(file: str) -> frozenset[str]:
    """Digests from a file, one a line; what follows a # is a remark."""
    text = Path(file).read_text("utf-8") if file else ""
    found = [line.partition("#")[0].strip() for line in text.splitlines()]
    for i, digest in enumerate(found, 1):
        if digest and not _DIGEST.fullmatch(digest):
            raise ValueError(f"{file}: line {i} = {digest!r:.80}, need 64 hex digits in lower case")
    return frozenset(filter(None, found))


def _verify(options: argparse.Namespace) -> int:
    """Say each thing that was checked, and who vouches."""
    found, path, trust, now = _open(options)
    replayed = [("onnxruntime", _replay(found, path))] if options.onnx else []
    unchecked = "there, and NOT checked: no --key was given" if os.path.lexists(path / SIGNATURE) else "none"
    sections = {
        f"valid: {found.release.name} {found.release.version}, {found.policy.kind}": [
            ("bundle", found.digest),
            ("policy", found.policy.digest),
        ],
        "trust": [
            ("vouched for", found.trust),
            ("signature", "there, and holds" if trust.keys else unchecked),
        ],
        "checked": [*checked(found, trust, now), *replayed],
    }
    _say(laid_out(sections))
    return DONE


def _replay(found: LoadedPolicy, path: Path) -> str:
    """Ask the graph the golden requests, each at five uniforms, and say how it answers.

    Raises:
        GoldenError: an answer that is not the manifest's: a mass off by more than 1 of 2^20, or another action.
    """
    answer, policy = runner(_graph(found, path)), found.policy
    largest = n_asked = 0
    for i, case in enumerate(found.manifest["golden"]):
        index = policy.task_types.index(case["task_type"])
        context = policy.decision(read_task(case["features"]), index, np.ones(2)).features
        for uniform in (case["uniform"], *(asked for asked, _ in case["actions"])):
            served = answer(Asked(context, index, uniform))
            largest = max(largest, _distance(policy, case, served=served, uniform=uniform, where=f"golden[{i}]"))
            n_asked += 1
    return f"{n_asked} requests replayed: largest mass difference {largest} of 2^20, all {n_asked} actions equal"


def _distance(policy: FrozenPolicy, case: Mapping[str, Any], *, served: Served, uniform: int, where: str) -> int:
    """How far a graph's masses are from those recorded, in units of 2^-20."""
    masses = np.array(case["masses"], np.int32)
    held = policy.windows[policy.task_types.index(case["task_type"])]
    action = int(held.action_ids[int(draw_slot(masses, np.int32(uniform)))])
    if not np.array_equal(served.action_ids, held.action_ids) or not np.array_equal(served.feasible, held.feasible):
        raise GoldenError(GRAPH, where, got="another window", needed="the window of policy and bounds")
    distance = int(np.max(np.abs(served.masses.astype(np.int64) - masses)))
    if distance > 1:
        raise GoldenError(GRAPH, where, got=f"masses {distance} off", needed="those recorded, at most 1 off")
    if served.action_id != action:
        got = f"action {served.action_id} at uniform {uniform}"
        raise GoldenError(GRAPH, where, got=got, needed=f"action {action}, as recorded")
    return distance


def _graph(found: LoadedPolicy, path: Path) -> bytes:
    """The bytes of the graph that the bundle was loaded with."""
    if GRAPH not in found.manifest["files"]:
        raise FolderError(GRAPH, got="is missing", needed="a graph to replay; export with the extra `export`")
    raw = (path / GRAPH).read_bytes()
    if sha256(raw) != found.manifest["files"][GRAPH]["sha256"]:
        raise IntegrityError(GRAPH, got="changed after it was loaded", needed=f"the bytes that {MANIFEST} names")
    return raw


def _show(options: argparse.Namespace) -> int:
    """Print a summary for readers, or the manifest."""
    found, _path, _trusted, now = _open(options)
    _say(pretty(found.manifest) if options.json else laid_out(summary(found, now)))
    return DONE


def _recommend(options: argparse.Namespace) -> int:
    """Answer one request, or a file of them."""
    alone = {"--task-type": options.task_type, "--request-id": options.request_id}
    others = {**alone, "--features": options.features, "--prices": options.prices}
    given = [name for name, value in others.items() if value is not None]
    if options.requests is not None and given:
        raise ValueError(f"{given[0]} stands beside --requests, whose lines say it; give one of them")
    missing = [name for name, value in alone.items() if value is None]
    if options.requests is None and missing:
        raise ValueError(f"{missing[0]} is missing; need --task-type and --request-id, or --requests")
    if options.requests is not None:
        return _batch(options)
    asked = {"task_type": options.task_type, "request_id": options.request_id, "features": _features(options.features)}
    prices = {} if options.prices is None else {"prices": options.prices}
    _say(pretty(_answer(_open(options).found, asked | prices)))
    return DONE


def _features(text: str | None) -> object:
    """What --features says: JSON, @FILE, or - for standard input."""
    if text is None:
        return {}
    if text == "-":
        return parse(_limited(sys.stdin.buffer, "standard input"), "standard input").value
    if text.startswith("@"):
        with open(text[1:], "rb") as stream:
            return parse(_limited(stream, text[1:]), text[1:]).value
    return parse(text.encode("utf-8", "surrogateescape"), "--features").value


def _limited(stream: BinaryIO, name: str) -> bytes:
    raw = stream.read(MAX_REQUEST + 1)
    if len(raw) > MAX_REQUEST:
        raise FormatError(name, got=f"has more than {MAX_REQUEST} bytes", needed="one request's features")
    return raw


def _batch(options: argparse.Namespace) -> int:
    found = _open(options).found
    if options.requests == "-":
        lines: Iterable[bytes] = sys.stdin.buffer
        return _answered(found, lines)
    with open(options.requests, "rb") as lines:
        return _answered(found, lines)


def _answered(found: LoadedPolicy, lines: Iterable[bytes]) -> int:
    """One line of JSON for each line of JSON: an answer, or why there is none."""
    for i, raw in enumerate(lines, 1):
        try:
            said: dict[str, Any] = _answer(found, _asked(raw, f"line {i}"))
        except BundleError as error:
            said = {"line": i, "error": str(error)}
        _say(json.dumps(said, allow_nan=False))
    return DONE


def _asked(raw: bytes, name: str) -> dict[str, object]:
    if len(raw) > MAX_REQUEST:
        raise FormatError(name, got=f"has {len(raw)} bytes", needed=f"at most {MAX_REQUEST}")
    found: dict[str, Node] = parse(raw, name).mapping()
    for field in found:
        if field not in _ASKED:
            got = f"has the unknown field {field!r}{nearest(field, _ASKED)}"
            raise FormatError(name, got=got, needed=f"{', '.join(_ASKED)} alone")
    return {field: node.value for field, node in found.items()}


def _answer(found: LoadedPolicy, asked: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as JSON; whatever was asked, there is one."""
    kind: Any = asked.get("task_type")  # whatever was sent: `recommend` judges it
    name: Any = asked.get("request_id")
    given = found.recommend(asked.get("features", {}), kind, name, prices=asked.get("prices", (1.0, 1.0)))
    answer = {
        "request_id": name,
        "parameters": given.parameters,
        "action_id": given.action_id,
        "propensity": given.propensity,
        "action_ids": given.window.action_ids.tolist(),
        "probabilities": given.probabilities.tolist(),
        "reason": given.reason,
        "confidence": given.confidence,
        "policy_digest": given.policy_digest,
        "bundle_digest": found.digest,
        "uniform": given.uniform,
    }
    return {name: plain(value, name) for name, value in answer.items()}


def _diff(options: argparse.Namespace) -> int:
    """Say in words what changed between two bundles."""
    old, new = (_open(options, name).found for name in ("old", "new"))
    found = [line for line in differences(old, new) if line != SAME]
    if not found and old.digest != new.digest:
        found = [f"digest: {old.digest[:12]}... -> {new.digest[:12]}..., in words alone"]
    if options.json:
        _say(pretty(plain(found, "differences")))
    else:
        _say("\n".join(line for one in found for line in wrapped(one, WIDTH)) or SAME)
    return DIFFERENT if found and options.exit_code else DONE


def _bench(options: argparse.Namespace) -> int:
    """Measure what a bundle costs to load and to ask."""
    path = Path(os.path.realpath(options.bundle))
    figures = bundle_bench.measure(path, trust=_trust(options), now=options.now, n_requests=options.requests)
    _say(pretty(figures) if options.json else laid_out(bundle_bench.told(figures)))
    return DONE


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise ValueError where argparse would print its usage, on several lines, and end the program."""
        raise ValueError(f"{message}; see --help")


def _moment(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r:.80}, need 64 hex digits in lower case")
    return text


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r:.20}, need a whole number in [1, 999999]")
    return int(text)


Add = Callable[..., object]


def _verify_options(add: Add) -> None:
    add("--features", dest="features_print", type=_digest, metavar="FP", help="refuse other features")
    add("--actions", dest="actions_print", type=_digest, metavar="FP", help="refuse other actions")
    add("--onnx", action="store_true", help=f"replay the golden requests on {GRAPH} by onnxruntime")


def _recommend_options(add: Add) -> None:
    add("--task-type", metavar="T", help="task type of the request")
    add("--request-id", metavar="ID", help="1 to 1024 bytes; the same id gets the same answer")
    add("--features", metavar="JSON", help="what is known of it: JSON, @FILE, or - for standard input; default {}")
    add("--prices", nargs=2, type=float, metavar=("IN", "OUT"), help="token prices now, relative to those of training")
    add("--requests", metavar="FILE", help=f"JSON Lines of {', '.join(_ASKED)}, - for standard input")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m policies.bundle", description="Check a policy bundle, read it, ask it.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    known: dict[str, tuple[Callable[[argparse.Namespace], int], str]] = {
        "verify": (_verify, "check every file, digest, bound and golden request, and say who vouches"),
        "show": (_show, "check, then print a summary"),
        "recommend": (_recommend, f"answer requests: parameters ({REQUEST}*) and their propensity of {TOTAL:,}ths"),
        "diff": (_diff, "say in words what changed between two bundles"),
        "bench": (_bench, "measure CPU time and memory of loading and asking"),
    }
    made = {name: commands.add_parser(name, help=what, description=what) for name, (_, what) in known.items()}
    for name, command in made.items():
        command.set_defaults(action=known[name][0])
        for place in ("old", "new") if name == "diff" else ("bundle",):
            command.add_argument(place, metavar=place.upper() if name == "diff" else "DIR", help="a bundle's folder")
        add = command.add_argument
        add("--key", action="append", default=[], metavar="PEM", help="trust this public key; may stand more than once")
        add("--now", type=_moment, metavar="TIME", help="judge waivers as of 2030-01-31T12:00:00Z")
        add("--quarantined", default="", metavar="FILE", help="refuse the digests that stand there, one a line")
    _verify_options(made["verify"].add_argument)
    _recommend_options(made["recommend"].add_argument)
    for name in ("show", "diff", "bench"):
        made[name].add_argument("--json", action="store_true", help="print JSON")
    made["diff"].add_argument("--exit-code", action="store_true", help=f"end with {DIFFERENT} where they differ")
    made["bench"].add_argument("--requests", type=_count, default=1000, metavar="N", help="of each task type")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Do what a command line asks.

    Args:
        argv: the words after the program's name; those of this process by default.

    Returns:
        0 when done, 1 where `diff --exit-code` found a difference, 2 when something was refused, which one line on
        standard error says.
    """
    try:
        options = _parser().parse_args(argv)
        status: int = options.action(options)
    except BrokenPipeError:  # the reader has seen enough; Python would complain once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (OSError, ValueError, ModuleNotFoundError) as error:
        print("error: " + safe(" ".join(_why(error).split())), file=sys.stderr)
        return REFUSED
    return status


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
