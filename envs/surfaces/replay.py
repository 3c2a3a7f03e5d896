"""A world made of recorded outcomes: real answers, drawn again.

The expectation of an action for a problem is the mean of its recorded answers; an outcome
is one of them, drawn at random. So the truth is an average with a standard error, clustered
by problem, and what one half of the problems taught is judged on the other half. An action
that was never recorded is not feasible, and its reward is NaN.
Source: the replay idea of Li, Chu, Langford & Wang (2011), "Unbiased offline evaluation".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, namespace
from envs.drift import NEVER
from envs.drift import Params as DriftParams
from envs.recording import PARTS, Columns, Recording, Source, read_recording
from envs.reward import RewardWeights, Weights, reward, weights
from envs.targets import refuse
from envs.tasks import encode
from envs.world import Context, Noise, Outcome, Population, Scenario, World, WorldState

__all__ = ["Baseline", "Halves", "Params", "Truth", "build", "gain", "split", "truth"]

Floats = NDArray[np.float64]
LEARN, JUDGE = 0, 1
LEAST_PROBLEMS = 2  # of every task type in each half: fewer have no standard error


@dataclass(frozen=True)
class Baseline:
    """Production's current parameters, as decimal strings; of an axis not recorded, its one value."""

    temperature: str = "1.0"
    max_tokens: str = "4096"
    top_p: str = "1"
    frequency_penalty: str = "0"
    presence_penalty: str = "0"


@dataclass(frozen=True)
class Params:
    """A table of recorded outcomes, and how to read it.

    Attributes:
        path: CSV, also compressed, or Parquet; relative to where you stand.
        columns: which column holds what.
        where: column -> value or values to keep; all rows when empty.
        token_unit: how many recorded units of length make a token (4 where characters were counted).
        split_seed: which random half of the problems is learned on.
        skip_incomplete: leave out rows with an empty cell, and say how many, instead of refusing.
    """

    path: str
    columns: Columns
    name: str = "replay"
    where: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    baseline: Baseline = field(default_factory=Baseline)
    reward: RewardWeights = field(default_factory=RewardWeights)
    token_unit: float = field(default=1.0, metadata={"gt": 0.0, "le": 1e6, "unit": "recorded units per token"})
    split_seed: int = field(default=0, metadata={"ge": 0, "le": 2**31 - 1})
    skip_incomplete: bool = False


class Numbers(NamedTuple):
    """Leaves of a replay: n units, c recorded cells (unit, action) in order, r rows sorted by cell.

    The last row of `rows`, `means`, `begin` and `replicates` stands for all that was never recorded.
    """

    rows: Array  # (r + 1, 6) parts of each recorded outcome
    means: Array  # (c + 1, 6) their mean in each cell
    begin: Array  # (c + 1,) first row of each cell
    replicates: Array  # (c + 1,) rows of each cell
    cell: Array  # (n, actions) cell of each unit and action; c where never recorded
    reserved: Array  # (actions,) max_tokens / 4096
    features: Array  # (n, d)
    first: Array  # (tasks,) first unit of each task type
    count: Array  # (tasks,)
    half: Array  # (n,) 0: to learn on, 1: to judge on
    weights: Weights


class Halves(NamedTuple):
    """The same world on two disjoint sets of problems."""

    learn: Scenario
    judge: Scenario


class Truth(NamedTuple):
    """(tasks, actions) mean over a task type's units and its standard error; NaN where never recorded."""

    mean: Floats
    stderr: Floats


def _worth(params: Numbers, parts: Array, reserved: Array) -> tuple[Outcome, Array]:
    """Outcome and reward of parts (..., 6)."""
    outcome = Outcome._make([*(parts[..., i] for i in range(len(PARTS))), reserved])
    return outcome, reward(params.weights, outcome)


def _context(params: Numbers, _state: WorldState, task: Array, uniform: Array) -> Context:
    xp = namespace(params.rows)
    count = xp.astype(params.count[task], uniform.dtype)
    index = params.first[task] + xp.astype(xp.floor(uniform * count), xp.int32)
    return Context(index, task, params.features[index])


def _expected(params: Numbers, _state: WorldState, index: Array, ids: Array) -> tuple[Outcome, Array]:
    xp = namespace(params.rows)
    cell = xp.take(params.cell[index], ids, axis=0)
    return _worth(params, xp.take(params.means, cell, axis=0), xp.take(params.reserved, ids, axis=0))


def _draw(
    params: Numbers, _state: WorldState, index: Array, action_id: Array, *, noise: Noise
) -> tuple[Outcome, Array]:
    xp = namespace(params.rows)
    cell = params.cell[index, action_id]
    copies = xp.astype(params.replicates[cell], noise.uniform.dtype)
    row = params.begin[cell] + xp.astype(xp.floor(noise.uniform[3] * copies), xp.int32)
    return _worth(params, params.rows[row], params.reserved[action_id])


_WORLD = World(
    init=lambda _params: WorldState(np.int32(0)),
    context=_context,
    expected=_expected,
    outcome=_draw,
    advance=lambda _params, state: WorldState(state.rounds + np.int32(1)),
)


def _cells(record: Recording) -> tuple[NDArray[np.bool_], NDArray[np.int64], tuple[str, ...]]:
    """(tasks, actions) recorded, (kept rows,) in the order of units and actions, and what was left out.

    An action counts as recorded for a task type if every one of its problems has it.
    """
    has = np.zeros((len(record.task), record.lattice.size), np.bool_)
    has[record.unit, record.action] = True
    n_units = np.bincount(record.task)
    seen = np.add.reduceat(has.astype(np.int64), np.cumsum(n_units) - n_units, axis=0)
    recorded = seen == n_units[:, None]
    kept = np.flatnonzero(recorded[record.task[record.unit], record.action])
    order = kept[np.lexsort((record.action[kept], record.unit[kept]))]
    n_partial, n_left = int(np.sum((seen > 0) & ~recorded)), len(record.unit) - len(kept)
    note = f"{n_partial} pairs of task type and action lack some problems and count as never recorded ({n_left} rows)."
    return recorded, order, (note,) if n_partial else ()


def _summed(rows: Floats, replicates: NDArray[np.int64], has: NDArray[np.bool_]) -> dict[str, Array]:
    """The leaves made of rows sorted by cell, with the entry for what was never recorded."""
    begin = np.concatenate([[0], np.cumsum(replicates)])
    means = np.add.reduceat(rows, begin[:-1], axis=0) / replicates[:, None]
    never = np.full((1, len(PARTS)), np.nan)
    return {
        "rows": np.concatenate([rows, never]),
        "means": np.concatenate([means, never]),
        "begin": begin.astype(np.int32),
        "replicates": np.append(replicates, 0).astype(np.int32),
        "cell": np.where(has, np.cumsum(has).reshape(has.shape) - 1, len(replicates)).astype(np.int32),
    }


def _half(task: NDArray[np.int32], cluster: NDArray[np.int32], seed: int) -> NDArray[np.int32]:
    """(n,) which half a unit's problem fell into.

    Whole problems, the same half in every task type, drawn within each group of problems that
    stand in the same task types, so that the halves of every task type differ by few problems.
    """
    stands = np.zeros((int(cluster.max()) + 1, int(task.max()) + 1), np.bool_)
    stands[cluster, task] = True
    _, group = np.unique(stands, axis=0, return_inverse=True)
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 0], np.uint64)))
    shuffled = rng.permutation(len(stands))
    ranked = shuffled[np.argsort(group.reshape(-1)[shuffled], kind="stable")]
    half = np.empty(len(stands), np.int32)
    half[ranked] = np.arange(len(stands)) % 2
    return half[cluster]


def _reward_range(params: Params, numbers: Numbers) -> tuple[float, float]:
    """Bounds of every reward that can be drawn: quality lies in [0, 1], penalties reach the largest recorded."""
    worth, top = params.reward, dict(zip(PARTS, numbers.rows[:-1].max(axis=0).tolist(), strict=True))
    worst = worth.cost * top["cost_usd"] + worth.latency * top["latency_ms"] / 1000.0
    worst += worth.tokens * top["output_tokens"] / 1000.0 + worth.failure * top["failure"]
    return 0.0 - (worst + worth.reservation * float(numbers.reserved.max())), worth.quality


def _check(params: Params, drift_params: DriftParams) -> None:
    """Refuse what a record cannot answer."""
    if drift_params.onset < NEVER:
        raise refuse("drift.onset", drift_params.onset, "drift=none: recorded outcomes do not drift")
    needs = {"cost": "cost_usd", "latency": "latency_ms", "tokens": "output_tokens", "failure": "failure"}
    for weight, column in needs.items():
        got = getattr(params.reward, weight)
        if got and getattr(params.columns, column) is None:
            raise refuse(f"world.reward.{weight}", got, f"0, or a column: set world.columns.{column}=NAME")


def _home(params: Params, record: Recording, recorded: NDArray[np.bool_]) -> int:
    """The baseline's action id: on the grid, and recorded for every task type."""
    named: Mapping[str, str] = {a.name: getattr(params.baseline, a.name) for a in record.lattice.axes}
    try:
        home = record.lattice.action_id(named)
    except ValueError as error:
        raise refuse("world.baseline", dict(named), f"recorded parameters ({error})") from error
    lacking = [name for name, seen in zip(record.names, recorded[:, home], strict=True) if not seen]
    if lacking:
        common = [str(record.lattice.parameters(int(a))) for a in np.flatnonzero(recorded.all(axis=0))[:8]]
        need = f"parameters recorded for every problem of every task type, task type {lacking[0]!r} lacks them; "
        offer = f"those recorded for all: {', '.join(common) or 'none'}; or narrow world.where"
        raise refuse("world.baseline", dict(named), need + offer)
    return home


def _population(record: Recording) -> Population:
    share = np.full(len(record.names), 1.0 / len(record.names))
    features = np.stack([encode(task, record.spec) for task in record.tasks])
    return Population(record.tasks, record.task, features, record.cluster, record.names, share, record.spec)


def _numbers(params: Params, record: Recording, *, recorded: NDArray[np.bool_], order: NDArray[np.int64]) -> Numbers:
    population, size = _population(record), record.lattice.size
    key = record.unit[order] * size + record.action[order]
    replicates = np.unique(key, return_counts=True)[1]
    tokens = [record.lattice.parameters(action)["max_tokens"] for action in range(size)]
    return Numbers(
        **_summed(record.parts[order], replicates, recorded[record.task]),
        reserved=np.array(tokens) / 4096.0,
        features=population.features,
        first=population.first,
        count=population.count,
        half=_half(record.task, record.cluster, params.split_seed),
        weights=weights(params.reward),
    )


def _check_halves(params: Params, record: Recording, half: NDArray[np.int32]) -> None:
    """Each half needs two problems of every task type, or no standard error exists."""
    for i, name in enumerate(record.names):
        sizes = np.bincount(half[record.task == i], minlength=2)
        if sizes.min() < LEAST_PROBLEMS:
            need = f"at least {LEAST_PROBLEMS} problems of every task type in each half; {name!r} has {sizes[LEARN]} "
            raise refuse("world.path", params.path, need + f"to learn on and {sizes[JUDGE]} to judge on")


def build(params: Params, *, drift_params: DriftParams) -> Scenario:
    """The scenario of a recorded table, all its problems together; `split` makes the halves.

    Raises:
        ConfigError: a table, column, cell, baseline or weight that cannot be used (one line each).
    """
    _check(params, drift_params)
    absent = {item.name: getattr(params.baseline, item.name) for item in fields(Baseline)}
    source = Source(params.path, params.columns, params.where, absent, params.token_unit, params.skip_incomplete)
    record = read_recording(source)
    recorded, order, left_out = _cells(record)
    home = _home(params, record, recorded)
    numbers = _numbers(params, record, recorded=recorded, order=order)
    _check_halves(params, record, numbers.half)
    copies = numbers.replicates[:-1]
    notes = (
        f"{len(record.task)} units (a problem within a task type) in {len(record.names)} task types, "
        f"{int(recorded.sum())} recorded pairs of task type and action, {copies.min()} to {copies.max()} answers each.",
        "The truth is an average over the recorded answers, with a standard error clustered by problem.",
    )
    return Scenario(
        name=params.name,
        world=_WORLD,
        params=numbers,
        lattice=record.lattice,
        population=_population(record),
        baseline=np.full(len(record.names), home, np.int32),
        recorded=recorded,
        reward_range=_reward_range(params, numbers),
        is_exact=False,
        notes=(*record.notes, *left_out, *notes),
    )


def _part(scenario: Scenario, half: int) -> Scenario:
    """The units of one half, with their cells and rows."""
    old: Numbers = scenario.params
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
    numbers = old._replace(
        **_summed(rows, old.replicates[used].astype(np.int64), has),
        features=population.features,
        first=population.first,
        count=population.count,
        half=old.half[units],
    )
    name, purpose = (("learn", "learned"), ("judge", "judged"))[half]
    note = f"This half, on which is {purpose}: {len(units)} units, {len(np.unique(population.cluster))} problems."
    notes = (*scenario.notes, note)
    return replace(scenario, name=f"{scenario.name}/{name}", params=numbers, population=population, notes=notes)


def split(scenario: Scenario) -> Halves:
    """Disjoint random halves of the problems: one to learn on, one to judge on.

    Both halves offer the same actions: those recorded for every problem of a task type.

    Raises:
        ValueError: the scenario is one half already.
    """
    if len(np.unique(scenario.params.half)) < 2:
        raise ValueError(f"world {scenario.name!r} is one half already, need the scenario that `build` returned")
    return Halves(_part(scenario, LEARN), _part(scenario, JUDGE))


def _clustered(scenario: Scenario, values: Floats) -> Truth:
    """Mean of values (n, actions) over each task type's units, standard errors clustered by problem."""
    means, errors = [], []
    for task in range(len(scenario.population.names)):
        rows = scenario.population.task == task
        held, (groups, of) = values[rows], np.unique(scenario.population.cluster[rows], return_inverse=True)
        mean, n_groups = held.mean(axis=0), len(groups)
        sums = np.zeros((n_groups, held.shape[1]))
        np.add.at(sums, of.reshape(-1), held - mean)
        scale = n_groups / (n_groups - 1) if n_groups > 1 else np.nan
        means.append(mean)
        errors.append(np.sqrt(scale * np.sum(sums**2, axis=0)) / len(held))
    return Truth(np.stack(means), np.stack(errors))


def truth(scenario: Scenario) -> Truth:
    """Value of every action per task type, and how far to trust it; NaN where never recorded."""
    return _clustered(scenario, scenario.table())


def gain(scenario: Scenario) -> Truth:
    """As `truth`, of each action minus the baseline, paired by problem."""
    table, home = scenario.table(), scenario.baseline[scenario.population.task]
    return _clustered(scenario, table - table[np.arange(len(table)), home][:, None])
