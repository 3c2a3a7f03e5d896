"""Compilations are counted, and no number of a vetting configuration costs one."""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import jax
import numpy as np
import pytest

from envs.drift import Params as DriftParams
from envs.surfaces import llm_outcome
from envs.world import Scenario
from experiments.compilations import counted
from experiments.compose import CONFIGS
from experiments.convergence import run_policies, train_plan
from experiments.settings import build, described
from experiments.simulate import register
from policies import approval
from policies.build import BoundedPolicy, bounded
from policies.constraints import Limits
from tests.compiled import LEARNER, LIMITS, N_ROUNDS, PARAMS, RULES, SEEDS, job, world

VALUES = range(1, 9)  # eight values of every number
# A drift that moves traffic at all has leaves of its own, so both movers are on from the first value.
STEP = DriftParams(
    task_mix=0.1,
    prompt_divergence=0.05,
    onset=4,
    quality_factor=0.5,
    cliff_shift=-0.2,
    length_shift=0.3,
    first_token_factor=2.0,
    cold_share=0.1,
)


def test_a_program_is_counted_once_and_its_second_use_is_free() -> None:
    program = jax.jit(lambda x: x * 3.0 + 1.0)
    with counted() as first:
        program(np.zeros(7)).block_until_ready()
    with counted() as second:
        program(np.ones(7)).block_until_ready()
    assert (first.programs, second.programs) == (1, 0)
    assert first.seconds > 0 and second.seconds == 0


def test_blocks_count_on_their_own_and_stop_when_they_end() -> None:
    numbers = [np.zeros(n) for n in (11, 12, 13)]
    program = jax.jit(lambda x: x - 2.0)
    with counted() as outer:
        program(numbers[0])
        with counted() as inner:
            program(numbers[1])
    program(numbers[2])
    assert (outer.programs, inner.programs) == (2, 1)


def test_programs_of_other_threads_count_and_an_error_ends_the_block() -> None:
    program, zeros = jax.jit(lambda x: x / 5.0), np.zeros(17)
    with pytest.raises(KeyError), counted() as count:
        thread = Thread(target=lambda: program(zeros))
        thread.start()
        thread.join()
        raise KeyError
    program(np.zeros(18))
    assert count.programs == 1


def moved(value: Any, i: int, rules: Mapping[str, Any]) -> Any:
    """A settings object with every number that is not structure at another value, inside its range."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {
            item.name: moved(getattr(value, item.name), i, item.metadata)
            for item in dataclasses.fields(value)
            if not item.metadata.get("static")
        }
        return dataclasses.replace(value, **changes)
    if isinstance(value, list):
        return [moved(item, i, rules) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    step = i if isinstance(value, int) else 0.01 * i * (abs(value) or 1.0)
    high = min(rules.get("le", np.inf), rules.get("lt", np.inf))
    return value + step if value + step < high else value - step


def leaves(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def within_range(value: Any) -> Any:
    """The same, once its ranges were checked as a configuration's are."""
    checked = build(described(value), "node")
    assert checked == value
    return value


@cache
def settings(i: int) -> tuple[Any, ...]:
    """World, drift, approval and learner with every number at its i-th value."""
    held = (PARAMS, STEP, approval.Params(min_evaluations=2), LEARNER)
    return tuple(within_range(moved(value, i, {})) for value in held)


def test_every_number_was_moved() -> None:
    for one, *others in zip(*(map(described, settings(i)) for i in (0, *VALUES)), strict=True):
        static = {"checks", "contexts_per_type", "n_draws", "replays"}
        names = list(_names(one))
        for values, name in zip(zip(*(leaves(v) for v in (one, *others)), strict=True), names, strict=True):
            assert len(set(values)) == (1 if name in static else 9), name


def _names(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _names(item, key)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _names(item, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name


def group(i: int, scenario: Scenario) -> list[tuple[BoundedPolicy, str]]:
    """Both rules with their i-th numbers, under limits that move along the lattice."""
    _, _, how, learner = settings(i)
    limits = dataclasses.replace(LIMITS, max_tokens=Limits(lowest=str(112 + 100 * (i % 3))))
    rules = [dataclasses.replace(how, rule=rule) for rule in RULES]
    return [(bounded(scenario, constraints=limits, approval=a, learner=learner), a.rule) for a in rules]


def test_eight_values_of_any_number_are_one_program() -> None:
    plan = train_plan(0, SEEDS, n_rounds=N_ROUNDS, precision="float64")
    first = llm_outcome.build(settings(0)[0], drift=settings(0)[1:2])
    list(run_policies(first, group(0, first), plan))
    rewards = set()
    with counted() as programs:
        for i in VALUES:
            params, drift, _, _ = settings(i)
            scenario = llm_outcome.build(params, drift=(drift,))
            runs = list(run_policies(scenario, group(i, scenario), plan._replace(master_seed=i)))
            rewards.add(float(runs[0].kept.reward.mean()))
    assert programs.programs == 0
    assert len(rewards) == 8  # the numbers did arrive


def shapes(bound: BoundedPolicy) -> tuple[Any, list[Any]]:
    """What decides, beside the policy itself, whether a program is compiled again."""
    register(bound.params.inner)
    held, structure = jax.tree.flatten(bound.params)
    return structure, [(np.shape(leaf), np.result_type(leaf)) for leaf in held]


@pytest.mark.parametrize("name", sorted(file.stem for file in (CONFIGS / "policy").glob("*.yaml")))
def test_numbers_of_every_learner_are_no_structure(name: str, tmp_path: Path) -> None:
    learner = job(f"policy={name}", out=tmp_path).groups["policy"]
    how = approval.Params(rule="two_sample")

    def bound(i: int) -> BoundedPolicy:
        return bounded(world(), constraints=LIMITS, approval=how, learner=within_range(moved(learner, i, {})))

    first = bound(0)
    for i in VALUES:
        assert bound(i).policy is first.policy
        assert bound(i).learner is first.learner
        assert bound(i).params.inner != first.params.inner or not list(leaves(described(learner)))
        assert shapes(bound(i)) == shapes(first)
