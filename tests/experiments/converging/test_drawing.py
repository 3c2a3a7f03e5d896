"""Which pictures are drawn, and that their curves are in the results."""

import numpy as np

from experiments.converging.comparing import Table, players
from experiments.converging.drawing import LABEL, Wanted, draw
from experiments.converging.judging import Judged, Roles
from experiments.results import Results
from tests.hand_runs import START, run, surface

CENTRE = [[START, 0, 0, 0], [START, 1, 1, 1]]
SURE = np.full((2, 4), 0.97)


def test_every_picture_is_drawn_and_its_curves_are_kept():
    mine = [run(CENTRE, world="a", start=start, confidence=SURE) for start in ("default", "bad")]
    others = [run(CENTRE, world="a", policy="peer", rule=rule) for rule in ("posterior pick", "best observed")]
    surfaces = {one.key: replace_label(one) for one in (*mine, *others)}
    judged = Judged(tuple(mine), surfaces, Roles(("a",), (), "", "", (2, 4), 0, 1))
    table, results = Table(players([mine[0], *others], [("a", "task")]), surfaces, 0), Results()
    figures = draw(judged, table, Wanted(("a",), 0.1, 0.95), results=results)
    assert set(figures) == {"regret", "convergence", "live", "paths"}
    names = [text.get_text() for axes in figures["convergence"].axes for text in axes.texts]
    assert "peer (posterior pick)" in names and "peer (best observed)" not in names
    assert [text.get_text() for text in figures["regret"].axes[0].texts] == ["mine (improve)"]
    assert len([axes for axes in figures["paths"].axes if axes.get_title(loc="left")]) == 2
    assert len(results) > 3 * 40  # a profile of 41 points for each of three
    assert LABEL == "calibrated presets"


def replace_label(one):
    return surface(world=one.where.label)._replace(task=one.task)


def test_no_paths_no_picture():
    mine = run(CENTRE, world="a", confidence=SURE)
    surfaces = {mine.key: surface(world="a")}
    judged = Judged((mine,), surfaces, Roles(("a",), (), "", "", (2, 4), 0, 1))
    figures = draw(judged, Table(players([mine], [mine.key]), surfaces, 0), Wanted((), 0.1, 0.95), results=Results())
    assert set(figures) == {"regret", "convergence", "live"}
