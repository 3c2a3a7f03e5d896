"""The door of a bundle: the same answers from every copy, on NumPy alone, and a folder that other tools sign too."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from policies import bundle, bundle_commands, loading, refusals, signing
from policies.bundle import DIGEST_ONLY, Trust, load, publish_bundle, write_candidate
from policies.manifest import CARD
from tests.examples import frozen, release, small_world, told

TASKS = small_world().population.tasks
NOW = datetime(2030, 6, 1, tzinfo=UTC)
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
HEAVY = ("altair", "duckdb", "gymnasium", "hydra", "jax", "matplotlib", "omegaconf", "pandas", "pyarrow", "scipy")
NEVER = ("cryptography", "ndonnx", "onnx", "onnxruntime")  # no answer and no digest-only load needs these


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_candidate(tmp_path / "bundle", frozen("thompson shared"), release())
    return tmp_path / "bundle"


def test_what_a_caller_needs_is_there_by_name() -> None:
    homes = {module: [name for name in bundle.__all__ if hasattr(module, name)] for module in (loading, refusals)}
    assert {"load", "publish_bundle", "read_candidate", "write_candidate", "LoadedPolicy"} <= {*homes[loading]}
    assert homes[refusals] == ["BundleError"]
    assert bundle.Trust is signing.Trust and bundle.main is bundle_commands.main and bundle.load is loading.load


def test_threads_share_a_policy_and_get_the_same_answers(written: Path) -> None:
    """8 threads ask 500 requests each, every one in another order; one thread asks a policy of its own."""
    asked = [(TASKS[i % 24], ("short", "long", "else")[i % 3], f"r-{i}") for i in range(500)]
    alone, shared = (load(written, trust=DIGEST_ONLY) for _ in range(2))
    expected = [told(alone.recommend(*one)) for one in asked]

    def ask(seed: int) -> bool:
        order = np.random.default_rng(seed).permutation(500)
        return all(told(shared.recommend(*asked[i])) == expected[i] for i in order)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [True] * 8


ASK = """
import hashlib, sys
from policies.bundle import DIGEST_ONLY, load
loaded, said = load(sys.argv[1], trust=DIGEST_ONLY), hashlib.sha256()
for i in range(200):
    answer = loaded.recommend({"max_loc": 37 * i, "risk_tier": 1 + i % 3}, ("short", "long", "else")[i % 3], f"r-{i}")
    said.update(answer.masses.tobytes())
    for part in (answer.parameters, answer.action_id, answer.propensity, answer.uniform, answer.reason):
        said.update(repr(part).encode())
print(said.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["thompson shared", "linucb disjoint"])
def test_other_processes_give_the_same_answers(learner: str, tmp_path: Path, root: Path) -> None:
    """Three interpreters, each with another hash seed and number of threads."""
    path, outputs = tmp_path / "bundle", set()
    write_candidate(path, frozen(learner), release())
    for seed, threads in (("0", "1"), ("1", "2"), ("random", "4")):
        variables = {"PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", ASK, str(path)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, env=variables)
        outputs.add(done.stdout)
    assert len(outputs) == 1


@pytest.mark.slow
def test_loading_and_recommending_need_numpy_alone(written: Path, root: Path) -> None:
    """In a fresh interpreter, with every other package's import made to fail."""
    script = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        assert name.split('.')[0] not in {HEAVY + NEVER!r}, name\n"
        "sys.meta_path.insert(0, Refuse())\n" + ASK + f"assert not set({HEAVY + NEVER!r}) & sys.modules.keys()\n"
    )
    command = [sys.executable, "-c", script, str(written)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of that package's own dependencies
def test_the_package_model_signing_signs_the_same_folder(tmp_path: Path) -> None:
    """Its signature lies outside, ours inside; each finds an edit, and neither minds the other."""
    import model_signing  # slow: it brings sigstore

    store, signature, still = tmp_path / "store", tmp_path / "bundle.sig", frozen("fixed")
    path = publish_bundle(store, still, release=release(), graph=None, sign=KEY.sign, now=NOW)
    key = ec.generate_private_key(ec.SECP256R1())
    hidden, shown = form.NoEncryption(), form.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "key.pem").write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, hidden))
    (tmp_path / "key.pub").write_bytes(key.public_key().public_bytes(form.Encoding.PEM, shown))
    signer = model_signing.signing.Config().use_elliptic_key_signer(private_key=tmp_path / "key.pem")
    signer.sign(path, signature)

    def verify() -> None:
        verifier = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "key.pub")
        verifier.verify(path, signature)

    verify()
    assert load(path, trust=Trust(keys=(KEY.public_key().public_bytes_raw(),))).trust.startswith("signed by")
    (path / "extra.txt").write_text("x")
    with pytest.raises(ValueError, match="extra.txt"):
        verify()
    (path / "extra.txt").unlink()
    (path / CARD).write_bytes((path / CARD).read_bytes() + b" ")
    with pytest.raises(ValueError, match="MODEL_CARD.md"):
        verify()
