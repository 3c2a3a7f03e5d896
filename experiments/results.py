"""Results of a run: tidy measurements, and the claims that rest on them, as two files.

`results.parquet` holds one measurement a row, so any tool can read it; `summary.json` holds
the verdict with its reasons and claims. What is not finite, names an unknown column or repeats a
key is refused on its way in and again on its way out. Importing this file loads none of pyarrow,
pandas or matplotlib; writing and loading do (pyarrow brings pandas as soon as it makes an array).
"""

import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.measurement import (
    COLUMNS,
    INTEGER_COLUMNS,
    KEY_COLUMNS,
    NUMBER_COLUMNS,
    TEXT_COLUMNS,
    Measurement,
    checked,
    describe,
    unknown,
)

if TYPE_CHECKING:
    import pandas as pd

RESULTS_FILE = "results.parquet"
SUMMARY_FILE = "summary.json"


class Claim(NamedTuple):
    """A sentence about the run with its threshold, in words ready for print."""

    claim: str
    measured: str
    required: str
    interval: str
    holds: bool | None  # None: reported, nothing was required


class Summary(NamedTuple):
    """The end of a run in words, as `summary.json` keeps it."""

    experiment: str
    verdict: str  # such as "approved" or "refused"
    reasons: tuple[str, ...]
    claims: tuple[Claim, ...]
    files: tuple[str, ...]  # relative to the run folder
    versions: dict[str, str]
    timings: dict[str, float]  # wall seconds by stage
    notes: tuple[str, ...] = ()  # what a reader must know of the world and the settings


class Results:
    """The measurements of a run in the making; append, then `write`.

    >>> results = Results()
    >>> results.add(Measurement(section="ope", measure="bias", estimator="ips", value=0.01))
    >>> results.extend({"section": "ope", "measure": "rmse", "n": [200, 2000], "value": [0.2, 0.1]})
    >>> len(results)
    3
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[object, ...], Measurement] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, measurement: Measurement) -> None:
        """Append one measurement.

        Raises:
            ValueError: the key is taken, or as `experiments.measurement.checked`.
            TypeError: as `experiments.measurement.checked`.
        """
        row = checked(measurement)
        key = astuple(row)[: len(KEY_COLUMNS)]
        if key in self._rows:
            raise ValueError(
                f"{describe(row)} was measured twice: {self._rows[key].value!r}, then "
                f"{row.value!r}; keys are ({', '.join(KEY_COLUMNS)})"
            )
        self._rows[key] = row

    def extend(self, columns: Mapping[str, Any]) -> None:
        """Append one measurement per entry of the columns; single values hold for every row.

        Args:
            columns: by name, a single value or a sequence of r values; r is the same for all.

        Raises:
            ValueError: unknown column, columns of different lengths, or as `add`.
            TypeError: as `add`.
        """
        _refuse_unknown(columns, where="the columns given")
        lengths = {name: len(value) for name, value in columns.items() if _is_sequence(value)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns have lengths {lengths}, need one length for all")
        for i in range(next(iter(lengths.values()), 1)):
            row = {name: value[i] if name in lengths else value for name, value in columns.items()}
            self.add(Measurement(**row))

    def write(self, folder: Path) -> Path:
        """Write `results.parquet` into the folder (made if missing), whole or not at all.

        Returns:
            The file's path.

        Raises:
            ValueError: nothing was measured.
        """
        import pyarrow as pa  # slow to load, and whoever only reads claims never needs it
        import pyarrow.parquet as pq

        if not self._rows:
            raise ValueError(f"0 measurements to write to {folder / RESULTS_FILE}, need at least 1")
        rows = self._rows.values()
        data = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
        table = pa.table(data, schema=_schema())
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{RESULTS_FILE}.partial"
        pq.write_table(table, partial)
        return partial.replace(folder / RESULTS_FILE)


def load_results(path: Path) -> "pd.DataFrame":
    """Measurements of a run as a table, checked again.

    Args:
        path: a run folder, or its `results.parquet`.

    Returns:
        One row per measurement with the columns `COLUMNS`: texts (str), `n` and `t` (Int64, may be
        missing), numbers (float64; missing where not measured, `value` never).

    Raises:
        FileNotFoundError: no such file.
        ValueError: columns missing, unknown or of another type, no row, a NaN value, a key twice.
    """
    import pandas as pd  # slow to load, and only readers need it
    import pyarrow.parquet as pq

    file = _file_in(path, RESULTS_FILE)
    table = pq.read_table(file)
    _refuse_unknown(table.column_names, where=str(file))
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise ValueError(f"{file} lacks the columns {missing}, need all of {list(COLUMNS)}")
    wrong = [f for f in _schema() if table.schema.field(f.name).type != f.type]
    if wrong:
        got = table.schema.field(wrong[0].name).type
        raise ValueError(f"{file}: column {wrong[0].name!r} is {got}, need {wrong[0].type}")
    integers = {_schema().field("n").type: pd.Int64Dtype()}
    frame = table.select(list(COLUMNS)).to_pandas(types_mapper=integers.get)
    _check_frame(frame, file)
    return frame  # type: ignore[no-any-return]  # pyarrow ships no types


def write_summary(folder: Path, summary: Summary) -> Path:
    """Write `summary.json` into the folder (made if missing), whole or not at all.

    Returns:
        The file's path.

    Raises:
        ValueError: a text is empty, no reason is given, or a timing is not finite and >= 0.
    """
    _check_summary(summary, where="the summary")
    data = summary._asdict() | {"claims": [claim._asdict() for claim in summary.claims]}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{SUMMARY_FILE}.partial"
    partial.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return partial.replace(folder / SUMMARY_FILE)


def load_summary(path: Path) -> Summary:
    """Summary of a run.

    Args:
        path: a run folder, or its `summary.json`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, keys missing or unknown, or values as `write_summary` refuses them.
    """
    file = _file_in(path, SUMMARY_FILE)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        claims = tuple(Claim(**claim) for claim in data.pop("claims"))
        reasons, files, notes = (tuple(data.pop(name)) for name in ("reasons", "files", "notes"))
        summary = Summary(claims=claims, reasons=reasons, files=files, notes=notes, **data)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        need = f"the keys {list(Summary._fields)}, each claim {list(Claim._fields)}"
        raise ValueError(f"{file} is no summary: got {error}, need {need}") from error
    _check_summary(summary, where=str(file))
    return summary


def failed_claims(summary: Summary) -> tuple[Claim, ...]:
    """Claims whose requirement was not met; a claim without requirement never fails."""
    return tuple(claim for claim in summary.claims if claim.holds is False)


def installed_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of Python, the system and the named distributions ("" for one not installed)."""
    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def find_run(environ: Mapping[str, str] = os.environ, experiment: str = "vet") -> Path:
    """Run folder to look at: `GUARDBAND_RUN` if set, else the newest of the experiment.

    Args:
        environ: environment variables.
        experiment: its runs are sought in this checkout's `outputs/<experiment>/`, then in the
            working directory's.

    Raises:
        FileNotFoundError: no folder that holds `results.parquet`.
    """
    if chosen := environ.get("GUARDBAND_RUN"):
        return _file_in(Path(chosen), RESULTS_FILE).parent
    roots = (Path(__file__).resolve().parents[1], Path.cwd())
    runs = [r.parent for root in roots for r in root.glob(f"outputs/{experiment}/*/{RESULTS_FILE}")]
    if not runs:
        raise FileNotFoundError(
            f"no {RESULTS_FILE} in any folder of {roots[0] / 'outputs' / experiment}; "
            f"run `python -m experiments.run experiment={experiment}` first or set GUARDBAND_RUN"
        )
    return max(runs, key=lambda run: (run.name, run))


def _is_sequence(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str)


def _refuse_unknown(names: Iterable[str], *, where: str) -> None:
    for name in names:
        if name not in COLUMNS:
            raise ValueError(f"{where}: {unknown('column', name, COLUMNS)}")


def _file_in(path: Path, name: str) -> Path:
    file = path / name if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"no {name} at {file}; need a run folder, or the file itself")
    return file


def _schema() -> Any:
    """The file's columns and types (pyarrow)."""
    import pyarrow as pa  # slow to load, as in `Results.write`

    kinds = dict.fromkeys(TEXT_COLUMNS, pa.string()) | dict.fromkeys(INTEGER_COLUMNS, pa.int64())
    return pa.schema(kinds | dict.fromkeys(NUMBER_COLUMNS, pa.float64()))


def _check_frame(frame: "pd.DataFrame", file: Path) -> None:
    if frame.empty:
        raise ValueError(f"{file} holds 0 measurements, need at least 1")
    nan = frame["value"].isna().to_numpy().nonzero()[0]
    if nan.size:
        raise ValueError(f"{file}: value of row {nan[0]} is missing ({nan.size} of {len(frame)} rows)")
    twice = frame.duplicated(list(KEY_COLUMNS)).to_numpy().nonzero()[0]
    if twice.size:
        key = tuple(frame.loc[twice[0], list(KEY_COLUMNS)])
        raise ValueError(f"{file}: row {twice[0]} repeats the key {key} ({twice.size} repeats)")


def _check_summary(summary: Summary, *, where: str) -> None:
    texts = {"experiment": summary.experiment, "verdict": summary.verdict}
    texts |= {f"reasons[{i}]": reason for i, reason in enumerate(summary.reasons)}
    texts |= {f"claims[{i}].claim": claim.claim for i, claim in enumerate(summary.claims)}
    for name, text in texts.items():
        if not (isinstance(text, str) and text.strip()):
            raise ValueError(f"{where}: {name} = {text!r}, need words")
    if not summary.reasons:
        raise ValueError(f"{where}: verdict {summary.verdict!r} has 0 reasons, need at least 1")
    for i, claim in enumerate(summary.claims):
        if claim.holds not in (True, False, None):
            raise ValueError(f"{where}: claims[{i}].holds = {claim.holds!r}, need true, false or null")
    for stage, seconds in summary.timings.items():
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"{where}: timings[{stage!r}] = {seconds!r}, need finite seconds >= 0")
