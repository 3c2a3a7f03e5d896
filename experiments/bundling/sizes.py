"""How large what a policy learned becomes, in memory and in a bundle, and that more decisions do not make it larger.

A state is arrays of fixed shapes: what a learner knows after any number of decisions takes the bytes of what it knew
before the first. That is checked for every learner on some decisions, and for one on as many as the threshold speaks
of, by the very functions that learn. Text is longer than the numbers it holds, so policy.json is counted as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from envs.world import Scenario
from experiments.bundling.bundles import played, under_mission
from experiments.measurement import Measurement
from experiments.results import Claim
from policies.digest import leaves
from policies.frozen import freeze_policy
from policies.graph import trace

__all__ = ["Size", "claims", "measurements", "size_of"]

MAX_MB = 1.0  # per task type, of 10^6 bytes
DECISIONS = 100_000


class Size(NamedTuple):
    """Bytes of one learner on a world of so many task types.

    Attributes:
        name: of the learner.
        decisions: after how many.
        tasks: task types.
        entries: of the context.
        fresh: bytes of the state before the first decision.
        state: bytes of it afterwards.
        text: bytes of policy.json.
        graph: bytes of policy.onnx; 0 where it was not traced.
    """

    name: str
    decisions: int
    tasks: int
    entries: int
    fresh: int
    state: int
    text: int
    graph: int


def _bytes(state: Any) -> int:
    return sum(leaf.nbytes for leaf in leaves(state).values())


def size_of(name: str, learner: Any, scenario: Scenario, *, decisions: int, is_traced: bool) -> Size:
    """Let a learner decide and learn, and weigh what it knows.

    Args:
        name: of the learner.
        learner: its parameters.
        scenario: where it learns.
        decisions: how many.
        is_traced: whether its graph is made and weighed too.
    """
    policy = under_mission(scenario, learner)
    state = played(scenario, policy, decisions)
    frozen = freeze_policy(scenario, policy, state=state)
    return Size(
        name=name,
        decisions=decisions,
        tasks=len(scenario.population.names),
        entries=frozen.spec.d,
        fresh=_bytes(policy.learner.init(policy.params.inner)),
        state=_bytes(frozen.state),
        text=len(frozen.text),
        graph=len(trace(frozen)) if is_traced else 0,
    )


def _mb(count: float) -> str:
    return f"{count / 1e6:.3f} MB"


def claims(sizes: Sequence[Size], long: Size, wide: Sequence[Size]) -> list[Claim]:
    """The threshold after 10^5 decisions, for one learner measured, for all by the law that sizes stand still.

    Args:
        sizes: of every learner, on a world of one task type with the house's twelve features.
        long: of one learner after 10^5 decisions.
        wide: of every learner with more features, reported; may be empty.
    """
    largest = max(sizes, key=lambda one: one.state / one.tasks)
    text = max(sizes, key=lambda one: one.text / one.tasks)
    graph = max(sizes, key=lambda one: one.graph / one.tasks)
    grown = [one.name for one in (*sizes, long) if one.fresh != one.state]
    enough = long.decisions >= DECISIONS
    widest = max(wide, key=lambda one: one.state / one.tasks, default=None)
    holds = max(largest.state / largest.tasks, long.state / long.tasks) < MAX_MB * 1e6 and not grown
    return [
        Claim(
            f"Learned state per task type after {long.decisions:,} decisions ({long.name})",
            f"{_mb(long.state / long.tasks)} (before the first: {_mb(long.fresh / long.tasks)}), policy.json "
            f"{_mb(long.text / long.tasks)}",
            f"< {MAX_MB:g} MB after {DECISIONS:,} decisions",
            f"{long.tasks} task type{'s' * (long.tasks > 1)}, exact",
            holds if enough else None if holds else False,
        ),
        Claim(
            f"Learned state per task type, the largest of {len(sizes)} learners, whatever the number of decisions",
            f"{_mb(largest.state / largest.tasks)} ({largest.name})"
            + (f"; grown: {', '.join(grown)}" if grown else ""),
            f"< {MAX_MB:g} MB, as large as before the first decision",
            f"{largest.decisions:,} decisions each, exact",
            holds,
        ),
        *([] if widest is None else [_wide_claim(widest)]),
        Claim(
            "Files per task type, the largest of all learners",
            f"policy.json {_mb(text.text / text.tasks)} ({text.name}), "
            f"policy.onnx {_mb(graph.graph / graph.tasks)} ({graph.name})",
            "reported",
            "exact",
            None,
        ),
    ]


def _wide_claim(one: Size) -> Claim:
    text = f"The same with {one.entries} features"
    return Claim(text, f"{_mb(one.state / one.tasks)} ({one.name})", "reported", "exact", None)


def measurements(sizes: Sequence[Size], section: str) -> Iterator[Measurement]:
    """Bytes by learner."""
    for one in sizes:
        values: Mapping[str, int] = {"state_bytes": one.state, "policy_bytes": one.text, "graph_bytes": one.graph}
        for measure, value in values.items():
            yield Measurement(
                section=section, measure=measure, policy=one.name, n=one.entries, t=one.decisions, value=float(value)
            )
