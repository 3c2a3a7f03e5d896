"""A value from an adaptive log: the textbook loop, tables by look-up, and what is refused."""

import numpy as np
import pytest

from evaluators.adaptive import Params, estimate
from evaluators.adaptive_weights import two_point
from evaluators.hajek import arm_mean
from evaluators.rows import Rows


def adaptive_log(rng, n=200, k=3, target=None):
    """A logger that leans to what paid, with contexts that shift its preference."""
    total, count, rows = np.zeros(k), np.ones(k), []
    for t in range(n):
        logits = 2 * total / count + rng.normal(scale=0.3, size=k)
        prob = np.exp(logits) / np.exp(logits).sum()
        least = (t + 1) ** -0.7 / k
        prob = least + (1 - k * least) * prob
        slot = rng.choice(k, p=prob / prob.sum())
        reward = 0.5 * slot + rng.normal()
        total[slot], count[slot] = total[slot] + reward, count[slot] + 1
        rows.append((reward, slot, prob / prob.sum()))
    reward, slot, prob = (np.array(column) for column in zip(*rows, strict=True))
    chosen = np.full(k, 1 / k) if target is None else np.asarray(target, dtype=np.float64)
    return Rows(reward, slot, prob, np.broadcast_to(chosen, (n, k)).copy())


def by_loop(rows, window):
    """Value, standard error and degrees of freedom, one row at a time."""
    n = rows.reward.size
    moment = [(rows.target[t] ** 2 / rows.behavior[t]).sum() for t in range(n)]
    level = [moment[0]] + [np.mean(moment[max(t - window, 0) : t]) for t in range(1, n)]
    h = two_point(1 / np.maximum(level, 1.0))
    w = np.array([rows.target[t, rows.slot[t]] / rows.behavior[t, rows.slot[t]] for t in range(n)])
    q = np.array([rows.predicted[t, rows.slot[t]] for t in range(n)])
    part = np.array([rows.target[t] @ rows.predicted[t] for t in range(n)])
    own, lead, gap = h * w / (h @ w), h / h.sum(), rows.reward - q
    value = lead @ part + own @ gap
    terms = lead * (part - lead @ part) + own * (gap - own @ gap) / np.sqrt(1 - own)
    return value, np.sqrt(terms @ terms), (own**2).sum() ** 2 / (own**4).sum() - 1


def test_the_default_is_what_the_loop_says() -> None:
    rng = np.random.default_rng(0)
    rows = adaptive_log(rng)._replace(predicted=rng.normal(size=(200, 3)))
    found = estimate(Params(), rows)
    value, stderr, _ = by_loop(rows, Params().window)
    np.testing.assert_allclose([found.value, found.stderr], [value, stderr], rtol=1e-9)


def test_without_a_model_it_is_that_of_a_model_that_says_nothing() -> None:
    rows = adaptive_log(np.random.default_rng(1))
    bare, mute = estimate(Params(), rows), estimate(Params(), rows._replace(predicted=np.zeros((200, 3))))
    np.testing.assert_allclose(bare, mute, rtol=1e-12)


def test_one_action_with_pooled_variance_is_the_arm_s_mean() -> None:
    rows = adaptive_log(np.random.default_rng(2), target=[0, 1, 0])
    found = estimate(Params(variance="pooled"), rows)
    wanted = arm_mean(rows.reward, rows.slot == 1, propensity=rows.behavior[:, 1])
    lo, hi = wanted.bounds()
    np.testing.assert_allclose(found[:4], [wanted.value, wanted.stderr, lo, hi], rtol=1e-9)


def test_tables_that_rows_share_are_looked_up() -> None:
    rng = np.random.default_rng(3)
    rows = adaptive_log(rng)
    row = rng.integers(40, size=200)
    behavior, target = rng.dirichlet(np.ones(3), size=40), rng.dirichlet(np.ones(3), size=40)
    predicted = rng.normal(size=(40, 3))
    shared = Rows(rows.reward, rows.slot, behavior, target, predicted, row=row)
    own = Rows(rows.reward, rows.slot, behavior[row], target[row], predicted[row])
    np.testing.assert_allclose(estimate(Params(), shared), estimate(Params(), own), rtol=1e-12)


def test_the_order_of_the_rows_matters() -> None:
    rows = adaptive_log(np.random.default_rng(4))
    back = rows._replace(reward=rows.reward[::-1], slot=rows.slot[::-1], behavior=rows.behavior[::-1])
    assert estimate(Params(), rows).value != estimate(Params(), back).value


def test_a_higher_confidence_is_wider_about_the_same_value() -> None:
    rows = adaptive_log(np.random.default_rng(5))
    narrow, wide = (estimate(Params(confidence=level), rows) for level in (0.9, 0.99))
    assert narrow.value == wide.value
    assert wide.lo < narrow.lo < narrow.value < narrow.hi < wide.hi


def test_a_target_that_was_played_once_gets_the_whole_line() -> None:
    rows = adaptive_log(np.random.default_rng(6), target=[1, 0, 0])
    first = int(np.flatnonzero(rows.slot == 0)[0])
    slot = np.where(np.arange(200) == first, 0, np.maximum(rows.slot, 1))
    found = estimate(Params(), rows._replace(slot=slot))
    assert (found.lo, found.hi, found.stderr) == (-np.inf, np.inf, np.inf)
    assert found.ess == pytest.approx(1.0)


MIXED = [0.5, 0.5, 0.0]


@pytest.mark.parametrize(
    ("params", "changes", "message"),
    [
        ({"confidence": 1.0}, {}, "confidence = 1, need 0 < confidence < 1"),
        ({"variance": "hc9"}, {}, "variance = 'hc9', need one of pooled, hc2"),
        ({"allocation": "even"}, {}, "allocation = 'even', need one of two_point"),
        ({}, {"cluster": np.arange(200)}, "an adaptive log is one sequence"),
        ({"variance": "pooled"}, {}, r"target\[0\] spreads over several slots"),
        ({"variance": "pooled"}, {"predicted": np.zeros((200, 3))}, "pooled takes no reward model"),
        ({}, {"reward": np.full(200, np.nan)}, r"reward\[0\] = nan"),
    ],
)
def test_what_it_cannot_judge_is_refused(params, changes, message) -> None:
    rows = adaptive_log(np.random.default_rng(7), target=MIXED)._replace(**changes)
    with pytest.raises(ValueError, match=message):
        estimate(Params(**params), rows)


def test_a_logger_known_at_the_logged_slot_only_is_refused() -> None:
    rows = adaptive_log(np.random.default_rng(8))
    known = np.arange(3) == rows.slot[:, None]
    partial = rows._replace(behavior=np.where(known, rows.behavior, np.nan), is_partial=True)
    with pytest.raises(ValueError, match="need all of it"):
        estimate(Params(), partial)
