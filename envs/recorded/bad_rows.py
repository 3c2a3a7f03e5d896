"""Bad rows of a table: each found with its reason, then refused by name or left out and counted.

A row is counted once, under the first reason found, so the counts add up. Leaving rows out
is a choice that changes the truth (calls that failed to be scored are rarely a random
sample), hence the limit on their share and the counts in the notes.
"""

import math
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.recorded.tables import Table, number_of, take
from envs.targets import refuse

__all__ = ["Rule", "decimal_of", "sift"]

EMPTY, UNREADABLE, OUTSIDE, REPEATED = "an empty cell", "no finite number", "a number out of range", "a repeated id"
REASONS = ("", EMPTY, UNREADABLE, OUTSIDE, REPEATED)


class Rule(NamedTuple):
    """What a cell of a column must be.

    Attributes:
        column: its name.
        kind: `text`: anything. `number`: also true or false. `decimal`: a grid value, kept exactly.
            `whole`: a decimal without a fraction. `id`: a text that no other row has.
        low: least number allowed.
        high: largest number allowed.
        may_be_empty: whether an empty cell is an answer.
    """

    column: str
    kind: Literal["text", "number", "decimal", "whole", "id"] = "text"
    low: str = "0"
    high: str = "inf"
    may_be_empty: bool = False

    @property
    def need(self) -> str:
        """The rule in words."""
        if self.kind in ("text", "id"):
            return "a value" if self.kind == "text" else "a value that no other row has"
        word = {"number": "a number", "decimal": "a decimal number", "whole": "a whole number"}[self.kind]
        top = f" and <= {self.high}" if math.isfinite(float(self.high)) else ""
        return f"{word} >= {self.low}{top}"


class _Fault(NamedTuple):
    """Cells of one column that break its rule for one reason."""

    setting: str
    rule: Rule
    reason: str
    rows: NDArray[np.bool_]


def decimal_of(label: str) -> Decimal | None:
    """The finite decimal number a cell holds, exactly as written; None if none.

    >>> decimal_of(" 0.70"), decimal_of("1_0"), decimal_of("inf")
    (Decimal('0.70'), None, None)
    """
    try:
        number = Decimal(label.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and "_" not in label else None


def _reason(label: str, rule: Rule) -> str:
    """Why a cell breaks its rule; an empty string if it does not."""
    if not label.strip():
        return "" if rule.may_be_empty else EMPTY
    if rule.kind in ("text", "id"):
        return ""
    if rule.kind == "number":
        value = number_of(label)
        fits = float(rule.low) <= value <= float(rule.high)
        return "" if fits and math.isfinite(value) else OUTSIDE if math.isfinite(value) else UNREADABLE
    exact = decimal_of(label)
    if exact is None:
        return UNREADABLE
    fits = Decimal(rule.low) <= exact <= Decimal(rule.high)
    return "" if fits and (rule.kind == "decimal" or exact == int(exact)) else OUTSIDE


def _faults(table: Table, rules: Mapping[str, Rule]) -> list[_Fault]:
    """All faults, in the order of the rules; ids that stand twice last, among rows without another fault."""
    found = []
    for setting, rule in rules.items():
        labels, codes = table.columns[rule.column]
        why = np.array([REASONS.index(_reason(label, rule)) for label in labels])[codes]
        found += [_Fault(setting, rule, REASONS[i], why == i) for i in np.unique(why[why > 0])]
    bad = np.any([fault.rows for fault in found], axis=0) if found else np.zeros(len(table.rows), np.bool_)
    for setting, rule in rules.items():
        if rule.kind == "id":
            good = np.flatnonzero(~bad)
            _, first = np.unique(table.columns[rule.column].codes[good], return_index=True)
            again = ~bad
            again[good[first]] = False
            found += [_Fault(setting, rule, REPEATED, again)] if again.any() else []
    return found


def _cell(table: Table, fault: _Fault) -> tuple[str, str]:
    """The first bad cell, and where it stands."""
    at = int(np.argmax(fault.rows))
    column = table.columns[fault.rule.column]
    place = f"(column {fault.rule.column!r}, {table.spot(at)}, {int(fault.rows.sum())} such rows)"
    return column.labels[column.codes[at]], place


def _counted(faults: list[_Fault]) -> tuple[NDArray[np.bool_], str]:
    """(r,) rows with any fault, and how many have which, each row under its first."""
    bad, words = np.zeros_like(faults[0].rows), Counter[str]()
    for fault in faults:
        words[f"{fault.reason} in {fault.rule.column!r}"] += int(np.sum(fault.rows & ~bad))
        bad |= fault.rows
    return bad, ", ".join(f"{count} with {what}" for what, count in words.items() if count)


def sift(table: Table, rules: Mapping[str, Rule], *, skip: bool, max_share: float) -> tuple[Table, tuple[str, ...]]:
    """The rows that keep every rule, and what to say of the others.

    Args:
        table: the rows.
        rules: setting -> rule of its column; settings stand in refusals.
        skip: leave bad rows out and count them; else the first one is refused.
        max_share: of all rows, that may be left out.

    Raises:
        ConfigError: a bad row (its setting, cell and place are named), more of them than
            `max_share`, or no row left.
    """
    faults = _faults(table, rules)
    if not faults:
        return table, ()
    bad, counts = _counted(faults)
    cell, place = _cell(table, faults[0])
    if not skip:
        mend = f"{int(bad.sum())} of {len(bad)} rows are bad; mend them, or set world.skip_bad=true to leave them out"
        raise refuse(faults[0].setting, cell, f"{faults[0].rule.need} in every row {place}; {mend}")
    share = float(bad.mean())
    said = f"{int(bad.sum())} of {len(bad)} rows ({100 * share:.3g} %) are bad: {counts}"
    if bad.all():
        need = f"rows that are not bad. {said}; a column that was never filled is set to null"
        raise refuse(faults[0].setting, cell, need)
    if share > max_share:
        need = f"{math.ceil(share * 1e4) / 1e4:g} or more: {said}, the first is {cell!r} {place}; mend the table"
        raise refuse("world.max_bad_share", max_share, f"{need}, or raise it")
    return take(table, ~bad), (f"{said}. They were left out (world.skip_bad).",)
