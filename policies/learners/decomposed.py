"""The flagship: quality, length and latency learned apart, prices known, reward composed in closed form.

Quality is exact Bayes over plausible shapes, hedged by a plain prior that evidence may
prefer; length is exact Bayes over curves, with censoring; latency is a line in tokens;
prices are what the decision says they are, so a price change re-composes and re-learns
nothing. Each component watches itself for change and then forgets in part. Quality and
length are independent a posteriori and the reward is bilinear in them, so the posterior
mean of the whole lattice is exact. The vector is Thompson sampling by fixed draws, made
bolder; where answers are being cut off, part of it moves to the largest cap in reach, which
tells the length curve below it as well.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np

from envs.arrays import Array, choose, namespace, set_row
from envs.lattice import coordinates
from envs.world import Outcome
from policies.base import Belief, Choice, Decision, Feedback, Policy, Question, Spec
from policies.learners.thompson import best_by_draws
from policies.parts import bills, lengths, quality
from policies.parts.curves import LengthTables, length_tables
from policies.parts.quality import Quality, QualitySettings, QualityTables
from policies.parts.sampling import row_of

__all__ = ["Params", "make", "ready"]

TOKENS = 1  # the axis of max_tokens
MOST_NATS = 1.0  # that one answer may say for starting afresh: an outlier is not a change


@dataclass(frozen=True)
class Params:
    """Numbers of the flagship."""

    floor: float = field(default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    bold: float = field(default=3.0, metadata={"gt": 0.0, "le": 10.0, "unit": "factor on the draws that explore"})
    longest: float = field(
        default=0.8, metadata={"ge": 0.0, "le": 1.0, "unit": "mass at the largest cap, were all cut"}
    )
    hedge: float = field(default=0.1, metadata={"gt": 0.0, "lt": 1.0, "unit": "prior probability of the plain belief"})
    trust: float = field(default=0.9, metadata={"gt": 0.0, "le": 1.0, "unit": "power of the shapes' likelihood"})
    scatter: float = field(default=0.25, metadata={"gt": 0.0, "le": 4.0, "unit": "first guess of var / m(1 - m)"})
    guesses: float = field(default=6.0, metadata={"gt": 0.0, "le": 1e4, "unit": "observations it is worth"})
    amplitude: float = field(default=0.6, metadata={"gt": 0.0, "le": 2.0, "unit": "quality at a shape's top"})
    amplitude_sd: float = field(default=0.25, metadata={"gt": 0.0, "le": 2.0, "unit": "quality"})
    kept_sd: float = field(default=0.2, metadata={"gt": 0.0, "le": 1.0, "unit": "share that cut-off answers keep"})
    alarm: float = field(default=6.0, metadata={"gt": 0.0, "le": 1e3, "unit": "nats in favour of starting afresh"})
    remembered: float = field(default=0.2, metadata={"gt": 0.0, "lt": 1.0, "unit": "of the evidence, after an alarm"})
    shapes: int = field(default=6000, metadata={"ge": 64, "le": 10**5, "static": True, "unit": "hypotheses"})
    rank: int = field(default=40, metadata={"ge": 4, "le": 256, "static": True, "unit": "features of the plain belief"})
    n_draws: int = field(default=64, metadata={"ge": 2, "le": 4096, "static": True, "unit": "posterior draws, even"})


class Numbers(NamedTuple):
    """What the learner computes with.

    Attributes:
        own: its parameters, floor: () that of them.
        quality, length: tables of the lattice.
        caps: (M,) tokens, heat: (T,) temperatures.
        worth: (tasks, 6) reward weights.
        prices: (models, 2) USD per million input and output tokens.
    """

    own: Params
    floor: Array
    quality: QualityTables
    length: LengthTables
    caps: Array
    heat: Array
    worth: Array
    prices: Array


class State(NamedTuple):
    """Per task type, leading axis n: the fields of `Quality`, then the other components and what watches them.

    Attributes:
        length: (n, H, O) log weights.
        latency: (n, models, 5) sums, as `policies.parts.bills.line`.
        asked: (n, 2) calls and their input tokens, in 1,000.
        watch: (n, 3) nats in favour of starting afresh: quality, length, latency.
        alarms: (n, 3) how often each forgot.
    """

    precision: Array
    moment: Array
    theta: Array
    root: Array
    kept: Array
    odds: Array
    scatter: Array
    length: Array
    latency: Array
    asked: Array
    watch: Array
    alarms: Array

    def quality(self) -> Quality:
        """The fields of the quality belief."""
        return Quality(*self[: len(Quality._fields)])


def ready(params: Params, spec: Spec) -> Numbers:
    """The learner's numbers on a lattice.

    Raises:
        ValueError: a world that does not say what its outcomes are worth, or whose costs count at unknown prices.
    """
    if not spec.worth:
        raise ValueError("decomposed composes the reward from its parts, this world does not say what they are worth")
    if not spec.prices and any(row[1] for row in spec.worth):
        raise ValueError("this world weighs cost but knows no prices, decomposed needs them; set world.reward.cost=0")
    apart, caps = spec.values[:TOKENS] + spec.values[TOKENS + 1 :], spec.values[TOKENS]
    settings = QualitySettings(*(getattr(params, name) for name in QualitySettings._fields))
    return Numbers(
        own=params,
        floor=np.float64(params.floor),
        quality=quality.tables(apart, settings, count=params.shapes, rank=params.rank),
        length=length_tables(caps),
        caps=np.array(caps),
        heat=np.array(spec.values[0]),
        worth=np.array(spec.worth),
        prices=np.array(spec.prices or ((0.0, 0.0),) * spec.shape[-1]),
    )


def _start(spec: Spec, numbers: Numbers) -> State:
    n = spec.n_tasks
    return State(
        *quality.start(numbers.quality, n),
        length=numbers.length.prior + np.zeros((n, 1, 1)),
        latency=np.zeros((n, spec.shape[-1], 5)),
        asked=np.tile(np.array([1e-3, 0.0]), (n, 1)),
        watch=np.zeros((n, 3)),
        alarms=np.zeros((n, 3)),
    )


class _Places(NamedTuple):
    """Where actions stand: temperature, cap, point of the quality surface, model; (m,) or () each."""

    heat: Array
    cap: Array
    point: Array
    model: Array


def _places(spec: Spec, ids: Array) -> _Places:
    grid = coordinates(spec.shape, ids)
    point = 0 * ids
    for axis, size in enumerate(spec.shape):
        if axis != TOKENS:
            point = point * size + grid[..., axis]
    return _Places(grid[..., 0], grid[..., TOKENS], point, grid[..., -1])


def _of(state: State, task: Array) -> State:
    return State(*(row_of(leaf, task) for leaf in state))


def _beside(numbers: Numbers, like: Array) -> Numbers:
    """The numbers with their tables in the library of `like`: a traced graph is handed NumPy's."""
    xp = namespace(like)
    curves = QualityTables(*(xp.asarray(part) for part in numbers.quality))
    sizes = LengthTables(*(xp.asarray(part) for part in numbers.length))
    return Numbers(numbers.own, numbers.floor, curves, sizes, *(xp.asarray(part) for part in numbers[4:]))


def _bill(numbers: Numbers, own: State, question: Question) -> bills.Bill:
    prices = numbers.prices * question.prices[None, :]
    return bills.bill(row_of(numbers.worth, question.task), prices, (own.latency, own.asked))


def _outlook(spec: Spec, numbers: Numbers, state: State, question: Question) -> Array:
    """(actions,) exact posterior mean: over the whole lattice, with all axes but max_tokens folded into quality."""
    own = _of(state, question.task)
    xp, lost, weight = namespace(own.theta), _bill(numbers, own, question), lengths.weights(own.length)
    whole, kept = quality.means(numbers.quality, own.quality())
    whole = xp.reshape(whole, (spec.shape[0], 1, -1, spec.shape[-1]))
    over, sent = (
        lengths.averaged(table, weight, numbers.heat)[:, :, None, None]
        for table in (numbers.length.over, numbers.length.sent)
    )
    made = whole * (1.0 - (1.0 - kept) * over)
    room = (lost.reserved * numbers.caps / 4096.0)[None, :, None, None]
    spent = lost.fixed + lost.each * sent / 1e3 + room
    return xp.reshape(row_of(numbers.worth, question.task)[0] * made - spent, (-1,))


def _belief(spec: Spec, numbers: Numbers, state: State, question: Question, ids: Array) -> Belief:
    own, at, n_draws = _of(state, question.task), _places(spec, ids), numbers.own.n_draws
    xp, lost = namespace(own.theta), _bill(numbers, own, question)
    heat = xp.take(numbers.heat, at.heat, axis=0)
    whole, kept = quality.sampled(numbers.quality, own.quality(), at.point, n_draws=n_draws)
    over, sent = lengths.sampled(numbers.length, own.length, (heat, at.cap), n_draws=n_draws)
    each = xp.take(lost.each, at.model, axis=0)[:, None] * sent / 1e3  # what all draws share falls out with their mean
    draws = row_of(numbers.worth, question.task)[0] * whole * (1.0 - (1.0 - kept[None, :]) * over) - each
    mean = xp.take(_outlook(spec, numbers, state, question), ids, axis=0)
    off = draws - xp.mean(draws, axis=-1)[:, None]
    return Belief(mean, xp.sqrt(xp.mean(off * off, axis=-1)), mean[:, None] + off)


def _probs(spec: Spec, numbers: Numbers, own: State, decision: Decision, belief: Belief) -> Array:
    """Thompson's vector, part of it moved to the largest feasible cap of the window."""
    xp, window, at = namespace(belief.mean), decision.window, _places(spec, decision.window.action_ids)
    wide = belief.mean[:, None] + numbers.own.bold * (belief.draws - belief.mean[:, None])
    p = best_by_draws(wide, window.feasible, span=decision.span)
    top = xp.max(xp.where(window.feasible, at.cap, -1))
    over = lengths.averaged(numbers.length.over, lengths.weights(own.length), numbers.heat)
    move = numbers.own.longest * row_of(row_of(over, row_of(at.heat, window.incumbent)), top) * p
    sizes = [len({offset[i] for offset in spec.offsets}) for i in range(len(spec.shape))]
    block = (-1, sizes[TOKENS], int(np.prod(sizes[TOKENS + 1 :])))
    there = xp.reshape(xp.astype(window.feasible & (at.cap == top), p.dtype), block)
    moved = xp.reshape(xp.sum(xp.reshape(move, block), axis=1)[:, None, :] * there, (-1,))
    left = xp.sum(move) - xp.sum(moved)  # of points whose largest cap is not feasible
    return p - move + moved + left * p


def _watched(numbers: Numbers, own: State, nats: Array) -> State:
    """CUSUM of the log Bayes factor of starting afresh, per component; an alarm forgets in part."""
    xp, kept = namespace(own.watch), numbers.own.remembered
    level = own.watch + xp.clip(nats, -MOST_NATS, MOST_NATS)
    level = xp.where(level > 0.0, level, xp.zeros_like(level))
    rings = level > numbers.own.alarm
    fresh = own._replace(**quality.forgot(numbers.quality, own.quality(), kept)._asdict())
    return choose(rings[0], fresh, own)._replace(
        length=xp.where(rings[1], lengths.forgot(numbers.length, own.length, kept), own.length),
        latency=xp.where(rings[2], kept * own.latency, own.latency),
        watch=xp.where(rings, xp.zeros_like(level), level),
        alarms=own.alarms + xp.astype(rings, own.alarms.dtype),
    )


def _learned(spec: Spec, numbers: Numbers, own: State, seen: tuple[Decision, Choice, Outcome]) -> State:
    """What one task type knows after one outcome."""
    decision, choice, parts = seen
    xp, worth = namespace(own.theta), numbers.worth[decision.task]
    at = _Places(*(place[0] for place in _places(spec, xp.reshape(choice.action_id, (1,)))))
    grade = parts.quality - worth[5] / xp.where(worth[0] > 0.0, worth[0], xp.ones_like(worth[0])) * parts.failure
    answer = quality.Answer(at.point, grade, parts.truncated)
    sent = lengths.Sent(numbers.heat[at.heat], at.cap, parts.output_tokens, parts.truncated, parts.failure)
    paid = bills.Paid(at.model, parts.output_tokens / 1e3, parts.latency_ms / 1e3, parts.cost_usd)
    graded, by_quality = quality.learned(numbers.quality, own.quality(), answer)
    length, by_length = lengths.learned(numbers.length, own.length, sent)
    latency, by_latency = bills.latency(own.latency, paid)
    asked = bills.asked(own.asked, paid, numbers.prices[at.model] * xp.astype(decision.prices, own.theta.dtype))
    after = own._replace(**graded._asdict(), length=length, latency=latency, asked=asked)
    return _watched(numbers, after, xp.stack([by_quality, by_length, by_latency]))


def _update(spec: Spec, numbers: Numbers, state: State, seen: tuple[Decision, Choice, Feedback]) -> State:
    decision, choice, feedback = seen
    xp, dtype = namespace(state.theta), state.theta.dtype
    parts = [xp.astype(xp.asarray(part), dtype) for part in feedback.outcome]
    known = feedback.valid & xp.all(xp.isfinite(xp.stack(parts)))
    outcome = Outcome(*(xp.where(known, part, xp.zeros_like(part)) for part in parts))
    own = _of(state, decision.task)
    after = choose(known, _learned(spec, numbers, own, (decision, choice, outcome)), own)
    return State(*(set_row(leaf, decision.task, row) for leaf, row in zip(state, after, strict=True)))


@cache
def make(spec: Spec) -> Policy:
    """The decomposed policy of a lattice's shape."""

    def init(numbers: Numbers) -> State:
        return _start(spec, numbers)

    def belief(numbers: Numbers, state: State, question: Question, ids: Array) -> Belief:
        return _belief(spec, _beside(numbers, state.theta), state, question, ids)

    def probs(numbers: Numbers, state: State, decision: Decision, held: Belief) -> Array:
        return _probs(spec, _beside(numbers, state.theta), _of(state, decision.task), decision, held)

    def update(numbers: Numbers, state: State, decision: Decision, choice: Choice, feedback: Feedback) -> State:
        return _update(spec, numbers, state, (decision, choice, feedback))

    def outlook(numbers: Numbers, state: State, question: Question) -> Array:
        return _outlook(spec, _beside(numbers, state.theta), state, question)

    return Policy(init, None, belief, probs, update, outlook)
