"""The functions of a replay on numbers made by hand."""

import numpy as np
import pytest

from envs.recorded.interpolation import Corners
from envs.recorded.playback import PLAYBACK, Numbers, summed
from envs.recorded.recording import PARTS
from envs.reward import RewardWeights, weights
from envs.traffic import Context
from envs.world import Noise

LENGTHS = np.array([10.0, 20.0, 30.0, 40.0, 70.0])


@pytest.fixture
def numbers() -> Numbers:
    """One unit; action 0 with 2 answers, action 1 between (weights 1/4, 3/4), action 2 with 3, action 3 never."""
    rows = np.zeros((5, len(PARTS)))
    rows[:, 0] = [0.0, 1.0, 0.5, 0.25, 0.0]
    rows[:, 1] = LENGTHS
    has = np.array([[True, False, True, False]])
    corner = np.array([[[0, 0], [0, 2], [2, 2], [3, 3]]], np.int32)
    weight = np.array([[[1.0, 0.0], [0.25, 0.75], [1.0, 0.0], [1.0, 0.0]]])
    return Numbers(
        **summed(rows, np.array([2, 3]), has),
        task=np.zeros(1, np.int32),
        corners=Corners(corner, weight, np.cumsum(weight, axis=-1)),
        reserved=np.array([1.0, 2.0, 3.0, 4.0]) / 4.0,
        half=np.zeros(1, np.int32),
        weights=weights(RewardWeights(reservation=0.1)),
    )


def draw(numbers: Numbers, action: int, *uniform: float) -> tuple[float, float]:
    who = Context(np.int32(0), np.int32(0), np.zeros(1), np.int32(0))
    noise = Noise(np.array(uniform), np.zeros(PLAYBACK.n_normal))
    outcome, reward = PLAYBACK.outcome(numbers, np.int32(9), who, np.int32(action), noise=noise)
    return float(outcome.output_tokens), float(reward)


def test_cells_are_summed_with_an_entry_for_what_was_never_recorded(numbers: Numbers) -> None:
    assert numbers.begin.tolist() == [0, 2, 5] and numbers.replicates.tolist() == [2, 3, 0]
    assert numbers.cell.tolist() == [[0, 2, 1, 2]]
    np.testing.assert_allclose(numbers.means[:2, 1], [15.0, 140.0 / 3.0])
    assert np.isnan(numbers.means[2]).all() and np.isnan(numbers.rows[5]).all()


def test_the_expectation_between_two_recorded_actions_is_the_weighted_mean(numbers: Numbers) -> None:
    outcome, reward = PLAYBACK.expected(numbers, np.int32(0), np.int32(0), np.arange(4, dtype=np.int32))
    want = [15.0, 0.25 * 15.0 + 0.75 * 140.0 / 3.0, 140.0 / 3.0, np.nan]
    np.testing.assert_allclose(outcome.output_tokens, want, rtol=1e-15)
    # quality 1/4 x 1/2 + 3/4 x 1/4, less 0.1 x its own reservation 2/4
    np.testing.assert_allclose(reward[1], 0.25 * 0.5 + 0.75 * 0.25 - 0.05, rtol=1e-14)


def test_a_draw_takes_a_corner_by_weight_and_then_one_of_its_answers(numbers: Numbers) -> None:
    assert PLAYBACK.n_uniform == 2 and PLAYBACK.n_normal == 0
    assert draw(numbers, 0, 0.99, 0.49)[0] == 10.0 and draw(numbers, 0, 0.99, 0.5)[0] == 20.0
    assert draw(numbers, 1, 0.2499, 0.6)[0] == 20.0 and draw(numbers, 1, 0.25, 0.34)[0] == 40.0
    assert draw(numbers, 1, 0.25, 0.99) == (70.0, -0.05)
    assert np.isnan(draw(numbers, 3, 0.5, 0.5)[1])
