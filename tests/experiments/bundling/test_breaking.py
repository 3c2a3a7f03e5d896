"""Generated edits are edits, cover every field, and put everything back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.bundling.breaking import STAND_IN, broken_files, broken_folders, broken_values, text_of
from policies.manifest import MANIFEST, POLICY

DOCUMENT = {"share": 0.5, "count": 0, "name": "x", "yes": True, "none": None, "list": [1, 2], "inner": {"a": 1.0}}
RAW = text_of(POLICY, DOCUMENT)
HOLDS: dict[str, Callable[[Path], bool]] = {
    "a link": Path.is_symlink,
    "a folder": Path.is_dir,
    "a pipe": Path.is_fifo,
    "oversize": lambda path: path.stat().st_size > 1 << 26,
}


def test_every_field_is_broken_in_every_way_that_has_a_meaning():
    found: dict[str, set[str]] = {}
    for one in broken_values(POLICY, RAW):
        found.setdefault(one.where.removeprefix(f"{POLICY}: "), set()).add(one.kind)
    assert set(found) == {"share", "count", "name", "yes", "none", "list", "list[0]", "list[1]", "inner", "inner.a"}
    always = {"removed", "retyped", "said twice"}
    assert found["share"] == always | {"null", "one ULP up", "one ULP down", "NaN", "Infinity", "-Infinity", "1e999"}
    assert {"plus one", "minus one", "minus zero", "NaN"} < found["count"]
    assert found["yes"] == always | {"null", "flipped"}
    assert found["none"] == always
    assert "said twice" not in found["list[0]"]


@pytest.mark.parametrize("kind, text", [("one ULP up", "0.5000000000000001"), ("one ULP down", "0.49999999999999994")])
def test_one_ulp_is_the_next_number(kind, text):
    (one,) = [b for b in broken_values(POLICY, RAW) if (b.kind, b.where) == (kind, "policy.json: share")]
    assert f'"share":{text}'.encode() in (one.files[POLICY] or b"")


def test_tokens_and_duplicates_stand_in_the_text():
    (one,) = [b for b in broken_values(POLICY, RAW) if (b.kind, b.where) == ("said twice", "policy.json: name")]
    text = (one.files[POLICY] or b"").replace(STAND_IN, one.raw)
    assert text.count(b'"name"') == 2 and json.loads(text) == DOCUMENT


def test_no_edit_of_a_value_is_none_and_each_starts_from_the_whole():
    edits = list(broken_values(POLICY, RAW))
    assert all(one.files[POLICY] != RAW for one in edits)
    (last,) = [one for one in edits if (one.kind, one.where) == ("removed", "policy.json: inner.a")]
    assert json.loads(last.files[POLICY] or b"") == DOCUMENT | {"inner": {}}


def test_a_sample_of_the_edits_is_every_so_manieth():
    every, third = list(broken_values(POLICY, RAW)), list(broken_values(POLICY, RAW, every=3))
    assert third == every[::3]


def test_files_are_swapped_cut_flipped_and_lost():
    files, other = {MANIFEST: b'{"a": 0, "b": 1e-05}\n', POLICY: b"x" * 50}, {MANIFEST: b"m", POLICY: b"p"}
    found = list(broken_files(files, other, seed=0, each=4))
    kinds = {one.kind.split(" at ")[0].split(" of ")[0] for one in found}
    assert {"swapped with another bundle's", "emptied", "gone", "cut", "one byte longer", "one byte shorter"} < kinds
    flips = [one for one in found if "flipped" in one.kind and one.where == POLICY]
    assert len(flips) == 4
    for one in flips:
        raw = one.files[POLICY] or b""
        assert sum(bin(a ^ b).count("1") for a, b in zip(raw, files[POLICY], strict=True)) == 1


def test_folders_meet_links_pipes_and_strangers(tmp_path):
    found = {(one.kind, one.where): one for one in broken_folders({POLICY: b"x"})}
    assert ("a file too many", ".hidden") in found
    for kind, holds in HOLDS.items():
        folder = tmp_path / kind / "bundle"
        folder.mkdir(parents=True)
        (folder / POLICY).write_bytes(b"x")
        act = found[kind, POLICY].act
        assert act is not None
        act(folder)
        assert holds(folder / POLICY)
