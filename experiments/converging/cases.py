"""What is run: worlds, starts and drifts, in groups that share a compiled program.

The bad start (temperature 1.6, 192 tokens) is no point of the presets' token axis 112 + 100 i,
so its world moves that axis down by 20: the same number of values, hence the same program.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from envs import presets
from envs.drift import Params as DriftParams
from envs.lattice import AxisRange, Lattice, parse_decimal
from envs.surfaces import llm_outcome
from envs.targets import refuse
from envs.world import Scenario

__all__ = ["BAD", "DEFAULT", "Case", "Named", "grouped", "load", "named", "scenario_of", "shifted"]

DEFAULT, BAD = "default", "bad"  # where a run starts
BAD_TEMPERATURE, BAD_TOKENS, SHIFT = (
    "1.6",
    "192",
    -20,
)  # issue's bad start; SHIFT: of the token axis, so that it lies on it


class Named(NamedTuple):
    """A world under a drift, with its names.

    Attributes:
        world: the preset's name.
        start: `DEFAULT` or `BAD`.
        drift: name of the drift, "" where nothing moves.
        params: the preset's numbers, its token axis and baseline moved for the bad start.
        moves: components of the drift.
    """

    world: str
    start: str
    drift: str
    params: llm_outcome.Params
    moves: tuple[DriftParams, ...]

    @property
    def label(self) -> str:
        """One name for tables.

        >>> Named("hot_rise", "bad", "", llm_outcome.Params(), ()).label
        'hot_rise, bad start'
        """
        start = ", bad start" if self.start == BAD else ""
        return f"{self.world}{start}{', ' + self.drift if self.drift else ''}"


class Case(NamedTuple):
    """A world and how long it is run: seeds, and evaluations of each task type."""

    where: Named
    seeds: tuple[int, ...]
    evaluations: int


def load(world: str) -> llm_outcome.Params:
    """A preset of the synthetic LLM.

    Raises:
        ConfigError: no such preset, or a world of another kind.
    """
    found = presets.load("world", world)
    if not isinstance(found, llm_outcome.Params):
        raise refuse("experiment.worlds", world, f"some of {', '.join(presets.simulated())}")
    return found


def shifted(axis: AxisRange, by: int) -> AxisRange:
    """The same axis, every value moved.

    >>> shifted(AxisRange("112", "1012", "100"), -20)
    AxisRange(start='92', stop='992', step='100')
    """
    start, stop = (str(parse_decimal(end, "lattice.max_tokens") + by) for end in (axis.start, axis.stop))
    return AxisRange(start, stop, axis.step)


def named(world: str, start: str = DEFAULT, *, drift: str = "", moves: Iterable[DriftParams] = ()) -> Named:
    """A preset from one of the two starts.

    Args:
        world: name of a preset.
        start: `DEFAULT`: the preset's own baseline; `BAD`: temperature 1.6 and 192 tokens, the rest as there.
        drift: its name, "" for none.
        moves: its components; none: the same as `drift=none`.

    Raises:
        ConfigError: as `load`.
    """
    params = load(world)
    if start == BAD:
        grid = replace(params.lattice, max_tokens=shifted(params.lattice.max_tokens, SHIFT))
        home = replace(params.baseline, temperature=BAD_TEMPERATURE, max_tokens=BAD_TOKENS)
        params = replace(params, lattice=grid, baseline=home)
    return Named(world, start, drift, params, tuple(moves) or tuple(presets.components("none").values()))


def scenario_of(where: Named) -> Scenario:
    """The scenario, ready to run."""
    return llm_outcome.build(where.params, drift=where.moves)


def _program(params: llm_outcome.Params) -> tuple[object, ...]:
    """What decides which compiled program serves a world; numbers do not."""
    shape = Lattice.from_ranges(params.lattice, models=tuple(params.models) or ("",)).shape
    return (
        shape,
        len(params.task_types),
        params.noise.kind,
        params.noise.checks,
        params.replays,
        params.contexts_per_type,
    )


def grouped(cases: Sequence[Case]) -> list[tuple[Case, ...]]:
    """The cases by program, the longest work first: two processes then end at about the same time."""
    groups: dict[tuple[object, ...], list[Case]] = {}
    for case in cases:
        rounds = case.evaluations * len(case.where.params.task_types)
        groups.setdefault((*_program(case.where.params), rounds, len(case.where.moves)), []).append(case)
    return sorted(map(tuple, groups.values()), key=lambda group: -work(group))


def work(group: Iterable[Case]) -> int:
    """Evaluations that a group asks for, a yardstick of its time."""
    return sum(len(c.seeds) * c.evaluations * len(c.where.params.task_types) for c in group)


def chunks(seeds: int, size: int) -> list[tuple[int, ...]]:
    """Seeds 0, 1, ... in parts of one size, so that many seeds need no program of their own.

    >>> chunks(5, 2)
    [(0, 1), (2, 3), (4, 5)]
    """
    return [tuple(range(first, first + size)) for first in range(0, seeds, size)]


def cases_of(places: Mapping[str, Sequence[str]], seeds: int, *, evaluations: int) -> list[Case]:
    """One case for each world and start."""
    every = ((world, start) for world, starts in places.items() for start in starts)
    return [Case(named(world, start), tuple(range(seeds)), evaluations) for world, start in every]
