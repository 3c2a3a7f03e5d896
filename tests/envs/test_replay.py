"""A world of recorded outcomes: means, draws, halves, standard errors, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from envs.drift import Params as DriftParams
from envs.recorded.playback import Numbers
from envs.recorded.recording import Columns
from envs.reward import RewardWeights
from envs.surfaces import replay
from envs.surfaces.replay import Baseline, gain, split, truth
from envs.targets import ConfigError
from envs.traffic import Context, draw, start, weights_at
from envs.world import Noise, Scenario
from experiments.settings import build as typed
from experiments.settings import described

Build = Callable[..., Scenario]
Write = Callable[..., Path]
NOW = np.int32(0)


def answer(scenario: Scenario, index: int, action: int, uniform: Any) -> tuple[Any, Any]:
    """One outcome and its reward, in NumPy."""
    people = scenario.population
    who = Context(np.int32(index), people.task[index], people.features[index], np.int32(0))
    noise = Noise(np.asarray(uniform), np.zeros(scenario.world.n_normal))
    return scenario.world.outcome(scenario.params, NOW, who, np.int32(action), noise=noise)


def leaves(scenario: Scenario) -> Numbers:
    assert isinstance(scenario.params, Numbers)
    return scenario.params


@pytest.fixture
def scenario(replayed: Build, write: Write, answers: Any) -> Scenario:
    """Models a and b, 8 problems, two answers a cell; T = 1.5 for b only."""
    return replayed(write(answers))


def means_of(answers: Any, model: str) -> np.ndarray:
    """(8, 4) mean score of a model's cells, straight from the rows."""
    table = np.full((8, 4), np.nan)
    for problem in range(8):
        for place, t in enumerate((0.0, 0.5, 1.0, 1.5)):
            found = [row[3] for row in answers if row[:3] == (model, f"p{problem}", t)]
            table[problem, place] = np.mean(found) if found else np.nan
    return table


def test_the_expected_reward_is_the_mean_of_the_recorded_answers(scenario: Scenario, answers: Any) -> None:
    want = np.concatenate([means_of(answers, "a"), means_of(answers, "b")])
    np.testing.assert_allclose(scenario.table(), want, rtol=1e-14)
    assert not scenario.is_exact and scenario.reward_range == (0.0, 1.0)


def test_an_action_never_recorded_is_not_feasible_and_worth_nan(scenario: Scenario) -> None:
    assert scenario.recorded.tolist() == [[True, True, True, False], [True] * 4]
    assert np.isnan(answer(scenario, 0, 3, (0.0, 0.0))[1])


def test_an_outcome_is_one_of_the_recorded_answers_each_as_often(scenario: Scenario, answers: Any) -> None:
    rows = [row for row in answers if row[:3] == ("b", "p3", 0.5)]
    drawn = []
    for u in (np.arange(100) + 0.5) / 100:
        outcome, reward = answer(scenario, 8 + 3, 1, (0.99, u))  # model b, problem 3, T = 0.5
        assert reward == outcome.quality
        drawn.append((float(outcome.quality), float(outcome.output_tokens)))
    assert sorted(set(drawn)) == sorted({(row[3], row[5]) for row in rows})
    assert [drawn.count(one) for one in sorted(set(drawn))] == [50, 50]


def test_the_last_uniform_below_one_draws_the_last_answer(scenario: Scenario) -> None:
    for dtype in (np.float32, np.float64):
        uniform = np.full(scenario.world.n_uniform, np.nextafter(dtype(1), dtype(0)), dtype)
        for index in range(16):
            assert np.isfinite(answer(scenario, index, 0, uniform)[1])


def test_jax_and_numpy_replay_the_same_numbers(replayed: Build, write: Write, answers: Any) -> None:
    for steps in ({}, {"temperature": "0.25"}):
        scenario = replayed(write(answers), interpolate=steps)
        world, people, size = scenario.world, scenario.population, scenario.lattice.size
        rng = np.random.default_rng(0)
        noise = Noise(rng.random((16, world.n_uniform)), rng.standard_normal((16, world.n_normal)))
        rows, ids = np.arange(16, dtype=np.int32), np.arange(size, dtype=np.int32)
        actions = rng.integers(0, size, 16).astype(np.int32)
        who = Context(rows, people.task, people.features, np.zeros(16, np.int32))
        expected = jax.jit(jax.vmap(world.expected, (None, None, 0, None)))(scenario.params, NOW, rows, ids)
        each = jax.vmap(lambda p, c, a, n, w=world: w.outcome(p, NOW, c, a, noise=n), (None, 0, 0, 0))
        outcome = jax.jit(each)(scenario.params, who, actions, noise)
        for i in rows:
            here = world.expected(scenario.params, NOW, i, ids)
            drawn = answer(scenario, int(i), int(actions[i]), noise.uniform[i])
            for a, b in zip(jax.tree.leaves((here, drawn)), jax.tree.leaves((expected, outcome)), strict=True):
                np.testing.assert_allclose(a, np.asarray(b)[i], rtol=1e-15)


def test_halves_share_no_problem_and_no_row_and_lose_none(scenario: Scenario) -> None:
    learn, judge = split(scenario)
    clusters = [set(half.population.cluster.tolist()) for half in (learn, judge)]
    assert not clusters[0] & clusters[1] and clusters[0] | clusters[1] == set(range(8))
    assert sum(len(leaves(half).rows) - 1 for half in (learn, judge)) == len(leaves(scenario).rows) - 1
    assert [half.name for half in (learn, judge)] == ["replay/learn", "replay/judge"]
    for half in (learn, judge):
        assert len(half.population.tasks) == 8 and half.population.count.tolist() == [4, 4]
        assert half.traffic.first.tolist() == [0, 4] and len(half.traffic.features) == 8
        assert leaves(half).task.tolist() == half.population.task.tolist() == [0] * 4 + [1] * 4
        keep = np.isin(scenario.population.cluster, half.population.cluster)
        assert np.array_equal(half.table(), scenario.table()[keep], equal_nan=True)
        assert np.array_equal(half.recorded, scenario.recorded) and np.array_equal(half.baseline, scenario.baseline)


def test_a_problem_falls_into_the_same_half_in_every_task_type(scenario: Scenario) -> None:
    for half in split(scenario):
        a, b = (half.population.cluster[half.population.task == k].tolist() for k in (0, 1))
        assert a == b


def test_the_halves_are_a_function_of_the_split_seed(replayed: Build, write: Write, answers: Any) -> None:
    path = write(answers)
    halves = [tuple(split(replayed(path, split_seed=s)).learn.population.cluster) for s in (0, 0, *range(1, 12))]
    assert halves[0] == halves[1]
    assert len(set(halves)) > 5


def test_a_half_cannot_be_split_again(scenario: Scenario) -> None:
    with pytest.raises(ValueError, match="world 'replay/learn' is one half already"):
        split(split(scenario).learn)


def test_task_types_with_problems_of_their_own_are_both_halved(replayed: Build, write: Write, answers: Any) -> None:
    own = [(m, f"{m}{p}", *rest) for m, p, *rest in answers]  # no problem is shared
    for seed in range(20):
        for half in split(replayed(write(own), split_seed=seed)):
            assert half.population.count.tolist() == [4, 4]


def test_too_few_problems_for_two_halves_are_refused(replayed: Build, write: Write, answers: Any) -> None:
    few = [row for row in answers if row[0] == "b" or row[1] in ("p0", "p1", "p2")]
    with pytest.raises(
        ConfigError, match=r"at least 2 problems of every task type in each half; 'a' has \d to learn on"
    ):
        replayed(write(few))


def test_truth_is_the_mean_over_problems_with_its_standard_error(scenario: Scenario, answers: Any) -> None:
    mean, stderr = truth(scenario)
    for k, model in enumerate("ab"):
        cells = means_of(answers, model)
        np.testing.assert_allclose(mean[k], cells.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(stderr[k], cells.std(axis=0, ddof=1) / np.sqrt(8), rtol=1e-12)
    assert np.isnan(mean[0, 3]) and np.isnan(stderr[0, 3])


def test_gain_is_paired_by_problem(scenario: Scenario, answers: Any) -> None:
    mean, stderr = gain(scenario)
    cells = means_of(answers, "b")
    gaps = cells - cells[:, [2]]  # the baseline is T = 1.0
    np.testing.assert_allclose(mean[1], gaps.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(stderr[1], gaps.std(axis=0, ddof=1) / np.sqrt(8), atol=1e-14)
    assert (mean[1, 2], stderr[1, 2]) == (0.0, 0.0)


def test_a_pair_that_lacks_a_problem_counts_as_never_recorded(replayed: Build, write: Write, answers: Any) -> None:
    rows = [row for row in answers if row[:3] != ("b", "p4", 0.5)]
    got = replayed(write(rows))
    assert got.recorded[1].tolist() == [True, False, True, True]
    assert np.isnan(got.table()[8:, 1]).all()
    assert any(
        "1 pairs of task type and action lack some problems" in n and "(14 of 110 rows, 12.7 %)" in n for n in got.notes
    )


def test_the_baseline_must_be_recorded_for_every_task_type(replayed: Build, write: Write, answers: Any) -> None:
    path = write(answers)
    with pytest.raises(
        ConfigError, match=r"world\.baseline: .*task type 'a' lacks them; those recorded for all: .*0\.5"
    ):
        replayed(path, baseline=Baseline(temperature="1.5"))
    with pytest.raises(ConfigError, match=r"temperature = 0\.6 is not on the grid, the nearest value is 0\.5"):
        replayed(path, baseline=Baseline(temperature="0.6"))
    assert replayed(path, baseline=Baseline(temperature="0.50")).baseline.tolist() == [1, 1]


def test_a_filled_gap_is_never_feasible_and_leaves_the_recorded_as_they_were(
    replayed: Build, write: Write, answers: Any
) -> None:
    path = write([row for row in answers if row[2] != 1.0 and row[0] == "b"])
    plain, got = replayed(path, baseline=Baseline("0.5")), replayed(path, baseline=Baseline("0.5"), fill_gaps=True)
    assert got.lattice.axes[0].values == ("0", "0.5", "1", "1.5") and plain.lattice.axes[0].values == (
        "0",
        "0.5",
        "1.5",
    )
    assert got.recorded.tolist() == [[True, True, False, True]]
    np.testing.assert_array_equal(got.table()[:, [0, 1, 3]], plain.table())
    assert np.isnan(got.table()[:, 2]).all()
    assert any("1 of the 4 values of temperature" in note for note in got.notes)


def test_several_recorded_axes_make_a_lattice(replayed: Build, write: Write, columns: Columns) -> None:
    header = ("model", "problem", "temperature", "score", "tokens", "length", "error", "cap")
    rows = [("a", p, t, 1, 9, 9, 0, cap) for p in range(4) for t in (0, 1) for cap in (100, 256)]
    got = replayed(
        write(rows, header=header),
        columns=replace(columns, max_tokens="cap"),
        baseline=Baseline(temperature="1", max_tokens="256"),
        reward=RewardWeights(reservation=0.5),
    )
    assert got.lattice.shape == (2, 2, 1, 1, 1, 1) and got.baseline.tolist() == [3]
    # 1 - 0.5 x 256 / 4096
    assert got.table()[0, 3] == pytest.approx(1.0 - 0.5 * 256 / 4096, rel=1e-14)
    assert got.reward_range == pytest.approx((-0.5 * 256 / 4096, 1.0))


def test_rewards_weigh_the_recorded_parts_and_stay_in_the_declared_range(
    replayed: Build, write: Write, answers: Any
) -> None:
    got = replayed(write(answers), reward=RewardWeights(tokens=2.0, failure=1.0), token_unit=4.0)
    # longest answer: 40 x (15 + 1 + 1) characters
    assert got.reward_range == pytest.approx((-2.0 * 680 / 4.0 / 1000.0, 1.0))
    table = got.table()
    low, high = got.reward_range or (0.0, 0.0)
    assert low <= np.nanmin(table) and np.nanmax(table) <= high


@pytest.mark.parametrize("weight", ["cost", "latency"])
def test_a_weight_on_what_was_not_recorded_is_refused(replayed: Build, write: Write, answers: Any, weight: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"world\.reward\.{weight}: got 0\.1, need 0, or a column: set world\.columns"
    ):
        replayed(write(answers), reward=RewardWeights(**{weight: 0.1}))


def test_a_drift_of_outcomes_is_refused_by_name(replayed: Build, write: Write, answers: Any) -> None:
    moves = [DriftParams(task_mix=0.5), DriftParams(onset=100, quality_factor=0.5)]
    with pytest.raises(
        ConfigError, match=r"drift\.NAME\.quality_factor: got 0\.5, need 1\.0: recorded outcomes do not move"
    ):
        replayed(write(answers), drift=moves)


def test_traffic_drifts_while_the_record_does_not(replayed: Build, write: Write, answers: Any) -> None:
    moves = [DriftParams(onset=10, task_mix=1.0, toward="b")]
    moves += [DriftParams(onset=10, prompt_divergence=0.1, prompt_feature="prompt_tokens")]
    got = replayed(write(answers), drift=moves)
    assert got.drift == tuple(moves) and got.regimes(20) == (0, 10)
    assert np.array_equal(got.table(t=0), got.table(t=10), equal_nan=True)
    for scenario in (got, split(got).judge):
        people = scenario.population
        before, after = (weights_at(scenario.traffic, t) for t in (0, 10))
        assert before[people.task == 0].sum() == pytest.approx(0.5) and after[people.task == 0].sum() == 0.0
        lengths = people.features[:, people.spec.names.index("prompt_tokens")]
        assert after[people.task == 1] @ lengths[people.task == 1] > lengths[people.task == 1].mean()
        who = draw(scenario.traffic, start(2)._replace(rounds=np.int32(40)), np.array([0.1, 0.5, 0.5]))
        assert who.task == 1 and who.level == 0


def test_a_column_that_is_not_there_is_refused_with_the_nearest(
    replayed: Build, write: Write, answers: Any, columns: Columns
) -> None:
    with pytest.raises(ConfigError, match=r"world\.columns\.quality: got 'scor', .*did you mean 'score'"):
        replayed(write(answers), columns=replace(columns, quality="scor"))


def test_context_vectors_hold_what_was_recorded(scenario: Scenario) -> None:
    spec = scenario.population.spec
    assert spec.names[-3:] == ("prompt_tokens", "model=a", "model=b")
    lengths = scenario.population.features[:, spec.names.index("prompt_tokens")]
    assert lengths.mean() == pytest.approx(0.0, abs=1e-12) and lengths.std() == pytest.approx(1.0)
    assert scenario.population.features[[0, 8], -2:].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def settings(root: Path, path: Path | None, name: str = "temperature_study") -> replay.Params:
    """A world's yaml as the command line types it, with `world.path` given or not."""
    node = OmegaConf.load(root / "configs" / "world" / f"{name}.yaml")
    assert isinstance(node, DictConfig)
    if path:
        node.path = str(path)
    params = typed(node, "world")
    assert isinstance(params, replay.Params)
    return params


def test_the_yaml_and_its_settings_survive_a_round_trip(root: Path, write: Write, answers: Any) -> None:
    with pytest.raises(ConfigError, match=r"world\.path: missing"):
        settings(root, None)
    params = settings(root, write(answers))
    assert typed(described(params), "world") == params


def test_replay_yaml_needs_a_problem_a_temperature_and_a_quality_alone(root: Path, write: Write) -> None:
    rows = [(p, t / 10, (p + t) % 2) for t in (8, 9, 10) for p in range(8)]
    path = write(rows, header=("problem_id", "temperature", "score"))
    got = replay.build(settings(root, path, "replay"))
    assert len(got.population.tasks) == 8 and len(got.population.names) == 1
    assert got.lattice.values("temperature").tolist() == [0.8, 0.9, 1.0]


def test_the_yaml_reads_a_table_of_the_study_it_names(root: Path, write: Write) -> None:
    """A stand-in of the same form; and the real table, where it lies beside the project."""
    header = ("model", "prompt_technique", "exam", "temperature", "problem_id", "topic", "score", "input_tokens")
    rows = [
        (m, "chain_of_thought", e, t / 10, f"{e}/{p}", "Math", (p + t) % 2, 300 + p, 900, "False")
        for m in ("m1", "m2")
        for e in ("comprehensive-100", "other-100")
        for t in range(11)
        for p in range(10)
    ]
    stand_in = write(rows, header=(*header, "output_length", "error"))
    real = root.parent / "shared" / "data" / "llm_temperature_outcomes.csv.gz"
    for path, n_units, n_rows in ((stand_in, 20, 220), (real, 900, 10_500)):
        if path.is_file():
            got = replay.build(settings(root, path))
            assert len(got.population.tasks) == n_units and len(leaves(got).rows) == n_rows + 1
            assert {len(half.population.tasks) for half in split(got)} == {n_units // 2}


def test_the_words_that_the_study_s_yaml_gives_make_models_actions(root: Path, write: Write) -> None:
    lines = (root / "configs" / "world" / "temperature_study.yaml").read_text(encoding="utf-8").splitlines()
    words = next(line for line in lines if "world.model_is=action" in line).removeprefix("#").split()
    header = ("model", "prompt_technique", "exam", "temperature", "problem_id", "score", "input_tokens")
    rows = [
        (m, "chain_of_thought", "comprehensive-100", t / 10, p, (p + t) % 2, 300 + p, 900, "False")
        for m in ("gpt-4", "other")
        for t in range(11)
        for p in range(10)
    ]
    node = OmegaConf.load(root / "configs" / "world" / "temperature_study.yaml")
    told = OmegaConf.from_dotlist([word.removeprefix("world.") for word in words])
    merged = OmegaConf.merge(node, told, {"path": str(write(rows, header=(*header, "output_length", "error")))})
    assert isinstance(merged, DictConfig)
    params = typed(merged, "world")
    assert isinstance(params, replay.Params)
    got = replay.build(params)
    assert got.lattice.shape == (11, 1, 1, 1, 1, 2) and got.recorded.all()
    assert got.lattice.parameters(int(got.baseline[0]))["model"] == "gpt-4"
