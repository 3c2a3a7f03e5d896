"""The gate's interval is one of two, and which one the size of the log says."""

import numpy as np
import pytest

from evaluators.estimation import finish_as, summarise
from evaluators.estimators import doubly_robust
from evaluators.intervals import half_model, model
from evaluators.intervals.gate import Params, needs


@pytest.mark.parametrize(("large", "wanted"), [(301, half_model), (300, model), (2, model), (10**9, half_model)])
def test_small_logs_have_half_the_models_variance_and_large_ones_all_of_it(rows, large, wanted) -> None:
    sums = summarise({"one": doubly_robust.Params()}, rows)["one"]
    found = finish_as(Params(large=large), sums, confidence=0.9)
    assert found == finish_as(wanted.Params(), sums, confidence=0.9)


def test_the_two_differ(rows) -> None:
    sums = summarise({"one": doubly_robust.Params()}, rows)["one"]
    small, large = (finish_as(Params(large=at), sums, confidence=0.9) for at in (301, 300))
    assert not np.isclose(small.lo, large.lo, rtol=1e-4)


def test_it_asks_for_the_design() -> None:
    assert needs(Params()) == {"design"}
