"""What a vetting run leaves of the policy it judged: a candidate, with the gate's evidence, whatever the verdict.

A candidate has the form of a bundle without graph and signature. `experiment=export` turns it into a bundle, if its
evidence carries it or a waiver does.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from evaluators.gates import Improvement
from experiments.gating import Gate, GateRun, exact_gain
from experiments.provenance import code_digest, dependencies_digest, file_digest, writer
from experiments.results import Claim
from policies.bundle import write_candidate
from policies.evidence import Digests, Evidence, Finding
from policies.frozen import freeze_policy
from policies.release import Release

__all__ = ["CANDIDATE", "LOGS", "evidence_of", "leave_candidate"]

CANDIDATE = "candidate"
LOGS = {"training_log": "log/selection.parquet", "judgement_log": "log/judgement.parquet", "config": "config.yaml"}
UNRELEASED = "0.0.0"  # export gives a version


def evidence_of(folder: Path, gate: Gate, *, decided: GateRun, claims: Sequence[Claim], master_seed: int) -> Evidence:
    """The gate's verdict on the judged candidate, with the digests of what it rests on.

    Args:
        folder: the run's, with logs and config written.
        gate: who was judged and where.
        decided: its run; a candidate was judged.
        claims: the run's so far.
        master_seed: of the run.
    """
    judged, verdict = decided.judged, decided.verdict
    assert judged is not None
    found: Improvement | None = verdict.improvement
    return Evidence(
        verdict=verdict.answer,
        reasons=verdict.reasons,
        candidate=judged.name,
        world=gate.judge.scenario.name,
        estimator="difference of doubly robust scores to the baseline, cross-fitted",
        interval="gate: one-sided, clustered by problem where that is larger",
        regime=gate.params.regime,
        estimate=None if found is None else found.difference,
        standard_error=None if found is None else found.stderr,
        lower_bound=None if found is None else found.lower,
        alpha=gate.params.alpha if found is None else 1 - found.confidence,
        n=0 if found is None else found.n,
        ess=None if found is None else found.target.ess,
        max_weight_share=None if found is None else found.target.max_weight / found.n,
        truth=exact_gain(gate, judged) if gate.judge.scenario.is_exact else None,
        findings=tuple(
            Finding(claim=one.claim, measured=one.measured, required=one.required, holds=one.holds) for one in claims
        ),
        digests=Digests(
            **{name: file_digest(folder / file) for name, file in LOGS.items()}, dependencies=dependencies_digest()
        ),
        master_seed=master_seed,
    )


def leave_candidate(folder: Path, gate: Gate, *, decided: GateRun, evidence: Evidence) -> list[str]:
    """Write the judged candidate into a run's folder.

    Returns:
        The files written, relative to the run's folder.
    """
    judged = decided.judged
    assert judged is not None
    policy = freeze_policy(gate.judge.scenario, judged.bounded, state=judged.state)
    name = re.sub(r"[^a-z0-9._-]+", "-", judged.name.lower()).strip("-._")
    release = Release(name=name, version=UNRELEASED, evidence=evidence, writer=writer(), code=code_digest())
    write_candidate(folder / CANDIDATE, policy, release)
    return sorted(f"{CANDIDATE}/{file.name}" for file in (folder / CANDIDATE).iterdir())
