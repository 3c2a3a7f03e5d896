"""Improvement claims: a lower bound, at every evaluation, on approved minus start, from the log alone.

The policy's informed belief moves the trust region; it never makes a claim. The sceptic knows no
surface model, no noise scale and no intention of the policy: it has the logged actions and rewards
of one task type, a smooth kernel over the lattice, and a prior that says "flat".

What is assumed: feedback does not drift; given the past and the action, a reward is its expectation
plus sub-Gaussian noise (tasks that differ are noise, so actions must not be picked by a context
that moves the reward). The noise scale is estimated from one-step-ahead errors, whose mean square
can't be below it, divided by a low quantile, and never less than that of the last 60 evaluations.

What is promised, for any way of choosing actions, approvals and the moment to look:
- `lower`: for the j-th point that a run approves, P(at some evaluation lower > truth) <= alpha over
  surfaces drawn from the prior, however the point was picked: under the posterior p of that moment
  the expectation of prior / p is 1, and from then on the ratio to later posteriors is a martingale.
  With `points` = m that holds for a run's first m approved points together. No surface that is the
  worst for the design is guarded against: a likelihood-ratio set with a norm bound wide enough for
  a cliff claimed in 8 of 2,000 runs of ten presets within 200 evaluations, this bound in 986.
- `evidence`: on every flat surface, P(at some evaluation evidence >= log(1 / alpha)) <= alpha, for
  sub-Gaussian noise no larger than estimated. It says that parameters matter, not which way.

Measured at alpha = 0.05 over whole runs of 220 evaluations, all approved points together. Flat,
4,800 runs that approve at random, by a posterior or greedily (up to 33 approvals): 14 claims with
points = 1, none with 8. Ten presets from two starts: lower > truth at some evaluation in at most
4 % of runs (random approvals on a plateau with a cliff) and 0.7 % on average; with points = 8, 1 %
and 0.07 %. A gain of 0.4 at noise 0.22 is claimed within 200 evaluations by 90 % of runs, of 0.3
by 61 %, of 0.2 by 20 %; with points = 8 by 70, 31 and 3 %.

Source: Waudby-Smith & Ramdas (2020), section 2 (prior-posterior ratio); Robbins (1970) and
Abbasi-Yadkori, Pal & Szepesvari (2011), Lemma 9 (mixtures and their determinants).
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtri

from evaluators.rows import Bools, Floats, Ints

FEWEST = 10  # rewards before any bound is given
RECENT = 60  # evaluations: the noise of now may exceed that of the start
BLOCK = 64  # runs at once: their covariances stay in the processor's cache
NOISE_QUANTILE = 0.1  # of chi-square: the noise variance is overstated nine times of ten


class Assumptions(NamedTuple):
    """What the sceptic takes for granted; scales are in noise standard deviations."""

    alpha: float = 0.05  # error level
    signal: float = 1.0  # prior SD of the surface about its level
    level: float = 10.0  # prior SD of the level itself
    points: int = 1  # approved points, the first of a run, that share the error level


class RunLog(NamedTuple):
    """What the sceptic reads of s runs of n evaluations, (s, n) each."""

    action: Ints  # ids
    reward: Floats  # NaN where nothing usable arrived
    task: Ints  # task type
    approved: Ints  # id approved for that task type before the evaluation


class Bounds(NamedTuple):
    """What is known after each evaluation, about its own task type, (s, n) each."""

    lower: Floats  # of approved - start, reward units; -inf where nothing can be said yet
    evidence: Floats  # log e-value against "no parameter matters"


class _Belief(NamedTuple):
    """Ridge regression of s runs: noise-free covariance (s, D, D) and mean (s, D)."""

    covariance: Floats
    mean: Floats


class _Tally(NamedTuple):
    """Running sums per run, (s,) each; all but `seen` and `total` skip a run's first reward."""

    seen: Floats
    total: Floats  # of rewards
    reward: Floats
    square: Floats
    plain: Floats  # squared one-step-ahead errors of the running mean
    error: Floats  # the same of the regression
    scaled: Floats  # the same over their predictive variance (in noise variances)
    log_det: Floats  # sum of the logarithms of those variances


def lower_bounds(
    features: Floats, log: RunLog, *, start: ArrayLike, n_tasks: int, assumptions: Assumptions | None = None
) -> Bounds:
    """Anytime lower bounds on the gain of what is approved, each task type from its own rewards alone.

    Args:
        features: (actions, D), as `kernel_features` makes them.
        log: the runs.
        start: ids approved at the outset, (tasks,) or (s, tasks).
        n_tasks: task types.
        assumptions: error level and prior scales; the defaults where left out.

    Raises:
        ValueError: logs of unequal shapes, ids or task types out of range, or assumptions out of range.
    """
    held = Assumptions() if assumptions is None else assumptions
    starts = np.broadcast_to(np.asarray(start, dtype=np.int64), (log.task.shape[0], n_tasks))
    _check(features, log, starts=starts, held=held)
    design = np.column_stack([np.ones(len(features)), features])
    lower, evidence = np.full(log.reward.shape, -np.inf), np.zeros(log.reward.shape)
    for task, first in product(range(n_tasks), range(0, len(starts), BLOCK)):
        rows = slice(first, first + BLOCK)
        real, column = _own_first(log.task[rows] == task)
        if not column.size:
            continue
        part = _taken(log, rows, column=column)
        found = _one_type(design, part, start=starts[rows, task], held=held)
        run, place = np.nonzero(real)
        lower[rows][run, column[real]] = found.lower[run, place]
        evidence[rows][run, column[real]] = found.evidence[run, place]
    return Bounds(lower, evidence)


def first_claims(lower: Floats, task: Ints, *, n_tasks: int) -> Ints:
    """The evaluation of its task type, from 1, at which a run first claims an improvement: lower > 0.

    Args:
        lower: (s, n) of `lower_bounds`.
        task: (s, n) task type of each evaluation.
        n_tasks: task types.

    Returns:
        (s, tasks); 0 where it never does.

    >>> first_claims(np.array([[-1.0, 0.2, 0.3]]), np.array([[0, 1, 0]]), n_tasks=2).tolist()
    [[2, 1]]
    """
    found = np.zeros((lower.shape[0], n_tasks), dtype=np.int64)
    for k in range(n_tasks):
        claim = (task == k) & (lower > 0)
        at = np.take_along_axis(np.cumsum(task == k, axis=1), claim.argmax(axis=1)[:, None], axis=1)[:, 0]
        found[:, k] = np.where(claim.any(axis=1), at, 0)
    return found


def _own_first(mine: Bools) -> tuple[Bools, Ints]:
    """Columns of each run's own evaluations in order, (s, m), and where they are real; the tail is padding."""
    n_own = mine.sum(axis=1)
    column = np.argsort(~mine, axis=1, kind="stable")[:, : int(n_own.max(initial=0))]
    return np.arange(column.shape[1]) < n_own[:, None], column


def _taken(log: RunLog, rows: slice, *, column: Ints) -> RunLog:
    """The evaluations named, of some runs."""
    action, task, approved = (
        np.take_along_axis(ids[rows], column, axis=1) for ids in (log.action, log.task, log.approved)
    )
    return RunLog(action, np.take_along_axis(log.reward[rows], column, axis=1), task, approved)


def _one_type(design: Floats, log: RunLog, *, start: Ints, held: Assumptions) -> Bounds:
    """Bounds of s runs that hold one task type alone."""
    n_runs, n_steps = log.reward.shape
    prior = np.r_[held.level**2, np.full(design.shape[1] - 1, held.signal**2)]
    belief = _Belief(np.tile(np.diag(prior), (n_runs, 1, 1)), np.zeros((n_runs, prior.size)))
    tally = _Tally(*np.zeros((len(_Tally._fields), n_runs)))
    lower, evidence = np.empty((n_steps, n_runs)), np.empty((n_steps, n_runs))
    recent, counted = np.zeros((n_steps, n_runs)), np.zeros((n_steps, n_runs))
    for t in range(n_steps):
        seen = np.isfinite(log.reward[:, t])
        later = seen & (tally.seen > 0)
        belief, tally, recent[t] = _learn(
            belief, tally, phi=design[log.action[:, t]] * seen[:, None], reward=np.where(seen, log.reward[:, t], 0.0)
        )
        counted[t] = later
        window = slice(max(0, t + 1 - RECENT), t + 1)
        noise = _noise_variance(tally, recent=recent[window].sum(axis=0), counted=counted[window].sum(axis=0))
        contrast = design[log.approved[:, t]] - design[start]
        lower[t] = np.where(
            tally.seen > FEWEST, _lowest(belief, contrast, prior=prior, noise=noise, held=held), -np.inf
        )
        evidence[t] = np.where(tally.seen > FEWEST, _against_flat(tally, noise), 0.0)
    return Bounds(lower.T, evidence.T)


def _learn(belief: _Belief, tally: _Tally, *, phi: Floats, reward: Floats) -> tuple[_Belief, _Tally, Floats]:
    """One reward per run; a row of zeros in `phi` teaches nothing. Also the scaled squared error, (s,)."""
    gain = (belief.covariance @ phi[:, :, None])[:, :, 0]
    spread = 1.0 + (gain * phi).sum(axis=1)
    error = reward - (phi * belief.mean).sum(axis=1)
    seen = phi[:, 0]
    later = seen * (tally.seen > 0)
    scaled = later * error**2 / spread
    step = gain / spread[:, None]
    grown = (
        seen,
        seen * reward,
        later * reward,
        later * reward**2,
        later * (reward - tally.total / np.maximum(tally.seen, 1.0)) ** 2,
        later * error**2,
        scaled,
        later * np.log(spread),
    )
    learned = _Belief(
        belief.covariance - gain[:, :, None] * step[:, None, :], belief.mean + step * (seen * error)[:, None]
    )
    return learned, _Tally(*(old + new for old, new in zip(tally, grown, strict=True))), scaled


def _noise_variance(tally: _Tally, *, recent: Floats, counted: Floats) -> Floats:
    """(s,) an overstated noise variance, squared reward units."""
    n = np.maximum(tally.seen - 1, 1.0)
    whole = np.minimum(tally.plain, tally.error) / chdtri(n, 1 - NOISE_QUANTILE)
    lately = np.where(counted < n, recent / np.maximum(counted, 1.0), 0.0)
    return np.asarray(np.maximum(np.maximum(whole, lately), 1e-12))


def _lowest(belief: _Belief, contrast: Floats, *, prior: Floats, noise: Floats, held: Assumptions) -> Floats:
    """(s,) lower end of {x: prior(x) / posterior(x) < points / alpha} for the contrast; 0 for the start itself."""
    before = (contrast**2 @ prior) * noise
    moved = before > 0
    after = np.einsum("sd,sd->s", contrast, (belief.covariance @ contrast[:, :, None])[:, :, 0]) * noise
    before, after = np.where(moved, before, 1.0), np.where(moved, np.maximum(after, 1e-15), 0.5)
    mean = (contrast * belief.mean).sum(axis=1)
    # (x - mean)^2 / after - x^2 / before = price is a x^2 - 2 b x + c = 0
    price = 2 * np.log(held.points / held.alpha) + np.log(before / after)
    a, b = 1 / after - 1 / before, mean / after
    root = np.sqrt(mean**2 / (after * before) + np.maximum(a, 0.0) * price)
    known = a > 1e-9 / before
    return np.asarray(np.where(moved, np.where(known, (b - root) / np.where(known, a, 1.0), -np.inf), 0.0))


def _against_flat(tally: _Tally, noise: Floats) -> Floats:
    """(s,) log e-value: how much better the regression foretold the rewards than the best constant in hindsight."""
    n = np.maximum(tally.seen - 1, 1.0)
    constant = tally.square - tally.reward**2 / n
    return (constant - tally.scaled) / (2 * noise) - tally.log_det / 2


def _check(features: Floats, log: RunLog, *, starts: Ints, held: Assumptions) -> None:
    shapes = {name: np.shape(value) for name, value in zip(log._fields, log, strict=True)}
    if len(set(shapes.values())) != 1 or len(shapes["reward"]) != 2:
        raise ValueError(f"the log's shapes are {shapes}, need (runs, evaluations) for all")
    for name, ids in (("action", log.action), ("approved", log.approved), ("start", starts)):
        outside = np.flatnonzero((ids < 0) | (ids >= len(features)))
        if outside.size:
            raise ValueError(
                f"{name} holds the id {np.ravel(ids)[outside[0]]}, need 0 <= id < {len(features)}; "
                "is this the lattice of the log?"
            )
    if log.task.size and not 0 <= log.task.min() <= log.task.max() < starts.shape[1]:
        raise ValueError(f"task holds {log.task.min()} to {log.task.max()}, need 0 <= task < {starts.shape[1]}")
    if not 0 < held.alpha < 1 or not min(held.signal, held.level) > 0 or held.points < 1:
        raise ValueError(f"{held}, need 0 < alpha < 1, signal > 0, level > 0 and points >= 1")
