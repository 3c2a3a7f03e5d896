"""Whose work a bundle is: the digests of files, of the code that ran and of what it ran with."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from experiments.results import installed_versions

__all__ = ["VERSIONS", "code_digest", "dependencies_digest", "file_digest", "writer"]

VERSIONS = ("guardband", "numpy", "scipy", "jax", "gymnasium", "pandas", "hydra-core")
ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("configs", "envs", "policies", "evaluators", "experiments")
LOCK = ROOT / "requirements" / "core.txt"
_KINDS = (".py", ".yaml", ".json")


def file_digest(path: Path) -> str:
    """The sha256 of a file, 64 hex digits.

    Raises:
        OSError: it can't be read.
    """
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def code_digest(root: Path = ROOT) -> str:
    """The sha256 of the code and configs of the five packages: names and contents, each with its length before it.

    The same for a checkout and an installation of it; another after any edit.
    """
    digest = hashlib.sha256()
    for path in sorted(_sources(root), key=lambda path: path.relative_to(root).as_posix()):
        for raw in (path.relative_to(root).as_posix().encode(), path.read_bytes()):
            digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def _sources(root: Path) -> Iterable[Path]:
    return (path for name in FOLDERS for path in (root / name).rglob("*") if path.suffix in _KINDS and path.is_file())


def dependencies_digest() -> str:
    """The sha256 of the lock file; of an installation, which has none, of the versions that are installed."""
    if LOCK.is_file():
        return file_digest(LOCK)
    return hashlib.sha256(json.dumps(installed_versions(VERSIONS), sort_keys=True).encode()).hexdigest()


def writer() -> str:
    """The version of the code, in words where it is a checkout."""
    return installed_versions(("guardband",))["guardband"] or "checkout, not installed"
