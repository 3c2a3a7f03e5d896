"""Maps for print: what is drawn, and that the same sheet gives the same bytes."""

import numpy as np
from matplotlib.collections import QuadMesh

from experiments.atlas_figures import Sheet, contact_figure, sheet_figure
from experiments.figures import save_figure

GRID = np.arange(6.0).reshape(3, 2)
MAPS = {name: GRID * scale for name, scale in (("quality", 0.1), ("output_tokens", 10.0), ("latency_ms", 500.0))}
MAPS |= {"cost_usd": GRID * 1e-3, "reward": GRID * 0.1}
SHEET = Sheet(
    "made", "up", np.array([0.0, 0.5, 1.0]), np.array([100.0, 200.0]),
    MAPS, (2, 1), (0, 0), {"top_p": 1.0}, (0.0, 0.5), 0.2,
)  # fmt: skip


def test_a_row_has_a_map_per_part_in_readable_units():
    axes = [a for a in sheet_figure(SHEET).axes if a.get_title(loc="left")]
    assert [a.get_title(loc="left") for a in axes][2:4] == ["latency (s)", "cost (USD per 1,000 calls)"]
    shown = [float(np.max(np.asarray(a.collections[0].get_array()))) for a in axes]
    assert np.allclose(shown, [0.5, 50.0, 2.5, 5.0, 0.5])


def test_star_and_dot_stand_at_the_best_action_and_the_baseline():
    lines = sheet_figure(SHEET).axes[0].lines
    marks = {line.get_marker(): np.asarray(line.get_path().vertices).tolist()[0] for line in lines}
    assert marks == {"*": [1.0, 200.0], "o": [0.0, 100.0]}


def test_where_all_actions_are_equal_there_is_no_star():
    lines = sheet_figure(SHEET._replace(best=None)).axes[0].lines
    assert [line.get_marker() for line in lines] == ["o"]


def test_the_contact_sheet_names_task_types_only_where_a_world_has_several():
    figure = contact_figure([SHEET, SHEET._replace(task="other"), SHEET._replace(world="alone")])
    titles = [a.get_title(loc="left") for a in figure.axes if a.get_title(loc="left")]
    assert titles == ["made\nup", "made\nother", "alone"]


def test_an_axis_with_one_value_is_drawn_as_one_cell():
    one = SHEET._replace(temperature=np.array([0.7]), maps={k: v[:1] for k, v in MAPS.items()}, best=(0, 1))
    mesh = sheet_figure(one).axes[0].collections[0]
    assert isinstance(mesh, QuadMesh)
    edges = np.asarray(mesh.get_coordinates())
    assert np.allclose(edges[0, :, 0], [0.2, 1.2])


def test_the_same_sheet_gives_the_same_bytes(tmp_path):
    saved = [save_figure(sheet_figure(SHEET), tmp_path / name, "map").png.read_bytes() for name in "ab"]
    assert saved[0] == saved[1]
