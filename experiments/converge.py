"""Do policies converge within the horizon, inside the trust region, and do they recover from drift?

Every preset from two starts, several task types that share one budget, worlds outside the prior,
a control, two drifts; the flagship beside the other learners and black-box optimisers. Everything
is judged against exact surfaces.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

from envs import presets
from envs.drift import Params as DriftParams
from envs.targets import refuse
from experiments.converging.calling import Call, called, opened, seconds_by_part
from experiments.converging.cases import BAD, DEFAULT, Case, cases_of, chunks, grouped, named, work
from experiments.converging.comparing import Table, middle, players
from experiments.converging.drawing import LABEL, Wanted, draw
from experiments.converging.judging import (
    Judged,
    Roles,
    ahead_claims,
    claimed,
    convergence_claims,
    cost_claims,
    doubt_claims,
    drift_claims,
    live_claims,
)
from experiments.converging.peering import answer_peer
from experiments.converging.rows import measure_run, measure_table
from experiments.converging.running import Ask, Run, Setting, answer, by_key, has_outlook, joined, survey
from experiments.converging.surfaces import Surface
from experiments.exporting import finish
from experiments.figures import save_figure
from experiments.peers.optimisers import missing
from experiments.results import Results, Summary
from experiments.settings import Job
from experiments.simulate import TRAIN_EXTRA
from experiments.terminal import Progress
from experiments.vetting import Ledger
from policies.approval import PASSAGE
from policies.approval import Params as ApprovalParams
from policies.build import learner_module
from policies.constraints import Params as ConstraintParams

__all__ = ["Params", "run"]

SWAP, PRICE = "version_swap", "price_change"
SHARED_EXTRA = 5  # evaluations of each task type past a shared budget, so that staying can fail
SURVEYS = 4  # parts that the exact surfaces are computed in


@dataclass(frozen=True)
class Params:
    """What is run, and how often.

    Attributes:
        calibrated: presets inside the flagship's prior; outside: not; reported: without a claim.
        control: where nothing can be gained, from its own baseline; shared: several task types that share one budget.
        swap_worlds: under a version swap; price_worlds: under a price change.
        path_worlds: whose paths are drawn.
        flagship: the learner that claims speak of; approval: its rule.
        learners: the others, under the job's approval rule, or `two_sample` without a belief.
        peers: black-box optimisers by name; one whose packages are missing is left out, with a note.
    """

    calibrated: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    control: str = ""
    shared: str = ""
    swap_worlds: tuple[str, ...] = ()
    price_worlds: tuple[str, ...] = ()
    path_worlds: tuple[str, ...] = ()
    flagship: object = None
    approval: ApprovalParams = field(default_factory=ApprovalParams)
    learners: dict[str, object] = field(default_factory=dict)
    peers: tuple[str, ...] = ()
    by: tuple[int, ...] = field(default=(50, 100, 200), metadata={"ge": 1, "le": 100_000, "unit": "evaluations"})
    flagship_seeds: int = field(default=112, metadata={"ge": 2, "le": 10**6})
    control_seeds: int = field(default=448, metadata={"ge": 1, "le": 10**6})
    learner_seeds: int = field(default=32, metadata={"ge": 2, "le": 10**6})
    peer_seeds: int = field(default=20, metadata={"ge": 2, "le": 10**6})
    price_factor: float = field(default=10.0, metadata={"gt": 0.0, "le": 1000.0, "unit": "of the output price"})
    epsilon: float = field(default=0.04, metadata={"ge": 0.0, "le": 1.0, "unit": "share of the reward range"})
    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "posterior probability"})
    precision: str = field(default="float32", metadata={"choices": ("float64", "float32")})
    workers: int = field(default=2, metadata={"ge": 0, "le": 256, "unit": "processes; 0: this one"})


class _Found(NamedTuple):
    """Everything that was run, joined over seeds, and CPU seconds by part."""

    flagship: tuple[Run, ...]
    others: tuple[Run, ...]
    surfaces: dict[tuple[str, str], Surface]
    cpu: dict[str, float]


def run(job: Job) -> Summary:
    """Run, score, draw and claim.

    Raises:
        ConfigError: a world or a group that is not there, or nothing to run.
    """
    params, ledger, began = job.pick("experiment", Params), Ledger(Results(), []), time.process_time()
    _check(params, job)
    with Progress() as progress:
        found = _simulate(job, params, progress)
        judged = Judged(found.flagship, found.surfaces, _roles(job, params))
        table = _table(job, params, found)
        with progress.stage("score", 2, unit="parts") as advance:
            _claim(params, judged, table, ledger=ledger)
            advance(1)
            _measure(found, judged, ledger=ledger)
            advance(1)
        with progress.stage("draw", 1, unit="folder") as advance:
            figures = draw(judged, table, _wanted(params), results=ledger.results)
            saved = [save_figure(figure, job.out / "figures", name) for name, figure in figures.items()]
            advance(1)
    timings = progress.timings | {f"{part}, CPU": seconds for part, seconds in found.cpu.items()}
    timings["this process, CPU"] = time.process_time() - began
    files = [f"figures/{file.name}" for pair in saved for file in pair]
    return finish(job, ledger, verdict=None, files=files, timings=timings, notes=_notes(params, table))


def _check(params: Params, job: Job) -> None:
    """Refuse what could not be judged."""
    if params.flagship is None or not params.calibrated:
        need = "a policy at experiment.flagship and some worlds"
        raise refuse("experiment", "no flagship or no calibrated worlds", need)
    if not params.by or max(params.by) > job.run.horizon or list(params.by) != sorted(set(params.by)):
        raise refuse("experiment.by", list(params.by), f"ascending evaluations up to the horizon, {job.run.horizon}")
    onset = presets.components(SWAP)[SWAP].onset
    if (params.swap_worlds or params.price_worlds) and onset >= job.run.horizon:
        need = f"a horizon beyond the onset of the drifts, {onset}, or no swap_worlds and no price_worlds"
        raise refuse("horizon", job.run.horizon, need)


def _wanted(params: Params) -> Wanted:
    return Wanted(params.path_worlds, params.epsilon, params.confidence)


def _roles(job: Job, params: Params) -> Roles:
    shared_by = _shared(job, params) if params.shared else 0
    onset = presets.components(SWAP)[SWAP].onset
    return Roles(params.calibrated, params.outside, params.control, params.shared, params.by, shared_by, onset)


def _shared(job: Job, params: Params) -> int:
    """Evaluations of each task type that share the horizon."""
    return job.run.horizon // len(named(params.shared).params.task_types)


def _moves(drift: str, params: Params) -> tuple[DriftParams, ...]:
    """The components of a drift; the price change has a size of its own here."""
    found = tuple(presets.components(drift).values())
    return tuple(replace(one, output_price_factor=params.price_factor) for one in found) if drift == PRICE else found


def _cases(job: Job, params: Params) -> list[Case]:
    """Everything that the flagship runs."""
    n, both = job.run.horizon + TRAIN_EXTRA, (DEFAULT, BAD)
    seeds = min(params.flagship_seeds, job.run.seeds)
    plain = dict.fromkeys((*params.calibrated, *params.outside, *params.reported), both)
    found = cases_of(plain, seeds, evaluations=n)
    if params.control:
        parts = chunks(params.control_seeds, min(seeds, params.control_seeds))
        found += [Case(named(params.control), part, n) for part in parts]
    if params.shared:
        found += cases_of({params.shared: both}, seeds, evaluations=_shared(job, params) + SHARED_EXTRA)
    for drift, worlds in ((SWAP, params.swap_worlds), (PRICE, params.price_worlds)):
        moves = _moves(drift, params)
        found += [Case(named(world, drift=drift, moves=moves), tuple(range(seeds)), n) for world in worlds]
    return found


def _simulate(job: Job, params: Params, progress: Progress) -> _Found:
    """All runs and all surfaces; then the best other learner once more, under the flagship's rule."""
    constraints, n = job.pick("constraints", ConstraintParams), job.run.horizon + TRAIN_EXTRA
    setting = Setting(job.run.master_seed, params.precision, constraints, params.epsilon)
    mine, bare = _cases(job, params), setting._replace(epsilon=None)
    wheres = list({case.where.label: case.where for case in mine}.values())
    parts = [wheres[i::SURVEYS] for i in range(min(SURVEYS, len(wheres)))]
    calls = _asked("flagship", [params.flagship], params.approval, cases=mine, setting=setting)
    calls += _others(job, params, bare)
    calls += [Call("surfaces", survey, (part, constraints, n), 1) for part in parts]
    with opened(params.workers) as pool:
        done = called(pool, calls, progress, stage="runs")
        by_part: dict[bool, list[Run]] = {True: [], False: []}
        surfaces: list[Surface] = []
        for call, one in zip(calls, done, strict=True):
            (surfaces if call.part == "surfaces" else by_part[call.part == "flagship"]).extend(one.found)
        held = by_key(surfaces)
        best = _best(job, params, by_part[False], surfaces=held)
        again = _asked(
            "best learner again",
            best,
            params.approval,
            cases=_theirs(job, params),
            setting=setting._replace(epsilon=None),
        )
        more = called(pool, again, progress, stage="the best learner under the flagship's rule")
    others = [*by_part[False], *(one for call in more for one in call.found)]
    cpu = seconds_by_part([*calls, *again], [*done, *more])
    return _Found(tuple(joined(by_part[True])), tuple(joined(others)), held, cpu)


def _asked(
    part: str, learners: Sequence[object], approval: ApprovalParams, *, cases: Sequence[Case], setting: Setting
) -> list[Call]:
    """Learners on cases, a call for each program."""
    each = product(learners, grouped(cases))
    return [Call(part, answer, (Ask(learner, approval, group, setting),), work(group)) for learner, group in each]


def _theirs(job: Job, params: Params) -> list[Case]:
    """What the other learners run: the calibrated presets from their own baseline."""
    seeds, places = min(params.learner_seeds, job.run.seeds), dict.fromkeys(params.calibrated, (DEFAULT,))
    return cases_of(places, seeds, evaluations=job.run.horizon + TRAIN_EXTRA)


def _others(job: Job, params: Params, setting: Setting) -> list[Call]:
    """The peers, and the other learners under the job's rule."""
    seeds, places = min(params.peer_seeds, job.run.seeds), dict.fromkeys(params.calibrated, (DEFAULT,))
    tried = cases_of(places, seeds, evaluations=job.run.horizon + TRAIN_EXTRA)
    here = [name for name in params.peers if not missing(name)]
    calls = [
        Call(f"peer {name}", answer_peer, (name, case, setting), work([case])) for name, case in product(here, tried)
    ]
    approval, learners = job.pick("approval", ApprovalParams), list(params.learners.values())
    return calls + _asked("other learners", learners, approval, cases=_theirs(job, params), setting=setting)


def _best(job: Job, params: Params, runs: Sequence[Run], *, surfaces: dict[tuple[str, str], Surface]) -> list[Any]:
    """The learner with the largest interquartile mean of those that can follow the flagship's passage rule, if any."""
    where, constraints = named(params.calibrated[0]), job.pick("constraints", ConstraintParams)
    able = {_name(one): one for one in params.learners.values() if has_outlook(where, one, constraints)}
    if params.approval.rule != PASSAGE or not able:
        return []
    mine = joined([run for run in runs if run.policy in able])
    table = Table(players(mine, list(dict.fromkeys(run.key for run in mine))), surfaces, job.run.master_seed)
    ranked = sorted(table.players, key=lambda one: -float(middle(table, one, by=params.by[-1]).value))
    return [able[ranked[0].policy]]


def _name(learner: object) -> str:
    return learner_module(learner).__name__.rsplit(".", 1)[-1]


def _table(job: Job, params: Params, found: _Found) -> Table:
    """The flagship and all others on the calibrated presets from their own baseline, it first, then the best."""
    mine = [
        run for run in found.flagship
        if run.where.world in params.calibrated and not run.where.drift and run.where.start == DEFAULT
    ]  # fmt: skip
    table = Table(players([*mine, *found.others], [run.key for run in mine]), found.surfaces, job.run.master_seed)
    first, *rest = table.players
    rest.sort(key=lambda one: -float(middle(table, one, by=params.by[-1]).value))
    return table._replace(players=(first, *rest))


def _claim(params: Params, judged: Judged, table: Table, *, ledger: Ledger) -> None:
    """Every row of the table of claims, in its order."""
    found = claimed(judged, (*params.calibrated, params.control))
    ledger.claims.extend([*convergence_claims(judged), *cost_claims(judged), *doubt_claims(judged, found)])
    ledger.claims.extend(drift_claims(judged, swap=SWAP, price=PRICE))
    claim, ahead = ahead_claims(table, by=params.by)
    ledger.claims.append(claim)
    ledger.claims.extend(live_claims(judged, epsilon=params.epsilon, confidence=params.confidence))
    for row in measure_table(LABEL, table, ahead, by=params.by):
        ledger.results.add(row)


def _measure(found: _Found, judged: Judged, *, ledger: Ledger) -> None:
    """Shares, approvals and refusals of every policy on every surface."""
    roles = judged.roles
    for one in (*found.flagship, *found.others):
        by, is_control = (
            (roles.shared_by,) if one.where.world == roles.shared else roles.by,
            one.where.world == roles.control,
        )
        for row in measure_run(one, found.surfaces[one.key], by=by, is_control=is_control):
            ledger.results.add(row)


def _notes(params: Params, table: Table) -> list[str]:
    """What a reader must know of who was compared."""
    seeds = {one.name: min(len(run.centre) for run in one.runs) for one in table.players}
    return [
        f"Seeds on each calibrated preset, default start: {', '.join(f'{name} {n}' for name, n in seeds.items())}.",
        f"The price change multiplies the output price by {params.price_factor:g}, where that can move what is best.",
        *(f"Left out: {name} needs {missing(name)}" for name in params.peers if missing(name)),
    ]
