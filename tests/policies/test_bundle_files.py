"""A bundle's folder: whole or not at all on writing, nothing taken on trust on reading, one step between two."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from policies.bundle_files import CURRENT, publish_folder, read_folder, write_folder
from policies.refusals import FolderError

FILES = {"a.json": b"{}", "b.json": b"[1]"}
LIMITS = {"a.json": 100, "b.json": 100, "c.json": 10}


def fine(_draft: Path) -> None:
    """A check that passes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "bundle", FILES, check=fine)
    return tmp_path / "bundle"


def read(folder: Path) -> dict[str, bytes]:
    return read_folder(folder, LIMITS, optional=("c.json",))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_written_is_read(folder: Path) -> None:
    assert read(folder) == FILES
    assert names(folder.parent) == {"bundle"}


def test_an_optional_file_may_be_there(folder: Path) -> None:
    (folder / "c.json").write_bytes(b"1")
    assert read(folder) == FILES | {"c.json": b"1"}


def test_a_check_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    def refuse(draft: Path) -> None:
        assert read(draft) == FILES
        raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        write_folder(tmp_path / "bundle", FILES, check=refuse)
    assert names(tmp_path) == set()


def test_nothing_is_written_over(folder: Path) -> None:
    (folder.parent / "dangling").symlink_to("nowhere")
    for place in (folder, folder.parent / "dangling"):
        with pytest.raises(FileExistsError, match="never written over"):
            write_folder(place, FILES, check=fine)


def test_a_written_folder_can_be_read_by_others(folder: Path) -> None:
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask


def refused(folder: Path, file: str, words: str) -> None:
    with pytest.raises(FolderError, match=words) as caught:
        read(folder)
    assert caught.value.file == file


def test_a_missing_or_unknown_file_is_refused(folder: Path) -> None:
    (folder / "d.json").write_bytes(b"{}")
    refused(folder, str(folder), r"has the unknown file 'd.json'.*, need a.json, b.json, c.json alone")
    (folder / "d.json").unlink()
    (folder / "a.json").unlink()
    refused(folder, str(folder), "lacks 'a.json', need every file that its manifest names")


@pytest.mark.parametrize("name", [".hidden", "a.json~", "A.JSON", "sub", "a\nb", "a.json "])
def test_nothing_else_may_lie_there_whatever_its_name(name: str, folder: Path) -> None:
    (folder / name).mkdir()
    with pytest.raises(FolderError, match="has the unknown file") as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    for place, words in ((folder.parent / "bundel", "does not exist"), (folder / "a.json", "is a file")):
        refused(place, str(place), f"{words}, need a bundle's folder")


def test_a_link_is_refused_even_to_the_same_content(folder: Path, tmp_path: Path) -> None:
    (folder / "a.json").rename(tmp_path / "elsewhere.json")
    (folder / "a.json").symlink_to(tmp_path / "elsewhere.json")
    refused(folder, "a.json", "a.json: is a link to .*, need a plain file")
    (tmp_path / "elsewhere.json").unlink()  # now it dangles
    refused(folder, "a.json", "a.json: is a link to .*, need a plain file")


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert read(tmp_path / "current") == FILES


def test_a_folder_a_pipe_or_a_socket_in_place_of_a_file_is_refused_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.json").unlink()
    (folder / "a.json").mkdir()
    refused(folder, "a.json", "a.json: .*plain file")
    (folder / "a.json").rmdir()
    os.mkfifo(folder / "a.json")
    refused(folder, "a.json", "a.json: is a folder or a device, need a plain file")  # nobody writes: it does not wait
    (folder / "a.json").unlink()
    monkeypatch.chdir(folder)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("a.json")
        refused(folder, "a.json", "a.json: .*plain file")


def test_a_file_is_refused_from_its_first_byte_too_many(folder: Path) -> None:
    (folder / "b.json").write_bytes(b" " * 100)
    assert len(read(folder)["b.json"]) == 100
    (folder / "b.json").write_bytes(b" " * 101)
    refused(folder, "b.json", "b.json: has 101 bytes, need at most 100")
    with open(folder / "b.json", "wb") as sparse:
        sparse.truncate(1 << 40)  # 1 TB on paper: refused by its size, never read
    refused(folder, "b.json", "b.json: has 1099511627776 bytes, need at most 100")


def store_of(tmp_path: Path) -> Path:
    publish_folder(tmp_path / "store", "one", FILES, check=fine)
    return tmp_path / "store"


def test_publishing_moves_current_and_keeps_what_was_there(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    assert (store / CURRENT).readlink() == Path("one")
    two = FILES | {"a.json": b"2"}
    assert publish_folder(store, "two", two, check=fine) == store / "two"
    assert (store / CURRENT).readlink() == Path("two")
    assert read(store / CURRENT) == two and read(store / "one") == FILES
    assert names(store) == {"one", "two", CURRENT, ".lock"}


def test_a_store_may_be_moved_as_a_whole(tmp_path: Path) -> None:
    store_of(tmp_path).rename(tmp_path / "elsewhere")
    assert read(tmp_path / "elsewhere" / CURRENT) == FILES


def test_a_name_that_is_there_is_checked_and_used_again(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    seen: list[Path] = []
    before = (store / "one").stat().st_ino
    publish_folder(store, "two", FILES | {"a.json": b"2"}, check=fine)
    publish_folder(store, "one", FILES, check=seen.append)
    assert (store / CURRENT).readlink() == Path("one")
    assert (store / "one").stat().st_ino == before
    assert seen == [store / "one"]


@pytest.mark.parametrize("other", [{"a.json": b"{ }"}, {"c.json": b"1"}])
def test_a_name_that_holds_other_bytes_is_neither_used_nor_written_over(
    other: dict[str, bytes], tmp_path: Path
) -> None:
    """A bundle signed by another key has the same digest, and so the same name."""
    store = store_of(tmp_path)
    publish_folder(store, "two", FILES, check=fine)
    with pytest.raises(FileExistsError, match="one holds other bytes, and is never written over"):
        publish_folder(store, "one", FILES | other, check=fine)
    assert read(store / "one") == FILES and (store / CURRENT).readlink() == Path("two")


def test_a_check_that_refuses_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    def refuse(_draft: Path) -> None:
        raise ValueError("not this one")

    store = store_of(tmp_path)
    for name in ("one", "two"):
        with pytest.raises(ValueError, match="not this one"):
            publish_folder(store, name, FILES | {"b.json": b"3"}, check=refuse)
        assert names(store) == {"one", CURRENT, ".lock"} and read(store / CURRENT) == FILES


def test_what_an_earlier_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    (store / ".draft-abc" / "two").mkdir(parents=True)
    (store / ".draft-abc" / "two" / "a.json").write_bytes(b"half")
    (store / ".draft-file").write_bytes(b"")
    (store / f".draft-{CURRENT}").symlink_to("nowhere")
    (tmp_path / "precious").mkdir()
    (store / ".draft-link").symlink_to(tmp_path / "precious", target_is_directory=True)
    (store / "notes").mkdir()
    publish_folder(store, "two", FILES, check=fine)
    assert names(store) == {"one", "two", "notes", CURRENT, ".lock"}
    assert (tmp_path / "precious").is_dir()


def test_writers_wait_for_each_other_and_readers_for_nobody(tmp_path: Path) -> None:
    """Eight threads publish ten folders in turn; a reader of `current` sees a whole one at every look."""
    store, inside, most = store_of(tmp_path), [0], [0]

    def check(_draft: Path) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.001)
        inside[0] -= 1

    def publish(i: int) -> None:
        for j in range(10):
            publish_folder(
                store, f"{i}-{j}", {"a.json": f"{i}-{j}".encode(), "b.json": f"{i}-{j}".encode()}, check=check
            )

    threads = [threading.Thread(target=publish, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    looks = 0
    while any(thread.is_alive() for thread in threads):
        found = read(Path(os.path.realpath(store / CURRENT)))
        assert found == FILES or found["a.json"] == found["b.json"]
        looks += 1
    assert looks > 0 and most[0] == 1
    assert len(names(store) - {"one", CURRENT, ".lock"}) == 80


PUBLISH = """
import sys
from pathlib import Path
from policies.bundle_files import publish_folder
store = Path(sys.argv[1])
print("ready", flush=True)
for i in range(10**6):
    raw = str(i % 50).encode() * 20000
    publish_folder(store, f"n{i % 50}", {"a.json": raw, "b.json": raw}, check=lambda draft: None)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_whole_folder_as_current(tmp_path: Path, root: Path) -> None:
    """15 writers killed at random moments; each time `current` is whole, and the next writer starts clean."""
    store, rng = store_of(tmp_path), np.random.default_rng(0)
    limits = dict.fromkeys(FILES, 10**6)
    leftovers = 0
    for _ in range(15):
        with subprocess.Popen([sys.executable, "-c", PUBLISH, store], cwd=root, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0.005, 0.1))
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        assert (store / CURRENT).readlink().name in {"one", *(path.name for path in store.glob("n*"))}
        for folder in store.glob("n*"):
            held = read_folder(folder, limits)
            assert held["a.json"] == held["b.json"] == folder.name[1:].encode() * 20000
        leftovers += any(path.name.startswith(".draft-") for path in store.iterdir())
    assert leftovers > 0 and len(list(store.glob("n*"))) > 1  # some were killed while they wrote, after others had
    publish_folder(store, "last", FILES, check=fine)
    assert (store / CURRENT).readlink() == Path("last")
    assert not [path for path in store.iterdir() if path.name.startswith(".draft-")]
