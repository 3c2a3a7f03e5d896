"""What was learned does not grow with decisions, and the threshold can fail."""

import pytest

from experiments.bundling.bundles import learners, small_world
from experiments.bundling.sizes import Size, claims, measurements, size_of

SIZE = Size("linucb disjoint", 200, 1, 12, 400_000, 400_000, 900_000, 800_000)


@pytest.mark.parametrize("name", list(learners()))
def test_a_state_is_as_large_after_some_decisions_as_before_the_first(name):
    found = size_of(name, learners()[name], small_world(tasks=1), decisions=3, is_traced=False)
    assert found.state == found.fresh and found.graph == 0


def test_bytes_are_counted_by_hand():
    # shared: theta and root of p = 12 + one intercept and 4 + 4 + 1 knots + 4 interactions with 3 axes = 34 features
    found = size_of("linucb shared", learners()["linucb shared"], small_world(tasks=1), decisions=1, is_traced=False)
    assert found.state == 8 * (34 + 34 * 34)
    assert (found.tasks, found.entries) == (1, 12)


def test_a_graph_is_weighed_where_it_is_asked_for():
    assert size_of("fixed", learners()["fixed"], small_world(tasks=1), decisions=1, is_traced=True).graph > 0


def test_the_threshold_holds_for_all_or_fails():
    long = SIZE._replace(decisions=100_000)
    assert [claim.holds for claim in claims([SIZE], long, [SIZE])] == [True, True, None, None]
    large = long._replace(state=1_000_000, fresh=1_000_000)
    assert [claim.holds for claim in claims([SIZE], large, [])] == [False, False, None]
    grown = SIZE._replace(fresh=399_999)
    assert claims([grown], long, [])[1].holds is False and "grown" in claims([grown], long, [])[1].measured
    assert claims([SIZE], SIZE, [])[0].holds is None  # 200 decisions are not 10^5
    assert claims([large._replace(tasks=2)], long, [])[1].holds is True  # per task type


def test_every_size_is_a_row():
    rows = {row.measure: row.value for row in measurements([SIZE], "speed")}
    assert rows == {"state_bytes": 400_000, "policy_bytes": 900_000, "graph_bytes": 800_000}
