"""The loggers of the certification: what they draw, and that the learner learns."""

from functools import cache

import numpy as np

from experiments.certifying.loggers import N_CONTEXTS, PULLS, WAIT, base_logger, learning_logger


@cache
def learned():
    logger = learning_logger()
    return logger, logger.draw(np.random.default_rng(1), 40, 3020)


def test_the_base_logger_is_the_pools() -> None:
    logger = base_logger()
    one, two = logger.draw(np.random.default_rng(2), 2, 30), logger.pool.draw(np.random.default_rng(2), 2, 30)
    np.testing.assert_array_equal(one.slot, two.slot)


def test_the_learners_rows_carry_the_propensities_its_actions_were_drawn_with() -> None:
    """Over contexts, actions and policies, z of the hits of the likeliest action; four standard errors."""
    logger, drawn = learned()
    best = logger.pool.behavior.argmax(axis=1)[drawn.row]
    chance = logger.pool.behavior[drawn.row, best]
    for policy in range(len(PULLS)):
        mine = drawn.row // N_CONTEXTS == policy
        gap = ((drawn.slot == best) - chance)[mine].sum() / np.sqrt((chance * (1 - chance))[mine].sum())
        assert abs(gap) < 4


def test_the_learner_keeps_a_policy_while_it_waits_and_comes_to_take_the_best() -> None:
    logger, drawn = learned()
    policy = drawn.row // N_CONTEXTS
    choices = policy[:, :3000].reshape(40, -1, WAIT)
    assert np.all(choices == choices[:, :, :1])
    value = [(logger.pool.behavior * logger.pool.q).sum(axis=1)[i * N_CONTEXTS :][:N_CONTEXTS].mean() for i in range(4)]
    best = int(np.argmax(value))
    assert PULLS[best] == 2.0
    assert np.mean(policy[:, -500:] == best) > 0.6 > np.mean(policy[:, :100] == best)
    assert drawn.row.shape == (40, 3020)


def test_the_targets_value_does_not_depend_on_the_learners_policy() -> None:
    pool = learned()[0].pool
    values = (pool.target * pool.q).sum(axis=1).reshape(len(PULLS), -1).mean(axis=1)
    np.testing.assert_allclose(values, pool.truth, rtol=1e-12)
