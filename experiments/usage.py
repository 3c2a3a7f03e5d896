"""The command line's options and its help, laid out for 80 columns; nothing is composed."""

import argparse
import string
import textwrap
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from omegaconf import OmegaConf

from envs.fields import need
from envs.targets import ConfigError, nearest, refuse
from experiments.compose import CONFIGS, Book
from experiments.settings import Run

__all__ = ["help_text", "parse", "version"]

WIDTH = 80


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise ConfigError where argparse would print its usage and end the program."""
        raise ConfigError(f"command line: {message}; see --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("-m", "--multirun", action="store_true", help="run every combination of a=1,2 b=x,y")
    add("-c", "--cfg", choices=["job", "hydra"], help="`job`: show the checked config, run nothing")
    add(
        "-cd",
        "--config-dir",
        action="append",
        default=[],
        help="DIR: add a folder of your own group/choice.yaml",
    )
    add("-h", "--help", action="store_true", help="show this text")
    add("--version", action="store_true", help="show the version")
    return parser


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the settings that stand among them, in order.

    Raises:
        ConfigError: an unknown option, or one without its value.
    """
    parser = _parser()
    options, words = parser.parse_known_args(list(argv))
    flags = [flag for action in parser._actions for flag in action.option_strings]
    for word in words:
        if word.startswith("-"):
            long = [flag for flag in flags if flag.startswith("--")]
            plain = "; settings are written key=value, without dashes"
            hint = plain if "=" in word else nearest(word, flags) or plain
            raise refuse("command line", word, f"one of {', '.join(long)}{hint}")
    return options, words


def help_text(book: Book) -> str:
    """What `--help` shows: groups with their choices, numbers, options and examples."""
    main: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / "config.yaml"))
    chosen = {
        str(group): [name] if isinstance(name, str) else list(name)
        for item in main["defaults"]
        if isinstance(item, dict)
        for group, name in item.items()
    }
    found = book.groups
    order = sorted(found, key=lambda name: (name != "experiment", [*chosen, name].index(name)))
    rows = [(name, ", ".join(_starred(found[name], chosen.get(name, [])))) for name in order]
    kinds = get_type_hints(Run)
    numbers = [
        (f"{item.name}={main[item.name]}".lower(), need(kinds[item.name], item.metadata)) for item in fields(Run)
    ]
    flags = [(", ".join(action.option_strings), str(action.help)) for action in _parser()._actions]
    return string.Template(main["hydra"]["help"]["template"]).substitute(
        APP_CONFIG_GROUPS=_table(rows), CONFIG=_table(numbers), FLAGS_HELP=_table(flags)
    )


def _starred(choices: list[str], defaults: list[str]) -> list[str]:
    rest = [choice for choice in choices if choice not in defaults]
    return [f"{name}*" for name in defaults if name in choices] + rest


def _table(rows: Sequence[tuple[str, str]]) -> str:
    """Two columns, indented by two, the second wrapped under itself."""
    left = max((len(name) for name, _ in rows), default=0) + 4
    return "\n".join(
        textwrap.fill(text, WIDTH, initial_indent=f"  {name}".ljust(left), subsequent_indent=" " * left)
        for name, text in rows
    )


def version() -> str:
    """The version in the checkout's pyproject.toml, else that of the installed package."""
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if project.exists():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    return metadata.version("guardband")
