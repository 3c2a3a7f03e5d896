"""From a vetted run to a store, whole or not at all: what is let out, and every way to be refused."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from experiments import export, exporting
from experiments.candidates import CANDIDATE
from experiments.results import load_results, load_summary
from experiments.run import main
from policies.bundle import DIGEST_ONLY, Trust, load
from policies.graph import Asked, Served, runner, trace
from tests.examples import frozen
from tests.vetted import judge, leave

PLAIN = (form.Encoding.PEM, form.PrivateFormat.PKCS8)
NO_GRAPH = "experiment.onnx=false"
WAIVER = "[{{identity: release manager, reason: pilot, expires: '{}', waives: [gate]}}]"
SOON = datetime.now(UTC) + timedelta(days=30)  # a waiver ends within a year
VALID, ENDED = (WAIVER.format(f"{day:%Y-%m-%d}T00:00:00Z") for day in (SOON, datetime(2020, 1, 31, tzinfo=UTC)))
REFUSED: dict[str, Any] = {"verdict": "refused", "reasons": ("its lower bound is below 0",), "lower_bound": -0.01}


@pytest.fixture(scope="module")
def vetted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return leave(tmp_path_factory.mktemp("vetted") / "run")


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(exporting, "write_report", lambda out: out / "report.html")
    yield


def go(place: Path, *words: str) -> int:
    """Export into the store of a place, which is no run of its own."""
    store = f"experiment.store={place / 'store'}"
    return main(["experiment=export", *words, store, f"hydra.run.dir={place / 'out'}"])


def keys(folder: Path) -> dict[str, Path]:
    """PEM files: a pair, another's public key, an RSA key, and the pair's private key under a password."""
    mine, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    strange = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
    made = {
        "key": mine.private_bytes(*PLAIN, form.NoEncryption()),
        "locked": mine.private_bytes(*PLAIN, form.BestAvailableEncryption(b"word")),
        "rsa": strange.private_bytes(*PLAIN, form.NoEncryption()),
        "public": mine.public_key().public_bytes(*public),
        "other": other.public_key().public_bytes(*public),
    }
    for name, raw in made.items():
        (folder / f"{name}.pem").write_bytes(raw)
    return {name: folder / f"{name}.pem" for name in made}


@pytest.mark.slow
def test_a_signed_bundle_is_loaded_under_its_key_and_the_next_names_it(vetted: Path, tmp_path: Path) -> None:
    pem, store = keys(tmp_path), tmp_path / "store"
    trust = Trust(keys=(form.load_pem_public_key(pem["public"].read_bytes()).public_bytes_raw(),))  # type: ignore[union-attr]  # it is there
    signed = (f"run={vetted}", f"experiment.key={pem['key']}", f"experiment.public_key={pem['public']}")
    approved = "experiment.approvals=[{identity: release manager, role: owner}]"
    assert go(tmp_path, *signed, approved, "experiment.stop_sequences={long: [END]}", "experiment.name=tuner") == 0
    first = load(store / "current", trust=trust)
    assert first.trust.startswith("signed by")
    assert (first.release.name, first.release.version, first.release.previous) == ("tuner", "1.0.0", None)
    assert first.release.approvals[0].role == "owner" and first.policy.stops == ((), ("END",))
    assert {file.name for file in (store / "current").iterdir()} == {
        *("manifest.json", "manifest.sig", "policy.json", "policy.onnx", "MODEL_CARD.md")
    }
    summary, measured = load_summary(tmp_path / "out"), load_results(tmp_path / "out").set_index("measure")["value"]
    assert (summary.verdict, [claim.holds for claim in summary.claims]) == ("exported", [True] * 5)
    assert (measured["graph_answers"], measured["rows"]) == (4 * len(first.manifest["golden"]), 400)
    assert go(tmp_path, *signed, NO_GRAPH, "experiment.version=1.10.0") == 0
    second = load(store / "current", trust=trust)
    assert (second.release.version, second.release.previous) == ("1.10.0", first.digest)
    assert not (store / "current" / "policy.onnx").exists()
    here = sorted(file.name for file in store.iterdir())
    assert go(tmp_path, *signed, NO_GRAPH, "experiment.version=1.9.0") == 2  # as numbers, not as text
    assert sorted(file.name for file in store.iterdir()) == here
    assert load(store / "current", trust=trust).digest == second.digest


def test_a_valid_waiver_lets_a_refused_policy_out_and_stands_in_the_manifest(tmp_path: Path) -> None:
    folder = leave(tmp_path / "run", **REFUSED)
    assert go(tmp_path, f"run={folder}", NO_GRAPH, f"experiment.waivers={VALID}") == 0
    manifest = json.loads((tmp_path / "store/current/manifest.json").read_bytes())
    assert [(one["identity"], one["waives"]) for one in manifest["waivers"]] == [("release manager", ["gate"])]
    found = load(tmp_path / "store" / "current", trust=DIGEST_ONLY)
    assert not found.release.evidence.carries and found.trust.startswith("digest only")
    assert any("waived until" in reason for reason in load_summary(tmp_path / "out").reasons)


WORDS: dict[str, tuple[tuple[str, ...], str]] = {
    "a name": (("experiment.name='Not A Name'",), "name = 'Not A Name', need lower-case letters"),
    "a version": (("experiment.version='1.0'",), "version = '1.0', need MAJOR.MINOR.PATCH"),
    "a task type": (("experiment.stop_sequences={shrt: [END]}",), "need task types among short, long"),
    "an ended waiver": ((f"experiment.waivers={ENDED}",), "waivers[0].expires = '2020-01-31T00:00:00Z', need a time"),
    "another rule": ((f"experiment.waivers={VALID.replace('gate', 'all')}",), "need some of gate"),
    "no key file": (("experiment.key={pem}/nowhere.pem",), "nowhere.pem"),
    "an RSA key": (("experiment.key={pem}/rsa.pem",), "rsa.pem holds a RSAPrivateKey, need an Ed25519 key"),
    "a locked key": (("experiment.key={pem}/locked.pem",), "locked.pem is no key, need an Ed25519 key in PEM, not enc"),
    "another's public key": (
        ("experiment.key={pem}/key.pem", "experiment.public_key={pem}/other.pem"),
        "experiment.public_key: got",
    ),
    "a private key for a public one": (
        ("experiment.key={pem}/key.pem", "experiment.public_key={pem}/key.pem"),
        "key.pem is no key",
    ),
    "a public key alone": (("experiment.public_key={pem}/public.pem",), "experiment.key: got"),
    "force": (("experiment.force=true",), "experiment.force"),
}


def refusal(capsys: pytest.CaptureFixture[str], place: Path, *words: str) -> str:
    """The one line that a refused export says; it leaves no store and no results."""
    capsys.readouterr()
    assert go(place, *words) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert [line.startswith("error: ") for line in told] == [False] * (len(told) - 1) + [True], told
    assert all(line.startswith(("check the run: ", "graph: ")) for line in told[:-1]), told  # how far it came
    assert not (place / "store").exists()
    assert not (place / "out" / "summary.json").exists()
    return told[-1]


@pytest.mark.parametrize("name", WORDS)
def test_a_setting_that_can_not_be_is_refused_by_name(
    name: str, vetted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, told = WORDS[name]
    keys(tmp_path)
    said = (word.replace("{pem}", str(tmp_path)) for word in words)
    assert told in refusal(capsys, tmp_path, f"run={vetted}", NO_GRAPH, *said)


def _append(name: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        with open(folder / name, "ab") as stream:
            stream.write(b"\n")

    return edit


def _again(**changes: Any) -> Callable[[Path], None]:
    """Another candidate, sealed as the first was: only its figures can give it away."""

    def edit(folder: Path) -> None:
        shutil.rmtree(folder / CANDIDATE)
        judge(folder, **changes)

    return edit


def _say(verdict: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / "summary.json").read_text("utf-8")
        (folder / "summary.json").write_text(text.replace('"approved"', f'"{verdict}"'), "utf-8")

    return edit


EDITS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another judgement log": (_append("log/judgement.parquet"), r"judgement\.parquet: sha256 is \w{64}, need \w{64}"),
    "another selection log": (_append("log/selection.parquet"), r"selection\.parquet: sha256 is"),
    "another config": (_append("config.yaml"), r"config\.yaml: sha256 is"),
    "an edited summary": (_say("refused"), r"summary\.json says 'refused', the candidate's evidence 'approved'"),
    "an edited policy": (_append(f"{CANDIDATE}/policy.json"), r"policy\.json"),
    "no candidate": (lambda folder: shutil.rmtree(folder / CANDIDATE), "its gate judged nobody"),
    "no summary": (lambda folder: (folder / "summary.json").unlink(), r"summary\.json"),
    "an edited estimate": (_again(estimate=0.9), r"lies \d+\.\d standard errors from .* need at most 5"),
    "a refused verdict": (_again(**REFUSED), "evidence.verdict = 'refused' .its lower bound is below 0."),
    "a bound below 0": (_again(lower_bound=-1e-9), "evidence.lower_bound = -1e-09, need a number >= 0"),
    "two reasons": (_again(estimate=0.9, **REFUSED), "standard errors from .*; and .*evidence.verdict = 'refused'"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_run_is_refused_with_the_reason(
    name: str, vetted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, told = EDITS[name]
    folder = Path(shutil.copytree(vetted, tmp_path / "run"))
    edit(folder)
    assert re.search(told, refusal(capsys, tmp_path, f"run={folder}", NO_GRAPH))


def test_a_waiver_of_the_gate_does_not_cover_an_edited_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = leave(tmp_path / "run", estimate=0.9)
    assert "standard errors" in refusal(capsys, tmp_path, f"run={folder}", NO_GRAPH, f"experiment.waivers={VALID}")


def test_a_run_must_be_named_and_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "run: got" in refusal(capsys, tmp_path, NO_GRAPH)
    assert "need that of a vetted run" in refusal(capsys, tmp_path, f"run={tmp_path / 'nowhere'}")


def test_without_the_extra_it_is_named(
    vetted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ndonnx", None)
    assert "guardband[export]" in refusal(capsys, tmp_path, f"run={vetted}")


def test_a_graph_that_answers_otherwise_is_refused(
    vetted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that moves two units of mass between slots: actions stay, masses are not within 1."""

    def off(raw: bytes) -> Callable[[Asked], Served]:
        ask = runner(raw)

        def answer(asked: Asked) -> Served:
            found = ask(asked)
            moved = np.array(found.masses)
            moved[int(moved.argmax())] -= 2
            return found._replace(masses=moved)

        return answer

    monkeypatch.setattr(export, "runner", off)
    told = refusal(capsys, tmp_path, f"run={vetted}")
    assert "a mass differs by 2, need all, and at most 1 of 1048576; experiment.onnx=false" in told


def test_the_replay_reads_every_golden_answer() -> None:
    """A graph that always stays home gives other actions than a policy that explores."""
    with pytest.raises(ValueError, match=r"\d+ of \d+ golden actions are NumPy's"):
        export._replay(frozen("uniform"), trace(frozen("fixed")))
