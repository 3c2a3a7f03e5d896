"""Charts: they compile, carry little, say their units, and give a policy its one colour."""

import json

import pytest
import vl_convert

from experiments import charts
from experiments.palette import POLICY_COLOURS

CHARTS = {
    "regret": charts.regret_chart,
    "deployed": charts.deployed_chart,
    "convergence": charts.convergence_chart,
    "estimates": charts.estimates_chart,
    "errors": charts.ope_errors_chart,
    "z_action": lambda table: charts.propensity_chart(table, "z_action"),
    "z_slot": lambda table: charts.propensity_chart(table, "z_slot"),
}
BY_POLICY = ("regret", "deployed", "convergence", "z_action", "z_slot")


@pytest.fixture(scope="module")
def specs(table, one_world):
    made = {name: draw(one_world).to_dict() for name, draw in CHARTS.items()}
    return made | {"gate": charts.gate_chart(table).to_dict()}


def found(spec, key):
    """Every value of a key, at any depth."""
    if isinstance(spec, dict):
        own = [spec[key]] if key in spec else []
        return own + [value for part in spec.values() for value in found(part, key)]
    return [value for part in spec for value in found(part, key)] if isinstance(spec, list) else []


def rows(spec):
    (data,) = spec["datasets"].values()
    return data


@pytest.mark.parametrize("name", [*CHARTS, "gate"])
def test_every_chart_compiles_to_vega_and_carries_one_small_table(specs, name):
    vl_convert.vegalite_to_vega(specs[name])
    assert len(rows(specs[name])) <= 1000
    assert len(json.dumps(specs[name])) < 150_000


@pytest.mark.parametrize("name", BY_POLICY)
def test_a_policy_has_its_colour_in_every_chart(specs, name):
    scales = [part["scale"] for part in found(specs[name], "color") if "scale" in part]
    assert scales
    for scale in scales:
        assert dict(zip(scale["domain"], scale["range"], strict=True)) == POLICY_COLOURS


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("regret", "mean cumulative regret (reward units)"),
        ("regret", "evaluation"),
        ("deployed", "deployed value (reward units)"),
        ("convergence", "share of seeds converged"),
        ("estimates", "estimated value (reward units)"),
        ("gate", "gain over the baseline (reward units)"),
        ("z_slot", "share of cells"),
    ],
)
def test_axes_say_what_they_show_and_in_what_unit(specs, name, title):
    assert title in found(specs[name], "title")


def test_regret_chart_keeps_the_milestones_of_each_curve_with_its_band(specs):
    at_50 = [row for row in rows(specs["regret"]) if row["t"] == 50]
    assert len(at_50) == 10  # 5 policies x 2 rules
    assert all(row["lo"] < row["value"] < row["hi"] for row in at_50)


def test_deployed_chart_has_a_panel_per_task_and_rule_between_start_and_oracle(specs):
    facet = specs["deployed"]["facet"]
    assert facet["column"]["sort"] == ["bugfix", "refactor"]
    assert facet["row"]["sort"] == ["improve", "two_sample"]
    last = [row for row in rows(specs["deployed"]) if row["t"] == 200]
    assert all(row["start"] <= row["value"] <= row["oracle"] for row in last)


def test_convergence_chart_shows_the_bound_below_each_share(specs):
    assert {row["n"] for row in rows(specs["convergence"])} == {50, 100, 200}
    assert all(row["lo"] <= row["value"] for row in rows(specs["convergence"]))


def test_error_chart_marks_no_bias_and_nominal_coverage(specs):
    nominal = {row["error"]: row["nominal"] for row in rows(specs["errors"])}
    assert nominal == {
        "bias (reward units)": 0.0,
        "root mean squared error (reward units)": None,
        "coverage (nominal 0.95)": 0.95,
    }


def test_error_chart_shows_what_was_measured_only(one_world):
    bare = one_world[one_world["measure"] != "coverage"]
    errors = {row["error"] for row in rows(charts.ope_errors_chart(bare).to_dict())}
    assert errors == {"bias (reward units)", "root mean squared error (reward units)"}


def test_gate_chart_writes_gain_and_bound_in_every_world(specs):
    labels = {(row["world"], row["policy"]): row["label"] for row in rows(specs["gate"])}
    assert len(labels) == 4
    assert labels["gsm8k_small", "thompson"] == "+0.031, at least +0.0134"


@pytest.mark.parametrize("name", ["z_action", "z_slot"])
def test_shares_of_cells_sum_to_1_for_each_policy(specs, name):
    for policy in POLICY_COLOURS:
        shares = [row["share"] for row in rows(specs[name]) if row["policy"] == policy]
        assert sum(shares) == pytest.approx(1, abs=1e-3)  # 20 bins, rounded to 5 digits


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)
def test_a_chart_of_what_was_not_measured_is_refused(one_world, draw):
    with pytest.raises(ValueError, match="no rows of"):
        draw(one_world[one_world["section"] == "speed"])
