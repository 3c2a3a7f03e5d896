"""Replay is the mean of the matching rows where that is right, and rejection makes any log the target's."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate
from evaluators.estimators import ips, snips
from evaluators.estimators.replay import Params, replayed
from evaluators.intervals import t
from evaluators.rows import Rows, check


@pytest.fixture
def uniform(world):
    """The published case: a logger that draws evenly, a target that is certain."""
    certain = np.eye(5)[world.mean.argmax(axis=1)]
    return world._replace(behavior=np.full((8, 5), 0.2), target=certain)


@pytest.fixture
def rows(uniform):
    return uniform.draw(np.random.default_rng(0), 2000)[0]


def test_the_value_is_the_mean_reward_of_the_matching_rows(rows) -> None:
    matching = rows.reward[rows.target[np.arange(2000), rows.slot] == 1]
    found = estimate(Params(), rows)
    assert found.value == pytest.approx(matching.mean(), rel=1e-12)
    assert found.ess == pytest.approx(matching.size, rel=1e-12)


def test_it_is_snips_on_such_a_log(rows) -> None:
    wanted = estimate(snips.Params(), rows)
    np.testing.assert_allclose(estimate(Params(), rows), wanted, rtol=1e-9)


def test_its_t_interval_is_that_of_the_matching_rows_alone(rows) -> None:
    # the linearised variance has m where the sample's has m - 1, times n / (n - 1)
    matching = rows.reward[rows.target[np.arange(2000), rows.slot] == 1]
    m = matching.size
    wanted = stats.sem(matching) * np.sqrt((m - 1) / m * 2000 / 1999)
    assert estimate(Params(interval=t.Params()), rows).stderr == pytest.approx(wanted, rel=1e-9)


def test_the_value_is_the_truth_on_a_long_log(uniform, draw_shared) -> None:
    # |z| <= 4, false alarm 6e-5
    found = estimate(Params(), draw_shared(uniform, np.random.default_rng(1), 200_000))
    assert abs(found.value - uniform.truth()) <= 4 * found.stderr


def test_another_target_or_another_logger_is_refused(world, uniform, rows) -> None:
    with pytest.raises(ValueError, match="estimator replay needs a target that takes one action"):
        estimate(Params(), rows._replace(target=np.full((2000, 5), 0.2)))
    skewed, _ = uniform._replace(behavior=world.behavior).draw(np.random.default_rng(2), 50)
    with pytest.raises(ValueError, match="estimator replay needs a logger that is uniform over the 5 slots"):
        estimate(Params(), skewed)


def test_matching_rows_of_another_logger_would_mislead(world, uniform, draw_shared) -> None:
    # why it is refused: contexts where the logger likes the target's action are met too often
    skewed = uniform._replace(behavior=world.behavior)
    rows = draw_shared(skewed, np.random.default_rng(2), 400_000)
    matching = rows.reward[rows.at(rows.target) == 1]
    chance = (skewed.target * skewed.behavior).sum(axis=1)
    limit = np.average((skewed.target * skewed.mean).sum(axis=1), weights=chance)
    assert abs(matching.mean() - limit) <= 4 * stats.sem(matching)
    assert abs(matching.mean() - skewed.truth()) > 4 * stats.sem(matching)


def test_rejection_keeps_exactly_the_matching_rows_in_the_published_case(rows) -> None:
    kept = replayed(np.random.default_rng(3), rows, max_weight=5.0)
    matching = rows.target[np.arange(2000), rows.slot] == 1
    np.testing.assert_array_equal(kept.reward, rows.reward[matching])
    np.testing.assert_array_equal(kept.slot, rows.slot[matching])


@pytest.mark.parametrize("is_shared", [True, False], ids=["tables", "written out"])
def test_what_rejection_keeps_is_a_log_of_the_target_itself(world, draw_shared, is_shared) -> None:
    # |z| <= 4 three times, false alarms 2e-4
    largest = float((world.target / world.behavior).max())
    rows = draw_shared(world, np.random.default_rng(4), 200_000)
    if not is_shared:
        written = {name: getattr(rows, name)[rows.row] for name in ("behavior", "target", "predicted")}
        rows = rows._replace(**written, row=None, cluster=np.arange(200_000))
    kept = check(replayed(np.random.default_rng(5), rows, max_weight=largest))
    share = kept.reward.size / 200_000
    assert abs(share - 1 / largest) <= 4 * np.sqrt(share * (1 - share) / 200_000)
    np.testing.assert_array_equal(kept.behavior, kept.target)
    found = estimate(ips.Params(), kept)
    assert found.value == pytest.approx(kept.reward.mean(), rel=1e-12)
    assert abs(found.value - world.truth()) <= 4 * found.stderr
    taken = kept.slot == 3
    assert abs(taken.mean() - kept.at(np.tile(world.target[:, 3:4], 5) if is_shared else kept.target[:, 3]).mean()) <= (
        4 * stats.sem(taken)
    )


def test_averaged_over_its_uniforms_rejection_is_snips(world) -> None:
    # |z| <= 4, false alarm 6e-5, beside a bias of the ratio of 1 / kept rows that is 1e-3 of a standard deviation
    rows, _ = world.draw(np.random.default_rng(6), 2000)
    rng, largest = np.random.default_rng(7), float((world.target / world.behavior).max())
    values = np.array([replayed(rng, rows, max_weight=largest).reward.mean() for _ in range(300)])
    assert abs(values.mean() - estimate(snips.Params(), rows).value) <= 4 * stats.sem(values)


def test_a_logger_known_in_part_can_be_thinned_too(world) -> None:
    rows, _ = world.draw(np.random.default_rng(8), 500)
    known = np.where(np.arange(5) == rows.slot[:, None], rows.behavior, np.nan)
    kept = replayed(np.random.default_rng(9), rows._replace(behavior=known, is_partial=True), max_weight=20.0)
    wanted = replayed(np.random.default_rng(9), rows, max_weight=20.0)
    np.testing.assert_array_equal(kept.reward, wanted.reward)
    assert not check(kept).is_partial


def test_what_cannot_be_thinned_is_refused(world) -> None:
    rows, _ = world.draw(np.random.default_rng(10), 50)
    rng = np.random.default_rng(11)
    with pytest.raises(ValueError, match=r"need <= max_weight = 1;"):
        replayed(rng, rows, max_weight=1.0)
    with pytest.raises(ValueError, match=r"rejection kept none of 50 rows"):
        replayed(rng, rows, max_weight=1e9)
    behavior, target = np.array([[1.0, 0.0]] * 3), np.array([[0.4, 0.6]] * 3)
    missing = Rows(np.zeros(3), np.zeros(3, np.int64), behavior, target)
    with pytest.raises(ValueError, match=r"take only 0.4 of the target's mass"):
        replayed(rng, missing, max_weight=5.0)
