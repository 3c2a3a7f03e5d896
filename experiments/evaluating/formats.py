"""Which reader a file asks for: told by its name and its columns, or by the settings."""

from pathlib import Path

from envs.targets import refuse
from evaluators.reading.batches import Reader
from evaluators.reading.dsjson import Dsjson
from evaluators.reading.mapped import Columns, Mapped
from evaluators.reading.open_bandit import is_open_bandit, open_bandit
from evaluators.reading.own_parquet import OwnParquet, is_own
from evaluators.reading.tables import names_of

__all__ = ["FORMATS", "format_of", "open_reader"]

FORMATS = ("auto", "own", "table", "dsjson", "open_bandit")
LINES = (".json", ".jsonl", ".dsjson", ".ndjson", ".log")


def format_of(file: Path, asked: str, columns: Columns) -> str:
    """The format of a file; `auto` looks at its name, then at its columns, unless the settings name some.

    Args:
        file: the log.
        asked: one of `FORMATS`.
        columns: as set; a table's own names beat the look of an Open Bandit file.

    Raises:
        FileNotFoundError: no file there.
        ValueError: not what its name says.
    """
    if asked != "auto":
        return asked
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not a file, need a log: data=FILE")
    if any(end in LINES for end in file.suffixes):
        return "dsjson"
    names = names_of(file)
    if is_own(names):
        return "own"
    return "open_bandit" if is_open_bandit(names) and columns == Columns() else "table"


def open_reader(file: Path, kind: str, *, columns: Columns, target: str) -> Reader:
    """A reader of one format.

    Args:
        file: the log.
        kind: as `format_of` answers.
        columns: of a table.
        target: the column that holds the target's probabilities; empty: none does.

    Raises:
        ConfigError: our own log has no such column.
        FileNotFoundError: no file there.
        ValueError: a column is missing.
    """
    if kind == "own":
        if target:
            raise refuse(
                "experiment.target", target, "logger, policy, or a bundle's folder: our own log has no such column"
            )
        return OwnParquet(file)
    if kind == "dsjson":
        return Dsjson(file, target=target)
    return open_bandit(file, target=target) if kind == "open_bandit" else Mapped(file, columns, target=target)
