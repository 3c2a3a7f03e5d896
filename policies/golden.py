"""Golden cases: requests with the answers recorded at export, so that a reader can prove that it answers the same.

A case holds the request, its uniform and seed, the masses of its window, and the actions of four uniforms. Every
loader asks its policy again and refuses a bundle whose answers differ: in arithmetic that is not the exporter's, or
after an edit. Requests are drawn from the policy's digest: ordinary ones, extreme ones, ones with features left out.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from envs.tasks import TaskFeatures
from policies.frozen import FrozenPolicy
from policies.masses import TOTAL
from policies.refusals import FormatError
from policies.request import read_task, request_seed, request_uniform
from policies.serving import drawn
from policies.strict_json import Node

__all__ = ["Asked", "LEAST", "answers", "read_golden", "requests"]

LEAST, MOST = 32, 1024  # golden cases of a bundle
PER_TASK_TYPE = 8
UNIFORMS = (0, TOTAL // 3, 2 * TOTAL // 3, TOTAL - 1)
_TOP = {"title_length": 200, "description_length": 8000, "max_loc": 5000, "prompt_tokens": 6000}
_OTHERS = 40  # highest of the other counts


class Asked(NamedTuple):
    """A golden request: task type, features as they are sent, request id."""

    task_type: str
    features: dict[str, Any]
    request_id: str


def requests(policy: FrozenPolicy) -> tuple[Asked, ...]:
    """At least 32 requests, 8 or more of every task type, the same for the same policy."""
    rng = np.random.Generator(np.random.Philox(int(policy.digest[:16], 16)))
    per_type = max(PER_TASK_TYPE, -(-LEAST // len(policy.task_types)))
    per_type = min(per_type, max(1, MOST // len(policy.task_types)))
    asked = [(name, _features(rng, policy.features.models, i)) for name in policy.task_types for i in range(per_type)]
    return tuple(Asked(name, sent, f"golden-{i}") for i, (name, sent) in enumerate(asked[:MOST]))


def _features(rng: np.random.Generator, models: tuple[str, ...], i: int) -> dict[str, Any]:
    """One request's features: the first of a task type has none, the second the highest of all, the others any."""
    if i == 0 and len(models) < 2:
        return {}
    sent: dict[str, Any] = {}
    for item in fields(TaskFeatures):
        if item.name in ("risk_tier", "has_external_deps", "complexity_indicators", "model_name"):
            continue
        top = _TOP.get(item.name, _OTHERS)
        sent[item.name] = top if i == 1 else int(rng.integers(top + 1))
    for name in ("prompt_tokens", "prior_failures"):
        if i > 1 and rng.random() < 0.25:
            sent[name] = None
    sent["risk_tier"] = int(rng.integers(1, 4))
    sent["has_external_deps"] = bool(rng.random() < 0.5)
    sent["complexity_indicators"] = [f"indicator-{j}" for j in range(int(rng.integers(5)))]
    if models:
        sent["model_name"] = models[int(rng.integers(len(models)))]
    return sent


def answers(policy: FrozenPolicy, asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """What a policy answers, as a manifest records it.

    Raises:
        ValueError: a request that the policy can't be asked.
        TypeError: features of another kind.
    """
    return [_answer(policy, one) for one in asked]


def _answer(policy: FrozenPolicy, asked: Asked) -> dict[str, Any]:
    index = policy.task_types.index(asked.task_type)
    decision = policy.decision(read_task(asked.features), index, np.ones(2))
    masses, ids = policy.masses(decision), decision.window.action_ids
    chosen = [[u, int(ids[drawn(masses, u)])] for u in UNIFORMS]
    return {
        "task_type": asked.task_type,
        "features": asked.features,
        "request_id": asked.request_id,
        "uniform": request_uniform(asked.request_id, policy.digest),
        "seed": request_seed(asked.request_id),
        "masses": masses.tolist(),
        "actions": chosen,
    }


def read_golden(node: Node, policy: FrozenPolicy) -> tuple[Asked, ...]:
    """The requests of a manifest's golden cases.

    Raises:
        FormatError: fewer than 32 or more than 1024 cases, or a request that the policy can't be asked.
    """
    items = node.items()
    if not LEAST <= len(items) <= MOST:
        raise FormatError(node.file, node.path, got=f"{len(items)} cases", needed=f"{LEAST} to {MOST}")
    found = []
    for item in items:
        names = ("task_type", "features", "request_id", "uniform", "seed", "masses", "actions")
        kind, features, request_id = item.members(*names)[:3]
        if kind.text() not in policy.task_types:
            raise kind.refuse(f"one of {', '.join(policy.task_types)}")
        sent = {name: child.value for name, child in features.mapping().items()}
        try:
            task = read_task(sent)
            policy.decision(task, 0, np.ones(2))
            request_seed(request_id.text())
        except (TypeError, ValueError) as error:
            raise item.refuse(f"a request that can be asked: {error}") from None
        found.append(Asked(kind.text(), sent, request_id.text()))
    lacking = set(policy.task_types) - {one.task_type for one in found} if len(policy.task_types) <= MOST else ()
    if lacking or len({one.request_id for one in found}) < len(found):
        got = f"no case of {sorted(lacking)[0]!r}" if lacking else "a request id twice"
        raise FormatError(node.file, node.path, got=got, needed="cases of every task type, each request once")
    return tuple(found)
