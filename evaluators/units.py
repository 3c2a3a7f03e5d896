"""The independent pieces of a log, and the one or two ratios that every estimate is a sum of.

Intervals that resample or reweight do it to what is independent: rows, or whole clusters. An
estimate is sum part / sum count, plus sum term / sum weight where the estimator normalises itself.
Numerator and denominator always move together: with sum weight frozen at what was seen, an interval
for a self-normalised value is half as wide again as it need be.
"""

from typing import NamedTuple

import numpy as np

from evaluators.rows import Floats
from evaluators.sums import PART, TERM, Sums, U


class Units(NamedTuple):
    """Sums within g independent units, of one log or of many; reward units about the origin.

    Each ratio is a pair of (..., g) arrays: what is added up, and what it is divided by.
    """

    ratios: tuple[tuple[Floats, Floats], ...]

    @property
    def size(self) -> int:
        """How many units a log has."""
        return int(self.ratios[0][0].shape[-1])

    def value(self) -> Floats:
        """(...) the estimate; NaN where no unit has weight."""
        return np.asarray(sum(quotient(over.sum(axis=-1), under.sum(axis=-1)) for over, under in self.ratios))

    def left_out(self) -> Floats:
        """(..., g) the estimate without each unit in turn; NaN where none with weight is left."""
        rest = [[column.sum(axis=-1, keepdims=True) - column for column in pair] for pair in self.ratios]
        return np.asarray(sum(quotient(*pair) for pair in rest))

    def columns(self) -> Floats:
        """(..., 2 r, g) of each ratio: what it is divided by, and what is added up less its share of the ratio."""
        found: list[Floats] = []
        for over, under in self.ratios:
            centre = quotient(over.sum(axis=-1, keepdims=True), under.sum(axis=-1, keepdims=True))
            found += [under, over - np.nan_to_num(centre) * under]
        return np.stack(found, axis=-2)


def units_of(sums: Sums) -> Units:
    """Rows as units, or clusters where the sums have them.

    Raises:
        ValueError: sums that neither keep their scores nor have clusters.
    """
    if sums.clusters is not None:
        table = sums.clusters.table.T
        count, part, term, weight = table[0], table[PART], table[TERM], table[U]
    elif sums.kept is not None:
        part, term, weight = sums.kept.part, sums.kept.weight * sums.kept.residual, sums.kept.weight
        count = np.ones_like(part)
    else:
        raise ValueError("the interval needs the scores themselves, got sums without them; sum with keep=True")
    if not sums.is_ratio:
        return Units(((part + term, count),))
    return Units(((part, count), (term, weight)) if np.any(part) else ((term, weight),))


def quotient(over: Floats, under: Floats) -> Floats:
    """(...) over / under; NaN where `under` is not above 0."""
    return np.asarray(np.divide(over, under, out=np.full(np.shape(over), np.nan), where=np.asarray(under) > 0))
