"""Tables of few slots: found by key, the oldest gives way, and nobody answers for another."""

import numpy as np
import pytest

from policies.slots import EMPTY, Tally, added, find, key_of, place, sums, tally
from tests.hand import SHARED, generator, leaves

ON = np.bool_(True)


def grown(rows: list[tuple[int, int, float]], columns: int = 1) -> Tally:
    """A table after (task, action, amount) rows."""
    state = tally(SHARED, columns, like=np.float64(0.0))
    for task, action, amount in rows:
        state = added(state, (np.int32(task), np.int32(action)), np.full(columns, amount), valid=ON)
    return state


def test_keys_of_all_pairs_are_distinct() -> None:
    keys = [key_of(SHARED, np.int32(task), np.arange(20)) for task in (0, 1)]
    assert np.concatenate(keys).tolist() == list(range(40))


def test_a_key_is_found_where_it_is_held() -> None:
    held = np.full(256, EMPTY, np.int32)
    held[[3, 255]] = 7, 0
    known, slot = find(held, np.array([0, 5, 7]))
    assert known.tolist() == [True, False, True]
    assert slot.tolist() == [255, 0, 3]


def test_a_new_key_takes_an_empty_slot_and_then_the_oldest() -> None:
    held, stamp = np.arange(256, dtype=np.int32), np.arange(1, 257, dtype=np.int32)
    stamp[9] = 0
    assert place(held, stamp, np.int32(40)) == (40, False)
    assert place(held, stamp, np.int32(999)) == (9, True)
    held[77] = EMPTY
    assert place(held, stamp, np.int32(999)) == (77, True)


def test_sums_add_up_by_task_type_and_action() -> None:
    state = grown([(0, 5, 1.0), (1, 5, 10.0), (0, 5, 2.0), (0, 19, -1.0)], columns=2)
    assert sums(state, np.int32(0), np.array([5, 6, 19])).tolist() == [[3, 3], [0, 0], [-1, -1]]
    assert sums(state, np.int32(1), np.array([5, 6, 19])).tolist() == [[10, 10], [0, 0], [0, 0]]
    assert state.clock.tolist() == [3, 1]


def test_sums_do_not_ask_for_the_order_of_rows() -> None:
    rng = generator()
    rows = [(int(rng.integers(2)), int(rng.integers(20)), float(rng.integers(8))) for _ in range(200)]
    one, two = grown(rows), grown(rows[::-1])
    for task in (0, 1):
        ids = np.arange(20)
        assert np.array_equal(sums(one, np.int32(task), ids), sums(two, np.int32(task), ids))


def test_a_full_table_forgets_the_action_written_longest_ago() -> None:
    """0 .. 255 once, 0 again, then 256: action 1 is the oldest, and starts anew when it returns."""
    state = grown([(0, action, 1.0) for action in (*range(256), 0, 256)])
    held = sums(state, np.int32(0), np.arange(258))[:, 0]
    assert held.tolist() == [2, 0, *[1] * 255, 0]
    again = added(state, (np.int32(0), np.int32(1)), np.array([5.0]), valid=ON)
    assert sums(again, np.int32(0), np.array([1, 2])).tolist() == [[5], [0]]


@pytest.mark.parametrize("amount", [np.nan, np.inf, 0.5])
@pytest.mark.parametrize("action", [3, 4])
def test_what_is_not_valid_leaves_the_table_bit_equal(action: int, amount: float) -> None:
    state = grown([(0, 3, 1.0), (1, 2, 2.0)])
    after = added(state, (np.int32(0), np.int32(action)), np.array([amount]), valid=np.bool_(False))
    assert leaves(after) == leaves(state)


def test_an_addition_leaves_the_table_it_was_given_alone() -> None:
    state = grown([(0, 3, 1.0)])
    before = leaves(state)
    added(state, (np.int32(0), np.int32(3)), np.array([1.0]), valid=ON)
    assert leaves(state) == before
