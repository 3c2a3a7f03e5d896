"""A preset by name is what the command line would build."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from envs import presets
from envs.drift import Params as DriftParams
from envs.drift import check_onsets
from envs.targets import ConfigError
from experiments.settings import build, described

FILES = sorted(presets.CONFIGS.glob("[wdf]*/*.yaml"))
PLAIN = [(file.parent.name, file.stem) for file in FILES if "???" not in file.read_text("utf-8")]  # no path to give


@pytest.mark.parametrize(("group", "name"), PLAIN)
def test_a_preset_is_what_the_command_line_builds(group: str, name: str, root: Path) -> None:
    file = root / "configs" / group / f"{name}.yaml"
    node = OmegaConf.load(file)
    assert isinstance(node, DictConfig) and len(PLAIN) > 12
    assert presets.load(group, name) == build(node, group)


def test_the_choices_are_the_files() -> None:
    assert {"flat_null", "gsm8k_small", "replay"} <= set(presets.names("world"))
    assert {"none", "version_swap", "null_drift"} <= set(presets.names("drift"))


def test_a_misspelt_preset_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"world: got 'gsm8k_smal', need one of .*; did you mean 'gsm8k_small'\?"):
        presets.scenario("gsm8k_smal")
    with pytest.raises(ConfigError, match=r"drift: got 'price_chnge', need one of .*; did you mean 'price_change'\?"):
        presets.scenario("flat_null", drift="price_chnge")


def test_a_world_that_needs_a_path_says_so() -> None:
    with pytest.raises(ConfigError, match=r"world\.path: missing, need a string"):
        presets.scenario("replay")


def test_a_drift_is_worked_in() -> None:
    moved = presets.load("drift", "version_swap")
    assert isinstance(moved, DriftParams) and moved.onset > 0
    scenario = presets.scenario("gsm8k_small", drift="version_swap")
    assert scenario.drift == (moved,)
    assert (scenario.table(t=moved.onset) != scenario.table(t=moved.onset - 1)).any()


def test_several_drifts_are_worked_in_in_the_order_of_their_names() -> None:
    names = ["price_change", "decay"]
    assert list(presets.components(names)) == names
    assert presets.scenario("flat_null", drift=names).drift == tuple(presets.components(names).values())


def test_every_preset_of_a_drift_begins_within_the_default_horizon() -> None:
    for name in presets.names("drift"):
        check_onsets(presets.components(name), horizon=200)


@pytest.mark.parametrize("name", ["gsm8k_small", "flat_null"])
def test_the_plain_values_of_a_preset_build_it_again(name: str) -> None:
    built = presets.load("world", name)
    assert build(described(built), "world") == built
