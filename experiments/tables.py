"""From the table of all measurements to the small tables that charts and figures draw.

Everything here is a pure function of the frame `load_results` returns: what a chart shows can be
printed and tested without drawing it.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

MILESTONES = (1, 50, 100, 200)  # evaluations every thinned curve keeps, as claims name them


def has(table: pd.DataFrame, section: str, measure: str) -> bool:
    """Whether the run measured it."""
    return bool(((table["section"] == section) & (table["measure"] == measure)).any())


def select(table: pd.DataFrame, section: str, measure: str) -> pd.DataFrame:
    """Rows of one measure, numbered from 0.

    Raises:
        ValueError: it was not measured, or in several worlds (which no chart mixes).
    """
    rows = table[(table["section"] == section) & (table["measure"] == measure)]
    if rows.empty:
        found = sorted(set(table.loc[table["section"] == section, "measure"]))
        raise ValueError(f"no rows of {section}/{measure}; measured in {section!r}: {found}")
    return rows.reset_index(drop=True)


def one_world(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows, once it is sure that they come from one world.

    Raises:
        ValueError: they come from several.
    """
    worlds = sorted(set(rows["world"]))
    if len(worlds) > 1:
        raise ValueError(f"rows of the worlds {worlds}, need one; filter the table by `world` first")
    return rows


def every_rule(rows: pd.DataFrame) -> pd.DataFrame:
    """Policies without an approval rule repeated under each rule: panels by rule compare all.

    Returns:
        The rows, with rule "none" where the whole table has no rule.
    """
    rules = [rule for rule in dict.fromkeys(rows["rule"]) if rule]
    bare, ruled = rows[rows["rule"] == ""], rows[rows["rule"] != ""]
    copies = [bare.assign(rule=rule) for rule in rules or ["none"]]
    return pd.concat([ruled, *copies], ignore_index=True)


def thin(rows: pd.DataFrame, points: int = 40) -> pd.DataFrame:
    """About `points` evaluations of each curve, first, last and `MILESTONES` among them."""
    t = rows["t"].astype("int64")
    even = np.linspace(t.min(), t.max(), points).round().astype(int)
    return rows[t.isin([*even, *MILESTONES])].reset_index(drop=True)


def deployed_with_limits(table: pd.DataFrame) -> pd.DataFrame:
    """Deployed value by policy, rule, task and t, beside the start's and the oracle's.

    Returns:
        The rows of simulation/deployed with two columns more: `start` and `oracle` (reward units),
        the value of the first parameters and of the best feasible ones for the row's task. Where
        the run has no simulation/start, the start is the mean first deployed value.

    Raises:
        ValueError: deployed or oracle not measured, several worlds, or a task without oracle.
    """
    rows = one_world(select(table, "simulation", "deployed"))
    oracle = _by_task(select(table, "simulation", "oracle"))
    lacking = sorted(set(rows["task"]) - oracle.keys())
    if lacking:
        raise ValueError(f"no simulation/oracle for the tasks {lacking}; found {sorted(oracle)}")
    first = rows[rows["t"] == rows["t"].min()]
    is_measured = has(table, "simulation", "start")
    start = _by_task(select(table, "simulation", "start") if is_measured else first)
    return rows.assign(start=rows["task"].map(start), oracle=rows["task"].map(oracle))


def rounded(rows: pd.DataFrame, columns: Iterable[str], *, digits: int = 5) -> pd.DataFrame:
    """The columns alone, numbers cut to significant digits: what a page carries, and no more."""
    small = rows[list(columns)].copy()
    for name in small.select_dtypes("float").columns:
        small[name] = [float(f"{value:.{digits}g}") for value in small[name]]
    return small


def last_values(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without evaluation, and of each curve the last: the end of the run in numbers.

    Returns:
        The rows, columns in which nothing is written left out.
    """
    keys = ["measure", "world", "policy", "rule", "task", "estimator", "n"]
    last = rows.groupby(keys, dropna=False)["t"].transform("max")
    ends = rows[rows["t"].isna() | (rows["t"] == last)].drop(columns="section")
    written = [name for name in ends.columns if (ends[name].notna() & (ends[name] != "")).any()]
    return ends[written].reset_index(drop=True)


def with_bars(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with their error bars as `lo` and `hi`.

    Returns:
        The rows; where no interval was measured, it is 1.96 standard errors to either side of the
        value, and missing where there is no standard error: no bar rather than a bar of no length.
    """
    reach = 1.96 * rows["stderr"]
    lo, hi = rows["value"] - reach, rows["value"] + reach
    return rows.assign(lo=rows["lo"].fillna(lo), hi=rows["hi"].fillna(hi))


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """What the gate saw: each candidate's gain over the baseline with its lower bound.

    Returns:
        Columns `world`, `policy`, `n`, `candidate` (a name that tells the rows of a world apart),
        `gain` and `bound` (reward units).

    Raises:
        ValueError: gate/difference or gate/lower_bound was not measured, or not for the same keys.
    """
    keys = ["world", "policy", "rule", "task", "estimator", "n"]
    gain, bound = select(table, "gate", "difference"), select(table, "gate", "lower_bound")
    rows = gain[[*keys, "value"]].merge(bound[[*keys, "value"]], on=keys, suffixes=("", "_bound"))
    if not len(rows) == len(gain) == len(bound):
        raise ValueError(
            f"{len(gain)} rows of gate/difference and {len(bound)} of gate/lower_bound share "
            f"{len(rows)} keys ({', '.join(keys)}), need the same keys for both"
        )
    telling = [name for name in keys[2:] if rows[name].nunique(dropna=False) > 1]
    names = [" ".join(map(str, row)) for row in rows[["policy", *telling]].to_numpy()]
    rows = rows.rename(columns={"value": "gain", "value_bound": "bound"}).assign(candidate=names)
    return rows[["world", "policy", "n", "candidate", "gain", "bound"]]


def _by_task(rows: pd.DataFrame) -> dict[str, float]:
    return {str(task): float(value) for task, value in rows.groupby("task")["value"].mean().items()}
