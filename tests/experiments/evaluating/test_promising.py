"""What an interval promises: certified pairs held, what was never judged did not."""

import numpy as np
import pytest

from evaluators.certified import held
from evaluators.estimators import direct, doubly_robust, ips, snips
from evaluators.reading.batches import Facts
from evaluators.reading.duplicates import Repeats
from evaluators.reading.passes import Survey
from evaluators.rows import RewardRange, Rows
from experiments.evaluating.choosing import choose
from experiments.evaluating.promising import LINEARISED, ignores, interval_of, promise
from experiments.evaluating.scoring import Asked, Tally, tally
from experiments.evaluating.targets import logger_target
from tests.other_logs import MEAN, draw

N = 1_000
DRAWN = draw(N)
ROWS = Rows(
    DRAWN.reward, DRAWN.slot, DRAWN.behavior, DRAWN.target, MEAN[DRAWN.context], reward_range=RewardRange(0.0, 1.0)
)
NONE = np.zeros(0, np.int64)
FOUND = Survey(Facts(), {"used": N}, Repeats(NONE, NONE), 0.0, None, ROWS.reward_range, False)
ALL = {"ips": ips.Params(), "snips": snips.Params(), "direct": direct.Params(), "doubly_robust": doubly_robust.Params()}


def judged(rows: Rows = ROWS) -> tuple[Tally, Asked]:
    chosen = choose(ALL, rows, n=rows.reward.size)
    plan = Asked(logger_target(), chosen.estimators, chosen.ratios, FOUND)
    return tally(rows, plan), plan


@pytest.mark.parametrize(
    ("name", "pair"), [("doubly_robust", "doubly_robust"), ("difference doubly_robust", "difference")]
)
def test_what_was_certified_is_said_as_the_certificate_says_it(name: str, pair: str) -> None:
    assert promise(name, *judged()) == held(pair, "assisted", regime="iid", n=N)
    assert not promise(name, *judged(ROWS.part(0, 100))).holds


@pytest.mark.parametrize("name", ["logger", "difference ips", "difference snips"])
def test_what_was_never_judged_promises_nothing(name: str) -> None:
    assert promise(name, *judged()) == (False, "never judged against known truth")


def test_clusters_and_partial_logs_promise_nothing() -> None:
    clustered = ROWS._replace(cluster=np.arange(N) // 2)
    partial = np.full(DRAWN.behavior.shape, np.nan)
    at = np.arange(N), DRAWN.slot
    partial[at] = DRAWN.behavior[at]
    hidden = ROWS._replace(behavior=partial, is_partial=True)
    for rows, word in ((clustered, "clusters"), (hidden, "whole distribution")):
        found = promise("ips", *judged(rows))
        assert not found.holds
        assert word in found.reason


def test_only_the_direct_method_ignores_the_model_s_error() -> None:
    _, plan = judged()
    said = {name: ignores(name, plan) for name in plan.estimators}
    assert {name for name, words in said.items() if words} == {"direct", "difference direct"}


def test_every_estimate_has_an_interval_with_a_name() -> None:
    _, plan = judged()
    assert (interval_of("doubly_robust", plan), interval_of("difference snips", plan)) == ("assisted", LINEARISED)
