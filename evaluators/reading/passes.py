"""Two looks at a file: a survey that finds what is wrong with it, then the rows that can be used.

The survey reads every row once, writes the listing of rejected rows, spills the digests of ids to disk and learns
what a single batch cannot know: the set of actions, the repeated ids, the largest share of dropped rows. It
refuses a file before anything is estimated. Memory is that of a batch, whatever the file's length.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evaluators.reading.arrays import blank, digests, mixed
from evaluators.reading.batches import Batch, Facts, Reader
from evaluators.reading.duplicates import Repeats, Spill, is_among
from evaluators.reading.rejects import Listing, Verdicts, judged, refuse_many
from evaluators.rows import RewardRange

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Tick = Callable[[int], None]

__all__ = ["Survey", "chosen", "folds", "survey", "usable"]

THINNING, FOLDING = np.uint64(0x5851F42D4C957F2D), np.uint64(0x14057B7EF767814F)  # two unrelated draws from one digest


class Survey(NamedTuple):
    """What the first look found."""

    facts: Facts
    tally: Mapping[str, int]  # rows by reason, `used` among them
    repeats: Repeats
    most_dropped: float  # largest chance that a usable row had been left out
    reward_seen: RewardRange | None  # of usable rows; None: there are none
    reward_range: RewardRange | None  # declared
    has_ids: bool
    without_id: int = 0  # usable rows whose id is empty, in a log with ids


def survey(
    reader: Reader,
    listing: Path,
    *,
    most: float,
    reward_range: RewardRange | None = None,
    tick: Tick | None = None,
) -> Survey:
    """Look at every row once, and a second time if ids repeat or rows are to be thinned.

    Args:
        reader: of the file.
        listing: where rejected rows are listed.
        most: largest share of rows that may be rejected.
        reward_range: what the user declares.
        tick: told the rows of each batch.

    Raises:
        ValueError: as `rejects.refuse_many`, or the file cannot be read on.
    """
    with Listing(listing) as book, Spill(listing.parent) as spill:
        seen = _Seen(spill)
        for batch in reader.batches():
            verdicts = judged(batch, reward_range)
            book.add(batch, verdicts)
            seen.add(batch, verdicts.code == 0)
            if tick:
                tick(batch.row.size)
        refuse_many(book.count, most=most, where=str(listing))
        ends = RewardRange(float(seen.least), float(seen.most))
        found = Survey(
            reader.facts(), book.count, spill.repeats(), seen.dropped[1], ends, reward_range, seen.has_ids,
            seen.without_id if seen.has_ids else 0,
        )  # fmt: skip
        if found.repeats.row.size or seen.dropped[0] < seen.dropped[1]:
            _settle(reader, book, found)
        refuse_many(book.count, most=most, where=str(listing))
    return found._replace(tally=dict(book.count))


class _Seen:
    """What the usable rows so far have shown; their digests go to disk."""

    def __init__(self, spill: Spill) -> None:
        self.least, self.most = np.inf, -np.inf
        self.dropped = 1.0, 0.0  # smallest and largest chance of having been left out
        self.has_ids, self.without_id = False, 0
        self._spill = spill

    def add(self, batch: Batch, good: Bools) -> None:
        if not good.any():
            return
        reward = batch.reward[good]
        self.least, self.most = min(self.least, reward.min()), max(self.most, reward.max())
        if batch.drop_prob is not None:
            held = batch.drop_prob[good]
            self.dropped = min(self.dropped[0], float(held.min())), max(self.dropped[1], float(held.max()))
        named = good & _has_id(batch)
        self.without_id += int(good.sum() - named.sum())
        if named.any():
            self.has_ids = True
            self._spill.add(digests(batch.ids)[named], batch.row[named])


def _has_id(batch: Batch) -> Bools:
    """(n,) rows with an id; an empty one is none, so that such rows do not repeat each other."""
    return np.zeros(batch.row.size, np.bool_) if batch.ids is None else ~blank(batch.ids)


def _settle(reader: Reader, book: Listing, found: Survey) -> None:
    """List what only the whole file can tell: repeated ids, with the row that had it first, and thinned rows."""
    for batch in reader.batches(found.facts):
        code = _verdicts(batch, found).code
        again = np.flatnonzero((code == 0) & is_among(batch.row, found.repeats.row))
        if again.size:
            first = np.full(batch.row.size, np.nan)
            first[again] = found.repeats.first[np.searchsorted(found.repeats.row, batch.row[again])]
            book.move(batch, again, "duplicate", value=first)
        thin = (code == 0) & ~is_among(batch.row, found.repeats.row) & _is_thinned(batch, found)
        if thin.any():
            book.move(batch, np.flatnonzero(thin), "thinned", value=batch.drop_prob)


def _verdicts(batch: Batch, found: Survey) -> Verdicts:
    return judged(batch, found.reward_range)


def _is_thinned(batch: Batch, found: Survey) -> Bools:
    """Rows to leave out so that all that are left had the same chance of being in the log."""
    if batch.drop_prob is None:
        return np.zeros(batch.row.size, np.bool_)
    with np.errstate(divide="ignore", invalid="ignore"):
        keep = (1 - found.most_dropped) / (1 - batch.drop_prob)
    return np.asarray(~(_share(batch, THINNING, by_cluster=False) < keep))


def _share(batch: Batch, salt: np.uint64, *, by_cluster: bool) -> Floats:
    """(n,) numbers in [0, 1) that belong to a row's cluster or id, or to its number where it has neither."""
    if by_cluster and batch.cluster is not None:
        digest = batch.cluster.view(np.uint64)
    elif batch.ids is not None:
        digest = np.where(_has_id(batch), digests(batch.ids), batch.row.astype(np.uint64))
    else:
        digest = batch.row.astype(np.uint64)
    return np.asarray((mixed(digest + salt) >> np.uint64(11)).astype(np.float64) / 2.0**53)


def folds(batch: Batch, n_folds: int) -> Ints:
    """(n,) fold of each row, in [0, n_folds): the same for a cluster, or an id, in every file.

    Without either it hangs on the row's number, so that a file in another order is folded anew.
    """
    return np.asarray(_share(batch, FOLDING, by_cluster=True) * n_folds, np.int64)


def usable(reader: Reader, found: Survey, *, tick: Tick | None = None) -> Iterator[Batch]:
    """The rows that can be used, slots meaning the same in every batch.

    Args:
        reader: of the same file as the survey.
        found: the survey.
        tick: told the rows of each batch, rejected ones too.
    """
    for batch in reader.batches(found.facts):
        bad = (_verdicts(batch, found).code != 0) | is_among(batch.row, found.repeats.row)
        if not bad.all():
            bad |= _is_thinned(batch, found)
        if not bad.all():
            yield batch if not bad.any() else chosen(batch, np.flatnonzero(~bad))
        if tick:
            tick(batch.row.size)


def chosen(batch: Batch, which: Ints) -> Batch:
    """Some rows of a batch."""
    return Batch(*(_taken(value, which) for value in batch))


def _taken(value: Any, which: Ints) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple):
        return type(value)(*(_taken(one, which) for one in value))
    return value[which] if isinstance(value, np.ndarray) else value.take(_indices(which))


def _indices(which: Ints) -> Any:
    return pa.Array.from_buffers(pa.int64(), which.size, [None, pa.py_buffer(np.ascontiguousarray(which))])
