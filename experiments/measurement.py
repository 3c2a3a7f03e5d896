"""One measurement of a run: what was measured, where it belongs, how far to trust it.

`checked` is the border every number of `results.parquet` passes: after it, a measurement has a
known section, a complete key and finite numbers, or it was refused with its name in the message.
"""

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

SECTIONS = ("world", "simulation", "convergence", "ope", "gate", "propensity", "speed", "bundle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One number a run produced, its place in the results, and how far to trust it.

    Texts that do not apply are "", integers None. `stderr`, `lo` and `hi` are None when they were
    not measured: a NaN is refused, since it could mean either.
    """

    section: str  # one of SECTIONS
    measure: str  # snake_case, such as `coverage`
    world: str = ""
    policy: str = ""  # policy, target policy or candidate
    rule: str = ""  # approval rule
    task: str = ""
    estimator: str = ""
    n: int | None = None  # rows of the log, "by n evaluations", or the cell of a table
    t: int | None = None  # evaluation, from 1
    value: float
    stderr: float | None = None
    lo: float | None = None
    hi: float | None = None


COLUMNS = tuple(field.name for field in fields(Measurement))
KEY_COLUMNS, NUMBER_COLUMNS = COLUMNS[:9], COLUMNS[9:]
TEXT_COLUMNS, INTEGER_COLUMNS = KEY_COLUMNS[:7], KEY_COLUMNS[7:]


def checked(row: Measurement) -> Measurement:
    """The same measurement in plain Python numbers.

    Raises:
        ValueError: unknown section, measure not in snake_case, a number not finite, stderr < 0,
            lo > hi, or an integer < 0.
        TypeError: a text is no text, a number no number, an integer no integer.

    >>> checked(Measurement(section="ope", measure="bias", value=1)).value
    1.0
    """
    for name in TEXT_COLUMNS:
        if not isinstance(getattr(row, name), str):
            raise TypeError(f"{describe(row)}: {name} is {getattr(row, name)!r}, need a text")
    if row.section not in SECTIONS:
        raise ValueError(f"{describe(row)}: {unknown('section', row.section, SECTIONS)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", row.measure):
        raise ValueError(f"{describe(row)}: measure {row.measure!r}, need snake_case")
    numbers: dict[str, Any] = {name: _number(row, name) for name in NUMBER_COLUMNS}
    stderr, lo, hi = (numbers[name] for name in ("stderr", "lo", "hi"))
    if stderr is not None and stderr < 0:
        raise ValueError(f"{describe(row)}: stderr = {stderr!r}, need >= 0")
    if lo is not None and hi is not None and lo > hi:
        raise ValueError(f"{describe(row)}: interval [{lo!r}, {hi!r}], need lo <= hi")
    integers: dict[str, Any] = {name: _integer(row, name) for name in INTEGER_COLUMNS}
    return replace(row, **integers, **numbers)


def describe(row: Measurement) -> str:
    """A measurement's key for a message, without the parts that do not apply."""
    rest = [f"{n}={getattr(row, n)}" for n in KEY_COLUMNS[2:] if getattr(row, n) not in ("", None)]
    return f"{row.section}/{row.measure}" + (f" ({', '.join(rest)})" if rest else "")


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """A message's words for a name that is not among the known ones, with the nearest that is.

    >>> unknown("column", "stder", ("value", "stderr"))
    "unknown column 'stder'; did you mean 'stderr'?"
    """
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"unknown {kind} {name!r}; {hint}"


def _number(row: Measurement, name: str) -> float | None:
    raw = getattr(row, name)
    if raw is None and name != "value":
        return None
    try:
        number = float(raw)
    except (TypeError, ValueError):
        raise TypeError(f"{describe(row)}: {name} is {raw!r}, need a number") from None
    if not math.isfinite(number):
        hint = "leave the row out" if name == "value" else "None says: not measured"
        raise ValueError(f"{describe(row)}: {name} = {number!r}, need a finite number ({hint})")
    return number


def _integer(row: Measurement, name: str) -> int | None:
    raw = getattr(row, name)
    if raw is None:
        return None
    if isinstance(raw, bool) or not hasattr(raw, "__index__"):
        raise TypeError(f"{describe(row)}: {name} is {raw!r}, need an integer or None")
    if int(raw) < 0:
        raise ValueError(f"{describe(row)}: {name} = {raw!r}, need >= 0")
    return int(raw)
