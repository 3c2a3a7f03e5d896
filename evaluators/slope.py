"""Choose among estimators that trade bias for variance: the last whose interval still meets the others'.

Order candidates from least biased to narrowest (a clip from infinite to small, a bandwidth from small
to large). As long as the intervals of twice the half width share a point, the bias added is drowned
in the error already there, and the narrower estimate is taken; the first that parts company stops the
search. No guess of the bias is needed: the choice is within a constant of the best candidate's error
as often as the half widths hold. `slope_plus` needs no order of the biases and has a smaller constant.
A direct method's interval knows nothing of its model's error, which is what the search finds out.

The guarantee asks for half widths that hold at once, and its constant is large: with them the search
overshoots. Measured on 40 tasks not used to choose (10 actions, rewards 0 or 1; cuts of the weight
from infinity to 0 in doubly robust scores), mean squared error over that of the best cut, geometric
mean (worst task): no cut 3.7 (160), 2.1 (100), 1.5 (26) at n = 200, 1,000, 5,000; `slope_plus` with
half widths of 1 standard error 1.8 (7), 2.2 (6), 2.6 (6), of 2.7 (all hold at once) 3.1 (10), 5.0 (15),
7.1 (24); `slope` 2.2 (4), 3.0 (8), 4.1 (8) and 3.4 (26), 6.1 (21), 11 (49). It insures against disaster
and does not find the optimum: where no weight is extreme, not cutting is better.
Source: Su, Srinath & Krishnamurthy (2020), algorithm 1; Tucker & Lee (2021) for `slope_plus`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evaluators.estimation import Estimator, finish, summarise
from evaluators.rows import Estimate, Floats, Rows

SLACK = np.sqrt(6) - 1  # Tucker & Lee (2021): how far the earlier, wider interval is stretched


class Chosen(NamedTuple):
    """What the search took, and among what."""

    name: str
    estimates: dict[str, Estimate]  # of every candidate


def slope(value: ArrayLike, half_width: ArrayLike) -> int:
    """The last candidate whose interval, value +- 2 half widths, meets those of all before it.

    Args:
        value: (m,) estimates from least to most biased, reward units.
        half_width: (m,) errors of them that hold at once with high probability; infinite: unknown.

    Returns:
        Index of the choice.

    Raises:
        ValueError: as `slope_plus`.

    >>> slope([0.50, 0.52, 0.40], [0.10, 0.05, 0.001])
    1
    """
    value, half = _checked(value, half_width)
    low, high = np.maximum.accumulate(value - 2 * half), np.minimum.accumulate(value + 2 * half)
    return int(np.flatnonzero(low <= high)[-1])


def slope_plus(value: ArrayLike, half_width: ArrayLike) -> int:
    """The same in the order of the half widths, widest first, whatever the biases.

    Args:
        value: (m,) estimates, reward units.
        half_width: (m,) as `slope`.

    Returns:
        Index of the choice, into the order given: the narrowest i for which, and for all wider ones
        before it, |value_i - value_j| <= half_i + (sqrt(6) - 1) half_j for every wider j.

    Raises:
        ValueError: no candidates, lengths that disagree, a value that is not finite, or a half width
            that is negative or NaN.

    >>> slope_plus([0.40, 0.50, 0.52], [0.001, 0.10, 0.05])
    2
    """
    value, half = _checked(value, half_width)
    order = np.argsort(-half, kind="stable")
    for place in range(1, order.size):
        new, wider = order[place], order[:place]
        if np.any(np.abs(value[new] - value[wider]) > half[new] + SLACK * half[wider]):
            return int(order[place - 1])
    return int(order[-1])


def _checked(value: ArrayLike, half_width: ArrayLike) -> tuple[Floats, Floats]:
    values, half = np.asarray(value, np.float64), np.asarray(half_width, np.float64)
    if values.ndim != 1 or values.size == 0 or half.shape != values.shape:
        raise ValueError(f"values of shape {values.shape} and half widths of {half.shape}, need (m,) each, m >= 1")
    if not (np.isfinite(values).all() and (half >= 0).all()):
        raise ValueError(f"values {values} and half widths {half}, need finite values and half widths >= 0")
    return values, half


def choose(candidates: Mapping[str, Estimator], rows: Rows, *, n_errors: float = 1.0) -> Chosen:
    """Choose an estimator, or a number of one, for a target on a log, by `slope_plus`.

    Args:
        candidates: by name, e.g. one clip each.
        rows: one target on one log.
        n_errors: standard errors to a half width; see the head of this file.

    Raises:
        ValueError: no candidates, or one that is undefined on these rows.
        TypeError: as `rows.check`.
    """
    sums = summarise(candidates, rows)
    found = {name: finish(params, sums[name]) for name, params in candidates.items()}
    half = [n_errors * one.stderr for one in found.values()]
    return Chosen(list(found)[slope_plus([one.value for one in found.values()], half)], found)
