"""The parts of the certification that need no world of the run: each on problems of its own, each with its claims.

A size of 0 leaves a part out; nothing is then claimed of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from experiments.certifying.adaptive_contexts import certify_adaptive_contexts
from experiments.certifying.adaptive_logs import certify_adaptive_logs
from experiments.certifying.coverage import Sizes, check_coverage, measure_coverage
from experiments.certifying.gate_errors import check_gate, measure_gate, switch_claims, switch_over
from experiments.certifying.sequences import certify_sequences
from experiments.measurement import Measurement
from experiments.results import Claim
from experiments.terminal import Progress

__all__ = ["Parts", "certify"]

Answer = tuple[Sequence[Measurement], Sequence[Claim]]


@dataclass(frozen=True)
class Parts:
    """How many logs or runs each part spends; 0: not run."""

    pool_logs: int = field(default=4000, metadata={"ge": 0, "le": 10**6, "unit": "logs of the base problem per size"})
    held_out_logs: int = field(default=2000, metadata={"ge": 1, "le": 10**6, "unit": "logs of every draw per size"})
    bound_logs: int = field(default=4000, metadata={"ge": 0, "le": 10**6, "unit": "logs per case of the gate"})
    switch_logs: int = field(default=2000, metadata={"ge": 0, "le": 10**6, "unit": "logs per case and size"})
    sequence_runs: int = field(default=1000, metadata={"ge": 0, "le": 10**6, "unit": "runs per logger"})
    adaptive_logs: int = field(default=4000, metadata={"ge": 0, "le": 10**6, "unit": "logs per signal and length"})
    adaptive_context_logs: int = field(default=2000, metadata={"ge": 0, "le": 10**6, "unit": "logs per world"})


class _Part(NamedTuple):
    name: str
    size: int
    run: Callable[[], Answer]


def certify(parts: Parts, *, seed: int, progress: Progress) -> tuple[list[Measurement], list[Claim]]:
    """Run every part that has a size.

    Args:
        parts: sizes.
        seed: of all draws.
        progress: one stage per part.
    """
    rows: list[Measurement] = []
    claims: list[Claim] = []
    for part in _asked(parts, seed):
        if part.size:
            with progress.stage(part.name, 1, unit="part") as advance:
                found = part.run()
                advance(1)
            rows.extend(found[0])
            claims.extend(found[1])
    return rows, claims


def _asked(parts: Parts, seed: int) -> list[_Part]:
    return [
        _Part("intervals", parts.pool_logs, lambda: _coverage(parts, seed)),
        _Part("gate's bound", parts.bound_logs, lambda: _gate(parts.bound_logs, seed)),
        _Part("gate's switch-over", parts.switch_logs, lambda: _switch(parts.switch_logs, seed)),
        _Part("sequences", parts.sequence_runs, lambda: certify_sequences(parts.sequence_runs, seed)),
        _Part("adaptive logs", parts.adaptive_logs, lambda: certify_adaptive_logs(parts.adaptive_logs, seed)),
        _Part(
            "adaptive logs with contexts",
            parts.adaptive_context_logs,
            lambda: certify_adaptive_contexts(parts.adaptive_context_logs, seed),
        ),
    ]


def _coverage(parts: Parts, seed: int) -> Answer:
    kept, claims = check_coverage(Sizes(parts.pool_logs, parts.held_out_logs), seed=seed)
    return list(measure_coverage(kept)), claims


def _gate(n_logs: int, seed: int) -> Answer:
    found, claims = check_gate(n_logs, seed=seed)
    return list(measure_gate(found, part="bound")), claims


def _switch(n_logs: int, seed: int) -> Answer:
    found = switch_over(n_logs, seed=seed)
    return list(measure_gate(found, part="switch")), switch_claims(found)
