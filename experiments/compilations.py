"""How many programs were compiled: the number a sweep must not multiply."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import jax.monitoring

__all__ = ["Count", "counted"]

_EVENT = "/jax/core/compile/backend_compile_duration"


class Count:
    """Programs compiled while a `counted` block was open, and the seconds they took."""

    def __init__(self) -> None:
        self.programs = 0
        self.seconds = 0.0


_open: list[Count] = []
_lock = Lock()  # two threads may finish a compilation at once


def _listen(event: str, seconds: float) -> None:
    if event == _EVENT:
        with _lock:
            for count in _open:
                count.programs += 1
                count.seconds += seconds


jax.monitoring.register_event_duration_secs_listener(lambda event, duration_secs, **_: _listen(event, duration_secs))


@contextmanager
def counted() -> Iterator[Count]:
    """Count compilations inside the block, all threads included."""
    count = Count()
    _open.append(count)
    try:
        yield count
    finally:
        _open.remove(count)
