"""Somebody's log judged: `experiment=evaluate_log data=FILE experiment.target=WHO`.

Reads our own decision log, a table with named columns, VW's decision service JSON or the Open Bandit format, of any
length in constant memory. The target is a bundle, a policy that need not learn, a column of probabilities, or the
logger itself as a control. Beside every estimate stand the logger's own value and the difference to it.
Rows that cannot be used are counted and listed in `rejected.csv`; too many of them are refused.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from envs.targets import refuse
from evaluators.reading.batches import Reader
from evaluators.reading.mapped import Columns
from evaluators.reading.model import Params as ModelParams
from evaluators.reading.passes import Survey, chosen, survey, usable
from evaluators.reward_model import Params as RidgeParams
from evaluators.rows import RewardRange
from experiments.evaluating.choosing import choose
from experiments.evaluating.formats import FORMATS, format_of, open_reader
from experiments.evaluating.reporting import claims, measurements, remarks, rows_used
from experiments.evaluating.scoring import Asked, fit, rows_of, score
from experiments.evaluating.targets import Target, bundle_target, column_target, logger_target, policy_target
from experiments.exporting import finish
from experiments.results import Results, Summary
from experiments.settings import Job
from experiments.terminal import Progress
from experiments.vetting import Ledger

__all__ = ["Params", "run"]

REJECTED = "rejected.csv"
TRIED_ROWS = 200
WORDS = ("logger", "policy")


@dataclass(frozen=True)
class Params:
    """How to read the file, and who is judged.

    Attributes:
        target: `logger`, `policy` (the choice of that group), a bundle's folder, or a column of the file.
        format: of the file; `auto` looks at it.
        columns: of a table: which column holds what.
        incumbent: the action production takes now, for `policy=fixed` on a log that does not say it.
        reward_range: smallest and largest possible reward; null: not declared, and no interval may lean on it.
        max_rejected_share: more unusable rows than this are refused.
        model: the reward model; null: none, and only estimators that need none run.
    """

    target: str = "logger"
    format: str = field(default="auto", metadata={"choices": FORMATS})
    columns: Columns = field(default_factory=Columns)
    incumbent: str = ""
    reward_range: tuple[float, float] | None = field(
        default=None, metadata={"ge": -1e12, "le": 1e12, "unit": "reward units"}
    )
    max_rejected_share: float = field(default=0.01, metadata={"ge": 0.0, "le": 1.0, "unit": "share of rows"})
    model: ModelParams | None = field(default_factory=ModelParams)


def run(job: Job) -> Summary:
    """Survey, fit, score, report.

    Raises:
        ConfigError: no file, a target that cannot be judged on it, or a setting that nothing here reads.
        ValueError: the file cannot be read, or too many of its rows cannot be used.
    """
    params = job.pick("experiment", Params)
    if not job.run.data:
        raise refuse("data", "", "a log: data=FILE")
    _check_model(job)
    file = Path(job.run.data).expanduser()
    kind = format_of(file, params.format, params.columns)
    reader = open_reader(file, kind, columns=params.columns, target=_column(params))
    ledger, declared = Ledger(Results(), []), _declared(params.reward_range)
    with Progress() as progress:
        with progress.stage("survey", 1, unit="file") as advance:
            found = survey(reader, job.out / REJECTED, most=params.max_rejected_share, reward_range=declared)
            advance(1)
        asked, notes = _asked(job, reader, Asked(_target(job, params, found), {}, {}, found), progress)
        with progress.stage("score", _total(found), unit=_unit(found)) as advance:
            whole, groups = score(reader, asked, tick=advance)
    for name, one in {"": whole, **groups}.items():
        for row in measurements(one, asked, group=name):
            ledger.results.add(row)
    ledger.claims.append(rows_used(found.tally, most=params.max_rejected_share))
    ledger.claims.extend(claims(whole, asked))
    said = (*notes, *remarks(whole, asked, file=file, kind=kind))
    return finish(job, ledger, verdict=None, files=[REJECTED], timings=progress.timings, notes=said)


def _check_model(job: Job) -> None:
    """Refuse another choice or other numbers of the group `reward_model`: they would be ignored."""
    found, name = job.groups.get("reward_model"), job.choices.get("reward_model")
    if found != RidgeParams():
        got = found if isinstance(found, RidgeParams) else name
        raise refuse("reward_model", got, "ridge: the model of a streamed log is experiment.model")


def _column(params: Params) -> str:
    """The target where it is a column of the file; empty otherwise."""
    return "" if params.target in WORDS or _is_bundle(params.target) else params.target


def _is_bundle(target: str) -> bool:
    return Path(target).expanduser().is_dir()


def _declared(given: tuple[float, float] | None) -> RewardRange | None:
    if given is not None and not given[0] < given[1]:
        raise refuse("experiment.reward_range", list(given), "two numbers, the smaller first")
    return None if given is None else RewardRange(*given)


def _target(job: Job, params: Params, found: Survey) -> Target:
    if params.target == "logger":
        return logger_target()
    if params.target == "policy":
        settings, name = job.pick("policy", object), job.choices["policy"]
        return policy_target(settings, name=name, incumbent=params.incumbent, facts=found.facts)
    return (
        bundle_target(Path(params.target).expanduser()) if _is_bundle(params.target) else column_target(params.target)
    )


def _asked(job: Job, reader: Reader, asked: Asked, progress: Progress) -> tuple[Asked, tuple[str, ...]]:
    """The reward model where it can help, and the estimators that can run on the first rows."""
    params, found = job.pick("experiment", Params), asked.found
    first = next(usable(reader, found))
    sample = chosen(first, np.arange(min(first.row.size, TRIED_ROWS)))
    if params.model is not None and asked.target.whole(sample) is not None:
        with progress.stage("reward model", _total(found), unit=_unit(found)) as advance:
            asked = asked._replace(model=fit(reader, found, params.model, tick=advance))
    given = job.groups["estimator"]
    assert isinstance(given, dict)
    choice = choose(given, rows_of(sample, asked), n=found.tally["used"])
    return asked._replace(estimators=choice.estimators, ratios=choice.ratios), choice.notes


def _total(found: Survey) -> int:
    return sum(found.tally.values())


def _unit(found: Survey) -> str:
    return "row" if _total(found) == 1 else "rows"
