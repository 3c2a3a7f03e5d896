"""From a vetted run to a bundle: `experiment=export run=outputs/vet/DATE-TIME`.

Reads the candidate that the run left, checks that logs, config and verdict are those of its evidence, estimates the
gate's figure again from the log, applies the evidence's rule, traces the graph and asks it the golden requests, signs,
and adds the bundle to a store, whole or not at all. There is no way around a refusal but a waiver, which has a name, a
reason and an end, and stands in the manifest.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.targets import ConfigError, nearest, refuse
from experiments.checking import Rechecked, VettedRun, open_run, recheck
from experiments.exporting import Conclusion, finish
from experiments.measurement import Measurement
from experiments.provenance import code_digest, writer
from experiments.results import Claim, Results, Summary
from experiments.settings import Job
from experiments.terminal import Progress
from experiments.vetting import Ledger
from policies.bundle import LoadedPolicy, load, publish_bundle, read_candidate
from policies.bundle_files import CURRENT
from policies.evidence import Approval, Waiver, check_evidence, parse_time
from policies.frozen import FrozenPolicy
from policies.golden import UNIFORMS, requests
from policies.graph import Asked, runner, trace
from policies.manifest import MANIFEST
from policies.masses import TOTAL
from policies.refusals import EvidenceError, SignatureError
from policies.release import Release, version_key
from policies.request import read_task
from policies.serving import drawn
from policies.signing import DIGEST_ONLY, Signer, Trust, check_signature, read_public_key, read_signer

__all__ = ["Params", "run"]

LONGEST_WAIVER = timedelta(days=366)
MOST_Z = 5.0  # standard errors between the gate's figure and the one by other means
PROBE = b"guardband: do these keys belong together"
SAME_MASS = 1  # of 2^20, between NumPy and the graph


@dataclass(frozen=True)
class Params:
    """What is let out, under which name, and by whom.

    Attributes:
        name: of the policy; empty: the candidate's.
        version: MAJOR.MINOR.PATCH, above that of the store's current bundle.
        store: folder of bundles, where `current` names the newest; empty: `bundles` in this run's folder.
        key: PEM file of an Ed25519 private key; empty: a digest-only bundle.
        public_key: PEM file of its public key, to check what was signed; empty: not checked.
        onnx: whether the bundle holds a graph for other languages.
        approvals: who lets it out.
        waivers: what is waived, by whom, why, and until when.
        stop_sequences: task type -> stop sequences that its answers carry.
    """

    name: str = ""
    version: str = "1.0.0"
    store: str = ""
    key: str = ""
    public_key: str = ""
    onnx: bool = True
    approvals: list[Approval] = field(default_factory=list)
    waivers: list[Waiver] = field(default_factory=list)
    stop_sequences: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Replayed(NamedTuple):
    """The graph against NumPy on the golden requests: answers, those equal, largest difference of a mass."""

    n: int
    n_same: int
    worst_mass: int


def run(job: Job) -> Summary:
    """Check a vetted run and write its bundle, or refuse with the reasons.

    Raises:
        ConfigError: no such run, evidence that does not carry the policy, a waiver that has ended, a name or version
            that the store can't take, a key that can't be used, or a bundle that can't be read back.
    """
    params, now = job.pick("experiment", Params), datetime.now(UTC)
    try:
        return _export(job, params, now)
    except ConfigError:
        raise
    except (OSError, ValueError, ModuleNotFoundError) as error:  # BundleError is a ValueError
        raise ConfigError(f"export refused: {' '.join(str(error).split())}") from error


def _export(job: Job, params: Params, now: datetime) -> Summary:
    if not job.run.run:
        raise refuse("run", "", "the folder of a vetted run: run=outputs/vet/DATE-TIME")
    with Progress() as progress:
        with progress.stage("check the run", 2, unit="looks") as advance:
            vetted = open_run(Path(job.run.run).expanduser())
            advance(1)
            checked = recheck(vetted)
            advance(1)
        store = Path(params.store).expanduser() if params.store else job.out / "bundles"
        policy = _worded(vetted.candidate.policy, params.stop_sequences)
        release = _release(vetted, params, store)
        _agreed(vetted, checked, release, now=now)
        sign, trust = _keys(params)
        with progress.stage("graph", 1, unit="graph") as advance:
            graph = trace(policy) if params.onnx else None
            replayed = None if graph is None else _replay(policy, graph)
            advance(1)
        made = publish_bundle(store, policy, release=release, graph=graph, sign=sign, now=now)
    found = load(made, trust=trust, now=now)
    return _report(job, vetted, found, made=made, checked=checked, replayed=replayed)


def _worded(policy: FrozenPolicy, stops: Mapping[str, tuple[str, ...]]) -> FrozenPolicy:
    for name in stops:
        if name not in policy.task_types:
            need = f"task types among {', '.join(policy.task_types)}{nearest(name, policy.task_types)}"
            raise refuse("experiment.stop_sequences", name, need)
    return replace(policy, stops=tuple(tuple(stops.get(name, ())) for name in policy.task_types))


def _release(vetted: VettedRun, params: Params, store: Path) -> Release:
    """The words of the new bundle; its version must be above the current one's, its predecessor is named."""
    there, held = vetted.candidate.release, store / CURRENT
    before = read_candidate(held) if os.path.lexists(held) else None
    if before is not None and version_key(params.version) <= version_key(before.release.version):
        need = f"one above {before.release.version}, that of {held.resolve().name}"
        raise refuse("experiment.version", params.version, need)
    return Release(
        name=params.name or there.name,
        version=params.version,
        evidence=there.evidence,
        approvals=tuple(params.approvals),
        waivers=tuple(params.waivers),
        previous=None if before is None else before.digest,
        writer=writer(),
        code=code_digest(),
    )


def _agreed(vetted: VettedRun, checked: Rechecked, release: Release, *, now: datetime) -> None:
    """Refuse evidence that the log contradicts, or that does not carry the policy; both reasons at once."""
    evidence, reasons = release.evidence, _told(vetted, checked)
    for waiver in release.waivers:
        if parse_time(waiver.expires) > now + LONGEST_WAIVER:
            reasons.append(f"waiver until {waiver.expires}, need an end within {LONGEST_WAIVER.days} days")
    if evidence.estimate is not None and not checked.z <= MOST_Z:
        reasons.append(
            f"the evidence's estimate {evidence.estimate:.4f} lies {checked.z:.1f} standard errors from "
            f"{checked.estimate:.4f} +- {checked.stderr:.4f}, which the judgement log gives, need at most {MOST_Z:g}"
        )
    try:
        check_evidence(evidence, release.waivers, now=now, file=MANIFEST)
    except EvidenceError as error:
        reasons.append(str(error))
    if reasons:
        raise ValueError(f"{vetted.folder}: " + "; and ".join(reasons))


def _told(vetted: VettedRun, checked: Rechecked) -> list[str]:
    """What the evidence says otherwise than the run's own summary, config and log."""
    evidence, summary = vetted.candidate.release.evidence, vetted.summary
    claims = {(one.claim, one.measured, one.required, one.holds) for one in summary.claims}
    pairs = {
        "n": (evidence.n, checked.n if evidence.estimate is not None else 0),
        "findings that summary.json has": (
            sum((one.claim, one.measured, one.required, one.holds) in claims for one in evidence.findings),
            len(evidence.findings),
        ),
        "reasons": ([f"{evidence.candidate}: {one}" for one in evidence.reasons], list(summary.reasons)),
    }
    return [f"the evidence's {name} = {got}, the run says {need}" for name, (got, need) in pairs.items() if got != need]


def _replay(policy: FrozenPolicy, graph: bytes) -> Replayed:
    """Ask the graph the golden requests.

    Raises:
        ValueError: an action that is not NumPy's, or a mass that differs by more than 1.
    """
    ask, n_same, n, worst = runner(graph), 0, 0, 0
    for one in requests(policy):
        index = policy.task_types.index(one.task_type)
        decision = policy.decision(read_task(one.features), index, np.ones(2))
        masses = policy.masses(decision)
        for uniform in UNIFORMS:
            found = ask(Asked(decision.features, index, uniform))
            wanted = int(decision.window.action_ids[drawn(masses, uniform)])
            worst = max(worst, int(np.abs(found.masses - masses).max()))
            n, n_same = n + 1, n_same + (found.action_id == wanted)
    if n_same < n or worst > SAME_MASS:
        raise ValueError(
            f"policy.onnx: {n_same} of {n} golden actions are NumPy's and a mass differs by {worst}, "
            f"need all, and at most {SAME_MASS} of {TOTAL}; experiment.onnx=false leaves the graph out"
        )
    return Replayed(n, n_same, worst)


def _keys(params: Params) -> tuple[Signer | None, Trust]:
    """What signs, and what its signature is checked by; looked at before anything is written into the store."""
    if not params.key:
        if params.public_key:
            raise refuse(
                "experiment.key", "", "the private key of experiment.public_key: nothing else is checked by it"
            )
        return None, DIGEST_ONLY
    sign = read_signer(Path(params.key).expanduser())
    if not params.public_key:
        return sign, DIGEST_ONLY
    public = read_public_key(Path(params.public_key).expanduser())
    try:
        check_signature(PROBE, sign(PROBE), keys=(public,), file=params.public_key)
    except SignatureError:
        raise refuse("experiment.public_key", params.public_key, "the public key of experiment.key") from None
    return sign, Trust(keys=(public,))


def _report(
    job: Job, vetted: VettedRun, found: LoadedPolicy, *, made: Path, checked: Rechecked, replayed: Replayed | None
) -> Summary:
    evidence, ledger = found.release.evidence, Ledger(Results(), [])
    figures = {"estimate_by_weights": checked.estimate, "stderr_by_weights": checked.stderr, "rows": float(checked.n)}
    if replayed is not None:
        figures |= {"graph_answers": float(replayed.n), "graph_worst_mass": float(replayed.worst_mass)}
    for measure, value in figures.items():
        ledger.results.add(Measurement(section="bundle", measure=measure, policy=found.policy.kind, value=value))
    ledger.claims.extend(_claims(vetted, found, checked, replayed))
    waived = [f"waived until {w.expires} by {w.identity}: {w.reason}" for w in found.release.waivers]
    carried = "its evidence carries it" if evidence.carries else "its evidence alone would not let it out"
    reasons = (str(made), f"bundle digest {found.digest}", carried, *waived, _vouched(made, found))
    return finish(
        job, ledger, verdict=Conclusion("exported", reasons), files=_files(job.out, made), timings={}, notes=()
    )


def _vouched(made: Path, found: LoadedPolicy) -> str:
    if found.trust.startswith("digest") and (made / "manifest.sig").exists():
        return "signed; give experiment.public_key to check it"
    return found.trust


def _files(out: Path, made: Path) -> list[str]:
    if not made.is_relative_to(out):
        return []
    return sorted(path.relative_to(out).as_posix() for path in made.iterdir())


def _claims(vetted: VettedRun, found: LoadedPolicy, checked: Rechecked, replayed: Replayed | None) -> list[Claim]:
    evidence = found.release.evidence
    digests = sum(value is not None for value in vars(evidence.digests).values())
    listed = [
        Claim("files of the run are those of the evidence", f"{digests} digests", "all", "", True),
        Claim(
            "the gate's estimate agrees with the judgement log's by weights alone",
            f"{_figure(evidence.estimate)} v {checked.estimate:.4f}: {checked.z:.2f} SE",
            f"<= {MOST_Z:g} SE",
            f"SE {checked.stderr:.4f}, {checked.n} rows",
            evidence.estimate is None or checked.z <= MOST_Z,
        ),
        Claim(
            "lower bound of the gain over the baseline",
            _figure(evidence.lower_bound),
            ">= 0" if not found.release.waivers else ">= 0, or waived",
            f"alpha {evidence.alpha:g}, {evidence.regime}",
            evidence.carries or None,
        ),
        Claim("golden requests answered again by the loader", f"{len(found.manifest['golden'])}", ">= 32", "", True),
    ]
    if replayed is not None:
        said = f"{replayed.n_same} of {replayed.n} actions, masses within {replayed.worst_mass}"
        listed.append(Claim("policy.onnx answers as NumPy", said, f"all, within {SAME_MASS} of 2^20", "", True))
    return listed


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
