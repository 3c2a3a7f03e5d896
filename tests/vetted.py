"""A vetted run made by hand: logs of a uniform logger, a candidate, evidence that is true of them; no simulation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.tasks import fingerprint
from evaluators.decisions import DecisionLog, prompt_hash, request_parameters
from evaluators.log import read_log, write_log
from experiments.candidates import CANDIDATE, LOGS
from experiments.provenance import file_digest
from experiments.results import Summary, write_summary
from policies.bundle import write_candidate
from policies.evidence import Digests, Evidence
from policies.frozen import FrozenPolicy
from policies.masses import TOTAL
from tests.examples import KEY, evidence, frozen, release, small_world

LEARNER = "epsilon_greedy shared"  # it gains something
NOISE_SD = 0.05  # of a reward, reward units


def candidate() -> FrozenPolicy:
    """Who is judged: it learned 40 rounds, and starts where the logger does."""
    return frozen(LEARNER, approved=None)


def _masses(policy: FrozenPolicy) -> NDArray[Any]:
    """(members, k) of every task of the small world."""
    people = small_world().population
    asked = (policy.decision(t, int(k), np.ones(2)) for t, k in zip(people.tasks, people.task, strict=True))
    return np.stack([policy.masses(one) for one in asked])


def _windows(policy: FrozenPolicy, leaf: int) -> NDArray[Any]:
    """(members, k) action ids (leaf 0) or which are feasible (1)."""
    return np.stack([np.asarray(policy.windows[int(k)][leaf]) for k in small_world().population.task])


def true_gain(policy: FrozenPolicy) -> float:
    """What the candidate earns above its start, reward units, were every task of the world asked equally often."""
    ids = _windows(policy, 0)
    values = np.take_along_axis(np.asarray(small_world().table()), ids, axis=1)
    return float((_masses(policy) / TOTAL * (values - values[:, [policy.spec.centre]])).sum(axis=1).mean())


def draw(seed: int, n: int) -> DecisionLog:
    """A log of n rows by a uniform logger: tasks drawn evenly, rewards with normal noise, a problem each."""
    world, rng, logger = small_world(), np.random.default_rng(seed), frozen("uniform", approved=None)
    people, rows = world.population, np.arange(n)
    member = rng.integers(len(people.task), size=n)
    masses, ids, mask = (x[member] for x in (_masses(logger), _windows(logger, 0), _windows(logger, 1)))
    uniform = rng.integers(TOTAL, size=n)
    slot = (np.cumsum(masses, axis=1) <= uniform[:, None]).sum(axis=1)
    action = ids[rows, slot].astype(np.int32)
    kinds = [people.names[k] for k in people.task]
    prints = np.array([fingerprint(t, task_type=k) for t, k in zip(people.tasks, kinds, strict=True)], object)
    seen = np.zeros(n, np.int32)
    for kind in (0, 1):
        seen[people.task[member] == kind] = np.arange((people.task[member] == kind).sum())
    nothing = {name: np.zeros(n) for name in ("output_tokens", "quality", "latency_ms", "cost_usd")}
    return DecisionLog(
        request_id=np.array([f"r-{i:05d}" for i in rows], object),
        timestamp=np.datetime64("2026-01-05T00:00:00", "us") + rows * np.timedelta64(1_500_000, "us"),
        prompt_hash=np.array([prompt_hash(text, KEY) for text in prints], object)[member],
        fingerprint=prints[member],
        context=people.features[member],
        task_type=np.array(kinds, object)[member],
        evaluation=seen,
        centre=ids[:, logger.spec.centre].astype(np.int32),
        action_ids=ids.astype(np.int32),
        mask=mask,
        masses=masses.astype(np.int32),
        uniform=uniform.astype(np.int32),
        propensity=masses[rows, slot] / TOTAL,
        action_id=action,
        policy_digest=np.full(n, logger.digest, object),
        **({"model": np.full(n, "", object)} | request_parameters(world.lattice, action) | nothing),
        failure=np.zeros(n),
        truncated=np.zeros(n),
        reward=np.asarray(world.table())[member, action] + NOISE_SD * rng.standard_normal(n),
        cluster=rows.astype(np.int64),
    )


def summary(said: Evidence) -> Summary:
    """The end of a vetting run that says what its evidence says."""
    reasons = tuple(f"{said.candidate}: {reason}" for reason in said.reasons)
    return Summary("vet", said.verdict, reasons, (), ("config.yaml",), {"python": "3.11"}, {"write": 0.1})


def leave(folder: Path, *, n: int = 400, **changes: Any) -> Path:
    """Write a vetted run into a folder that is made; its evidence is true but for the changes."""
    (folder / "log").mkdir(parents=True)
    write_log(folder / LOGS["training_log"], draw(1, n))
    write_log(folder / LOGS["judgement_log"], draw(2, n))
    (folder / LOGS["config"]).write_text("horizon: 40\n", encoding="utf-8")
    judge(folder, **changes)
    return folder


def judge(folder: Path, **changes: Any) -> None:
    """Write candidate and summary of a run whose logs and config are there."""
    policy = candidate()
    digests = Digests(**{name: file_digest(folder / file) for name, file in LOGS.items()})
    n = len(read_log(folder / LOGS["judgement_log"]))
    honest = evidence(estimate=true_gain(policy), lower_bound=0.001, n=n, ess=n / 4, digests=digests)
    said = replace(honest, **changes)
    write_candidate(folder / CANDIDATE, policy, release(name="candidate", version="0.0.0", evidence=said))
    write_summary(folder, summary(said))
