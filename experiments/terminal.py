"""What a run says in the terminal: progress while it works, claims and verdict when it is done.

A terminal gets live bars; a pipe or a log file gets one plain line as a stage begins, at each
quarter of it, and as it ends. Everything reads well at 80 columns and without colour.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as LiveProgress
from rich.table import Table

from experiments.results import Claim, Summary

Advance = Callable[[int], None]

_MARKS = {True: ("✓", "yes", "green"), False: ("✗", "NO", "bold red"), None: ("·", "-", "dim")}
_VERDICT_STYLE = {"approved": "bold green", "refused": "bold red"}


class Progress:
    """Progress of a run by named stages; after it, `timings` holds wall seconds by stage.

    Use as a context manager, one stage at a time:

        with Progress() as progress:
            with progress.stage("simulate", 40, unit="slabs") as advance:
                for slab in slabs:
                    ...
                    advance(1)
    """

    def __init__(
        self,
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.timings: dict[str, float] = {}
        self._console = console if console is not None else Console(stderr=True)
        self._clock = clock
        self._live: LiveProgress | None = None
        if self._console.is_terminal:
            self._live = LiveProgress(
                TextColumn("{task.description:<28.28}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]:<10.10}"),
                TimeElapsedColumn(),
                console=self._console,
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @contextmanager
    def stage(self, name: str, total: int, *, unit: str = "steps") -> Iterator[Advance]:
        """Open a stage of `total` units; call what it yields with the units just done.

        Args:
            name: what is being done, such as "simulate".
            total: units the stage will do, >= 1.
            unit: what is counted, in the plural.

        Raises:
            ValueError: total < 1, or the stage was already run.
        """
        if total < 1:
            raise ValueError(f"stage {name!r} has {total} {unit}, need at least 1")
        if name in self.timings:
            raise ValueError(f"stage {name!r} was already run; names of stages differ")
        start = self._clock()
        try:
            yield (self._live_stage(name, total, unit) if self._live else self._plain(name, total, unit))
        finally:
            self.timings[name] = self._clock() - start
            if self._live is None:
                self._say(f"{name}: {self.timings[name]:.1f} s")

    def _live_stage(self, name: str, total: int, unit: str) -> Advance:
        assert self._live is not None
        live, task = self._live, self._live.add_task(escape(name), total=total, unit=unit)
        return lambda done: live.advance(task, done)

    def _plain(self, name: str, total: int, unit: str) -> Advance:
        self._say(f"{name}: {total} {unit}")
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            quarter = done * 4 // total
            done += more
            if quarter < done * 4 // total < 4:
                self._say(f"{name}: {done}/{total} {unit}")

        return advance

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_claims(summary: Summary, *, report: Path | None = None, console: Console | None = None) -> None:
    """Print the claims as a table, then the verdict, its reasons and where the report lies.

    Args:
        summary: the run's summary.
        report: path of the report, shown relative to the working directory if it lies below it.
        console: where to print; standard output if None.
    """
    console = console if console is not None else Console()
    if summary.claims:
        console.print(_claims_table(summary.claims, plain=not _is_unicode(console)))
    style = _VERDICT_STYLE.get(summary.verdict, "bold")
    console.print(f"Verdict: [{style}]{escape(summary.verdict)}[/]", highlight=False)
    reasons = Table.grid(padding=(0, 1))
    for reason in summary.reasons:
        reasons.add_row(" -", escape(reason))
    console.print(reasons, highlight=False)
    if report is not None:
        # soft_wrap keeps a long path in one piece, so that it can be copied.
        console.print(f"Report:  {escape(_short(report))}", highlight=False, soft_wrap=True)


def _claims_table(claims: tuple[Claim, ...], *, plain: bool) -> Table:
    table = Table(box=box.ASCII2 if plain else box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("Holds", justify="center", width=5)
    for name, ratio in (("Claim", 5), ("Measured", 3), ("Required", 3), ("Interval", 3)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for claim in claims:
        mark, word, style = _MARKS[claim.holds]
        texts = [escape(text) for text in claim[:4]]
        table.add_row(f"[{style}]{word if plain else mark}[/]", *texts)
    return table


def _is_unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def _short(path: Path) -> str:
    """The path as one would type it here: relative if it lies below the working directory."""
    here, full = Path.cwd(), path.resolve()
    return str(full.relative_to(here) if full.is_relative_to(here) else full)
