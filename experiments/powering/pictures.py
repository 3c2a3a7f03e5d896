"""Power by log size, a curve per floor of exploration, with what the gate showed on simulated logs."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures import STYLE
from experiments.palette import INK, OTHER_COLOURS
from experiments.tables import one_world, select

__all__ = ["power_figure"]


def power_figure(table: pd.DataFrame, *, wanted: float) -> Figure:
    """Predicted power by log size, a curve per floor; points with bars are measured, with exact 95 % intervals.

    Args:
        table: the results of one world.
        wanted: power that is asked for, a dashed line.

    Raises:
        ValueError: gate/predicted_power was not measured, or in several worlds.
    """
    curves = one_world(select(table, "gate", "predicted_power"))
    checked = table[(table["section"] == "gate") & (table["measure"] == "measured_power")]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for i, floor in enumerate(dict.fromkeys(curves["rule"])):
            colour = OTHER_COLOURS[i % len(OTHER_COLOURS)]
            _draw(axes, curves[curves["rule"] == floor], checked[checked["rule"] == floor], colour)
        axes.axhline(wanted, color=INK, linewidth=1, dashes=(6, 3), zorder=1.5)
        axes.set(xscale="log", ylim=(0, 1), xlabel="decisions in the log", ylabel="power of the gate")
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
        axes.set_title(f"Difference {curves['task'].iloc[0]} reward units in {curves['world'].iloc[0]}")
        axes.legend(title="uniform exploration", loc="lower right")
    return figure


def _draw(axes: Axes, curve: pd.DataFrame, checked: pd.DataFrame, colour: str) -> None:
    rows = curve.sort_values("n")
    label = f"{float(rows['rule'].iloc[0].removeprefix('floor_')):.0%}"
    axes.plot(rows["n"].to_numpy(dtype=float), rows["value"].to_numpy(), color=colour, linewidth=1.8, label=label)
    if len(checked):
        n, value = checked["n"].to_numpy(dtype=float), checked["value"].to_numpy()
        ends = [value - checked["lo"].to_numpy(), checked["hi"].to_numpy() - value]
        axes.errorbar(n, value, yerr=ends, fmt="o", color=colour, capsize=3, linewidth=1.2, markersize=4)
