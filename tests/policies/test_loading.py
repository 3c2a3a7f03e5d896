"""A bundle on disk: every learner answers as before, every edit is refused, and only evidence opens it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from envs.tasks import FeatureSpec, TaskFeatures
from policies.bundle_files import CURRENT
from policies.evidence import Waiver
from policies.frozen import FrozenPolicy, freeze_policy
from policies.golden import requests
from policies.graph import trace
from policies.learners import decomposed
from policies.loading import LoadedPolicy, load, publish_bundle, read_candidate, write_candidate
from policies.manifest import CARD, GRAPH, MANIFEST, POLICY, SIGNATURE, render, sealed, sha256
from policies.model_card import render_card
from policies.refusals import (
    BundleError,
    EvidenceError,
    FolderError,
    FormatError,
    IntegrityError,
    MismatchError,
    SignatureError,
)
from policies.release import Release
from policies.signing import DIGEST_ONLY, Trust
from policies.strict_json import canonical, pretty
from tests.examples import (
    LEARNERS,
    evidence,
    frozen,
    many_types,
    release,
    small_world,
    told,
    two_models,
    under_limits,
)

TASKS = small_world().population.tasks
NOW = datetime(2030, 6, 1, tzinfo=UTC)
VALID = Waiver(identity="release manager", reason="pilot", expires="2030-06-01T00:00:01Z")
ENDED = Waiver(identity="release manager", reason="pilot", expires="2030-05-31T23:59:59Z")
KEY, OTHER = (ed25519.Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2))
PUBLIC, STRANGER = (key.public_key().public_bytes_raw() for key in (KEY, OTHER))


def write(path: Path, learner: str = "thompson shared", said: Release | None = None) -> Path:
    write_candidate(path, frozen(learner), said or release())
    return path


def opened(path: Path) -> LoadedPolicy:
    return load(path, trust=DIGEST_ONLY)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(tmp_path / "bundle")


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    return publish(tmp_path / "store", sign=KEY.sign)


def publish(store: Path, policy: FrozenPolicy | None = None, **options: Any) -> Path:
    wanted = {"release": release(), "graph": None, "sign": None, "now": NOW, **options}
    return publish_bundle(store, policy or frozen("fixed"), **wanted)


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_answers_every_request_as_before_it_was_written(learner: str, tmp_path: Path) -> None:
    before, after = frozen(learner), opened(write(tmp_path / "bundle", learner))
    for i in range(3 * len(TASKS)):
        asked = (TASKS[i % len(TASKS)], ("short", "long", "else")[i % 3], f"r-{i}")
        assert told(before.recommend(*asked)) == told(after.recommend(*asked))


@pytest.mark.parametrize("n", [1, 40])
def test_one_task_type_or_forty_are_written_read_and_asked(n: int, tmp_path: Path) -> None:
    made = under_limits(LEARNERS["linucb shared"], many_types(n))
    before = freeze_policy(many_types(n), made, state=made.policy.init(made.params).inner)
    write_candidate(tmp_path / "bundle", before, release())
    after = opened(tmp_path / "bundle")
    assert len(after.manifest["golden"]) == max(32, 8 * n)
    for kind in before.task_types:
        assert told(before.recommend({}, kind, "r")) == told(after.recommend({}, kind, "r"))


def test_prices_reach_a_policy_that_knows_them(tmp_path: Path) -> None:
    """Output tokens fifty times dearer: a policy that composes its reward from prices answers otherwise."""
    before = frozen(decomposed.Params(shapes=64, rank=4, n_draws=16))
    write_candidate(tmp_path / "bundle", before, release())
    after, asked = opened(tmp_path / "bundle"), (TASKS[15], "long", "r-1")
    dear = after.recommend(*asked, prices=(1.0, 50.0))
    assert np.array_equal(dear.masses, before.recommend(*asked, prices=(1.0, 50.0)).masses)
    usual = after.recommend(*asked)
    assert np.array_equal(usual.masses, after.recommend(*asked, prices=(1.0, 1.0)).masses)
    assert not np.array_equal(usual.masses, dear.masses)
    deaf = opened(write(tmp_path / "another", "thompson shared"))
    assert np.array_equal(deaf.recommend(*asked, prices=(1.0, 50.0)).masses, deaf.recommend(*asked).masses)


def test_time_fallback_and_stop_sequences_come_back(tmp_path: Path) -> None:
    before = replace(frozen("epsilon_greedy shared", stops={"long": ("END", "\n")}), seen=np.array([0, 31], np.int32))
    write_candidate(tmp_path / "bundle", before, release())
    after = opened(tmp_path / "bundle")
    assert after.policy.seen.tolist() == [0, 31]
    assert [kind.get("evaluations") for kind in after.manifest["task_types"]] == [None, 31]
    assert (after.policy.fallback, after.policy.stops) == (before.fallback, ((), ("END", "\n")))
    assert after.release == release()


@pytest.mark.parametrize("learner", ["uniform", "thompson shared", "softmax disjoint"])
def test_a_policy_that_chooses_models_names_them_before_and_after(learner: str, tmp_path: Path) -> None:
    world, before = two_models(), frozen(learner, world=two_models())
    write_candidate(tmp_path / "bundle", before, release())
    after, tasks = opened(tmp_path / "bundle"), world.population.tasks
    asked = [(tasks[i % len(tasks)], ("short", "long")[i % 2], f"r-{i}") for i in range(60)]
    here, there = ([policy.recommend(*one) for one in asked] for policy in (before, after))
    assert [a.parameters for a in here] == [b.parameters for b in there]
    assert {a.parameters["gen_ai.request.model"] for a in there} == {"small", "large"}
    for answer in there:
        point = {f"gen_ai.request.{name}": value for name, value in world.lattice.parameters(answer.action_id).items()}
        assert point.items() <= answer.parameters.items()
    assert any("model small -> large" in a.reason or "model large -> small" in a.reason for a in there)
    assert json.loads((tmp_path / "bundle" / MANIFEST).read_bytes())  # strict JSON all the way


def test_the_policy_digest_is_the_sha256_of_the_file(bundle: Path) -> None:
    loaded = opened(bundle)
    assert loaded.policy.digest == frozen("thompson shared").digest == sha256((bundle / POLICY).read_bytes())
    assert (bundle / POLICY).read_bytes() == loaded.policy.text
    assert loaded.manifest["evidence"] == evidence().plain()
    assert loaded.digest == loaded.manifest["digest"]


def test_the_same_policy_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again")
    for file in (MANIFEST, POLICY, CARD):
        assert (again / file).read_bytes() == (bundle / file).read_bytes()


def test_a_policy_that_can_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    policy = frozen("fixed")
    object.__setattr__(policy, "reward_span", 2)  # an int: not what the manifest's reader gives back
    write_candidate(tmp_path / "whole", policy, release())
    assert opened(tmp_path / "whole").policy.reward_span == 2.0
    object.__setattr__(policy, "task_types", ("short", "short"))
    with pytest.raises(BundleError, match="distinct"):
        write_candidate(tmp_path / "bundle", policy, release())
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


@pytest.mark.parametrize("said", [release(code="x"), release(writer="x" * 5000), release(evidence=evidence(alpha=0.9))])
def test_a_release_that_no_reader_accepts_is_not_written(said: Release, tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        write(tmp_path / "bundle", "fixed", said)
    assert list(tmp_path.iterdir()) == []


def test_evidence_that_json_can_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="evidence.ess = inf, need a finite number"):
        write(tmp_path / "bundle", "fixed", release(evidence=evidence(ess=np.inf)))
    assert list(tmp_path.iterdir()) == []


def flipped(raw: bytes, at: int) -> bytes:
    """One digit or letter changed into another; the text stays text."""
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def test_a_flipped_bit_is_refused_wherever_it_is(tmp_path: Path) -> None:
    """Every 37th byte of every file: the file's sha256, the manifest's digest or the parser finds it."""
    path = write(tmp_path / "bundle", "fixed")
    for file in (path / MANIFEST, path / POLICY, path / CARD):
        raw = file.read_bytes()
        for at in range(0, len(raw), 37):
            file.write_bytes(flipped(raw, at))
            with pytest.raises(BundleError):
                load(path, trust=DIGEST_ONLY)
        file.write_bytes(raw)
    opened(path)


def test_one_unit_in_the_last_place_of_what_was_learned_is_refused(bundle: Path) -> None:
    document = json.loads((bundle / POLICY).read_text())
    values = document["state"]["theta"]["values"]
    values[3] = float(np.nextafter(values[3], 1))
    (bundle / POLICY).write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    with pytest.raises(IntegrityError, match="policy.json: (sha256 is|has) .*as manifest.json says"):
        opened(bundle)


@pytest.mark.parametrize("file", [POLICY, CARD, MANIFEST])
def test_a_file_of_another_bundle_is_refused(file: str, bundle: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", "linucb shared", release(name="other"))
    (bundle / file).write_bytes((other / file).read_bytes())
    with pytest.raises(IntegrityError, match=f"{POLICY if file == MANIFEST else file}: has|sha256 is"):
        opened(bundle)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_cut_file_is_refused(size: int, bundle: Path) -> None:
    for file in (MANIFEST, POLICY, CARD):
        raw = (bundle / file).read_bytes()
        (bundle / file).write_bytes(raw[:size])
        with pytest.raises(BundleError, match=file):
            opened(bundle)
        (bundle / file).write_bytes(raw)


def _spaced(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _whole_for_decimal(document: Any) -> bytes:
    document["spec"]["positions"][0][0] = int(document["spec"]["positions"][0][0])
    return canonical(document)


def _decimal_for_whole(document: Any) -> bytes:
    document["state"]["theta"]["shape"] = [float(n) for n in document["state"]["theta"]["shape"]]
    return canonical(document)


def _more_digits(document: Any) -> bytes:
    return canonical(document).replace(b"0.05", b"0.050", 1)


@pytest.mark.parametrize("respell", [_spaced, _whole_for_decimal, _decimal_for_whole, _more_digits])
def test_another_spelling_of_the_same_numbers_is_refused_whatever_the_digests_say(
    respell: Callable[[Any], bytes], bundle: Path
) -> None:
    """The policy's digest is that of its one text, and the golden uniforms are drawn with it."""
    raw = respell(json.loads((bundle / POLICY).read_bytes()))
    assert raw != (bundle / POLICY).read_bytes()
    (bundle / POLICY).write_bytes(raw)

    def admit(made: Any) -> None:
        made["policy"]["digest"] = sha256(raw)
        made["files"][POLICY] = {"sha256": sha256(raw), "bytes": len(raw)}

    resealed(bundle, admit)
    with pytest.raises(BundleError):
        opened(bundle)


def test_files_come_and_go_only_as_the_manifest_says(tmp_path: Path) -> None:
    with_graph = publish(tmp_path / "one", graph=trace(frozen("fixed")))
    without = publish(tmp_path / "two")
    (without / GRAPH).write_bytes((with_graph / GRAPH).read_bytes())
    with pytest.raises(
        IntegrityError, match="policy.onnx: is there, need no such file: manifest.json does not name it"
    ):
        opened(without)
    (with_graph / GRAPH).unlink()
    with pytest.raises(IntegrityError, match="policy.onnx: is missing, need the file that manifest.json names"):
        opened(with_graph)
    (without / GRAPH).rename(without / "policy.pkl")
    with pytest.raises(FolderError, match="has the unknown file 'policy.pkl'"):
        opened(without)


def resealed(path: Path, edit: Callable[[Any], None]) -> None:
    """The manifest after an edit by someone who knows the format, its card and digest put right."""
    made = json.loads((path / MANIFEST).read_bytes())
    edit(made)
    made.pop("digest")
    card = render_card(made).encode()
    made["files"].pop(CARD)
    (path / CARD).write_bytes(card)
    (path / MANIFEST).write_text(pretty(sealed(made, card)) + "\n")


def test_a_file_that_is_no_graph_of_such_a_policy_is_not_published(tmp_path: Path) -> None:
    still = frozen("fixed")
    wider = replace(still, features=FeatureSpec(models=("small", "large")), spec=still.spec._replace(d=14))
    for graph in (b"", b"\x80\x04N.", trace(wider)):
        with pytest.raises(FormatError, match=r"policy\.onnx"):
            publish(tmp_path / "store", graph=graph)
    assert not (tmp_path / "store" / CURRENT).exists()


DOORS = [
    (verdict, bound, waivers)
    for verdict in ("approved", "refused")
    for bound in (0.03, -0.01)
    for waivers in ((), (VALID,), (ENDED,), (VALID, ENDED))
]


def test_a_bundle_opens_by_its_evidence_or_a_waiver_that_is_valid_now(tmp_path: Path) -> None:
    """A candidate is read whatever it says, and published only where it opens (`test_evidence` has all cases)."""
    for i, (verdict, bound, waivers) in enumerate(DOORS):
        said = release(evidence=evidence(verdict=verdict, lower_bound=bound), waivers=waivers)
        path = write(tmp_path / str(i), "fixed", said)
        assert read_candidate(path).release == said
        carries = verdict == "approved" and bound is not None and bound >= 0
        if ENDED not in waivers and (carries or VALID in waivers):
            assert load(path, trust=DIGEST_ONLY, now=NOW).release == said
            assert publish(tmp_path / "store", release=said) == (tmp_path / "store" / CURRENT).resolve()
            continue
        with pytest.raises(EvidenceError, match="manifest.json: "):
            load(path, trust=DIGEST_ONLY, now=NOW)
        with pytest.raises(EvidenceError):
            publish(tmp_path / "store", release=said)


def test_a_waiver_ends_while_the_bundle_lies_there(tmp_path: Path) -> None:
    path = write(tmp_path / "bundle", "fixed", release(evidence=evidence(lower_bound=-0.01), waivers=(VALID,)))
    load(path, trust=DIGEST_ONLY, now=NOW)
    with pytest.raises(
        EvidenceError, match=r"waivers\[0\].expires = '2030-06-01T00:00:01Z', need a time after 2030-06-0"
    ):
        load(path, trust=DIGEST_ONLY, now=NOW.replace(second=1))
    old = Waiver(identity="release manager", reason="pilot", expires="2001-01-01T00:00:00Z")
    ended = write(tmp_path / "old", "fixed", release(waivers=(old,)))
    with pytest.raises(EvidenceError):
        opened(ended)  # by this machine's clock


def test_a_longer_waiver_by_an_editor_is_found_by_the_signature_alone(tmp_path: Path) -> None:
    """What digests are for, and what they are not: the edit is whole in itself."""
    said = release(evidence=evidence(lower_bound=-0.01), waivers=(VALID,))
    path = publish(tmp_path / "store", release=said, sign=KEY.sign)
    resealed(path, lambda made: made["waivers"][0].update(expires="2099-01-01T00:00:00Z"))
    assert load(path, trust=DIGEST_ONLY, now=NOW).trust.startswith("digest only")
    with pytest.raises(SignatureError, match="or the manifest was changed after it"):
        load(path, trust=Trust(keys=(PUBLIC,)), now=NOW)


def test_who_vouches_is_said(signed: Path, bundle: Path) -> None:
    assert load(signed, trust=Trust(keys=(STRANGER, PUBLIC))).trust == f"signed by the key {PUBLIC.hex()}"
    words = "digest only: the bytes are those of its manifest; nobody vouches for who wrote it"
    assert opened(signed).trust == opened(bundle).trust == words
    assert (signed / SIGNATURE).read_bytes() == KEY.sign((signed / MANIFEST).read_bytes())


def test_a_signature_of_nobody_trusted_is_refused(signed: Path, bundle: Path) -> None:
    with pytest.raises(SignatureError, match="manifest.sig: is by none of them"):
        load(signed, trust=Trust(keys=(STRANGER,)))
    with pytest.raises(SignatureError, match="manifest.sig: is missing"):
        load(bundle, trust=Trust(keys=(PUBLIC,)))
    (signed / SIGNATURE).write_bytes((signed / SIGNATURE).read_bytes()[:63])
    with pytest.raises(SignatureError, match="manifest.sig: has 63 bytes, need 64"):
        load(signed, trust=Trust(keys=(PUBLIC,)))
    (signed / SIGNATURE).write_bytes(bytes(65))
    with pytest.raises(FolderError, match="manifest.sig: has 65 bytes, need at most 64"):
        opened(signed)


def test_even_a_space_after_the_signature_is_found(signed: Path) -> None:
    """The exact bytes are signed, and a manifest has one spelling."""
    (signed / MANIFEST).write_bytes((signed / MANIFEST).read_bytes() + b"\n")
    with pytest.raises(IntegrityError, match="spelled in another way"):
        opened(signed)
    with pytest.raises(SignatureError, match="is by none of them"):
        load(signed, trust=Trust(keys=(PUBLIC,)))


def test_features_and_actions_that_are_not_the_callers_are_refused(bundle: Path) -> None:
    said = opened(bundle).manifest
    wanted: dict[str, Callable[[str], Trust]] = {
        "features": lambda mark: Trust(features=mark),
        "actions": lambda mark: Trust(actions=mark),
    }
    for section, trust in wanted.items():
        mine = said[section]["fingerprint"]
        assert load(bundle, trust=trust(mine)).policy.digest == said["policy"]["digest"]
        with pytest.raises(
            MismatchError, match=f"manifest.json: {section}.fingerprint = {mine}, need 0+, the caller's"
        ):
            load(bundle, trust=trust("0" * 64))


def test_a_quarantined_bundle_or_policy_is_refused_whoever_signed_it(signed: Path) -> None:
    found = opened(signed)
    for digest in (found.digest, found.policy.digest):
        with pytest.raises(SignatureError, match=f"digest = {digest}, need one that is not quarantined"):
            load(signed, trust=Trust(keys=(PUBLIC,), quarantined=frozenset({digest, "0" * 64})))
    load(signed, trust=Trust(keys=(PUBLIC,), quarantined=frozenset({"0" * 64})))


@pytest.mark.slow
def test_a_release_follows_another_in_a_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = publish(store, sign=KEY.sign)
    digest = load(store / CURRENT, trust=Trust(keys=(PUBLIC,))).digest
    assert first == store / f"small-1.0.0-{digest[:16]}"
    said = release(version="1.1.0", previous=digest)
    second = publish(store, frozen("thompson shared"), release=said, graph=trace(frozen("thompson shared")))
    now = load(store / CURRENT, trust=DIGEST_ONLY)
    assert (now.release.previous, now.policy.kind) == (digest, "thompson")
    assert {path.name for path in second.iterdir()} == {MANIFEST, POLICY, CARD, GRAPH}
    assert publish(store, sign=KEY.sign) == first == (store / CURRENT).resolve()  # back to it, as it lies there


def test_a_bundle_is_not_signed_again_under_its_name(signed: Path) -> None:
    for sign in (OTHER.sign, None):
        with pytest.raises(FileExistsError, match="holds other bytes, and is never written over"):
            publish(signed.parent, sign=sign)
    load(signed.parent / CURRENT, trust=Trust(keys=(PUBLIC,)))


def test_a_context_may_leave_features_out(bundle: Path) -> None:
    answer = opened(bundle).recommend(TaskFeatures(), "short", "r")
    assert 0 < answer.propensity <= 1
    assert told(answer) == told(opened(bundle).recommend({}, "short", "r"))


def test_a_loaded_policy_is_frozen(bundle: Path) -> None:
    loaded = opened(bundle)
    with pytest.raises(AttributeError):
        loaded.digest = "another"  # type: ignore[misc]  # what the test is about


def test_no_number_of_a_policy_moves_while_it_answers(bundle: Path) -> None:
    loaded = opened(bundle)
    before = loaded.policy.text, sha256(canonical(dict(loaded.manifest)))
    for i in range(50):
        loaded.recommend(TASKS[i % 24], "long", f"r-{i}").parameters.clear()
    assert sha256(before[0]) == loaded.policy.digest
    again = replace(loaded.policy)  # a copy that has nothing made ready
    assert (again.text, sha256(canonical(dict(loaded.manifest)))) == before
    body = render(again, loaded.release, golden=requests(again), files={POLICY: again.text})
    assert sealed(body, (bundle / CARD).read_bytes()) == loaded.manifest
