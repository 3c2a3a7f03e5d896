"""Times of a fresh process, and thresholds that can fail."""

import pytest

from experiments.bundling.speed import Cost, Loads, claims, cost, measurements

GOOD = Cost("linucb shared", 51, 32, Loads(20.0, 12.0, 60.0), Loads(25.0, 13.0, 61.0), 90.0, 200.0, 9, 50.0, 60.0, ())
OTHER = GOOD._replace(name="decomposed", p50_us=500.0, loads=Loads(70.0, 60.0, 80.0))


def test_the_thresholds_hold_and_fail_where_they_should():
    load, memory, request = claims([GOOD])
    assert [load.holds, memory.holds, request.holds] == [True, True, True]
    assert claims([GOOD._replace(signed=Loads(50.0, 13.0, 61.0))])[0].holds is False
    assert claims([GOOD._replace(loads=Loads(20.0, 50.0, 61.0))])[0].holds is False
    assert claims([GOOD._replace(peak_mb=80.0)])[1].holds is False
    assert claims([GOOD._replace(heavy=("jax",))])[1].holds is False
    assert claims([GOOD._replace(p50_us=100.0)])[2].holds is False
    assert claims([GOOD._replace(p99_us=1000.0)])[2].holds is False
    assert claims([GOOD._replace(name="thompson disjoint", p50_us=299.0)])[2].holds is True
    assert claims([GOOD._replace(name="thompson disjoint", p50_us=300.0)])[2].holds is False


def test_smaller_bundles_claim_nothing_and_other_learners_are_reported():
    assert [claim.holds for claim in claims([GOOD._replace(context=12)])] == [None, True, None]
    *_, others = claims([GOOD, OTHER])
    assert (others.holds, others.required) == (None, "reported") and "decomposed" in others.measured


@pytest.mark.slow
def test_a_fresh_process_imports_nothing_heavy(folders):
    found = cost("thompson shared", folders[0], folders[2], repeats=1, requests=50)
    assert found.heavy == () and found.signed is not None
    assert 0 < found.loads.later <= found.loads.worst and 0 < found.p50_us <= found.p99_us
    rows = {row.measure: row.value for row in measurements([found], "speed")}
    assert rows["request_p50_us"] == found.p50_us and rows["signed_load_first_ms"] == found.signed.first


@pytest.mark.slow
def test_a_bundle_that_is_not_there_is_told_with_the_words_of_the_probe(tmp_path):
    with pytest.raises(RuntimeError, match="does not exist"):
        cost("x", tmp_path / "nowhere", None, repeats=1, requests=1)
