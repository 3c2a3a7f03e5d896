"""Sizes of batches, and tables that grow to a common width."""

import numpy as np
import pytest

from evaluators.reading.batches import batch_rows, unreadable, widened
from evaluators.reading.rejects import NAMES, judged


@pytest.mark.parametrize("width", [1, 17, 256, 5_000, 10**6])
def test_a_batch_is_neither_large_nor_tiny(width: int) -> None:
    assert 2**10 <= batch_rows(width) <= 2**17
    assert batch_rows(width) == 2**10 or batch_rows(width) * width * 8 <= 2**23


def test_widened_adds_zeros_only() -> None:
    assert widened(np.ones((2, 2)), 4).tolist() == [[1, 1, 0, 0]] * 2
    assert widened(np.ones((2, 5)), 4).shape == (2, 5)


def test_rows_nobody_could_read_are_judged_unreadable() -> None:
    verdicts = judged(unreadable(np.array([3, 9])))
    assert [NAMES[code] for code in verdicts.code] == ["unreadable", "unreadable"]
