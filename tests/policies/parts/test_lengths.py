"""Exact Bayes over a grid of curves: by brute force with scipy's densities and tails."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from policies.parts import lengths
from policies.parts.curves import ONSETS, RUNAWAY, length_tables
from policies.parts.lengths import MOST_SURPRISE, Sent, averaged, forgot, learned, sampled, weights
from tests.hand import generator

CAPS = (100.0, 300.0, 900.0)
HELD = length_tables(CAPS)
HEAT = np.array([0.4, 1.3, 1.5, 2.0])
Rows = list[tuple[float, int, float, bool]]


def sent(heat: float, cap: int, tokens: float, *, cut: bool = False, failed: bool = False) -> Sent:
    return Sent(np.float64(heat), np.int32(cap), np.float64(tokens), np.float64(cut), np.float64(failed))


def answers(n: int, seed: int, *, median: float = 200.0, spread: float = 0.6) -> Rows:
    """Answers of a log-normal that runs away from 1.45 on, under all caps and temperatures."""
    rng, rows = generator(seed), []
    for _ in range(n):
        heat, cap = float(rng.choice(HEAT)), int(rng.integers(3))
        length = median * np.exp(spread * rng.standard_normal() + RUNAWAY * (heat >= 1.45))
        rows.append((heat, cap, float(min(length, CAPS[cap])), bool(length > CAPS[cap])))
    return rows


def told(rows: Rows, own: Any = HELD.prior) -> Any:
    for heat, cap, tokens, cut in rows:
        own = learned(HELD, own, sent(heat, cap, tokens, cut=cut))[0]
    return own


def likelihood(heat: float, cap: int, tokens: float, *, cut: bool) -> np.ndarray:
    """(H, O) log density of the log length, or of being cut off; up to the same constant for all hypotheses."""
    centre = HELD.log_median[:, None] + RUNAWAY * (heat >= np.array(ONSETS))[None, :]
    spread = HELD.spread[:, None] + 0.0 * centre
    if cut:
        return np.asarray(np.log(np.maximum(norm.sf(np.log(CAPS[cap]), centre, spread), 1e-12)))
    return np.asarray(norm.logpdf(np.log(tokens), centre, spread) + 0.5 * np.log(2 * np.pi))


def brute(rows: Rows, surprise: float) -> np.ndarray:
    """(H, O) posterior: the prior times every likelihood, each held within `surprise` nats of its largest."""
    log = HELD.prior.copy()
    for heat, cap, tokens, cut in rows:
        one = likelihood(heat, cap, tokens, cut=cut)
        log += np.maximum(one, one.max() - surprise)
    held = np.exp(log - log.max())
    return np.asarray(held / held.sum())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [0, 1, 15, 120])
def test_the_posterior_is_bayes_over_the_grid(n: int, seed: int) -> None:
    rows = answers(n, seed)
    assert n < 15 or 3 <= sum(cut for *_, cut in rows) <= n - 3  # both kinds are there
    assert weights(told(rows)) == pytest.approx(brute(rows, MOST_SURPRISE), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_without_the_limit_on_surprise_it_is_plain_bayes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "MOST_SURPRISE", np.inf)
    rows = answers(60, seed)
    assert weights(told(rows)) == pytest.approx(brute(rows, np.inf), abs=1e-9)


def test_the_order_of_answers_does_not_matter() -> None:
    rows = answers(60, 5)
    assert weights(told(rows[::-1])) == pytest.approx(weights(told(rows)), abs=1e-12)


def test_nats_are_the_log_bayes_factor_of_starting_afresh() -> None:
    rows = answers(40, 3)
    own, one = told(rows), (0.4, 1, 40.0, False)
    said = likelihood(*one[:3], cut=False)
    said = np.maximum(said, said.max() - MOST_SURPRISE)
    expected = np.log((np.exp(HELD.prior + said)).sum()) - np.log((weights(own) * np.exp(said)).sum())
    nats = learned(HELD, own, sent(*one[:3]))[1]
    assert nats == pytest.approx(expected, abs=1e-9) and nats > 0.5  # 40 tokens are short of 200
    assert learned(HELD, own, sent(0.4, 1, 200.0))[1] < 0.0
    assert learned(HELD, HELD.prior, sent(0.4, 1, 200.0))[1] == pytest.approx(0.0, abs=1e-12)


def test_the_truth_wins_with_every_answer_cut_off_half_the_time() -> None:
    """200 answers of median 200 under caps of 100 to 900: the mean of log median is 5.30 within 4 standard errors.

    At most 0.9 / sqrt(100) for one answer of spread 0.6 in two seen whole, and half a step of the grid.
    """
    weight = weights(told(answers(200, 8)))
    assert (weight.sum(axis=1) @ HELD.log_median) == pytest.approx(np.log(200.0), abs=4 * 0.6 / np.sqrt(100) + 0.07)
    assert weight[:, ONSETS.index(1.45)].sum() > 0.9


def test_a_call_that_failed_teaches_nothing() -> None:
    own = told(answers(10, 1))
    after, nats = learned(HELD, own, sent(1.3, 1, 0.0, failed=True))
    assert weights(after) == pytest.approx(weights(own), abs=1e-12)
    assert nats == pytest.approx(0.0, abs=1e-12)


def test_forgetting_tempers_toward_the_prior() -> None:
    """Log weights are the mean of their own and the prior's, in these shares, up to their sum."""
    own = told(answers(30, 2))
    mixed = 0.2 * own + 0.8 * HELD.prior
    after = forgot(HELD, own, np.float64(0.2))
    assert np.exp(after).sum() == pytest.approx(1.0, abs=1e-12)
    assert after == pytest.approx(mixed - np.log(np.exp(mixed).sum()), abs=1e-9)
    assert weights(forgot(HELD, own, np.float64(1.0))) == pytest.approx(weights(own), abs=1e-12)
    assert forgot(HELD, own, np.float64(0.0)) == pytest.approx(HELD.prior, abs=1e-9)


def test_averages_are_those_of_answers_from_drawn_hypotheses() -> None:
    """40,000 answers, hypothesis first: 24 means within 4.5 standard errors; false alarms below 2e-4."""
    weight, rng, n = weights(told(answers(5, 4))), generator(9), 40_000
    over, tokens = (averaged(table, weight, HEAT) for table in (HELD.over, HELD.sent))
    picked = rng.choice(weight.size, n, p=weight.ravel())
    curve, onset = np.divmod(picked, len(ONSETS))
    normal = rng.standard_normal(n)
    for i, heat in enumerate(HEAT):
        grown = RUNAWAY * (heat >= np.array(ONSETS)[onset])
        length = np.exp(HELD.log_median[curve] + grown + HELD.spread[curve] * normal)
        for j, cap in enumerate(CAPS):
            for mean, said in (((length > cap) * 1.0, over), (np.minimum(length, cap), tokens)):
                assert abs(said[i, j] - mean.mean()) < 4.5 * mean.std() / np.sqrt(n)


@pytest.mark.parametrize("n_draws", [64, 1024])
def test_joint_draws_have_the_average_for_a_mean_and_one_hypothesis_each(n_draws: int) -> None:
    """Midpoints of r parts miss a cumulative weight by at most 1 / 2r, so a mean by at most variation / 2r (Abel)."""
    own = told(answers(20, 6))
    at = np.repeat(HEAT, 3), np.tile(np.arange(3), 4)
    over, tokens = sampled(HELD, own, at, n_draws=n_draws)
    runs = (HEAT[:, None] >= np.array(ONSETS)).astype(int)
    means = zip((over, tokens), (HELD.over, HELD.sent), strict=True)
    for draws, table in means:
        value = table[runs].transpose(0, 3, 2, 1).reshape(12, -1)  # (T M, H O) in the order of the weights
        variation = np.abs(np.diff(value, axis=1)).sum(axis=1)
        exact = averaged(table, weights(own), HEAT).ravel()
        assert exact == pytest.approx(value @ weights(own).ravel(), rel=1e-9)
        assert draws.shape == (12, n_draws)
        assert np.all(np.abs(draws.mean(axis=1) - exact) <= variation / (2 * n_draws) * (1 + 1e-9))
    calm = np.concatenate([HELD.over[0].T, HELD.sent[0].T])  # (2 M, H)
    drawn = np.concatenate([over[:3], tokens[:3]])  # at the coolest temperature
    distance = np.abs(drawn[:, :, None] - calm[:, None, :]).max(axis=0)
    assert np.all(distance.min(axis=1) < 1e-9)  # the same curve under every cap, for both numbers
