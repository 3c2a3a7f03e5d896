"""A bundle's folder: read with nothing taken on trust, written whole or not at all.

Reading refuses a missing or unknown file, a link, a folder and anything oversized, and
never follows a link between the look and the read. Writing fills a hidden folder beside
the target, lets the caller check it, and renames it: readers see all of it or nothing. A store
holds bundles side by side and a link, `current`, that moves in one step from one to the next.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from envs.targets import nearest
from policies.refusals import FolderError

__all__ = ["CURRENT", "publish_folder", "read_folder", "write_folder"]

CURRENT = "current"  # the link of a store that names the bundle in use
_DRAFT, _LOCK = ".draft-", ".lock"
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_folder(path: Path, limits: Mapping[str, int], *, optional: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The content of a folder that holds exactly these files.

    Args:
        path: the folder; may itself be a link, as a store's `current`.
        limits: the files it holds -> their largest size in bytes.
        optional: those of them that may be missing.

    Raises:
        FolderError: no folder, a missing or unknown file, a link, not a plain file, too large.
    """
    try:
        path = path.resolve()  # once: a store's link may move while its files are read
        if not path.is_dir():
            found = "is a file" if path.exists() else "does not exist"
            raise FolderError(str(path), got=found, needed="a bundle's folder")
        present = sorted(entry.name for entry in os.scandir(path))
    except (OSError, RuntimeError) as error:  # a name too long, a circle of links, no permission
        raise FolderError(str(path)[:200], got=f"can't be read ({error})"[:200], needed="a bundle's folder") from None
    for name in present:
        if name not in limits:
            got = f"has the unknown file {name!r}{nearest(name, limits)}"
            raise FolderError(str(path), got=got, needed=f"{', '.join(limits)} alone")
    for name in limits:
        if name not in present and name not in optional:
            raise FolderError(str(path), got=f"lacks {name!r}", needed="every file that its manifest names")
    return {name: _read(path / name, limits[name]) for name in limits if name in present}


def _read(file: Path, max_bytes: int) -> bytes:
    if file.is_symlink():
        raise FolderError(file.name, got=f"is a link to {os.readlink(file)!r}", needed="a plain file")
    try:
        handle = os.open(file, os.O_RDONLY | _NO_LINKS)
    except OSError as error:
        raise FolderError(file.name, got=f"can't be read ({error.strerror})", needed="a plain file") from None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise FolderError(file.name, got="is a folder or a device", needed="a plain file")
        if facts.st_size > max_bytes:
            raise FolderError(file.name, got=f"has {facts.st_size} bytes", needed=f"at most {max_bytes}")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read(facts.st_size + 1)
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
    with tempfile.TemporaryDirectory(prefix=_DRAFT, dir=path.parent) as hidden:
        draft = Path(hidden) / path.name
        draft.mkdir()
        for name, raw in files.items():
            with open(draft / name, "xb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
        check(draft)
        _settle(draft)
        os.rename(draft, path)
    _settle(path.parent)


def publish_folder(store: Path, name: str, files: Mapping[str, bytes], *, check: Callable[[Path], object]) -> Path:
    """Add a folder to a store and make it the current one; a kill at any moment leaves the old or the new one.

    What an earlier writer left unfinished is swept away: one writer at a time holds the store's lock. A folder that
    is there already with these very bytes is checked and made current as it stands.

    Args:
        store: made if missing.
        name: of the new folder, which must name its content (a digest), as it is never written over.
        files: name -> content.
        check: as `write_folder`.

    Returns:
        The folder.

    Raises:
        FileExistsError: a folder of this name holds other bytes, such as another signature.
    """
    store.mkdir(parents=True, exist_ok=True)
    with _locked(store):
        for left in store.glob(f"{_DRAFT}*"):
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        if (store / name).is_dir():
            check(store / name)
            if {file.name: file.read_bytes() for file in (store / name).iterdir()} != dict(files):
                raise FileExistsError(f"{store / name} holds other bytes, and is never written over: raise the version")
        else:
            write_folder(store / name, files, check=check)
        link = store / f"{_DRAFT}{CURRENT}"
        link.symlink_to(name, target_is_directory=True)
        os.replace(link, store / CURRENT)
        _settle(store)
    return store / name


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """One writer at a time, where the system has advisory locks; they end with their process."""
    if os.name != "posix":
        yield
        return
    import fcntl  # optional: POSIX alone has it

    with open(store / _LOCK, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _settle(folder: Path) -> None:
    """Make what changed in a folder last through a power cut, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
