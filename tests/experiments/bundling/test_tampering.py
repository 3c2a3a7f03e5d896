"""The tamper matrix: who finds which edit, and claims that fail where an edit is accepted."""

import json
from dataclasses import replace

import pytest

from experiments.bundling import tampering
from experiments.bundling.breaking import Broken
from experiments.bundling.tampering import Matrix, Tried, cases, claims, measurements, refusal, resealed, tamper
from policies.bundle import DIGEST_ONLY, Trust
from policies.manifest import MANIFEST, POLICY, SIGNATURE


def _evidence_edited(specimen) -> Broken:
    document = json.loads(specimen.files[MANIFEST])
    document["evidence"]["lower_bound"] = 0.09
    text = (json.dumps(document) + "\n").encode()
    return Broken(kind="raised", where=f"{MANIFEST}: evidence.lower_bound", files={MANIFEST: text})


def test_an_untouched_bundle_is_accepted_and_resealing_changes_nothing(specimen):
    assert refusal(specimen.files, DIGEST_ONLY) == refusal(specimen.files, Trust(keys=(specimen.key,))) == ("", ())
    assert resealed(specimen.files) == specimen.files


def test_a_resealed_lie_is_found_by_the_signature_alone(specimen):
    tried = tamper(specimen, [_evidence_edited(specimen)], advance=lambda _: None).tried
    assert [(one.mode, one.error) for one in tried] == [
        ("plain", "IntegrityError"), ("resealed", ""), ("signed", "SignatureError"),
    ]  # fmt: skip


def test_a_signature_is_judged_where_it_is_asked_for(specimen):
    broken = Broken(kind="gone", where=SIGNATURE, files={SIGNATURE: None})
    tried = tamper(specimen, [broken], advance=lambda _: None).tried
    assert [(one.mode, one.error) for one in tried] == [("signed", "SignatureError")]


def test_an_edit_that_resealing_mends_is_not_counted_as_resealed(specimen):
    document = json.loads(specimen.files[MANIFEST])
    document["digest"] = "0" * 64
    broken = Broken(kind="other", where="digest", files={MANIFEST: json.dumps(document).encode()})
    tried = tamper(specimen, [broken], advance=lambda _: None).tried
    assert [one.mode for one in tried] == ["plain", "signed"] and all(one.error for one in tried)


def test_the_matrix_has_thousands_of_cases_over_every_section_of_both_files(specimen):
    short = json.loads(specimen.files[MANIFEST])
    short["golden"] = short["golden"][:1]  # the text of all of them takes long to write
    held = specimen.files | {MANIFEST: json.dumps(short).encode()}
    found = list(cases(replace(specimen, files=held), seed=0, each=4, every=1))
    assert len(found) > 2000
    wheres = {one.where for one in found}
    for name in (MANIFEST, POLICY):
        assert {f"{name}: {section}" for section in json.loads(held[name])} <= wheres


@pytest.mark.slow
def test_a_sample_of_the_matrix_is_refused(specimen):
    matrix = tamper(specimen, cases(specimen, seed=0, each=2, every=40), advance=lambda _: None)
    plain, signed, rules, rest, typed = claims(matrix)
    assert [claim.holds for claim in (rules, rest, typed)] == [True, None, True]
    assert plain.holds is not False and signed.holds is not False
    rows = {(row.rule, row.measure): row.value for row in measurements(matrix, "speed") if not row.task}
    assert rows["signed", "edits"] == rows["signed", "refused"] > 100


def _matrix(**changes) -> Matrix:
    modes = ("plain", "resealed", "signed")
    one = Tried("plain", "removed", "manifest.json: a.b", False, "FormatError")
    tried = [one._replace(mode=mode, is_rule=rule) for mode in modes for rule in (False, True) for _ in range(200)]
    tried[0] = tried[0]._replace(**changes)
    return Matrix(tuple(tried))


def test_claims_hold_when_all_are_refused_and_fail_with_one_that_is_not():
    assert [claim.holds for claim in claims(_matrix())] == [True, True, True, None, True]
    first, *_ = claims(_matrix(error=""))
    assert (first.holds, first.measured) == (False, "399 of 400 refused; accepted: manifest.json: a.b: removed")
    assert claims(_matrix(error="", mode="signed"))[1].holds is False
    assert claims(_matrix(error="", mode="resealed", is_rule=True))[2].holds is False
    assert "a 1" in claims(_matrix(error="", mode="resealed"))[3].measured


def test_a_refusal_that_says_nothing_or_is_undeclared_fails_the_last_claim():
    assert claims(_matrix(lacks=("got",)))[-1].holds is False
    assert claims(_matrix(error="undeclared KeyError"))[-1].holds is False


def test_few_cases_claim_nothing():
    few = Matrix(_matrix().tried[:100])
    assert claims(few)[0].holds is None


def test_an_undeclared_error_is_told_apart(specimen, monkeypatch):
    def broken(*_, **__):
        raise KeyError("x")

    monkeypatch.setattr(tampering, "load", broken)
    assert refusal(specimen.files, DIGEST_ONLY) == ("undeclared KeyError", ())
