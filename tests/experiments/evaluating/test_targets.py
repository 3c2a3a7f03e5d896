"""Who is judged: the logger, policies that need not learn, and bundles as production serves them."""

from pathlib import Path

import numpy as np
import pytest

from envs.targets import ConfigError
from evaluators.log import write_log
from evaluators.reading.batches import Batch, Facts
from evaluators.reading.own_parquet import OwnParquet
from experiments.evaluating.targets import bundle_target, column_target, logger_target, policy_target
from policies.bundle import DIGEST_ONLY, load, write_candidate
from policies.frozen import freeze_policy
from policies.learners import fixed, linucb, uniform
from policies.masses import TOTAL
from tests.examples import LEARNERS, release, run_policy, small_world
from tests.other_logs import LABELS, draw

DRAWN = draw(30)
AT = np.arange(30), DRAWN.slot
BATCH = Batch(
    np.arange(1, 31), DRAWN.reward, DRAWN.behavior[AT], DRAWN.slot, behavior=DRAWN.behavior, target=DRAWN.target
)
FACTS = Facts(LABELS, 4)
RUN = run_policy(LEARNERS["thompson shared"], n_rounds=30)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Batch, Facts]:
    file = tmp_path_factory.mktemp("own") / "log.parquet"
    write_log(file, RUN.log)
    reader = OwnParquet(file)
    list(reader.batches())
    (batch,) = reader.batches(reader.facts())
    return batch, reader.facts()


def test_the_control_is_the_logger_and_a_column_is_what_the_file_says() -> None:
    assert logger_target().whole(BATCH) is BATCH.behavior
    logged, whole = logger_target().logged(BATCH), column_target("t").whole(BATCH)
    assert logged is not None and np.array_equal(logged, BATCH.propensity)
    assert whole is not None and np.array_equal(whole, DRAWN.target)
    assert column_target("t").logged(BATCH) is None


def test_uniform_spreads_over_the_row_s_own_actions() -> None:
    mask = np.ones((30, 4), np.bool_)
    mask[::2, 3] = False
    table = policy_target(uniform.Params(), name="uniform", incumbent="", facts=FACTS).whole(BATCH._replace(mask=mask))
    assert table is not None
    assert np.allclose(table, mask / mask.sum(axis=1, keepdims=True), atol=1 / TOTAL)
    assert np.array_equal(table > 0, mask)


def test_fixed_stays_with_the_named_incumbent_but_for_its_floor() -> None:
    table = policy_target(fixed.Params(floor=0.2), name="fixed", incumbent="fir", facts=FACTS).whole(BATCH)
    assert table is not None
    assert np.allclose(table, [0.05, 0.05, 0.85, 0.05], atol=2 / TOTAL)


def test_an_incumbent_that_a_row_could_not_take_is_unsupported_there() -> None:
    mask = np.ones((30, 4), np.bool_)
    mask[0, 2] = False
    table = policy_target(fixed.Params(), name="fixed", incumbent="fir", facts=FACTS).whole(BATCH._replace(mask=mask))
    assert table is not None
    assert table.sum(axis=1).tolist() == [0.0, *[1.0] * 29]


def test_an_unknown_incumbent_and_a_policy_that_learns_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"experiment.incumbent: got 'fri'.*'fir'"):
        policy_target(fixed.Params(), name="fixed", incumbent="fri", facts=FACTS)
    with pytest.raises(ConfigError, match="policy: got 'linucb'.*experiment.target=DIR"):
        policy_target(linucb.Params(), name="linucb", incumbent="", facts=FACTS)
    with pytest.raises(ConfigError, match="at most 256 slots"):
        policy_target(uniform.Params(), name="uniform", incumbent="", facts=Facts((), 300))


def test_on_our_own_log_fixed_is_the_centre_of_each_window(own: tuple[Batch, Facts]) -> None:
    batch, facts = own
    table = policy_target(fixed.Params(), name="fixed", incumbent="", facts=facts).whole(batch)
    assert table is not None
    assert np.array_equal((table * RUN.log.action_ids).sum(axis=1), RUN.log.centre)


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_bundle_is_judged_by_the_masses_it_serves(learner: str, own: tuple[Batch, Facts], tmp_path: Path) -> None:
    """Each row's probabilities are those of `recommend`, moved to the logged slots by action id."""
    run, world = run_policy(LEARNERS[learner], n_rounds=20), small_world()
    policy = freeze_policy(world, run.bounded, state=run.state.inner, approved=run.state.approved)
    write_candidate(tmp_path / "b", policy, release())
    served, batch = load(tmp_path / "b", trust=DIGEST_ONLY), own[0]
    table = bundle_target(tmp_path / "b").whole(batch)
    assert table is not None
    people = world.population
    for i in range(0, 30, 3):
        (member,) = np.flatnonzero((people.features == RUN.log.context[i]).all(axis=1))[:1]
        answer = served.recommend(people.tasks[member], RUN.log.task_type[i], f"r-{i}")
        for slot, action in enumerate(RUN.log.action_ids[i]):
            mass = answer.masses[(answer.window.action_ids == action) & answer.window.feasible].sum()
            assert table[i, slot] == (mass / TOTAL if RUN.log.mask[i, slot] else 0.0)


def test_a_bundle_needs_to_know_what_was_asked(own: tuple[Batch, Facts], tmp_path: Path) -> None:
    policy = freeze_policy(small_world(), RUN.bounded, state=RUN.state.inner, approved=RUN.state.approved)
    write_candidate(tmp_path / "b", policy, release())
    target, windows = bundle_target(tmp_path / "b"), own[0].windows
    assert windows is not None
    with pytest.raises(ConfigError, match="our own log"):
        target.whole(BATCH)
    with pytest.raises(ValueError, match="task type 'shrot'.*'short'"):
        target.whole(own[0]._replace(windows=windows._replace(task_type=np.full(30, "shrot", object))))
    with pytest.raises(ValueError, match="contexts have 2 entries"):
        target.whole(own[0]._replace(windows=windows._replace(features=np.zeros((30, 2)))))
