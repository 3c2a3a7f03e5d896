"""Which interval serves a target that sees contexts, on logs of a learner that sees them too?

3 contexts x 5 actions under Thompson sampling (`arms.py`), five targets from the best policy to the worst; noise
that is the same everywhere or differs by context and action, contexts that differ in what is best or in level too.
The shipped interval (`evaluators.adaptive`) must
hold in its worst case. Its neighbours are shown to fail: plain doubly robust scores, constant weights with a normal
quantile, and weights that look at the context of their own row.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from evaluators import hajek
from evaluators.adaptive import Params
from evaluators.adaptive_weights import effective_propensity, kish, second_moment, weights
from evaluators.hajek import Fitted
from evaluators.rows import Floats
from experiments.certifying.adaptive_coverage import (
    Found,
    Judged,
    Place,
    failure_claim,
    joined,
    judge,
    worst_claim,
)
from experiments.certifying.arms import Logs, draw_logs

__all__ = ["certify_adaptive_contexts"]

HORIZONS = (200, 1000)  # rounds; 5,000 take five times as long, and were measured once: they hold
SHARPNESS = 3.0  # of the softmax targets
BLOCK = 250  # logs at once
DEFAULT = "hajek_hc2"
FAILING = {
    "plain_dr": "Plain doubly robust scores with a normal quantile",
    "constant_z": "Constant allocation with a normal quantile",
    "two_point_z": "Two-point allocation with a normal quantile",
}
OWN_CONTEXT = "own_context_hc2"


class World(NamedTuple):
    """(3, 5) tables, reward units."""

    mean: Floats
    half_width: Floats  # of the uniform noise


class Scores(NamedTuple):
    """Ingredients of the scores of one target on many logs, (m, T)."""

    part: Floats  # sum_a target q
    reward: Floats
    residual: Floats  # r - q
    importance: Floats  # w of the logged action
    moment: Floats  # E[w^2] given the context


def certify_adaptive_contexts(n_logs: int, seed: int, *, horizons: tuple[int, ...] = HORIZONS) -> Found:
    """Coverage and width of six intervals for five targets on logs of a learner that sees contexts.

    Args:
        n_logs: logs per world.
        seed: of all draws.
        horizons: rounds at which the logs are judged, of 200, 1,000 and 5,000.
    """
    judged = []
    for place, name in enumerate(worlds()):
        judged += joined(_blocks(np.random.default_rng([seed, place]), name, n_logs, horizons))
    by_size = [(n, [one for one in judged if one.place.n == n]) for n in horizons]
    text = "3 worlds x 5 targets"
    claims = [
        worst_claim(
            f"Adaptive logs of {n:,} rounds, least coverage of {DEFAULT} over {text}", _of(DEFAULT, found), slack=2
        )
        for n, found in by_size
    ]
    claims += [
        failure_claim(f"{words} on adaptive logs of {n:,} rounds with contexts", _of(name, found))
        for name, words in FAILING.items()
        for n, found in by_size
    ]
    n, found = by_size[-1]
    words = f"Two-point weights that look at their own row's context, {n:,} rounds"
    claims.append(failure_claim(words, _of(OWN_CONTEXT, found)))
    return Found(tuple(row for one in judged for row in one.measurements()), tuple(claims))


def mean_rewards() -> Floats:
    """(3, 5) every context has another best action, and the third has less to gain."""
    steps = np.linspace(0.0, 1.0, 5)
    return np.stack([steps, np.roll(steps, 2), 0.5 * np.roll(steps, 4) + 0.25])


def worlds() -> dict[str, World]:
    """Alike but for the noise (the same everywhere, or fixed widths from 0.3 to 1.7) and the contexts' levels."""
    even, uneven = np.ones((3, 5)), 0.3 + 1.4 * np.random.default_rng(5).random((3, 5))
    levels = np.arange(3.0)[:, None]
    return {
        "contexts_even_noise": World(mean_rewards(), even),
        "contexts_uneven_noise": World(mean_rewards(), uneven),
        "contexts_levels": World(mean_rewards() + levels, even),
    }


def targets() -> dict[str, Floats]:
    """(3, 5) target probabilities by name."""
    mean, eye = mean_rewards(), np.eye(5)
    return {
        "softmax": _softmax(SHARPNESS * mean),
        "softmax_worst": _softmax(-SHARPNESS * mean),
        "best": eye[mean.argmax(axis=1)],
        "worst": eye[mean.argmin(axis=1)],
        "uniform": np.full((3, 5), 0.2),
    }


def methods(scores: Scores) -> dict[str, Fitted]:
    """Seven fits of one target's value on many logs."""
    propensity = effective_propensity(scores.moment, window=Params().window)
    plain = scores.part + scores.importance * scores.residual
    two_point = weights(propensity, "two_point")
    size = (two_point * scores.importance) ** 2
    return {
        DEFAULT: _hc2(scores, two_point),
        OWN_CONTEXT: _hc2(scores, weights(effective_propensity(scores.moment, window=0), "two_point")),
        "plain_dr": hajek.weighted_mean(plain, np.ones_like(plain)),
        "constant_z": hajek.weighted_mean(plain, weights(propensity, "constant")),
        "two_point_z": hajek.weighted_mean(plain, two_point),
        "two_point_kish": hajek.weighted_mean(plain, two_point, df=kish(size) - 1),
        "no_model_hc2": hajek.hc2(scores.reward, two_point * scores.importance),
    }


def _hc2(scores: Scores, round_weight: Floats) -> Fitted:
    share = round_weight * scores.importance
    return hajek.hc2(scores.residual, share, part=scores.part, round_weight=round_weight)


def score(logs: Logs, target: Floats) -> Scores:
    """Scores of a target with the learner's beliefs as the model: they never saw the rounds they predict."""
    propensity = _logged(logs, logs.rounds(logs.prob))
    model = _logged(logs, logs.rounds(logs.believed))
    return Scores(
        part=logs.rounds(np.einsum("ck,vmck->vmc", target, logs.believed)),
        reward=logs.reward,
        residual=logs.reward - model,
        importance=target[logs.context, logs.action] / propensity,
        moment=logs.rounds(second_moment(logs.prob, np.broadcast_to(target, logs.prob.shape))),
    )


def _logged(logs: Logs, table: Floats) -> Floats:
    return np.asarray(np.take_along_axis(table, logs.action[..., None].astype(np.int64), axis=-1)[..., 0])


def _softmax(logits: Floats) -> Floats:
    weight = np.exp(logits)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _blocks(rng: np.random.Generator, world: str, n_logs: int, horizons: tuple[int, ...]) -> Iterator[list[Judged]]:
    mean, half_width = worlds()[world]
    for first in range(0, n_logs, BLOCK):
        size = min(BLOCK, n_logs - first)
        logs = draw_logs(rng, mean, n_logs=size, n_rounds=max(horizons), half_width=half_width)
        found = []
        for name, target in targets().items():
            truth, scores = float((target * mean).sum(axis=1).mean()), score(logs, target)
            for n in horizons:
                fits = methods(Scores(*(array[:, :n] for array in scores)))
                found += [judge(Place(world, name, method, n), fitted, truth) for method, fitted in fits.items()]
        yield found


def _of(method: str, judged: list[Judged]) -> list[Judged]:
    return [one for one in judged if one.place.method == method]
