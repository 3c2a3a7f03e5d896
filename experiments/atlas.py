"""An atlas of the worlds: what temperature and max_tokens do to quality, length, latency, cost and reward.

One page (`atlas.html`) with a row of maps per world and task type, optimum and baseline
marked, and beside them the published numbers that the world claims to reproduce. Values
are exact means over the task type's contexts; the axes not drawn stand at the optimum's.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
from numpy.typing import NDArray

from envs import presets
from envs.calibration import Compared, compare
from envs.oracle import Best
from envs.surfaces import llm_outcome
from envs.targets import nearest, refuse
from envs.world import Scenario
from experiments.atlas_figures import Sheet, contact_figure, sheet_figure
from experiments.convergence import FLAT
from experiments.exporting import finish
from experiments.figures import save_figure
from experiments.measurement import Measurement
from experiments.published import HEADS, cells, published_lines
from experiments.results import Claim, Results, Summary
from experiments.settings import Job
from experiments.terminal import Progress
from experiments.vetting import Ledger, drift_of
from experiments.world_validation import simulated_worlds

__all__ = ["Params", "run", "sheets"]

PAGE, TABLE = "atlas.html", "published.md"
CLOSE = 0.05  # share of the gap between worst and best that counts as near the optimum
DRAWN = ("quality", "output_tokens", "latency_ms", "cost_usd")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Params:
    """Which worlds, by name (all where the list is empty), and at which evaluation of the run's drift."""

    worlds: tuple[str, ...] = ()
    t: int = field(default=0, metadata={"ge": 0, "le": 10**6, "unit": "evaluation"})


class _Entry(NamedTuple):
    """One world of the page."""

    name: str
    about: str
    pictures: tuple[str, ...]  # data addresses
    facts: tuple[tuple[str, ...], ...]
    compared: tuple[Compared, ...]

    @property
    def rows(self) -> list[tuple[bool, tuple[str, ...]]]:
        """Whether each published number holds, and its cells."""
        return [(one.holds, cells(one)) for one in self.compared]


def sheets(scenario: Scenario, *, t: int = 0) -> list[Sheet]:
    """The maps of every task type at evaluation t: means over its contexts, (temperatures, caps) each."""
    parts, table = scenario.parts(t=t)
    weight, found = scenario.weights(t=t), []
    for task, name in enumerate(scenario.population.names):
        mine = scenario.population.task == task
        share = weight[mine] if weight[mine].sum() > 0 else np.ones(int(mine.sum()))
        flat = {part: np.average(getattr(parts, part)[mine], axis=0, weights=share) for part in DRAWN}
        flat["reward"] = np.average(table[mine], axis=0, weights=share)
        found.append(_sheet(scenario, name, flat, home=int(scenario.baseline[task])))
    return found


def _sheet(scenario: Scenario, task: str, flat: Mapping[str, Floats], *, home: int) -> Sheet:
    lattice, reward = scenario.lattice, flat["reward"]
    best = Best(np.array([reward.argmax()], np.int32), reward[[reward.argmax()]])
    at, start = lattice.decode(best.action)[0], lattice.decode(np.array([home]))[0]
    rest = tuple(int(c) for c in at[2:])
    behind = int(np.ravel_multi_index(rest, lattice.shape[2:]))
    plane = (*lattice.shape[:2], -1)
    maps = {name: np.asarray(values).reshape(plane)[:, :, behind] for name, values in flat.items()}
    chosen = lattice.parameters(int(best.action[0]))
    others = {name: value for name, value in chosen.items() if name not in ("temperature", "max_tokens")}
    near = float(np.mean(reward >= reward.max() - CLOSE * (reward.max() - reward.min())))
    return Sheet(
        world=scenario.name,
        task=task,
        temperature=lattice.values("temperature"),
        max_tokens=lattice.values("max_tokens"),
        maps=maps,
        best=None if np.ptp(reward) <= FLAT else (int(at[0]), int(at[1])),
        home=(int(start[0]), int(start[1])),
        elsewhere=others,
        value=(float(reward[home]), float(reward.max())),
        near=near,
    )


def run(job: Job) -> Summary:
    """Draw the atlas and compare published with simulated numbers.

    Raises:
        ConfigError: a world that is not there, or an evaluation past the horizon.
    """
    params, ledger, worlds = job.pick("experiment", Params), Ledger(Results(), []), simulated_worlds()
    for name in params.worlds:
        if name not in worlds:
            raise refuse("experiment.worlds", name, f"some of {', '.join(worlds)}{nearest(name, worlds)}")
    chosen = {name: worlds[name] for name in params.worlds or worlds}
    drift, entries, drawn, files = drift_of(job), [], [], []
    if params.t >= job.run.horizon:
        raise refuse("experiment.t", params.t, f"an evaluation of the run: below horizon = {job.run.horizon}")
    with Progress() as progress, progress.stage("draw", len(chosen), unit="worlds") as advance:
        for name, world in chosen.items():
            pages = sheets(llm_outcome.build(world, drift=drift), t=params.t)
            drawn += pages
            compared = compare(world)
            _record(ledger, name, pages, compared)
            entries.append(_entry(job.out, name, pages, compared))
            files += [f"figures/atlas_{name}_{page.task}.{end}" for page in pages for end in ("svg", "png")]
            advance(1)
        save_figure(contact_figure(drawn), job.out / "figures", "atlas")
    (job.out / TABLE).write_text("\n".join(published_lines(chosen)) + "\n", encoding="utf-8")
    (job.out / PAGE).write_text(_page(entries, t=params.t), encoding="utf-8")
    ledger.claims.append(_claim([one for entry in entries for one in entry.compared]))
    made = [*files, "figures/atlas.svg", "figures/atlas.png", PAGE, TABLE]
    return finish(job, ledger, verdict=None, files=made, timings=progress.timings)


def _record(ledger: Ledger, world: str, pages: list[Sheet], compared: tuple[Compared, ...]) -> None:
    for page in pages:
        for measure, value in (("baseline", page.value[0]), ("oracle", page.value[1]), ("near_oracle", page.near)):
            ledger.results.add(
                Measurement(section="world", measure=measure, world=world, task=page.task, value=value)
            )  # fmt: skip
    for i, one in enumerate(compared):
        low, high = one.record.value - one.record.allowed, one.record.value + one.record.allowed
        measure = f"published_{one.record.measure}"
        row = Measurement(
            section="world",
            measure=measure,
            world=world,
            task=one.record.task,
            n=i,
            value=one.simulated,
            lo=low,
            hi=high,
        )
        ledger.results.add(row)


def _claim(compared: list[Compared]) -> Claim:
    held = sum(one.holds for one in compared)
    return Claim(
        "Published numbers reproduced by the presets that claim them",
        f"{held} of {len(compared)}",
        "all, within 2 standard errors or the stated tolerance",
        "exact means over each population",
        held == len(compared),
    )


def _about(name: str) -> str:
    """The comment at the head of a preset's yaml."""
    lines = (presets.CONFIGS / "world" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    head = [line for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]]
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in head if not line.startswith("# @"))


def _entry(out: Path, name: str, pages: list[Sheet], compared: tuple[Compared, ...]) -> _Entry:
    pictures, facts = [], []
    for page in pages:
        saved = save_figure(sheet_figure(page), out / "figures", f"atlas_{name}_{page.task}")
        pictures.append("data:image/png;base64," + base64.b64encode(saved.png.read_bytes()).decode())
        facts.append(_fact(page))
    return _Entry(name, _about(name), tuple(pictures), tuple(facts), compared)


def _fact(page: Sheet) -> tuple[str, ...]:
    best = "none: all are equal"
    if page.best is not None:
        best = f"T {page.temperature[page.best[0]]:g}, {page.max_tokens[page.best[1]]:g} tokens"
    rest = ", ".join(f"{name} {value}" for name, value in page.elsewhere.items())
    return (page.task, best, rest, f"{page.value[0]:.3f}", f"{page.value[1]:.3f}", f"{page.near:.1%}")


def _page(entries: list[_Entry], *, t: int) -> str:
    templates = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    made = jinja2.Environment(loader=templates, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return made.get_template("atlas.html.j2").render(entries=entries, heads=HEADS, t=t, close=f"{CLOSE:.0%}")
