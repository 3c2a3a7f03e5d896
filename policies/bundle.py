"""A vetted policy as a directory that production reads with NumPy alone.

`manifest.json` says what the policy is, what it may do and why it was let out;
`policy.json` is what it learned, in float64. Loading checks every byte against the
manifest and every bound against the lattice. The same request id gets the same answer
from every copy. Digests find accidents and edits; they are not a signature.

    python -m policies.bundle recommend DIR --context FILE --request-id ID
    python -m policies.bundle verify DIR
    python -m policies.bundle show DIR
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from envs.tasks import TaskFeatures, parse_task
from policies.bundle_files import read_folder, write_folder
from policies.frozen import FrozenPolicy, Recommendation
from policies.learned import read_learned
from policies.manifest import MANIFEST, POLICY, render, sha256
from policies.manifest_reader import MAX_BYTES, read_files, read_manifest
from policies.strict_json import BundleError, parse

__all__ = ["BundleError", "LoadedPolicy", "load", "main", "write_bundle"]

REFUSED = 2


@dataclass(frozen=True)
class LoadedPolicy:
    """A bundle that passed every check.

    Attributes:
        policy: what answers.
        digest: of the manifest, and through it of every byte of the bundle.
        manifest: as plain values: evidence, bounds, versions.
    """

    policy: FrozenPolicy
    digest: str
    manifest: Mapping[str, Any]

    def recommend(
        self, task: TaskFeatures, task_type: str, request_id: str, *, prices: tuple[float, float] = (1.0, 1.0)
    ) -> Recommendation:
        """Parameters for one request; the same request id and prices always get the same answer.

        Args:
            task: what is known of the request.
            task_type: its task type.
            request_id: 1 to 1024 bytes of UTF-8.
            prices: as `FrozenPolicy.recommend`.

        Raises:
            ValueError: an unknown task type, model or request id, as `FrozenPolicy.recommend`.
            TypeError: a request id that is not text.
        """
        return self.policy.recommend(task, task_type, request_id, prices=prices)


def write_bundle(
    path: str | PathLike[str], policy: FrozenPolicy, *, version: str, evidence: Mapping[str, object]
) -> str:
    """Write a bundle, read it back, and only then give it its name.

    Args:
        path: the directory to make; must not exist yet.
        policy: what is let out.
        version: of the code that writes.
        evidence: why it was let out: plain numbers, text, lists and mappings.

    Returns:
        The bundle's digest.

    Raises:
        FileExistsError: something stands at `path`.
        ValueError: a number that is not finite.
        TypeError: evidence that JSON can't hold.
    """
    manifest = render(policy, version=version, evidence=evidence)
    text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
    write_folder(Path(path), {MANIFEST: text.encode("ascii"), POLICY: policy.text}, check=load)
    return str(manifest["digest"])


def load(path: str | PathLike[str]) -> LoadedPolicy:
    """Read and check a bundle.

    Raises:
        BundleError: anything that `write_bundle` would not have written; the message names file,
            field, what was got and what was needed.
    """
    raw = read_folder(Path(path), (MANIFEST, POLICY), max_bytes=MAX_BYTES)
    root = parse(raw[MANIFEST], MANIFEST)
    for name, (digest, size) in read_files(root).items():
        if len(raw[name]) != size:
            raise BundleError(f"{name}: has {len(raw[name])} bytes, need {size}, as {MANIFEST} says")
        if sha256(raw[name]) != digest:
            raise BundleError(f"{name}: sha256 is {sha256(raw[name])}, need {digest}, as {MANIFEST} says")
    policy = read_manifest(root, read_learned(raw[POLICY], file=POLICY))
    manifest = {name: node.value for name, node in root.mapping().items()}
    return LoadedPolicy(policy, str(manifest["digest"]), manifest)


def _recommend(options: argparse.Namespace) -> str:
    bundle, file = load(options.bundle), Path(options.context)
    record = {name: node.value for name, node in parse(file.read_bytes(), str(file)).mapping().items()}
    task_type = record.pop("task_type", None)
    if not isinstance(task_type, str):
        need = f"one of {', '.join(bundle.policy.task_types)}"
        raise BundleError(f"{file}: task_type = {task_type!r}, need {need}")
    try:
        found = bundle.recommend(parse_task(record), task_type, options.request_id)
    except (TypeError, ValueError) as error:
        raise BundleError(f"{file}: {error}") from None
    answer = {
        "request_id": options.request_id,
        "parameters": found.parameters,
        "propensity": found.propensity,
        "action_id": found.action_id,
        "uniform": found.uniform,
        "policy_digest": found.policy_digest,
        "reason": found.reason,
    }
    return json.dumps(answer, indent=2)


def _verify(options: argparse.Namespace) -> str:
    bundle = load(options.bundle)
    return f"valid: {bundle.policy.kind}, policy digest {bundle.policy.digest}, bundle digest {bundle.digest}"


def _show(options: argparse.Namespace) -> str:
    return json.dumps(load(options.bundle).manifest, indent=2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m policies.bundle", description="Ask or check a policy bundle.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    actions = {
        "recommend": (_recommend, "print parameters and their propensity for one request, as JSON"),
        "verify": (_verify, "check every file, digest and bound"),
        "show": (_show, "check, then print the manifest"),
    }
    for name, (action, what) in actions.items():
        command = commands.add_parser(name, help=what, description=what)
        command.set_defaults(action=action)
        command.add_argument("bundle", metavar="DIR", help="the bundle's directory")
        if action is _recommend:
            command.add_argument("--context", required=True, metavar="FILE", help="task features and task_type, JSON")
            command.add_argument("--request-id", required=True, metavar="ID", help="same id, same answer")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Do what a command line asks: 0 when done, 2 when something was refused (one line says what).

    Args:
        argv: the words after the program's name; those of this process by default.
    """
    options = _parser().parse_args(argv)
    try:
        print(options.action(options))
    except (OSError, ValueError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
