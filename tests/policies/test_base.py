"""What a spec says about itself, and that equal specs are one."""

from policies.learners import thompson
from tests.hand import SHARED


def test_a_window_has_one_slot_per_offset_and_its_centre_moves_nothing() -> None:
    assert SHARED.k == 9
    assert SHARED.centre == 4
    assert SHARED.offsets[SHARED.centre] == (0, 0)


def test_equal_specs_share_one_policy() -> None:
    again = SHARED._replace(offsets=tuple(SHARED.offsets))
    assert hash(again) == hash(SHARED)
    assert thompson.make(again) is thompson.make(SHARED)
    assert thompson.make(SHARED._replace(d=4)) is not thompson.make(SHARED)
