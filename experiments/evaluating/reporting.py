"""What a run says of somebody's log: measurements, readings with a light as claims, and remarks in words."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from evaluators.certified import Held
from evaluators.diagnostics import Diagnostic, diagnose
from evaluators.reading.rejects import LISTED, REASONS, SET_ASIDE, counted, rejected
from evaluators.rows import Estimate
from experiments.evaluating.choosing import DIFFERENCE, LOGGER
from experiments.evaluating.promising import ignores, interval_of, promise
from experiments.evaluating.scoring import MOST_GROUPS, Asked, Tally, differences, values
from experiments.measurement import Measurement
from experiments.results import Claim

__all__ = ["claims", "measurements", "remarks", "rows_used"]

HOLDS = {"green": True, "amber": None, "red": False}


def measurements(found: Tally, asked: Asked, *, group: str = "") -> Iterator[Measurement]:
    """Values, differences to the logger and readings of all rows, or of one group.

    Args:
        found: their sums.
        asked: what was asked of them.
        group: its name, kept as the task; empty for all rows.
    """
    policy, n = asked.target.name, next(iter(found.sums.values())).n
    for name, said in _named(found, asked).items():
        measure = "difference" if name.startswith(DIFFERENCE) else "value"
        estimator = name.removeprefix(DIFFERENCE)
        yield from _estimate(Measurement(
            section="ope", measure=measure, policy=policy, task=group, estimator=estimator, n=n, value=said.value
        ), said)  # fmt: skip
    for one in _readings(found):
        if np.isfinite(one.value):
            yield Measurement(section="ope", measure=one.name, policy=policy, task=group, n=n, value=one.value)
    if not group:
        for reason, count in asked.found.tally.items():
            yield Measurement(section="ope", measure=f"rows_{reason}", value=count)


def _named(found: Tally, asked: Asked) -> dict[str, Estimate]:
    ratios = {DIFFERENCE + name: said for name, said in differences(found, asked).items()}
    return {**values(found, asked), **ratios}


def _estimate(row: Measurement, said: Estimate) -> Iterator[Measurement]:
    """Nothing where the value is undefined; without an interval where nobody knows it."""
    if not np.isfinite(said.value):
        return
    ends = (said.stderr, said.lo, said.hi)
    stderr, lo, hi = (float(end) if np.isfinite(end) else None for end in ends)
    yield Measurement(
        section=row.section, measure=row.measure, policy=row.policy, task=row.task, estimator=row.estimator, n=row.n,
        value=said.value, stderr=stderr, lo=lo, hi=hi,
    )  # fmt: skip


def _readings(found: Tally) -> tuple[Diagnostic, ...]:
    return diagnose(found.sums[LOGGER].weights, found.evidence)


def claims(found: Tally, asked: Asked) -> list[Claim]:
    """Estimates as reported claims, then every reading: green holds, amber requires nothing, red fails."""
    made = []
    for name, said in _named(found, asked).items():
        what = f"Value of {asked.target.name}, {name}"
        if name == LOGGER:
            what = "The logger's own value: mean reward"
        elif name.startswith(DIFFERENCE):
            what = f"{asked.target.name} less the logger, {name.removeprefix(DIFFERENCE)}"
        left_out, holds = ignores(name, asked), promise(name, found, asked).holds
        what += f" ({left_out})" if left_out else ""
        ends = f"[{said.lo:.5g}, {said.hi:.5g}] {interval_of(name, asked)}, {'held' if holds else 'not certified'}"
        made.append(Claim(what, f"{said.value:.5g}", "reported", ends, None))
    for one in _readings(found):
        required = f"amber at {one.thresholds.amber:.3g}, red at {one.thresholds.red:.3g}"
        made.append(Claim(one.sentence, f"{one.value:.4g} ({one.light})", required, "none", HOLDS[one.light]))
    return made


def rows_used(count: Mapping[str, int], *, most: float) -> Claim:
    """How many rows were used, and why the others were not.

    Args:
        count: rows by reason, `used` among them.
        most: largest share of rows that may be rejected.
    """
    bad, aside = rejected(count), sum(count.get(name, 0) for name in SET_ASIDE)
    n_bad = sum(bad.values())
    total = n_bad + count["used"]
    why = "; ".join(f"{n:,} {name}" for name, n in sorted(bad.items(), key=lambda kv: (-kv[1], kv[0])))
    said = f"{count['used']:,} of {total:,} ({n_bad:,} rejected{': ' + why if why else ''})"
    said += f"; {aside:,} set aside" if aside else ""
    return Claim("Rows used", said, f"at most {most:.2%} rejected", "none", n_bad <= most * total)


def _promises(found: Tally, asked: Asked) -> list[str]:
    """Which intervals may be relied on, one remark for each reason."""
    by_reason: dict[Held, list[str]] = {}
    for name in _named(found, asked):
        by_reason.setdefault(promise(name, found, asked), []).append(name)
    return [
        f"Interval {'held' if held.holds else 'not certified'}: {', '.join(names)} ({held.reason})."
        for held, names in by_reason.items()
    ]


def remarks(found: Tally, asked: Asked, *, file: Path, kind: str) -> list[str]:
    """What a reader must know: the file, what was left out, and what the log does not hold."""
    count, survey = asked.found.tally, asked.found
    total = sum(count.values())
    notes = [f"Log: {file.name}, read as {kind}; {count['used']:,} of {counted(total)} used."]
    notes += [
        f"{counted(n)} {'set aside' if reason in SET_ASIDE else 'rejected'} ({reason}): {REASONS[reason]}"
        f"{f'; the first {LISTED:,} are listed' if n > LISTED else ''}."
        for reason, n in sorted(count.items())
        if n and reason != "used"
    ]
    if not survey.has_ids:
        notes.append("The log has no ids: rows that stand in it twice count twice.")
        if asked.model is not None and next(iter(found.sums.values())).clusters is None:
            notes.append("Folds of the reward model follow the row numbers: another order gives other folds.")
    if survey.without_id:
        notes.append(f"{counted(survey.without_id)} without an id: those that stand in the log twice count twice.")
    notes += _promises(found, asked)
    if survey.reward_range is None and survey.reward_seen is not None:
        lo, hi = survey.reward_seen
        notes.append(
            f"No reward range is declared (seen: {lo:.6g} to {hi:.6g}): intervals that lean on one are not run; "
            f"declare what is possible, not what was seen, as experiment.reward_range=[lo,hi]."
        )
    if len(survey.facts.groups) > MOST_GROUPS:
        notes.append(f"{len(survey.facts.groups):,} groups, more than {MOST_GROUPS}: none is judged apart.")
    return notes
