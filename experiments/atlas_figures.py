"""Maps of a world over temperature and max_tokens, for the page and for print."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.figures import STYLE
from experiments.palette import INK

__all__ = ["Sheet", "contact_figure", "sheet_figure"]

Floats = NDArray[np.float64]
TITLES = {
    "quality": "quality (0..1)",
    "output_tokens": "output tokens",
    "latency_ms": "latency (s)",
    "cost_usd": "cost (USD per 1,000 calls)",
    "reward": "expected reward",
}
SCALES = {"latency_ms": 1e-3, "cost_usd": 1e3}
COLUMNS = 4  # of the contact sheet


class Sheet(NamedTuple):
    """One task type of one world.

    Attributes:
        world: its name.
        task: of the type.
        temperature: (v,) values of that axis; max_tokens likewise (w,).
        maps: by part of the outcome, and the reward: (v, w) exact means.
        best: coordinates (temperature, max_tokens) of the best action, None where all are equal; home: of the baseline.
        elsewhere: the best action's other parameters, at which the maps are cut.
        value: of the baseline and of the best action, reward units.
        near: share of all actions within 5 % of the gap between worst and best.
    """

    world: str
    task: str
    temperature: Floats
    max_tokens: Floats
    maps: Mapping[str, Floats]
    best: tuple[int, int] | None
    home: tuple[int, int]
    elsewhere: Mapping[str, float | int | str]
    value: tuple[float, float]
    near: float


def _cells(values: Floats) -> Floats:
    """Edges of the cells around grid values."""
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[1:] + values[:-1]) / 2.0
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def _draw(axes: Axes, sheet: Sheet, name: str, *, figure: Figure) -> None:
    shown = sheet.maps[name] * SCALES.get(name, 1.0)
    edges = (_cells(sheet.temperature), _cells(sheet.max_tokens))
    mesh = axes.pcolormesh(*edges, shown.T, cmap="viridis", rasterized=True)
    for place, mark, colour, size in ((sheet.home, "o", "white", 6), (sheet.best, "*", "#ff6a3d", 13)):
        if place is not None:
            x, y = sheet.temperature[place[0]], sheet.max_tokens[place[1]]
            axes.plot(x, y, mark, markersize=size, color=colour, markeredgecolor="black", markeredgewidth=0.8)
    axes.grid(visible=False)
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=16)
    bar.outline.set_visible(False)


def sheet_figure(sheet: Sheet) -> Figure:
    """Five maps of a task type in a row; star: best action, dot: baseline."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(15.5, 2.9), layout="constrained")
        panels = figure.subplots(1, len(TITLES), sharey=True)
        for axes, (name, title) in zip(panels, TITLES.items(), strict=True):
            _draw(axes, sheet, name, figure=figure)
            axes.set_title(title)
            axes.set_xlabel("temperature")
        panels[0].set_ylabel("max_tokens")
        rest = ", ".join(f"{name} {value}" for name, value in sheet.elsewhere.items())
        words = f"{sheet.world} / {sheet.task}; cut at {rest}" if rest else f"{sheet.world} / {sheet.task}"
        figure.suptitle(words, x=0.004, horizontalalignment="left", fontsize=9, color=INK)
    return figure


def contact_figure(sheets: Sequence[Sheet]) -> Figure:
    """The reward maps of all worlds and task types on one sheet; star: best action, dot: baseline."""
    rows = -(-len(sheets) // COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * COLUMNS, 2.5 * rows), layout="constrained")
        panels = np.atleast_1d(figure.subplots(rows, COLUMNS)).ravel()
        for axes, sheet in zip(panels, sheets, strict=False):
            _draw(axes, sheet, "reward", figure=figure)
            several = sum(other.world == sheet.world for other in sheets) > 1
            axes.set_title(f"{sheet.world}\n{sheet.task}" if several else sheet.world, fontsize=9.5)
        for axes in panels[len(sheets) :]:
            axes.set_visible(False)
        figure.supxlabel("temperature", fontsize=9.5)
        figure.supylabel("max_tokens", fontsize=9.5)
    return figure
