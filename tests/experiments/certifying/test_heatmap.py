"""The page shows every cell with its numbers, says what was left out, and asks the network for nothing."""

import re
from pathlib import Path

import pytest

from experiments.certifying.heatmap import PAGE, heatmap_figure, heatmap_page, write_heatmap
from experiments.certifying.judging import Refused
from experiments.certifying.matrix import Matrix
from tests.experiments.certifying.test_matrix import cell

CELLS = (
    cell(), cell("b", low_error=0.071), cell(interval="t", low_error=0.123),
    cell(estimator="ips", interval="t", high_error=0.0),
    cell(n=1000), cell(regime="drift", kind="swap", low_error=0.45, coverage=0.5, bias_now=0.2),
)  # fmt: skip
MATRIX = Matrix(CELLS, (Refused("iid", "replay", "", "it <needs> a uniform logger"),))


def test_the_overview_shows_the_worst_world_and_bold_what_held() -> None:
    overview = heatmap_page(MATRIX).split("<h2")[1]
    assert (
        "<u>7.1</u>" in overview
        and "<u>5.0</u>" in overview
        and "<i>12.3</i>" in overview
        and "<i>45.0</i>" in overview
    )
    assert "b, n = 200" in overview  # named in the hover text


def test_every_cell_stands_in_its_regimes_panel_with_its_coverage() -> None:
    _, _, iid, drift, left = heatmap_page(MATRIX).split("<h2")
    assert len(re.findall("<td class=.[eb]", iid)) == 5 and len(re.findall("<td class=.[eb]", drift)) == 1
    assert "<s>50.0</s>" in drift and "against its end +0.2000" in drift and "a (swap)" in drift
    assert "replay (iid): it &lt;needs&gt; a uniform logger" in left


def test_the_page_is_one_file_without_script_or_network(tmp_path: Path) -> None:
    files = write_heatmap(MATRIX, tmp_path)
    assert [file.name for file in files] == [PAGE, "heatmap.svg", "heatmap.png"] and all(
        f.stat().st_size for f in files
    )
    page = (tmp_path / PAGE).read_text()
    assert "<script" not in page and not re.search(r"(?:src|href|url)\s*[=(]\s*['\"]?\s*(?:https?:|//)", page)


def test_the_same_matrix_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_heatmap(MATRIX, tmp_path / name) for name in "ab")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_the_figure_names_every_pair() -> None:
    labels = [label.get_text() for label in heatmap_figure(MATRIX).axes[0].get_yticklabels()]
    assert labels == ["difference + gate", "difference + t", "ips + t"]


def test_an_empty_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="0 cells were measured"):
        heatmap_page(Matrix((), ()))
