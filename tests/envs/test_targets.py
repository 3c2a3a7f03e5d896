"""What a `_target_` may name, and what it may not."""

from pathlib import Path

import pytest

from envs.targets import ConfigError, refuse, resolve_target
from experiments.settings import Run


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module outside the four packages, on the import path."""
    (tmp_path / "stranger.py").write_text(
        "import os\n"
        "from dataclasses import dataclass\n"
        "from experiments.settings import Run\n"
        "__all__ = ['Params', 'Run', 'make', 'os']\n"
        "@dataclass(frozen=True)\n"
        "class Params:\n    alpha: float = 1.0\n"
        "@dataclass(frozen=True)\n"
        "class Hidden:\n    alpha: float = 1.0\n"
        "def make(spec): return spec\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "stranger"


def test_a_name_in_all_of_one_of_our_modules_resolves() -> None:
    assert resolve_target("experiments.settings.Run", "x") is Run


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "envs.lattice.os.getcwd",
        "experiments.settings.sys.exit",
        "experiments.settings.build",  # a function
        "experiments.settings.MAX_INT32",  # not in __all__
        "experiments.settings.__builtins__",
        "experiments.usage.Run",  # imported there, defined elsewhere
        "experiments.settings",
        "experiments..settings.Run",
        "experiments.settings.Run()",
        "Run",
        "",
        None,
        7,
    ],
)
def test_anything_else_is_refused_on_one_line(target: object) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_target(target, "policy")
    assert str(caught.value).startswith(f"policy._target_: got {target!r}, need ")
    assert "\n" not in str(caught.value)


def test_a_misspelt_module_and_a_misspelt_name_get_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'experiments\.settings'"):
        resolve_target("experiments.setings.Run", "x")
    with pytest.raises(ConfigError, match=r"did you mean 'Run'"):
        resolve_target("experiments.settings.Runn", "x")


def test_another_module_counts_only_if_it_is_allowed_by_its_full_name(stranger: str) -> None:
    target = f"{stranger}.Params"
    with pytest.raises(ConfigError, match=r"add allow_targets=\[stranger\]"):
        resolve_target(target, "x")
    with pytest.raises(ConfigError, match="allow_targets"):
        resolve_target(target, "x", allow=["strange", "stranger.Params"])
    assert resolve_target(target, "x", allow=[stranger]).__name__ == "Params"


@pytest.mark.parametrize("name", ["Hidden", "make", "os", "Run"])
def test_an_allowed_module_is_held_to_the_same_rules(stranger: str, name: str) -> None:
    with pytest.raises(ConfigError):
        resolve_target(f"{stranger}.{name}", "x", allow=[stranger])


def test_a_module_that_lacks_a_package_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy.py").write_text("import no_such_package_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="'no_such_package_at_all', which is missing"):
        resolve_target("needy.Params", "x", allow=["needy"])


def test_a_refusal_is_one_line_however_long_and_broken_the_value() -> None:
    message = str(refuse("a.b", "x\n" * 500, "an int\n>= 0"))
    assert "\n" not in message
    assert len(message) < 120


def test_a_long_value_keeps_both_of_its_ends() -> None:
    shown = str(refuse("world.path", "/home/" + "long/" * 40 + "answers.csv", "a file"))
    assert "got '/home/long/" in shown and "answers.csv', need a file" in shown and len(shown) < 120
