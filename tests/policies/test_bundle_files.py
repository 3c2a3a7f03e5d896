"""A bundle's folder: whole or not at all on writing, nothing taken on trust on reading."""

import os
import stat
from pathlib import Path

import pytest

from policies.bundle_files import read_folder, write_folder
from policies.strict_json import BundleError

FILES = {"a.json": b"{}", "b.json": b"[1]"}
NAMES = tuple(FILES)


def fine(_draft: Path) -> None:
    """A check that passes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "bundle", FILES, check=fine)
    return tmp_path / "bundle"


def read(folder: Path) -> dict[str, bytes]:
    return read_folder(folder, NAMES, max_bytes=100)


def test_what_is_written_is_read(folder: Path) -> None:
    assert read(folder) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_a_check_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    def refuse(draft: Path) -> None:
        assert read(draft) == FILES
        raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        write_folder(tmp_path / "bundle", FILES, check=refuse)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(folder: Path) -> None:
    (folder.parent / "dangling").symlink_to("nowhere")
    for place in (folder, folder.parent / "dangling"):
        with pytest.raises(FileExistsError, match="never written over"):
            write_folder(place, FILES, check=fine)


def test_a_written_folder_can_be_read_by_others(folder: Path) -> None:
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask


def test_a_missing_or_unknown_file_is_refused(folder: Path) -> None:
    (folder / "c.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"unknown file 'c.json', need a.json and b.json alone"):
        read(folder)
    (folder / "c.json").unlink()
    (folder / "a.json").unlink()
    with pytest.raises(BundleError, match="file 'a.json' is missing"):
        read(folder)


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    with pytest.raises(BundleError, match="does not exist, need a bundle's folder"):
        read(folder.parent / "bundel")
    with pytest.raises(BundleError, match="is a file, need a bundle's folder"):
        read(folder / "a.json")


def test_a_link_is_refused_even_to_the_same_content(folder: Path, tmp_path: Path) -> None:
    (folder / "a.json").rename(tmp_path / "elsewhere.json")
    (folder / "a.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleError, match="a.json: is a link to .*, need a plain file"):
        read(folder)


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert read(tmp_path / "current") == FILES


def test_a_folder_or_a_pipe_in_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / "a.json").unlink()
    (folder / "a.json").mkdir()
    with pytest.raises(BundleError, match="a.json: .*plain file"):
        read(folder)
    (folder / "a.json").rmdir()
    os.mkfifo(folder / "a.json")
    with pytest.raises(BundleError, match="a.json: is not a plain file"):
        read(folder)


def test_an_oversized_file_is_refused(folder: Path) -> None:
    (folder / "b.json").write_bytes(b" " * 101)
    with pytest.raises(BundleError, match="b.json: has 101 bytes, need at most 100"):
        read(folder)
