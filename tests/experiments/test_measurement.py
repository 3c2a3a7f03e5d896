"""What may become a row of the results, and how the rest is refused."""

import math

import numpy as np
import pytest

from experiments.measurement import Measurement, checked


def test_numpy_numbers_become_plain_ones():
    row = checked(
        Measurement(section="ope", measure="bias", n=np.int32(200), value=np.float32(0.5), stderr=np.int64(0))  # type: ignore[arg-type]  # what a caller may well pass
    )
    assert (row.n, row.value, row.stderr) == (200, 0.5, 0.0)
    assert [type(x) for x in (row.n, row.value, row.stderr)] == [int, float, float]


@pytest.mark.parametrize("name", ["value", "stderr", "lo", "hi"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused_by_name(name, bad):
    row = {"section": "gate", "measure": "ess", "policy": "thompson", "value": 1.0, name: bad}
    with pytest.raises(ValueError, match=rf"gate/ess \(policy=thompson\): {name} = {bad!r}, need"):
        checked(Measurement(**row))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"value": None}, TypeError, "value is None, need a number"),
        ({"value": "high"}, TypeError, "value is 'high', need a number"),
        ({"section": "opr"}, ValueError, "unknown section 'opr'; did you mean 'ope'"),
        ({"section": "zzz"}, ValueError, "unknown section 'zzz'; known: world, simulation"),
        ({"measure": "Mean Bias"}, ValueError, "measure 'Mean Bias', need snake_case"),
        ({"policy": None}, TypeError, "policy is None, need a text"),
        ({"n": 2.0}, TypeError, r"n is 2.0, need an integer or None"),
        ({"t": True}, TypeError, r"t is True, need an integer or None"),
        ({"n": -1}, ValueError, r"n = -1, need >= 0"),
        ({"stderr": -0.1}, ValueError, r"stderr = -0.1, need >= 0"),
        ({"lo": 2.0, "hi": 1.0}, ValueError, r"interval \[2.0, 1.0\], need lo <= hi"),
    ],
)
def test_malformed_measurements_are_refused_with_the_value_in_the_message(change, error, words):
    row = {"section": "ope", "measure": "bias", "value": 1.0} | change
    with pytest.raises(error, match=words):
        checked(Measurement(**row))
