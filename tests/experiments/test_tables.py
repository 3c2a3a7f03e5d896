"""Small tables behind the charts."""

import numpy as np
import pandas as pd
import pytest

from experiments.tables import (
    deployed_with_limits,
    every_rule,
    gains,
    has,
    last_values,
    one_world,
    rounded,
    select,
    thin,
    with_bars,
)


def test_select_names_what_was_measured_when_nothing_fits(table):
    assert has(table, "ope", "bias")
    assert not has(table, "gate", "bias")
    with pytest.raises(ValueError, match=r"no rows of gate/bias; .*\['difference', 'ess', 'lower"):
        select(table, "gate", "bias")


def test_worlds_are_never_mixed(table):
    with pytest.raises(ValueError, match=r"\['flat_null', 'gsm8k_small'\], need one"):
        one_world(select(table, "gate", "difference"))


def test_a_policy_without_rule_is_compared_under_each():
    rows = pd.DataFrame({"policy": ["fixed", "thompson", "thompson"], "rule": ["", "a", "b"]})
    pairs = set(every_rule(rows).itertuples(index=False, name=None))
    assert pairs == {("fixed", "a"), ("fixed", "b"), ("thompson", "a"), ("thompson", "b")}


def test_a_table_without_rules_says_so():
    assert set(every_rule(pd.DataFrame({"policy": ["fixed"], "rule": [""]}))["rule"]) == {"none"}


@pytest.mark.parametrize("points", [2, 7, 40])
def test_thinned_curves_keep_both_ends_and_the_milestones(points):
    rows = pd.DataFrame({"t": pd.array(np.arange(1, 221), dtype="Int64")})
    kept = set(thin(rows, points)["t"])
    assert {1, 50, 100, 200, 220} <= kept
    assert len(kept) <= points + 4


def test_deployed_values_stand_beside_their_tasks_start_and_oracle(one_world):
    rows = deployed_with_limits(one_world)
    limits = set(rows[["task", "start", "oracle"]].itertuples(index=False, name=None))
    assert limits == {("bugfix", 0.62, 0.78), ("refactor", 0.55, 0.66)}


def test_without_a_measured_start_the_first_deployed_value_stands_for_it(one_world):
    rows = deployed_with_limits(one_world[one_world["measure"] != "start"])
    first = rows[(rows["t"] == 1) & (rows["task"] == "bugfix")]["value"].mean()
    assert rows[rows["task"] == "bugfix"]["start"].unique() == pytest.approx([first])


def test_a_task_without_oracle_is_refused(one_world):
    bare = one_world[~((one_world["measure"] == "oracle") & (one_world["task"] == "bugfix"))]
    with pytest.raises(ValueError, match=r"oracle for the tasks \['bugfix'\]; found \['refactor'\]"):
        deployed_with_limits(bare)


def test_error_bars_reach_1_96_standard_errors(table):
    rows = with_bars(select(table, "ope", "coverage"))
    assert ((rows["hi"] - rows["lo"]) / rows["stderr"]).to_numpy() == pytest.approx(2 * 1.96)


def test_a_measured_interval_is_kept_and_an_unmeasured_one_is_no_bar():
    rows = pd.DataFrame({"value": [1.0, 1.0], "stderr": [9.0, np.nan], "lo": [0.5, np.nan]})
    barred = with_bars(rows.assign(hi=[2.0, np.nan]))
    assert (barred["lo"][0], barred["hi"][0]) == (0.5, 2.0)
    assert np.isnan([barred["lo"][1], barred["hi"][1]]).all()


def test_candidates_are_told_apart_by_what_differs(table):
    assert set(gains(table)["candidate"]) == {"thompson", "linucb"}
    more = table[table["section"] == "gate"].assign(n=200)
    both = gains(pd.concat([table, more]))
    assert set(both["candidate"]) == {f"{p} {n}" for p in ("thompson", "linucb") for n in (200, 2000)}


def test_a_gain_without_its_bound_is_refused(table):
    bare = table[~((table["measure"] == "lower_bound") & (table["policy"] == "linucb"))]
    with pytest.raises(ValueError, match=r"4 rows of gate/difference and 2 of gate/lower_bound"):
        gains(bare)


def test_last_values_are_one_row_a_curve_at_its_end(one_world):
    rows = one_world[one_world["section"] == "simulation"]
    ends = last_values(rows)
    assert not {"estimator", "n", "stderr"} & set(ends)  # nothing is written there
    assert set(ends["t"].dropna()) == {200}
    curves = rows.dropna(subset=["t"]).groupby(["measure", "policy", "rule", "task"]).ngroups
    assert len(ends) == curves + rows["t"].isna().sum()


def test_rounding_keeps_5_digits_and_touches_no_text():
    rows = pd.DataFrame({"policy": ["fixed"], "value": [123456.789], "lo": [1.234567e-9], "t": [7]})
    small = rounded(rows, ("policy", "t", "value", "lo"))
    assert small.iloc[0].tolist() == ["fixed", 7, 123460.0, 1.2346e-9]
