"""A bundle read with nothing taken on trust, and written so that it can be read.

Loading checks every byte against the manifest, every bound against the lattice, the evidence against its rule, and asks
the golden requests again. NumPy is enough; signatures need the extra `signing`. Card and graph are checked for their
bytes and form; that they say what the other two say was seen to at export, and a signature vouches for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

from envs.tasks import TaskFeatures
from policies.bundle_files import publish_folder, read_folder, write_folder
from policies.evidence import check_evidence, this_moment
from policies.frozen import FrozenPolicy, Recommendation
from policies.golden import requests
from policies.learned import read_learned
from policies.manifest import CARD, GRAPH, MANIFEST, POLICY, SIGNATURE, render, sealed, sha256, spelled
from policies.manifest_reader import LIMITS, read_files, read_manifest
from policies.model_card import render_card
from policies.onnx_scan import scan
from policies.refusals import IntegrityError, MismatchError, SignatureError
from policies.release import Release
from policies.signing import DIGEST_ONLY, SIGNATURE_BYTES, Signer, Trust, check_signature
from policies.strict_json import Node, parse

__all__ = [
    "LoadedPolicy",
    "load",
    "publish_bundle",
    "read_candidate",
    "write_candidate",
]

MAX_MANIFEST = 1 << 24  # bytes: 1,024 golden cases of 256 slots are 2 MB
_SIZES = {MANIFEST: MAX_MANIFEST, POLICY: LIMITS[POLICY], CARD: LIMITS[CARD], GRAPH: LIMITS[GRAPH]}
_SIZES |= {SIGNATURE: SIGNATURE_BYTES}
_UNSIGNED = "digest only: the bytes are those of its manifest; nobody vouches for who wrote it"


@dataclass(frozen=True)
class LoadedPolicy:
    """A bundle that passed every check.

    Attributes:
        policy: what answers.
        digest: of the manifest, and through it of every byte of the bundle.
        manifest: as plain values: evidence, bounds, versions.
        release: name, version, evidence, approvals and waivers.
        trust: in words, who vouches for it.
    """

    policy: FrozenPolicy
    digest: str
    manifest: Mapping[str, Any]
    release: Release
    trust: str

    def recommend(
        self,
        features: TaskFeatures | Mapping[str, object],
        task_type: str,
        request_id: str,
        *,
        prices: Sequence[float] = (1.0, 1.0),
    ) -> Recommendation:
        """Parameters for one request, as `FrozenPolicy.recommend`: never an exception for bad data."""
        return self.policy.recommend(features, task_type, request_id, prices=prices)


def load(path: str | PathLike[str], *, trust: Trust, now: datetime | None = None) -> LoadedPolicy:
    """Read and check a bundle.

    Args:
        path: its folder, or a store's `current`.
        trust: what the caller accepts; `DIGEST_ONLY` asks for no signature.
        now: the time by which waivers are judged, with its zone; None for this machine's clock.

    Raises:
        BundleError: anything that export would not have written, or that the caller does not trust; its type says
            which, its message names file, field, what was got and what was needed.
        ModuleNotFoundError: keys are trusted and the extra `signing` is missing.
        ValueError: a `now` without its zone.
    """
    if now is not None and now.tzinfo is None:
        raise ValueError(f"now = {now}, need a time with its zone, such as datetime.now(UTC)")
    found = _read(Path(path), trust)
    check_evidence(found.release.evidence, found.release.waivers, now=now or this_moment(), file=MANIFEST)
    return found


def read_candidate(path: str | PathLike[str]) -> LoadedPolicy:
    """A candidate as a vetting run left it: every check of `load` but the evidence's rule.

    Raises:
        BundleError: as `load`.
    """
    return _read(Path(path), DIGEST_ONLY)


def _read(path: Path, trust: Trust) -> LoadedPolicy:
    raw = read_folder(path, _SIZES, optional=(GRAPH, SIGNATURE))
    said = _UNSIGNED
    if trust.keys:
        key = check_signature(raw[MANIFEST], raw.get(SIGNATURE), keys=trust.keys, file=SIGNATURE)
        said = f"signed by the key {key.hex()}"
    root = parse(raw[MANIFEST], MANIFEST)
    listed = read_files(root)
    _same_bytes(listed, raw)
    learned = read_learned(raw[POLICY], file=POLICY)
    others = {name: raw[name] for name in listed if name != CARD}
    policy, release = read_manifest(root, learned, files=others, card=raw[CARD], text=raw[MANIFEST])
    if GRAPH in raw:
        scan(raw[GRAPH], file=GRAPH, d=policy.spec.d, k=policy.spec.k)
    manifest = {name: node.value for name, node in root.mapping().items()}
    found = LoadedPolicy(policy, str(manifest["digest"]), manifest, release, said)
    _check_trust(root, found, trust)
    return found


def _same_bytes(listed: Mapping[str, tuple[str, int]], raw: Mapping[str, bytes]) -> None:
    """Refuse a file that the manifest does not name, and bytes that are not those it names."""
    for name in raw:
        if name not in listed and name not in (MANIFEST, SIGNATURE):
            raise IntegrityError(name, got="is there", needed=f"no such file: {MANIFEST} does not name it")
    for name, (digest, size) in listed.items():
        if name not in raw:
            raise IntegrityError(name, got="is missing", needed=f"the file that {MANIFEST} names")
        if len(raw[name]) != size:
            raise IntegrityError(name, got=f"has {len(raw[name])} bytes", needed=f"{size}, as {MANIFEST} says")
        if sha256(raw[name]) != digest:
            got = f"sha256 is {sha256(raw[name])}"
            raise IntegrityError(name, got=got, needed=f"{digest}, as {MANIFEST} says")


def _check_trust(root: Node, found: LoadedPolicy, trust: Trust) -> None:
    for section, wanted in (("features", trust.features), ("actions", trust.actions)):
        got = found.manifest[section]["fingerprint"]
        if wanted and got != wanted:
            raise MismatchError(root.file, f"{section}.fingerprint", got=got, needed=f"{wanted}, the caller's")
    for digest in (found.digest, found.policy.digest):
        if digest in trust.quarantined:
            raise SignatureError(root.file, "digest", got=digest, needed="one that is not quarantined")


def _files(
    policy: FrozenPolicy, release: Release, *, graph: bytes | None = None, sign: Signer | None = None
) -> tuple[dict[str, bytes], str]:
    """The content of every file of a bundle, and its digest."""
    others = {POLICY: policy.text} | ({GRAPH: graph} if graph is not None else {})
    body = render(policy, release, golden=requests(policy), files=others)
    card = render_card(body).encode()
    manifest = sealed(body, card)
    text = spelled(manifest)
    signed = {SIGNATURE: sign(text)} if sign is not None else {}
    return {MANIFEST: text, **others, CARD: card, **signed}, str(manifest["digest"])


def write_candidate(path: str | PathLike[str], policy: FrozenPolicy, release: Release) -> str:
    """Write what a vetting run leaves, whatever its verdict, read it back, and only then give it its name.

    It has the form of a bundle, so that `load` takes one whose evidence carries it and refuses any other.

    Args:
        path: the directory to make; must not exist yet.
        policy: what was vetted.
        release: its words.

    Returns:
        Its digest.

    Raises:
        FileExistsError: something stands at `path`.
        BundleError: what was written can't be read back.
        ValueError: a number that is not finite.
    """
    files, digest = _files(policy, release)
    write_folder(Path(path), files, check=read_candidate)
    return digest


def publish_bundle(
    store: str | PathLike[str],
    policy: FrozenPolicy,
    *,
    release: Release,
    graph: bytes | None,
    sign: Signer | None,
    now: datetime,
) -> Path:
    """Write a bundle into a store, load it back, and make it the store's current one.

    Args:
        store: a folder of bundles, made if missing.
        policy: what is let out.
        release: its words; evidence that does not carry the policy, without a waiver, is refused.
        graph: policy.onnx; None to leave it out.
        sign: makes the signature; None for a digest-only bundle.
        now: the time by which waivers are judged.

    Returns:
        The bundle's folder, NAME-VERSION-DIGEST.

    Raises:
        EvidenceError: the evidence does not carry the policy, or a waiver has ended.
        BundleError: what was written can't be read back.
        ValueError: a number that is not finite.
    """
    files, digest = _files(policy, release, graph=graph, sign=sign)
    name = f"{release.name}-{release.version}-{digest[:16]}"

    def check(draft: Path) -> None:
        load(draft, trust=DIGEST_ONLY, now=now)

    return publish_folder(Path(store), name, files, check=check)
