"""A small logged bandit whose truth is a sum, and its log in every format that others write."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LABELS = ("ash", "elm", "fir", "oak")
CONTEXTS = np.array([[-1.0, 0.5], [0.0, -1.0], [1.0, 0.0], [0.5, 1.5]])
_LOGITS = CONTEXTS @ np.array([[0.6, -0.4, 0.2, 0.1], [0.1, 0.5, -0.3, -0.2]])
MEAN = 1 / (1 + np.exp(-1.5 * _LOGITS - np.array([-0.5, 0.0, 0.3, 0.6])))  # (contexts, actions)
BEHAVIOR = 0.1 + 0.6 * np.exp(_LOGITS) / np.exp(_LOGITS).sum(axis=1, keepdims=True)
TARGET = np.exp(2 * _LOGITS) / np.exp(2 * _LOGITS).sum(axis=1, keepdims=True)
TRUTH, LOGGER = (float((table * MEAN).sum(axis=1).mean()) for table in (TARGET, BEHAVIOR))


class Drawn(NamedTuple):
    """n rows of the log."""

    context: NDArray[np.int64]
    slot: NDArray[np.int64]
    reward: Floats

    @property
    def behavior(self) -> Floats:
        """(n, k) the logger's distribution."""
        return np.asarray(BEHAVIOR[self.context])

    @property
    def target(self) -> Floats:
        """(n, k) the target's."""
        return np.asarray(TARGET[self.context])


def draw(n: int, seed: int = 0) -> Drawn:
    """A log of independent rows."""
    rng = np.random.default_rng(seed)
    context = rng.integers(len(CONTEXTS), size=n)
    slot = np.minimum((BEHAVIOR.cumsum(axis=1)[context] < rng.random(n)[:, None]).sum(axis=1), 3)
    return Drawn(context, slot, (rng.random(n) < MEAN[context, slot]).astype(np.float64))


def columns(drawn: Drawn) -> dict[str, list[Any]]:
    """The log as a table's columns, distributions spread over columns and as lists."""
    at = np.arange(drawn.slot.size)
    found: dict[str, list[Any]] = {
        "id": [f"row-{i}" for i in at],
        "reward": drawn.reward.tolist(),
        "propensity": drawn.behavior[at, drawn.slot].tolist(),
        "action": [LABELS[s] for s in drawn.slot],
        "user": [f"u{i % 7}" for i in at],
        "x0": CONTEXTS[drawn.context, 0].tolist(),
        "x1": CONTEXTS[drawn.context, 1].tolist(),
        "city": [f"city {c}" for c in drawn.context],
        "target_logged": drawn.target[at, drawn.slot].tolist(),
        "target_list": drawn.target.tolist(),
        "behavior_list": drawn.behavior.tolist(),
    }
    found |= {f"b_{name}": drawn.behavior[:, j].tolist() for j, name in enumerate(LABELS)}
    return found | {f"t_{name}": drawn.target[:, j].tolist() for j, name in enumerate(LABELS)}


def write_table(file: Path, table: dict[str, list[Any]]) -> Path:
    """CSV, CSV.GZ or Parquet by the file's name; lists become texts in a CSV."""
    if file.suffix == ".parquet":
        pq.write_table(pa.table(table), file)
        return file
    with (gzip.open if file.suffix == ".gz" else open)(file, "wt", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    return file


def line(drawn: Drawn, i: int, **more: Any) -> dict[str, Any]:
    """One decision in VW's decision service form: the action taken stands first in `a`."""
    order = np.roll(np.arange(4), -int(drawn.slot[i]))
    cost, prob = -drawn.reward[i], drawn.behavior[i, drawn.slot[i]]
    return {
        "_label_cost": cost, "_label_probability": prob, "_label_Action": int(drawn.slot[i]) + 1,
        "_labelIndex": int(drawn.slot[i]), "o": [{"v": -cost, "EventId": f"e{i}"}], "Timestamp": "2026-01-01T00:00:00Z",
        "EventId": f"e{i}", "a": (order + 1).tolist(),
        "c": {"user": {"x": 1.5}, "_multi": [{"b": {"n": j}} for j in range(4)]},
        "p": drawn.behavior[i, order].tolist(), "VWState": {"m": "m/1"}, "target": drawn.target[i, order].tolist(),
    } | more  # fmt: skip


def write_lines(file: Path, lines: list[Any]) -> Path:
    """Lines of JSON; what is text already is written as it is."""
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
    data = text.encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return file


def open_bandit_columns(drawn: Drawn) -> dict[str, list[Any]]:
    """The same log as items shown at three positions."""
    n = drawn.slot.size
    return {
        "": list(range(n)), "timestamp": ["2019-11-24 00:00:00"] * n, "item_id": drawn.slot.tolist(),
        "position": [i % 3 + 1 for i in range(n)], "click": drawn.reward.astype(int).tolist(),
        "propensity_score": drawn.behavior[np.arange(n), drawn.slot].tolist(),
        "user_feature_0": [f"hash{c}" for c in drawn.context], "user-item_affinity_0": [0.0] * n,
    }  # fmt: skip
