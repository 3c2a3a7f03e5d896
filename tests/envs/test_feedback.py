"""Feedback on its way: fates by hand, a ring that delivers each reward once, and what it loses when overrun."""

from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.feedback import NEVER, Fate, Leaves, Params, Ring, Spec, empty, fate, kept, leaves, spec, store, take
from envs.fields import Spot, convert
from envs.targets import ConfigError

FAST = settings(derandomize=True, database=None, deadline=None, max_examples=60)
LATE = Params(mean_delay=4.0, missing=0.1, duplicated=0.25, max_delay=24, max_arrivals=3)


class Delivery(NamedTuple):
    """When something arrived, the round it is of, and whether it was the copy."""

    at: int
    of: int
    is_copy: bool


def delivered(form: Spec, delays: Any, *, rounds: int) -> list[Delivery]:
    """What a ring delivers in some rounds, when a reward and its copy are late by `delays` (n, 2)."""
    ring, found = empty(form), []
    for t in range(rounds):
        late = np.asarray(delays[t], np.int32) if t < len(delays) else np.full(2, NEVER, np.int32)
        ring = store(form, ring, np.int32(t), Fate(late))
        for _ in range(form.arrivals):
            ring, taken = take(form, ring, np.int32(t))
            if taken.round >= 0:
                found.append(Delivery(t, int(taken.round), bool(taken.is_copy)))
    return found


def sent(delays: Any) -> list[tuple[int, int, bool]]:
    """(due, round, is_copy) of all that is to come."""
    pairs = [(t, late, column == 1) for t, row in enumerate(delays) for column, late in enumerate(row)]
    return [(t + int(late), t, is_copy) for t, late, is_copy in pairs if late < NEVER]


def fates(max_delay: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    late = st.one_of(st.integers(0, max_delay), st.just(NEVER))
    return st.lists(st.tuples(late, late), min_size=1, max_size=40)


def test_a_fate_by_hand() -> None:
    form, numbers = spec(LATE), leaves(LATE)
    assert form == (25, 3)
    # mean 4: a round passes with probability .8; 1 - u = .4 lies between .8^5 = .328 and .8^4 = .410: 4 rounds.
    # 1 - u = .7 is below .8: 1 round; the copy comes 1 + 1 rounds after the reward.
    kept, copied = (fate(form, numbers, np.array([u, 0.6, 0.3])).delay.tolist() for u in (0.5, 0.9))
    assert kept == [4, NEVER]
    assert copied == [4, 6]  # the last quarter of the .9 that arrive: from .775 on
    assert fate(form, numbers, np.array([0.774, 0.6, 0.3])).delay.tolist() == [4, NEVER]
    assert fate(form, numbers, np.array([0.0999, 0.6, 0.3])).delay.tolist() == [NEVER, NEVER]


def test_delays_are_cut_at_the_longest() -> None:
    found = fate(spec(LATE), leaves(LATE), np.array([0.99, 1.0 - 2.0**-53, 0.5]))
    assert found.delay.tolist() == [24, 24]


def test_without_delay_every_reward_comes_at_once() -> None:
    plain = Params()
    assert spec(plain) == (1, 1)
    for u in np.random.default_rng(0).random((50, 3)):
        assert fate(spec(plain), leaves(plain), u).delay.tolist() == [0, NEVER]


def test_missing_rewards_need_no_ring() -> None:
    some = Params(missing=0.3)
    drawn = [fate(spec(some), leaves(some), np.array([u, 0.5, 0.5])).delay[0] for u in (0.0, 0.299, 0.3, 0.99)]
    assert [int(d) for d in drawn] == [NEVER, NEVER, 0, 0]


def test_delays_are_geometric_and_shares_as_declared() -> None:
    n, form, numbers = 200_000, spec(LATE), jax.tree.map(jnp.asarray, leaves(LATE))
    uniform = jnp.asarray(np.random.default_rng(4).random((n, 3)))
    delay = np.asarray(jax.jit(jax.vmap(lambda u: fate(form, numbers, u).delay))(uniform))
    came = delay[delay[:, 0] < NEVER, 0]
    waits = np.arange(24)
    chance = np.append(0.2 * 0.8**waits, 0.8**24)  # the rest is cut
    freq = np.bincount(came, minlength=25) / len(came)
    z = list((freq - chance) / np.sqrt(chance * (1 - chance) / len(came)))
    for is_so, share in ((delay[:, 0] == NEVER, 0.1), (delay[:, 1] < NEVER, 0.25 * 0.9)):
        z.append((is_so.mean() - share) / np.sqrt(share * (1 - share) / n))
    # 27 values, each beyond 4 with probability 6.3e-5: false alarm 0.2 %
    assert np.abs(z).max() < 4.0
    is_copied = delay[:, 1] < NEVER
    assert np.all(delay[is_copied, 0] < NEVER)  # no copy of what is missing
    short = is_copied & (delay[:, 0] < 24)
    assert np.all(delay[short, 1] > delay[short, 0])


@FAST
@given(
    st.tuples(*[st.floats(0.0, 1.0 - 2.0**-53)] * 3), st.floats(0.0, 1000.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0)
)
def test_a_fate_is_never_or_within_the_ring(uniform: Any, mean: float, missing: float, duplicated: float) -> None:
    params = Params(mean, missing, duplicated, max_delay=10)
    found = fate(spec(params), leaves(params), np.array(uniform)).delay
    assert found.dtype == np.int32 and all(0 <= d <= 10 or d == NEVER for d in found.tolist())


@pytest.mark.parametrize(("deduplicate", "copy"), [(True, NEVER), (False, 6)])
def test_copies_that_are_told_apart_take_no_place_in_the_ring(deduplicate: bool, copy: int) -> None:
    numbers = leaves(replace(LATE, deduplicate=deduplicate))
    assert kept(numbers, Fate(np.array([4, 6], np.int32))).delay.tolist() == [4, copy]
    assert kept(numbers, Fate(np.array([NEVER, NEVER], np.int32))).delay.tolist() == [NEVER, NEVER]
    there = kept(Leaves(*map(jnp.asarray, numbers)), Fate(jnp.array([4, 6], jnp.int32)))
    assert there.delay.tolist() == [4, copy] and there.delay.dtype == np.int32


def test_a_delivery_by_hand() -> None:
    delays = [(2, NEVER), (0, 3), (NEVER, NEVER), (0, NEVER)]
    assert delivered(Spec(4, 2), delays, rounds=8) == [
        Delivery(1, 1, False),
        Delivery(2, 0, False),
        Delivery(3, 3, False),
        Delivery(4, 1, True),
    ]


def test_the_earliest_due_comes_first_and_of_equals_the_earlier_round() -> None:
    # One arrival a round; rounds 0, 1 and 2 are due at 3, 2 and 2, round 1's copy at 2 as well.
    delays = [(3, NEVER), (1, 1), (0, NEVER), (NEVER, NEVER)]
    assert delivered(Spec(6, 1), delays, rounds=6) == [
        Delivery(2, 1, False),
        Delivery(3, 1, True),
        Delivery(4, 2, False),
        Delivery(5, 0, False),
    ]


@FAST
@given(fates(9))
def test_with_room_for_all_arrivals_everything_comes_once_and_when_due(delays: list[tuple[int, int]]) -> None:
    most = 2 * 10  # all that can be due in one round: two of every row
    found = delivered(Spec(10, most), delays, rounds=len(delays) + 10)
    assert sorted(found) == sorted(sent(delays))
    assert [d.at for d in found] == sorted(d.at for d in found)


@FAST
@given(fates(9), st.integers(1, 3))
def test_nothing_is_delivered_twice_early_or_after_its_row_is_gone(
    delays: list[tuple[int, int]], arrivals: int
) -> None:
    found, due = delivered(Spec(10, arrivals), delays, rounds=len(delays) + 10), sent(delays)
    when = {(t, is_copy): at for at, t, is_copy in due}
    assert max(Counter((d.of, d.is_copy) for d in found).values(), default=1) == 1
    assert all(when[d.of, d.is_copy] <= d.at < d.of + 10 for d in found)  # a missing reward has no entry
    # In every round that leaves something waiting, as many arrive as may.
    full = Counter(d.at for d in found)
    for at, t, is_copy in set(due) - {(when[d.of, d.is_copy], d.of, d.is_copy) for d in found}:
        assert all(full[r] == arrivals for r in range(at, t + 10)), f"round {t} (copy: {is_copy}) was lost without need"


@FAST
@given(fates(9))
def test_without_copies_a_burst_is_postponed_in_the_order_it_was_due(delays: list[tuple[int, int]]) -> None:
    alone = [(late, NEVER) for late, _ in delays]
    found = delivered(Spec(10, 1), alone, rounds=len(delays) + 10)
    assert max(Counter(d.at for d in found).values(), default=0) <= 1
    for one, two in zip(found, found[1:], strict=False):
        is_waiting = two.of + alone[two.of][0] <= one.at
        assert not is_waiting or (one.of + alone[one.of][0], one.of) < (two.of + alone[two.of][0], two.of)


def test_an_overrun_ring_loses_only_what_a_new_round_overwrites() -> None:
    # Four rows, one arrival. Rounds 1 and 2 are due at 2, round 0 at 3, when round 2 still waits; round 4 takes
    # the row of round 0.
    delays = [(3, NEVER), (1, NEVER), (0, NEVER), (NEVER, NEVER)]
    assert delivered(Spec(4, 1), delays, rounds=9) == [Delivery(2, 1, False), Delivery(3, 2, False)]
    wide = delivered(Spec(4, 2), delays, rounds=9)
    assert Counter(d.of for d in wide) == {0: 1, 1: 1, 2: 1}


def test_a_ring_of_one_row_is_immediate_feedback() -> None:
    delays = [(0, NEVER), (NEVER, NEVER), (0, NEVER)]
    assert delivered(Spec(1, 1), delays, rounds=5) == [Delivery(0, 0, False), Delivery(2, 2, False)]


def test_the_ring_in_jax_is_that_in_numpy() -> None:
    form, numbers = spec(LATE), leaves(LATE)
    uniform = np.random.default_rng(6).random((120, 3))

    def one(ring: Ring, row: Any) -> tuple[Ring, Any]:
        t, drawn = row
        ring, found = store(form, ring, t, fate(form, Leaves(*map(jnp.asarray, numbers)), drawn)), []
        for _ in range(form.arrivals):
            ring, taken = take(form, ring, t)
            found.append(jnp.stack([taken.round, taken.is_copy.astype(jnp.int32)]))
        return ring, jnp.stack(found)

    rows = (jnp.arange(120, dtype=jnp.int32), jnp.asarray(uniform))
    there = np.asarray(jax.lax.scan(one, jax.tree.map(jnp.asarray, empty(form)), rows)[1])
    here = delivered(form, [fate(form, numbers, u).delay for u in uniform], rounds=120)
    compiled = [Delivery(t, int(of), bool(copy)) for t in range(120) for of, copy in there[t] if of >= 0]
    assert compiled == here and len(here) > 100


@pytest.mark.parametrize("change", [{"mean_delay": 2.0}, {"duplicated": 0.1}])
def test_delays_and_copies_without_a_ring_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"max_delay = 0 with .*{next(iter(change))} = .*; need max_delay >= 1"):
        Params(**change)  # type: ignore[arg-type]  # no count or flag among them


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"missing": 1.5}, r"^feedback\.missing: got 1\.5, need a number >= 0\.0 and < 1\.0"),
        ({"mean_delay": -1.0, "max_delay": 3}, r"^feedback\.mean_delay: got -1\.0, need a number >= 0\.0"),
        ({"max_arrivals": 0}, r"^feedback\.max_arrivals: got 0, need an int >= 1"),
        ({"mean_delay": 2.0}, r"^feedback: .*max_delay = 0 with mean_delay = 2"),
    ],
)
def test_feedback_that_makes_no_sense_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(change, Params, Spot("feedback", {}, ()))
