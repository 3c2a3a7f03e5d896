"""Calls in this process and in others: results in order, progress by size, time by part."""

import os

import pytest
from rich.console import Console

from experiments.converging.calling import THREADS, Call, Done, called, opened, seconds_by_part
from experiments.terminal import Progress


def square(x: int) -> Done:
    return Done([x * x, os.environ["OPENBLAS_NUM_THREADS"] if x == 3 else ""], 0.5)


def fail() -> Done:
    raise ValueError("no such luck")


@pytest.fixture
def progress():
    with Progress(console=Console(quiet=True)) as made:
        yield made


CALLS = [Call("even" if x % 2 == 0 else "odd", square, (x,), x) for x in (4, 2, 3)]


def test_results_come_in_the_order_of_the_calls(progress, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    with opened(0) as pool:
        assert pool is None
        done = called(pool, CALLS, progress, stage="squares")
    assert [one.found[0] for one in done] == [16, 4, 9]
    assert seconds_by_part(CALLS, done) == {"even": 1.0, "odd": 0.5}
    assert set(progress.timings) == {"squares"}


def test_other_processes_give_the_same_with_one_thread_each(progress, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with opened(1) as pool:
        done = called(pool, CALLS, progress, stage="squares")
    assert [one.found for one in done] == [[16, ""], [4, ""], [9, "1"]]
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"  # as it was
    assert "OMP_NUM_THREADS" not in os.environ
    assert len(THREADS) == 3


def test_what_breaks_there_breaks_here(progress):
    with opened(1) as pool, pytest.raises(ValueError, match="no such luck"):
        called(pool, [Call("x", fail, (), 1)], progress, stage="x")


def test_nothing_to_do_is_no_stage(progress):
    assert called(None, [], progress, stage="nothing") == []
    assert not progress.timings
