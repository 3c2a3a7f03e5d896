"""What the gate's reward model leaves over: the spread of a difference score when ridge regression predicts.

The model learns from the same log, so its error has two parts: what no such model can say, and what a log of n
decisions leaves uncertain. Both are sums over the population; nothing is simulated but the reward's noise.
Source: the usual expansion of ridge regression (sandwich variance); clipping to the range is left out.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from evaluators.reward_model import Params as ModelParams
from evaluators.rows import Floats
from evaluators.scores import spread as possible
from experiments.powering.contests import Contest
from experiments.powering.predicting import Spread

__all__ = ["modelled"]

ENDLESS = 10**9  # decisions after which the model has learned all it can


class _Fit(NamedTuple):
    """The model's normal equations per decision, in their eigenbasis; cells are those the logger plays."""

    cells: Floats  # (m, k, p) rotated features
    mean: float
    moment: Floats  # (p,)
    level: Floats  # (p,) eigenvalues
    model: ModelParams

    def _shrunk(self, n: int) -> Floats:
        return np.asarray(1 / (self.level + self.model.ridge / self._learned(n)))

    def _learned(self, n: int) -> float:
        return n * (1 - 1 / self.model.n_folds)

    def predicted(self, n: int) -> Floats:
        """(m, k) mean prediction of models of n decisions."""
        return np.asarray(self.cells @ (self._shrunk(n) * self.moment) + self.mean)

    def doubt(self, n: int, noise: Floats) -> Floats:
        """(p, p) variance of the coefficients; `noise` (p, p) is the residuals' second moment of the features."""
        shrunk = self._shrunk(n)
        return np.asarray(shrunk[:, None] * noise * shrunk / self._learned(n))


def modelled(
    contest: Contest, behavior: Floats, *, noise: Floats, features: Floats, model: ModelParams
) -> Callable[[int], Spread]:
    """The spread of a difference score on logs of n decisions.

    Args:
        contest: who is judged.
        behavior: (m, k) the logger.
        noise: (m, k) variance of the reward.
        features: (m, k, p) what the reward model sees.
        model: its numbers.
    """
    contrast, share = contest.contrast, contest.share[:, None]
    met = share * behavior
    fit = _fit(contest.value, met, features=features, model=model)
    heavy = share * np.divide(contrast**2, behavior, out=np.zeros_like(behavior), where=behavior > 0)
    light = share * np.abs(contrast)
    rest = noise + (contest.value - fit.predicted(ENDLESS)) ** 2
    doubtful, by_weight, by_size = (_gram(fit.cells, weight) for weight in (met * rest, heavy, light))
    turned = np.einsum("mk,mkp->mp", contrast, fit.cells)
    together = turned.T @ (share * turned)

    def at(n: int) -> Spread:
        predicted = np.clip(fit.predicted(n), *contest.reward_range)
        error, doubt = contest.value - predicted, fit.doubt(n, doubtful)
        left, shape = noise + error**2, possible(predicted, contest.reward_range)
        between = _variance(contest.share, np.vecdot(contrast, contest.value))
        missed = float(contest.share @ np.vecdot(contrast, error) ** 2) + float((doubt * together).sum())
        score = between + float((heavy * left).sum() + (doubt * by_weight).sum()) - missed
        part = _variance(contest.share, np.vecdot(contrast, predicted)) + float((doubt * together).sum())
        kappa = float((light * left).sum() + (doubt * by_size).sum()) / float((light * shape).sum())
        return Spread(score, part + kappa * float((heavy * shape).sum()))

    return at


def _fit(value: Floats, met: Floats, *, features: Floats, model: ModelParams) -> _Fit:
    mean = float((met * value).sum())
    level, basis = np.linalg.eigh(_gram(features, met))
    cells = features @ basis
    return _Fit(cells, mean, np.einsum("mk,mkp->p", met * (value - mean), cells), np.maximum(level, 0.0), model)


def _gram(cells: Floats, weight: Floats) -> Floats:
    flat = cells.reshape(-1, cells.shape[-1])
    return np.asarray((flat * weight.reshape(-1, 1)).T @ flat)


def _variance(share: Floats, values: Floats) -> float:
    return float(share @ (values - share @ values) ** 2)
