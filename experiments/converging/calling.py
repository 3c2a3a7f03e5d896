"""Work for processes: what is called, how much of it there is, and what it cost."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, NamedTuple

from experiments.terminal import Progress

__all__ = ["Call", "Done", "called", "opened", "seconds_by_part"]

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")  # of each process: more would only wait


class Done(NamedTuple):
    """What a process sends back, and the CPU seconds that it took."""

    found: list[Any]
    cpu_seconds: float


class Call(NamedTuple):
    """A function of a module with its arguments; `part` of the run it belongs to, `size` in evaluations."""

    part: str
    function: Callable[..., Done]
    arguments: tuple[Any, ...]
    size: int


@contextmanager
def opened(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """A pool of fresh processes; None for 0 workers, which means: in this process."""
    if not workers:
        yield None
        return
    alone = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in alone.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def called(pool: ProcessPoolExecutor | None, calls: Sequence[Call], progress: Progress, *, stage: str) -> list[Done]:
    """Results of the calls in their order, computed as processes become free.

    Args:
        pool: as `opened`.
        calls: what to do, the longest first.
        progress: told of every call that ends.
        stage: its name there.
    """
    if not calls:
        return []
    with progress.stage(stage, sum(call.size for call in calls), unit="evaluations") as advance:
        if pool is None:
            return [_here(call, advance) for call in calls]
        futures: dict[Future[Done], int] = {pool.submit(c.function, *c.arguments): c.size for c in calls}
        for future in as_completed(futures):
            future.result()
            advance(futures[future])
        return [future.result() for future in futures]


def _here(call: Call, advance: Callable[[int], None]) -> Done:
    done = call.function(*call.arguments)
    advance(call.size)
    return done


def seconds_by_part(calls: Sequence[Call], done: Sequence[Done]) -> dict[str, float]:
    """CPU seconds of the processes by part.

    >>> seconds_by_part([Call("a", Done, (), 1)] * 2, [Done([], 1.5), Done([], 0.5)])
    {'a': 2.0}
    """
    spent: dict[str, float] = {}
    for call, one in zip(calls, done, strict=True):
        spent[call.part] = spent.get(call.part, 0.0) + one.cpu_seconds
    return spent
