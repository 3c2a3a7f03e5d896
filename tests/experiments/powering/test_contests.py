"""A candidate differs from the baseline by exactly what was asked, on the support that was asked."""

import numpy as np
import pytest

from evaluators.rows import RewardRange
from experiments.powering.contests import Contest, aimed, ess_share_of, explored, levelled, reach


def contest(m: int = 40, k: int = 6) -> Contest:
    """Contexts with a home slot 0; the last slot of every other context is infeasible."""
    rng = np.random.default_rng(3)
    feasible = np.ones((m, k), np.bool_)
    feasible[::2, -1] = False
    home = np.zeros((m, k))
    home[:, 0] = 1.0
    value = np.where(feasible, rng.random((m, k)), 0.0)
    return Contest(np.full(m, 1 / m), feasible, home, home, home, value, RewardRange(0.0, 1.0))


@pytest.mark.parametrize("difference", [0.02, 0.05, 0.15])
def test_the_difference_is_the_one_asked_for_and_the_support_too(difference: float) -> None:
    logger = explored(contest(), 0.5)
    found = aimed(np.random.default_rng(0), contest(), difference, logger=logger, ess_share=0.3)
    assert found.difference == pytest.approx(difference, abs=1e-9)
    assert ess_share_of(found, logger) == pytest.approx(0.3, abs=0.02)  # sharpness is set at the coarse solution
    np.testing.assert_allclose(found.target.sum(axis=1), 1.0)
    assert (found.target[~found.feasible] == 0).all()


def test_a_candidate_that_is_no_better_is_as_sharp() -> None:
    logger = explored(contest(), 0.5)
    found = levelled(np.random.default_rng(0), contest(), logger=logger, ess_share=0.3)
    assert found is not None
    assert found.difference == pytest.approx(0.0, abs=1e-9)
    assert ess_share_of(found, logger) == pytest.approx(0.3, abs=0.02)


def test_where_the_baseline_is_poor_a_sharper_one_is_sought_and_where_it_is_worst_there_is_none() -> None:
    one = contest()
    poor = one.value.copy()
    poor[:, 0] = np.where(one.feasible, one.value, 9.0).min(axis=1) + 0.02
    poorer = one._replace(value=poor)
    logger = explored(poorer, 0.5)
    found = levelled(np.random.default_rng(0), poorer, logger=logger, ess_share=0.6)
    assert found is not None and found.difference == pytest.approx(0.0, abs=1e-9)
    assert ess_share_of(found, logger) < 0.35
    poor[:, 0] = 0.0
    worst = one._replace(value=poor)
    assert levelled(np.random.default_rng(0), worst, logger=logger, ess_share=0.6) is None


def test_no_policy_reaches_further_than_the_best() -> None:
    """Value of the best slot everywhere less that of slot 0."""
    one = contest()
    assert reach(one) == pytest.approx(float((one.value.max(axis=1) - one.value[:, 0]).mean()))
    with pytest.raises(ValueError, match="the best policy there is gains no more over the baseline"):
        aimed(np.random.default_rng(0), one, 1.01 * reach(one), logger=explored(one, 0.5), ess_share=0.3)


def test_a_candidate_of_wide_support_reaches_less_than_the_best() -> None:
    one = contest()
    with pytest.raises(ValueError, match=r"a smaller experiment\.ess_share does"):
        aimed(np.random.default_rng(0), one, 0.95 * reach(one), logger=explored(one, 0.5), ess_share=0.5)


def test_a_blend_of_the_baseline_would_make_every_difference_as_hard() -> None:
    """Why candidates are not blends: contrast, hence difference and spread, scale alike."""
    one = contest()
    logger = explored(one, 0.5)
    good = aimed(np.random.default_rng(0), one, 0.1, logger=logger, ess_share=0.3)
    ratios = []
    for part in (0.2, 1.0):
        blend = good._replace(target=(1 - part) * good.baseline + part * good.target)
        second = float(one.share @ (blend.contrast**2 / np.where(logger > 0, logger, 1.0)).sum(axis=1))
        ratios.append(blend.difference**2 / second)
    assert ratios[0] == pytest.approx(ratios[1])


def test_a_floor_mixes_the_shape_with_the_feasible_slots() -> None:
    """Floor 0.4 over 5 feasible slots: 0.08 each, and 0.6 more at home."""
    found = explored(contest(), 0.4)
    np.testing.assert_allclose(found[0], [0.68, 0.08, 0.08, 0.08, 0.08, 0.0])
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_support_is_lost_where_the_logger_never_goes() -> None:
    one = contest()
    assert ess_share_of(one._replace(target=one.feasible / one.feasible.sum(axis=1, keepdims=True)), one.shape) == 0.0
