"""When a log cannot speak about a target."""

import numpy as np
import pytest

from evaluators.rows import Rows
from evaluators.sums import Weights, weights_of
from evaluators.support import Rule, assess


def log(target, behavior=(0.5, 0.5), n=200) -> Rows:
    return Rows(
        reward=np.zeros(n),
        slot=np.arange(n) % 2,
        behavior=np.tile(behavior, (n, 1)),
        target=np.tile(target, (n, 1)),
    )


def support_of(rows: Rows, rule: Rule | None = None):
    return assess(weights_of(rows), rule)


def test_a_target_equal_to_the_logger_has_every_row_as_its_sample() -> None:
    found = support_of(log((0.5, 0.5)))
    assert (found.ess, found.design_ess, found.max_weight) == (200.0, 200.0, 1.0)
    assert found.sufficient
    assert found.reasons == ()


def test_a_point_mass_at_one_half_has_half_the_rows() -> None:
    # weights 2, 0, 2, 0, ...: (2 * 100)^2 / (4 * 100) = 100; 1 / E[w^2] = 1/2
    found = support_of(log((1.0, 0.0)))
    assert (found.ess, found.design_ess, found.max_weight) == (100.0, 100.0, 2.0)


def test_the_in_sample_size_is_optimistic_where_heavy_weights_are_rare(heavy_world) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(0), 200)
    found = support_of(rows)
    share = 1 / (heavy_world.target**2 / heavy_world.behavior).sum(axis=1).mean()
    assert found.design_ess < found.ess
    assert 0.5 * share < found.design_ess / 200 < 2.5 * share


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (Weights(200, 200.0, 810.0, 5.0, 810.0, 200.0), "ESS 49.4 < 50"),
        (Weights(200, 200.0, 700.0, 20.1, 700.0, 200.0), "largest weight 20.1 > 20"),
        (Weights(200, 190.0, 200.0, 2.0, 200.0, 190.0), "5.0% of the target's mass"),
        (Weights(200, 0.0, 0.0, 0.0, 0.0, 0.0), "ESS 0 < 50"),
    ],
)
def test_insufficient_support_says_why(weights, words) -> None:
    found = assess(weights)
    assert not found.sufficient
    assert any(words in reason for reason in found.reasons)


@pytest.mark.parametrize(
    "weights",
    [
        Weights(200, 200.0, 800.0, 20.0, 800.0, 200.0),  # ESS exactly 50, weight exactly n/10
        Weights(200, 199.0, 200.0, 2.0, 200.0, 198.0),  # exactly 1 % of the mass missing
    ],
)
def test_the_thresholds_themselves_are_sufficient(weights) -> None:
    assert assess(weights).sufficient


def test_mass_on_actions_never_logged_is_reported_not_renormalised() -> None:
    behavior, target = (0.5, 0.5, 0.0), (0.4, 0.3, 0.2)  # 0.2 off the mask, 0.1 off the window
    found = support_of(log(target, behavior))
    assert found.unsupported_mass == pytest.approx(0.3, rel=1e-12)
    # E w = 0.7 and E w^2 = (0.16 + 0.09) / 0.5: 200 * 0.49 / 0.5
    assert found.design_ess == pytest.approx(196.0, rel=1e-12)


def test_the_rule_can_be_changed() -> None:
    assert not support_of(log((1.0, 0.0)), Rule(min_ess=101.0)).sufficient
