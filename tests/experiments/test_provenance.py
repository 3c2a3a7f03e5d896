"""Digests of files, code and dependencies: another after any edit, the same wherever a copy stands."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from experiments import provenance
from experiments.provenance import FOLDERS, LOCK, ROOT, code_digest, dependencies_digest, file_digest, writer

HEX = re.compile(r"[0-9a-f]{64}")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A small tree with a file in each of the five folders."""
    for name in FOLDERS:
        (tmp_path / "here" / name / "deep").mkdir(parents=True)
        (tmp_path / "here" / name / "deep" / "one.py").write_text(f"X = {name!r}\n", "utf-8")
    return tmp_path / "here"


def test_a_file_has_the_digest_that_everyone_computes(tmp_path: Path) -> None:
    file = tmp_path / "abc"
    file.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert file_digest(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(OSError, match="nowhere"):
        file_digest(tmp_path / "nowhere")


def test_the_code_has_one_digest_wherever_it_stands(code: Path) -> None:
    there = code.parent / "there"
    shutil.copytree(code, there)
    assert HEX.fullmatch(code_digest(code))
    assert code_digest(code) == code_digest(there)


def test_what_is_no_code_does_not_count(code: Path) -> None:
    before = code_digest(code)
    (code / "envs" / "__pycache__").mkdir()
    for name in ("envs/__pycache__/one.pyc", "envs/notes.md", "README.md", "setup.py"):
        (code / name).write_bytes(b"anything")
    assert code_digest(code) == before


def test_every_edit_gives_another_digest(code: Path) -> None:
    seen, file = [code_digest(code)], code / "policies" / "deep" / "one.py"
    file.write_text("X = 'policies' \n", "utf-8")
    seen.append(code_digest(code))
    file.rename(file.with_name("two.py"))
    seen.append(code_digest(code))
    (code / "configs" / "new.yaml").write_bytes(b"")
    seen.append(code_digest(code))
    (code / "configs" / "new.yaml").rename(code / "envs" / "new.yaml")
    seen.append(code_digest(code))
    (code / "envs" / "new.yaml").unlink()
    assert code_digest(code) == seen[2]
    assert len(set(seen)) == len(seen)


def test_bytes_that_move_from_a_name_into_a_file_are_an_edit(code: Path) -> None:
    """Lengths stand before names and contents, so that no two trees are one stream of bytes."""
    one, other = code / "envs" / "a.py", code / "envs" / "a.pyb.py"
    one.write_bytes(b"b.py")
    first = code_digest(code)
    one.unlink()
    other.write_bytes(b"")
    assert code_digest(code) != first


def test_ours_is_the_digest_of_the_five_packages() -> None:
    mine = [path.relative_to(ROOT).as_posix() for path in provenance._sources(ROOT)]
    assert {"experiments/provenance.py", "configs/experiment/export.yaml", "policies/bundle.py"} <= set(mine)
    assert {name.split("/")[0] for name in mine} == set(FOLDERS)


def test_dependencies_are_the_lock_file_or_what_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert dependencies_digest() == hashlib.sha256(LOCK.read_bytes()).hexdigest()
    monkeypatch.setattr(provenance, "LOCK", tmp_path / "nowhere")
    installed = dependencies_digest()
    assert HEX.fullmatch(installed) and installed == dependencies_digest() != file_digest(LOCK)
    monkeypatch.setattr(provenance, "installed_versions", lambda names: dict.fromkeys(names, "0"))
    assert dependencies_digest() != installed


def test_the_writer_is_a_version_or_says_that_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "installed_versions", lambda names: dict.fromkeys(names, "1.2.3"))
    assert writer() == "1.2.3"
    monkeypatch.setattr(provenance, "installed_versions", lambda names: dict.fromkeys(names, ""))
    assert writer() == "checkout, not installed"
