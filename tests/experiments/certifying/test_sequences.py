"""The part of the certification that judges sequences: complete, and able to fail."""

from functools import cache

import numpy as np
import pytest

from experiments.certifying.loggers import base_logger
from experiments.certifying.sequences import (
    ASYMPTOTIC,
    BERNSTEIN,
    BETTING,
    certify_sequences,
    exclusion_claim,
    exclusions,
    width_claim,
    widths,
)
from experiments.measurement import Measurement, checked
from experiments.results import Results


@cache
def small():
    return certify_sequences(12, 3, n_widths=6, n_decisions=250)


def test_every_sequence_is_judged_on_both_loggers_and_measured_on_the_base_problem() -> None:
    found, results = small(), Results()
    for row in found.measurements:
        results.add(row)  # finite, and no key twice
    excluded = {(row.world, row.estimator) for row in found.measurements if row.measure == "ever_excluded"}
    assert excluded == {(world, name) for world in ("base", "learning") for name in (BETTING, BERNSTEIN, ASYMPTOTIC)}
    wide = {(row.estimator, row.n) for row in found.measurements if row.measure == "sequence_width"}
    assert wide == {(name, 200) for name in (BETTING, BERNSTEIN, ASYMPTOTIC)}  # runs end before 2,000
    assert len(found.claims) == 6 + 1


def test_equal_seeds_give_equal_findings() -> None:
    assert certify_sequences(12, 3, n_widths=6, n_decisions=250) == small()


@pytest.mark.parametrize(
    ("world", "name", "hits", "holds"),
    [
        ("base", BETTING, 30, True),
        ("base", BETTING, 45, False),  # below 5 %, but the exact upper bound is not
        ("learning", BETTING, 100, False),
        ("base", ASYMPTOTIC, 90, True),
        ("base", ASYMPTOTIC, 55, False),  # the control must be caught for certain
        ("learning", ASYMPTOTIC, 90, None),
    ],
)
def test_an_exclusion_claim_goes_by_its_exact_bound(world, name, hits, holds) -> None:
    claim = exclusion_claim(world, name, hits=hits, total=1000, n=10_000)
    assert claim.holds is holds
    assert f"({hits} of 1,000)" in claim.measured


@pytest.mark.parametrize(("value", "holds"), [(0.0849, True), (0.0851, False)])
def test_a_width_claim_fails_above_its_threshold(value, holds) -> None:
    row = Measurement(
        section="ope", measure="sequence_width", estimator=BETTING, n=10_000, value=value, lo=value - 0.01, hi=value
    )
    assert width_claim(checked(row)).holds is holds


def test_a_log_that_is_not_the_problems_is_caught() -> None:
    """The judge must see a broken promise: rewards of a pool that earns 0.25 less than its truth says."""
    logger = base_logger()
    poorer = logger.pool._replace(q=np.clip(logger.pool.q - 0.25, 0, 1))
    lying = logger._replace(draw=poorer.draw)
    excluded = exclusions(lying, np.random.default_rng(4), n_runs=10, n_decisions=3000)
    assert excluded[BETTING].all()
    honest = exclusions(logger, np.random.default_rng(4), n_runs=10, n_decisions=3000)
    assert honest[BETTING].sum() <= 3  # P(more) < 1e-3 at a share of 5 %


def test_widths_shrink_with_decisions_and_stay_within_the_reward_range() -> None:
    found = widths(base_logger(), np.random.default_rng(5), n_runs=5, sizes=(50, 800))
    for name, width in found.items():
        assert width.shape == (5, 2)
        assert np.all((width >= 0) & (width <= 1)), name
        assert np.all(width[:, 1] < width[:, 0]) or name == ASYMPTOTIC
