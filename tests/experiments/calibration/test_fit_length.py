"""Lengths: mixtures given back, answers cut off counted as such, runaway found where it is and only there."""

import numpy as np
import pytest

from experiments.calibration.fit_length import (
    LengthRows,
    Runaway,
    apart,
    distance,
    fit_mixture,
    fit_runaway,
    mixture_cdf,
    observed_cdf,
)
from tests import answers

NONE = Runaway(0.0, 1.6, 0.08, 0.0)


def rows(tokens, *, cap=np.inf, heat=None):
    tokens = np.asarray(tokens, float)
    heat = np.full(len(tokens), np.nan) if heat is None else np.asarray(heat, float)
    return LengthRows(np.minimum(tokens, cap), tokens >= cap, heat, 0.5)


@pytest.fixture(scope="module")
def drawn():
    return np.rint(answers.lengths(np.random.default_rng(0), 6000))


def test_one_log_normal_is_the_mean_and_spread_of_the_logarithms():
    x = 200 * np.exp(0.4 * np.random.default_rng(1).normal(size=4000))
    fit = fit_mixture(rows(x), components=1, runaway=NONE)
    assert fit.median[0] == pytest.approx(np.exp(np.log(x).mean()), rel=1e-3)
    assert fit.sd[0] == pytest.approx(np.log(x).std(), rel=1e-2)


def test_a_mixture_gives_back_its_components(drawn):
    fit = fit_mixture(rows(drawn), components=2, runaway=NONE)
    # four standard errors: SD / sqrt(rows of the component)
    assert np.log(fit.median[0] / answers.MEDIANS[0]) == pytest.approx(0, abs=4 * 0.5 / np.sqrt(4200) * 1.5)
    assert np.log(fit.median[1] / answers.MEDIANS[1]) == pytest.approx(0, abs=4 * 0.1 / np.sqrt(1800) * 1.5)
    assert fit.sd == pytest.approx(answers.SDS, rel=0.12)
    assert fit.weight[0] == pytest.approx(answers.SHARE, abs=4 * np.sqrt(0.21 / 6000) * 1.5)
    assert sum(fit.weight) == pytest.approx(1.0)
    one = fit_mixture(rows(drawn), components=1, runaway=NONE)
    assert fit.log_likelihood > one.log_likelihood + 1000


def test_answers_cut_off_do_not_shorten_the_fit():
    x = np.rint(200 * np.exp(0.6 * np.random.default_rng(2).normal(size=4000)))
    cut = rows(x, cap=250.0)
    assert cut.is_cut.mean() > 0.3
    fit = fit_mixture(cut, components=1, runaway=NONE)
    assert np.log(fit.median[0] / 200) == pytest.approx(0, abs=4 * 0.6 / np.sqrt(4000) * 1.3)
    blind = fit_mixture(cut._replace(is_cut=np.zeros(4000, bool)), components=1, runaway=NONE)
    assert blind.median[0] < 180


def test_one_repeated_length_makes_no_infinitely_narrow_component():
    x = np.concatenate([np.full(500, 37.0), 100 * np.exp(0.5 * np.random.default_rng(3).normal(size=500))])
    fit = fit_mixture(rows(np.rint(x)), components=2, runaway=NONE)
    assert min(fit.sd) >= 0.02 - 1e-9
    assert np.isfinite(fit.log_likelihood)


def test_runaway_is_found_past_its_onset():
    rng = np.random.default_rng(4)
    heat = np.repeat(answers.HEATS, 150)
    x = 150 * np.exp(0.8 * answers.sigmoid((heat - 1.3) / 0.07) + 0.4 * rng.normal(size=len(heat)))
    step = fit_runaway(rows(np.rint(x), heat=heat))
    assert step.gain == pytest.approx(0.8, abs=0.12)
    assert step.onset == pytest.approx(1.3, abs=0.06)
    assert step.misfit_saved > 100
    fit = fit_mixture(rows(np.rint(x), heat=heat), components=1, runaway=step)
    assert fit.median[0] == pytest.approx(150, rel=0.05)


def test_no_runaway_is_found_where_there_is_none():
    rng = np.random.default_rng(5)
    heat = np.repeat(answers.HEATS, 60)
    x = np.rint(150 * np.exp(0.4 * rng.normal(size=len(heat))))
    assert fit_runaway(rows(x, heat=heat)).gain == 0.0
    assert fit_runaway(rows(x)).misfit_saved == 0.0


def test_a_temperature_that_was_not_recorded_gains_nothing():
    assert Runaway(1.0, 0.5, 0.1, 9.0).at(np.array([np.nan, 5.0])) == pytest.approx([0.0, 1.0])


def test_the_recorded_share_takes_out_what_was_cut_off():
    # Kaplan and Meier by hand: 1 of 4 ends at 2, one is cut off at 3, 1 of the 2 left ends at 5
    at, share = observed_cdf(np.array([2.0, 3.0, 5.0, 9.0]), np.array([False, True, False, False]))
    assert at.tolist() == [2.0, 3.0, 5.0, 9.0]
    assert share == pytest.approx([0.25, 0.25, 1 - 0.75 * 0.5, 1.0])


def test_the_right_law_lies_as_near_as_chance_allows_and_a_wrong_one_does_not(drawn):
    here, there = rows(drawn[:3000]), rows(drawn[3000:])
    two, one = (fit_mixture(here, components=n, runaway=NONE) for n in (2, 1))
    critical = 1.63 * np.sqrt(1 / 3000 + 1 / 3000)  # 1 % point of two samples' Kolmogorov distance
    assert distance(two, there, runaway=NONE) <= critical
    assert distance(one, there, runaway=NONE) > 0.1
    assert apart(here, there, runaway=NONE) <= critical
    assert mixture_cdf(two, np.array([1e-3, 1e6])) == pytest.approx([0, 1], abs=1e-9)


def test_too_few_lengths_are_refused():
    with pytest.raises(ValueError, match="1 lengths that were not cut off, need at least 2"):
        fit_mixture(rows([10.0, 50.0], cap=50.0), components=1, runaway=NONE)


@pytest.mark.parametrize(
    ("name", "weight", "median", "sd", "one", "two"),
    [("conv", 0.72, (104, 406), (0.71, 0.05), 0.18, 0.057), ("code", 0.66, (11, 37), (0.38, 0.90), 0.13, 0.066)],
)
def test_published_fits_of_the_azure_traces_come_out_again(root, name, weight, median, sd, one, two):
    """Mixtures and Kolmogorov distances of the traces, where the user has a copy beside the checkout."""
    path = root.parent / "shared" / "data" / f"azure_llm_inference_2023_{name}.csv.gz"
    if path.is_file():
        tokens = np.loadtxt(path, delimiter=",", skiprows=1, usecols=2)
        half = np.random.default_rng(0).random(len(tokens)) < 0.5
        fit = fit_mixture(rows(tokens), components=2, runaway=NONE)
        assert fit.weight[0] == pytest.approx(weight, abs=0.01)
        assert fit.median == pytest.approx(median, rel=0.04)
        assert fit.sd == pytest.approx(sd, abs=0.006)
        held = [
            distance(fit_mixture(rows(tokens[half]), components=n, runaway=NONE), rows(tokens[~half]), runaway=NONE)
            for n in (1, 2)
        ]
        assert held[0] == pytest.approx(one, abs=0.02)
        assert held[1] < two + 0.01
