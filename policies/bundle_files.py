"""A bundle's folder: read with nothing taken on trust, written whole or not at all.

Reading refuses a missing or unknown file, a link, a folder and anything oversized, and
never follows a link between the look and the read. Writing fills a hidden folder beside
the target, lets the caller check it, and renames it: readers see all of it or nothing.
"""

import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from envs.targets import nearest
from policies.strict_json import BundleError

__all__ = ["read_folder", "write_folder"]

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_folder(path: Path, names: tuple[str, ...], *, max_bytes: int) -> dict[str, bytes]:
    """The content of a folder that holds exactly these files.

    Args:
        path: the folder; may itself be a link, as in a deployment's `current`.
        names: the files it must hold.
        max_bytes: of one file.

    Raises:
        BundleError: no folder, a missing or unknown file, a link, not a plain file, too large.
    """
    if not path.is_dir():
        raise BundleError(f"{path}: {'is a file' if path.exists() else 'does not exist'}, need a bundle's folder")
    found = sorted(entry.name for entry in os.scandir(path))
    for name in found:
        if name not in names:
            raise BundleError(f"{path}: unknown file {name!r}, need {' and '.join(names)} alone{nearest(name, names)}")
    for name in names:
        if name not in found:
            raise BundleError(f"{path}: file {name!r} is missing")
    return {name: _read(path / name, max_bytes) for name in names}


def _read(file: Path, max_bytes: int) -> bytes:
    if file.is_symlink():
        raise BundleError(f"{file.name}: is a link to {os.readlink(file)!r}, need a plain file")
    try:
        handle = os.open(file, os.O_RDONLY | _NO_LINKS)
    except OSError as error:
        raise BundleError(f"{file.name}: can't be read ({error.strerror}), need a plain file") from None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise BundleError(f"{file.name}: is not a plain file")
        if facts.st_size > max_bytes:
            raise BundleError(f"{file.name}: has {facts.st_size} bytes, need at most {max_bytes}")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(handle)


def write_folder(path: Path, files: Mapping[str, bytes], *, check: Callable[[Path], object]) -> None:
    """Put a new folder in place, whole or not at all.

    Args:
        path: where; must not exist yet (what was let out is never written over).
        files: name -> content.
        check: called with the finished folder before it gets its name; refuses by raising.

    Raises:
        FileExistsError: something stands at `path`.
    """
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists; a bundle is never written over, choose another place")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as hidden:
        draft = Path(hidden) / path.name
        draft.mkdir()
        for name, raw in files.items():
            with open(draft / name, "xb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
        check(draft)
        os.rename(draft, path)
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
