"""Gaussian Thompson sampling, as the probability vector it stands for.

Over a shared posterior the vector is the share of fixed quasi-random posterior draws that
an action wins; over independent posteriors it is P(action is best) by quadrature.
Source: Agrawal & Goyal (2013); quadrature on a common grid.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from envs.arrays import Array, namespace, normal_cdf
from policies.base import Belief, Decision, Policy, Spec
from policies.linear import LinearParams, linear_model
from policies.masses import TIE

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(LinearParams):
    """The linear belief that is sampled from."""


NODES = 48  # Gauss-Legendre nodes
BELOW, ABOVE = 4.0, 6.0  # standard deviations that the quadrature covers


def best_by_draws(draws: Array, feasible: Array, *, span: Array) -> Array:
    """(k,) share of draws (k, s) that each feasible action wins; ties within a draw split equally.

    An approximation of P(action is best) that defines the policy; its propensities are exact all
    the same. 64 draws lie about 0.2 in total variation from their limit over a window of 75
    actions, 256 about 0.1 (measured, as for independent random draws).
    """
    xp = namespace(draws)
    low = xp.min(draws) - 1.0
    held = xp.where(feasible[:, None], draws, low)
    wins = xp.astype(held >= xp.max(held, axis=0)[None, :] - TIE * span, draws.dtype)
    wins = xp.where(feasible[:, None], wins, xp.zeros_like(wins))
    return xp.mean(wins / xp.sum(wins, axis=0)[None, :], axis=-1)


def best_by_quadrature(mean: Array, sd: Array, feasible: Array) -> Array:
    """(k,) P(action is best) of independent Gaussians; actions that cannot win get 0.

    The integral of each density times the product of the others' CDFs, on a grid from the
    best lower 4-sigma to the best upper 6-sigma point, renormalised. The grid widens
    exponentially from its lower end, where the narrowest density that matters lies: a posterior
    that is narrow beside wide ones is resolved too. Total variation from the truth: below 4e-4
    for widths up to 1 : 1,000, below 1e-3 up to 1 : 100,000 (measured in the tests).
    """
    xp = namespace(mean)
    width = sd + 1e-9
    low = xp.min(mean - ABOVE * width) - 1.0
    lower = xp.where(feasible, mean - BELOW * width, low)
    floor = xp.max(lower)
    top = xp.max(xp.where(feasible, mean + ABOVE * width, low))
    able = feasible & (mean + ABOVE * width >= floor)
    nodes, weights = (xp.asarray(a) for a in np.polynomial.legendre.leggauss(NODES))
    nodes, weights = xp.astype(nodes, mean.dtype), xp.astype(weights, mean.dtype)
    scale = BELOW * xp.min(xp.where(lower >= floor, width, xp.max(width)))
    growth = xp.exp(xp.log((top - floor) / scale + 1.0) * (nodes + 1.0) / 2.0)
    at, weights = floor + scale * (growth - 1.0), weights * growth
    z = (at[None, :] - mean[:, None]) / width[:, None]
    cdf = normal_cdf(z)
    logs = xp.log(xp.where(cdf > 1e-300, cdf, 1e-300 * xp.ones_like(cdf)))
    logs = xp.where(able[:, None], logs, xp.zeros_like(logs))
    rest = xp.sum(logs, axis=0)[None, :] - logs
    density = xp.exp(rest - z * z / 2.0) / width[:, None]
    mass = xp.where(able, xp.sum(density * weights[None, :], axis=-1), xp.zeros_like(mean))
    return mass / xp.sum(mass)


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

    return Policy(model.init, None, model.belief, probs, model.update, model.outlook)
