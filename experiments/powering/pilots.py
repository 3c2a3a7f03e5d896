"""A pilot log as a power question: its contexts, its windows, and a reward model in the place of the truth.

The logger's distribution is known whole in every row, so under another floor it is known exactly too; the
pilot's residuals give the level of the noise, as the gate's own model variance does. What the pilot cannot
say is whether its model is right: the check draws rewards from that model, and so checks the
approximation and not the model. Rows are taken as independent, whatever problems they share.
Source: `evaluators.adjusting.model_variance`; the change of floor is ours.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.targets import refuse
from evaluators.estimation import finish_as
from evaluators.gates import Params as GateParams
from evaluators.gates import certified, difference_sums
from evaluators.intervals import t
from evaluators.reading import model
from evaluators.reading.batches import Batch
from evaluators.reading.mapped import Columns
from evaluators.reading.passes import chosen, survey, usable
from evaluators.rows import Bools, Floats, Ints, RewardRange, Rows
from evaluators.scores import basis_of, importance
from evaluators.scores import spread as possible
from evaluators.sums import Weights, weight_columns, weight_sums
from experiments.evaluating.formats import format_of, open_reader
from experiments.evaluating.scoring import Asked, fit, rows_of
from experiments.evaluating.targets import logger_target
from experiments.powering.contests import Contest, Loss, explored
from experiments.powering.predicting import Design, Spread

__all__ = ["REJECTED", "Pilot", "approvals", "design_of", "loss_of", "open_pilot"]

REJECTED = "rejected.csv"
MOST_ROWS = 20_000  # of the pilot whose contexts stand for traffic; the model learns from all
MOST_REJECTED = 0.01  # share of rows
BLOCK = 2**18  # decisions simulated at once
GRAIN = 2**20  # steps of a uniform, as a logger draws it


class Pilot(NamedTuple):
    """A log whose contexts are the population, without a candidate."""

    contest: Contest  # value: what the model says
    logger: Floats  # (m, k) who wrote it
    slot: Ints  # (m,)
    reward: Floats  # (m,)

    @property
    def floor(self) -> float:
        """Largest share of uniform exploration that the logger had in every row."""
        return float(_floor(self.logger, self.contest.feasible).min())


def open_pilot(file: Path, listing: Path, *, declared: tuple[float, float] | None) -> Pilot:
    """Read a pilot, our own decision log, and fit a reward model to it.

    Args:
        file: the log.
        listing: where rows that cannot be used are listed.
        declared: smallest and largest possible reward.

    Raises:
        ConfigError: another format, no declared range, a window without its centre, or actions never taken.
        ValueError: the log cannot be read, or too many of its rows cannot be used.
    """
    if declared is None or not declared[0] < declared[1]:
        got = "rewards without a declared range" if declared is None else list(declared)
        raise refuse("experiment.reward_range", got, "[smallest, largest] possible reward: the gate's bound needs it")
    kind = format_of(file, "auto", Columns())
    if kind != "own":
        raise refuse("data", str(file), f"our own decision log, which holds every window; this reads as {kind}")
    reader = open_reader(file, kind, columns=Columns(), target="")
    found = survey(reader, listing, most=MOST_REJECTED, reward_range=RewardRange(*declared))
    asked = Asked(logger_target(), {}, {}, found, fit(reader, found, model.Params()))
    cut = _first(usable(reader, found), MOST_ROWS)
    tables = [_tables(batch, rows_of(batch, asked)) for batch in cut]
    feasible, logger, baseline, value, slot, reward = map(np.concatenate, zip(*tables, strict=True))
    share = np.full(slot.size, 1 / slot.size)
    contest = Contest(share, feasible, logger, baseline, baseline, value, RewardRange(*declared))
    return Pilot(contest._replace(shape=_shape(logger, contest)), logger, slot, reward)


def _first(batches: Iterator[Batch], most: int) -> Iterator[Batch]:
    """The first rows of a log."""
    left = most
    for batch in batches:
        yield chosen(batch, np.arange(min(batch.row.size, left)))
        left -= batch.row.size
        if left <= 0:
            return


class _Tables(NamedTuple):
    feasible: Bools
    logger: Floats
    baseline: Floats
    value: Floats
    slot: Ints
    reward: Floats


def _tables(batch: Batch, rows: Rows) -> _Tables:
    assert batch.mask is not None and batch.windows is not None and rows.predicted is not None
    is_home = (batch.windows.action_ids == batch.windows.centre[:, None]) & batch.mask
    lost = np.flatnonzero(~is_home.any(axis=1))
    if lost.size:
        need = f"windows whose centre is feasible: it is the baseline ({lost.size} of {len(is_home)} rows)"
        raise refuse("data", f"row {batch.row[lost[0]]}", need)
    baseline = np.zeros(rows.behavior.shape)
    baseline[np.arange(len(baseline)), is_home.argmax(axis=1)] = 1.0
    never = np.flatnonzero((batch.mask & (rows.behavior == 0)).any(axis=1))
    if never.size:
        need = f"a logger that takes every feasible action sometimes ({never.size} of {len(is_home)} rows)"
        raise refuse("data", f"row {batch.row[never[0]]}", f"{need}: nobody can judge a candidate where it never goes")
    value = np.where(batch.mask, rows.predicted, 0.0)
    return _Tables(batch.mask, rows.behavior, baseline, value, rows.slot, rows.reward)


def _floor(logger: Floats, feasible: Bools) -> Floats:
    """(m,) share of uniform exploration: so much every feasible slot has at least."""
    return np.asarray(np.where(feasible, logger, np.inf).min(axis=1) * feasible.sum(axis=1))


def _shape(logger: Floats, contest: Contest) -> Floats:
    """The logger without its floor; the baseline where it was nothing but floor."""
    floor = _floor(logger, contest.feasible)[:, None]
    even = contest.feasible / contest.feasible.sum(axis=1, keepdims=True)
    rest = np.maximum(logger - floor * even, 0.0)
    total = rest.sum(axis=1, keepdims=True)
    return np.where(total > 1e-9, rest / np.maximum(total, 1e-9), contest.baseline)


def design_of(pilot: Pilot, contest: Contest, floor: float) -> Design:
    """The contest under the pilot's logger with another floor; a decision's spread does not depend on the log size.

    Args:
        pilot: whose logger and residuals.
        contest: with a candidate.
        floor: share of uniform exploration.
    """
    behavior = explored(contest, floor)
    part = np.vecdot(contest.contrast, contest.value)
    between = float(contest.share @ (part - contest.share @ part) ** 2)
    square = np.divide(contest.contrast**2, behavior, out=np.zeros_like(behavior), where=behavior > 0)
    shape = possible(contest.value, contest.reward_range)
    found = between + _level(pilot, contest) * float(contest.share @ np.vecdot(square, shape))
    return Design(contest, floor, behavior, lambda _: Spread(found, found))


def _level(pilot: Pilot, contest: Contest) -> float:
    """Kappa: the residual variance the pilot saw over the most there could be, weighed as the contrast will be."""
    cell = np.arange(pilot.slot.size), pilot.slot
    size = np.abs(importance(contest.contrast, pilot.logger)[cell])
    seen = size @ (pilot.reward - contest.value[cell]) ** 2
    possible_there = size @ possible(contest.value, contest.reward_range)[cell]
    return float(seen / possible_there) if possible_there > 0 else 1.0


def loss_of(pilot: Pilot, design: Design) -> Loss:
    """What a decision of the design's logger costs, by doubly robust scores on the pilot."""
    contest = design.contest
    rows = Rows(
        pilot.reward,
        pilot.slot,
        pilot.logger,
        target=design.behavior,
        predicted=np.clip(contest.value, *contest.reward_range),
        reward_range=contest.reward_range,
    )
    found = finish_as(t.Params(), difference_sums(t.Params(), rows, target=contest.baseline), confidence=0.95)
    return Loss(found.value, found.stderr)


def approvals(pilot: Pilot, params: GateParams, design: Design, *, n: int, n_logs: int, first: int) -> Iterator[bool]:
    """What the gate would say of the design's target on simulated logs, were the pilot's model the truth.

    Args:
        pilot: whose noise.
        params: the gate's numbers.
        design: logger and candidate.
        n: decisions of a log.
        n_logs: logs.
        first: seed.
    """
    rng = np.random.Generator(np.random.Philox(key=np.array([first, n], np.uint64)))
    level = _level(pilot, design.contest)
    per_block = max(BLOCK // n, 1)
    blocks = (min(per_block, n_logs - begin) for begin in range(0, n_logs, per_block))
    said = (one for count in blocks for one in _judged(params, design, _drawn(rng, design, level, count * n), count))
    is_sure = certified(params, n).holds
    yield from (one and is_sure for one in said)


def _judged(params: GateParams, design: Design, rows: Rows, n_logs: int) -> list[bool]:
    added = difference_sums(params.interval, rows, target=design.contest.target, n_logs=n_logs)
    bound = finish_as(params.interval, added, confidence=1 - 2 * params.alpha / params.max_judged)
    baseline = weight_sums(weight_columns(rows, basis_of(rows)), n_logs=n_logs)
    is_fine = _supported(params, added.weights) & _supported(params, baseline) & (np.asarray(bound.stderr) > 0)
    return list((is_fine & (np.asarray(bound.lo) >= 0)).tolist())


def _supported(params: GateParams, weights: Weights) -> Bools:
    """(logs,) `evaluators.support`'s rule on many logs at once."""
    missing = 1 - np.asarray(weights.mass) / weights.n
    is_light = np.asarray(weights.largest) <= params.max_weight_share * weights.n
    return np.asarray((weights.ess() >= params.min_ess) & is_light & (missing <= params.max_unsupported + 1e-9))


def _drawn(rng: np.random.Generator, design: Design, level: float, n: int) -> Rows:
    """Rows whose reward is the model's mean, or by chance one of the range's ends, so that its variance is right."""
    contest, behavior = design.contest, design.behavior
    (m, k), (lo, hi) = behavior.shape, contest.reward_range
    row = rng.choice(m, size=n, p=contest.share)
    cumulative = behavior.cumsum(axis=1)
    cumulative[cumulative > 1 - 1e-12] = 1.0
    flat = (cumulative + np.arange(m)[:, None]).reshape(-1)
    slot = np.searchsorted(flat, row + rng.integers(GRAIN, size=n) / GRAIN, side="right") - row * k
    mean = contest.value[row, slot]
    most = (mean - lo) * (hi - mean)
    wanted = level * possible(mean, contest.reward_range)
    is_end = rng.random(n) * np.maximum(most, 1e-300) < wanted
    end = np.where(rng.random(n) * (hi - lo) < mean - lo, hi, lo)
    return Rows(
        reward=np.where(is_end, end, mean),
        slot=slot,
        behavior=behavior,
        target=contest.baseline,
        predicted=np.clip(contest.value, lo, hi),
        reward_range=contest.reward_range,
        row=row,
    )
