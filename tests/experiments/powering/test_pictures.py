"""The figure shows a curve per floor, the wanted power, and measured points with their bars."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.powering.answers import Answer, Checked, Wish, measurements
from experiments.powering.contests import Loss
from experiments.powering.pictures import power_figure
from experiments.results import Results, load_results

CURVE = {200: 0.1, 1000: 0.6, 5000: 0.95}


def table(folder: Path) -> pd.DataFrame:
    results = Results()
    checked = Answer(0.5, Loss(0.01), CURVE, (200,), 1500, 0.8, Checked(1500, 300, 400))
    for row in measurements(Wish("small", 0.05, 0.8, 0.05, 10_000), [checked, checked._replace(floor=0.1)], None):
        results.add(row)
    results.write(folder)
    return load_results(folder)


def test_curves_points_and_the_wanted_power_are_drawn(tmp_path: Path) -> None:
    axes = power_figure(table(tmp_path), wanted=0.8).axes[0]
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["50%", "10%"]
    drawn = [np.asarray(line.get_ydata()).tolist() for line in axes.lines]
    assert drawn.count(list(CURVE.values())) == 2
    assert len(axes.containers) == 2  # a point with its bar per floor
    assert [0.8, 0.8] in drawn
    assert "+0.05 reward units in small" in axes.get_title(loc="left")


def test_without_a_prediction_there_is_no_figure(tmp_path: Path) -> None:
    found = table(tmp_path)
    with pytest.raises(ValueError, match="predicted_power"):
        power_figure(found[found["measure"] != "predicted_power"], wanted=0.8)
