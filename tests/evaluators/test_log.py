"""The decision log on disk: what is written comes back, and a file that can't be judged does not."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluators.decisions import COLUMNS
from evaluators.log import SCHEMA_VERSION, read_log, write_log
from tests.examples import LEARNERS, run_policy, small_world

LOG = run_policy(LEARNERS["thompson shared"], n_rounds=8).log
Edit = Callable[[Any], Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A log as write_log wrote it."""
    write_log(tmp_path / "decisions.parquet", LOG)
    return tmp_path / "decisions.parquet"


def edited(file: Path, edit: Edit) -> Path:
    """The same file after a change to its table."""
    pq.write_table(edit(pq.read_table(file)), file)
    return file


def with_column(name: str, change: Callable[[list[Any]], Any], kind: Any = None) -> Edit:
    """A column made of another's values."""

    def edit(table: Any) -> Any:
        at = table.column_names.index(name)
        return table.set_column(at, name, pa.array(change(table.column(name).to_pylist()), kind))

    return edit


def ragged(rows: list[Any]) -> list[Any]:
    return [*rows[:3], rows[3][1:], *rows[4:]]


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_log_of_every_learner_comes_back_bit_for_bit(learner: str, tmp_path: Path) -> None:
    log = run_policy(LEARNERS[learner], n_rounds=8).log
    write_log(tmp_path / "log.parquet", log)
    back = read_log(tmp_path / "log.parquet", lattice=small_world().lattice)
    for name in COLUMNS:
        there, here = getattr(back, name), getattr(log, name)
        assert there.shape == here.shape, name
        assert np.array_equal(there, here), name
    assert {name: getattr(back, name).dtype for name in COLUMNS} == {name: getattr(log, name).dtype for name in COLUMNS}


def test_the_same_log_gives_the_same_bytes(tmp_path: Path, file: Path) -> None:
    write_log(tmp_path / "again.parquet", run_policy(LEARNERS["thompson shared"], n_rounds=8).log)
    assert (tmp_path / "again.parquet").read_bytes() == file.read_bytes()


def test_writing_replaces_a_file_whole_and_leaves_no_draft(file: Path) -> None:
    other = run_policy(LEARNERS["uniform"], n_rounds=4).log
    write_log(file, other)
    assert len(read_log(file)) == 4
    assert [path.name for path in file.parent.iterdir()] == ["decisions.parquet"]


def test_what_can_not_be_judged_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="guardband.reward, row 0"):
        write_log(tmp_path / "log.parquet", replace(LOG, reward=LOG.reward * np.nan))
    assert list(tmp_path.iterdir()) == []


def test_unusual_text_and_times_survive(tmp_path: Path) -> None:
    texts = np.array(["\u2028", "a\0", "é" * 300, "🦜", "\n", '"', "z ", "nul"], object)
    times = np.array(["1969-12-31T23:59:59.999999"] * 8, "datetime64[us]")
    write_log(tmp_path / "log.parquet", replace(LOG, request_id=texts, timestamp=times))
    back = read_log(tmp_path / "log.parquet")
    assert back.request_id.tolist() == texts.tolist()
    assert np.array_equal(back.timestamp, times)


def test_duckdb_reads_the_columns_under_their_names(file: Path) -> None:
    masses = 'list_sum("guardband.masses")'
    columns = f'"guardband.schema_version", epoch_us("timestamp"), "gen_ai.request.temperature", {masses}'
    found = duckdb.sql(f"select {columns} from '{file}'")
    assert found is not None
    assert found.fetchall()[0] == (SCHEMA_VERSION, int(LOG.timestamp[0].astype(np.int64)), LOG.temperature[0], 2**20)


def test_no_prompt_and_no_key_is_in_the_file(file: Path) -> None:
    assert "guardband.prompt_hash" in pq.read_schema(file).names
    assert not any("key" in name or name.endswith("prompt") for name in pq.read_schema(file).names)


REFUSALS: dict[str, tuple[Edit, type[Exception], str]] = {
    "unknown column": (
        lambda t: t.rename_columns(["guardband.reword" if n == "guardband.reward" else n for n in t.column_names]),
        ValueError,
        "unknown column 'guardband.reword'; did you mean 'guardband.reward'",
    ),
    "missing column": (
        lambda t: t.drop_columns(["guardband.propensity"]),
        ValueError,
        "column 'guardband.propensity' is missing",
    ),
    "doubled column": (
        lambda t: t.append_column("guardband.reward", t.column("guardband.reward")),
        ValueError,
        "column 'guardband.reward' stands 2 times",
    ),
    "another schema version": (
        with_column("guardband.schema_version", lambda v: [*v[:5], 2, *v[6:]], pa.int32()),
        ValueError,
        "guardband.schema_version, row 5 = 2, need 1",
    ),
    "no rows": (lambda t: t.slice(0, 0), ValueError, "has no rows"),
    "a missing value": (
        with_column("guardband.reward", lambda v: [*v[:2], None, *v[3:]]),
        ValueError,
        r"guardband.reward has no value at 2 \(1 of 8\)",
    ),
    "a missing list": (
        with_column("guardband.masses", lambda v: [None, *v[1:]], pa.list_(pa.int32())),
        ValueError,
        r"guardband.masses has no value at 0",
    ),
    "rows of other lengths": (
        with_column("guardband.masses", ragged, pa.list_(pa.int32())),
        ValueError,
        r"guardband.masses, row 3 has 74 entries, row 0 has 75; need one length",
    ),
    "text for numbers": (
        with_column("guardband.reward", lambda v: [str(x) for x in v]),
        TypeError,
        "guardband.reward has type string, need numbers",
    ),
    "numbers for a list": (
        with_column("guardband.masses", lambda v: [x[0] for x in v], pa.int32()),
        TypeError,
        "guardband.masses has type int32, need a list of integers",
    ),
    "floats for integers": (
        with_column("guardband.uniform", lambda v: [float(x) for x in v]),
        TypeError,
        "guardband.uniform has type double, need integers",
    ),
    "a time without its zone": (
        with_column("timestamp", lambda v: [x.replace(tzinfo=None) for x in v]),
        TypeError,
        r"timestamp has type timestamp\[us\], need timestamps with the time zone UTC",
    ),
    "an integer that does not fit": (
        with_column("guardband.uniform", lambda v: [2**40, *v[1:]], pa.int64()),
        ValueError,
        "guardband.uniform: .* that int32 can hold",
    ),
    "NaN": (
        with_column("guardband.reward", lambda v: [float("nan"), *v[1:]]),
        ValueError,
        "guardband.reward, row 0 .* = nan, need a finite number",
    ),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_file_that_can_not_be_judged_is_refused_by_its_name_and_the_fault(fault: str, file: Path) -> None:
    edit, kind, words = REFUSALS[fault]
    with pytest.raises(kind, match=words) as caught:
        read_log(edited(file, edit))
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "words"),
    [(b"", "is empty"), (b"request_id,reward\n1,2\n", "can't be read as Parquet"), (b"PAR1", "can't be read")],
    ids=["empty", "csv", "stump"],
)
def test_what_is_not_parquet_is_refused(raw: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "log.parquet").write_bytes(raw)
    with pytest.raises(ValueError, match=words):
        read_log(tmp_path / "log.parquet")


def test_a_truncated_file_is_refused(file: Path) -> None:
    raw = file.read_bytes()
    for size in range(1, len(raw), len(raw) // 20):
        file.write_bytes(raw[:size])
        with pytest.raises(ValueError, match="can't be read"):
            read_log(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a file, need a decision log"):
        read_log(tmp_path / "log.parquet")


def test_other_widths_of_numbers_are_read(file: Path) -> None:
    edit = with_column("guardband.masses", lambda v: v, pa.large_list(pa.int64()))
    reward = with_column("guardband.cluster", lambda v: v, pa.int16())
    assert np.array_equal(read_log(edited(edited(file, edit), reward)).masses, LOG.masses)


@pytest.mark.slow
def test_writing_and_reading_load_no_pandas(tmp_path: Path, root: Path, file: Path) -> None:
    script = (
        "import json, sys; from evaluators.log import read_log, write_log;"
        f"write_log({str(tmp_path / 'again.parquet')!r}, read_log({str(file)!r}));"
        "print(json.dumps(sorted({'pandas', 'jax', 'scipy', 'gymnasium', 'matplotlib'} & sys.modules.keys())))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
