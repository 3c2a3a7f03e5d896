"""The report of a run: one HTML file that needs no network, beginning with the verdict.

Made from the run folder alone (`results.parquet`, `summary.json`, `config.yaml`), so it can be
remade at any time: `python -m experiments.report RUN_DIR`. Charts are Vega-Lite with one inlined
copy of the runtime; a content security policy in the page forbids every request to elsewhere.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import jinja2
import pandas as pd
import vl_convert
from markupsafe import Markup
from omegaconf import DictConfig, OmegaConf

from experiments import charts
from experiments.calibration import charts as calibration_charts
from experiments.measurement import NUMBER_COLUMNS
from experiments.results import Summary, load_results, load_summary
from experiments.tables import has, last_values
from experiments.wording import CAVEATS, CELL_MEASURES, PAGE_MEASURES, READING, SECTION_TITLES, WORDS

REPORT_FILE = "report.html"
CONFIG_FILE = "config.yaml"
NUMERIC = (*NUMBER_COLUMNS, "n", "t")


class Drawing(NamedTuple):
    """A chart of the report: where it stands, what it needs, and how it is drawn."""

    section: str
    measures: tuple[str, ...]  # the section's measures that it needs
    draw: Callable[[pd.DataFrame], alt.FacetChart]
    by_world: bool = True


class Panel(NamedTuple):
    """A chart ready for the page."""

    title: str
    how_to_read: str
    spec_id: str


class Section(NamedTuple):
    """A chapter of the page: its charts, and its numbers as a table."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    table_title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def _cells(measure: str) -> Drawing:
    draw = partial(charts.propensity_chart, measure=measure)
    return Drawing("propensity", (measure,), draw)


DRAWINGS = {
    **{
        f"calibrated_{name}": Drawing("world", calibration_charts.CELLS[name], draw)
        for name, draw in calibration_charts.CHARTS.items()
    },
    "regret": Drawing("simulation", ("regret",), charts.regret_chart),
    "deployed": Drawing("simulation", ("deployed", "oracle"), charts.deployed_chart),
    "convergence": Drawing("convergence", ("reached",), charts.convergence_chart),
    "estimates": Drawing("ope", ("value", "truth"), charts.estimates_chart),
    "errors": Drawing("ope", ("bias",), charts.ope_errors_chart),
    "gate": Drawing("gate", ("difference", "lower_bound"), charts.gate_chart, by_world=False),
    "z_action": _cells("z_action"),
    "z_slot": _cells("z_slot"),
}


def write_report(run: Path) -> Path:
    """Make `report.html` of a run folder, from the files in it alone.

    Returns:
        The report's path.

    Raises:
        FileNotFoundError: results, summary or configuration is missing.
        ValueError: one of them is malformed.
    """
    config = run / CONFIG_FILE
    if not config.is_file():
        raise FileNotFoundError(f"no {CONFIG_FILE} in {run}; need the folder of a finished run")
    table, summary = load_results(run), load_summary(run)
    page = render(table, summary, config=config.read_text(encoding="utf-8"), run_name=run.name)
    partial_file = run / f"{REPORT_FILE}.partial"
    partial_file.write_text(page, encoding="utf-8")
    return partial_file.replace(run / REPORT_FILE)


def render(table: pd.DataFrame, summary: Summary, *, config: str, run_name: str) -> str:
    """The whole page.

    Args:
        table: the measurements, as `load_results` returns them.
        summary: the run's summary.
        config: text of the resolved configuration (YAML).
        run_name: name of the run folder.

    Raises:
        ValueError: a chart lacks what it needs, or the configuration is no YAML mapping.
    """
    specs: dict[str, dict[str, Any]] = {}
    sections = tuple(_section(table, name, specs) for name in dict.fromkeys(_in_order(table)))
    templates = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    page = jinja2.Environment(
        loader=templates, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    ).get_template("report.html.j2")
    return page.render(
        summary=summary,
        run_name=run_name,
        counts=_counts(summary),
        facts=_facts(summary, config),
        config=config,
        sections=sections,
        numeric=NUMERIC,
        words=WORDS.items(),
        caveats=CAVEATS,
        specs=_script_json(specs),
        runtime=_chart_runtime(),
    )


def main(arguments: Sequence[str]) -> int:
    """Remake the report of one run folder; print its path.

    Returns:
        0; 2 if the folder holds no finished run.
    """
    if len(arguments) != 1:
        print("usage: python -m experiments.report RUN_DIR", file=sys.stderr)
        return 2
    try:
        print(write_report(Path(arguments[0])))
    except (FileNotFoundError, ValueError) as error:
        print(f"no report: {error}", file=sys.stderr)
        return 2
    return 0


def _in_order(table: pd.DataFrame) -> Iterable[str]:
    return (name for name in SECTION_TITLES if (table["section"] == name).any())


def _section(table: pd.DataFrame, name: str, specs: dict[str, dict[str, Any]]) -> Section:
    """One chapter; the specs of its charts are added to `specs`."""
    rows = table[table["section"] == name]
    panels = []
    for drawing_name, drawing in DRAWINGS.items():
        if drawing.section == name:
            panels += _panels(rows, drawing_name, specs)
    numbers = last_values(rows[~rows["measure"].isin([*CELL_MEASURES, *PAGE_MEASURES])])
    has_curves = bool(rows["t"].notna().any())
    return Section(
        name=name,
        title=SECTION_TITLES[name],
        panels=tuple(panels),
        table_title="The numbers" + (" at the last evaluation" if has_curves else ""),
        columns=tuple(numbers.columns),
        rows=tuple(tuple(_text(x) for x in row) for row in numbers.itertuples(index=False)),
    )


def _panels(rows: pd.DataFrame, name: str, specs: dict[str, dict[str, Any]]) -> list[Panel]:
    """The chart of one name, once for each world that measured what it needs."""
    drawing, panels = DRAWINGS[name], []
    title, how_to_read = READING[name]
    worlds = list(dict.fromkeys(rows["world"])) if drawing.by_world else [""]
    for world in worlds:
        part = rows[rows["world"] == world] if drawing.by_world else rows
        if all(has(part, drawing.section, measure) for measure in drawing.measures):
            spec_id = f"{name}-{len(specs)}"
            specs[spec_id] = _spec(drawing.draw(part))
            where = f" ({world})" if len(worlds) > 1 else ""
            panels.append(Panel(title + where, how_to_read, spec_id))
    return panels


def _spec(chart: alt.FacetChart) -> dict[str, Any]:
    """The chart as Vega-Lite JSON without the address of its schema, and without a theme."""
    spec: dict[str, Any] = chart.to_dict()
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}


def _script_json(value: object) -> Markup:
    """JSON that may stand in a script element whatever texts it holds."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))


@cache
def _chart_runtime() -> Markup:
    """Vega, Vega-Lite and Vega-Embed as one script (1.2 s of CPU, hence once a process)."""
    return Markup(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _counts(summary: Summary) -> str:
    held = [claim.holds for claim in summary.claims]
    return (
        f"{held.count(True)} of {len(held) - held.count(None)} required claims hold "
        f"({held.count(None)} reported without a requirement)."
    )


def _facts(summary: Summary, config: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was run, in three small tables: settings, wall time by stage, versions."""
    tree = OmegaConf.create(config)
    if not isinstance(tree, DictConfig):
        raise ValueError(f"{CONFIG_FILE} holds a {type(tree).__name__}, need a mapping")
    values = OmegaConf.to_container(tree, resolve=False)
    assert isinstance(values, dict)
    settings = [(str(k), str(v)) for k, v in values.items() if not isinstance(v, dict | list) and v != ""]
    timings = [(stage, f"{seconds:.1f} s") for stage, seconds in summary.timings.items()]
    versions = list(summary.versions.items())
    return [("Settings", settings), ("Wall time", timings), ("Versions", versions)]


def _text(value: object) -> str:
    """A cell of a table: numbers to 4 digits or whole, nothing for what is missing."""
    if value is None or value is pd.NA or value != value:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
