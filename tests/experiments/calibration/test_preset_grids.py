"""Lattices of fitted presets hold what was recorded, the baseline among it."""

import numpy as np
import pytest

from experiments.calibration.outcome_table import Columns, Selection, read_outcomes
from experiments.calibration.preset_grids import Grid, grids_of
from tests import answers


def grids(tmp_path, **columns):
    path = answers.write(tmp_path / "a.csv", columns)
    return grids_of(read_outcomes(path, Selection(Columns(), {}, 1.0, 0.05)))


def test_temperatures_run_from_0_to_2_in_tenths_with_the_usual_one_as_baseline(tmp_path):
    got = grids(tmp_path, temperature=[0.0, 0.5, 0.7, 0.7], quality=[1, 0, 1, 0])
    assert got["temperature"] == Grid("0.0", "2.0", "0.1", "0.7")
    assert got["top_p"] == Grid("1", "1", "0.1", "1")
    even = grids(tmp_path, temperature=[0.0, 0.5, 0.9], quality=[1, 0, 1])
    assert even["temperature"].baseline == "0.9"  # all as frequent: the one next to 1


def test_hotter_and_finer_records_stretch_and_refine_the_grid(tmp_path):
    got = grids(tmp_path, temperature=[0.25, 2.55], quality=[1, 0])
    assert got["temperature"][:3] == ("0.0", "2.55", "0.05")
    odd = grids(tmp_path, temperature=[0.33, 2.55], quality=[1, 0])
    assert odd["temperature"][:3] == ("0.0", "2.6", "0.1")
    assert not odd["temperature"].holds(0.33)
    assert odd["temperature"].holds(2.6)


@pytest.mark.parametrize("top", [10, 90, 260, 601, 3000, 70_000])
def test_max_tokens_covers_the_lengths_in_a_few_round_steps(tmp_path, top):
    got = grids(tmp_path, output_tokens=np.arange(1, top + 1))["max_tokens"]
    values = np.arange(int(got.start), int(got.stop) + 1, int(got.step))
    assert len(values) <= 20
    assert values[-1] >= max(1.08 * top, 100)
    assert got.baseline == got.stop == str(values[-1])


def test_recorded_max_tokens_stay_on_their_grid(tmp_path):
    even = grids(tmp_path, output_tokens=[5] * 4, max_tokens=[112, 212, 412, 412])["max_tokens"]
    assert even == Grid("112", "412", "100", "412")
    one = grids(tmp_path, output_tokens=[5, 6], max_tokens=[512, 512])["max_tokens"]
    assert one.baseline == "512"
    assert one.holds(512)
    uneven = grids(tmp_path, output_tokens=[5] * 4, max_tokens=[100, 333, 4096, 4096])["max_tokens"]
    assert uneven.holds(4096)
    assert uneven.baseline == "4096"


def test_recorded_nuclei_become_an_axis(tmp_path):
    got = grids(tmp_path, temperature=[1, 1, 1], quality=[0, 1, 1], top_p=[0.8, 0.9, 0.9])
    assert got["top_p"] == Grid("0.8", "1.0", "0.1", "0.9")
    fine = grids(tmp_path, temperature=[1, 1], quality=[0, 1], top_p=[0.95, 1.0])
    assert fine["top_p"] == Grid("0.95", "1.0", "0.05", "1.00")
