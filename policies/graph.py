"""A frozen policy as an ONNX graph, traced from the very functions that serve it, and a runner for it.

`policies.decide.weigh` and `policies.masses.draw_slot` are traced as they stand, in float64. What the
policy has learned, its windows (trust region and hard limits, a table over task types), its posterior
draws and its units are constants; the uniform is an input. Equal policies give equal bytes. Default
operators only, no functions, no external data. Engines sum in another order than NumPy, so a vector
may differ in its last bits; masses are made so that they seldom notice (`policies.masses`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policies.base import Decision, Window
from policies.decide import weigh
from policies.frozen import FrozenPolicy
from policies.graph_folding import folded
from policies.masses import draw_slot

__all__ = ["MISSING", "Asked", "Served", "runner", "trace"]

MISSING = "the packages for ONNX graphs are missing: pip install 'guardband[export]'"


class Asked(NamedTuple):
    """The inputs of a graph: (d,) context, () task type's place, () uniform in [0, 2^20), (2,) prices."""

    context: NDArray[np.float64]
    task: int
    uniform: int
    prices: tuple[float, float] = (1.0, 1.0)


class Served(NamedTuple):
    """Its outputs: the window's (k,) action ids, feasible and masses, the () slot drawn and its action id."""

    action_ids: NDArray[np.int32]
    feasible: NDArray[np.bool_]
    masses: NDArray[np.int32]
    slot: int
    action_id: int


def trace(policy: FrozenPolicy) -> bytes:
    """The graph of a policy: inputs as `Asked`, outputs as `Served`, each under its name there.

    Args:
        policy: any learner, floored or softened, on any lattice.

    Returns:
        A serialised `onnx.ModelProto`; float64 throughout, ids and masses int32.

    Raises:
        ModuleNotFoundError: the export extra is not installed.
    """
    try:
        import ndonnx as nd  # optional: part of the export extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    spec = policy.spec
    inputs: dict[str, Any] = {
        "context": nd.argument(shape=(spec.d,), dtype=nd.float64),
        "task": nd.argument(shape=(), dtype=nd.int32),
        "uniform": nd.argument(shape=(), dtype=nd.int32),
        "prices": nd.argument(shape=(2,), dtype=nd.float64),
    }
    served = _served(policy, Asked(**inputs), nd)
    raw: bytes = folded(nd.build(inputs, served._asdict())).SerializeToString(deterministic=True)
    return raw


def _served(policy: FrozenPolicy, asked: Asked, nd: Any) -> Served:
    """The decision as simulation makes it, in arrays of ndonnx."""
    spec = policy.spec
    place = nd.reshape(asked.task, (1,)).astype(nd.int64)  # ONNX gathers by int64

    def here(rows: list[NDArray[Any]]) -> Any:
        """The row of this request's task type."""
        return nd.take(nd.asarray(np.stack(rows)), place, axis=0)[0, ...]

    ids = here([np.asarray(held.action_ids, np.int64) for held in policy.windows])
    feasible, reason = (here([held[i] for held in policy.windows]) for i in (1, 2))
    held = Window(ids, feasible, reason, nd.asarray(np.int32(spec.centre)))
    known = here(list(policy.seen)), nd.asarray(np.float64(policy.reward_span)), asked.prices
    state = policy.state and type(policy.state)(*(nd.asarray(np.asarray(leaf)) for leaf in policy.state))
    decision = Decision(asked.context, asked.task, *known, held)
    masses = weigh(policy.learner, policy.numbers, state, decision)
    slot, narrow = draw_slot(masses, asked.uniform), ids.astype(nd.int32)
    chosen = nd.take(narrow, nd.reshape(slot, (1,)).astype(nd.int64))[0]
    return Served(narrow, feasible, masses, slot, chosen)


def runner(raw: bytes) -> Callable[[Asked], Served]:
    """What answers requests from a graph, by onnxruntime on one thread.

    Args:
        raw: as `trace` gave it.

    Raises:
        ModuleNotFoundError: the export extra is not installed.
        ValueError: not a graph that onnxruntime loads, or other inputs or outputs than `trace` gives.
    """
    try:
        import onnxruntime  # optional: part of the export extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # a graph that can't be loaded is told by the exception alone
    try:
        session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each code, and no base but this one
        raise ValueError(" ".join(f"policy.onnx does not load: {error}".split())) from None
    names = tuple(i.name for i in session.get_inputs()), tuple(o.name for o in session.get_outputs())
    if names != (Asked._fields, Served._fields):
        raise ValueError(f"policy.onnx has the inputs and outputs {names}, need {(Asked._fields, Served._fields)}")

    def answer(asked: Asked) -> Served:
        kinds = np.float64, np.int32, np.int32, np.float64
        given = {n: np.asarray(v, kind) for n, v, kind in zip(Asked._fields, asked, kinds, strict=True)}
        ids, feasible, masses, slot, action_id = session.run(Served._fields, given)
        return Served(ids, feasible, masses, int(slot), int(action_id))

    return answer
