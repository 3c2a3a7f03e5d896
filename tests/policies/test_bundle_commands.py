"""Every command on bundles of every learner, what it refuses and how, and that no bundle writes on a terminal."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from policies import bundle_commands
from policies.bundle import DIGEST_ONLY, load, publish_bundle, write_candidate
from policies.evidence import Approval, Evidence, Waiver
from policies.frozen import FrozenPolicy, freeze_policy
from policies.graph import trace
from policies.release import Release
from tests.examples import LEARNERS, run_policy, small_world

WORLD = small_world()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVIDENCE = Evidence(
    verdict="approved",
    reasons=("better than what is approved",),
    candidate="thompson",
    world="small",
    estimator="doubly_robust",
    interval="gate",
    regime="iid",
    estimate=0.1,
    standard_error=0.01,
    lower_bound=0.08,
    alpha=0.05,
    n=2000,
    ess=500.0,
    max_weight_share=0.01,
)
RELEASE = Release(name="answers", version="1.0.0", evidence=EVIDENCE)
WAIVER = Waiver(identity="release manager", reason="a trial", expires="2026-01-08T12:00:00Z")
HOSTILE = "\x1b[31mred\x1b[0m\x07\x9b2J\x7f \u202etxt.exe 审查通过 \U0001f600 caf\xe9" + "x" * 120
ROW: dict[str, Any] = {"task_type": "short", "features": {"risk_tier": 1}, "request_id": "r-1"}
Command = Callable[..., tuple[int, str, str]]


def frozen(learner: str = "thompson shared") -> FrozenPolicy:
    run = run_policy(LEARNERS[learner])
    stops = {"short": ["\n\n"]}
    return freeze_policy(WORLD, run.bounded, state=run.state.inner, approved=run.state.approved, stops=stops)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("bundles") / "answers"
    write_candidate(path, frozen(), RELEASE)
    return str(path)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> str:
    store, policy = tmp_path_factory.mktemp("store"), frozen()
    publish_bundle(store, policy, release=RELEASE, graph=trace(policy), sign=None, now=NOW)
    return str(store / "current")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command: its status, standard output and standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        status = bundle_commands.main(words)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def refused(command: Command) -> Callable[..., str]:
    """Runs a command that must be refused: status 2, nothing on standard output, one line on standard error."""

    def run(*words: str) -> str:
        status, out, err = command(*words)
        assert (status, out) == (2, "")
        assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1
        return err

    return run


def hostile(path: Path) -> str:
    """A bundle whose every free text tries to take the terminal over; such a word in each place that has one."""
    evidence = replace(EVIDENCE, reasons=(HOSTILE,), candidate=HOSTILE, world=HOSTILE, estimator=HOSTILE)
    release = Release(
        name="answers",
        version="1.0.0",
        evidence=evidence,
        approvals=(Approval(identity=HOSTILE, role=HOSTILE),),
        waivers=(Waiver(identity=HOSTILE, reason=HOSTILE, expires="2026-01-08T12:00:00Z"),),
        writer=HOSTILE,
    )
    policy = replace(frozen(), task_types=(HOSTILE, "long"), stops=((HOSTILE,), ()))
    write_candidate(path, policy, release)
    return str(path)


def feed(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """Put bytes on standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_is_verified_shown_and_asked(learner: str, tmp_path: Path, command: Command) -> None:
    policy, path = frozen(learner), str(tmp_path / "bundle")
    digest = write_candidate(path, policy, RELEASE)
    status, out, err = command("verify", path)
    assert (status, err) == (0, "")
    assert out.startswith(f"valid: answers 1.0.0, {policy.kind}\n") and digest in out and policy.digest in out
    assert command("show", path)[1].startswith("answers 1.0.0\n")
    asked = command("recommend", path, "--task-type", "short", "--request-id", "r-1", "--features", '{"risk_tier": 1}')
    here = policy.recommend({"risk_tier": 1}, "short", "r-1")
    assert json.loads(asked[1]) == {
        "request_id": "r-1",
        "parameters": here.parameters,
        "action_id": here.action_id,
        "propensity": here.propensity,
        "action_ids": here.window.action_ids.tolist(),
        "probabilities": here.probabilities.tolist(),
        "reason": here.reason,
        "confidence": here.confidence,
        "policy_digest": policy.digest,
        "bundle_digest": digest,
        "uniform": here.uniform,
    }


def test_verify_says_plainly_that_nobody_vouches(bundle: str, tmp_path: Path, command: Command) -> None:
    out = " ".join(command("verify", bundle)[1].split())
    assert "digest only: the bytes are those of its manifest; nobody vouches for who wrote it" in out
    assert "signature none" in out and "no policy.onnx" in out
    assert "32 recorded requests asked again" in out
    assert out.count("not compared") == 2
    publish_bundle(tmp_path, frozen(), release=RELEASE, graph=None, sign=lambda _raw: bytes(64), now=NOW)
    signed = " ".join(command("verify", str(tmp_path / "current"))[1].split())
    assert "digest only" in signed and "signature there, and NOT checked: no --key was given" in signed


def test_verify_names_the_key_that_signed(tmp_path: Path, command: Command, refused: Callable[..., str]) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    for name, one in (("key.pem", key), ("other.pem", other)):
        (tmp_path / name).write_bytes(one.public_key().public_bytes(*form))
    path = str(publish_bundle(tmp_path / "store", frozen(), release=RELEASE, graph=None, sign=key.sign, now=NOW))
    known, stranger = str(tmp_path / "key.pem"), str(tmp_path / "other.pem")
    out = " ".join(command("verify", path, "--key", stranger, "--key", known)[1].split())
    assert f"signed by the key {key.public_key().public_bytes_raw().hex()}" in out
    assert "signature there, and holds" in out and "digest only" not in out
    for name in ("verify", "show", "bench"):
        assert "manifest.sig" in refused(name, path, "--key", stranger)
    assert "manifest.sig" in refused("diff", path, path, "--key", stranger)
    assert "manifest.sig" in refused(
        "recommend", path, "--key", stranger, "--task-type", "short", "--request-id", "r-1"
    )


def test_verify_counts_the_days_of_a_waiver(tmp_path: Path, command: Command, refused: Callable[..., str]) -> None:
    path = str(tmp_path / "bundle")
    doubted = replace(EVIDENCE, verdict="refused", reasons=("too few rows",), lower_bound=-0.5)
    write_candidate(path, frozen(), replace(RELEASE, evidence=doubted, waivers=(WAIVER,)))
    for now, left in (
        ("2026-01-01T00:00:00Z", "7 days left"),  # 7.5 days
        ("2026-01-07T12:00:00Z", "1 day left"),
        ("2026-01-08T11:59:59Z", "less than a day left"),
    ):
        out = " ".join(command("verify", path, "--now", now)[1].split())
        assert f"of gate by release manager until 2026-01-08T12:00:00Z ({left}): a trial" in out
        assert "does NOT carry it, a waiver does: refused: too few rows; lower bound -0.5 at alpha 0.05" in out
        assert left in " ".join(command("show", path, "--now", now)[1].split())
    for words in (("verify", path), ("show", path), ("bench", path), ("diff", path, path)):
        assert "waivers[0].expires" in refused(*words, "--now", "2026-01-08T12:00:00Z")


def test_verify_holds_a_bundle_against_the_callers_prints(
    bundle: str, tmp_path: Path, command: Command, refused: Callable[..., str]
) -> None:
    found = load(bundle, trust=DIGEST_ONLY, now=NOW)
    mine = [found.manifest[name]["fingerprint"] for name in ("features", "actions")]
    out = " ".join(command("verify", bundle, "--features", mine[0], "--actions", mine[1])[1].split())
    assert out.count("the caller's") == 2
    assert "features.fingerprint" in refused("verify", bundle, "--features", mine[1])
    assert "actions.fingerprint" in refused("verify", bundle, "--actions", mine[0])
    assert "64 hex digits" in refused("verify", bundle, "--actions", mine[0].upper())
    listed = tmp_path / "quarantined"
    listed.write_text(f"# withdrawn\n{mine[0]}  # another\n\n")
    out = " ".join(command("verify", bundle, "--quarantined", str(listed))[1].split())
    assert "neither digest is among the 1 listed" in out
    listed.write_text(f"{mine[0]}\n{found.policy.digest}\n")
    assert "quarantined" in refused("verify", bundle, "--quarantined", str(listed))
    listed.write_text(f"{mine[0]}\n{found.policy.digest.upper()}\n")
    assert "line 2" in refused("verify", bundle, "--quarantined", str(listed))


@pytest.mark.slow
def test_verify_replays_the_golden_requests_by_onnxruntime(traced: str, command: Command) -> None:
    page = command("verify", traced, "--onnx")[1]
    out = " ".join(page.split())
    assert widest(page) <= 80
    assert "manifest.json, policy.json, policy.onnx, MODEL_CARD.md: plain files" in out
    assert "160 requests replayed: largest mass difference 0 of 2^20, all 160 actions equal" in out  # 32 times 5


@pytest.mark.slow
def test_verify_refuses_a_graph_that_answers_otherwise(tmp_path: Path, refused: Callable[..., str]) -> None:
    """A graph of the same shape, well formed and named by the manifest, but of another policy."""
    graph = trace(frozen("uniform"))
    path = publish_bundle(tmp_path, frozen(), release=RELEASE, graph=graph, sign=None, now=NOW)
    assert "policy.onnx: golden[0] = masses" in refused("verify", str(path), "--onnx")


def test_verify_needs_a_graph_to_replay(bundle: str, refused: Callable[..., str]) -> None:
    assert "policy.onnx: is missing" in refused("verify", bundle, "--onnx")


@pytest.mark.slow
def test_verify_names_the_extra_that_replays(
    traced: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "guardband[export]" in refused("verify", traced, "--onnx")


def test_show_prints_the_manifest_as_it_stands(bundle: str, command: Command) -> None:
    assert command("show", bundle, "--json")[1] == (Path(bundle) / "manifest.json").read_text()


def test_show_says_what_may_be_answered_and_why_it_was_let_out(bundle: str, command: Command) -> None:
    out = " ".join(command("show", bundle)[1].split())
    assert "short temperature 0.9, max_tokens 412, top_p 1.0" in out
    assert r"stops at '\n\n'" in out
    assert "temperature 0.6 to 1.1; at most 0.2 away (dimensionless)" in out
    assert "max_tokens 212 to 812; at most 200 away (tokens)" in out
    assert "fixed frequency_penalty 0, presence_penalty 0, model not chosen" in out
    assert "lower bound 0.08 at alpha 0.05" in out
    assert "approved by nobody" in out and "waivers none" in out


def test_an_unknown_task_type_is_answered_with_the_reason(bundle: str, command: Command) -> None:
    status, out, err = command("recommend", bundle, "--task-type", "shrt", "--request-id", "r-1")
    answer = json.loads(out)
    assert (status, err, answer["uniform"], answer["propensity"]) == (0, "", None, 1.0)
    assert answer["reason"].startswith("fallback: task_type = 'shrt'") and "'short'" in answer["reason"]


@pytest.mark.parametrize("sent", ["[]", "3", "null", '{"risk_tear": 1}', '{"risk_tier": 9}', '{"risk_tier": "1"}'])
def test_bad_features_are_answered_with_the_reason(sent: str, bundle: str, command: Command) -> None:
    words = ("--task-type", "short", "--request-id", "r-1", "--features", sent)
    status, out, _ = command("recommend", bundle, *words)
    answer = json.loads(out)
    assert (status, answer["uniform"], answer["confidence"]) == (0, None, None)
    assert answer["reason"].startswith("approved parameters: ")


@pytest.mark.parametrize("sent", ["{", '{"a": 1, "a": 2}', '{"title_length": NaN}', "", "[" * 100_000, "\udcff"])
def test_features_that_are_no_strict_json_are_refused(sent: str, bundle: str, refused: Callable[..., str]) -> None:
    words = ("--task-type", "short", "--request-id", "r-1", "--features", sent)
    assert "need strict JSON" in refused("recommend", bundle, *words)


def test_features_come_from_a_file_or_from_standard_input(
    bundle: str, tmp_path: Path, command: Command, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, file = ("recommend", bundle, "--task-type", "short", "--request-id", "r-1", "--features"), tmp_path / "a"
    file.write_text('{"risk_tier": 1, "title_length": 60}')
    direct = command(*words, file.read_text())[1]
    assert command(*words, f"@{file}")[1] == direct
    feed(monkeypatch, file.read_bytes())
    assert command(*words, "-")[1] == direct
    feed(monkeypatch, b" " * (1 << 20) + b"{}")
    assert "standard input: has more than 1048576 bytes" in refused(*words, "-")
    assert f"error: {tmp_path / 'b'}: No such file" in refused(*words, f"@{tmp_path / 'b'}")


def test_prices_are_handed_on(bundle: str, command: Command, refused: Callable[..., str]) -> None:
    words = ("recommend", bundle, "--task-type", "short", "--request-id", "r-1", "--prices")
    assert json.loads(command(*words, "1", "50")[1])["uniform"] is not None
    assert "prices = [1.0, -2.0]" in json.loads(command(*words, "1", "-2")[1])["reason"]
    assert "prices = [1.0, inf]" in json.loads(command(*words, "1", "inf")[1])["reason"]
    assert "--prices" in refused(*words, "1", "dear")


def test_a_request_needs_its_type_and_id_or_a_file(bundle: str, refused: Callable[..., str]) -> None:
    assert "--task-type is missing" in refused("recommend", bundle)
    assert "--request-id is missing" in refused("recommend", bundle, "--task-type", "short")
    for words in (("--task-type", "short"), ("--request-id", ""), ("--features", "{}"), ("--prices", "1", "1")):
        assert f"{words[0]} stands beside --requests" in refused("recommend", bundle, "--requests", "-", *words)
    assert "No such file" in refused("recommend", bundle, "--requests", "nowhere.jsonl")


def test_a_batch_answers_each_line_in_its_place(
    bundle: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three lines that the policy answers, two that get approved parameters, six that are no requests."""
    rows: list[dict[str, Any]] = [
        ROW,
        {**ROW, "request_id": "r-2", "prices": [1, 2]},
        {"task_type": "long", "request_id": "r-3"},
    ]
    lines: list[bytes] = [json.dumps(row).encode() for row in rows]
    lines += [b'{"task_type": "short"}', b'{"task_type": 3, "request_id": {"a": []}, "features": [], "prices": 1}']
    lines += [b"", b"{", b"[]", b'{"task_tipe": "short"}', b"\xff", json.dumps(ROW).encode() + b" " * (1 << 20)]
    raw = b"\n".join(lines) + b"\n"
    (tmp_path / "requests.jsonl").write_bytes(raw)
    status, out, err = command("recommend", bundle, "--requests", str(tmp_path / "requests.jsonl"))
    said = [json.loads(line) for line in out.splitlines()]
    assert (status, err, len(said)) == (0, "", len(lines))
    policy = load(bundle, trust=DIGEST_ONLY, now=NOW)
    for row, answer in zip(rows, said, strict=False):
        here = policy.recommend(row.get("features", {}), row["task_type"], row["request_id"])
        assert (answer["request_id"], answer["uniform"]) == (row["request_id"], here.uniform)
        assert answer["probabilities"] == here.probabilities.tolist()
    assert "approved parameters: request_id = None" in said[3]["reason"]
    assert "fallback: task_type = 3" in said[4]["reason"] and said[4]["request_id"] == {"a": []}
    assert [one["line"] for one in said[5:]] == [6, 7, 8, 9, 10, 11]
    assert "did you mean 'task_type'?" in said[8]["error"] and "1048576" in said[10]["error"]
    feed(monkeypatch, raw)
    assert command("recommend", bundle, "--requests", "-")[1] == out


def test_diff_says_what_changed_and_ends_as_it_was_told(
    bundle: str, tmp_path: Path, command: Command, refused: Callable[..., str]
) -> None:
    other = str(tmp_path / "other")
    write_candidate(other, frozen("linucb shared"), replace(RELEASE, version="1.1.0"))
    for words in ((), ("--exit-code",)):
        assert command("diff", bundle, bundle, *words) == (0, "no difference\n", "")
    assert json.loads(command("diff", bundle, bundle, "--json")[1]) == []
    status, out, _ = command("diff", bundle, other)
    assert status == 0 and "1.0.0" in out and "1.1.0" in out and "linucb" in out
    assert command("diff", bundle, other, "--exit-code")[0] == 1
    lines = json.loads(command("diff", bundle, other, "--json")[1])
    assert "".join("".join(lines).split()) == "".join(out.split())
    reworded = str(tmp_path / "reworded")
    write_candidate(reworded, frozen(), replace(RELEASE, evidence=replace(EVIDENCE, reasons=("other",))))
    status, out, _ = command("diff", bundle, reworded, "--exit-code")
    assert status == 1 and out != "no difference\n"
    assert "does not exist" in refused("diff", bundle, str(tmp_path / "none"), "--exit-code")


def test_bench_prints_figures_for_readers_and_programs(bundle: str, command: Command) -> None:
    status, out, err = command("bench", bundle, "--requests", "30")
    assert (status, err) == (0, "")
    assert re.search(r"ask long +p50 \d+\.\d us, p99 \d+\.\d us, mean \d+\.\d us of 30 requests", out)
    figures = json.loads(command("bench", bundle, "--requests", "30", "--json")[1])
    assert set(figures["recommend_us"]) == {"short", "long"}


def test_what_is_no_command_is_refused_in_one_line(bundle: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "COMMAND" in refused()
    assert "'verifi'" in refused("verifi", bundle)
    assert "does not exist" in refused("verify", str(tmp_path / "none"))
    assert "a bundle's folder" in refused("show", __file__)
    assert "--nonsense" in refused("verify", bundle, "--nonsense")
    assert "2030-01-31T12:00:00Z" in refused("verify", bundle, "--now", "tomorrow")
    assert "a whole number" in refused("bench", bundle, "--requests", "0")
    assert "No such file" in refused("verify", bundle, "--key", str(tmp_path / "key.pem"))
    assert "Ed25519" in refused("verify", bundle, "--key", __file__.replace("test_bundle_commands", "test_masses"))


def test_no_bundle_writes_on_the_terminal(tmp_path: Path, command: Command) -> None:
    path = hostile(tmp_path / "bundle")
    other = str(tmp_path / "other")
    write_candidate(other, frozen(), RELEASE)
    now = ("--now", "2026-01-01T00:00:00Z")
    pages = [
        command("verify", path, *now)[1],
        command("show", path, *now)[1],
        command("diff", other, path, *now)[1],
        command("bench", path, "--requests", "5", *now)[1],
    ]
    for page in pages:
        assert all(line.isprintable() for line in page.split("\n"))
    for page in pages[:2]:
        assert r"\x1b[31mred" in page and r"\u202e" in page and "审查通过" in page and "café" in page
    asked = ("recommend", path, "--task-type", HOSTILE, "--request-id", HOSTILE)
    for words in (("show", path, "--json"), asked, (*asked, "--features", '{"\\u001b[31m": "\\u009b2J"}')):
        out = command(*words, *now)[1]
        assert out.isascii() and all(line.isprintable() for line in out.split("\n"))
        json.loads(out)
    assert json.loads(command(*asked, *now)[1])["request_id"] == HOSTILE


def test_a_refusal_escapes_what_it_quotes(tmp_path: Path, refused: Callable[..., str]) -> None:
    bad = replace(EVIDENCE, verdict="refused", reasons=(HOSTILE, "two\nlines"))
    path = str(tmp_path / "bundle")
    write_candidate(path, frozen(), replace(RELEASE, evidence=bad))
    err = refused("verify", path)
    assert err.rstrip("\n").isprintable() and r"\x1b[31mred" in err
    assert refused("verify", f"{tmp_path}/\x1b[31m\n").rstrip("\n").isprintable()


def test_pages_fit_eighty_columns(bundle: str, tmp_path: Path, command: Command) -> None:
    path, now = hostile(tmp_path / "bundle"), ("--now", "2026-01-01T00:00:00Z")
    for words in (("verify", path), ("show", path), ("bench", path, "--requests", "5"), ("diff", bundle, path)):
        assert widest(command(*words, *now)[1]) <= 80


def widest(page: str) -> int:
    """Columns of the longest line; the wide characters of `HOSTILE` take two."""
    return max(len(line) + sum(c in "审查通过\U0001f600" for c in line) for line in page.split("\n"))


@pytest.mark.slow
def test_the_module_is_the_program(bundle: str, root: Path) -> None:
    """Status and streams of the real process; a reader that closes early is no error, and ASCII is enough."""

    def run(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        line = [sys.executable, "-m", "policies.bundle", *words]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        return subprocess.run(line, cwd=root, env=environment, check=False, stderr=subprocess.PIPE, **options)

    asked = ("recommend", bundle, "--task-type", "short", "--request-id", "é")
    done = run(*asked, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"") and json.loads(done.stdout)["uniform"] is not None
    assert run("verify", "nowhere", stdout=subprocess.PIPE).returncode == 2
    reader, writer = os.pipe()
    os.close(reader)
    done = run("verify", bundle, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
