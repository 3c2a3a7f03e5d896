"""A candidate of known merit against a baseline, on a finite set of contexts.

The candidate is a softmax, as sharp as a wanted support on the reference logger allows, of a mixture of
the rewards and of a liking that knows nothing of them; the mixture is chosen so that its exact difference
to the baseline is the one asked for. A blend of the baseline with one good policy would not do: it
shrinks difference and noise alike, so that every difference would need the same number of decisions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from evaluators.rows import Floats, RewardRange

__all__ = ["Contest", "Loss", "aimed", "ess_share_of", "explored", "levelled", "reach"]

Bools = NDArray[np.bool_]
SHARPER = (1, 2, 4, 8, 16)  # where a candidate that is no better is sought, in turn
HALVINGS, COARSE, FINE = 24, 1e-3, 1e-12
SHARPNESS_ENDS = (1e-2, 1e4)  # per width of the declared range


class Contest(NamedTuple):
    """Tables (m, k) over m contexts and the k slots of their windows."""

    share: Floats  # (m,) probability of each context
    feasible: Bools
    shape: Floats  # the logger's probabilities, its exploration left out
    baseline: Floats
    target: Floats
    value: Floats  # expected reward; 0 where infeasible
    reward_range: RewardRange

    @property
    def contrast(self) -> Floats:
        """(m, k) target less baseline."""
        return self.target - self.baseline

    @property
    def difference(self) -> float:
        """Value of the target less the baseline's, in reward units."""
        return self.mean(self.contrast)

    def mean(self, table: Floats) -> float:
        """Expected sum of table x value over the slots, in reward units."""
        return float(self.share @ np.vecdot(table, self.value))


class Loss(NamedTuple):
    """What a logged decision costs: value of the baseline less the logger's, in reward units."""

    value: float
    stderr: float = 0.0  # 0: exact


def explored(contest: Contest, floor: float) -> Floats:
    """(m, k) the logger's shape behind a floor of uniform exploration over the feasible slots.

    >>> one = np.ones((1, 2))
    >>> contest = Contest(one[0, :1], one > 0, np.array([[1.0, 0.0]]), one, one, one, RewardRange(0.0, 1.0))
    >>> explored(contest, 0.5)
    array([[0.75, 0.25]])
    """
    uniform = contest.feasible / contest.feasible.sum(axis=1, keepdims=True)
    return np.asarray((1 - floor) * contest.shape + floor * uniform)


def reach(contest: Contest) -> float:
    """The largest difference to the baseline that any policy has, in reward units."""
    best = np.where(contest.feasible, contest.value, -np.inf).max(axis=1)
    return float(contest.share @ best) - contest.mean(contest.baseline)


def ess_share_of(contest: Contest, behavior: Floats) -> float:
    """Expected ESS per decision of judging the target on a log of `behavior`; 0 where it lacks support."""
    target = contest.target
    if ((behavior == 0) & (target > 0)).any():
        return 0.0
    square = np.divide(target**2, behavior, out=np.zeros_like(target), where=behavior > 0)
    return 1 / float(contest.share @ square.sum(axis=1))


def aimed(
    rng: np.random.Generator, contest: Contest, difference: float, *, logger: Floats, ess_share: float
) -> Contest:
    """The same contest with a candidate that is better than the baseline by exactly `difference`.

    Args:
        rng: of the liking that knows nothing of the rewards.
        contest: its own target is replaced.
        difference: in reward units.
        logger: (m, k) whose support the candidate's sharpness is measured on.
        ess_share: least design ESS per decision on that logger.

    Raises:
        ValueError: the world cannot give so much, or no candidate of this support does.
    """
    most = reach(contest)
    if difference > most:
        raise ValueError(
            f"difference = {difference:.4g}, need at most {most:.4g}: the best policy there is gains no more over the "
            "baseline"
        )
    family = _Family(contest, _liking(rng, contest), logger, ess_share)
    lo, hi = family.ends()
    if not lo < difference < hi:
        raise ValueError(
            f"difference = {difference:.4g}, need {lo:.4g} < difference < {hi:.4g}: candidates with a design "
            f"ESS of {ess_share:g} per decision on the logger reach no further; a smaller experiment.ess_share does"
        )
    return _solved(family, difference)


def levelled(rng: np.random.Generator, contest: Contest, *, logger: Floats, ess_share: float) -> Contest | None:
    """The same contest with a candidate that is exactly as good as the baseline, at least as sharp as `aimed`'s.

    Where the baseline is so poor that every such candidate is better, a sharper one is sought.

    Returns:
        None where even the sharpest of the search is better: nothing can be approved wrongly there.
    """
    liking = _liking(rng, contest)
    for sharper in SHARPER:
        family = _Family(contest, liking, logger, ess_share / sharper)
        lo, hi = family.ends()
        if lo < 0 < hi:
            return _solved(family, 0.0)
    return None


def _solved(family: "_Family", difference: float) -> Contest:
    """The member of a family that differs by so much; its ends lie on either side."""
    rough = float(brentq(lambda merit: family.sharpened(merit).difference - difference, -1.0, 1.0, xtol=COARSE))
    sharp = family.sharpness(rough)

    def excess(merit: float) -> float:
        return family.at(merit, sharp).difference - difference

    begin, end = max(rough - 10 * COARSE, -1.0), min(rough + 10 * COARSE, 1.0)
    if excess(begin) * excess(end) > 0:
        begin, end = -1.0, 1.0
    return family.at(float(brentq(excess, begin, end, xtol=FINE)), sharp)


class _Family(NamedTuple):
    """Candidates by merit: 1 knows the rewards, 0 nothing of them, -1 prefers what is worst."""

    contest: Contest
    liking: Floats
    logger: Floats
    ess_share: float

    def at(self, merit: float, sharpness: float) -> Contest:
        lo, hi = self.contest.reward_range
        scores = merit * self.contest.value + np.sqrt(1 - merit**2) * self.liking
        logits = np.where(self.contest.feasible, sharpness / (hi - lo) * scores, -np.inf)
        weight = np.exp(logits - logits.max(axis=1, keepdims=True))
        return self.contest._replace(target=weight / weight.sum(axis=1, keepdims=True))

    def sharpness(self, merit: float) -> float:
        """The largest whose support is enough; at worst the lower end of the search."""
        lo, hi = np.log(SHARPNESS_ENDS)
        for _ in range(HALVINGS):
            middle = (lo + hi) / 2
            is_enough = ess_share_of(self.at(merit, float(np.exp(middle))), self.logger) >= self.ess_share
            lo, hi = (middle, hi) if is_enough else (lo, middle)
        return float(np.exp(lo))

    def ends(self) -> tuple[float, float]:
        """Differences of the worst and of the best candidate."""
        return self.sharpened(-1.0).difference, self.sharpened(1.0).difference

    def sharpened(self, merit: float) -> Contest:
        return self.at(merit, self.sharpness(merit))


def _liking(rng: np.random.Generator, contest: Contest) -> Floats:
    """(m, k) every context's rewards dealt anew among its feasible slots."""
    order = np.argsort(np.where(contest.feasible, rng.random(contest.feasible.shape), 2.0), axis=1)
    home = np.argsort(~contest.feasible, axis=1, kind="stable")
    liking = np.zeros_like(contest.value)
    np.put_along_axis(liking, home, np.take_along_axis(contest.value, order, axis=1), axis=1)
    return np.where(contest.feasible, liking, 0.0)
