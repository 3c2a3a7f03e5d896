"""What is said of a log: tidy measurements, lights as claims, remarks on what was left out."""

from pathlib import Path

import pytest

from evaluators.estimators import ips, snips
from evaluators.intervals import assisted
from evaluators.reading.mapped import Columns, Mapped
from evaluators.reading.passes import survey, usable
from evaluators.rows import RewardRange
from experiments.evaluating.choosing import choose
from experiments.evaluating.reporting import claims, measurements, remarks, rows_used
from experiments.evaluating.scoring import Asked, Tally, rows_of, score
from experiments.evaluating.targets import column_target
from experiments.results import Results
from tests.other_logs import columns, draw, write_table


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tally, Asked]:
    folder = tmp_path_factory.mktemp("log")
    table = columns(draw(1_000))
    table["propensity"][3] = 0.0
    reader = Mapped(write_table(folder / "a.csv", table), Columns(behavior="b_*"), target="t_*")
    found = survey(reader, folder / "rejected.csv", most=0.1, reward_range=RewardRange(0.0, 1.0))
    plan = Asked(column_target("t_*"), {}, {}, found)
    sample = rows_of(next(usable(reader, found)), plan)
    chosen = choose({"ips": ips.Params(interval=assisted.Params()), "snips": snips.Params()}, sample, n=999)
    plan = plan._replace(estimators=chosen.estimators, ratios=chosen.ratios)
    return score(reader, plan)[0], plan


def test_values_differences_readings_and_counts_are_measured(judged: tuple[Tally, Asked]) -> None:
    results = Results()
    rows = list(measurements(*judged))
    for row in rows:
        results.add(row)
    found = {(row.measure, row.estimator) for row in rows}
    assert {(m, e) for m in ("value", "difference") for e in ("ips", "snips")} | {("value", "logger")} <= found
    assert {("ess", ""), ("max_weight", ""), ("unsupported_mass", "")} <= found
    counts = {row.measure: row.value for row in rows if row.measure.startswith("rows_")}
    assert counts == {"rows_used": 999, "rows_propensity_outside": 1}


def test_lights_are_claims_that_can_fail(judged: tuple[Tally, Asked]) -> None:
    made = claims(*judged)
    lights = {claim.measured.rsplit("(", 1)[-1]: claim.holds for claim in made if claim.required != "reported"}
    assert lights["green)"] is True
    assert all(holds is {"green)": True, "amber)": None, "red)": False}[light] for light, holds in lights.items())
    assert any(claim.claim.startswith("The logger's own value") for claim in made)


def test_remarks_say_what_was_left_out_and_what_is_not_known(judged: tuple[Tally, Asked]) -> None:
    said = " ".join(remarks(*judged, file=Path("a.csv"), kind="table"))
    assert "999 of 1,000 rows used" in said
    assert "1 row rejected (propensity_outside)" in said
    assert "no ids" in said
    assert "No reward range" not in said
    tally, plan = judged
    without = plan._replace(found=plan.found._replace(reward_range=None))
    assert "No reward range is declared (seen: 0 to 1)" in " ".join(
        remarks(tally, without, file=Path("a"), kind="table")
    )


def test_each_estimate_says_its_interval_and_whether_it_held(judged: tuple[Tally, Asked]) -> None:
    made = {claim.claim: claim.interval for claim in claims(*judged)}
    assert made["Value of t_*, ips"].endswith("] assisted, held")
    assert made["t_* less the logger, snips"].endswith("] linearised t, not certified")
    notes = remarks(*judged, file=Path("a.csv"), kind="table")
    assert any(note.startswith("Interval held: ips (ips with interval assisted held on iid logs") for note in notes)
    assert any(note.startswith("Interval not certified: logger, difference ips") for note in notes)


def test_rows_used_counts_what_was_rejected_and_can_fail() -> None:
    count = {"used": 399, "no_reward": 1, "thinned": 5, "duplicate": 0}
    fine, many = rows_used(count, most=0.01), rows_used(count, most=0.001)
    assert fine.measured == "399 of 400 (1 rejected: 1 no_reward); 5 set aside"
    assert fine.required == "at most 1.00% rejected"
    assert (fine.holds, many.holds) == (True, False)
    assert rows_used({"used": 3}, most=0.0)[1:] == ("3 of 3 (0 rejected)", "at most 0.00% rejected", "none", True)
