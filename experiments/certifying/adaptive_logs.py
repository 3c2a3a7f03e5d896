"""Is the mean of an arm still covered when the logger learned while it logged? All arms, three signals, three sizes.

Three arms under Thompson sampling (`arms.py`). The two-point Hajek intervals must hold in their worst case; the
sample mean and the two-point interval with a normal quantile are the controls and must be seen to fail. Then the
noise changes while the logger logs: one pooled variance must be seen to fail, HC2 to hold.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from evaluators.adaptive_weights import two_point
from evaluators.hajek import Fitted, hc2, pooled, weighted_mean
from evaluators.rows import Bools, Floats
from experiments.certifying.adaptive_coverage import (
    Found,
    Judged,
    Place,
    failure_claim,
    joined,
    judge,
    width_claim,
    worst_claim,
)
from experiments.certifying.arms import SIGNALS, Logs, draw_logs

__all__ = ["certify_adaptive_logs"]

HORIZONS = (200, 1000, 5000)  # rounds
SHORT = (200, 1000)  # rounds; judged on further logs, whose Monte Carlo error would otherwise decide the worst arm
MORE = 2  # short logs for every long one, besides the beginnings of the long ones
NOISE_HORIZON, NOISE_SIGNALS = 1000, ("no_signal", "high_signal")
MAX_WIDTH = {"hajek_pooled": 0.87, "hajek_hc2": 0.91}  # reward units, high signal, arm 0, 1,000 rounds
HAJEK = tuple(MAX_WIDTH)
SAMPLE_MEAN, TWO_POINT_Z = "sample_mean", "two_point_z"
BLOCK = 250  # logs at once: 10 MB an array at 5,000 rounds
WIDEST, NARROWEST = 1.8, 0.2  # half-width of noise that drifts, reward units


def certify_adaptive_logs(n_logs: int, seed: int) -> Found:
    """Coverage and width of four intervals for every arm's mean; of two under noise that changes.

    Args:
        n_logs: logs of 5,000 rounds per signal; three times as many begin with 200 and 1,000, half as many per
            kind of noise.
        seed: of all draws.
    """
    judged, noisy = [], []
    for place, (signal, mean) in enumerate(SIGNALS.items()):
        rng = np.random.default_rng([seed, place])
        plans = ((n_logs, HORIZONS), (MORE * n_logs, SHORT))
        judged += joined(block for n, sizes in plans for block in _signal_blocks(rng, signal, n_logs=n, horizons=sizes))
        for name, half_width in noises(NOISE_HORIZON).items() if signal in NOISE_SIGNALS else ():
            noisy += joined(_noise_blocks(rng, f"{signal}_{name}", mean, half_width, n_logs=max(n_logs // 2, 2)))
    claims = [
        worst_claim(f"Adaptive logs of {n:,} rounds, least coverage of {name} over 3 signals x 3 arms", chosen)
        for name in HAJEK
        for n in HORIZONS
        if (chosen := _pick(judged, method=name, n=n))
    ]
    high = {name: _pick(judged, method=name, n=1000, world="high_signal") for name in (*HAJEK, TWO_POINT_Z)}
    claims += [
        width_claim(f"Mean width of {name} at 1,000 rounds, high signal, arm 0", high[name][0], limit)
        for name, limit in MAX_WIDTH.items()
    ]
    flat = _pick(judged, method=SAMPLE_MEAN, n=1000, world="no_signal")
    claims.append(failure_claim("The sample mean with Student's t at 1,000 rounds of no signal", flat))
    claims.append(failure_claim("Two-point weights with a normal quantile at 1,000 rounds", high[TWO_POINT_Z][:1]))
    claims.append(failure_claim("hajek_pooled where noise falls while the logger logs", _falling(noisy)))
    robust = _pick(noisy, method="hajek_hc2", n=NOISE_HORIZON)
    claims.append(worst_claim("hajek_hc2 where noise differs by arm, rises or falls", robust, slack=2.0))
    rows = [row for one in (*judged, *noisy) for row in one.measurements()]
    return Found(tuple(rows), tuple(claims))


def noises(n_rounds: int) -> Mapping[str, Floats]:
    """Half-widths (T, 1, k or 1) of noise the learner knows nothing of: by arm, rising or falling with log t."""
    share = np.log(np.arange(1, n_rounds + 1)) / np.log(n_rounds)
    rising = NARROWEST + (WIDEST - NARROWEST) * share[:, None, None]
    return {
        "noise_by_arm": np.array([[[WIDEST, NARROWEST, 1.0]]]),
        "rising_noise": rising,
        "falling_noise": WIDEST + NARROWEST - rising,
    }


def methods(reward: Floats, played: Bools, propensity: Floats) -> dict[str, Fitted]:
    """Four fits of one arm's mean on many logs, (m, T) arrays; the first two are `hajek.arm_mean`."""
    round_weight = two_point(propensity)
    share = round_weight / propensity * played
    return {
        "hajek_pooled": pooled(reward, share),
        "hajek_hc2": hc2(reward, share),
        SAMPLE_MEAN: pooled(reward, played.astype(np.float64)),
        TWO_POINT_Z: weighted_mean(_scores(reward, played, propensity), round_weight),
    }


def _scores(reward: Floats, played: Bools, propensity: Floats) -> Floats:
    """Doubly robust scores (m, T) with the arm's running mean as the model, 0 before its first pull."""
    hits = played.cumsum(axis=1) - played
    before = (reward * played).cumsum(axis=1) - reward * played
    model = before / np.maximum(hits, 1)
    return np.asarray(model + played / propensity * (reward - model))


def _signal_blocks(
    rng: np.random.Generator, world: str, *, n_logs: int, horizons: tuple[int, ...]
) -> Iterator[list[Judged]]:
    mean = SIGNALS[world]
    for size in _sizes(n_logs):
        logs = draw_logs(rng, np.array([mean]), n_logs=size, n_rounds=max(horizons))
        yield [
            judge(Place(world, f"arm {arm}", name, n), fitted, truth)
            for n in horizons
            for arm, truth in enumerate(mean)
            for name, fitted in methods(*_arm(logs.cut(n), arm)).items()
        ]


def _noise_blocks(
    rng: np.random.Generator, world: str, mean: tuple[float, ...], half_width: Floats, *, n_logs: int
) -> Iterator[list[Judged]]:
    for size in _sizes(n_logs):
        logs = draw_logs(rng, np.array([mean]), n_logs=size, n_rounds=NOISE_HORIZON, half_width=half_width)
        found = []
        for arm, truth in enumerate(mean):
            reward, played, propensity = _arm(logs, arm)
            share = two_point(propensity) / propensity * played
            for name, fit in (("hajek_pooled", pooled), ("hajek_hc2", hc2)):
                found.append(judge(Place(world, f"arm {arm}", name, NOISE_HORIZON), fit(reward, share), truth))
        yield found


def _sizes(n_logs: int) -> list[int]:
    return [min(BLOCK, n_logs - first) for first in range(0, n_logs, BLOCK)]


def _arm(logs: Logs, arm: int) -> tuple[Floats, Bools, Floats]:
    """Rewards, pulls and propensities (m, T) of one arm."""
    return logs.reward, logs.action == arm, logs.rounds(logs.prob[..., arm])


def _pick(judged: list[Judged], *, method: str, n: int, world: str = "") -> list[Judged]:
    """The arms' judgements of one method and size; of one world if it is named."""
    return [one for one in judged if one.place.method == method and one.place.n == n and world in ("", one.place.world)]


def _falling(noisy: list[Judged]) -> list[Judged]:
    return [one for one in noisy if one.place.method == "hajek_pooled" and one.place.world.endswith("falling_noise")]
