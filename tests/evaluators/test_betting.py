"""The betting sequence: the textbook capital, one engine for streams and batches, and its promise kept."""

import numpy as np
import pytest

from evaluators.betting import Params, bounds, ever_excludes, observe, sequence, start
from evaluators.cut import cut_scores, cut_tables
from evaluators.rows import RewardRange, Rows
from evaluators.shares import clopper_pearson

UNIT = RewardRange(0.0, 1.0)
COARSE = Params(n_candidates=64)


def scored(world, rng, n_runs, n, *, params=COARSE):
    log, context = world.draw(rng, n_runs * n)
    rows = Rows(log.reward, log.slot, world.behavior, world.target, world.model, reward_range=UNIT, row=context)
    return cut_scores(cut_tables(rows, params.cuts), rows).folded(n_runs)


def stream(params, rows, *, step=1):
    """The bounds after every `step` decisions."""
    state, found = start(params, UNIT), []
    for first in range(0, rows.reward.size, step):
        state = observe(params, state, rows.part(first, first + step))
        found.append(bounds(params, state))
    return np.array(found)


def textbook(params, rows):
    """(n, 2) bounds by the definition: every bet's and every candidate's log capital, and running extremes."""
    scores = cut_scores(cut_tables(rows, params.cuts), rows)
    sides = []
    for gains in (scores.lower, 1 - scores.upper):
        refused = np.zeros(rows.reward.size)
        for candidate in np.arange(1, params.n_candidates) / params.n_candidates:
            logs = [
                np.cumsum(np.log(1 + bet * (gain - candidate) / (k + candidate)))
                for k, gain in zip(params.cuts, gains, strict=True)
                for bet in np.geomspace(params.smallest, params.largest, params.n_bets)
            ]
            over = np.logaddexp.reduce(logs, axis=0) - np.log(len(logs)) >= np.log(2 / (1 - params.confidence))
            refused = np.where(np.maximum.accumulate(over), candidate, refused)
        sides.append(refused)
    return np.column_stack([sides[0], 1 - sides[1]])


@pytest.mark.parametrize("params", [COARSE, Params(confidence=0.8, cuts=(0.0, 3.0), n_bets=4, n_candidates=50)])
def test_bounds_are_those_of_the_textbook_capital(world, params) -> None:
    rows, _ = world.draw(np.random.default_rng(1), 400)
    found = stream(params, rows)
    np.testing.assert_allclose(found, textbook(params, rows), atol=1e-12)
    assert found[-1, 1] - found[-1, 0] < 0.5  # it says something


def test_one_at_a_time_many_at_once_and_many_runs_agree(heavy_world) -> None:
    logs = [heavy_world.draw(np.random.default_rng(seed), 120)[0] for seed in range(3)]
    sizes = (1, 40, 120)
    scores = [cut_scores(cut_tables(rows, COARSE.cuts), rows) for rows in logs]
    together = type(scores[0])(*(np.stack(side, axis=1) for side in zip(*scores, strict=True)))
    batch = sequence(COARSE, together, sizes=sizes)
    for run, rows in enumerate(logs):
        one_by_one = stream(COARSE, rows)[np.array(sizes) - 1]
        np.testing.assert_array_equal(one_by_one, np.column_stack([batch.lo[run], batch.hi[run]]))
        np.testing.assert_array_equal(stream(COARSE, rows, step=40)[-1], one_by_one[-1])


def test_bounds_only_ever_narrow_and_a_state_stays_what_it_was(world) -> None:
    rows, _ = world.draw(np.random.default_rng(2), 300)
    path = stream(COARSE, rows)
    assert np.all(np.diff(path[:, 0]) >= 0) and np.all(np.diff(path[:, 1]) <= 0)
    early = observe(COARSE, start(COARSE, UNIT), rows.part(0, 50))
    before = early.lower.capital.copy()
    later = observe(COARSE, early, rows.part(50, 300))
    np.testing.assert_array_equal(early.lower.capital, before)
    assert (early.n, later.n) == (50, 300)
    assert bounds(COARSE, early) == tuple(path[49])


def test_excluding_a_value_by_the_grid_is_excluding_it_by_its_own_capital(world) -> None:
    """Outward rounding: what the grid excludes, the capital against the very value excludes too."""
    scores = scored(world, np.random.default_rng(3), 40, 300)
    ends = sequence(COARSE, scores, sizes=(300,))
    for value in (0.3, 0.5, 0.65, 0.8):
        by_grid = ((ends.lo > value) | (ends.hi < value))[:, 0]
        by_capital = ever_excludes(COARSE, scores, value)
        assert np.all(by_capital[by_grid])
        step = 1 / COARSE.n_candidates
        nearly = ((ends.lo + step <= value) & (value <= ends.hi - step))[:, 0]
        assert not np.any(by_capital[nearly])


def test_bounds_are_in_reward_units(world) -> None:
    rows, _ = world.draw(np.random.default_rng(4), 200)
    declared = RewardRange(-1.0, 3.0)
    wide = rows._replace(reward=4 * rows.reward - 1, predicted=4 * rows.predicted - 1, reward_range=declared)
    plain = bounds(COARSE, observe(COARSE, start(COARSE, UNIT), rows))
    scaled = bounds(COARSE, observe(COARSE, start(COARSE, declared), wide))
    np.testing.assert_allclose(scaled, 4 * np.array(plain) - 1, rtol=1e-9)


def test_without_support_the_bounds_enclose_every_value_the_mass_could_have(world) -> None:
    behavior = np.where(np.arange(5) == 2, 0.0, world.behavior)
    cut_off = world._replace(behavior=behavior / behavior.sum(axis=1, keepdims=True))
    rows, _ = cut_off.draw(np.random.default_rng(5), 1000)
    lo, hi = bounds(COARSE, observe(COARSE, start(COARSE, UNIT), rows))
    supported = float((world.target * world.mean * (behavior > 0)).sum(axis=1).mean())
    assert 0 < lo < supported < supported + world.target[:, 2].mean() < hi < 1


def test_a_log_of_logged_propensities_alone_needs_a_sequence_without_cuts(world) -> None:
    rows, _ = world.draw(np.random.default_rng(6), 300)
    known = np.arange(5) == rows.slot[:, None]
    partial = rows._replace(behavior=np.where(known, rows.behavior, np.nan), is_partial=True)
    plain = Params(cuts=(0.0,), n_candidates=64)
    np.testing.assert_array_equal(stream(plain, partial, step=100), stream(plain, rows, step=100))
    with pytest.raises(ValueError, match="need the whole window's"):
        observe(COARSE, start(COARSE, UNIT), partial)


def test_wrong_propensities_are_found_out(world) -> None:
    """Weights twice too large: gains average 2 V, losses 2 (1 - V), and no V has both."""
    scores = scored(world, np.random.default_rng(7), 20, 2000)
    wrong = type(scores)(2 * scores.lower, 1 - 2 * (1 - scores.upper))
    doubled = Params(cuts=tuple(2 * k for k in COARSE.cuts), n_candidates=64)
    assert ever_excludes(doubled, wrong, world.truth()).all()
    ends = sequence(doubled, wrong, sizes=(2000,))
    assert np.all(ends.lo > ends.hi)  # the set is empty: an assumption is broken


@pytest.mark.slow
def test_the_truth_is_ever_excluded_in_at_most_five_percent_of_runs(heavy_world) -> None:
    """Weights in the hundreds, 400 runs of 1,000 decisions, by the exact upper bound; near 1 % are expected."""
    params, rng = Params(), np.random.default_rng(8)
    wrong = sum(int(ever_excludes(params, scored(heavy_world, rng, 50, 1000, params=params), heavy_world.truth()).sum())
                for _ in range(8))  # fmt: skip
    assert clopper_pearson(wrong, 400, side="upper").hi <= 0.05


@pytest.mark.slow
def test_where_the_value_drifts_the_ends_stay_on_the_outer_side_of_its_extremes(world) -> None:
    """Mean rewards rise throughout; lo below the largest value so far and hi above the smallest, 200 runs.

    By the exact upper bound at most 5 %; the average value so far is another matter, and is excluded.
    """
    rng, n_runs, steps = np.random.default_rng(9), 200, 40
    shift = np.linspace(-0.08, 0.08, steps)
    parts = [scored(world._replace(mean=np.clip(world.mean + by, 0, 1)), rng, n_runs, 25) for by in shift]
    scores = type(parts[0])(*(np.concatenate(side, axis=2) for side in zip(*parts, strict=True)))
    values = np.array([world.truth() + by for by in shift])
    assert world.mean.min() > 0.08 and world.mean.max() < 0.92  # nothing was clipped
    ends = sequence(COARSE, scores, sizes=tuple(25 * (i + 1) for i in range(0, steps, 8)))
    largest, smallest = np.maximum.accumulate(values)[::8], np.minimum.accumulate(values)[::8]
    wrong = int(((ends.lo > largest) | (ends.hi < smallest)).any(axis=1).sum())
    assert clopper_pearson(wrong, n_runs, side="upper").hi <= 0.05


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"confidence": 1.0}, "need 0 < confidence < 1"),
        ({"largest": 1.0}, "smallest <= largest < 1"),
        ({"smallest": 0.95}, "smallest <= largest < 1"),
        ({"cuts": ()}, "need cuts >= 0"),
        ({"cuts": (-1.0,)}, "need cuts >= 0"),
        ({"n_candidates": 1}, "n_candidates >= 2"),
    ],
)
def test_impossible_numbers_are_refused(wrong, said) -> None:
    with pytest.raises(ValueError) as caught:
        Params(**wrong)
    assert said in str(caught.value)


def test_a_range_that_is_none_or_another_one_is_refused(world) -> None:
    with pytest.raises(ValueError, match="need two finite numbers, lo < hi"):
        start(COARSE, RewardRange(1.0, 1.0))
    rows, _ = world.draw(np.random.default_rng(10), 5)
    with pytest.raises(ValueError, match="the sequence began with"):
        observe(COARSE, start(COARSE, RewardRange(0.0, 2.0)), rows)
    with pytest.raises(ValueError, match=r"reward\[0\] = 7, need 0 <= value <= 1"):
        observe(COARSE, start(COARSE, UNIT), rows._replace(reward=np.full(5, 7.0)))
