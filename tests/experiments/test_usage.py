"""The help a newcomer reads, and the options' own refusals."""

import re
import shlex

import pytest

from envs.targets import ConfigError
from experiments import usage
from experiments.compose import check, compose, open_book, read, spread


@pytest.fixture(scope="module")
def text() -> str:
    with open_book() as book:
        return usage.help_text(book)


def test_help_fits_80_columns(text: str) -> None:
    assert max(map(len, text.splitlines())) <= 80


def test_help_shows_every_group_with_its_choices_and_stars_the_defaults(text: str) -> None:
    with open_book() as book:
        groups = book.groups
    shown = " ".join(text.split())
    for group, choices in groups.items():
        assert re.search(rf"^  {group} ", text, re.MULTILINE)
        for choice in choices:
            assert re.search(rf"\b{choice}\b", shown)
    assert "ips*, snips*, direct*, doubly_robust*" in text


def test_help_shows_every_number_with_its_default_and_what_it_takes(text: str) -> None:
    assert re.search(r"horizon=200 +an int >= 1 and <= 1000000 \(evaluations\)", text)
    assert re.search(r"precision=float64 +one of float64, float32", text)
    assert re.search(r"strict=false +true or false", text)


def test_help_gives_six_example_commands(text: str) -> None:
    assert len(re.findall(r"^  python -m experiments\.run", text, re.MULTILINE)) == 6


def test_every_example_command_is_accepted(text: str) -> None:
    for command in re.findall(r"^  python -m experiments\.run(.*)", text, re.MULTILINE):
        _, words = usage.parse(shlex.split(command))
        with open_book() as book:
            for job in spread(read(words), book):
                cfg = compose(book, job)
                check(cfg, cfg.hydra.runtime.choices, groups=tuple(book.groups))


def test_long_rows_wrap_under_their_own_column() -> None:
    table = usage._table([("world", ", ".join(["choice_name"] * 12)), ("x", "y")])
    lines = table.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line[:9] for line in lines[:2]] == ["  world  ", " " * 9]


def test_options_and_settings_may_stand_in_any_order() -> None:
    options, words = usage.parse(["a=1", "-m", "+b=2", "-cd", "x", "~c", "--config-dir", "y"])
    assert options.multirun
    assert options.config_dir == ["x", "y"]
    assert words == ["a=1", "+b=2", "~c"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--multirn"], "got '--multirn', need one of --multirun, .*; did you mean '--multirun'"),
        (["--policy=linucb"], "without dashes"),
        (["-x"], "got '-x', need one of"),
        (["--config-dir"], "expected one argument; see --help"),
        (["--cfg", "jb"], "invalid choice: 'jb'"),
    ],
)
def test_a_bad_option_is_one_line(argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        usage.parse(argv)
    assert str(caught.value).startswith("command line: ")
    assert "\n" not in str(caught.value)


def test_the_version_is_the_projects() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", usage.version())
