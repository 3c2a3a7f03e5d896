"""The flagship beside every other policy: on the same worlds, seeds and noise, by deployed value alone.

A task is a task type of a world. Simple regrets that differ by less than 1e-5 of the reward range
are a tie, as everywhere.
Source: Agarwal et al. (2021), as `evaluators.aggregates`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluators.aggregates import improvement_interval, interquartile_mean, run_profile
from evaluators.resampling import Interval, Statistic, Tasks, stratified
from experiments.converging.running import Run
from experiments.converging.scoring import inside, inside_for_good, lost, simple_regret
from experiments.converging.surfaces import Surface

__all__ = ["Player", "Table", "ahead", "curve", "middle", "players", "profile", "settled", "THRESHOLDS"]

Floats = NDArray[np.float64]
Surfaces = Mapping[tuple[str, str], Surface]
TIE_DIGITS = 5  # of simple regret as a share of the reward range
THRESHOLDS = np.linspace(0.0, 4.0, 41)  # simple regret, in tolerances
REPLICATIONS = 1000


class Player(NamedTuple):
    """A policy under a rule, with its runs on every task, in one order of tasks."""

    policy: str
    rule: str
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """For tables and pictures."""
        return f"{self.policy} ({self.rule})"


class Table(NamedTuple):
    """What is compared, and on which surfaces."""

    players: tuple[Player, ...]
    surfaces: Surfaces
    seed: int  # of the bootstrap


def players(runs: Sequence[Run], tasks: Sequence[tuple[str, str]]) -> tuple[Player, ...]:
    """Policies that ran on all of the tasks, in order of appearance; others are left out."""
    found: dict[tuple[str, str], dict[tuple[str, str], Run]] = {}
    for run in runs:
        found.setdefault((run.policy, run.rule), {})[run.key] = run
    return tuple(
        Player(policy, rule, tuple(mine[task] for task in tasks))
        for (policy, rule), mine in found.items()
        if all(task in mine for task in tasks)
    )


def _regrets(table: Table, player: Player, *, by: int) -> list[Floats]:
    """Per task (s,) simple regret as a share of the reward range, ties equal."""
    found = []
    for run in player.runs:
        surface = table.surfaces[run.key]
        found.append(np.round(simple_regret(run, surface, by=(by,))[:, 0] / surface.span, TIE_DIGITS))
    return found


def ahead(table: Table, mine: Player, theirs: Player, *, by: int) -> Interval:
    """Probability that a run of `mine` deploys more than one of `theirs` at an evaluation; ties count a half."""
    x, y = ([-regret for regret in _regrets(table, one, by=by)] for one in (mine, theirs))
    return improvement_interval(np.random.default_rng(table.seed), x, y=y, replications=REPLICATIONS)


def _worth(table: Table, player: Player, *, by: int) -> list[Floats]:
    """Per task (s,) deployed value between the worst (0) and the best (1)."""
    found = []
    for run in player.runs:
        surface = table.surfaces[run.key]
        at = surface.stretch(run.centre.shape[1])[by - 1]
        width = surface.best[at] - surface.worst[at]
        found.append(1.0 - simple_regret(run, surface, by=(by,))[:, 0] / width)
    return found


def _drawn(table: Table, scores: list[Floats], statistic: Statistic) -> Interval:
    return stratified(np.random.default_rng(table.seed), scores, statistic=statistic, replications=REPLICATIONS)


def middle(table: Table, player: Player, *, by: int) -> Interval:
    """Interquartile mean of the deployed value between the worst (0) and the best (1) action."""
    return _drawn(table, _worth(table, player, by=by), interquartile_mean)


def profile(table: Table, player: Player, *, by: int) -> Interval:
    """Share of runs with at most each of `THRESHOLDS` tolerances of simple regret, averaged over tasks."""
    scores = []
    for run in player.runs:
        surface = table.surfaces[run.key]
        at = surface.stretch(run.centre.shape[1])[by - 1]
        width = np.where(surface.inside[at], surface.best[at] - surface.values[at], 0.0).max()
        scores.append(-simple_regret(run, surface, by=(by,))[:, 0] / width)
    return _drawn(table, scores, run_profile(-THRESHOLDS - 1e-9))


def _over_tasks(table: Table, player: Player, of: Callable[[Run, Surface], Floats]) -> Interval:
    """(T,) mean over tasks of the mean over runs, with its 95 % interval from the runs' scatter."""
    held: Tasks = tuple(of(run, table.surfaces[run.key]) for run in player.runs)
    value = np.mean([one.mean(axis=0) for one in held], axis=0)
    errors = [one.var(axis=0, ddof=1) / len(one) if len(one) > 1 else np.full(len(value), np.nan) for one in held]
    reach = 1.96 * np.sqrt(np.sum(errors, axis=0)) / len(held)
    return Interval(value, value - reach, value + reach)


def curve(table: Table, player: Player) -> Interval:
    """(T,) cumulative regret by evaluation, reward units: mean over tasks and runs."""
    return _over_tasks(table, player, lambda run, surface: np.cumsum(lost(run, surface), axis=1))


def settled(table: Table, player: Player) -> Interval:
    """(T,) share of runs within tolerance from there on, by evaluation: mean over tasks."""
    found = _over_tasks(
        table, player, lambda run, surface: inside_for_good(inside(run, surface)).astype(np.float64)
    )  # fmt: skip
    return Interval(found.value, np.clip(found.lo, 0.0, 1.0), np.clip(found.hi, 0.0, 1.0))
