"""How many decisions a gate needs, and how much exploration: `experiment=power`.

For a world, or for a pilot log (`data=FILE`): the log size and the exploration floor at which the gate
detects an improvement of a given size with a given power, what the log costs, and a check of the
prediction by the gate itself on simulated logs. A world's check is the vetting run's own gate; a pilot's
draws rewards from its reward model, so that its answer is as good as that model.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from envs.targets import refuse
from evaluators.gates import Params as GateParams
from evaluators.rows import Floats
from experiments.exporting import finish
from experiments.figures import save_figure
from experiments.powering import pilots, worlds
from experiments.powering.answers import (
    Answer,
    Checked,
    Wish,
    agreement,
    false_approvals,
    measurements,
    recommended,
    sentence,
    sentences,
)
from experiments.powering.contests import Contest, Loss, aimed, levelled
from experiments.powering.pictures import power_figure
from experiments.powering.predicting import SMALLEST, Design, check_interval, check_support, power, smallest
from experiments.results import Results, Summary, load_results
from experiments.settings import Job
from experiments.terminal import Progress
from experiments.vetting import Ledger, open_bench

__all__ = ["Params", "run"]

DRAWN = 16  # points of a curve beside the sizes asked for
LOG_SEED, SEEDS_APART = 10_000, 100_000  # of the simulated logs; between those of two checks


@dataclass(frozen=True)
class Params:
    """What is to be detected, on which logs.

    Attributes:
        difference: true improvement of the candidate over the baseline.
        power: wanted chance that the gate approves it.
        floors: shares of uniform exploration of the logger.
        log_sizes: of the table of powers.
        ess_share: design ESS per decision of the candidate on the logger as configured (a pilot's own): how
            sharp it is.
        logs: simulated per check; 0: none.
        most: largest log size thought of.
        most_simulated: decisions of one check; a longer log is checked on fewer.
        reward_range: of a pilot, smallest and largest possible reward.
    """

    difference: float = field(default=0.05, metadata={"gt": 0.0, "le": 1e9, "unit": "reward units"})
    power: float = field(default=0.8, metadata={"gt": 0.05, "lt": 1.0, "unit": "share of logs"})
    floors: tuple[float, ...] = field(
        default=(0.1, 0.2, 0.5, 1.0), metadata={"gt": 0.0, "le": 1.0, "unit": "share of uniform exploration"}
    )
    log_sizes: tuple[int, ...] = field(
        default=(500, 1000, 2000, 5000, 10_000), metadata={"ge": SMALLEST, "le": 10**8, "unit": "rows"}
    )
    ess_share: float = field(default=0.25, metadata={"gt": 0.0, "lt": 1.0, "unit": "ESS / n"})
    logs: int = field(default=400, metadata={"ge": 0, "le": 10**6, "unit": "logs per check"})
    most: int = field(default=100_000, metadata={"ge": SMALLEST, "le": 10**8, "unit": "rows"})
    most_simulated: int = field(default=4_000_000, metadata={"ge": 1000, "le": 10**10, "unit": "rows per check"})
    reward_range: tuple[float, float] | None = field(
        default=None, metadata={"ge": -1e12, "le": 1e12, "unit": "reward units"}
    )


class _Question(NamedTuple):
    """A world or a pilot, seen alike."""

    name: str
    contest: Contest  # without a candidate
    logger: Floats  # (m, k) as configured, or the pilot's
    design_of: Callable[[Contest, float], Design]
    loss_of: Callable[[Design], Loss]
    approvals: Callable[..., Iterator[bool]]
    notes: tuple[str, ...]


def run(job: Job) -> Summary:
    """Predict, recommend, check.

    Raises:
        ConfigError: a group of another kind, no floor or log size, or one that stands there twice.
        ValueError: the world or the pilot cannot be asked this: no declared range, no exact truth, more
            improvement than there is, or a gate whose bound cannot be predicted or is not certified.
    """
    params, gate = job.pick("experiment", Params), job.pick("gate", GateParams)
    _check(params, gate)
    with Progress() as progress:
        with progress.stage("tables", 1) as advance:
            asked = _pilot(job, params) if job.run.data else _world(job)
            rng = np.random.default_rng(job.run.master_seed)
            contest = _candidate(rng, params, asked)
            level = levelled(rng, asked.contest, logger=asked.logger, ess_share=params.ess_share)
            advance(1)
        with progress.stage("predict", len(params.floors), unit="floors") as advance:
            answers = [_predicted(params, gate, asked, design=asked.design_of(contest, f)) for f in params.floors]
            advance(len(answers))
        if params.logs:
            answers = _checked(params, gate, asked, contest=contest, answers=answers, progress=progress)
        best, null = recommended(answers), None
        if params.logs and best is not None and level is not None:
            null = best.floor, _null(params, gate, asked, contest=level, best=best, progress=progress)
    wish = Wish(
        asked.name,
        params.difference,
        params.power,
        alpha=gate.alpha / gate.max_judged,
        most=params.most,
        is_pilot=bool(job.run.data),
    )
    return _told(job, wish, asked, answers=answers, null=null, progress=progress)


def _candidate(rng: np.random.Generator, params: Params, asked: _Question) -> Contest:
    return aimed(rng, asked.contest, params.difference, logger=asked.logger, ess_share=params.ess_share)


def _told(
    job: Job,
    wish: Wish,
    asked: _Question,
    *,
    answers: list[Answer],
    null: tuple[float, Checked] | None,
    progress: Progress,
) -> Summary:
    """Claims, measurements and figure of the finished run, and the answer as the last line."""
    ledger = Ledger(Results(), sentences(wish, answers))
    ledger.claims.extend(agreement(wish, one) for one in answers if one.checked is not None)
    if null is not None:
        ledger.claims.append(false_approvals(wish, *null))
    for row in measurements(wish, answers, null):
        ledger.results.add(row)
    files = [*_figure(job, ledger, wanted=wish.power), *([pilots.REJECTED] if wish.is_pilot else [])]
    summary = finish(job, ledger, verdict=None, files=files, timings=progress.timings, notes=asked.notes)
    Console().print(f"Answer:  {sentence(wish, answers)}.", highlight=False, soft_wrap=True)
    return summary


def _check(params: Params, gate: GateParams) -> None:
    for name in ("floors", "log_sizes"):
        given = getattr(params, name)
        if not given or len({f"{one:g}" for one in given}) < len(given):
            raise refuse(f"experiment.{name}", list(given), "at least one, each once, told apart by six digits")
    check_interval(gate, most=params.most)


def _world(job: Job) -> _Question:
    world = worlds.open_world(job, open_bench(job))
    scenario = world.side.scenario
    return _Question(
        scenario.name,
        world.contest,
        world.side.behavior.probs,
        partial(worlds.design_of, world),
        partial(worlds.loss_of, world),
        partial(worlds.approvals, world),
        scenario.notes,
    )


def _pilot(job: Job, params: Params) -> _Question:
    file = Path(job.run.data).expanduser()
    pilot = pilots.open_pilot(file, job.out / pilots.REJECTED, declared=params.reward_range)
    notes = (
        f"Pilot: {file.name}, {pilot.slot.size:,} decisions, floor {pilot.floor:.3g}. Values, losses and the "
        "improvement are what the pilot's reward model says; its noise is the residuals'.",
        "Decisions are taken as independent. Where many share a problem, the gate's clustered bound is wider.",
    )
    return _Question(
        "pilot",
        pilot.contest,
        pilot.logger,
        partial(pilots.design_of, pilot),
        partial(pilots.loss_of, pilot),
        partial(pilots.approvals, pilot),
        notes,
    )


def _predicted(params: Params, gate: GateParams, asked: _Question, *, design: Design) -> Answer:
    check_support(gate, design)
    power_at = partial(power, gate, design)
    n = smallest(power_at, params.power, most=params.most)
    sizes = tuple(sorted(params.log_sizes))
    between = np.geomspace(sizes[0], sizes[-1], DRAWN).round().astype(int).tolist()
    curve = {size: power_at(size) for size in sorted({*sizes, *between})}
    answer = Answer(design.floor, asked.loss_of(design), curve, sizes)
    return answer if n is None else answer._replace(n=n, predicted=power_at(n))


def _checked(
    params: Params, gate: GateParams, asked: _Question, *, contest: Contest, answers: list[Answer], progress: Progress
) -> list[Answer]:
    """Every floor's answer beside what the gate says there."""
    sizes = {place: (one.n, _logs(params, one.n)) for place, one in enumerate(answers) if one.n is not None}
    if not sizes:
        return answers
    found = list(answers)
    with progress.stage("check power", sum(logs for _, logs in sizes.values()), unit="logs") as advance:
        for place, (n, logs) in sizes.items():
            design = asked.design_of(contest, answers[place].floor)
            first = LOG_SEED + place * SEEDS_APART
            checked = _counted(asked.approvals(gate, design, n=n, n_logs=logs, first=first), n, advance)
            found[place] = found[place]._replace(checked=checked)
    return found


def _null(
    params: Params, gate: GateParams, asked: _Question, *, contest: Contest, best: Answer, progress: Progress
) -> Checked:
    """The recommended log at a true difference of 0."""
    assert best.n is not None
    logs, design = _logs(params, best.n), asked.design_of(contest, best.floor)
    first = LOG_SEED + len(params.floors) * SEEDS_APART
    with progress.stage("check errors", logs, unit="logs") as advance:
        return _counted(asked.approvals(gate, design, n=best.n, n_logs=logs, first=first), best.n, advance)


def _logs(params: Params, n: int) -> int:
    return max(min(params.logs, params.most_simulated // n), 1)


def _counted(said: Iterator[bool], n: int, advance: Callable[[int], None]) -> Checked:
    hits = total = 0
    for one in said:
        hits, total = hits + one, total + 1
        advance(1)
    return Checked(n, hits, total)


def _figure(job: Job, ledger: Ledger, *, wanted: float) -> list[str]:
    ledger.results.write(job.out)
    saved = save_figure(power_figure(load_results(job.out), wanted=wanted), job.out / "figures", "power")
    return [f"figures/{file.name}" for file in saved]
