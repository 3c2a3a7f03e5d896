"""Every rule has an edit that breaks it, and is refused by the type that is its own."""

import json

import onnx
import pytest

from experiments.bundling.ruling import broken_rules, external_data
from experiments.bundling.tampering import refusal, resealed
from policies.bundle import DIGEST_ONLY
from policies.manifest import GRAPH, MANIFEST

WANTED = {
    "'3.0'": "VersionError",
    "'2.1'": "VersionError",
    "a lower bound just below 0": "EvidenceError",
    "an ended waiver": "EvidenceError",
    "a waiver of nothing": "FormatError",
    "nothing but 0.3": "BoundsError",
    "wider": "BoundsError",
    "names ../policy.json": "FormatError",
    "external data": "FormatError",
}


@pytest.mark.parametrize("kind", WANTED)
def test_a_broken_rule_is_refused_without_a_signature_though_resealed(specimen, kind):
    found = [one for one in broken_rules(specimen.files) if one.kind == kind]
    assert found
    for one in found:
        files = resealed(specimen.files | {name: raw or b"" for name, raw in one.files.items()})
        assert refusal(files, DIGEST_ONLY) == (WANTED[kind], ())


def test_an_edit_changes_what_it_names(specimen):
    before = json.loads(specimen.files[MANIFEST])
    for one in broken_rules(specimen.files):
        if one.where == f"{MANIFEST}: evidence":
            after = json.loads(one.files[MANIFEST] or b"")
            assert {name for name in before if before[name] != after[name]} == {"evidence"}


def test_external_data_is_what_onnx_calls_so(specimen):
    model = onnx.ModelProto.FromString(external_data(specimen.files[GRAPH]))
    tensors = [*model.graph.initializer, *(a.t for node in model.graph.node for a in node.attribute)]
    assert [t for t in tensors if t.data_location == onnx.TensorProto.EXTERNAL]
