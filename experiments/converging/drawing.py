"""Which pictures a convergence run draws, and the curves behind them as measurements."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from experiments.converging.cases import BAD, DEFAULT
from experiments.converging.comparing import Player, Table, curve, profile, settled
from experiments.converging.judging import Judged
from experiments.converging.peering import OBSERVED, POSTERIOR
from experiments.converging.pictures import Curves, Panel, live_figure, path_figure, profile_figure, regret_figure
from experiments.converging.rows import measure_bins, measure_curves
from experiments.converging.scoring import Bin, live, reliability
from experiments.results import Results

__all__ = ["LABEL", "Wanted", "draw"]

LABEL = "calibrated presets"  # their name together


class Wanted(NamedTuple):
    """What is drawn: paths on these worlds, the live statement at this loss and confidence."""

    paths: tuple[str, ...]
    epsilon: float
    confidence: float


def draw(judged: Judged, table: Table, wanted: Wanted, *, results: Results) -> dict[str, Figure]:
    """Every figure by the name of its file; their curves are added to the results.

    Args:
        judged: the flagship's runs.
        table: it and the others, it first, then in order of importance.
        wanted: what is drawn.
        results: grows.
    """
    by, n_tasks = judged.roles.by[-1], len(table.players[0].runs)
    drawn = []
    for player in table.players:
        curves = _curves(table, player, by=by)
        drawn.append(curves)
        for row in measure_curves(LABEL, player, curves):
            results.add(row)
    words = f"{len(judged.roles.calibrated)} calibrated presets, {n_tasks} task types, default start"
    tried = [one for one, player in zip(drawn, table.players, strict=True) if player.rule not in (OBSERVED, POSTERIOR)]
    compared = [one for one, player in zip(drawn, table.players, strict=True) if player.rule != OBSERVED]
    figures = {
        "regret": regret_figure(tried, words=words),
        "convergence": profile_figure(compared, words=words, by=by),
        "live": live_figure(_bins(judged, wanted, results=results), required=wanted.confidence),
    }
    panels = [one for start in (DEFAULT, BAD) for one in _first_types(judged, wanted.paths, start)]
    return figures | ({"paths": path_figure(panels, columns=max(len(panels) // 2, 1))} if panels else {})


def _curves(table: Table, player: Player, *, by: int) -> Curves:
    return Curves(
        player.name, player.policy, curve(table, player), settled(table, player), profile(table, player, by=by)
    )  # fmt: skip


def _bins(judged: Judged, wanted: Wanted, *, results: Results) -> dict[str, list[Bin]]:
    """Reliability of the live statement by group of worlds."""
    roles, found = judged.roles, {}
    for what, worlds in (
        (LABEL, roles.calibrated),
        (roles.shared, (roles.shared,)),
        ("outside the prior", roles.outside),
    ):
        pairs = judged.of(worlds)
        if pairs:
            said = [live(run, s, epsilon=wanted.epsilon, confidence=wanted.confidence) for run, s in pairs]
            found[what] = reliability(said)
            for row in measure_bins(what, pairs[0][0].policy, found[what]):
                results.add(row)
    return found


def _first_types(judged: Judged, worlds: Sequence[str], start: str) -> list[Panel]:
    """The first task type of each world, in the order asked for."""
    found = [judged.of((world,), start)[:1] for world in worlds]
    return [Panel(surface, run) for pairs in found for run, surface in pairs]
