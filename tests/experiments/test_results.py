"""Results and summary: what is written is what is read, and nothing malformed passes."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.measurement import COLUMNS, Measurement
from experiments.results import (
    Results,
    failed_claims,
    find_run,
    installed_versions,
    load_results,
    load_summary,
    write_summary,
)

CURVE = {"section": "simulation", "measure": "regret", "policy": "thompson"}


def test_what_was_added_is_read_back(tmp_path):
    results = Results()
    results.add(Measurement(section="gate", measure="ess", policy="linucb", n=200, value=31.5))
    results.extend(CURVE | {"t": np.arange(1, 4), "value": [0.1, 0.2, 0.4], "lo": [0.0, 0.1, 0.2]})
    frame = load_results(results.write(tmp_path / "run"))
    assert tuple(frame.columns) == COLUMNS
    assert frame["value"].tolist() == [31.5, 0.1, 0.2, 0.4]
    assert frame["t"].tolist() == [pd.NA, 1, 2, 3]
    assert frame["n"].dtype == frame["t"].dtype == pd.Int64Dtype()
    assert frame["policy"].tolist() == ["linucb", *["thompson"] * 3]
    assert frame["rule"].tolist() == [""] * 4
    assert frame["lo"].isna().tolist() == [True, False, False, False]


def test_folder_and_file_read_alike_and_no_partial_file_stays(tmp_path):
    results = Results()
    results.extend(CURVE | {"t": [1], "value": [0.1]})
    file = results.write(tmp_path)
    assert load_results(tmp_path).equals(load_results(file))
    assert [path.name for path in tmp_path.iterdir()] == ["results.parquet"]


def test_a_key_measured_twice_is_refused_with_both_values():
    results = Results()
    results.extend(CURVE | {"t": [1, 2], "value": [0.1, 0.2]})
    with pytest.raises(ValueError, match=r"t=2\) was measured twice: 0\.2, then 0\.3"):
        results.extend(CURVE | {"t": 2, "value": 0.3})


def test_unknown_columns_are_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="unknown column 'estimater'; did you mean 'estimator'"):
        Results().extend(CURVE | {"estimater": "ips", "value": 1.0})


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"lengths \{'t': 2, 'value': 3\}, need one length"):
        Results().extend(CURVE | {"t": [1, 2], "value": [0.1, 0.2, 0.3]})


def test_a_nan_inside_a_column_is_refused_where_it_enters():
    with pytest.raises(ValueError, match=r"t=2\): value = nan, need a finite number"):
        Results().extend(CURVE | {"t": [1, 2], "value": [0.1, float("nan")]})


def test_results_without_a_measurement_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="0 measurements"):
        Results().write(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop_columns(["lo"]), r"lacks the columns \['lo'\]"),
        (lambda t: t.append_column("low", t["lo"]), "unknown column 'low'; did you mean 'lo'"),
        (lambda t: t.set_column(9, "value", pa.array(["x", "y"])), "'value' is string, need double"),
        (lambda t: t.set_column(9, "value", pa.array([1.0, None])), "value of row 1 is missing"),
        (lambda t: t.set_column(9, "value", pa.array([1.0, np.nan])), "value of row 1 is missing"),
        (lambda t: pa.concat_tables([t, t.slice(0, 1)]), "row 2 repeats the key"),
        (lambda t: t.slice(0, 0), "holds 0 measurements"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, change, words):
    results = Results()
    results.extend(CURVE | {"t": [1, 2], "value": [0.1, 0.2]})
    file = results.write(tmp_path)
    pq.write_table(change(pq.read_table(file)), file)
    with pytest.raises(ValueError, match=words):
        load_results(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no results\.parquet at"):
        load_results(tmp_path)


def test_summary_is_read_back_as_written(tmp_path, summary):
    write_summary(tmp_path, summary)
    assert load_summary(tmp_path) == summary


def test_summary_file_has_the_documented_keys(tmp_path, summary):
    data = json.loads(write_summary(tmp_path, summary).read_text())
    assert set(data) == set(["experiment", "verdict", "reasons", "claims", "files", "versions", "timings", "notes"])
    assert set(data["claims"][0]) == {"claim", "measured", "required", "interval", "holds"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": " "}, "verdict = ' ', need words"),
        ({"reasons": ()}, "verdict 'refused' has 0 reasons"),
        ({"reasons": ("",)}, r"reasons\[0\] = '', need words"),
        ({"timings": {"simulate": float("nan")}}, r"timings\['simulate'\] = nan"),
    ],
)
def test_a_summary_without_words_is_refused(tmp_path, summary, change, words):
    with pytest.raises(ValueError, match=words):
        write_summary(tmp_path, summary._replace(**change))


@pytest.mark.parametrize("text", ["", "[]", '{"verdict": "approved"}', '{"claims": [{"claim": "x"}]}'])
def test_a_file_that_is_no_summary_is_refused(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ValueError, match=r"summary\.json is no summary: got .+, need the keys"):
        load_summary(tmp_path)


def test_only_claims_with_a_requirement_can_fail(summary):
    assert [claim.holds for claim in summary.claims] == [True, True, False, None]
    assert failed_claims(summary) == (summary.claims[2],)


def test_versions_name_what_is_missing():
    found = installed_versions(["numpy", "no-such-distribution"])
    assert found["numpy"] == np.__version__
    assert found["no-such-distribution"] == ""


def test_the_newest_run_is_found_and_the_environment_overrules_it(tmp_path, monkeypatch, run_dir):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("experiments.results.__file__", str(tmp_path / "experiments" / "x.py"))
    newer = run_dir.with_name("2025-11-24_00-00-00")
    newer.mkdir()
    assert find_run({}) == run_dir  # a folder without results is no run
    (newer / "results.parquet").write_bytes((run_dir / "results.parquet").read_bytes())
    assert find_run({}) == newer
    assert find_run({"GUARDBAND_RUN": str(run_dir)}) == run_dir
    with pytest.raises(FileNotFoundError, match="experiment=benchmark` first or set GUARDBAND_RUN"):
        find_run({}, "benchmark")


@pytest.mark.slow
def test_importing_results_loads_nothing_heavy(root):
    heavy = "pandas matplotlib jax altair pyarrow numpy scipy"
    code = f"import sys, experiments.results; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
