"""Figures of a run for print: pure functions from the results table to a Matplotlib figure.

The same table gives the same bytes, SVG and PNG alike, so a figure in git changes only when its
numbers do. No pyplot: a figure belongs to its caller, not to a hidden registry.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.palette import INK, policy_colours
from experiments.tables import deployed_with_limits, every_rule, has, one_world, select, thin

STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "grid.color": "#e3e6ea",
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "guardband",  # ids in the file no longer depend on the process
    "svg.fonttype": "path",
}
PIXELS_PER_INCH = 144
POINTS = 80  # of a curve
PANEL_INCHES = 2.1
LABEL_INCHES = 0.17  # between the names of two curves


class SavedFigure(NamedTuple):
    """Where a figure lies."""

    svg: Path
    png: Path


def convergence_figure(table: pd.DataFrame, *, rule: str = "") -> Figure:
    """What learning cost and where it led, under one approval rule.

    Left: mean cumulative regret with its 95 % band. Right, a panel per task type: value of the
    deployed parameters between the start's and the oracle's, and the share of seeds converged by
    the last evaluation a claim names.

    Args:
        table: the results of one world.
        rule: approval rule to show; "" takes the first in the table.

    Raises:
        ValueError: simulation/regret, simulation/deployed or simulation/oracle was not measured, or
            in several worlds; or the rule was not run.
    """
    regret = every_rule(thin(one_world(select(table, "simulation", "regret")), POINTS))
    rule = _known_rule(regret, rule)
    deployed = every_rule(thin(deployed_with_limits(table), POINTS))
    regret, deployed = regret[regret["rule"] == rule], deployed[deployed["rule"] == rule]
    tasks = list(dict.fromkeys(deployed["task"]))
    colours = policy_colours(regret["policy"])
    height = max(4.2, PANEL_INCHES * len(tasks))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, height), layout="constrained")
        panels = figure.subplot_mosaic([["regret", task] for task in range(len(tasks))])
        _draw_regret(panels["regret"], regret, colours, inches=height)
        for i, task in enumerate(tasks):
            rows = deployed[deployed["task"] == task]
            shares = _shares(table, rule=rule, task=task)
            _draw_deployed(panels[i], rows, colours, shares=shares, inches=height / len(tasks))
        panels[0].set_title("Where it led (% of seeds converged)")
        panels[len(tasks) - 1].set_xlabel("evaluation")
        words = f"world {regret['world'].iloc[0]}, approval rule {rule}; bands: 95 % intervals of the mean"
        figure.suptitle(words, x=0.006, horizontalalignment="left", fontsize=9, color=INK)
    return figure


def save_figure(figure: Figure, folder: Path, name: str) -> SavedFigure:
    """Write `<name>.svg` and `<name>.png` into the folder (made if missing), without a date.

    Returns:
        The two paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved = SavedFigure(folder / f"{name}.svg", folder / f"{name}.png")
    with mpl.rc_context(STYLE):
        figure.savefig(saved.svg, metadata={"Date": None, "Creator": None})
        figure.savefig(saved.png, metadata={"Software": None}, dpi=PIXELS_PER_INCH)
    return saved


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights moved as little as an upward, then a downward pass needs to be `gap` apart.

    Args:
        heights: (k,) wanted, as shares of the axes' height.
        gap: least distance; k of them should fit into 1.

    Returns:
        (k,) heights at most 1 in the order given.

    >>> spread([0.5, 0.52, 0.1], gap=0.1)
    [0.5, 0.6, 0.1]
    """
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    moved = list(heights)
    for below, above in pairwise(order):
        moved[above] = max(moved[above], moved[below] + gap)
    ceiling = 1.0
    for i in reversed(order):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - gap
    return moved


def _draw_regret(axes: Axes, rows: pd.DataFrame, colours: Mapping[str, str], *, inches: float) -> None:
    ends = _draw_curves(axes, rows, colours)
    axes.set(title="What learning cost", xlabel="evaluation")
    axes.set_ylabel("mean cumulative regret (reward units)")
    axes.set_ylim(bottom=0)
    _label_ends(axes, ends, {policy: policy for policy in ends}, colours, gap=LABEL_INCHES / inches)


def _draw_deployed(
    axes: Axes,
    rows: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    shares: Mapping[str, float],
    inches: float,
) -> None:
    ends = _draw_curves(axes, rows, colours)
    for name, dashes, shift in (("oracle", (6, 3), 3), ("start", (2, 2), -10)):
        level = rows[name].iloc[0]
        axes.axhline(level, color=INK, linewidth=1, dashes=dashes, zorder=1.5)
        at, offset = (0.0, level), (4, shift)
        coords = axes.get_yaxis_transform()
        axes.annotate(name, at, offset, coords, textcoords="offset points", color=INK, fontsize=8)
    axes.margins(y=0.16)
    axes.set_ylabel(f"{rows['task'].iloc[0]}\nexpected reward")
    words = {policy: policy for policy in ends}
    words |= {policy: f"{policy} {share:.0%}" for policy, share in shares.items()}
    _label_ends(axes, ends, words, colours, gap=LABEL_INCHES / inches)


def _draw_curves(axes: Axes, rows: pd.DataFrame, colours: Mapping[str, str]) -> dict[str, float]:
    """Line and band per policy; returns each policy's last value."""
    ends = {}
    for policy, colour in colours.items():
        curve = rows[rows["policy"] == policy].sort_values("t")
        t, value = curve["t"].to_numpy(dtype=float), curve["value"].to_numpy()
        axes.plot(t, value, color=colour, linewidth=1.8)
        axes.fill_between(t, curve["lo"], curve["hi"], color=colour, alpha=0.18, linewidth=0)
        ends[policy] = float(value[-1])
    axes.set_xlim(rows["t"].min(), rows["t"].max())
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 2.5, 5, 10]))
    return ends


def _label_ends(
    axes: Axes,
    ends: Mapping[str, float],
    words: Mapping[str, str],
    colours: Mapping[str, str],
    *,
    gap: float,
) -> None:
    """Name the curves at their right ends, apart from each other."""
    lo, hi = axes.get_ylim()
    heights = [(end - lo) / (hi - lo) for end in ends.values()]
    for policy, height in zip(ends, spread(heights, gap), strict=True):
        axes.annotate(
            words[policy],
            (1.0, height),
            (5, 0),
            "axes fraction",
            textcoords="offset points",
            color=colours[policy],
            verticalalignment="center",
            annotation_clip=False,
        )


def _known_rule(rows: pd.DataFrame, rule: str) -> str:
    rules = list(dict.fromkeys(rows["rule"]))
    if rule and rule not in rules:
        raise ValueError(f"approval rule {rule!r} was not run; got {rules}")
    return rule or rules[0]


def _shares(table: pd.DataFrame, *, rule: str, task: str) -> dict[str, float]:
    """Share of seeds converged by the last evaluation a claim names, by policy, if measured."""
    if not has(table, "convergence", "reached"):
        return {}
    rows = every_rule(select(table, "convergence", "reached"))
    rows = rows[(rows["rule"] == rule) & (rows["task"] == task) & (rows["n"] == rows["n"].max())]
    return dict(zip(rows["policy"], rows["value"], strict=True))
