"""A preset by name is what the command line would build."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from envs import presets
from envs.drift import Params as DriftParams
from envs.targets import ConfigError
from experiments.settings import build, described

PLAIN = [(file.parent.name, file.stem) for file in sorted(presets.CONFIGS.glob("[wd]*/*.yaml"))]


@pytest.mark.parametrize(("group", "name"), [pair for pair in PLAIN if pair[1] not in ("replay", "temperature_study")])
def test_a_preset_is_what_the_command_line_builds(group: str, name: str, root: Path) -> None:
    file = root / "configs" / group / f"{name}.yaml"
    node = OmegaConf.load(file)
    assert isinstance(node, DictConfig)
    assert presets.load(group, name) == build(node, group)


def test_the_choices_are_the_files() -> None:
    assert {"flat_null", "gsm8k_small", "replay"} <= set(presets.names("world"))
    assert {"none", "step"} <= set(presets.names("drift"))


def test_a_misspelt_preset_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"world: got 'gsm8k_smal', need one of .*; did you mean 'gsm8k_small'\?"):
        presets.scenario("gsm8k_smal")
    with pytest.raises(ConfigError, match=r"drift: got 'stepp', need one of none, step; did you mean 'step'\?"):
        presets.scenario("flat_null", drift="stepp")


def test_a_world_that_needs_a_path_says_so() -> None:
    with pytest.raises(ConfigError, match=r"world\.path: missing, need a string"):
        presets.scenario("replay")


def test_a_drift_is_worked_in() -> None:
    moved = presets.load("drift", "step")
    assert isinstance(moved, DriftParams) and moved.onset > 0
    scenario = presets.scenario("gsm8k_small", drift="step")
    assert scenario.params.drift.onset == moved.onset
    assert (scenario.table(rounds=2 * moved.onset) != scenario.table(rounds=2 * moved.onset - 1)).any()


@pytest.mark.parametrize("name", ["gsm8k_small", "flat_null"])
def test_the_plain_values_of_a_preset_build_it_again(name: str) -> None:
    built = presets.load("world", name)
    assert build(described(built), "world") == built
