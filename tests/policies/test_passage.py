"""Where a step goes: what the lattice promises within the law, and the slots on the way to it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.lattice import AxisRange, Lattice, LatticeRanges
from policies.base import Spec
from policies.constraints import Bounds, Params, Radius, bounds, offsets, window
from policies.passage import ROUTES, best_ahead, toward

GRID = Lattice.from_ranges(
    LatticeRanges(AxisRange("0.5", "0.9", "0.1"), AxisRange("100", "1200", "100"), AxisRange("0.8", "1", "0.1"))
)
SPEC = Spec(GRID.shape, (), offsets(GRID, Params()), n_tasks=1, d=1)
RECORDED = np.ones((1, GRID.size), np.bool_)


def limits_of(params: Params) -> Bounds:
    return bounds(GRID, params, recorded=RECORDED)


def action(temperature: str, max_tokens: str, top_p: str) -> np.int32:
    return np.int32(GRID.action_id({"temperature": temperature, "max_tokens": max_tokens, "top_p": top_p}))


def routes(limits: Bounds, home: np.int32, goal: np.int32) -> list[Any]:
    """Temperature, tokens and top_p of the slots on the way."""
    held = window(SPEC, limits, home, np.int32(0))
    met = [GRID.parameters(int(held.action_ids[slot])) for slot in toward(SPEC, limits, home, goal)]
    return [(one["temperature"], one["max_tokens"], one["top_p"]) for one in met]


def test_routes_move_all_axes_two_or_one_as_far_as_the_region_reaches() -> None:
    found = routes(limits_of(Params()), action("0.5", "100", "0.8"), action("0.9", "1200", "1.0"))
    assert found == [(0.7, 300, 0.9), (0.7, 300, 0.8), (0.5, 300, 0.8), (0.7, 100, 0.8)]


def test_a_route_ends_at_a_goal_within_reach() -> None:
    home, goal = action("0.7", "500", "0.9"), action("0.6", "600", "0.9")
    assert routes(limits_of(Params()), home, goal)[:2] == [(0.6, 600, 0.9)] * 2
    assert toward(SPEC, limits_of(Params()), home, home).tolist() == [SPEC.centre] * len(ROUTES)


def test_a_narrower_region_shortens_every_route() -> None:
    still = limits_of(Params())._replace(radius=np.array([0, 1, 0, 0, 0, 0], np.int32))
    found = routes(still, action("0.5", "1200", "0.8"), action("0.9", "100", "1.0"))
    assert found == [(0.5, 1100, 0.8), (0.5, 1100, 0.8), (0.5, 1100, 0.8), (0.5, 1200, 0.8)]


def test_a_relative_step_goes_to_the_nearest_slot_and_halfway_stays_nearer_home() -> None:
    """At 1200 tokens a half is 600, 6 steps over 2 slots: slots stand 300 apart."""
    limits = limits_of(Params(radius=Radius(max_tokens_share="0.5")))
    home = action("0.7", "1200", "1.0")
    ends = {goal: routes(limits, home, action("0.7", goal, "1.0"))[2][1] for goal in ("100", "700", "1000", "1100")}
    assert ends == {"100": 600, "700": 600, "1000": 900, "1100": 1200}
    eight = action("0.7", "800", "1.0")  # a half is 400, 4 steps over 2 slots: halfway to the first slot is 900
    assert routes(limits, eight, action("0.7", "900", "1.0"))[2][1] == 800


ids = st.integers(0, GRID.size - 1)


@settings(max_examples=60, deadline=None)
@given(home=ids, goal=ids, share=st.sampled_from(["", "0.35", "1"]))
def test_every_route_is_a_slot_and_none_moves_away_from_the_goal(home: int, goal: int, share: str) -> None:
    limits = limits_of(Params(radius=Radius(max_tokens_share=share)))
    held = window(SPEC, limits, np.int32(home), np.int32(0))
    there, here = GRID.decode(np.array([goal, home]))
    for slot in toward(SPEC, limits, np.int32(home), np.int32(goal)):
        assert held.feasible[slot]
        point = GRID.decode(held.action_ids[slot : slot + 1])[0]
        assert np.all(np.abs(there - point) <= np.abs(there - here))


@pytest.mark.parametrize(("legal", "goal", "ahead"), [([1, 1, 1], 2, 0.5), ([1, 1, 0], 1, 0.1), ([1, 0, 0], 0, 0.0)])
def test_what_the_lattice_promises_is_legal(legal: list[int], goal: int, ahead: float) -> None:
    found = best_ahead(np.array([0.2, 0.3, 0.7]), np.array(legal, np.bool_), np.int32(0))
    assert int(found[0]) == goal
    assert float(found[1]) == pytest.approx(ahead)


def test_of_equal_promises_the_lower_id_is_the_goal() -> None:
    assert best_ahead(np.array([0.2, 0.7, 0.7]), np.ones(3, np.bool_), np.int32(0))[0] == 1
