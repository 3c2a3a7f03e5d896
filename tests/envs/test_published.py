"""Published numbers: what a record allows, and what it refuses."""

import pytest

from envs.fields import Spot, convert
from envs.published import Published
from envs.targets import ConfigError


def test_two_standard_errors_are_allowed_unless_a_tolerance_is_stated():
    assert Published("quality", 0.6, "a table", stderr=0.05).allowed == 0.1
    assert Published("quality", 0.6, "a table", stderr=0.05, tolerance=0.02).allowed == 0.02


def test_a_number_that_nothing_could_contradict_is_refused():
    with pytest.raises(ValueError, match="stderr and tolerance are 0, need one of them above 0"):
        Published("quality", 0.6, "a table")


def test_an_unknown_measure_is_refused_with_the_nearest():
    record = {"measure": "qualty", "value": 0.6, "stderr": 0.05, "source": "a table"}
    with pytest.raises(ConfigError, match=r"published\.measure: got 'qualty', need one of .*did you mean 'quality'"):
        convert(record, Published, Spot("published", {}, ()))
