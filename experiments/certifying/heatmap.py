"""The certification matrix as one page: which pairs of estimator and interval held where.

First all regimes side by side, the worst world of each; then a panel per regime with every world. The page
needs no network and no script. The first panel is a figure for print, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from evaluators.certified import DIFFERENCE, REGIMES
from experiments.certifying.judging import Cell, Refused
from experiments.certifying.matrix import LEAST_COVERAGE, MOST_ERRORS, Matrix, Pairs, held_pairs
from experiments.certifying.regimes import LEVEL, UNTRIED
from experiments.certifying.world_logs import BATCH
from experiments.figures import STYLE, save_figure

__all__ = ["PAGE", "heatmap_figure", "heatmap_page", "write_heatmap"]

PAGE, FIGURE = "heatmap.html", "heatmap"
TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
WORDS = {
    "iid": "The model everybody assumes: a frozen logger, true propensities, a reward model cross-fitted on the log.",
    "adaptive": f"The logger learns from its own rewards and looks at them every {BATCH} rows; its propensities are "
    "true. Models are cross-fitted as if it did not learn.",
    "drift": "The world changes inside the log. The truth is the average over the log's time; the hover text says how "
    "far the estimate is from the value at its end.",
    "misspecified_reward": f"The reward model is given and wrong: {LEVEL:.0%} of the declared range too high "
    "everywhere (level), or ranking the actions the wrong way round (ranking).",
    "misspecified_propensity": "The log says a sharper or a flatter logger than the one that acted.",
    "deficient_support": f"The logger never tries actions that hold at least {UNTRIED:.0%} of the target's mass.",
}
STEPS = 8  # of either colour
COLOURS = ("#99c6e0", "#ffffff", "#e08a4a")  # too careful, as promised, errs too often
FEW_ERRORS, MANY_ERRORS = 0.0, 0.15  # where the colours are full
Key = tuple[str, str]


class Tile(NamedTuple):
    """One place of the map, ready for print."""

    error: str
    coverage: str
    classes: str
    tip: str
    held: bool


class Group(NamedTuple):
    """Columns under one heading."""

    name: str
    sizes: tuple[int, ...]


class Line(NamedTuple):
    """A row of a panel."""

    estimator: str
    interval: str
    is_first: bool  # of its estimator
    tiles: tuple[Tile | None, ...]


class Panel(NamedTuple):
    """A map with its words."""

    name: str
    title: str
    words: str
    groups: tuple[Group, ...]
    rows: tuple[Line, ...]


def write_heatmap(matrix: Matrix, folder: Path) -> list[Path]:
    """Write the page, and its first panel as `figures/heatmap.svg` and `.png`.

    Args:
        matrix: as measured.
        folder: of the run; made if missing.

    Returns:
        The three paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    page.write_text(heatmap_page(matrix), encoding="utf-8")
    return [page, *save_figure(heatmap_figure(matrix), folder / "figures", FIGURE)]


def heatmap_page(matrix: Matrix) -> str:
    """The page as HTML.

    Raises:
        ValueError: nothing was measured.
    """
    if not matrix.cells:
        raise ValueError("0 cells were measured, need at least 1 for a map")
    held, regimes = held_pairs(matrix), [r for r in REGIMES if any(cell.regime == r for cell in matrix.cells)]
    panels = [_overview(matrix, held, regimes), *(_panel(matrix, held, regime) for regime in regimes)]
    loader = jinja2.FileSystemLoader(TEMPLATES)
    page = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    counts = sorted({cell.n_logs for cell in matrix.cells})
    return page.get_template("heatmap.html.j2").render(
        panels=panels,
        difference=DIFFERENCE,
        n_logs=" to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1]))),
        rule=f"A pair held if, in every world and over all of them, it covers at least {LEAST_COVERAGE:.0%} and each "
        f"one-sided bound errs at most {MOST_ERRORS:.0%} of the time, up to two Monte Carlo standard errors.",
        refused=_left_out(matrix.refused),
    )


def _pairs(cells: Iterable[Cell]) -> list[Key]:
    """Pairs in the order of the rows: what the gate judges, then by name."""
    found = {(cell.estimator, cell.interval) for cell in cells}
    return sorted(found, key=lambda pair: (pair[0] != DIFFERENCE, pair))


def _overview(matrix: Matrix, held: Pairs, regimes: Sequence[str]) -> Panel:
    """Every regime and size, the worst world of each."""
    columns = [(regime, n) for regime in regimes for n in held[regime]]
    worst = _worst(matrix.cells)
    groups = [Group(regime.replace("_", " "), tuple(held[regime])) for regime in regimes]
    found = {
        (pair, column): _tile(worst[pair, column], is_held=pair in held[column[0]][column[1]]) for pair, column in worst
    }
    words = "The world, and the kind of error, in which the pair did worst; it is named in the hover text."
    return Panel("all", "All regimes, the worst world of each", words, tuple(groups), _lines(matrix, columns, found))


def _worst(cells: Iterable[Cell]) -> dict[tuple[Key, tuple[str, int]], Cell]:
    """The cell of the largest one-sided error, by pair and (regime, n)."""
    found: dict[tuple[Key, tuple[str, int]], Cell] = {}
    for cell in cells:
        place = ((cell.estimator, cell.interval), (cell.regime, cell.n))
        if place not in found or _error(cell) > _error(found[place]):
            found[place] = cell
    return found


def _panel(matrix: Matrix, held: Pairs, regime: str) -> Panel:
    cells = [cell for cell in matrix.cells if cell.regime == regime]
    names, sizes = list(dict.fromkeys(cell.name for cell in cells)), tuple(held[regime])
    found = {
        ((cell.estimator, cell.interval), (cell.name, cell.n)): _tile(
            cell, is_held=(cell.estimator, cell.interval) in held[regime][cell.n]
        )
        for cell in cells
    }
    columns = [(name, n) for name in names for n in sizes]
    groups = tuple(Group(name, sizes) for name in names)
    title = regime.replace("_", " ").capitalize() if regime != "iid" else "Independent rows"
    return Panel(regime, title, WORDS[regime], groups, _lines(matrix, columns, found))


def _lines(
    matrix: Matrix, columns: Sequence[tuple[str, int]], found: Mapping[tuple[Key, tuple[str, int]], Tile]
) -> tuple[Line, ...]:
    """Rows with a tile somewhere."""
    lines, before = [], ""
    for pair in _pairs(matrix.cells):
        tiles = tuple(found.get((pair, column)) for column in columns)
        if any(tiles):
            lines.append(Line(*pair, is_first=pair[0] != before, tiles=tiles))
            before = pair[0]
    return tuple(lines)


def _error(cell: Cell) -> float:
    return max(cell.low_error, cell.high_error)


def _tile(cell: Cell, *, is_held: bool) -> Tile:
    error, short = _error(cell), 1 - cell.coverage
    colours = f"{'e' if error > 0.05 else 'b'}{_level(error)} {'c' if short > 0.05 else 'w'}{_level(short)}"
    now = f", against its end {cell.bias_now:+.4f}" if cell.regime == "drift" else ""
    tip = (
        f"{cell.name}, n = {cell.n:,}: bias {cell.bias:+.4f} ± {cell.bias_stderr:.4f}{now}; RMSE {cell.rmse:.4f}; "
        f"width {cell.width:.4f}; lower bound errs {cell.low_error:.1%} ± {cell.share_stderr(cell.low_error):.1%}, "
        f"upper {cell.high_error:.1%}; coverage {cell.coverage:.1%}"
    )
    return Tile(_percent(error), _percent(cell.coverage), colours, tip, is_held)


def _level(error: float) -> int:
    """Step of the colour: 0 at the nominal 5 %."""
    share = (error - 0.05) / (MANY_ERRORS - 0.05) if error > 0.05 else (0.05 - error) / (0.05 - FEW_ERRORS)
    return min(round(share * STEPS), STEPS)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.995 else f"{100 * share:.1f}"


def _left_out(refused: Iterable[Refused]) -> list[str]:
    """One line per pair and reason, with the regimes it holds for."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in refused:
        who = " + ".join(part for part in (one.estimator, one.interval) if part)
        found.setdefault((who, one.reason), []).append(one.regime)
    return [
        f"{who} ({', '.join(dict.fromkeys(regimes))}): {reason}" for (who, reason), regimes in sorted(found.items())
    ]


def heatmap_figure(matrix: Matrix) -> Figure:
    """All regimes, the worst world of each: the worse one-sided error in percent, bold where the pair held."""
    held, worst, pairs = held_pairs(matrix), _worst(matrix.cells), _pairs(matrix.cells)
    columns = [(regime, n) for regime, by_n in held.items() for n in by_n]
    shares = np.array([[_error(worst[p, c]) if (p, c) in worst else np.nan for c in columns] for p in pairs])
    colours = LinearSegmentedColormap.from_list("errors", list(zip((0.0, 1 / 3, 1.0), COLOURS, strict=True)))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.2 + 0.44 * len(columns), 1.5 + 0.185 * len(pairs)), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap=colours, vmin=FEW_ERRORS, vmax=MANY_ERRORS, aspect="auto")
        for (i, j), share in np.ndenumerate(shares):
            if np.isfinite(share):
                weight = "bold" if pairs[i] in held[columns[j][0]][columns[j][1]] else "normal"
                axes.text(j, i, _percent(share), ha="center", va="center", fontsize=6.5, fontweight=weight)
        axes.set_yticks(range(len(pairs)), [" + ".join(pair) for pair in pairs], fontsize=7)
        axes.set_xticks(range(len(columns)), [f"{n:,}" for _, n in columns], fontsize=7, rotation=90)
        axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        axes.grid(visible=False)
        figure.suptitle("Logs in which the worse one-sided 95 % bound errs (%), worst world; bold: held", fontsize=9)
        _headings(figure, columns)
    return figure


def _headings(figure: Figure, columns: Sequence[tuple[str, int]]) -> None:
    """Names of the regimes above their columns, and lines between them."""
    axes = figure.axes[0]
    regimes = [regime for regime, _ in columns]
    above = axes.secondary_xaxis("top")
    for regime in dict.fromkeys(regimes):
        places = [i for i, name in enumerate(regimes) if name == regime]
        axes.axvline(places[-1] + 0.5, color="white", linewidth=3)
    middles = [float(np.mean([i for i, name in enumerate(regimes) if name == r])) for r in dict.fromkeys(regimes)]
    above.set_xticks(middles, [f"\n\n\n{name.replace('_', chr(10))}" for name in dict.fromkeys(regimes)], fontsize=7.5)
    above.tick_params(length=0, pad=22)
    above.spines["top"].set_visible(False)
