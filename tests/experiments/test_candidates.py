"""What a run leaves of the policy it judged says what the gate said, whatever that was."""

from functools import cache
from pathlib import Path

import pytest

from envs.randomness import Purpose
from evaluators.gates import Params as GateParams
from experiments.candidates import CANDIDATE, LOGS, evidence_of, leave_candidate
from experiments.gating import Gate, GateRun, decide_gate, exact_gain
from experiments.provenance import code_digest, dependencies_digest, file_digest
from experiments.results import Claim
from policies.bundle import DIGEST_ONLY, load, read_candidate
from policies.digest import policy_digest
from policies.evidence import Evidence, Finding
from policies.refusals import EvidenceError
from tests.compiled import gate

CLAIMS = (Claim("it holds", "1", "<= 2", "0..2", True), Claim("reported", "3", "", "", None))


@cache
def decided(alpha: float) -> tuple[Gate, GateRun]:
    """The small world's gate; at alpha = 1e-12 nothing is approved, though someone may be judged."""
    opened = gate(params=GateParams(alpha=alpha, select_z=0.0))
    return opened, decide_gate(opened, n=400, purposes=(Purpose.LOG, Purpose.JUDGE), seed=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    for i, file in enumerate(LOGS.values()):
        (tmp_path / file).write_bytes(bytes([i]))
    return tmp_path


def evidence(folder: Path, alpha: float) -> Evidence:
    opened, found = decided(alpha)
    return evidence_of(folder, opened, decided=found, claims=CLAIMS, master_seed=7)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.3, 1e-12])
def test_the_evidence_is_the_gates_figures_and_the_digests_of_its_files(alpha: float, folder: Path) -> None:
    opened, found = decided(alpha)
    said, improvement = evidence(folder, alpha), found.verdict.improvement
    assert improvement is not None and found.judged is not None
    assert (said.verdict, said.reasons) == (found.verdict.answer, found.verdict.reasons)
    assert (said.estimate, said.standard_error) == (improvement.difference, improvement.stderr)
    assert (said.lower_bound, said.n) == (improvement.lower, 400)
    assert said.ess == improvement.target.ess
    assert said.alpha == pytest.approx(1 - improvement.confidence)
    assert said.truth == exact_gain(opened, found.judged)
    assert said.findings == (
        Finding(claim="it holds", measured="1", required="<= 2", holds=True),
        Finding(claim="reported", measured="3", required="", holds=None),
    )
    assert {name: getattr(said.digests, name) for name in LOGS} == {n: file_digest(folder / f) for n, f in LOGS.items()}
    assert (said.digests.dependencies, said.master_seed) == (dependencies_digest(), 7)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.3, 1e-12])
def test_a_candidate_is_left_whatever_the_verdict_and_let_in_by_it_alone(alpha: float, folder: Path) -> None:
    opened, found = decided(alpha)
    said = evidence(folder, alpha)
    made = leave_candidate(folder, opened, decided=found, evidence=said)
    assert made == [f"{CANDIDATE}/{name}" for name in ("MODEL_CARD.md", "manifest.json", "policy.json")]
    left, judged = read_candidate(folder / CANDIDATE), found.judged
    assert judged is not None
    assert left.release.evidence == said
    assert (left.release.version, left.release.code, left.release.previous) == ("0.0.0", code_digest(), None)
    spec = judged.bounded.spec
    assert left.policy.digest == policy_digest(judged.bounded.settings, state=judged.state, spec=spec)
    if said.carries:
        assert load(folder / CANDIDATE, trust=DIGEST_ONLY).digest == left.digest
    else:
        with pytest.raises(EvidenceError, match="need 'approved', or a waiver of 'gate'"):
            load(folder / CANDIDATE, trust=DIGEST_ONLY)


@pytest.mark.slow
def test_both_verdicts_were_among_those_looked_at(folder: Path) -> None:
    assert [evidence(folder, alpha).carries for alpha in (0.3, 1e-12)] == [True, False]
