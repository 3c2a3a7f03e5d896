"""From batches to sums: two passes over a log of any length, in the memory of a batch.

The first fits the reward model, the second scores every row with every estimator; what a batch leaves behind is
sums that merge, so a file in parts, in another order, or on many machines gives the same answer (1e-10; with a
reward model if rows have ids or clusters, by which folds are dealt).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluators import diagnostics, sums
from evaluators.diagnostics import Evidence
from evaluators.estimation import summarise
from evaluators.reading import model
from evaluators.reading.batches import Batch, Facts, Reader
from evaluators.reading.model import Grams
from evaluators.reading.passes import Survey, chosen, folds, usable
from evaluators.reward_model import clip
from evaluators.rows import Estimate, Rows
from evaluators.sums import Sums
from experiments.evaluating.contrast import finished, ratio_difference, ratio_sums
from experiments.evaluating.targets import Target

Floats = NDArray[np.float64]
Tick = Callable[[int], None]

__all__ = ["Asked", "Model", "Tally", "differences", "fit", "merge", "rows_of", "score", "tally", "values"]

CELLS = 2**20  # of the widest table of predictions: 8 MB
MOST_GROUPS = 50


class Model(NamedTuple):
    """A fitted reward model: weights (folds, actions, p) of every action."""

    weights: Floats


class Asked(NamedTuple):
    """What is asked of every row."""

    target: Target
    estimators: Mapping[str, Any]  # by name: those asked for, and `difference NAME` and `logger`
    ratios: Mapping[str, Any]  # those of them that are ratios: their difference is linearised
    found: Survey
    model: Model | None = None


class Tally(NamedTuple):
    """All that is kept of the rows of one group."""

    sums: dict[str, Sums]
    ratios: dict[str, Sums]
    evidence: Evidence


def fit(reader: Reader, found: Survey, params: model.Params, *, tick: Tick | None = None) -> Model:
    """One pass for the reward model.

    Raises:
        ValueError: as `evaluators.reading.model`.
    """
    shape = params.n_folds, len(found.facts.labels)
    held: Grams | None = None
    points = np.zeros((shape[1], 0))
    for batch in usable(reader, found, tick=tick):
        action, context = _logged_action(batch), batch.context
        added = model.gram_sums(context, action, reward=batch.reward, fold=folds(batch, params.n_folds), shape=shape)
        held = added if held is None else model.merge(held, added)
        points = _seen_points(points, batch, action)
    assert held is not None
    return Model(model.fitted(params, held, points=points if points.shape[1] else None))


def _logged_action(batch: Batch) -> NDArray[np.int64]:
    return batch.slot if batch.actions is None else batch.actions[np.arange(batch.slot.size), batch.slot]


def _seen_points(points: Floats, batch: Batch, action: NDArray[np.int64]) -> Floats:
    """(actions, axes) parameters of every action that was ever taken, NaN of the others."""
    if batch.windows is None:
        return points
    sent = batch.windows.parameters
    points = points if points.shape[1] else np.full((len(points), sent.shape[1]), np.nan)
    points[action] = sent
    return points


def rows_of(batch: Batch, asked: Asked) -> Rows:
    """A batch as estimators read it.

    With the logger's whole distribution: whole rows. Without: partial rows, over the target's whole
    distribution if it is known, else over the logged action alone.
    """
    n, whole, declared = batch.row.size, asked.target.whole(batch), asked.found.reward_range
    if batch.behavior is not None and whole is not None:
        behavior = batch.behavior / batch.behavior.sum(axis=1, keepdims=True)
        tables = batch.slot, behavior, behavior if whole is batch.behavior else _capped(whole)
    elif whole is not None:
        behavior = np.full(whole.shape, np.nan)
        behavior[np.arange(n), batch.slot] = np.minimum(batch.propensity, 1.0)
        tables = batch.slot, behavior, _capped(whole)
    else:
        logged = asked.target.logged(batch)
        assert logged is not None
        tables = np.zeros(n, np.int64), np.minimum(batch.propensity, 1.0)[:, None], np.minimum(logged, 1.0)[:, None]
    slot, behavior, target = tables
    is_partial = batch.behavior is None or whole is None
    return Rows(
        reward=batch.reward,
        slot=slot,
        behavior=behavior,
        target=target,
        predicted=None if asked.model is None or whole is None else _predicted(batch, asked),
        cluster=batch.cluster,
        reward_range=declared,
        is_partial=is_partial,
        action_ids=batch.actions,
    )


def _capped(table: Floats) -> Floats:
    """Probabilities that were printed with few digits, moved to a sum of at most 1."""
    total = table.sum(axis=1, keepdims=True)
    return np.asarray(table / np.maximum(total, 1.0))


def _predicted(batch: Batch, asked: Asked) -> Floats:
    assert asked.model is not None
    weights = asked.model.weights
    fold = folds(batch, len(weights))
    return clip(model.predict(weights, batch.context, fold=fold, actions=batch.actions), asked.found.reward_range)


def tally(rows: Rows, asked: Asked) -> Tally:
    """Sums of the rows of one shard."""
    return Tally(
        sums=summarise(asked.estimators, rows),
        ratios={name: ratio_sums(params, rows) for name, params in asked.ratios.items()},
        evidence=diagnostics.evidence(rows),
    )


def merge(left: Tally, right: Tally) -> Tally:
    """Tallies of two shards as that of their union."""
    return Tally(
        {name: sums.merge(found, right.sums[name]) for name, found in left.sums.items()},
        {name: sums.merge(found, right.ratios[name]) for name, found in left.ratios.items()},
        diagnostics.merge(left.evidence, right.evidence),
    )


def score(reader: Reader, asked: Asked, *, tick: Tick | None = None) -> tuple[Tally, dict[str, Tally]]:
    """One pass over the usable rows: the tally of all, and of each group where there are 2 to 50.

    Raises:
        ValueError: as `evaluators.estimation.summarise`.
    """
    facts = asked.found.facts
    is_split = 2 <= len(facts.groups) <= MOST_GROUPS
    found: dict[str, Tally] = {}
    for batch in usable(reader, asked.found, tick=tick):
        for name, part in _parts(batch, facts, is_split):
            added = tally(rows_of(part, asked), asked)
            found[name] = merge(found[name], added) if name in found else added
    whole = reduce(merge, (found[name] for name in sorted(found)))
    return whole, {name: found[name] for name in sorted(found)} if is_split else {}


def _parts(batch: Batch, facts: Facts, is_split: bool) -> Iterator[tuple[str, Batch]]:
    """A batch by group, cut so that no table of predictions is large."""
    if not is_split or batch.group is None:
        yield from (("", part) for part in _cut(batch, facts))
        return
    for name in facts.groups:
        which = np.flatnonzero(batch.group == name)
        if which.size:
            yield from ((name, part) for part in _cut(chosen(batch, which), facts))


def _cut(batch: Batch, facts: Facts) -> Iterator[Batch]:
    size = max(CELLS // max(len(facts.labels), facts.n_slots, 1), 1)
    if batch.row.size <= size:
        yield batch
        return
    for begin in range(0, batch.row.size, size):
        yield chosen(batch, np.arange(begin, min(begin + size, batch.row.size)))


def values(found: Tally, asked: Asked) -> dict[str, Estimate]:
    """Value and interval of every estimator, of the logger, and the differences that are means of scores."""
    return {name: finished(params, found.sums[name]) for name, params in asked.estimators.items()}


def differences(found: Tally, asked: Asked) -> dict[str, Estimate]:
    """The linearised differences to the logger, by estimator."""
    return {
        name: ratio_difference(found.ratios[name], confidence=params.confidence)
        for name, params in asked.ratios.items()
    }
