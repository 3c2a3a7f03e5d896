"""What export looks at before it lets a vetted run out: the run's own files, and the gate's figure against the log.

The figure is estimated once more from the judgement log by other means: inverse propensity weights around the mean
reward, no reward model, what the candidate answers asked anew. An edited or stale figure, or a candidate that is
not the one that was judged, stands out by many standard errors.
Source: Horvitz & Thompson (1952).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evaluators.adjusting import cluster_variance
from evaluators.reading.own_parquet import OwnParquet
from experiments.candidates import CANDIDATE, LOGS
from experiments.evaluating.targets import bundle_target
from experiments.provenance import file_digest
from experiments.results import Summary, load_summary
from policies.bundle import LoadedPolicy, read_candidate

__all__ = ["Rechecked", "VettedRun", "open_run", "recheck"]

FEW_ROWS = 2  # a standard error needs them


class VettedRun(NamedTuple):
    """A run that left a candidate, its files unchanged."""

    folder: Path
    candidate: LoadedPolicy
    summary: Summary


class Rechecked(NamedTuple):
    """The gate's figure from the log by other means, reward units; `z` standard errors from the recorded one."""

    estimate: float
    stderr: float
    z: float
    n: int


def open_run(folder: Path) -> VettedRun:
    """Read a vetted run and refuse one whose files are not those that its evidence names.

    Raises:
        ValueError: no run, no candidate, a file that was changed, or another verdict in the summary.
        BundleError: a candidate that can't be read.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder, need that of a vetted run such as outputs/vet/DATE-TIME")
    summary = load_summary(folder)
    if not (folder / CANDIDATE).is_dir():
        why = "; ".join(summary.reasons)
        raise ValueError(f"{folder} holds no {CANDIDATE}/: its gate judged nobody ({summary.verdict}: {why})")
    candidate = read_candidate(folder / CANDIDATE)
    evidence = candidate.release.evidence
    recorded: Mapping[str, str | None] = vars(evidence.digests)
    for name, file in LOGS.items():
        if not (folder / file).is_file():
            raise ValueError(f"{folder / file} is missing, the evidence rests on it")
        got = file_digest(folder / file)
        if got != recorded[name]:
            raise ValueError(f"{folder / file}: sha256 is {got}, need {recorded[name]}, which the evidence rests on")
    if summary.verdict != evidence.verdict:
        said = f"summary.json says {summary.verdict!r}, the candidate's evidence {evidence.verdict!r}"
        raise ValueError(f"{folder}: {said}, need one verdict; was one of them edited?")
    return VettedRun(folder, candidate, summary)


def recheck(run: VettedRun) -> Rechecked:
    """Estimate the candidate's gain over the baseline from the judgement log, without a reward model.

    Raises:
        ValueError: fewer than 2 rows, or a log that does not hold what was asked.
    """
    target, parts = bundle_target(run.folder / CANDIDATE), []
    for batch in OwnParquet(run.folder / LOGS["judgement_log"]).batches():
        probs, there = target.whole(batch), batch.windows
        assert probs is not None and there is not None and batch.mask is not None and batch.behavior is not None
        home = (there.action_ids == there.centre[:, None]) & batch.mask
        change, chance = (
            np.take_along_axis(x, batch.slot[:, None], axis=1)[:, 0] for x in (probs - home, batch.behavior)
        )
        problem = batch.row if batch.cluster is None else batch.cluster
        parts.append(np.stack([change / chance, batch.reward, problem]))
    weight, reward, cluster = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0))
    if reward.size < FEW_ROWS:
        raise ValueError(f"the judgement log has {reward.size} rows, need at least {FEW_ROWS}")
    score = weight * (reward - reward.mean())
    _, which = np.unique(cluster, return_inverse=True)
    count, total = (np.asarray(np.bincount(which, of), np.float64) for of in (np.ones(which.size), score))
    stderr = math.sqrt(cluster_variance(count, total))
    recorded = run.candidate.release.evidence.estimate
    gap = math.inf if recorded is None else abs(float(score.mean()) - recorded)
    return Rechecked(
        float(score.mean()), stderr, 0.0 if gap == 0 else gap / stderr if stderr else math.inf, reward.size
    )
