"""What is believed of the length of answers: exact Bayes over a grid of curves, with censoring.

An answer that was cut off says only that it would have been longer than its cap; a call
that failed says nothing.
"""

from typing import NamedTuple

from envs.arrays import Array, namespace
from policies.parts.curves import ONSETS, RUNAWAY, LengthTables
from policies.parts.sampling import STEPS, constant, even, first_above

__all__ = ["Sent", "averaged", "forgot", "learned", "sampled", "weights"]

MOST_SURPRISE = 8.0  # nats: a wrong family of lengths must not kill a hypothesis at once


class Sent(NamedTuple):
    """One answer's length: () temperature of the call, place of its cap, tokens, cut off, failed (1.0 or 0.0)."""

    heat: Array
    cap: Array
    tokens: Array
    cut: Array
    failed: Array


def weights(own: Array) -> Array:
    """(H, O) posterior weights from log weights."""
    xp = namespace(own)
    held = xp.exp(own)
    return held / xp.sum(held)


def averaged(table: Array, weight: Array, heat: Array) -> Array:
    """(T, M) a table of `LengthTables` averaged over hypotheses; those past their onset run away.

    Args:
        table: (2, H, M) calm and running away.
        weight: (H, O).
        heat: (T,) temperatures.
    """
    xp = namespace(weight)
    calm, away = weight.T @ table[0, ...], weight.T @ table[1, ...]
    runs = xp.astype(heat[:, None] >= constant(weight, ONSETS)[None, :], weight.dtype)
    return (1.0 - runs) @ calm + runs @ away


def sampled(held: LengthTables, own: Array, at: tuple[Array, Array], *, n_draws: int) -> tuple[Array, Array]:
    """Joint draws at m actions: (m, r) chance to be cut off, and tokens sent.

    Args:
        held: tables of the lattice's caps.
        own: (H, O) log weights.
        at: (m,) temperatures and places of the caps.
        n_draws: r.
    """
    xp, (heat, cap) = namespace(own), at
    reach = xp.cumulative_sum(xp.reshape(weights(own), (-1,)))
    chosen = first_above(reach, constant(own, even(n_draws, STEPS[1])))
    curve, onset = chosen // len(ONSETS), chosen % len(ONSETS)
    runs = heat[:, None] >= xp.take(constant(own, ONSETS), onset, axis=0)[None, :]

    def drawn(table: Array) -> Array:
        calm, away = (xp.take(xp.take(part, curve, axis=0).T, cap, axis=0) for part in (table[0, ...], table[1, ...]))
        return xp.where(runs, away, calm)

    return drawn(held.over), drawn(held.sent)


def learned(held: LengthTables, own: Array, sent: Sent) -> tuple[Array, Array]:
    """(H, O) log weights after an answer, and nats in favour of starting afresh."""
    xp = namespace(own)
    runs = sent.heat >= constant(own, ONSETS)
    log = xp.log(xp.where(sent.tokens > 1.0, sent.tokens, xp.ones_like(sent.tokens)))
    grown = xp.astype(runs, own.dtype) * RUNAWAY
    z = (log - held.log_median[:, None] - grown[None, :]) / held.spread[:, None]
    seen = -0.5 * z * z - xp.log(held.spread)[:, None]
    calm, away = (part[:, sent.cap][:, None] for part in (held.log_over[0], held.log_over[1]))
    said = xp.where(sent.cut > 0.5, xp.where(runs[None, :], away, calm), seen)
    least = xp.max(said) - MOST_SURPRISE
    said = xp.where(said > least, said, least)
    said = xp.where(sent.failed > 0.5, xp.zeros_like(said), said)
    after = own + said
    total, before, afresh = (_log_sum(x) for x in (after, own, held.prior + said))
    return after - total, afresh - (total - before)


def _log_sum(x: Array) -> Array:
    xp = namespace(x)
    top = xp.max(x)
    return xp.log(xp.sum(xp.exp(x - top))) + top


def forgot(held: LengthTables, own: Array, remembered: Array) -> Array:
    """(H, O) log weights after a change: tempered toward their prior."""
    after = remembered * own + (1.0 - remembered) * held.prior
    return after - _log_sum(after)
