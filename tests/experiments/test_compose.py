"""Reading settings: what is ours, what is a sweep, what Hydra is handed, what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.targets import ConfigError
from evaluators.intervals import hall
from experiments.compose import CONFIGS, Book, check, compose, open_book, overrides_of, read, spread


@pytest.fixture(scope="module")
def book() -> Iterator[Book]:
    with open_book() as opened:
        yield opened


def test_modules_and_folders_are_taken_out_of_the_settings(tmp_path: Path) -> None:
    request = read(
        ["seeds=3", "allow_targets=[one,two.three]", f"hydra.searchpath=[file://{tmp_path}]"],
        [str(tmp_path)],
    )
    assert [override.input_line for override in request.overrides] == ["seeds=3"]
    assert request.allow == ("one", "two.three")
    assert request.search == (str(tmp_path), str(tmp_path))


@pytest.mark.parametrize(
    ("words", "folders", "line"),
    [
        (["horizon"], [], "command line: got 'horizon', need key=value, odd values quoted"),
        (["a=b("], [], "command line: got 'a=b(', need key=value, odd values quoted"),
        (["=3"], [], "command line: got '=3', need key=value, odd values quoted"),
        ([], ["nowhere"], "--config-dir: got 'nowhere', need a folder that exists"),
        (["allow_targets=3"], [], "allow_targets: got 3, need a list, such as [my_module]"),
    ],
)
def test_what_cannot_be_read_is_refused_on_one_line(words: list[str], folders: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(words, folders)
    assert str(caught.value) == line


def test_the_projects_own_folder_hides_nothing_from_itself() -> None:
    assert read([], [str(CONFIGS)]).search == (str(CONFIGS),)


def test_a_sweep_is_the_product_of_all_values_in_the_order_given(book: Book) -> None:
    words = ["a=1,2", "b=range(0,3)", "c=x", "d=choice(u,v)"]
    jobs = spread(read(words), book)
    assert len(jobs) == len(set(jobs)) == 12
    assert jobs[0] == ("a=1", "b=0", "c=x", "d=u")
    assert jobs[-1] == ("a=2", "b=2", "c=x", "d=v")
    assert spread(read([]), book) == [()]


def test_a_pattern_over_a_group_is_its_choices(book: Book) -> None:
    jobs = spread(read(["estimator=glob(*nips)"]), book)
    assert jobs == [("estimator=snips",)]
    assert ("estimator=ips",) in spread(read(["estimator=glob(*ips)"]), book)
    with pytest.raises(ConfigError, match="a pattern that fits something"):
        spread(read(["estimator=glob(z*)"]), book)


def test_a_sweep_without_an_end_is_refused(book: Book) -> None:
    with pytest.raises(ConfigError, match="need a list or range of values"):
        spread(read(["a=interval(0,1)"]), book)


def test_only_plain_keys_are_freed_for_our_own_check(book: Book) -> None:
    words = ["a.b=1", "gate=default", "+c=2", "++d=3", "~e", "hydra.verbose=true"]
    words += ["hydra/launcher=basic", "gate={x: 1}"]
    assert overrides_of(book, words) == [
        "++a.b=1",
        "gate=default",
        "+c=2",
        "++d=3",
        "~e",
        "hydra.verbose=true",
        "hydra/launcher=basic",
        "++gate={x: 1}",
    ]


@pytest.mark.parametrize("path", ["estimator.doubly_robust", "gate"])
def test_an_interval_may_be_given_by_its_name(book: Book, path: str) -> None:
    cfg = compose(book, (f"{path}.interval=hall",))
    job = check(cfg, cfg.hydra.runtime.choices, groups=tuple(book.groups))
    chosen: Any = job.groups["gate"] if path == "gate" else job.pick("estimator", dict)["doubly_robust"]
    assert chosen.interval == hall.Params()
    cfg = compose(book, (f"{path}.interval=hal",))
    with pytest.raises(ConfigError, match=f"{path}.interval: got 'hal', .*mean 'hall'"):
        check(cfg, cfg.hydra.runtime.choices, groups=tuple(book.groups))
