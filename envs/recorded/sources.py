"""A file of recorded outcomes, which column of it holds what, and which of its rows can be used."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np

from envs.lattice import AXES
from envs.recorded.bad_rows import Rule, sift
from envs.recorded.tables import Table, codes_of, file_digest, read_table, rows_where, take
from envs.targets import refuse

__all__ = ["PARTS", "Columns", "Source", "kept_rows", "listed"]

Names = str | tuple[str, ...]
PARTS = ("quality", "output_tokens", "latency_ms", "cost_usd", "failure", "truncated")  # of an Outcome, in order
_SHARES = ("quality", "failure", "truncated")
_LIMITS = {"temperature": ("0", "100"), "max_tokens": ("1", "1000000000"), "top_p": ("0", "1")}
_LIMITS |= {"frequency_penalty": ("-2", "2"), "presence_penalty": ("-2", "2")}


@dataclass(frozen=True)
class Columns:
    """Which column holds what; null where the table does not have it.

    Attributes:
        problem: identity of a problem, one column or several; standard errors are clustered by it.
        temperature: grid value of the answer's temperature; likewise the other parameters.
        quality: 0..1.
        task_type: columns that together name a task type; left out, the model.
        output_tokens: length of the answer, in any unit (see `token_unit`).
        input_tokens: length of the request, an entry of the context.
        failure: whether the call failed.
        id: of the row; an answer whose id stands twice is a bad row.
        propensity: probability with which the row's action was chosen; only looked at, see `envs.recorded.coverage`.
    """

    problem: Names
    temperature: str
    quality: str
    task_type: Names | None = None
    model: str | None = None
    max_tokens: str | None = None
    top_p: str | None = None
    frequency_penalty: str | None = None
    presence_penalty: str | None = None
    input_tokens: str | None = None
    output_tokens: str | None = None
    latency_ms: str | None = None
    cost_usd: str | None = None
    failure: str | None = None
    truncated: str | None = None
    id: str | None = None
    propensity: str | None = None


@dataclass(frozen=True)
class Source:
    """A file and how to read it; the fields mean what they mean in a replay world's settings."""

    path: str
    columns: Columns
    where: Mapping[str, Names] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)  # the one value of an axis without a column
    interpolate: Mapping[str, str] = field(default_factory=dict)
    token_unit: float = 1.0
    groups: int = 0
    split_seed: int = 0
    fill_gaps: bool = False
    model_is: Literal["context", "action", "auto"] = "context"
    skip_bad: bool = False
    max_bad_share: float = 0.05


def listed(names: Names | None) -> tuple[str, ...]:
    """One name, several or none, as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names or ())


def _wanted(source: Source) -> dict[str, str]:
    """Setting -> column, for every column that is read."""
    wanted = {f"world.where.{name}": name for name in source.where}
    for item in fields(Columns):
        found = listed(getattr(source.columns, item.name))
        for i, name in enumerate(found):
            wanted[f"world.columns.{item.name}" + (f"[{i}]" if len(found) > 1 else "")] = name
    return wanted


def _rules(source: Source) -> dict[str, Rule]:
    """Setting -> what its column's cells must be."""
    rules = {}
    for setting, column in _wanted(source).items():
        name = setting.removeprefix("world.columns.").split("[")[0]
        if name in AXES:
            low, high = _LIMITS[name]
            rules[setting] = Rule(column, "whole" if name == "max_tokens" else "decimal", low, high)
        elif name in PARTS or name in ("input_tokens", "propensity"):
            high = "1" if name in (*_SHARES, "propensity") else "1e12"
            rules[setting] = Rule(column, "number", high=high, may_be_empty=name == "input_tokens")
        elif not setting.startswith("world.where."):
            rules[setting] = Rule(column, "id" if name == "id" else "text")
    return rules


def _without_model(table: Table, source: Source) -> tuple[Source, tuple[str, ...]]:
    """A model column that is empty everywhere says that there is only one model: it is left aside."""
    name = source.columns.model
    if name is None:
        return source, ()
    labels, codes = table.columns[name]
    if any(labels[code].strip() for code in np.unique(codes)):
        return source, ()
    note = f"Column {name!r} is empty in every row: one model, whose name was not recorded."
    return replace(source, columns=replace(source.columns, model=None)), (note,)


def _role_of_model(table: Table, source: Source) -> tuple[Source, tuple[str, ...]]:
    """What recorded models are, where the record is to decide: actions if one task type was answered by several."""
    if source.model_is != "auto":
        return source, ()
    kinds, name = listed(source.columns.task_type), source.columns.model
    n_kinds = len(codes_of(table, kinds)[0]) if kinds else 1
    if name is None or len(codes_of(table, (*kinds, name))[0]) == n_kinds:
        return replace(source, model_is="context"), ()
    note = f"Several models of column {name!r} answered one task type, so the model is an action (world.model_is)."
    return replace(source, model_is="action"), (note,)


def _repeats(table: Table, source: Source) -> tuple[str, ...]:
    """How many rows repeat another one; without an identity nobody can tell a repeat from a replicate."""
    if source.columns.id is not None:
        return ()
    key = np.zeros(len(table.rows), np.int64)
    for column in table.columns.values():
        key = np.unique(key * len(column.labels) + column.codes, return_inverse=True)[1].reshape(-1)
    again = len(key) - len(np.unique(key))
    what = "equal an earlier row in every column that is read, and count as further answers"
    mend = "if the table was written twice, name its identities (world.columns.id)"
    return (f"{again} of {len(key)} rows {what}; {mend}.",) if again else ()


def kept_rows(source: Source) -> tuple[Table, Source, tuple[str, ...]]:
    """The rows that `where` asks for and that can be used, and what to say about the others.

    Returns:
        The rows, the source without columns that say nothing, and remarks.

    Raises:
        ConfigError: as `read_table`, `rows_where` and `sift`; values of `where` that no row has together.
    """
    path = Path(source.path).expanduser()
    table = read_table(path, _wanted(source))
    total = len(table.rows)
    for column, values in source.where.items():
        table = take(table, rows_where(table, column, listed(values)))
    if not len(table.rows):
        raise refuse("world.where", dict(source.where), f"values that some row of {path.name} has together")
    kept = f", {len(table.rows)} of them after world.where" if source.where else ""
    several = f"{len(table.files)} files, " if table.files else ""
    note = f"{path.name} ({several}sha256 {file_digest(path)}...): {total} rows{kept}."
    source, one_model = _without_model(table, source)
    table, bad = sift(table, _rules(source), skip=source.skip_bad, max_share=source.max_bad_share)
    source, role = _role_of_model(table, source)
    return table, source, (note, *bad, *one_model, *role, *_repeats(table, source))
