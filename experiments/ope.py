"""Off-policy evaluation against the exact value: what an estimator said, and what was true.

Many logs of one frozen behavior policy are judged by every estimator; bias, RMSE and
coverage come with their Monte Carlo standard errors.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.randomness import Purpose
from envs.world import Scenario
from evaluators.coordinates import lattice_points
from evaluators.estimation import Estimator, finish, summarise
from evaluators.reward_model import Model, Sample, fit_tables, make_folds, with_model
from evaluators.reward_model import Params as ModelParams
from evaluators.rows import Estimate, RewardRange, Rows
from experiments.frozen import LOG_ROWS, Frozen, LogRows, draw_log
from experiments.measurement import Measurement
from policies.base import Spec
from policies.features import phi

__all__ = ["Judged", "LogPlan", "design_of", "judge_logs", "measure_ope", "rows_of", "value_of"]

Floats = NDArray[np.float64]


class Judged(NamedTuple):
    """One estimator on many logs of n rows; (m,) arrays over logs."""

    estimator: str
    n: int
    value: Floats
    stderr: Floats
    lo: Floats
    hi: Floats
    ess: Floats
    truth: float

    @property
    def bias(self) -> tuple[float, float]:
        """Mean error and its Monte Carlo standard error."""
        error = self.value - self.truth
        return float(error.mean()), float(error.std(ddof=1) / np.sqrt(len(error)))

    @property
    def rmse(self) -> float:
        """Root mean squared error."""
        return float(np.sqrt(np.mean((self.value - self.truth) ** 2)))

    @property
    def coverage(self) -> tuple[float, float]:
        """Share of intervals that hold the truth, and its Monte Carlo standard error."""
        inside = float(np.mean((self.lo <= self.truth) & (self.truth <= self.hi)))
        return inside, float(np.sqrt(max(inside * (1 - inside), 1.0 / len(self.lo)) / len(self.lo)))


def value_of(scenario: Scenario, table: Floats, frozen: Frozen) -> float:
    """Exact value of a frozen policy: sum over tasks and slots.

    Args:
        scenario: the world.
        table: (n, actions) its expected rewards.
        frozen: the policy.
    """
    rewards = np.take_along_axis(table, frozen.windows.action_ids, axis=1)
    rewards = np.where(frozen.masses > 0, rewards, 0.0)  # what was never recorded has no reward, and no mass
    return float(scenario.weights() @ (frozen.probs * rewards).sum(axis=1))


def design_of(spec: Spec, scenario: Scenario, frozen: Frozen) -> Floats:
    """(n, k, p) features of every slot of every task's window, for the reward model."""
    people, ids = scenario.population, frozen.windows.action_ids
    rows = range(len(people.tasks))
    return np.stack([phi(spec, people.features[i], people.task[i], ids[i]) for i in rows])


def rows_of(rows: LogRows, behavior: Frozen, target: Frozen, *, scenario: Scenario) -> Rows:
    """A log as an estimator reads it, as tables over the population; clustered by problem where it was recorded."""
    return Rows(
        reward=rows.reward,
        slot=np.asarray(rows.slot, np.int64),
        behavior=behavior.probs,
        target=target.probs,
        cluster=_cluster(rows, scenario),
        reward_range=_declared(scenario),
        row=np.asarray(rows.index, np.int64),
        action_ids=np.asarray(behavior.windows.action_ids, np.int64),
        points=lattice_points(scenario.lattice),
    )


def _cluster(rows: LogRows, scenario: Scenario) -> NDArray[np.int64] | None:
    return None if scenario.is_exact else scenario.population.cluster[rows.index].astype(np.int64)


def _declared(scenario: Scenario) -> RewardRange | None:
    return None if scenario.reward_range is None else RewardRange(*scenario.reward_range)


def predict(rows: Rows, design: Floats, *, model: Model, seed: int) -> Rows:
    """The same rows beside cross-fitted predictions, inside the declared range.

    Args:
        rows: from `rows_of`.
        design: (m, k, p) features of every slot of every task's window.
        model: which reward model.
        seed: of the deal into folds.
    """
    assert rows.row is not None
    n = rows.row.size
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, n], np.uint64)))
    fold = make_folds(rng, n, n_folds=model.n_folds, cluster=rows.cluster)
    sample = Sample(
        rows.row,
        rows.slot,
        rows.reward,
        fold,
        behavior=rows.behavior,
        target=rows.target,
        reward_range=rows.reward_range,
    )
    return with_model(rows, fit_tables(model, design, sample), fold)


class LogPlan(NamedTuple):
    """Which logs to judge: `n_logs` of `n` rows, from seed `first` of a purpose on."""

    n: int
    n_logs: int
    master_seed: int
    purpose: Purpose
    first: int = 0
    model: Model = ModelParams()


class Source(Protocol):
    """Where logs are written: a world, its logger, the reward model's features."""

    @property
    def scenario(self) -> Scenario:
        """The world."""

    @property
    def behavior(self) -> Frozen:
        """Who writes the logs."""

    @property
    def design(self) -> Floats:
        """(n, k, p) features of every slot of every task's window."""


def judge_logs(
    here: Source,
    target: Frozen,
    *,
    estimators: Mapping[str, Estimator],
    plan: LogPlan,
    truth: float,
    progress: Callable[[int], None] | None = None,
) -> list[Judged]:
    """Every estimator on `plan.n_logs` logs of `plan.n` rows.

    Short logs are disjoint cuts of the program's fixed number of rows, so all are independent.
    """
    said: dict[str, list[Estimate]] = {name: [] for name in estimators}
    for number, log in enumerate(_logs(here, plan)):
        rows = rows_of(log, here.behavior, target, scenario=here.scenario)
        rows = predict(rows, here.design, model=plan.model, seed=number)
        added = summarise(estimators, rows)
        for name, params in estimators.items():
            said[name].append(finish(params, added[name]))
        if progress:
            progress(1)
    return [_collected(name, plan.n, found, truth) for name, found in said.items()]


def _logs(here: Source, plan: LogPlan) -> Iterator[LogRows]:
    """`plan.n_logs` independent logs of `plan.n` rows."""
    per_draw = LOG_ROWS // plan.n
    draw = partial(draw_log, here.scenario, here.behavior, master_seed=plan.master_seed, purpose=plan.purpose)
    for number in range(plan.n_logs):
        seed, cut = divmod(number, per_draw)
        if cut == 0:
            drawn = draw(seed=plan.first + seed)
        yield drawn.part(cut * plan.n, (cut + 1) * plan.n)


def _collected(name: str, n: int, found: list[Estimate], truth: float) -> Judged:
    columns = {c: np.array([getattr(e, c) for e in found]) for c in ("value", "stderr", "lo", "hi", "ess")}
    return Judged(name, n, truth=truth, **columns)


def measure_ope(world: str, target: str, judged: Judged) -> Iterator[Measurement]:
    """Bias, RMSE, coverage and the first log's estimate, as tidy measurements."""
    row = partial(
        Measurement, section="ope", world=world, policy=target, estimator=judged.estimator, n=judged.n
    )  # fmt: skip
    bias, bias_error = judged.bias
    coverage, coverage_error = judged.coverage
    yield row(measure="bias", value=bias, stderr=bias_error)
    yield row(measure="rmse", value=judged.rmse)
    yield row(measure="coverage", value=coverage, stderr=coverage_error)
    yield row(measure="width", value=float(np.mean(judged.hi - judged.lo)))
    yield row(measure="ess", value=float(np.mean(judged.ess)))
    yield row(measure="truth", value=judged.truth)
    one = (judged.value[0], judged.stderr[0], judged.lo[0], judged.hi[0])
    yield row(measure="value", value=one[0], stderr=one[1], lo=one[2], hi=one[3])
