"""Latency of a call from its length: time to the first token, time per token, how both scatter, cold starts.

Only the total is recorded. Its median is taken as linear in tokens, by least absolute
deviations, so that a few stalled calls move nothing. The scatter around the line is split by
its growth with length; calls far above both are cold starts. Median of the sum is taken for
sum of the medians: right for small scatter, a few per cent off for large.
Source: Koenker & Bassett (1978), regression quantiles as a linear program.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls
from scipy.sparse import eye_array, hstack

from experiments.calibration.fitting import log_sd

__all__ = ["Latency", "fit_latency"]

Floats = NDArray[np.float64]
LEAST_ROWS = 20
MOST_ROWS = 10_000  # in the linear program; of more, every so many-th
BINS = 8
TO_SD = 1.4826  # SD of a normal over its median absolute deviation
FAR, LEAST_COLD = 10.0, 5  # SDs above the line, calls
MAX_JITTER = 1.5  # the largest SD of ln that a preset may have


class Latency(NamedTuple):
    """What a preset's `service` needs; fields as there.

    Attributes:
        line_error: median absolute deviation from the line, ms.
        n: calls used.
    """

    first_token_ms: float
    token_ms: float
    first_token_jitter: float
    token_jitter: float
    cold_share: float
    cold_low_ms: float
    cold_high_ms: float
    line_error: float
    n: int


def fit_latency(tokens: Floats, latency_ms: Floats) -> Latency | None:
    """The service behind some calls; None where there are too few of them or all have one length.

    Args:
        tokens: (n,) output tokens.
        latency_ms: (n,) of the whole answer.
    """
    n = len(tokens)
    if n < LEAST_ROWS or np.ptp(tokens) <= 0:
        return None
    first, each = _line(tokens, latency_ms)
    off = latency_ms - first - each * tokens
    spread = _spread(tokens, off)
    scale = np.sqrt(spread[0] + spread[1] * tokens**2)
    is_cold = off > FAR * scale + max(first, each * float(np.median(tokens)))
    cold = off[is_cold] if int(is_cold.sum()) >= LEAST_COLD else off[:0]
    if cold.size:
        spread = _spread(tokens[~is_cold], off[~is_cold])
    jitter = [
        min(log_sd(math.sqrt(part) / of), MAX_JITTER) if of > 0 else 0.0
        for part, of in zip(spread, (first, each), strict=True)
    ]
    ends = (float(cold.min()), float(cold.max())) if cold.size else (0.0, 0.0)
    error = float(np.median(np.abs(off)))
    return Latency(first, each, jitter[0], jitter[1], cold.size / n, *ends, line_error=error, n=n)


def _line(tokens: Floats, latency: Floats) -> tuple[float, float]:
    """Intercept and slope >= 0 with the least sum of absolute deviations."""
    step = max(1, len(tokens) // MOST_ROWS)
    x, y = tokens[::step], latency[::step]
    scale = float(x.max())
    design = hstack(
        [np.stack([np.ones(len(x)), x / scale], axis=1), eye_array(len(x)), -eye_array(len(x))], format="csr"
    )
    cost = np.concatenate([np.zeros(2), np.ones(2 * len(x))])
    found = linprog(cost, A_eq=design, b_eq=y, bounds=(0, None), method="highs")
    return float(found.x[0]), float(found.x[1]) / scale


def _spread(tokens: Floats, off: Floats) -> Floats:
    """(2,) squared SD of the part that does not grow with length, and of the part per token."""
    edges = np.unique(np.quantile(tokens, np.linspace(0, 1, BINS + 1)))
    bins = np.clip(np.searchsorted(edges, tokens, side="right") - 1, 0, max(len(edges) - 2, 0))
    rows = []
    for b in np.unique(bins):
        here = bins == b
        sd = TO_SD * float(np.median(np.abs(off[here] - np.median(off[here]))))
        rows.append((1.0, float(np.mean(tokens[here] ** 2)), sd**2))
    table = np.array(rows)
    weight = 1.0 / np.maximum(table[:, 2], 1e-12)  # the error of a variance is in proportion to it
    found, _ = nnls(table[:, :2] * weight[:, None], table[:, 2] * weight)
    return np.asarray(found)
