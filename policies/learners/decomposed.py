"""The flagship: quality, length and latency learned apart, prices known, reward composed in closed form.

Quality is a Gaussian belief over surfaces, hedged between an informed prior and a plain
one by evidence; length is exact Bayes over a grid of hypotheses with censoring; latency is
a line in tokens; prices are what the decision says they are, so a price change re-composes
and re-learns nothing. Each component watches itself for change and then forgets in part.
The vector is Thompson sampling by fixed draws, half of it moved to the largest cap in
reach: a longer answer tells the length curve below it as well.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, choose, namespace, set_row, sigmoid
from envs.lattice import coordinates
from envs.reward import Weights
from policies.base import Belief, Choice, Decision, Feedback, Policy, Question, Spec
from policies.draws import normal_draws
from policies.learners.thompson import best_by_draws
from policies.length_prior import ONSETS, RUNAWAY, LengthTables, length_tables
from policies.quality_prior import Prior, plain, shapes

__all__ = ["Params", "make", "ready"]
STEPS = (0.6180339887498949, 0.7548776662466927, 0.8191725133961645)  # roots of x^(d + 1) = x + 1, inverted
TOKENS = 1  # the axis of max_tokens
KEPT = 0.15  # of the quality of a whole answer, an answer that was cut off keeps a priori
MOST_EVIDENCE = 2.0  # nats that one answer may say for either prior
MOST_ODDS = 6.0  # nats between them: neither is ever given up
MOST_NATS = 1.0  # that one answer may say for starting afresh: an outlier is not a change
MOST_SURPRISE = 8.0  # nats: a wrong family of lengths must not kill a hypothesis at once
LATENCY_SD = 0.25  # of log latency around its line, at most taken for granted
LEAST_SPREAD = 0.06  # of m (1 - m): graded answers near 0 or 1 still vary


@dataclass(frozen=True)
class Params:
    """Numbers of the flagship."""

    floor: float = field(default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    bold: float = field(default=3.0, metadata={"gt": 0.0, "le": 10.0, "unit": "posterior SDs per SD of the draws that explore"})
    longest: float = field(default=0.8, metadata={"ge": 0.0, "le": 1.0, "unit": "mass at the largest cap if all were cut"})
    hedge: float = field(default=0.1, metadata={"gt": 0.0, "lt": 1.0, "unit": "prior probability of the plain prior"})
    scatter: float = field(default=0.25, metadata={"gt": 0.0, "le": 4.0, "unit": "prior guess of var / m(1 - m)"})
    guesses: float = field(default=6.0, metadata={"gt": 0.0, "le": 1e4, "unit": "observations that guess is worth"})
    cut_sd: float = field(default=0.2, metadata={"gt": 0.0, "le": 1.0, "unit": "share of quality cut-off answers keep"})
    amplitude: float = field(default=0.6, metadata={"gt": 0.0, "le": 2.0, "unit": "quality, prior mean of the top"})
    amplitude_sd: float = field(default=0.25, metadata={"gt": 0.0, "le": 2.0, "unit": "quality"})
    trust: float = field(default=0.9, metadata={"gt": 0.0, "le": 1.0, "unit": "power of the likelihood of shapes"})
    alarm: float = field(default=6.0, metadata={"gt": 0.0, "le": 1e3, "unit": "nats in favour of starting afresh"})
    remembered: float = field(default=0.2, metadata={"ge": 0.0, "le": 1.0, "unit": "of the evidence, after an alarm"})
    n_draws: int = field(default=64, metadata={"ge": 2, "le": 4096, "static": True, "unit": "posterior draws, even"})
    shapes: int = field(default=3000, metadata={"ge": 64, "le": 10**5, "static": True, "unit": "hypotheses of quality"})
    plain_rank: int = field(default=40, metadata={"ge": 4, "le": 256, "static": True, "unit": "features of the plain prior"})


class Numbers(NamedTuple):
    """What the learner computes with: its parameters and the tables of one lattice."""

    own: Params
    floor: Array
    shapes: Array  # (N, Q)
    fits: Array  # (2,) prior precision of an amplitude, and precision times mean
    drawn: Array  # (Q, 2) prior mean and variance of quality under the shapes
    plain: Prior
    length: LengthTables
    caps: Array  # (M,) tokens
    heat: Array  # (T,) temperatures
    worth: Array  # (tasks, 6)
    prices: Array  # (models, 2)
    odds: Array  # () log prior odds of the informed prior
    scatter: Array  # (2,) prior observations and sum


class State(NamedTuple):
    """Per task type: two quality beliefs, length weights, latency sums, and what watches them.

    Attributes:
        precision, moment: (n, N) of each shape's amplitude: precision, and precision times mean.
        theta: (n, D) coefficients of the plain prior.
        root: (n, D, D) root of their covariance.
        kept: (n, 2) precision, and precision times mean, of the share of quality that cut-off answers keep.
        odds: (n,) log evidence of the informed over the plain prior.
        scatter: (n, 2) observations and sum behind the estimate of var / m(1 - m).
        length: (n, H, O) log weights.
        latency: (n, models, 5) count, sums of x, x^2, y, x y; x in 1,000 tokens, y in seconds.
        asked: (n, 2) count and sum of input tokens, in 1,000.
        watch: (n, 3) nats in favour of starting afresh: quality, length, latency.
        alarms: (n, 3) how often each did.
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


def ready(params: Params, spec: Spec) -> Numbers:
    """The learner's numbers on a lattice.

    Raises:
        ValueError: a world that does not say what its outcomes are worth.
    """
    if not spec.worth:
        raise ValueError("decomposed composes the reward from its parts, this world does not say what they are worth")
    apart, caps = spec.values[:TOKENS] + spec.values[TOKENS + 1 :], spec.values[TOKENS]
    table, precision = shapes(apart, params.shapes), params.amplitude_sd**-2
    mean, square = table.mean(axis=0), (table**2).mean(axis=0)
    variance = square * (params.amplitude**2 + params.amplitude_sd**2) - (params.amplitude * mean) ** 2
    return Numbers(
        own=params,
        floor=np.float64(params.floor),
        shapes=table,
        fits=np.array([precision, precision * params.amplitude]),
        drawn=np.stack([params.amplitude * mean, variance], axis=1),
        plain=plain(apart, params.plain_rank),
        length=length_tables(caps),
        caps=np.array(caps),
        heat=np.array(spec.values[0]),
        worth=np.array(spec.worth),
        prices=np.array(spec.prices or ((0.0, 0.0),) * spec.shape[-1]),
        odds=np.float64(np.log((1.0 - params.hedge) / params.hedge)),
        scatter=np.array([params.guesses, params.guesses * params.scatter]),
    )


def _even(n: int, step: float) -> NDArray[np.float64]:
    """(n,) evenly spaced numbers in (0, 1), in the order of a Kronecker sequence."""
    return (np.argsort(np.argsort((np.arange(n) + 1.0) * step % 1.0)) + 0.5) / n


class _Places(NamedTuple):
    """Where actions (m,) stand: temperature, cap, point of the quality surface, model; (m,) each."""

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


def _constant(like: Array, values: object) -> Array:
    xp = namespace(like)
    return xp.astype(xp.asarray(np.asarray(values)), like.dtype)


def _weights(state: State, task: Array) -> Array:
    """(H, O) posterior weights of the length hypotheses."""
    xp = namespace(state.length)
    held = xp.exp(state.length[task])
    return held / xp.sum(held)


def _curve(numbers: Numbers, table: Array, weights: Array) -> Array:
    """(T, M) a length table averaged over hypotheses, those past their onset running away."""
    xp = namespace(weights)
    calm, away = weights.T @ table[0], weights.T @ table[1]  # (O, M)
    runs = xp.astype(numbers.heat[:, None] >= _constant(weights, ONSETS)[None, :], weights.dtype)
    return (1.0 - runs) @ calm + runs @ away


def _line(state: State, task: Array) -> tuple[Array, Array]:
    """(models,) seconds before the first token, and per 1,000 tokens."""
    n, x, xx, y, xy = (state.latency[task][:, i] for i in range(5))
    n, y, xx, xy = n + 0.5, y + 0.25, xx + 0.02, xy + 0.2  # a priori half a second, and ten per 1,000 tokens
    determinant = n * xx - x * x
    return (xx * y - x * xy) / determinant, (n * xy - x * y) / determinant


class _Bill(NamedTuple):
    """Reward lost per model (models,): at once, per 1,000 tokens; () per 4,096 reserved."""

    fixed: Array
    each: Array
    reserved: Array


def _bill(numbers: Numbers, state: State, question: Question) -> _Bill:
    worth = Weights(*(numbers.worth[question.task][i] for i in range(6)))
    first, each = _line(state, question.task)
    asked = state.asked[question.task][1] / state.asked[question.task][0]
    price = numbers.prices * question.prices[None, :] / 1e3  # USD per 1,000 tokens
    fixed = worth.cost * price[:, 0] * asked + worth.latency * first
    return _Bill(fixed, worth.cost * price[:, 1] + worth.latency * each + worth.tokens, worth.reservation)


def _masses(own: State) -> tuple[Array, Array]:
    """(N,) log posterior weight of each shape, not normalised, and () log of their sum."""
    xp = namespace(own.moment)
    held = 0.5 * (own.moment * own.moment / own.precision - xp.log(own.precision))
    top = xp.max(held)
    return held, xp.log(xp.sum(xp.exp(held - top))) + top


def _surface_means(numbers: Numbers, state: State, task: Array) -> tuple[Array, Array]:
    """(Q,) posterior mean of the quality of whole answers, and () of the share that cut-off ones keep."""
    xp, w = namespace(state.theta), sigmoid(state.odds[task])
    own = State(*(leaf[task] for leaf in state))
    held, total = _masses(own)
    a = (xp.exp(held - total) * own.moment / own.precision) @ numbers.shapes
    b = numbers.plain.mean + numbers.plain.features @ own.theta
    return w * a + (1.0 - w) * b, own.kept[1] / own.kept[0]


def _outlook(spec: Spec, numbers: Numbers, state: State, question: Question) -> Array:
    xp, task = namespace(state.theta), question.task
    quality, extra = _surface_means(numbers, state, task)
    weights, bill = _weights(state, task), _bill(numbers, state, question)
    over, sent = (_curve(numbers, table, weights) for table in (numbers.length.over, numbers.length.sent))
    whole = xp.reshape(quality, (spec.shape[0], 1, -1, spec.shape[-1]))
    over, sent = over[:, :, None, None], sent[:, :, None, None]
    made = whole * (1.0 - (1.0 - extra) * over)
    lost = bill.fixed + bill.each * sent / 1e3 + (bill.reserved * numbers.caps / 4096.0)[None, :, None, None]
    return xp.reshape(numbers.worth[task][0] * made - lost, (-1,))


def _first_above(reach: Array, at: Array) -> Array:
    """(R,) first entry of a cumulative sum (N,) that exceeds its total times `at` (R,)."""
    xp = namespace(reach)
    below = xp.astype(reach[None, :] <= at[:, None] * reach[-1], xp.int32)
    return xp.clip(xp.sum(below, axis=-1, dtype=xp.int32), 0, reach.shape[0] - 1)


def _sampled(numbers: Numbers, state: State, question: Question, at: _Places) -> tuple[Array, ...]:
    """(m, R) joint draws of quality, of the chance to be cut off, of tokens sent; (R,) of the extra of cut-off answers."""
    xp, task, own = namespace(state.theta), question.task, numbers.own
    own_state = State(*(leaf[task] for leaf in state))
    d, r = state.theta.shape[-1], own.n_draws
    noise = _constant(state.theta, normal_draws(d + 2, r))
    even, mixed, third = (_constant(state.theta, _even(r, step)) for step in STEPS)
    held, total = _masses(own_state)
    reach = xp.cumulative_sum(xp.exp(held - total))
    which = _first_above(reach, third)
    precision, moment = xp.take(own_state.precision, which, axis=0), xp.take(own_state.moment, which, axis=0)
    top = moment / precision + noise[d] / xp.sqrt(precision)
    a = xp.take(xp.take(numbers.shapes, which, axis=0), at.point, axis=1).T * top[None, :]
    one = own_state.theta[:, None] + own_state.root @ noise[:d]
    b = xp.take(numbers.plain.mean, at.point, axis=0)[:, None] + xp.take(numbers.plain.features, at.point, axis=0) @ one
    first = even < sigmoid(own_state.odds)
    reach = xp.cumulative_sum(xp.reshape(_weights(state, task), (-1,)))
    chosen = _first_above(reach, mixed)
    curve, onset = chosen // len(ONSETS), chosen % len(ONSETS)
    runs = xp.take(numbers.heat, at.heat, axis=0)[:, None] >= xp.take(_constant(even, ONSETS), onset, axis=0)[None, :]

    def table(values: Array) -> Array:
        calm, away = (xp.take(xp.take(part, curve, axis=0).T, at.cap, axis=0) for part in (values[0], values[1]))
        return xp.where(runs, away, calm)

    keep = own_state.kept[1] / own_state.kept[0] + noise[d + 1] / xp.sqrt(own_state.kept[0])
    extra = xp.clip(keep, 0.0, 1.0)
    return xp.where(first[None, :], a, b), table(numbers.length.over), table(numbers.length.sent), extra


def _belief(spec: Spec, numbers: Numbers, state: State, question: Question, ids: Array) -> Belief:
    xp, at, bill = namespace(state.theta), _places(spec, ids), _bill(numbers, state, question)
    quality, over, sent, extra = _sampled(numbers, state, question, at)
    made = quality * (1.0 - (1.0 - extra[None, :]) * over)
    lost = xp.take(bill.fixed, at.model, axis=0)[:, None] + xp.take(bill.each, at.model, axis=0)[:, None] * sent / 1e3
    lost = lost + (bill.reserved * xp.take(numbers.caps, at.cap, axis=0) / 4096.0)[:, None]
    draws = numbers.worth[question.task][0] * made - lost
    mean = xp.take(_outlook(spec, numbers, state, question), ids, axis=0)
    off = draws - xp.mean(draws, axis=-1)[:, None]
    return Belief(mean, xp.sqrt(xp.mean(off * off, axis=-1)), mean[:, None] + off)


def _probs(spec: Spec, numbers: Numbers, state: State, decision: Decision, belief: Belief) -> Array:
    """Thompson's vector, part of it moved to the largest feasible cap of the window."""
    xp, window = namespace(belief.mean), decision.window
    wide = belief.mean[:, None] + numbers.own.bold * (belief.draws - belief.mean[:, None])
    p = best_by_draws(wide, window.feasible, span=decision.span)
    at = _places(spec, window.action_ids)
    cap = at.cap
    top = xp.max(xp.where(window.feasible, cap, -1))
    over = _curve(numbers, numbers.length.over, _weights(state, decision.task))
    cut = over[at.heat[window.incumbent], top]
    move = numbers.own.longest * cut * p
    reach = np.array(spec.offsets)[:, TOKENS] - min(o[TOKENS] for o in spec.offsets)
    width = int(reach.max()) + 1
    inner = int(np.prod([len({o[i] for o in spec.offsets}) for i in range(TOKENS + 1, len(spec.shape))]))
    block = xp.sum(xp.reshape(move, (-1, width, inner)), axis=1)[:, None, :]  # mass by temperature and the rest
    there = xp.reshape(xp.astype(window.feasible & (cap == top), p.dtype), (-1, width, inner))
    moved = xp.reshape(block * there, (-1,))
    lost = xp.sum(move) - xp.sum(moved)  # whose largest cap is not feasible stays where it was
    return p - move + moved + lost * p


class _Fit(NamedTuple):
    """One Gaussian belief with one more observation, and what it had expected of it."""

    theta: Array
    root: Array
    mean: Array
    spread: Array  # predictive variance without the noise
    prior: Array  # the same before any data


def _learned(belief: tuple[Array, Array], x: Array, base: Array, observed: tuple[Array, Array]) -> _Fit:
    """Potter's square-root update (Bierman 1977) by value y of variance v."""
    theta, root = belief
    y, v = observed
    xp = namespace(theta)
    f = x @ root
    spread, mean = xp.sum(f * f), base + xp.sum(x * theta)
    alpha = 1.0 / (spread + v)
    gain = root @ f
    shrink = alpha / (1.0 + xp.sqrt(alpha * v))
    return _Fit(
        theta + alpha * (y - mean) * gain, root - shrink * gain[:, None] * f[None, :], mean, spread, xp.sum(x * x)
    )


def _log_density(gap: Array, variance: Array) -> Array:
    """Gaussian log density up to its constant."""
    return -0.5 * (gap * gap / variance + namespace(gap).log(variance))


def _quality(numbers: Numbers, own: State, point: Array, outcome: tuple[Array, Array]) -> tuple[State, Array]:
    """One task type's beliefs after a graded answer, and nats in favour of starting afresh."""
    xp, (y, cut), set_by = namespace(own.theta), outcome, numbers.own
    share = own.kept[1] / own.kept[0]
    keep = 1.0 - (1.0 - share) * cut
    row = numbers.shapes[:, point]
    held, total = _masses(own)
    fits = own.moment / own.precision
    a = xp.sum(xp.exp(held - total) * fits * row)
    features = xp.take(numbers.plain.features, point, axis=0)
    base = numbers.plain.mean[point]
    b = base + xp.sum(features * own.theta)
    w = sigmoid(own.odds)
    whole = w * a + (1.0 - w) * b
    guess = keep * whole
    shape = xp.clip(guess * (1.0 - guess), LEAST_SPREAD, 0.25)
    noise = shape * own.scatter[1] / own.scatter[0] + cut * whole * whole / own.kept[0]
    x, power = row * keep, set_by.trust / noise
    moved = own._replace(precision=own.precision + power * x * x, moment=own.moment + power * x * y)
    each = held - total + _log_density(y - x * fits, x * x / own.precision + noise)
    best = xp.max(each)
    said = xp.log(xp.sum(xp.exp(each - best))) + best
    plain = _learned((own.theta, own.root), features * keep, base * keep, (y, noise))
    answer = _log_density(y - plain.mean, plain.spread + noise)
    first, second = numbers.drawn[point][0] * keep, numbers.drawn[point][1] * keep * keep
    fresh = xp.log(
        w * xp.exp(_log_density(y - first, second + noise))
        + (1.0 - w) * xp.exp(_log_density(y - base * keep, plain.prior + noise))
    )
    known = xp.log(w * xp.exp(said) + (1.0 - w) * xp.exp(answer))
    step = xp.clip(said - answer, -MOST_EVIDENCE, MOST_EVIDENCE)
    ratio = (y - guess) ** 2 / shape
    told = cut * whole / noise
    after = moved._replace(
        theta=plain.theta, root=plain.root,
        kept=own.kept + xp.stack([told * whole, told * y]),
        odds=xp.clip(own.odds + step, -MOST_ODDS, MOST_ODDS),
        scatter=own.scatter + xp.stack([1.0 - cut, ratio * (1.0 - cut)]),
    )  # fmt: skip
    return after, fresh - known


def _length(numbers: Numbers, own: State, at: _Places, outcome: tuple[Array, Array, Array]) -> tuple[State, Array]:
    """One task type's length weights after an answer of so many tokens, cut off or not, or none."""
    xp, (sent, cut, failed), tables = namespace(own.length), outcome, numbers.length
    runs = numbers.heat[at.heat] >= _constant(own.length, ONSETS)
    log = xp.log(xp.where(sent > 1.0, sent, xp.ones_like(sent)))
    shift = xp.astype(runs, own.length.dtype) * RUNAWAY
    z = (log - tables.log_median[:, None] - shift[None, :]) / tables.spread[:, None]
    seen = -0.5 * z * z - xp.log(tables.spread)[:, None]
    calm, away = (part[:, at.cap][:, None] for part in (tables.log_over[0], tables.log_over[1]))
    said = xp.where(cut > 0.5, xp.where(runs[None, :], away, calm), seen)
    said = xp.where(said > xp.max(said) - MOST_SURPRISE, said, xp.max(said) - MOST_SURPRISE)
    said = xp.where(failed > 0.5, xp.zeros_like(said), said)
    top = xp.max(said)
    held = own.length + said
    norm = xp.log(xp.sum(xp.exp(held - xp.max(held)))) + xp.max(held)
    before = xp.log(xp.sum(xp.exp(own.length)))
    fresh = xp.log(xp.sum(xp.exp(tables.prior + said - top))) + top
    return own._replace(length=held - norm), fresh - (norm - before)


def _latency(own: State, model: Array, outcome: tuple[Array, Array]) -> tuple[State, Array]:
    """One task type's latency sums after one more call, and nats in favour of starting afresh."""
    sent, seconds = outcome
    xp, x = namespace(own.latency), sent / 1e3
    whole = State(*(leaf[None] for leaf in own))
    first, each = _line(whole, 0)
    expected = first[model] + each[model] * x
    off = xp.clip(xp.log((seconds + 0.05) / (xp.where(expected > 0.0, expected, 0.0 * x) + 0.05)), -1.5, 1.5)
    here = xp.astype(xp.asarray(np.arange(own.latency.shape[0], dtype=np.int32)) == model, own.latency.dtype)
    row = xp.stack([xp.ones_like(x), x, x * x, seconds, x * seconds])
    known = own.latency[model][0] > 10.0
    return own._replace(latency=own.latency + here[:, None] * row[None, :]), xp.where(
        known, xp.abs(off) / LATENCY_SD - 2.0, 0.0 * x
    )


def _asked(numbers: Numbers, own: State, model: Array, outcome: tuple[Array, Array, Array]) -> State:
    """Input tokens follow from the bill: what was paid, less what was sent, at known prices."""
    cost, sent, prices = outcome
    xp = namespace(own.asked)
    rate = numbers.prices[model] * prices / 1e3
    asked = (cost - rate[1] * sent / 1e3) / xp.where(rate[0] > 0.0, rate[0], xp.ones_like(rate[0]))
    asked = xp.where(rate[0] > 0.0, asked, 0.0 * asked)
    return own._replace(asked=own.asked + xp.stack([xp.ones_like(asked), asked]))


def _watched(numbers: Numbers, own: State, nats: Array) -> State:
    """CUSUM of the log Bayes factor of starting afresh, per component; an alarm forgets in part.

    Quality keeps its mean and gets most of its prior's uncertainty back; length weights are tempered
    toward their prior; latency sums shrink.
    """
    xp, set_by = namespace(own.watch), numbers.own
    level = own.watch + xp.clip(nats, -MOST_NATS, MOST_NATS)
    level = xp.where(level > 0.0, level, xp.zeros_like(level))
    rings = level > set_by.alarm
    keep, wide = set_by.remembered, xp.sqrt(1.0 - set_by.remembered)
    fresh = own._replace(
        precision=keep * own.precision + (1.0 - keep) * numbers.fits[0],
        moment=keep * own.moment + (1.0 - keep) * numbers.fits[1],
        root=wide * _constant(own.root, np.eye(own.root.shape[-1])),
    )
    after = choose(rings[0], fresh, own)
    length = keep * own.length + (1.0 - keep) * numbers.length.prior
    after = after._replace(
        length=xp.where(rings[1], length - xp.log(xp.sum(xp.exp(length))), own.length),
        latency=xp.where(rings[2], keep * own.latency, own.latency),
        watch=xp.where(rings, xp.zeros_like(level), level),
        alarms=own.alarms + xp.astype(rings, own.alarms.dtype),
    )
    return after


def _update(
    spec: Spec, numbers: Numbers, state: State, evaluation: tuple[Decision, Choice, Feedback]
) -> State:
    decision, choice, feedback = evaluation
    xp, dtype = namespace(state.theta), state.theta.dtype
    parts = [xp.astype(xp.asarray(part), dtype) for part in feedback.outcome]
    known = feedback.valid & xp.all(xp.isfinite(xp.stack(parts)))
    quality, sent, latency, cost, failed, cut, _ = (xp.where(known, part, xp.zeros_like(part)) for part in parts)
    at = _Places(*(place[0] for place in _places(spec, xp.reshape(choice.action_id, (1,)))))
    own = State(*(leaf[decision.task] for leaf in state))
    worth = numbers.worth[decision.task]
    y = quality - worth[5] / xp.where(worth[0] > 0.0, worth[0], xp.ones_like(worth[0])) * failed
    after, graded = _quality(numbers, own, at.point, (y, cut))
    after, lengthy = _length(numbers, after, at, (sent, cut, failed))
    after, slow = _latency(after, at.model, (sent, latency / 1e3))
    after = _asked(numbers, after, at.model, (cost, sent, xp.astype(decision.prices, dtype)))
    after = _watched(numbers, after, xp.stack([graded, lengthy, slow]))
    return State(*(set_row(leaf, decision.task, row) for leaf, row in zip(state, choose(known, after, own), strict=True)))


@cache
def make(spec: Spec) -> Policy:
    """The decomposed policy of a lattice's shape."""

    def init(numbers: Numbers) -> State:
        return _start(spec, numbers)

    def belief(numbers: Numbers, state: State, question: Question, ids: Array) -> Belief:
        return _belief(spec, numbers, state, question, ids)

    def probs(numbers: Numbers, state: State, decision: Decision, held: Belief) -> Array:
        return _probs(spec, numbers, state, decision, held)

    def update(numbers: Numbers, state: State, decision: Decision, choice: Choice, feedback: Feedback) -> State:
        return _update(spec, numbers, state, (decision, choice, feedback))

    def outlook(numbers: Numbers, state: State, question: Question) -> Array:
        return _outlook(spec, numbers, state, question)

    return Policy(init, None, belief, probs, update, outlook)


def _start(spec: Spec, numbers: Numbers) -> State:
    n, xp = spec.n_tasks, namespace(numbers.length.prior)
    d, count = numbers.plain.features.shape[1], numbers.shapes.shape[0]
    return State(
        precision=numbers.fits[0] + np.zeros((n, count)),
        moment=numbers.fits[1] + np.zeros((n, count)),
        theta=np.zeros((n, d)),
        root=np.tile(np.eye(d), (n, 1, 1)),
        kept=numbers.own.cut_sd**-2 * np.array([1.0, KEPT]) + np.zeros((n, 1)),
        odds=numbers.odds + np.zeros(n),
        scatter=numbers.scatter + np.zeros((n, 1)),
        length=xp.asarray(numbers.length.prior) + np.zeros((n, 1, 1)),
        latency=np.tile(np.array([1e-3, 0.0, 0.0, 0.0, 0.0]), (n, spec.shape[-1], 1)),
        asked=np.tile(np.array([1e-3, 0.0]), (n, 1)),
        watch=np.zeros((n, 3)),
        alarms=np.zeros((n, 3)),
    )
