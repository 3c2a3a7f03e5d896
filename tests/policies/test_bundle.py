"""A bundle on disk: every learner answers as before, every edit is refused, and NumPy is enough."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.tasks import TaskFeatures
from policies.bundle import BundleError, LoadedPolicy, load, main, write_bundle
from policies.frozen import FrozenPolicy, freeze_policy
from policies.learners import decomposed
from tests.examples import LEARNERS, run_policy, small_world, two_models

WORLD = small_world()
TASKS = WORLD.population.tasks
HEAVY = ("altair", "duckdb", "gymnasium", "hydra", "jax", "matplotlib", "omegaconf", "pandas", "pyarrow", "scipy")


def frozen(learner: str) -> FrozenPolicy:
    run = run_policy(LEARNERS[learner])
    return freeze_policy(WORLD, run.bounded, state=run.state.inner, approved=run.state.approved)


def write(path: Path, learner: str = "thompson shared") -> Path:
    write_bundle(path, frozen(learner), version="0.1.0", evidence={"lower_bound": 0.01})
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(tmp_path / "bundle")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A context file with every feature of a task."""
    (tmp_path / "task.json").write_text(json.dumps({"task_type": "long", **asdict(TASKS[15])}))
    return tmp_path / "task.json"


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_answers_every_request_as_before_it_was_written(learner: str, tmp_path: Path) -> None:
    before, after = frozen(learner), load(write(tmp_path / "bundle", learner))
    for i in range(3 * len(TASKS)):
        asked = (TASKS[i % len(TASKS)], ("short", "long")[i % 2], f"r-{i}")
        here, there = before.recommend(*asked), after.recommend(*asked)
        assert here[:3] == there[:3]
        assert np.array_equal(here.masses, there.masses)
        assert here[4:7] == there[4:7]


def test_prices_reach_a_policy_that_knows_them(tmp_path: Path) -> None:
    """Output tokens fifty times dearer: a policy that composes its reward from prices answers otherwise."""
    run = run_policy(decomposed.Params(shapes=64, rank=4, n_draws=16), n_rounds=4)
    before = freeze_policy(WORLD, run.bounded, state=run.state.inner, approved=run.state.approved)
    write_bundle(tmp_path / "bundle", before, version="0.1.0", evidence={})
    after, asked = load(tmp_path / "bundle"), (TASKS[15], "long", "r-1")
    dear = after.recommend(*asked, prices=(1.0, 50.0))
    assert np.array_equal(dear.masses, before.recommend(*asked, prices=(1.0, 50.0)).masses)
    usual = after.recommend(*asked)
    assert np.array_equal(usual.masses, after.recommend(*asked, prices=(1.0, 1.0)).masses)
    assert not np.array_equal(usual.masses, dear.masses)
    deaf = load(write(tmp_path / "another", "thompson shared"))
    assert np.array_equal(deaf.recommend(*asked, prices=(1.0, 50.0)).masses, deaf.recommend(*asked).masses)


def test_the_time_at_which_a_policy_froze_comes_back(tmp_path: Path) -> None:
    before = replace(frozen("epsilon_greedy shared"), seen=np.array([0, 31], np.int32))
    write_bundle(tmp_path / "bundle", before, version="0.1.0", evidence={})
    after = load(tmp_path / "bundle")
    assert after.policy.seen.tolist() == [0, 31]
    assert [kind.get("evaluations") for kind in after.manifest["task_types"]] == [None, 31]


@pytest.mark.parametrize("learner", ["uniform", "thompson shared", "softmax disjoint"])
def test_a_policy_that_chooses_models_names_them_before_and_after(learner: str, tmp_path: Path) -> None:
    world, run = two_models(), run_policy(LEARNERS[learner], world=two_models())
    before = freeze_policy(world, run.bounded, state=run.state.inner, approved=run.state.approved)
    write_bundle(tmp_path / "bundle", before, version="0.1.0", evidence={})
    after, tasks = load(tmp_path / "bundle"), world.population.tasks
    asked = [(tasks[i % len(tasks)], ("short", "long")[i % 2], f"r-{i}") for i in range(60)]
    here, there = ([policy.recommend(*one) for one in asked] for policy in (before, after))
    assert [a.parameters for a in here] == [b.parameters for b in there]
    assert {str(a.parameters["model"]) for a in there} == {"small", "large"}
    assert all(world.lattice.parameters(a.action_id) == a.parameters for a in there)
    assert any("model small -> large" in a.reason or "model large -> small" in a.reason for a in there)
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_bytes())  # strict JSON all the way


def test_the_policy_digest_is_the_sha256_of_the_file(bundle: Path) -> None:
    loaded = load(bundle)
    assert loaded.policy.digest == frozen("thompson shared").digest
    assert (bundle / "policy.json").read_bytes() == loaded.policy.text
    assert loaded.manifest["evidence"] == {"lower_bound": 0.01}


def test_the_same_policy_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again")
    for file in ("manifest.json", "policy.json"):
        assert (again / file).read_bytes() == (bundle / file).read_bytes()


def test_a_policy_that_can_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    policy = frozen("fixed")
    object.__setattr__(policy, "reward_span", 2)  # an int: not what the manifest's reader gives back
    write_bundle(tmp_path / "whole", policy, version="0.1.0", evidence={})
    assert load(tmp_path / "whole").policy.reward_span == 2.0
    object.__setattr__(policy, "task_types", ("short", "short"))
    with pytest.raises(BundleError, match="distinct"):
        write_bundle(tmp_path / "bundle", policy, version="0.1.0", evidence={})
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_evidence_that_json_can_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="evidence.ess = inf, need a finite number"):
        write_bundle(tmp_path / "bundle", frozen("fixed"), version="0.1.0", evidence={"ess": np.inf})
    assert list(tmp_path.iterdir()) == []


def flipped(raw: bytes, at: int) -> bytes:
    """One digit or letter changed into another; the text stays text."""
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def test_a_flipped_bit_is_refused_wherever_it_is(tmp_path: Path) -> None:
    """Every 37th byte of both files: the file's sha256, the manifest's digest or the parser finds it."""
    path = write(tmp_path / "bundle", "fixed")
    for file in (path / "manifest.json", path / "policy.json"):
        raw = file.read_bytes()
        for at in range(0, len(raw), 37):
            file.write_bytes(flipped(raw, at))
            with pytest.raises(BundleError):
                load(path)
        file.write_bytes(raw)
    load(path)


def test_one_unit_in_the_last_place_of_what_was_learned_is_refused(bundle: Path) -> None:
    document = json.loads((bundle / "policy.json").read_text())
    values = document["state"]["theta"]["values"]
    values[3] = float(np.nextafter(values[3], 1))
    (bundle / "policy.json").write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    with pytest.raises(BundleError, match="policy.json: (sha256 is|has) .*as manifest.json says"):
        load(bundle)


def test_a_policy_of_another_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", "linucb shared")
    (bundle / "policy.json").write_bytes((other / "policy.json").read_bytes())
    with pytest.raises(BundleError, match="policy.json: has"):
        load(bundle)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_cut_file_is_refused(size: int, bundle: Path) -> None:
    for file in ("manifest.json", "policy.json"):
        raw = (bundle / file).read_bytes()
        (bundle / file).write_bytes(raw[:size])
        with pytest.raises(BundleError, match=file):
            load(bundle)
        (bundle / file).write_bytes(raw)


def test_the_command_line_prints_what_the_library_answers(
    bundle: Path, context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["recommend", str(bundle), "--context", str(context), "--request-id", "r-1"]
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    answer = load(bundle).recommend(TASKS[15], "long", "r-1")
    assert printed["parameters"] == answer.parameters
    assert printed["propensity"] == answer.propensity
    assert printed["policy_digest"] == answer.policy_digest
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == printed


def test_verify_and_show_say_what_a_bundle_is(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle)]) == 0
    digest = load(bundle).digest
    assert (
        capsys.readouterr().out
        == f"valid: thompson, policy digest {load(bundle).policy.digest}, bundle digest {digest}\n"
    )
    assert main(["show", str(bundle)]) == 0
    assert json.loads(capsys.readouterr().out) == load(bundle).manifest


CONTEXTS: dict[str, tuple[Any, str]] = {
    "no task type": ({}, "task_type = None, need one of short, long"),
    "unknown task type": ({"task_type": "lonng"}, "task_type = 'lonng', need one of short, long; did you mean 'long'"),
    "task type of another kind": ({"task_type": 3}, "task_type = 3, need one of short, long"),
    "unknown feature": ({"task_type": "long", "risk_teir": 1}, "unknown task feature 'risk_teir', .* 'risk_tier'"),
    "feature of another kind": ({"task_type": "long", "max_loc": "9"}, "max_loc = '9', need a whole number"),
    "feature out of range": ({"task_type": "long", "risk_tier": 4}, "risk_tier = 4, need 1"),
    "no object": ([1], r"its content = \[1\], need a JSON object"),
}


@pytest.mark.parametrize("fault", CONTEXTS)
def test_a_bad_context_gets_one_line_and_exit_2(
    fault: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value, words = CONTEXTS[fault]
    (tmp_path / "bad.json").write_text(json.dumps(value))
    assert main(["recommend", str(bundle), "--context", str(tmp_path / "bad.json"), "--request-id", "r"]) == 2
    _refused(capsys, words)


def _refused(capsys: pytest.CaptureFixture[str], words: str) -> None:
    """Nothing on standard output, and one line on the other that matches."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    with pytest.raises(BundleError, match=words):
        raise BundleError(err)


def test_bad_files_get_one_line_and_exit_2(bundle: Path, context: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--request-id", "r"]
    assert main(["recommend", str(bundle), "--context", str(bundle / "gone.json"), *asked]) == 2
    _refused(capsys, "gone.json")
    assert main(["recommend", str(bundle.parent / "gone"), "--context", str(context), *asked]) == 2
    _refused(capsys, "does not exist, need a bundle's folder")
    context.write_text('{"task_type": "long", "task_type": "short"}')
    assert main(["recommend", str(bundle), "--context", str(context), *asked]) == 2
    _refused(capsys, "the key 'task_type' stands twice")
    (bundle / "policy.json").write_bytes(b"{}")
    assert main(["verify", str(bundle)]) == 2
    _refused(capsys, "policy.json: has 2 bytes, need")


def test_a_context_may_leave_features_out(bundle: Path) -> None:
    answer = load(bundle).recommend(TaskFeatures(), "short", "r")
    assert 0 < answer.propensity <= 1


def test_a_loaded_policy_is_frozen(bundle: Path) -> None:
    loaded = load(bundle)
    assert isinstance(loaded, LoadedPolicy)
    with pytest.raises(AttributeError):
        loaded.digest = "another"  # type: ignore[misc]  # what the test is about


@pytest.mark.slow
def test_loading_and_recommending_need_numpy_alone(bundle: Path, context: Path, root: Path) -> None:
    """In a fresh interpreter, with every other package's import made to fail."""
    script = (
        "import json, sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        assert name.split('.')[0] not in {HEAVY!r}, name\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from policies.bundle import main\n"
        f"assert main(['recommend', {str(bundle)!r}, '--context', {str(context)!r}, '--request-id', 'r-1']) == 0\n"
        f"print(json.dumps(sorted(set({HEAVY!r}) & sys.modules.keys())))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.slow
def test_other_processes_give_the_same_answers(bundle: Path, context: Path, root: Path) -> None:
    """Three interpreters, each with another hash seed and number of threads."""
    command = ["-m", "policies.bundle", "recommend", str(bundle), "--context", str(context), "--request-id", "r-9"]
    outputs = set()
    for seed in ("0", "1", "random"):
        variables = {"PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": "2" if seed == "1" else "1"}
        done = subprocess.run(
            [sys.executable, *command], cwd=root, capture_output=True, text=True, check=True, env=variables
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
