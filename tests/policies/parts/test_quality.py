"""Two beliefs about quality, each against its closed form, and the evidence that weighs them."""

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from policies.parts import quality
from policies.parts.quality import (
    KEPT,
    MOST_EVIDENCE,
    MOST_ODDS,
    Answer,
    Quality,
    QualitySettings,
    QualityTables,
    forgot,
    learned,
    means,
    sampled,
    start,
    tables,
)
from tests.hand import generator

AXES = ((0.0, 0.5, 1.0, 1.5), (0.5, 1.0), (0.0, 0.5), (0.0,), (0.0, 1.0))
Q = 32
NOISE = 0.04  # variance of a grade where it is held fixed
SETTINGS = QualitySettings(
    hedge=0.3, scatter=4 * NOISE, guesses=1e13, kept_sd=1e-7, amplitude=0.6, amplitude_sd=0.25, trust=1.0
)
FREE = SETTINGS._replace(scatter=0.25, guesses=6.0, kept_sd=0.2)
Rows = list[tuple[int, float, bool]]
SHAPES, PLAIN = np.float64(np.inf), np.float64(-np.inf)  # odds that leave one belief alone


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise that does not depend on the mean: m (1 - m) is held at 1/4, and the scatter is known."""
    monkeypatch.setattr(quality, "LEAST", 0.25)


def made(settings: QualitySettings = SETTINGS, *, count: int = 64, rank: int = 12) -> QualityTables:
    return tables(AXES, settings, count=count, rank=rank)


def first(held: QualityTables) -> Quality:
    """The belief about one task type before any data."""
    return Quality(*(leaf[0] for leaf in start(held, 1)))


def whole(held: QualityTables) -> np.ndarray:
    """(N, Q) the shapes point by point."""
    return np.asarray(held.shapes[:, held.columns].sum(axis=1))


def answer(point: int, grade: float, *, cut: bool = False) -> Answer:
    return Answer(np.int32(point), np.float64(grade), np.float64(cut))


def rows_of(n: int, seed: int, *, cut: float = 0.2) -> Rows:
    """Grades around a falling surface, some cut off."""
    rng, rows = generator(seed), []
    for _ in range(n):
        point, is_cut = int(rng.integers(Q)), bool(rng.random() < cut)
        mean = (0.7 - 0.15 * (point // 8)) * (KEPT if is_cut else 1.0)
        rows.append((point, float(mean + np.sqrt(NOISE) * rng.standard_normal()), is_cut))
    return rows


def told(held: QualityTables, rows: Rows) -> Quality:
    own = first(held)
    for point, grade, cut in rows:
        own = learned(held, own, answer(point, grade, cut=cut))[0]
    return own


def unpacked(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, grades, and the share of a whole answer's quality that each keeps."""
    points, grades, cuts = (np.array(column) for column in zip(*rows, strict=True))
    return points, grades, np.where(cuts, KEPT, 1.0)


def by_shapes(held: QualityTables, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posterior mean and variance of each amplitude by normal equations, and (N,) log marginal likelihoods."""
    points, grades, keep = unpacked(rows)
    mean, variance, log = [], [], []
    for shape in whole(held):
        x = shape[points] * keep
        precision = SETTINGS.amplitude_sd**-2 + x @ x / NOISE
        mean.append((SETTINGS.amplitude * SETTINGS.amplitude_sd**-2 + x @ grades / NOISE) / precision)
        variance.append(1.0 / precision)
        spread = NOISE * np.eye(len(x)) + SETTINGS.amplitude_sd**2 * np.outer(x, x)
        log.append(multivariate_normal(SETTINGS.amplitude * x, spread).logpdf(grades))
    return np.array(mean), np.array(variance), np.array(log)


def by_kernel(held: QualityTables, rows: Rows) -> tuple[np.ndarray, np.ndarray, float]:
    """Gaussian process regression by one solve: mean (Q,), covariance (Q, Q), log marginal likelihood."""
    points, grades, keep = unpacked(rows)
    kernel = held.features @ held.features.T
    cross = kernel[:, points] * keep
    gram = keep[:, None] * kernel[np.ix_(points, points)] * keep + NOISE * np.eye(len(points))
    mean = held.base + cross @ np.linalg.solve(gram, grades - keep * held.base[points])
    log = float(multivariate_normal(keep * held.base[points], gram).logpdf(grades))
    return mean, kernel - cross @ np.linalg.solve(gram, cross.T), log


def test_before_any_data_both_beliefs_are_their_priors() -> None:
    held = made()
    own = first(held)
    assert means(held, own._replace(odds=SHAPES))[0] == pytest.approx(0.6 * whole(held).mean(axis=0), abs=1e-12)
    assert means(held, own._replace(odds=PLAIN))[0] == pytest.approx(np.full(Q, 0.5), abs=1e-12)
    mixed = 0.7 * 0.6 * whole(held).mean(axis=0) + 0.3 * 0.5
    assert means(held, own)[0] == pytest.approx(mixed, abs=1e-12)
    assert means(held, own)[1] == pytest.approx(KEPT)
    variance = (whole(held) ** 2).mean(axis=0) * (0.6**2 + 0.25**2) - (0.6 * whole(held).mean(axis=0)) ** 2
    assert held.drawn == pytest.approx(np.stack([0.6 * whole(held).mean(axis=0), variance], axis=1), abs=1e-12)


@pytest.mark.usefixtures("fixed")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1, 12, 60])
def test_the_shapes_are_exact_bayes(n: int, seed: int) -> None:
    """Each amplitude by its own normal equations, each shape by its marginal likelihood."""
    held, rows = made(), rows_of(n, seed)
    own, (mean, variance, log) = told(held, rows), by_shapes(held, rows)
    assert own.moment / own.precision == pytest.approx(mean, abs=1e-9)
    assert 1.0 / own.precision == pytest.approx(variance, abs=1e-9)
    weight = np.exp(log - logsumexp(log))
    assert n < 12 or weight.max() > 2.0 / len(weight)  # the data prefer some
    expected = (weight * mean) @ whole(held)
    assert means(held, own._replace(odds=SHAPES))[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.usefixtures("fixed")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1, 12, 150])
def test_the_plain_belief_is_gaussian_process_regression(n: int, seed: int) -> None:
    held, rows = made(), rows_of(n, seed)
    own, (mean, spread, _) = told(held, rows), by_kernel(held, rows)
    assert means(held, own._replace(odds=PLAIN))[0] == pytest.approx(mean, abs=1e-9)
    root = held.features @ own.root
    assert root @ root.T == pytest.approx(spread, abs=1e-9)


@pytest.mark.usefixtures("fixed")
@pytest.mark.parametrize("seed", range(3))
def test_evidence_is_the_difference_of_log_marginal_likelihoods(seed: int) -> None:
    """Sums of log predictive densities; the clips are not reached (else the sums differ)."""
    held, rows = made(), rows_of(12, seed)
    odds = [float(told(held, rows[:n]).odds) for n in range(len(rows) + 1)]
    assert max(np.abs(np.diff(odds))) < MOST_EVIDENCE and max(np.abs(odds)) < MOST_ODDS
    log = by_shapes(held, rows)[2]
    expected = np.log(0.7 / 0.3) + logsumexp(log) - np.log(len(log)) - by_kernel(held, rows)[2]
    assert odds[-1] == pytest.approx(expected, abs=1e-9)


def test_neither_belief_is_ever_given_up() -> None:
    """Good when cool and when hot, poor between, which no shape makes: at most 2 nats an answer, and 6 in all."""
    held = made(FREE)
    own, odds = first(held), [float(first(held).odds)]
    for i in range(200):
        t = i % 4
        own = learned(held, own, answer(8 * t + 4, (0.9, 0.3, 0.3, 0.9)[t]))[0]
        odds.append(float(own.odds))
    assert np.abs(np.diff(odds)).max() <= MOST_EVIDENCE + 1e-12
    assert min(odds) == pytest.approx(-MOST_ODDS)
    for _ in range(200):  # and back, where the truth becomes a shape
        own = learned(held, own, answer(4, 0.9))[0]
        own = learned(held, own, answer(28, 0.9 * float(whole(held)[7, 28] / whole(held)[7, 4])))[0]
    assert odds[-1] < own.odds <= MOST_ODDS


@pytest.mark.usefixtures("fixed")
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_answers_does_not_matter_where_the_noise_is_known(seed: int) -> None:
    held, rows = made(), rows_of(40, seed)
    one, two = told(held, rows), told(held, rows[::-1])
    for odds in (SHAPES, PLAIN):
        before, after = (means(held, own._replace(odds=odds))[0] for own in (one, two))
        assert before == pytest.approx(after, abs=1e-9)


def test_the_order_matters_a_little_where_the_noise_is_estimated() -> None:
    """An answer is weighed by the scatter and the mean known when it came; 40 answers, a thousandth to a tenth."""
    held, rows = made(FREE), rows_of(40, 1)
    off = np.abs(means(held, told(held, rows))[0] - means(held, told(held, rows[::-1]))[0]).max()
    assert 1e-6 < off < 0.1


@pytest.mark.parametrize("scatter", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("mean", [0.3, 0.7])
def test_the_scatter_is_estimated(scatter: float, mean: float) -> None:
    """2,000 beta grades of variance scatter m (1 - m): within 4 standard errors, and what the first 6 guesses weigh.

    Squares of grades in [0, 1] scatter with at most sqrt(E ratio^2); learning the mean, to a hundredth, adds 1e-4.
    """
    n, rng, held = 2000, generator(int(10 * scatter + 100 * mean)), made(FREE)
    grades = rng.beta(mean * (1 / scatter - 1), (1 - mean) * (1 / scatter - 1), n)
    own = told(held, [(17, float(grade), False) for grade in grades])
    ratio = (grades - mean) ** 2 / (mean * (1 - mean))
    allowed = 4 * ratio.std() / np.sqrt(n) + 6 / n * abs(0.25 - scatter) + 0.01
    assert own.scatter[1] / own.scatter[0] == pytest.approx(scatter, abs=allowed)
    assert own.scatter[0] == pytest.approx(6 + n)
    assert means(held, own)[0][17] == pytest.approx(mean, abs=4 * grades.std() / np.sqrt(n) + 0.01)


def test_only_whole_answers_teach_the_scatter_and_only_cut_ones_what_is_kept() -> None:
    held = made(FREE)
    own = told(held, rows_of(10, 2))
    after_whole = learned(held, own, answer(5, 0.4))[0]
    after_cut = learned(held, own, answer(5, 0.4, cut=True))[0]
    assert np.array_equal(after_whole.kept, own.kept) and after_whole.scatter[0] == own.scatter[0] + 1.0
    assert np.array_equal(after_cut.scatter, own.scatter) and after_cut.kept[0] > own.kept[0]


@pytest.mark.parametrize("kept", [0.0, 0.4, 0.8])
def test_cut_off_answers_teach_what_they_keep(kept: float) -> None:
    """300 whole and 300 cut-off answers at one point, noise of sd .05: the share within .05 of the truth."""
    held, rng = made(FREE), generator(3)
    rows = [(17, 0.7 * (kept if i % 2 else 1.0) + 0.05 * rng.standard_normal(), bool(i % 2)) for i in range(600)]
    own = told(held, rows)
    mean, share = means(held, own)
    assert share == pytest.approx(kept, abs=0.05)
    assert mean[17] == pytest.approx(0.7, abs=0.05)


def test_forgetting_moves_precision_to_the_prior_and_keeps_the_plain_mean() -> None:
    held = made(FREE)
    own = told(held, rows_of(50, 4))
    after = forgot(held, own, np.float64(0.2))
    prior = SETTINGS.amplitude_sd**-2.0
    assert after.precision == pytest.approx(0.2 * own.precision + 0.8 * prior, abs=1e-12)
    assert after.moment == pytest.approx(0.2 * own.moment + 0.8 * 0.6 * prior, abs=1e-12)
    assert np.array_equal(after.theta, own.theta)
    assert after.root @ after.root.T == pytest.approx(0.8 * np.eye(12), abs=1e-12)
    assert forgot(held, own, np.float64(1.0)).moment == pytest.approx(own.moment, abs=1e-12)


@pytest.mark.parametrize("odds", [SHAPES, PLAIN, np.float64(0.4)])
def test_draws_have_the_mean_and_the_spread_of_the_posterior(odds: np.float64) -> None:
    """8,192 draws at 32 points: means and variances within 4.5 standard errors of independent draws."""
    held, n = made(FREE), 8192
    own = told(held, rows_of(12, 5))._replace(odds=odds)
    draws, kept = sampled(held, own, np.arange(Q), n_draws=n)
    w = 1.0 / (1.0 + np.exp(-odds))
    log = 0.5 * (own.moment**2 / own.precision - np.log(own.precision))
    weight = np.exp(log - logsumexp(log))
    flat = held.base + held.features @ own.theta
    square = (weight * (1.0 / own.precision + (own.moment / own.precision) ** 2)) @ whole(held) ** 2
    square = w * square + (1 - w) * (flat**2 + ((held.features @ own.root) ** 2).sum(axis=1))
    mean = means(held, own)[0]
    off = draws - mean[:, None]
    assert np.all(np.abs(off.mean(axis=1)) <= 4.5 * off.std(axis=1) / np.sqrt(n))
    error = (off**2).std(axis=1) / np.sqrt(n)
    assert np.all(np.abs((off**2).mean(axis=1) - (square - mean**2)) <= 4.5 * error)
    clipped = np.clip(own.kept[1] / own.kept[0] + norm.ppf((np.arange(n) + 0.5) / n) / np.sqrt(own.kept[0]), 0, 1)
    assert kept.mean() == pytest.approx(clipped.mean(), abs=4.5 * clipped.std() / np.sqrt(n))


def test_draws_are_joint_over_points() -> None:
    """A point has the same draws whatever else is asked about: one surface a draw."""
    held = made(FREE)
    own = told(held, rows_of(12, 5))
    every, kept = sampled(held, own, np.arange(Q), n_draws=64)
    some, again = sampled(held, own, np.array([9, 3, 9]), n_draws=64)
    assert some == pytest.approx(every[[9, 3, 9]], abs=1e-12) and np.array_equal(kept, again)


@pytest.mark.usefixtures("fixed")
@pytest.mark.parametrize("cut", [False, True])
def test_nats_are_the_log_bayes_factor_of_the_prior_in_two_moments(cut: bool) -> None:
    """Both mixtures written out, in the present odds; before any data the plain part is the same in both."""
    held, rows, keep = made(), rows_of(30, 6), KEPT if cut else 1.0
    own, (mean, variance, log) = told(held, rows), by_shapes(held, rows)
    centre, spread, _ = by_kernel(held, rows)
    point, grade, w = 9, 0.1, 1.0 / (1.0 + np.exp(-own.odds))
    x, weight = whole(held)[:, point] * keep, np.exp(log - logsumexp(log))
    now = w * (weight @ norm.pdf(grade, x * mean, np.sqrt(x**2 * variance + NOISE)))
    now += (1 - w) * norm.pdf(grade, keep * centre[point], np.sqrt(keep**2 * spread[point, point] + NOISE))
    shaped, wide = held.drawn[point] * [keep, keep**2]
    fresh = w * norm.pdf(grade, shaped, np.sqrt(wide + NOISE))
    prior = keep**2 * (held.features[point] ** 2).sum()
    fresh += (1 - w) * norm.pdf(grade, keep * 0.5, np.sqrt(prior + NOISE))
    nats = learned(held, own, answer(point, grade, cut=cut))[1]
    assert nats == pytest.approx(np.log(fresh / now), abs=1e-9)


def run_of_nats(held: QualityTables, grades: Any, point: int) -> list[float]:
    own, nats = first(held), []
    for grade in grades:
        own, said = learned(held, own, answer(point, float(grade)))
        nats.append(float(said))
    return nats


def test_nats_speak_for_starting_afresh_after_a_jump_and_against_it_before() -> None:
    """Grades of sd .1 around .75, then .2 from the 101st on: negative on average, then at least one each."""
    rng = generator(12)
    grades = np.concatenate([0.75 + 0.1 * rng.standard_normal(100), 0.2 + 0.1 * rng.standard_normal(5)])
    nats = run_of_nats(made(FREE), grades, 17)
    assert np.mean(nats[20:100]) < -0.2
    assert min(nats[100:103]) > 1.0
