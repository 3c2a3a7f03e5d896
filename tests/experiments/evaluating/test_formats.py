"""A file's format is told by its name and columns; what the settings say comes first."""

from pathlib import Path

import pytest

from envs.targets import ConfigError
from evaluators.log import write_log
from evaluators.reading.dsjson import Dsjson
from evaluators.reading.mapped import Columns, Mapped
from evaluators.reading.own_parquet import OwnParquet
from experiments.evaluating.formats import format_of, open_reader
from tests.examples import LEARNERS, run_policy
from tests.other_logs import columns, draw, line, open_bandit_columns, write_lines, write_table

DRAWN = draw(20)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("logs")
    write_log(folder / "own.parquet", run_policy(LEARNERS["uniform"], n_rounds=5).log)
    return {
        "own": folder / "own.parquet",
        "table": write_table(folder / "t.csv.gz", columns(DRAWN)),
        "dsjson": write_lines(folder / "d.json.gz", [line(DRAWN, i) for i in range(20)]),
        "open_bandit": write_table(folder / "all.csv", open_bandit_columns(DRAWN)),
    }


@pytest.mark.parametrize("kind", ["own", "table", "dsjson", "open_bandit"])
def test_every_format_is_known_by_itself(kind: str, files: dict[str, Path]) -> None:
    assert format_of(files[kind], "auto", Columns()) == kind
    made = open_reader(files[kind], kind, columns=Columns(), target="")
    wanted = {"own": OwnParquet, "table": Mapped, "dsjson": Dsjson, "open_bandit": Mapped}[kind]
    assert isinstance(made, wanted)
    assert sum(batch.row.size for batch in made.batches()) == (5 if kind == "own" else 20)


def test_named_columns_beat_the_look_of_a_file(files: dict[str, Path]) -> None:
    assert format_of(files["open_bandit"], "auto", Columns(reward="click")) == "table"
    assert format_of(files["open_bandit"], "table", Columns()) == "table"


def test_a_column_of_our_own_log_is_no_target(files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"experiment.target: got 'p'.*a bundle's folder"):
        open_reader(files["own"], "own", columns=Columns(), target="p")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"none.csv is not a file.*data=FILE"):
        format_of(Path("none.csv"), "auto", Columns())
