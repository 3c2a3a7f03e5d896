"""The command that breaks, fuzzes, kills, times, weighs and compares bundles."""

import pytest

from experiments.bundle_validation import agreement_claims
from experiments.bundling.agreement import Agreement
from experiments.results import load_results, load_summary
from experiments.run import main

SMALL = (
    "experiment=bundle_validation", "experiment.learners=[fixed]", "experiment.long=linucb shared",
    "experiment.rounds=20", "experiment.every=100", "experiment.places=1", "experiment.examples=20",
    "experiment.kills=2", "experiment.repeats=1", "experiment.requests=20", "experiment.decisions=50",
    "experiment.contexts=20", "experiment.javascript=false",
)  # fmt: skip


@pytest.mark.slow
def test_a_small_validation_measures_every_part_and_claims_nothing_that_it_is_too_small_for(tmp_path):
    assert main([*SMALL, f"hydra.run.dir={tmp_path}"]) == 0
    summary, table = load_summary(tmp_path), load_results(tmp_path)
    by_name = {claim.claim: claim for claim in summary.claims}
    assert len(by_name) == len(summary.claims) == 17
    small = ["Hypothesis", "Killed 2 times", "Tamper matrix, edits", "onnxruntime", "Learned state per task type after"]
    for text in small:
        (claim,) = [one for name, one in by_name.items() if name.startswith(text)]
        assert claim.holds is None, claim
    assert {"edits", "examples", "interrupted", "request_p50_us", "state_bytes", "onnx_same"} <= set(table["measure"])
    assert not list(tmp_path.glob("bundles-*"))


def test_an_unknown_learner_is_refused_by_name(tmp_path, capsys):
    words = ("experiment=bundle_validation", "experiment.learners=[linucb]", f"hydra.run.dir={tmp_path}")
    assert main([*words]) == 2
    assert "experiment.learners: got 'linucb', need some of" in capsys.readouterr().err


def test_readers_must_agree_on_every_learner():
    same = Agreement(n=10_000, onnx_same=10_000, onnx_worst=1, js_same=9_999, js_worst=1)
    assert [claim.holds for claim in agreement_claims({"a": same, "b": same}, javascript=True)] == [True, True]
    for change, wanted in (
        ({"onnx_same": 9_999}, [False, True]), ({"onnx_worst": 2}, [False, True]),
        ({"js_same": 9_998}, [True, False]), ({"js_worst": 2}, [True, False]),
    ):  # fmt: skip
        claims = agreement_claims({"a": same, "b": same._replace(**change)}, javascript=True)
        assert [claim.holds for claim in claims] == wanted
        assert "(b)" in claims[wanted.index(False)].measured
    assert [claim.holds for claim in agreement_claims({"a": same}, javascript=False)] == [True, None]
    few = same._replace(n=10, onnx_same=10, js_same=10)
    assert [claim.holds for claim in agreement_claims({"a": few}, javascript=True)] == [None, None]
