"""Noise and difficulty: kinds by their scores, variance components against a known truth and by hand."""

import numpy as np
import pytest

from experiments.calibration.fit_noise import Difficulty, NoiseKind, fit_difficulty, fit_spread, kind_of
from experiments.calibration.fitting import cells_of
from experiments.calibration.outcome_table import Columns, Selection, read_outcomes
from tests import answers

ONE = NoiseKind("binomial", 1)


def components(y, heat, problem, noise=ONE):
    cells = cells_of(np.asarray(heat, float)[:, None], np.asarray(y, float), problem)
    return fit_difficulty(cells, np.asarray(y, float), problem, noise=noise, plateau=np.ones(len(cells.mean), bool))


@pytest.mark.parametrize("checks", range(1, 9))
def test_shares_of_checks_are_known_by_the_fewest(checks):
    scores = np.arange(checks + 1) / checks
    assert kind_of(scores) == NoiseKind("binomial", checks)
    assert kind_of(np.round(scores, 3)) == NoiseKind("binomial", checks)


def test_other_scores_are_graded():
    assert kind_of(np.array([0.0, 0.31, 0.77])) == NoiseKind("graded", 1)


def test_components_by_hand():
    # two problems, two answers each at one temperature: 1 1 and 1 0
    found = components([1, 1, 1, 0], [0, 0, 0, 0], np.array([0, 0, 1, 1]))
    assert found.total == pytest.approx(0.75 * 0.25)
    # within: (0 + 0.5) / 2, times 2 / 1 for the mean that was estimated on two problems
    assert found.within == pytest.approx(0.5)
    assert found.ratio == pytest.approx(0.375)
    assert (found.between, found.n_problems, found.n_answers) == (0.0, 2, 4)


def test_between_gives_back_what_the_answers_were_drawn_with():
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        problem, heat = np.repeat(np.arange(160), 10), np.tile(np.arange(10), 160)
        y = rng.random(1600) < answers.hard(0.6, problem % answers.LEVELS)
        found.append(components(y, heat, problem).between)
    stderr = np.std(found, ddof=1) / np.sqrt(20)
    assert abs(np.mean(found) - answers.BETWEEN) <= 4 * stderr
    assert stderr < 0.01


def test_checks_divide_the_variance_within_problems():
    rng = np.random.default_rng(0)
    problem, heat = np.repeat(np.arange(1600), 10), np.tile(np.arange(10), 1600)
    y = rng.binomial(5, answers.hard(0.6, problem % answers.LEVELS)) / 5
    found = components(y, heat, problem, NoiseKind("binomial", 5))
    assert found.between == pytest.approx(answers.BETWEEN, abs=0.02)


def test_graded_answers_have_their_spread_beside_their_difficulty():
    rng = np.random.default_rng(1)
    problem, heat = np.repeat(np.arange(3200), 6), np.tile(np.arange(6), 3200)
    mean, spread = answers.hard(0.55, problem % answers.LEVELS), 0.2
    inside = np.clip(mean, 1e-9, 1 - 1e-9)
    y = rng.beta(inside * (1 / spread - 1), (1 - inside) * (1 / spread - 1))
    found = components(y, heat, problem, NoiseKind("graded", 1))
    assert found.between == pytest.approx(answers.BETWEEN, abs=0.02)
    assert fit_spread([found]) == pytest.approx(spread, abs=0.01)


def test_without_a_second_answer_difficulty_is_not_known():
    found = components([0, 1, 1], [0, 0, 0], np.arange(3))
    assert np.isnan(found.within)
    assert (found.between, found.n_problems) == (0.0, 0)
    assert Difficulty(0.2, 0.2, 0.0, 0.0, 1.0, 5, 10).ratio == np.inf


def test_published_variance_ratios_come_out_again(root):
    """Renze and Guven's table as we aggregated it before, failed calls counted; where the user has a copy."""
    path = root.parent / "shared" / "data" / "llm_temperature_outcomes.csv.gz"
    if path.is_file():
        columns = Columns(task_type="model", problem="problem_id", temperature="temperature", quality="score")
        heats = tuple(f"{i / 10}" for i in range(11))
        where: dict[str, str | tuple[str, ...]] = {
            "exam": "comprehensive-100",
            "prompt_technique": "chain_of_thought",
            "temperature": heats,
        }
        table = read_outcomes(path, Selection(columns, where, 1.0, 0.05))
        found = {}
        for i, name in enumerate(table.tasks):
            use = table.task == i
            scores, heat = (table.parts[part][use] for part in ("quality", "temperature"))
            found[name] = components(scores, heat, table.problem[use]).ratio
        published = {"cohere-command-r-plus": 8.0, "claude-3-opus-20240229": 6.6, "gpt-4": 6.1, "mistral-large": 4.4}
        published |= {"llama-2-70b-chat": 4.1, "gpt-35-turbo": 4.0, "llama-2-7b-chat": 3.6, "gemini-1.0-pro": 2.0}
        assert {name: found[name] for name in published} == pytest.approx(published, rel=0.03)
