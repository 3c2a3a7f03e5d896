"""Hard limits and trust region, in exact decimals, with a reason for every exclusion."""

from dataclasses import replace
from decimal import Decimal
from itertools import product

import numpy as np
import pytest

from envs.lattice import AxisRange, Lattice, LatticeRanges
from policies.base import Spec
from policies.constraints import Bounds, Limits, Params, Radius, Reason, bounds, legal, offsets, start, window

LATTICE = Lattice.from_ranges(
    LatticeRanges(temperature=AxisRange("0.5", "0.9", "0.1"), max_tokens=AxisRange("100", "500", "100"))
)
SPEC = Spec(LATTICE.shape, ((0.0,),) * 6, offsets(LATTICE, Params()), n_tasks=2, d=1)
RECORDED = np.ones((2, 25), np.bool_)


def limits_of(params: Params, recorded: np.ndarray = RECORDED) -> Bounds:
    return bounds(LATTICE, params, recorded=recorded)


def at(temperature: str, max_tokens: str) -> np.int32:
    return np.int32(LATTICE.action_id({"temperature": temperature, "max_tokens": max_tokens}))


def test_a_radius_of_two_tenths_is_two_steps_of_a_tenth() -> None:
    """0.9 - 0.7 > 0.2 in floats; both ends of the region are slots all the same."""
    held = window(SPEC, limits_of(Params()), at("0.7", "300"), np.int32(0))
    assert SPEC.k == 25
    assert at("0.9", "500") in held.action_ids[held.feasible]
    assert at("0.5", "100") in held.action_ids[held.feasible]
    assert held.feasible.all()


@pytest.mark.parametrize(("radius", "reach"), [("0.2", 2), ("0.19", 1), ("0.3", 3), ("0", 0), ("", 1)])
def test_a_radius_reaches_the_steps_that_fit(radius: str, reach: int) -> None:
    params = Params(radius=Radius(temperature=radius))
    assert {move[0] for move in offsets(LATTICE, params)} == set(range(-reach, reach + 1))
    assert limits_of(params).radius.tolist() == [reach, 2, 0, 0, 0, 0]


def test_an_axis_of_one_value_never_moves_whatever_its_radius() -> None:
    params = Params(radius=Radius(top_p="0.5", frequency_penalty="0", presence_penalty=""))
    assert {move[2:] for move in offsets(LATTICE, params)} == {(0, 0, 0, 0)}
    assert limits_of(params).radius[2:].tolist() == [0, 0, 0, 0]


def test_slots_come_in_ascending_id() -> None:
    held = window(SPEC, limits_of(Params()), at("0.7", "300"), np.int32(0))
    assert held.action_ids.tolist() == list(range(25))
    assert held.action_ids[held.incumbent] == at("0.7", "300")


def test_a_window_beyond_256_slots_is_refused_with_its_numbers() -> None:
    """(2 * 8 + 1)^2 = 289."""
    wide = Params(radius=Radius(temperature="0.8", max_tokens="800"))
    with pytest.raises(ValueError, match=r"the window has 289 slots .*'temperature': 8, 'max_tokens': 8.* at most 256"):
        offsets(LATTICE, wide)


def test_a_negative_radius_is_refused() -> None:
    with pytest.raises(ValueError, match=r"constraints.radius.temperature = -0.1, need a number >= 0"):
        offsets(LATTICE, Params(radius=Radius(temperature="-0.1")))


def test_limits_that_hold_no_value_are_refused() -> None:
    with pytest.raises(ValueError, match=r"constraints.temperature allows \[0.91, 0.9\], .* 0.5 .. 0.9; no action"):
        limits_of(Params(temperature=Limits(lowest="0.91")))


def test_limits_are_inclusive_and_exact() -> None:
    limits = limits_of(Params(temperature=Limits("0.6", "0.7"), max_tokens=Limits(highest="250")))
    assert limits.lowest.tolist() == [1, 0, 0, 0, 0, 0]
    assert limits.highest.tolist() == [2, 1, 0, 0, 0, 0]
    assert legal(LATTICE, limits)[0].sum() == 4


@pytest.mark.parametrize(("temperature", "max_tokens"), list(product(("0.5", "0.9"), ("100", "500"))))
def test_at_a_corner_a_quarter_of_the_window_is_on_the_lattice(temperature: str, max_tokens: str) -> None:
    held = window(SPEC, limits_of(Params()), at(temperature, max_tokens), np.int32(0))
    assert held.feasible.sum() == 9
    assert (held.reason == Reason.OUTSIDE_LATTICE).sum() == 16
    assert set(held.action_ids[~held.feasible].tolist()) == {int(at(temperature, max_tokens))}
    assert len(set(held.action_ids[held.feasible].tolist())) == 9


def test_every_reason_is_right_wherever_the_centre_stands() -> None:
    """Against a plain scan: lattice, then limits, then region, then record, the first that excludes."""
    recorded = np.random.Generator(np.random.Philox(0)).random((2, 25)) < 0.8
    limits = limits_of(Params(temperature=Limits(highest="0.8")), recorded)
    limits = limits._replace(radius=np.array([1, 2, 0, 0, 0, 0], np.int32))
    for centre, task in product(range(25), range(2)):
        held = window(SPEC, limits, np.int32(centre), np.int32(task))
        wanted = [_reason(centre, move, recorded[task]) for move in SPEC.offsets]
        if Reason.FEASIBLE not in wanted:
            wanted[SPEC.centre] = Reason.FEASIBLE
        assert held.reason.tolist() == wanted
        assert np.array_equal(held.feasible, held.reason == Reason.FEASIBLE)


def _reason(centre: int, move: tuple[int, ...], recorded: np.ndarray) -> Reason:
    row, column = centre // 5 + move[0], centre % 5 + move[1]
    if not (0 <= row < 5 and 0 <= column < 5):
        return Reason.OUTSIDE_LATTICE
    if row > 3:
        return Reason.HARD_LIMIT
    if abs(move[0]) > 1:
        return Reason.TRUST_REGION
    return Reason.FEASIBLE if recorded[5 * row + column] else Reason.UNRECORDED


def test_with_nothing_allowed_the_centre_alone_is() -> None:
    held = window(SPEC, limits_of(Params(), np.zeros((2, 25), np.bool_)), at("0.7", "300"), np.int32(1))
    assert np.flatnonzero(held.feasible).tolist() == [held.incumbent]
    assert held.reason[held.incumbent] == Reason.FEASIBLE


def test_a_start_that_is_legal_stays() -> None:
    home = np.array([at("0.7", "300"), at("0.5", "100")], np.int32)
    assert np.array_equal(start(LATTICE, limits_of(Params()), home), home)


def test_a_start_that_is_not_legal_moves_to_the_nearest_that_is() -> None:
    limits = limits_of(Params(temperature=Limits(highest="0.7"), max_tokens=Limits(lowest="200")))
    home = np.array([at("0.9", "500"), at("0.6", "100")], np.int32)
    assert start(LATTICE, limits, home).tolist() == [at("0.7", "500"), at("0.6", "200")]


def test_a_start_among_equals_is_the_lowest_id() -> None:
    recorded = RECORDED.copy()
    recorded[0, at("0.7", "300")] = False
    home = np.full(2, at("0.7", "300"), np.int32)
    assert start(LATTICE, limits_of(Params(), recorded), home).tolist() == [at("0.6", "300"), at("0.7", "300")]


def test_a_task_type_without_a_legal_action_is_refused() -> None:
    recorded = RECORDED.copy()
    recorded[1] = False
    with pytest.raises(ValueError, match="no action meets the hard limits for task type 1; widen constraints"):
        start(LATTICE, limits_of(Params(), recorded), np.zeros(2, np.int32))


MODELS = ("small", "middle", "large")
SEVERAL = Lattice.from_ranges(LatticeRanges(temperature=AxisRange("0.5", "0.6", "0.1")), models=MODELS)
ALL = np.ones((1, 6), np.bool_)


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [(Limits(), MODELS), (Limits(highest="middle"), MODELS[:2]), (Limits("middle", "middle"), MODELS[1:2])],
)
def test_models_are_bounded_by_name_in_the_order_in_which_they_are_listed(
    limits: Limits, allowed: tuple[str, ...]
) -> None:
    met = legal(SEVERAL, bounds(SEVERAL, Params(model=limits), recorded=ALL))[0]
    assert {SEVERAL.parameters(int(i))["model"] for i in np.flatnonzero(met)} == set(allowed)


@pytest.mark.parametrize(("radius", "reach"), [("", 1), ("0", 0), ("1", 1), ("2", 2)])
def test_the_radius_of_models_is_in_places_of_the_list(radius: str, reach: int) -> None:
    params = Params(radius=Radius(model=radius))
    assert {move[-1] for move in offsets(SEVERAL, params)} == set(range(-reach, reach + 1))
    spec = Spec(SEVERAL.shape, ((0.0,),) * 6, offsets(SEVERAL, params), n_tasks=1, d=1)
    home = np.int32(SEVERAL.action_id({"temperature": "0.5", "model": "small"}))
    held = window(spec, bounds(SEVERAL, params, recorded=ALL), home, np.int32(0))
    offered = {SEVERAL.parameters(int(i))["model"] for i in held.action_ids[held.feasible]}
    assert offered == set(MODELS[: reach + 1])


def test_a_model_that_is_not_listed_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"constraints.model.highest: got 'midle', need one of small, .*'middle'"):
        bounds(SEVERAL, Params(model=Limits(highest="midle")), recorded=ALL)
    with pytest.raises(ValueError, match=r"constraints.model allows \[2, 0\], which holds none"):
        bounds(SEVERAL, Params(model=Limits("large", "small")), recorded=ALL)


TALL = Lattice.from_ranges(LatticeRanges(max_tokens=AxisRange("100", "3000", "100")))
THIRD = Params(radius=Radius(max_tokens_share="0.35"))


def caps_around(cap: int, params: Params) -> list[int]:
    """What max_tokens may become, of the slots that are feasible."""
    limits = bounds(TALL, params, recorded=np.ones((1, TALL.size), np.bool_))
    spec = Spec(TALL.shape, (), offsets(TALL, params), n_tasks=1, d=1)
    home = np.int32(TALL.action_id({"temperature": TALL.axes[0].values[0], "max_tokens": str(cap)}))
    held = window(spec, limits, home, np.int32(0))
    assert held.action_ids[held.incumbent] == home
    return sorted({int(TALL.parameters(int(i))["max_tokens"]) for i in held.action_ids[held.feasible]})


@pytest.mark.parametrize(
    ("cap", "offered"),
    [
        (300, [100, 200, 300, 400, 500]),  # 35 % is 105: the 200 of the radius are more
        (1100, [900, 1000, 1100, 1200, 1300]),  # 385, 3 steps over 2 slots: 1 apart
        (1200, [800, 1000, 1200, 1400, 1600]),  # 420, 4 steps: 2 apart
        (2600, [1800, 2200, 2600, 3000]),  # 910, 9 steps: 4 apart, and 3,400 is off the lattice
    ],
)
def test_a_relative_step_reaches_a_share_of_the_approved_cap_in_as_many_slots(cap: int, offered: list[int]) -> None:
    assert caps_around(cap, THIRD) == offered
    assert offsets(TALL, THIRD) == offsets(TALL, Params())


def test_a_share_of_a_round_cap_is_exact() -> None:
    """0.7 * 1000 is 700 in decimals, and 699.99... in floats: 7 steps over 1 slot."""
    one = Params(radius=Radius(max_tokens="100", max_tokens_share="0.7"))
    assert caps_around(1000, one) == [300, 1000, 1700]


def test_the_law_of_relative_steps_holds_from_every_cap() -> None:
    for share, cap in product(("0.1", "0.35", "1"), range(100, 3100, 100)):
        reach = max(200, int(Decimal(share) * cap))
        offered = caps_around(cap, Params(radius=Radius(max_tokens_share=share)))
        assert all(abs(other - cap) <= reach for other in offered)
        apart = 100 * (reach // 200)  # two slots each way share the reach
        assert offered == [cap + j * apart for j in range(-2, 3) if 100 <= cap + j * apart <= 3000]


def test_without_a_share_slots_are_one_step_apart_everywhere() -> None:
    limits = limits_of(Params())
    assert limits.stride.shape == (6, 5)
    assert np.all(limits.stride == 1)


@pytest.mark.parametrize("share", ["0", "-0.1", "1.1"])
def test_a_share_beyond_its_range_is_refused(share: str) -> None:
    with pytest.raises(ValueError, match=rf"radius.max_tokens_share: got '{share}', need a share, 0 < share <= 1"):
        limits_of(Params(radius=Radius(max_tokens_share=share)))


def test_a_share_without_a_slot_to_spread_is_refused() -> None:
    with pytest.raises(ValueError, match=r"radius.max_tokens: got '50', need at least one lattice step, 100, where"):
        limits_of(Params(radius=Radius(max_tokens="50", max_tokens_share="0.5")))


def test_uneven_steps_have_no_radius() -> None:
    first, *others = LATTICE.axes
    uneven = replace(LATTICE, axes=(first._replace(values=("0.5", "0.6", "0.8")), *others))
    with pytest.raises(ValueError, match=r"axis temperature has uneven steps .*, a radius needs even ones"):
        offsets(uneven, Params())
