"""Repeated ids on disk: the same answer as a set in memory."""

from pathlib import Path

import numpy as np
import pytest

from evaluators.reading.duplicates import Spill, is_among


@pytest.mark.parametrize("seed", range(5))
def test_repeats_are_those_of_a_set_in_memory(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    digest = rng.integers(0, 2**64, size=4_000, dtype=np.uint64)[rng.integers(4_000, size=9_000)]
    row = np.arange(1, 9_001)
    with Spill(tmp_path) as spill:
        for at in range(0, 9_000, 1_234):
            spill.add(digest[at : at + 1_234], row[at : at + 1_234])
        found = spill.repeats()
    first: dict[int, int] = {}
    expected = [
        (r, first[d]) for r, d in zip(row.tolist(), digest.tolist(), strict=True) if first.setdefault(d, r) != r
    ]
    assert found.row.tolist() == [r for r, _ in expected]
    assert found.first.tolist() == [f for _, f in expected]


def test_distinct_digests_repeat_nothing_and_the_disk_is_cleared(tmp_path: Path) -> None:
    with Spill(tmp_path) as spill:
        spill.add(np.arange(1_000, dtype=np.uint64) << np.uint64(54), np.arange(1_000))
        assert spill.repeats().row.size == 0
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_nothing_is_among_nothing() -> None:
    assert not is_among(np.array([1, 2]), np.zeros(0, np.int64)).any()
    assert is_among(np.array([5, 1, 9]), np.array([1, 9])).tolist() == [False, True, True]
