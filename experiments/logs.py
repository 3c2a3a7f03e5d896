"""Decision logs of simulated traffic, as the log format wants them.

Prompts of a simulated task are its name; their hash key is derived from the master seed, so
a run's files are the same again. A production log needs a secret key.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from envs.tasks import fingerprint
from envs.traffic import Population
from envs.world import Scenario
from evaluators.decisions import DecisionLog, prompt_hash, request_parameters
from experiments.convergence import PolicyRun, answered
from experiments.frozen import Frozen, LogRows
from experiments.propensities import window_ids
from policies.constraints import Bounds, legal
from policies.masses import TOTAL

__all__ = ["Identity", "log_of_rows", "log_of_run", "recommendations"]

EPOCH = np.datetime64("2026-01-01T00:00:00", "us")  # simulated traffic begins here, one request a second


class Identity(NamedTuple):
    """Whose log it is: a prefix for request ids, the policy's digest, the master seed behind the prompt key."""

    prefix: str
    digest: str
    master_seed: int


class _Who(NamedTuple):
    """Per task of a population: fingerprint, prompt hash, task type name, model."""

    fingerprint: NDArray[np.object_]
    prompt: NDArray[np.object_]
    task_type: NDArray[np.object_]
    model: NDArray[np.object_]


def _who(people: Population, master_seed: int) -> _Who:
    key = hashlib.blake2b(f"guardband simulated prompts {master_seed}".encode(), digest_size=32).digest()
    names = [people.names[k] for k in people.task]
    prints = [fingerprint(task, task_type=name) for task, name in zip(people.tasks, names, strict=True)]
    prompts = [prompt_hash(f"{name}/{i}", key) for i, name in enumerate(names)]
    models = [task.model_name or "" for task in people.tasks]
    return _Who(*(np.array(column, object) for column in (prints, prompts, names, models)))


class _Drawn(NamedTuple):
    """The decision half of a log: (n, ...) arrays."""

    member: NDArray[np.int32]  # row of the population
    evaluation: NDArray[np.int32]
    centre: NDArray[np.int32]
    action_ids: NDArray[np.int32]
    mask: NDArray[np.bool_]
    masses: NDArray[np.int32]
    uniform: NDArray[np.int32]
    slot: NDArray[np.int32]


def _log(scenario: Scenario, drawn: _Drawn, outcome: dict[str, NDArray[Any]], who: Identity) -> DecisionLog:
    people, n = scenario.population, len(drawn.member)
    known, rows = _who(people, who.master_seed), np.arange(n)
    action = drawn.action_ids[rows, drawn.slot].astype(np.int32)
    return DecisionLog(
        request_id=np.array([f"{who.prefix}-{i:06d}" for i in range(n)], object),
        timestamp=EPOCH + rows.astype("timedelta64[s]"),
        prompt_hash=known.prompt[drawn.member],
        fingerprint=known.fingerprint[drawn.member],
        context=people.features[drawn.member],
        task_type=known.task_type[drawn.member],
        evaluation=drawn.evaluation,
        centre=drawn.centre,
        action_ids=drawn.action_ids,
        mask=drawn.mask,
        masses=drawn.masses,
        uniform=drawn.uniform,
        propensity=drawn.masses[rows, drawn.slot] / TOTAL,
        action_id=action,
        policy_digest=np.full(n, who.digest, object),
        cluster=people.cluster[drawn.member].astype(np.int64),
        **({"model": known.model[drawn.member]} | request_parameters(scenario.lattice, action) | outcome),
    )


_PARTS = ("quality", "output_tokens", "latency_ms", "cost_usd", "failure", "truncated")


def _earlier(task: NDArray[np.int32]) -> NDArray[np.int32]:
    """(n,) rows of the same task type before each row."""
    count = np.zeros(len(task), np.int32)
    for kind in np.unique(task):
        mine = task == kind
        count[mine] = np.arange(mine.sum())
    return count


def _decisions(rows: LogRows, frozen: Frozen, slot: NDArray[np.int32]) -> _Drawn:
    windows, index = frozen.windows, rows.index
    ids = windows.action_ids[index]
    return _Drawn(
        member=index,
        evaluation=_earlier(rows.task),
        centre=ids[np.arange(len(index)), windows.incumbent[index]],
        action_ids=ids,
        mask=windows.feasible[index],
        masses=frozen.masses[index],
        uniform=rows.uniform,
        slot=slot,
    )


def log_of_rows(scenario: Scenario, rows: LogRows, behavior: Frozen, who: Identity) -> DecisionLog:
    """The decision log that a frozen policy wrote."""
    parts = {name: np.asarray(getattr(rows.outcome, name), np.float64) for name in _PARTS}
    return _log(scenario, _decisions(rows, behavior, rows.slot), parts | {"reward": rows.reward}, who)


def recommendations(scenario: Scenario, rows: LogRows, candidate: Frozen, who: Identity) -> DecisionLog:
    """What a candidate would have done on a log's requests and uniforms; outcomes are NaN, nobody saw them."""
    cumulative = np.cumsum(candidate.masses[rows.index], axis=1)
    slot = (cumulative <= rows.uniform[:, None]).sum(axis=1).astype(np.int32)
    unseen = {name: np.full(len(slot), np.nan) for name in (*_PARTS, "reward")}
    return _log(scenario, _decisions(rows, candidate, slot), unseen, who)


def log_of_run(scenario: Scenario, run: PolicyRun, *, seeds: Iterable[int], who: Identity) -> DecisionLog:
    """The decision log of a learning run's first seeds, in the order of their rounds.

    What came of a decision whose reward never arrived is NaN: nobody was told.
    """
    seeds = tuple(seeds)
    kept = jax.tree.map(lambda leaf: np.concatenate([leaf[s] for s in seeds]), run.kept)
    limits: Bounds = run.bounded.params.limits
    grid = scenario.lattice.decode(np.arange(scenario.lattice.size, dtype=np.int32))
    ids = window_ids(scenario.lattice, run.bounded.spec, stride=limits.stride)[kept.centre]
    offsets, home = np.array(run.bounded.spec.offsets), grid[kept.centre]
    whole = home[:, None, :] + offsets[None] * limits.stride[np.arange(len(scenario.lattice.axes)), home][:, None, :]
    inside = np.all((whole >= 0) & (whole < np.array(scenario.lattice.shape)), axis=-1)
    near = np.all(np.abs(offsets) <= limits.radius, axis=-1)[None]
    allowed = legal(scenario.lattice, limits)[kept.task[:, None], ids]
    heard = np.concatenate([answered(run.kept.delivered[s : s + 1])[0] for s in seeds])
    told = {name: np.asarray(getattr(kept.outcome, name), np.float64) for name in _PARTS} | {"reward": kept.reward}
    parts = {name: np.where(heard, values, np.nan) for name, values in told.items()}
    drawn = _Drawn(
        kept.index, kept.t, kept.centre, ids, inside & near & allowed, kept.masses, kept.uniform, kept.slot
    )  # fmt: skip
    return _log(scenario, drawn, parts, who)
