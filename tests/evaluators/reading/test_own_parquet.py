"""Our own log, streamed: the same numbers as read whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluators.decisions import FEEDBACK
from evaluators.log import read_log, write_log
from evaluators.reading import own_parquet
from evaluators.reading.own_parquet import OwnParquet, is_own
from evaluators.reading.rejects import NAMES, judged
from evaluators.reading.tables import names_of
from tests.examples import LEARNERS, run_policy

LOG = run_policy(LEARNERS["thompson shared"], n_rounds=60).log


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_log(tmp_path / "log.parquet", LOG)
    return tmp_path / "log.parquet"


def test_the_stream_says_what_the_whole_log_says(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_parquet, "batch_rows", lambda _: 7)
    reader, log = OwnParquet(file), read_log(file)
    list(reader.batches())
    facts = reader.facts()
    batches = list(reader.batches(facts))
    assert is_own(names_of(file))
    assert len(batches) > 1
    assert facts.groups == ("long", "short")

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(batch, name) for batch in batches])

    for ours, theirs in (("slot", log.slot), ("reward", log.reward), ("behavior", log.behavior), ("mask", log.mask)):
        assert np.array_equal(joined(ours), theirs), ours
    ids = np.array([int(label) for label in facts.labels])
    assert np.array_equal(ids[joined("actions")], log.action_ids)
    assert np.array_equal(joined("context")[:, :-2], log.context)
    assert np.array_equal(joined("context")[:, -1] == 1, log.task_type == "short")
    assert all((judged(batch).code == 0).all() for batch in batches)


def test_feedback_that_never_came_is_no_reward(file: Path) -> None:
    lost = {name: np.where(np.arange(60) < 2, np.nan, getattr(LOG, name)) for name in FEEDBACK}
    write_log(file, replace(LOG, **lost))
    (batch,) = OwnParquet(file).batches()
    assert [NAMES[c] for c in judged(batch).code[:3]] == ["no_reward", "no_reward", "used"]


def test_another_schema_and_a_missing_column_are_refused(file: Path) -> None:
    table = pq.read_table(file)
    other = table.set_column(0, own_parquet.VERSION, pa.array(np.full(60, 9), pa.int32()))
    pq.write_table(other, file)
    with pytest.raises(ValueError, match="= 9, need 1"):
        list(OwnParquet(file).batches())
    pq.write_table(table.drop_columns(["guardband.masses"]), file)
    with pytest.raises(ValueError, match="no column 'guardband.masses'"):
        OwnParquet(file)
