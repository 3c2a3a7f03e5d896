"""Rows or clusters as units: their estimate is the sums' own, and leaving one out is leaving it out."""

import numpy as np
import pytest

from evaluators.adjusting import mean
from evaluators.estimation import Estimator, summarise
from evaluators.estimators import doubly_robust, self_normalised_dr, snips
from evaluators.rows import Rows
from evaluators.sums import Sums
from evaluators.units import Units, quotient, units_of

EVERY: dict[str, Estimator] = {
    "dr": doubly_robust.Params(),
    "snips": snips.Params(),
    "sndr": self_normalised_dr.Params(),
}
every_estimator = pytest.mark.parametrize("name", EVERY)


def sums_of(rows: Rows, name: str) -> Sums:
    return summarise(EVERY, rows, keep=True)[name]


@pytest.fixture
def rows(world) -> Rows:
    log: Rows = world.draw(np.random.default_rng(0), 60)[0]
    return log


@every_estimator
@pytest.mark.parametrize("n_clusters", [0, 12])
def test_the_estimate_is_the_sums_own(rows, name, n_clusters) -> None:
    log = rows._replace(cluster=np.arange(60) % n_clusters) if n_clusters else rows
    units = units_of(sums_of(log, name))
    assert units.size == (n_clusters or 60)
    assert units.value() == pytest.approx(mean(sums_of(rows, name)), rel=1e-12)


@every_estimator
def test_leaving_a_row_out_is_the_estimate_without_it(rows, name) -> None:
    left_out = units_of(sums_of(rows, name)).left_out()
    for i in (0, 17, 59):
        keep = np.arange(60) != i
        arrays = {key: value[keep] for key, value in rows._asdict().items() if isinstance(value, np.ndarray)}
        assert left_out[i] == pytest.approx(mean(sums_of(rows._replace(**arrays), name)), rel=1e-10)


@every_estimator
def test_columns_are_centred_about_their_ratio(rows, name) -> None:
    columns = units_of(sums_of(rows, name)).columns()
    np.testing.assert_allclose(columns[1::2].sum(axis=-1), 0.0, atol=1e-12)
    assert (columns[::2].sum(axis=-1) > 0).all()


def test_an_estimate_without_weight_is_not_a_number() -> None:
    zeros = np.zeros(3)
    assert np.isnan(Units(((zeros, zeros),)).value())
    one = Units(((np.array([0.0, 2.0, 0.0]), np.array([0.0, 1.0, 0.0])),))
    np.testing.assert_array_equal(one.left_out(), [2.0, np.nan, 2.0])


def test_quotients_have_no_divisor_of_zero() -> None:
    np.testing.assert_array_equal(quotient(np.array([1.0, 1.0]), np.array([2.0, 0.0])), [0.5, np.nan])


def test_sums_without_scores_are_refused(rows) -> None:
    with pytest.raises(ValueError, match="needs the scores themselves, got sums without them; sum with keep=True"):
        units_of(summarise(EVERY, rows)["dr"])
