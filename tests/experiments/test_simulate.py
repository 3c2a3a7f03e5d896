"""The compiled simulation: seeds alone decide, steps stay in the trust region, engines and records agree.

The golden record is made again, on purpose and in a commit of its own, by
`python -m tests.experiments.test_simulate`.
"""

import json
import platform
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from envs.randomness import DRAWS, Purpose
from experiments.simulate import CHUNK, Plan, Trajectory, simulate
from policies.build import BoundedPolicy
from policies.learners import fixed, thompson, uniform
from policies.masses import TOTAL
from tests import compiled

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "simulate.json"
REMAKE = "python -m tests.experiments.test_simulate"
FEW, MANY = 3, compiled.SEEDS
N_ROUNDS = compiled.N_ROUNDS


class Run(NamedTuple):
    """All slabs of one call put together."""

    items: Any  # (n, 3) scenario, policy, seed
    learned: Any
    rows: Trajectory


def play(
    policies: Sequence[BoundedPolicy],
    *,
    seeds: Sequence[int] = range(MANY),
    purpose: Purpose = Purpose.TRAIN,
    master_seed: int = 0,
    precision: str = "float64",
) -> Run:
    plan = Plan(master_seed, purpose, tuple(seeds), N_ROUNDS, precision)
    slabs = list(simulate([compiled.world()], policies, plan))
    return Run(*jax.tree.map(lambda *parts: np.concatenate(parts), *slabs))


@cache
def both() -> tuple[BoundedPolicy, BoundedPolicy]:
    """The learner under its two approval rules: one program."""
    first, second = (compiled.under_bounds(compiled.LEARNER, rule=rule) for rule in compiled.RULES)
    return first, second


@cache
def train() -> Run:
    return play(both())


@cache
def plain(purpose: Purpose = Purpose.TRAIN) -> Run:
    return play([compiled.under_bounds(uniform.Params())], purpose=purpose)


def same(one: Any, two: Any) -> None:
    """Every leaf bit for bit."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


def of_policy(run: Run, policy: int) -> Trajectory:
    rows: Trajectory = jax.tree.map(lambda leaf: leaf[run.items[:, 1] == policy], run.rows)
    return rows


@pytest.mark.slow
def test_a_seed_is_the_same_however_many_run_beside_it() -> None:
    few = play(both(), seeds=range(FEW))
    among = np.flatnonzero(train().items[:, 2] < FEW)
    np.testing.assert_array_equal(few.items, train().items[among])
    for name, mine, theirs in zip(Trajectory._fields, few.rows, train().rows, strict=True):
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(a, b[among], err_msg=name)
    same(few.learned, jax.tree.map(lambda leaf: leaf[among], train().learned))


@pytest.mark.slow
def test_a_seed_is_the_same_in_another_place_and_at_the_edge_of_a_slab() -> None:
    order = [7, 31, *range(100, 115), 2, 0, 5]  # 20: a slab of 32 with 12 of padding
    assert len(order) % CHUNK != 0
    moved = play(both(), seeds=order)
    for place, seed in enumerate(order):
        if seed < MANY:
            one, two = of_policy(moved, 0), of_policy(train(), 0)
            same(jax.tree.map(lambda leaf, i=place: leaf[i], one), jax.tree.map(lambda leaf, i=seed: leaf[i], two))


@pytest.mark.slow
def test_trajectories_have_items_first_and_rounds_second() -> None:
    items, learned, rows = train()
    n, k = 2 * MANY, both()[0].spec.k
    assert items.tolist() == [[0, policy, seed] for policy in (0, 1) for seed in range(MANY)]
    for leaf in jax.tree.leaves(rows._replace(masses=0, delivered=0)):
        assert np.shape(leaf) in ((n, N_ROUNDS), ())
    assert rows.masses.shape == (n, N_ROUNDS, k)
    assert rows.delivered.shape == (n, N_ROUNDS, 1)
    np.testing.assert_array_equal(rows.delivered[..., 0], np.broadcast_to(np.arange(N_ROUNDS), (n, N_ROUNDS)))
    for name in ("index", "task", "t", "centre", "action_id", "slot", "uniform", "masses", "delivered"):
        assert getattr(rows, name).dtype == np.int32
    assert rows.reward.dtype == rows.expected.dtype == np.float64
    assert {leaf.dtype.name for leaf in jax.tree.leaves(learned)} <= {"int32", "float64", "bool"}
    assert all(leaf.shape[0] == n for leaf in jax.tree.leaves(learned))
    np.testing.assert_array_equal(rows.task, np.broadcast_to(np.arange(N_ROUNDS) % 2, (n, N_ROUNDS)))
    np.testing.assert_array_equal(rows.t, np.broadcast_to(np.arange(N_ROUNDS) // 2, (n, N_ROUNDS)))
    np.testing.assert_array_equal(compiled.world().population.task[rows.index], rows.task)


@pytest.mark.slow
def test_progress_counts_every_item_once() -> None:
    told: list[tuple[int, int]] = []
    plan = Plan(0, Purpose.TRAIN, tuple(range(MANY)), N_ROUNDS)
    slabs = simulate([compiled.world()], both(), plan, progress=lambda done, n: told.append((done, n)))
    assert [len(items) for items, _, _ in slabs] == [MANY, MANY]
    assert told == [(MANY, 2 * MANY), (2 * MANY, 2 * MANY)]


@pytest.mark.slow
def test_policies_of_one_purpose_meet_the_same_contexts_and_the_same_noise() -> None:
    first, second, other = of_policy(train(), 0), of_policy(train(), 1), plain().rows
    for rows in (second, other):
        np.testing.assert_array_equal(first.index, rows.index)
        np.testing.assert_array_equal(first.uniform, rows.uniform)
    # The noise of an outcome shows where two policies drew the same action in the same context.
    equal = (first.action_id == other.action_id) & (first.index == other.index)
    assert equal.sum() > 20
    np.testing.assert_allclose(first.reward[equal], other.reward[equal], rtol=0, atol=1e-12)
    np.testing.assert_allclose(first.expected[equal], other.expected[equal], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_no_two_purposes_or_master_seeds_share_contexts_or_uniforms() -> None:
    runs = [plain(purpose).rows for purpose in Purpose]
    runs.append(play([compiled.under_bounds(uniform.Params())], master_seed=1).rows)
    paths = [tuple(path) for rows in runs for path in rows.index.tolist()]
    drawn = [tuple(path) for rows in runs for path in rows.uniform.tolist()]
    assert len(set(paths)) == len(paths) == len(runs) * MANY
    assert len(set(drawn)) == len(drawn)


@pytest.mark.slow
def test_every_action_is_within_the_trust_region_of_its_centre_and_so_is_every_move_of_it() -> None:
    lattice = compiled.world().lattice
    n_moves = 0
    for rows in (train().rows, plain().rows):
        t, m = (_values(name) for name in ("temperature", "max_tokens"))
        assert np.abs(t[rows.action_id] - t[rows.centre]).max() <= 0.2 + 1e-9
        assert np.abs(m[rows.action_id] - m[rows.centre]).max() <= 200
        assert t[rows.action_id].max() <= 1.1 and m[rows.action_id].min() >= 212  # the hard limits
        for task in (0, 1):
            path = rows.centre[:, task::2]
            assert np.all(path[:, 0] == compiled.world().baseline[task])
            assert np.abs(np.diff(t[path], axis=1)).max() <= 0.2 + 1e-9
            assert np.abs(np.diff(m[path], axis=1)).max() <= 200
            n_moves += int((np.diff(path, axis=1) != 0).sum())
    assert n_moves > 100 and lattice.size == 144  # there was something to hold


@cache
def _values(name: str) -> Any:
    """(actions,) one parameter of every action."""
    lattice = compiled.world().lattice
    return np.array([lattice.parameters(i)[name] for i in range(lattice.size)], np.float64)


@pytest.mark.slow
def test_masses_sum_to_2_to_the_20_and_the_slot_replays_from_the_logged_uniform() -> None:
    for rows in (train().rows, plain().rows):
        assert np.all(rows.masses >= 0) and np.all(rows.masses.sum(axis=-1) == TOTAL)
        assert rows.uniform.min() >= 0 and rows.uniform.max() < DRAWS == TOTAL
        first = (rows.masses.cumsum(axis=-1) > rows.uniform[..., None]).argmax(axis=-1)
        np.testing.assert_array_equal(first, rows.slot)
        assert np.take_along_axis(rows.masses, rows.slot[..., None], axis=-1).min() > 0


@pytest.mark.slow
def test_logged_rewards_are_in_range_and_expectations_are_the_table() -> None:
    low, high = compiled.world().reward_range or (0.0, 0.0)
    table = compiled.world().table()
    rows = train().rows
    assert low <= rows.reward.min() and rows.reward.max() <= high
    np.testing.assert_allclose(rows.expected, table[rows.index, rows.action_id], rtol=0, atol=1e-12)
    # 3,840 rewards around their expectations: |z| > 4.5 has probability 7e-6.
    gap = (rows.reward - rows.expected).ravel()
    assert abs(gap.mean()) <= 4.5 * gap.std() / np.sqrt(gap.size)


@pytest.mark.slow
def test_float32_runs_beside_float64_and_agrees_on_most_actions() -> None:
    single = play(both(), precision="float32")
    assert single.rows.reward.dtype == single.rows.expected.dtype == np.float32
    assert {leaf.dtype.name for leaf in jax.tree.leaves(single.learned)} <= {"int32", "float32", "bool"}
    assert np.all(single.rows.masses.sum(axis=-1) == TOTAL)
    again = play(both())
    same(again.rows, train().rows)  # float64 is still float64
    np.testing.assert_array_equal(single.rows.uniform, train().rows.uniform)
    np.testing.assert_array_equal(single.rows.index, train().rows.index)
    agreed = single.rows.action_id == train().rows.action_id
    # All 3,840 agreed when this was written. Rounding moves a mass by a unit of 2^-20, so about one decision
    # in 2^20 / k flips; a learner then goes its own way for the rest of its 60 rounds.
    assert agreed[:, :10].mean() > 0.99 and agreed.mean() > 0.95, (agreed[:, :10].mean(), agreed.mean())


def test_policies_or_worlds_of_another_structure_are_refused() -> None:
    plan = Plan(0, Purpose.TRAIN, (0,), N_ROUNDS)
    pair = [compiled.under_bounds(learner) for learner in (fixed.Params(), uniform.Params())]
    with pytest.raises(ValueError, match="may differ in numbers only, not in structure"):
        next(simulate([compiled.world()], pair, plan))
    other = [compiled.under_bounds(thompson.Params(n_draws=n)) for n in (16, 18)]
    with pytest.raises(ValueError, match="may differ in numbers only, not in structure"):
        next(simulate([compiled.world()], other, plan))


@pytest.mark.parametrize(("seeds", "n_rounds"), [((), 4), ((0,), 0)])
def test_a_plan_without_seeds_or_rounds_is_refused(seeds: tuple[int, ...], n_rounds: int) -> None:
    plan = Plan(0, Purpose.TRAIN, seeds, n_rounds)
    with pytest.raises(ValueError, match=rf"the plan has {len(seeds)} seeds and {n_rounds} rounds, need at least one"):
        next(simulate([compiled.world()], [compiled.under_bounds(uniform.Params())], plan))


def record() -> dict[str, Any]:
    """What a golden file holds: one seed under each rule, and what it was made with."""
    rows = train().rows
    return {
        "made_by": REMAKE,
        "versions": {"jax": jax.__version__, "numpy": np.__version__, "machine": platform.machine()},
        "runs": {
            rule: {
                "action_id": rows.action_id[place * MANY].tolist(),
                "centre": rows.centre[place * MANY].tolist(),
                "uniform": rows.uniform[place * MANY].tolist(),
                "mass": np.take_along_axis(rows.masses, rows.slot[..., None], -1)[place * MANY, :, 0].tolist(),
                "reward": [round(float(x), 5) for x in rows.reward[place * MANY]],
            }
            for place, rule in enumerate(compiled.RULES)
        },
    }


@pytest.mark.slow
def test_a_run_is_the_one_on_record() -> None:
    kept, made = json.loads(GOLDEN.read_text("utf-8")), record()
    reason = f"recorded with {kept['versions']}, run with {made['versions']}; if it is meant: {REMAKE}"
    assert kept["made_by"] == REMAKE
    assert kept["runs"].keys() == made["runs"].keys()
    for rule, run in made["runs"].items():
        for column in ("uniform", "centre", "action_id", "mass"):
            assert run[column] == kept["runs"][rule][column], f"{rule}, {column}: {reason}"
        np.testing.assert_allclose(run["reward"], kept["runs"][rule]["reward"], rtol=0, atol=1.5e-5, err_msg=reason)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    text = json.dumps(record(), indent=1).replace(",\n    ", ", ")
    GOLDEN.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {GOLDEN}\n")
