"""What export looks at first: edited files and figures stand out, honest ones pass at the rate that theory gives."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.tasks import TaskFeatures, fingerprint
from evaluators.log import write_log
from experiments.candidates import CANDIDATE, LOGS
from experiments.checking import VettedRun, open_run, recheck
from experiments.results import load_summary
from policies.bundle import read_candidate
from policies.evidence import FIGURES
from policies.masses import TOTAL
from tests.examples import small_world
from tests.vetted import candidate, draw, judge, leave, true_gain

N_LOGS = 150


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return leave(tmp_path_factory.mktemp("vetted") / "run")


def test_an_honest_run_is_read_whole(run: Path) -> None:
    found = open_run(run)
    assert found == VettedRun(run, found.candidate, load_summary(run))
    assert found.candidate.policy.digest == candidate().digest


def test_the_figure_is_the_one_of_weights_around_the_mean_reward(run: Path) -> None:
    """Row by row: (what the candidate would do - what the start would) / propensity, times reward less its mean."""
    log, policy, found = draw(2, 400), candidate(), recheck(open_run(run))
    scores = []
    for i in range(len(log)):
        task = policy.task_types.index(log.task_type[i])
        asked = policy.decision(_task(log.fingerprint[i]), task, np.ones(2))
        chosen = policy.masses(asked)[log.slot[i]] / TOTAL
        weight = (chosen - (log.action_id[i] == log.centre[i])) / log.propensity[i]
        scores.append(weight * (log.reward[i] - log.reward.mean()))
    assert found.n == 400
    assert found.estimate == pytest.approx(np.mean(scores), rel=1e-9)
    # clusters of one row: the sum of squares around the mean, over n (n - 1)
    assert found.stderr == pytest.approx(np.std(scores, ddof=1) / math.sqrt(400), rel=1e-3)
    assert found.z == pytest.approx(abs(found.estimate - true_gain(policy)) / found.stderr)


def _task(text: str) -> TaskFeatures:
    people = small_world().population
    prints = [fingerprint(t, task_type=people.names[k]) for t, k in zip(people.tasks, people.task, strict=True)]
    return people.tasks[prints.index(text)]


@pytest.mark.slow
def test_z_is_standard_normal_where_the_evidence_is_true(run: Path, tmp_path: Path) -> None:
    """150 logs of 300 rows: mean 0 +- 1 / sqrt(150), mean square 1 +- sqrt(2 / 150); 4.5 of these: 1 in 10^5."""
    truth, found, vetted = true_gain(candidate()), [], open_run(run)
    (tmp_path / "log").mkdir()
    (tmp_path / CANDIDATE).symlink_to(run / CANDIDATE)
    for seed in range(N_LOGS):
        write_log(tmp_path / LOGS["judgement_log"], draw(1000 + seed, 300))
        one = recheck(vetted._replace(folder=tmp_path))
        found.append((one.estimate - truth) / one.stderr)
        assert one.z == pytest.approx(abs(found[-1]))
    z = np.array(found)
    assert abs(z.mean()) < 4.5 / math.sqrt(N_LOGS)
    assert abs(np.mean(z**2) - 1) < 4.5 * math.sqrt(2 / N_LOGS)
    assert np.abs(z).max() < 5  # what export lets pass: 150 * 6e-7 of it by chance


def test_an_edited_estimate_is_many_standard_errors_away(run: Path, tmp_path: Path) -> None:
    before = recheck(open_run(run))
    moved = read_candidate(run / CANDIDATE).release.evidence.estimate
    assert moved is not None and before.z < 5
    edited = leave(tmp_path / "edited", estimate=moved + 12 * before.stderr)
    assert recheck(open_run(edited)).z == pytest.approx(12, abs=before.z + 1e-6)


def test_without_an_estimate_the_distance_is_infinite(tmp_path: Path) -> None:
    nobody: dict[str, Any] = {"verdict": "refused", **dict.fromkeys(FIGURES)}
    assert recheck(open_run(leave(tmp_path / "run", **nobody))).z == math.inf


def test_a_log_of_one_row_has_no_standard_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the judgement log has 1 rows, need at least 2"):
        recheck(open_run(leave(tmp_path / "run", n=1)))


@pytest.mark.parametrize("file", LOGS.values())
def test_every_file_the_evidence_rests_on_is_held_to_its_digest(file: str, tmp_path: Path) -> None:
    folder = leave(tmp_path / "run", n=20)
    with open(folder / file, "ab") as stream:
        stream.write(b"#")
    with pytest.raises(ValueError, match=f"{file}: sha256 is [0-9a-f]{{64}}, need [0-9a-f]{{64}}"):
        open_run(folder)
    (folder / file).unlink()
    with pytest.raises(ValueError, match=f"{file} is missing, the evidence rests on it"):
        open_run(folder)


def test_what_is_no_vetted_run_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder, need that of a vetted run"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="summary.json"):
        open_run(tmp_path)
    folder = leave(tmp_path / "run", n=20)
    (folder / CANDIDATE).rename(folder / "elsewhere")
    with pytest.raises(ValueError, match=r"its gate judged nobody \(approved: thompson: "):
        open_run(folder)


def test_a_summary_that_says_something_else_is_refused(tmp_path: Path) -> None:
    folder = leave(tmp_path / "run", n=20)
    (folder / CANDIDATE).rename(folder / "elsewhere")
    judge(folder, verdict="refused")
    text = (folder / "summary.json").read_text("utf-8")
    (folder / "summary.json").write_text(text.replace('"refused"', '"approved"'), "utf-8")
    with pytest.raises(ValueError, match="says 'approved', the candidate's evidence 'refused', need one verdict"):
        open_run(folder)
