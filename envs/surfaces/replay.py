"""A world made of recorded outcomes: real answers, drawn again.

The expectation of an action for a problem is the mean of its recorded answers; an outcome
is one of them, drawn at random. So the truth is an average with a standard error, clustered
by problem, and what one half of the problems taught is judged on the other half. An action
that was never recorded is not feasible, and its reward is NaN.
Source: the replay idea of Li, Chu, Langford & Wang (2011), "Unbiased offline evaluation".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.drift import Params as DriftParams
from envs.drift import only_traffic
from envs.lattice import MODEL
from envs.recorded.clustered import Truth, gain, line_error, truth
from envs.recorded.coverage import Cells, complete, covered, home_action, like_with_like, shown
from envs.recorded.dealing import HALVES, deal
from envs.recorded.interpolation import Corners, corners
from envs.recorded.playback import PLAYBACK, Numbers, summed
from envs.recorded.recording import PARTS, Columns, Recording, Source, read_recording
from envs.reward import RewardWeights, weights
from envs.targets import refuse
from envs.tasks import encode
from envs.traffic import Population, traffic
from envs.world import Scenario

__all__ = ["Baseline", "Halves", "Params", "Truth", "build", "gain", "split", "truth"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
LEARN, JUDGE = 0, 1
LEAST_PROBLEMS = 2  # of every task type in each half: fewer have no standard error


@dataclass(frozen=True)
class Baseline:
    """Production's current parameters, as decimal strings; of an axis not recorded, its one value.

    An empty string: as in the answerable parameters that were recorded most often.
    """

    temperature: str = "1.0"
    max_tokens: str = "4096"
    top_p: str = "1"
    frequency_penalty: str = "0"
    presence_penalty: str = "0"
    model: str = ""


@dataclass(frozen=True)
class Params:
    """A table of recorded outcomes, and how to read it.

    Attributes:
        path: CSV, also compressed, Parquet, or a folder of Parquet files; relative to where you stand.
        columns: which column holds what.
        where: column -> value or values to keep; all rows when empty.
        model_is: whether recorded models are part of the context, or an action to choose; `auto`: an action if some
            task type was answered by several.
        interpolate: axis -> step of an even grid between its recorded values; at most two axes.
        fill_gaps: whether a value that is missing on the even grid of an axis's recorded values becomes one of the
            lattice that nobody can play; so a trust region has even steps, and nothing is interpolated.
        token_unit: how many recorded units of length make a token (4 where characters were counted).
        groups: 0: a unit is a problem. Else problems are pooled at random into that many groups, and
            a group is a unit: for logs in which problems hardly ever repeat.
        split_seed: which random half of the problems is learned on, and who is in which group.
        skip_bad: leave out rows that cannot be used, and count them by reason, instead of refusing; and
            problems that lack an action which nearly all others have, instead of the action.
        max_bad_share: of all rows, that may be left out so; of a task type's problems, that may lack an
            action and go.
    """

    path: str
    columns: Columns
    name: str = "replay"
    where: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    model_is: Literal["context", "action", "auto"] = "context"
    interpolate: dict[str, str] = field(default_factory=dict)
    fill_gaps: bool = False
    baseline: Baseline = field(default_factory=Baseline)
    reward: RewardWeights = field(default_factory=RewardWeights)
    token_unit: float = field(default=1.0, metadata={"gt": 0.0, "le": 1e6, "unit": "recorded units per token"})
    groups: int = field(default=0, metadata={"ge": 0, "le": 10_000, "unit": "0, or 4 and more"})
    split_seed: int = field(default=0, metadata={"ge": 0, "le": 2**31 - 1})
    skip_bad: bool = False
    max_bad_share: float = field(default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "share of rows"})


class Halves(NamedTuple):
    """The same world on two disjoint sets of problems."""

    learn: Scenario
    judge: Scenario


def _reward_range(params: Params, numbers: Numbers) -> tuple[float, float]:
    """Bounds of every reward that can be drawn: quality lies in [0, 1], penalties reach the largest recorded."""
    worth, top = params.reward, dict(zip(PARTS, numbers.rows[:-1].max(axis=0).tolist(), strict=True))
    worst = worth.cost * top["cost_usd"] + worth.latency * top["latency_ms"] / 1000.0
    worst += worth.tokens * top["output_tokens"] / 1000.0 + worth.failure * top["failure"]
    return 0.0 - (worst + worth.reservation * float(numbers.reserved.max())), worth.quality


def _check(params: Params, drift: Sequence[DriftParams]) -> None:
    """Refuse what a record cannot answer."""
    only_traffic(drift, why="recorded outcomes do not move; task_mix and prompt_divergence may")
    needs = {"cost": "cost_usd", "latency": "latency_ms", "tokens": "output_tokens", "failure": "failure"}
    for weight, column in needs.items():
        got = getattr(params.reward, weight)
        if got and getattr(params.columns, column) is None:
            raise refuse(f"world.reward.{weight}", got, f"0, or a column: set world.columns.{column}=NAME")
    if params.groups and params.groups < 2 * LEAST_PROBLEMS:
        raise refuse("world.groups", params.groups, f"0 (a unit is a problem), or at least {2 * LEAST_PROBLEMS}")
    if params.model_is == "action" and params.columns.model is None:
        raise refuse("world.model_is", "action", "a column of models: set world.columns.model=NAME")
    for item in fields(Baseline):
        value, column = getattr(params.baseline, item.name), getattr(params.columns, item.name)
        if not value and column is None and item.name != MODEL:
            need = f"its one value, as the table has no such column (or set world.columns.{item.name}=NAME)"
            raise refuse(f"world.baseline.{item.name}", value, need)


def _source(params: Params) -> Source:
    absent = {item.name: getattr(params.baseline, item.name) for item in fields(Baseline)}
    absent[MODEL] = params.baseline.model or "default"
    return Source(
        path=params.path,
        columns=params.columns,
        where=params.where,
        absent=absent,
        interpolate=params.interpolate,
        token_unit=params.token_unit,
        groups=params.groups,
        split_seed=params.split_seed,
        fill_gaps=params.fill_gaps,
        model_is=params.model_is,
        skip_bad=params.skip_bad,
        max_bad_share=params.max_bad_share,
    )


def _population(record: Recording) -> Population:
    share = np.full(len(record.names), 1.0 / len(record.names))
    features = np.stack([encode(task, record.spec) for task in record.tasks])
    return Population(record.tasks, record.task, features, record.cluster, record.names, share, record.spec)


def _numbers(params: Params, record: Recording, *, cells: Cells, near: Corners) -> Numbers:
    size, order = record.lattice.size, cells.order
    key = record.unit[order] * size + record.action[order]
    replicates = np.unique(key, return_counts=True)[1]
    tokens = [axis.name for axis in record.lattice.axes].index("max_tokens")
    at = record.lattice.decode(np.arange(size, dtype=np.int32))[:, tokens]
    hand = deal(record.task, record.cluster, n_hands=2, seed=params.split_seed, stream=HALVES)
    return Numbers(
        **summed(record.parts[order], replicates, cells.recorded[record.task]),
        task=record.task,
        corners=near,
        reserved=record.lattice.values("max_tokens")[at] / 4096.0,
        half=hand[record.cluster],
        weights=weights(params.reward),
    )


def _check_halves(params: Params, record: Recording, half: NDArray[np.int32]) -> None:
    """Each half needs two problems of every task type, or no standard error exists."""
    for i, name in enumerate(record.names):
        sizes = np.bincount(half[record.task == i], minlength=2)
        if sizes.min() < LEAST_PROBLEMS:
            need = f"at least {LEAST_PROBLEMS} problems of every task type in each half; {name!r} has {sizes[LEARN]} "
            raise refuse("world.path", params.path, need + f"to learn on and {sizes[JUDGE]} to judge on")


def _leaves(scenario: Scenario) -> Numbers:
    assert isinstance(scenario.params, Numbers)
    return scenario.params


def _notes(params: Params, scenario: Scenario, recorded: Bools) -> tuple[str, ...]:
    """What a reader must know: how much there is, what is interpolated, who is the baseline."""
    numbers = _leaves(scenario)
    n_recorded, n_answered = int(recorded.sum()), int(scenario.recorded.sum())
    copies, what = numbers.replicates[:-1], "group of problems" if params.groups else "problem"
    notes = [
        f"{len(scenario.population.task)} units (a {what} within a task type) in {len(scenario.population.names)} task "
        f"types, {n_recorded} recorded pairs of task type and action, {copies.min()} to {copies.max()} answers each.",
        "The truth is an average over the recorded answers, with a standard error clustered by problem.",
    ]
    if params.interpolate:
        steps = " and ".join(f"{name} in steps of {step}" for name, step in params.interpolate.items())
        notes.append(
            f"Interpolated (world.interpolate): {steps}. Of {n_answered} pairs of task type and action {n_recorded} "
            f"are recorded and {n_answered - n_recorded} lie between recorded neighbours, on the straight line between "
            "their means; nothing is extrapolated. Standard errors do not hold how far reality lies from that line."
        )
        notes += [line_error(scenario, name, recorded=recorded) for name in params.interpolate]
    home = int(scenario.baseline[0])
    if not all(getattr(params.baseline, axis.name) for axis in scenario.lattice.axes if len(axis.values) > 1):
        notes.append(f"Baseline, where not named, as recorded most often: {shown(scenario.lattice, home)}.")
    if not recorded[:, home].all():
        notes.append("The baseline itself is interpolated.")
    return tuple(notes)


def build(params: Params, *, drift: Sequence[DriftParams] = ()) -> Scenario:
    """The scenario of a recorded table, all its problems together; `split` makes the halves.

    Args:
        params: the table and how to read it.
        drift: components that move the traffic only.

    Raises:
        ConfigError: a table, column, cell, step, baseline, weight or drift that cannot be used (one line each).
    """
    _check(params, drift)
    record = read_recording(_source(params))
    if params.skip_bad and not params.groups:
        record = complete(record, tolerance=params.max_bad_share)
    cells = covered(record, params.path, is_grouped=params.groups > 0)
    near = corners(record.lattice, cells.recorded, along=tuple(params.interpolate))
    answered = np.all(np.take_along_axis(cells.recorded[:, :, None], near.action, axis=1), axis=-1)
    named = {axis.name: getattr(params.baseline, axis.name) for axis in record.lattice.axes}
    home = home_action(record, named, answered=answered)
    numbers, population = _numbers(params, record, cells=cells, near=near), _population(record)
    _check_halves(params, record, numbers.half)
    bounds = _reward_range(params, numbers)
    scenario = Scenario(
        name=params.name,
        world=PLAYBACK,
        params=numbers,
        traffic=traffic(population, drift=drift),
        lattice=record.lattice,
        population=population,
        baseline=np.full(len(record.names), home, np.int32),
        recorded=answered,
        value_range=bounds,
        reward_range=bounds,
        drift=tuple(drift),
        is_exact=False,
        worth=(tuple(weights(params.reward)),) * len(record.names),
    )
    pooled = (like_with_like(record, cells),) if params.groups else ()
    notes = (*record.notes, *cells.notes, *pooled, *_notes(params, scenario, cells.recorded))
    return replace(scenario, notes=notes)


def _part(scenario: Scenario, half: int) -> Scenario:
    """The units of one half, with their cells and rows."""
    old = _leaves(scenario)
    units = np.flatnonzero(old.half == half)
    cell = old.cell[units]
    has = cell < len(old.replicates) - 1
    used = cell[has]  # ascending: cells are in the order of units and actions
    rows = np.concatenate([old.rows[b : b + c] for b, c in zip(old.begin[used], old.replicates[used], strict=True)])
    whole = scenario.population
    population = replace(
        whole,
        tasks=tuple(whole.tasks[i] for i in units),
        task=whole.task[units],
        features=whole.features[units],
        cluster=whole.cluster[units],
    )
    leaves = summed(rows, old.replicates[used].astype(np.int64), has)
    name, purpose = (("learn", "learned"), ("judge", "judged"))[half]
    note = f"This half, on which is {purpose}: {len(units)} units, {len(np.unique(population.cluster))} problems."
    return replace(
        scenario,
        name=f"{scenario.name}/{name}",
        params=old._replace(**leaves, task=population.task, half=old.half[units]),
        traffic=traffic(population, drift=scenario.drift),
        population=population,
        notes=(*scenario.notes, note),
    )


def split(scenario: Scenario) -> Halves:
    """Disjoint random halves of the problems: one to learn on, one to judge on.

    Both halves offer the same actions: those recorded for every problem of a task type.

    Raises:
        ValueError: the scenario is one half already.
    """
    if len(np.unique(_leaves(scenario).half)) < 2:
        raise ValueError(f"world {scenario.name!r} is one half already, need the scenario that `build` returned")
    return Halves(_part(scenario, LEARN), _part(scenario, JUDGE))
