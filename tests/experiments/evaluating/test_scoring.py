"""Streamed sums: parts, order and format do not matter, and estimates meet the truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.estimation import Estimator, estimate
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.reading import mapped, tables
from evaluators.reading.dsjson import Dsjson
from evaluators.reading.mapped import Columns, Mapped
from evaluators.reading.model import Params as ModelParams
from evaluators.reading.passes import survey, usable
from evaluators.rows import Estimate, RewardRange, Rows
from experiments.evaluating.choosing import choose
from experiments.evaluating.scoring import Asked, Tally, differences, fit, merge, rows_of, score, tally, values
from experiments.evaluating.targets import column_target, logger_target
from tests.other_logs import LOGGER, TRUTH, columns, draw, line, write_lines, write_table

UNIT = RewardRange(0.0, 1.0)
GIVEN = Columns(id="id", cluster="", group="city", behavior="b_*", context=("x0", "x1"))
ALL: dict[str, Estimator] = {"ips": ips.Params(), "snips": snips.Params(), "dr": doubly_robust.Params()}


def asked(reader: Any, folder: Path, *, target: Any = None, model: bool = True) -> Asked:
    found = survey(reader, folder / "rejected.csv", most=0.0, reward_range=UNIT)
    plan = Asked(column_target("t") if target is None else target, {}, {}, found)
    plan = plan._replace(model=fit(reader, found, ModelParams())) if model else plan
    chosen = choose(ALL, rows_of(next(usable(reader, found)), plan), n=found.tally["used"])
    return plan._replace(estimators=chosen.estimators, ratios=chosen.ratios)


def said(found: Tally, plan: Asked) -> dict[str, Estimate]:
    return values(found, plan) | {f"ratio {name}": one for name, one in differences(found, plan).items()}


def judged(file: Path, folder: Path, **given: Any) -> dict[str, Estimate]:
    reader = Mapped(file, given.pop("columns", GIVEN), target=given.pop("name", "t_*"))
    plan = asked(reader, folder, **given)
    return said(score(reader, plan)[0], plan)


def close(one: dict[str, Estimate], other: dict[str, Estimate]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=1e-10, abs=1e-12), name


def test_order_blocks_and_format_of_the_file_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = columns(draw(3_000))
    order = np.random.default_rng(1).permutation(3_000)
    turned = {name: [column[i] for i in order] for name, column in table.items()}
    whole = judged(write_table(tmp_path / "a.parquet", table), tmp_path)
    monkeypatch.setattr(tables, "BLOCK", 20_000)
    monkeypatch.setattr(mapped, "batch_rows", lambda _: 611)
    close(judged(write_table(tmp_path / "b.csv", turned), tmp_path), whole)
    close(judged(write_table(tmp_path / "c.parquet", turned), tmp_path), whole)


def test_files_in_parts_merge_to_the_whole(tmp_path: Path) -> None:
    """The same plan on each half; merged sums against one pass."""
    table = columns(draw(2_000))
    reader = Mapped(write_table(tmp_path / "a.parquet", table), GIVEN, target="t_*")
    plan = asked(reader, tmp_path)
    whole, _ = score(reader, plan)
    parts = []
    for name, rows in (("b", slice(0, 700)), ("c", slice(700, 2_000))):
        half = {key: column[rows] for key, column in table.items()}
        part = Mapped(write_table(tmp_path / f"{name}.parquet", half), GIVEN, target="t_*")
        parts.append(score(part, plan)[0])
    close(said(merge(parts[1], parts[0]), plan), said(whole, plan))


def test_the_stream_says_what_one_log_in_memory_says(tmp_path: Path) -> None:
    drawn = draw(1_500)
    found = judged(write_table(tmp_path / "a.csv", columns(drawn)), tmp_path, model=False)
    rows = Rows(drawn.reward, drawn.slot, drawn.behavior, drawn.target, reward_range=UNIT)
    for name in ("ips", "snips"):
        assert found[name] == pytest.approx(estimate(ALL[name], rows), rel=1e-9)


def test_groups_are_the_rows_of_each_and_sum_to_the_whole(tmp_path: Path) -> None:
    table = columns(draw(2_000))
    reader = Mapped(write_table(tmp_path / "a.csv", table), GIVEN, target="t_*")
    plan = asked(reader, tmp_path, model=False)
    whole, groups = score(reader, plan)
    sizes = {name: found.sums["ips"].n for name, found in groups.items()}
    assert sizes == {f"city {c}": table["city"].count(f"city {c}") for c in range(4)}
    mean = sum(sizes[name] * values(found, plan)["ips"].value for name, found in groups.items()) / 2_000
    assert values(whole, plan)["ips"].value == pytest.approx(mean, rel=1e-12)


def test_estimates_of_every_kind_of_log_meet_the_truth(tmp_path: Path) -> None:
    """20,000 rows; |z| <= 4: 6 in 100,000 for each of 3 logs x 3 estimators x value and difference."""
    table = columns(draw(20_000, seed=8))
    file = write_table(tmp_path / "a.parquet", table)
    partial = Columns(id="id", context=("x0", "x1"))
    logs = {
        "whole": judged(file, tmp_path),
        "partial, target whole": judged(file, tmp_path, columns=partial),
        "partial": judged(file, tmp_path, columns=partial, name="target_logged", model=False),
    }
    for kind, found in logs.items():
        for name, one in found.items():
            is_difference = name.startswith(("difference", "ratio"))
            truth = LOGGER if name == "logger" else TRUTH - LOGGER if is_difference else TRUTH
            assert abs(one.value - truth) <= 4 * one.stderr, (kind, name)
        assert ("dr" in found) == (kind != "partial")


def test_lines_of_json_are_judged_as_the_same_table_is(tmp_path: Path) -> None:
    drawn = draw(400)
    reader = Dsjson(write_lines(tmp_path / "a.json", [line(drawn, i) for i in range(400)]), target="target")
    plan = asked(reader, tmp_path, model=False)
    lines = said(score(reader, plan)[0], plan)
    close(lines, judged(write_table(tmp_path / "a.csv", columns(drawn)), tmp_path, model=False))


def test_the_control_differs_from_itself_by_nothing(tmp_path: Path) -> None:
    file = write_table(tmp_path / "a.csv", columns(draw(500)))
    found = judged(file, tmp_path, target=logger_target(), name="")
    for name, one in found.items():
        if name != "dr":  # which lets a model speak for the logger too
            expected = 0.0 if name.startswith(("difference", "ratio")) else found["logger"].value
            assert one.value == pytest.approx(expected, abs=1e-12), name


def test_probabilities_printed_with_few_digits_are_moved_to_a_sum_of_one(tmp_path: Path) -> None:
    table = columns(draw(300))
    printed = {
        name: [round(v, 5) for v in column] if name[:2] in ("b_", "t_") or name == "propensity" else column
        for name, column in table.items()
    }
    exact = judged(write_table(tmp_path / "a.csv", table), tmp_path)
    rounded = judged(write_table(tmp_path / "b.csv", printed), tmp_path)
    for name in ("ips", "snips", "dr"):
        assert rounded[name].value == pytest.approx(exact[name].value, abs=1e-4)


def test_a_tally_of_two_rows_can_be_made(tmp_path: Path) -> None:
    reader = Mapped(write_table(tmp_path / "a.csv", columns(draw(50))), GIVEN, target="t_*")
    plan = asked(reader, tmp_path)
    rows = rows_of(next(usable(reader, plan.found)), plan)
    assert tally(rows.part(0, 2), plan).sums["ips"].n == 2
