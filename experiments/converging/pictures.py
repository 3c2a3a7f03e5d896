"""The pictures of a convergence run, for print: colour means policy, bands are 95 % intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evaluators.resampling import Interval
from experiments.converging.comparing import THRESHOLDS
from experiments.converging.running import Run
from experiments.converging.scoring import Bin
from experiments.converging.surfaces import Surface
from experiments.figures import LABEL_INCHES, STYLE, spread
from experiments.palette import INK, policy_colours

__all__ = ["Curves", "Panel", "live_figure", "path_figure", "profile_figure", "regret_figure"]

Floats = NDArray[np.float64]
SHOWN = 6  # policies in colour; the others stay grey
FADED = "#c3c8ce"
PATHS = 12  # runs drawn on a surface


class Curves(NamedTuple):
    """One policy's curves: (T,) regret, (T,) share settled, (points,) profile."""

    name: str
    policy: str
    regret: Interval
    settled: Interval
    profile: Interval


class Panel(NamedTuple):
    """A world and task type with the runs drawn on its surface."""

    surface: Surface
    run: Run


def _colours(curves: Sequence[Curves]) -> dict[str, str]:
    """By name: the first few policies in their colour, the others in grey."""
    known = policy_colours(dict.fromkeys(one.policy for one in curves[:SHOWN]))
    return {one.name: known[one.policy] if i < SHOWN else FADED for i, one in enumerate(curves)}


def _lines(axes: Axes, x: Floats, curves: Sequence[Curves], what: str, *, inches: float) -> None:
    """Lines with bands, the best in front, names of the coloured ones at the right."""
    colours = _colours(curves)
    ends: dict[str, float] = {}
    for i, one in reversed(list(enumerate(curves))):
        drawn: Interval = getattr(one, what)
        colour, is_shown = colours[one.name], i < SHOWN
        is_again = one.policy in {other.policy for other in curves[:i]}  # under another rule
        style, width = "--" if is_again else "-", 2.4 if i == 0 else 1.5 if is_shown else 1.0
        axes.plot(x, drawn.value, style, color=colour, linewidth=width, zorder=3 - 0.01 * i)
        if is_shown:
            axes.fill_between(x, drawn.lo, drawn.hi, color=colour, alpha=0.18, linewidth=0)
            ends[one.name] = float(drawn.value[-1])
    lo, hi = axes.get_ylim()
    heights = [(end - lo) / (hi - lo) for end in ends.values()]
    for name, height in zip(ends, spread(heights, LABEL_INCHES / inches), strict=True):
        axes.annotate(
            name, (1.0, height), (5, 0), "axes fraction", textcoords="offset points", color=colours[name],
            verticalalignment="center", annotation_clip=False, fontsize=8.5,
        )  # fmt: skip


def regret_figure(curves: Sequence[Curves], *, words: str) -> Figure:
    """Mean cumulative regret with its bands; the first curve is the flagship's.

    Args:
        curves: in order of importance.
        words: what was run, for the foot of the title.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 4.6), layout="constrained")
        axes = figure.subplots()
        x = np.arange(1, len(curves[0].regret.value) + 1.0)
        axes.set(title="What learning cost, exploration included", xlabel="evaluation of a task type", xlim=(1, x[-1]))
        axes.set_ylabel("mean cumulative regret (reward units)")
        _lines(axes, x, curves, "regret", inches=4.0)
        axes.set_ylim(bottom=0)
        _head(figure, words, grey=len(curves) > SHOWN)
    return figure


def profile_figure(curves: Sequence[Curves], *, words: str, by: int) -> Figure:
    """Left: share of runs settled within tolerance, by evaluation. Right: how far from the oracle runs end."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.5, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        x = np.arange(1, len(curves[0].settled.value) + 1.0)
        left.set(title="Settled within tolerance", xlabel="evaluation of a task type", xlim=(1, x[-1]), ylim=(0, 1.02))
        left.set_ylabel("share of runs within tolerance from there on")
        left.axhline(0.95, color=INK, linewidth=1, dashes=(6, 3))
        _lines(left, x, curves, "settled", inches=4.0)
        right.set(title=f"How near at {by} evaluations", xlim=(0, THRESHOLDS[-1]), ylim=(0, 1.02))
        right.set_xlabel("simple regret of the deployed point, in tolerances")
        right.set_ylabel("share of runs with no more")
        right.axvline(1.0, color=INK, linewidth=1, dashes=(6, 3))
        _lines(right, THRESHOLDS, curves, "profile", inches=4.0)
        for axes in (left, right):
            axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
        _head(figure, words, grey=len(curves) > SHOWN)
    return figure


def _head(figure: Figure, words: str, *, grey: bool) -> None:
    note = f"{words}; bands: 95 % intervals" + ("; grey: the other policies" if grey else "")
    figure.suptitle(note, x=0.006, horizontalalignment="left", fontsize=9, color=INK)


def live_figure(found: Mapping[str, Sequence[Bin]], *, required: float) -> Figure:
    """How often the live statement was true, by the confidence it was given with; area: how often that was.

    Args:
        found: bins by what was run.
        required: confidence from which on it is made.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * len(found), 4.2), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(found), sharey=True))
        for axes, (name, bins) in zip(panels, found.items(), strict=True):
            axes.axvspan(required, 1.02, color="#0072b2", alpha=0.08, linewidth=0)
            _reliability(axes, bins)
            axes.set(title=name, xlabel="confidence given", xlim=(0, 1.02), ylim=(0, 1.06))
        panels[0].set_ylabel("share of statements that were true")
        words = "P(best in reach - deployed <= epsilon | data); labels: share of evaluations; shaded: said"
        figure.suptitle(words, x=0.006, horizontalalignment="left", fontsize=9, color=INK)
    return figure


def _reliability(axes: Axes, bins: Sequence[Bin]) -> None:
    """Dots by bin, labelled unless they are rare."""
    total = sum(one.total for one in bins)
    x, y = [one.confidence for one in bins], [one.true / one.total for one in bins]
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, dashes=(6, 3))
    axes.plot(x, y, color="#0072b2", linewidth=1.2)
    sizes = [18 + 900 * one.total / total for one in bins]
    axes.scatter(x, y, s=sizes, color="#0072b2", alpha=0.55, linewidth=0, clip_on=False)
    shown = [(one, a, b) for one, a, b in zip(bins, x, y, strict=True) if one.total >= 0.01 * total]
    for one, a, b in shown:
        away = (18 + 900 * one.total / total) ** 0.5 / 2 + 2  # points: the dot's radius, and a little
        axes.annotate(
            f"{one.total / total:.0%}", (a, b), (-away, 0), textcoords="offset points",
            horizontalalignment="right", verticalalignment="center", fontsize=8, color=INK,
        )  # fmt: skip


def path_figure(panels: Sequence[Panel], *, columns: int) -> Figure:
    """Approved parameters walking over the true surface, a panel per world and start.

    The surface is the best value over the other parameters; the outline holds what is within
    tolerance. Each run is a line through its approvals; ring: start, dot: approval, square: end.
    """
    rows = -(-len(panels) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.6 * columns, 3.1 * rows + 0.3), layout="constrained")
        boxes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for axes, panel in zip(boxes, panels, strict=False):
            _surface(axes, panel.surface, figure=figure)
            _paths(axes, panel)
            axes.set_title(f"{panel.run.where.label}\n{panel.run.task}", fontsize=9)
        for axes in boxes[len(panels) :]:
            axes.set_visible(False)
        figure.supxlabel("temperature", fontsize=9.5)
        figure.supylabel("max_tokens", fontsize=9.5)
        who = f"{panels[0].run.policy} ({panels[0].run.rule})"
        words = f"{who}, {PATHS} runs. Ring: start; squares: ends; green: edge of the tolerance"
        figure.suptitle(words, x=0.006, horizontalalignment="left", fontsize=9, color=INK)
    return figure


def _plane(surface: Surface, values: NDArray[Any], combine: Any) -> NDArray[Any]:
    """(temperatures, caps) of a table over actions, the other axes combined."""
    grid = values.reshape(surface.shape)
    return np.asarray(combine(grid, axis=tuple(range(2, grid.ndim))))


def _surface(axes: Axes, surface: Surface, *, figure: Figure) -> None:
    heat, caps = surface.axes[0], surface.axes[1]
    shown = _plane(surface, np.where(surface.legal, surface.values[-1], np.nan), np.nanmax)
    mesh = axes.pcolormesh(heat, caps, shown.T, cmap="Greys_r", shading="nearest", rasterized=True)
    near = _plane(surface, surface.inside[-1], np.any).astype(float)
    axes.contour(heat, caps, near.T, levels=[0.5], colors="#009e73", linewidths=1.6)
    axes.grid(visible=False)
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=18)
    bar.outline.set_visible(False)


def _paths(axes: Axes, panel: Panel) -> None:
    """Lines between approvals, a little apart so that runs on the same points can be told."""
    surface, rng = panel.surface, np.random.default_rng(0)
    steps = [float(np.ptp(axis)) / max(len(axis) - 1, 1) for axis in surface.axes[:2]]
    for ids in panel.run.centre[:PATHS]:
        path = ids[np.r_[True, ids[1:] != ids[:-1]]]
        point = np.unravel_index(path, surface.shape)[:2]
        off = rng.uniform(-0.28, 0.28, size=2) * steps
        x, y = surface.axes[0][point[0]] + off[0], surface.axes[1][point[1]] + off[1]
        axes.plot(x, y, color="#d55e00", linewidth=0.9, alpha=0.75)
        axes.plot(x[1:], y[1:], ".", color="#d55e00", markersize=4)
        axes.plot(x[-1], y[-1], "s", color="#d55e00", markeredgecolor="white", markeredgewidth=0.6, markersize=5)
    home = np.unravel_index(surface.start, surface.shape)[:2]
    axes.plot(
        surface.axes[0][home[0]], surface.axes[1][home[1]], "o", markersize=9, markerfacecolor="none",
        markeredgecolor="#0072b2", markeredgewidth=1.8,
    )  # fmt: skip
