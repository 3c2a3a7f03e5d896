"""The report's words: complete, in sentences, and the very definitions the claims use."""

from typing import Any

import pytest

from experiments.certifying.judging import Cell
from experiments.certifying.matrix import Matrix, measurements_of
from experiments.measurement import SECTIONS
from experiments.report import DRAWINGS
from experiments.wording import CAVEATS, CELL_MEASURES, PAGE_MEASURES, READING, SECTION_TITLES, WORDS


def test_every_section_has_a_title():
    assert set(SECTION_TITLES) == set(SECTIONS)


def test_every_drawing_has_a_title_and_says_how_to_read_it():
    assert set(READING) == set(DRAWINGS)


def test_measures_by_cell_are_drawn_since_no_table_holds_them():
    assert set(CELL_MEASURES) <= {m for drawing in DRAWINGS.values() for m in drawing.measures}


def test_measures_of_the_matrix_are_those_it_yields():
    numbers: dict[str, Any] = dict.fromkeys(
        ("bias", "bias_stderr", "bias_now", "rmse", "rmse_stderr", "width", "width_stderr"), 0.1
    )
    shares: dict[str, Any] = dict.fromkeys(("coverage", "low_error", "high_error"), 0.5)
    where: dict[str, Any] = {
        "regime": "drift",
        "kind": "",
        "world": "w",
        "n": 200,
        "estimator": "ips",
        "interval": "t",
        "n_logs": 9,
    }
    rows = measurements_of(Matrix((Cell(**where, **numbers, **shares),), ()))
    assert {row.measure for row in rows} == set(PAGE_MEASURES)


@pytest.mark.parametrize("text", [*(text for _, text in READING.values()), *WORDS.values(), *CAVEATS])
def test_words_are_whole_sentences(text):
    assert text.endswith(".")
    assert "  " not in text


def test_convergence_is_defined_by_the_numbers_the_claim_uses():
    for number in ("20 evaluations past the horizon", "5 %", "2 %"):
        assert number in WORDS["converged by n"]
