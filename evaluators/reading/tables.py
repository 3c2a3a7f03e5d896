"""CSV, compressed CSV and Parquet as a stream of Arrow batches with the row numbers they have in the file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs.targets import nearest

Ints = NDArray[np.int64]

__all__ = ["Part", "is_parquet", "names_of", "parts", "pick"]

BLOCK = 2**23  # bytes of a CSV that are parsed at a time
PARQUET = (".parquet", ".pq")


class Part(NamedTuple):
    """Rows as they stand in the file: `table` is an Arrow batch, `lost` rows that are no row of its columns."""

    table: Any
    row: Ints
    lost: Ints


def is_parquet(file: Path) -> bool:
    """Whether a name says Parquet."""
    return file.suffix.lower() in PARQUET


def names_of(file: Path) -> tuple[str, ...]:
    """The columns of a file.

    Raises:
        FileNotFoundError: no file there.
        ValueError: not what its name says.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not a file, need a log")
    try:
        if is_parquet(file):
            return tuple(pq.read_schema(file).names)
        with csv.open_csv(file, read_options=csv.ReadOptions(block_size=BLOCK, use_threads=False)) as reader:
            return tuple(reader.schema.names)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from None


def pick(file: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse names that the file lacks.

    Raises:
        ValueError: the first one, with the nearest that there is.
    """
    for name in wanted:
        if name not in found:
            shown = ", ".join(found[:30]) + (", ..." if len(found) > 30 else "")
            raise ValueError(f"{file} has no column {name!r}{nearest(name, list(found))}; it has {shown}")


def parts(file: Path, wanted: Sequence[str], *, rows: int) -> Iterator[Part]:
    """Some columns of a file, batch by batch; every column of a CSV comes as text.

    Args:
        file: .parquet or .pq, else a CSV, also compressed (.gz, .bz2, .zst).
        wanted: columns, each once.
        rows: of a Parquet batch at most; a CSV comes in blocks of 8 MB.

    Raises:
        ValueError: the file cannot be read on.
    """
    try:
        yield from _parquet(file, wanted, rows) if is_parquet(file) else _csv(file, wanted, rows)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> ValueError:
    kind = "Parquet" if is_parquet(file) else "CSV"
    return ValueError(f"{file} cannot be read as {kind}: {str(error).splitlines()[0]}")


def _parquet(file: Path, wanted: Sequence[str], rows: int) -> Iterator[Part]:
    none, first = np.zeros(0, np.int64), 1
    with pq.ParquetFile(file, pre_buffer=False) as source:
        for table in source.iter_batches(batch_size=rows, columns=list(wanted), use_threads=False):
            yield Part(table, np.arange(first, first + table.num_rows), none)
            first += table.num_rows


def _csv(file: Path, wanted: Sequence[str], rows: int) -> Iterator[Part]:
    lost: list[int] = []

    def skip(row: Any) -> str:
        lost.append(row.number - 1)  # the header is line 1
        return "skip"

    text = dict.fromkeys(wanted, pa.string())
    reader = csv.open_csv(
        file,
        read_options=csv.ReadOptions(block_size=BLOCK, use_threads=False),  # one thread: lost rows know their number
        parse_options=csv.ParseOptions(invalid_row_handler=skip),
        convert_options=csv.ConvertOptions(column_types=text, include_columns=list(wanted), strings_can_be_null=True),
    )
    first = 1
    with reader:
        for block in reader:
            bad = np.array(lost, np.int64)
            lost.clear()
            row, ahead = _numbers(first, block.num_rows, bad)
            lost.extend(ahead.tolist())
            first = int(row[-1]) + 1 if row.size else first
            bad = bad[: bad.size - ahead.size]
            for at in range(0, block.num_rows, rows):
                yield Part(block.slice(at, rows), row[at : at + rows], bad if at == 0 else bad[:0])
    if lost:
        yield Part(None, np.zeros(0, np.int64), np.array(lost, np.int64))


def _numbers(first: int, n: int, bad: Ints) -> tuple[Ints, Ints]:
    """The numbers of n good rows from `first` on, and the bad rows that stand behind them all."""
    row = np.arange(first, first + n + bad.size)
    good = row[~np.isin(row, bad)][:n]
    return good, bad[bad > (good[-1] if good.size else first - 1)]
