"""All parts of a task type from one table; a part without data is None, halves hold whole problems."""

import numpy as np
import pytest

from experiments.calibration.fit_noise import NoiseKind
from experiments.calibration.outcome_table import Columns, Selection, read_outcomes
from experiments.calibration.task_fit import fit_world
from tests import answers


def read(path, columns, **choice):
    return read_outcomes(path, Selection(columns, choice.get("where", {}), choice.get("unit", 1.0), 0.05))


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    path = answers.write(tmp_path_factory.mktemp("t") / "a.csv", answers.table())
    told: list[int] = []
    found = fit_world(read(path, Columns(**answers.COLUMNS)), split_seed=0, advance=told.append)
    assert told == [1]
    return found


def test_every_part_that_was_recorded_is_fitted(fit):
    (one,) = fit.tasks
    assert (one.name, one.n_rows, one.n_problems) == ("all", 160 * len(answers.HEATS), 160)
    assert fit.noise == NoiseKind("binomial", 1)
    assert fit.spread is None
    assert abs(one.quality.fit.values["q0"] - answers.Q0) <= 4 * one.quality.fit.stderr["q0"]
    assert (
        abs(one.failure.fit.values["failure_centre"] - answers.CENTRE) <= 4 * one.failure.fit.stderr["failure_centre"]
    )
    assert one.quality.held.rmse <= 1.5 * one.quality.held.floor
    assert one.prompt_tokens == 380
    assert one.difficulty.between == pytest.approx(answers.BETWEEN, abs=0.08)
    assert fit.latency.token_ms == pytest.approx(answers.TOKEN_MS, rel=0.03)
    assert fit.latency.first_token_ms == pytest.approx(answers.FIRST_MS, rel=0.1)


def test_calls_that_failed_say_nothing_of_quality_or_length(fit):
    (one,) = fit.tasks
    works = int(np.sum(~answers.table()["error"]))
    assert len(one.quality.rows.y) == works
    assert len(one.length.rows.tokens) == works
    assert len(one.failure.rows.y) == one.n_rows


def test_lengths_have_two_components_where_they_were_drawn_with_two(fit):
    part = fit.tasks[0].length
    assert len(part.chosen.median) == 2
    assert sorted(part.chosen.median) == pytest.approx(answers.MEDIANS, rel=0.1)
    assert part.distances[1] < part.distances[0]
    assert part.runaway.gain == 0.0
    assert part.n_empty == 0
    assert part.n_problems == (80, 80)


def test_a_problem_s_answers_count_as_one_where_components_are_chosen(tmp_path):
    """One length a problem, repeated: as many answers, but no more news than the problems."""
    x = np.rint(answers.lengths(np.random.default_rng(3), 24)).astype(int)
    for times, n in ((40, 1), (1, 1)):
        columns = {"problem": np.repeat(np.arange(24), times), "output_tokens": np.repeat(x, times)}
        path = answers.write(tmp_path / f"{times}.csv", columns)
        (one,) = fit_world(read(path, Columns(problem="problem")), split_seed=0).tasks
        assert one.length is not None and one.length.n_problems == (12, 12)
        assert len(one.length.chosen.median) == n
    assert one.length is not None
    gain = 2 * (one.length.mixtures[1].log_likelihood - one.length.mixtures[0].log_likelihood)
    assert 40 * gain > 3 * np.log(24 * 40)  # counted as answers, the repeated ones would have asked for two


def test_lengths_alone_are_enough(tmp_path):
    rng = np.random.default_rng(0)
    path = answers.write(tmp_path / "b.csv", {"output_tokens": [0, *np.rint(answers.lengths(rng, 300)).astype(int)]})
    (one,) = fit_world(read(path, Columns()), split_seed=0).tasks
    assert (one.quality, one.failure, one.difficulty, one.prompt_tokens) == (None, None, None, None)
    assert one.length is not None and one.length.n_empty == 1
    assert len(one.length.rows.tokens) == 300


def test_answers_at_their_max_tokens_count_as_cut_off(tmp_path):
    columns = {"output_tokens": [50, 100, 70, 80], "max_tokens": [100] * 4}
    (one,) = fit_world(read(answers.write(tmp_path / "c.csv", columns), Columns()), split_seed=0).tasks
    assert one.length is not None
    assert one.length.rows.is_cut.tolist() == [False, True, False, False]


def test_two_task_types_are_fitted_apart_and_few_problems_hold_nothing_out(tmp_path):
    columns = {"task_type": ["a", "b"] * 3, "temperature": [0.5] * 6, "quality": [0.3, 0.8] * 3}
    fit = fit_world(read(answers.write(tmp_path / "d.csv", columns), Columns()), split_seed=0)
    curves = [one.quality for one in fit.tasks if one.quality is not None]
    assert [round(curve.fit.values["q0"], 2) for curve in curves] == [0.3, 0.8]
    assert [curve.held for curve in curves] == [None, None]
    assert fit.noise == NoiseKind("graded", 1) or (fit.noise is not None and fit.noise.checks > 1)


def test_a_table_that_says_nothing_is_refused(tmp_path):
    path = answers.write(tmp_path / "e.csv", {"temperature": ["", 0.5], "quality": [1, ""]})
    with pytest.raises(ValueError, match="no task type of .* has a quality at a temperature or a length"):
        fit_world(read(path, Columns()), split_seed=0)


def test_the_halves_hold_whole_problems(fit, tmp_path):
    table = read(answers.write(tmp_path / "f.csv", answers.table()), Columns(**answers.COLUMNS))
    other = fit_world(table, split_seed=1).tasks[0].quality
    assert other is not None
    assert other.held != fit.tasks[0].quality.held
    assert other.fit.values == fit.tasks[0].quality.fit.values
