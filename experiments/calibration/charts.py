"""Charts of a calibration: recorded means with error bars on the fitted curve, lengths on their fit.

Pure functions from the results table to an Altair chart, a panel per task type, three in a
row. Data are points, fits are lines in ink, dashed where nothing was recorded.
"""

from pathlib import Path

import altair as alt
import pandas as pd
import vl_convert

from experiments.charts import DASH, WIDTH
from experiments.palette import INK
from experiments.results import load_results
from experiments.tables import has, one_world, rounded, select

__all__ = ["CELLS", "CHARTS", "failure_chart", "lengths_chart", "quality_chart", "save_charts"]

DATA = "#0072b2"
PER_ROW = 3
FITS = {"one component": [2, 3], "two components": [1, 0]}  # name -> dashes


def quality_chart(table: pd.DataFrame) -> alt.FacetChart:
    """Mean quality of calls that did not fail, by temperature, with 95 % intervals, on the fitted curve.

    Raises:
        ValueError: no quality was recorded, or in several worlds.
    """
    return _by_temperature(table, "quality", "mean quality (0 to 1)")


def failure_chart(table: pd.DataFrame) -> alt.FacetChart:
    """Share of calls that failed, by temperature, with 95 % intervals, on the fitted curve.

    Raises:
        ValueError: no failure was recorded, or in several worlds.
    """
    return _by_temperature(table, "failure", "share of calls that fail")


def lengths_chart(table: pd.DataFrame) -> alt.FacetChart:
    """Share of answers no longer than a length, recorded and fitted, at the reference temperature.

    Raises:
        ValueError: no length was recorded, or in several worlds.
    """
    parts = [_joined(table, "length_tokens", f"length_{name}", name="tokens") for name in ("recorded", "one", "two")]
    curves = ("recorded", *FITS)
    named = pd.concat([part.assign(curve=curve) for part, curve in zip(parts, curves, strict=True)])
    data = rounded(named, ("task", "curve", "tokens", "value"))
    base = alt.Chart().encode(
        x=alt.X("tokens:Q").scale(type="log").title("output tokens, log scale"),
        y=alt.Y("value:Q").scale(domain=[0, 1]).axis(format="%").title("share of answers no longer"),
        tooltip=_tips(("task", "curve", "tokens", "value")),
    )
    point = base.transform_filter(alt.datum.curve == "recorded").mark_point(filled=True, size=22, opacity=1, color=DATA)
    dash = alt.StrokeDash("curve:N").title("fitted").scale(domain=list(FITS), range=list(FITS.values()))
    dash = dash.legend(orient="bottom")
    line = base.transform_filter(alt.datum.curve != "recorded").mark_line(strokeWidth=2, color=INK)
    return _panels((line.encode(strokeDash=dash), point), data)


CHARTS = {"quality": quality_chart, "failure": failure_chart, "lengths": lengths_chart}
CELLS = {  # the measures of the section `world` that each chart joins, one row a cell
    "quality": ("recorded_quality", "recorded_temperature_quality", "curve_quality", "curve_temperature_quality"),
    "failure": ("recorded_failure", "recorded_temperature_failure", "curve_failure", "curve_temperature_failure"),
    "lengths": ("length_recorded", "length_tokens", "length_one", "length_two"),
}


def save_charts(run: Path) -> list[str]:
    """Draw what was measured into `figures/` of a run folder, as SVG and PNG.

    Returns:
        The files, relative to the run's folder.
    """
    table, made = load_results(run), []
    for name, draw in CHARTS.items():
        if has(table, "world", CELLS[name][0]):
            spec = draw(table).to_dict()
            (run / "figures").mkdir(exist_ok=True)
            (run / f"figures/calibration_{name}.svg").write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
            (run / f"figures/calibration_{name}.png").write_bytes(vl_convert.vegalite_to_png(spec, scale=2))
            made += [f"figures/calibration_{name}.{end}" for end in ("svg", "png")]
    return made


def _joined(table: pd.DataFrame, where: str, what: str, *, name: str) -> pd.DataFrame:
    """One measure beside the measure that says where each of its cells lies, under a name of its own."""
    keys = ["world", "task", "n"]
    place = select(table, "world", where)[[*keys, "value"]].rename(columns={"value": name})
    return one_world(select(table, "world", what).merge(place, on=keys))


def _by_temperature(table: pd.DataFrame, part: str, title: str) -> alt.FacetChart:
    points = _joined(table, f"recorded_temperature_{part}", f"recorded_{part}", name="temperature")
    curve = _joined(table, f"curve_temperature_{part}", f"curve_{part}", name="temperature").assign(lo=None, hi=None)
    hottest = points.groupby("task")["temperature"].max()
    beyond = curve["temperature"] > curve["task"].map(hottest)
    parts = [points.assign(kind="recorded"), curve.assign(kind=beyond.map({False: "fitted", True: "extrapolated"}))]
    columns = ("task", "kind", "temperature", "value", "lo", "hi")
    data = rounded(pd.concat(parts).astype({"lo": float, "hi": float}), columns)
    base = alt.Chart().encode(x=alt.X("temperature:Q").title("temperature"))
    y = alt.Y("value:Q").scale(domain=[0, 1]).title(title)
    recorded = base.transform_filter(alt.datum.kind == "recorded")
    line = base.mark_line(strokeWidth=2, color=INK).encode(y=y)
    lines = line.transform_filter(alt.datum.kind == "fitted"), line.transform_filter(alt.datum.kind == "extrapolated")
    bar = recorded.mark_rule(strokeWidth=2, clip=True, color=DATA).encode(y="lo:Q", y2="hi:Q")
    tips = _tips(("task", "temperature", "value", "lo", "hi"))
    point = recorded.mark_point(filled=True, size=45, opacity=1, color=DATA).encode(y=y, tooltip=tips)
    return _panels((lines[0], lines[1].mark_line(strokeWidth=2, color=INK, strokeDash=DASH), bar, point), data)


def _tips(names: tuple[str, ...]) -> list[alt.Tooltip]:
    texts = ("task", "curve")
    return [
        alt.Tooltip(name, type="nominal") if name in texts else alt.Tooltip(name, type="quantitative", format=".4~g")
        for name in names
    ]


def _panels(layers: tuple[alt.Chart, ...], data: pd.DataFrame) -> alt.FacetChart:
    """A panel per task type in the data's order."""
    tasks = list(dict.fromkeys(data["task"]))
    width = WIDTH // min(PER_ROW, len(tasks)) - 40
    chart = alt.layer(*layers, data=data).properties(width=width, height=180)
    facet = alt.Facet("task:N").title(None).sort(tasks)
    return chart.facet(facet=facet, columns=PER_ROW)
