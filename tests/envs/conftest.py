"""Worlds that several tests of this folder read."""

import pytest

from envs import presets
from envs.world import Scenario


@pytest.fixture(scope="session")
def gsm8k_small() -> Scenario:
    """The default preset, as it is in configs/world."""
    return presets.scenario("gsm8k_small")


@pytest.fixture(scope="session")
def flat_null() -> Scenario:
    """The control in which no parameter matters."""
    return presets.scenario("flat_null")
