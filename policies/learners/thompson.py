"""Gaussian Thompson sampling, as the probability vector it stands for.

Over a shared posterior the vector is the share of fixed quasi-random posterior draws that
an action wins; over independent posteriors it is P(action is best) by quadrature.
Source: Agrawal & Goyal (2013); quadrature on a common window of 6 standard deviations.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from envs.arrays import Array, namespace, normal_cdf
from policies.base import Belief, Decision, Policy, Spec
from policies.linear import linear_model
from policies.masses import TIE

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params:
    """The linear belief that is sampled from."""

    floor: float = field(default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    prior_mean: float = field(default=0.2, metadata={"ge": -100.0, "le": 100.0, "unit": "reward"})
    prior_sd: float = field(default=0.3, metadata={"gt": 0.0, "le": 100.0, "unit": "reward"})
    noise_sd: float = field(default=0.25, metadata={"gt": 0.0, "le": 100.0, "unit": "reward"})
    features: str = field(default="shared", metadata={"choices": ("shared", "disjoint"), "static": True})
    n_draws: int = field(default=64, metadata={"ge": 2, "le": 4096, "static": True})


NODES = 32  # Gauss-Legendre nodes in probability
BISECTIONS = 18  # halvings that place a node
TINY = 1e-300
REACH = 6.0  # standard deviations that the quadrature covers


def best_by_draws(draws: Array, feasible: Array, *, span: Array) -> Array:
    """(k,) share of draws (k, s) that each feasible action wins; ties within a draw split equally."""
    xp = namespace(draws)
    low = xp.min(draws) - 1.0
    held = xp.where(feasible[:, None], draws, low)
    wins = xp.astype(held >= xp.max(held, axis=0)[None, :] - TIE * span, draws.dtype)
    wins = xp.where(feasible[:, None], wins, xp.zeros_like(wins))
    return xp.mean(wins / xp.sum(wins, axis=0)[None, :], axis=-1)


def _log_cdf(at: Array, mean: Array, width: Array) -> Array:
    """(k, nodes) log P(value <= at) of each action, cut at -690."""
    xp = namespace(mean)
    cdf = normal_cdf((at[None, :] - mean[:, None]) / width[:, None])
    return xp.log(xp.where(cdf > TINY, cdf, TINY * xp.ones_like(cdf)))


def best_by_quadrature(mean: Array, sd: Array, feasible: Array) -> Array:
    """(k,) P(action is best) of independent Gaussians; actions that cannot win get 0.

    Nodes sit at quantiles of the best value's own distribution H (found by bisection), so
    narrow posteriors beside wide ones are resolved; at each node the actions share one unit
    in proportion to density / CDF, the rate at which each lifts H.
    """
    xp = namespace(mean)
    width = sd + 1e-9
    low = xp.min(mean - REACH * width) - 1.0
    floor = xp.max(xp.where(feasible, mean - REACH * width, low))
    top = xp.max(xp.where(feasible, mean + REACH * width, low))
    able = feasible & (mean + REACH * width >= floor)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    level = xp.astype(xp.asarray(np.log((nodes + 1.0) / 2.0)), mean.dtype)
    weight = xp.astype(xp.asarray(weights / 2.0), mean.dtype)
    under, over = floor + xp.zeros_like(level), top + xp.zeros_like(level)
    for _ in range(BISECTIONS):
        middle = (under + over) / 2.0
        logs = _log_cdf(middle, mean, width)
        best = xp.sum(xp.where(able[:, None], logs, xp.zeros_like(logs)), axis=0)
        under, over = xp.where(best < level, middle, under), xp.where(best < level, over, middle)
    at = (under + over) / 2.0
    z = (at[None, :] - mean[:, None]) / width[:, None]
    rate = xp.exp(-z * z / 2.0 - _log_cdf(at, mean, width)) / width[:, None]
    rate = xp.where(able[:, None], rate, xp.zeros_like(rate))
    return xp.sum(rate / xp.sum(rate, axis=0)[None, :] * weight[None, :], axis=-1)


@cache
def make(spec: Spec) -> Policy:
    """Thompson sampling over the belief that `spec.features` names."""
    model = linear_model(spec)
    shared = spec.features == "shared"

    def probs(_params: Params, _state: Any, decision: Decision, belief: Belief) -> Array:
        feasible = decision.window.feasible
        if shared:
            return best_by_draws(belief.draws, feasible, span=decision.span)
        return best_by_quadrature(belief.mean, belief.sd, feasible)

    return Policy(init=model.init, window=None, belief=model.belief, probs=probs, update=model.update)
