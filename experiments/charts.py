"""Interactive charts of a run: pure functions from the results table to an Altair chart.

One function a question. Each thins or aggregates first and never carries raw rows. Colour means
policy, the same everywhere; what is no policy is drawn in ink. All but `gate_chart` speak of one
world: filter the table by `world` before. A click in a legend fades the other policies.
"""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from experiments.palette import INK, INK_PAIR, policy_colours
from experiments.tables import (
    deployed_with_limits,
    every_rule,
    gains,
    has,
    one_world,
    rounded,
    select,
    thin,
    with_bars,
)

WIDTH = 850  # pixels that the panels of a row share
DASH = [6, 4]  # of lines that are a reference, not a measurement
LEGEND_COLUMNS = 6  # names in a row of a legend: more would leave the page
OPE_KEYS = ("policy", "estimator", "n")


def regret_chart(table: pd.DataFrame) -> alt.FacetChart:
    """Mean cumulative regret by evaluation with its 95 % band, a panel per approval rule.

    Raises:
        ValueError: simulation/regret was not measured, or in several worlds.
    """
    rows = every_rule(thin(one_world(select(table, "simulation", "regret"))))
    data = rounded(rows, ("policy", "rule", "t", "value", "lo", "hi"))
    layers = _curves(data, title="mean cumulative regret (reward units)")
    return _panels(layers, data, columns="rule", height=300)


def deployed_chart(table: pd.DataFrame) -> alt.FacetChart:
    """Value of the deployed parameters by evaluation, between the start's value and the oracle's.

    A column per task type, a row per approval rule.

    Raises:
        ValueError: simulation/deployed or simulation/oracle was not measured, or in several worlds.
    """
    rows = every_rule(thin(deployed_with_limits(table)))
    columns = ("policy", "rule", "task", "t", "value", "lo", "hi", "start", "oracle")
    data = rounded(rows, columns)
    curves = _curves(data, title="deployed value (reward units)")
    limits = (*_limit("oracle", dash=DASH, dy=-7), *_limit("start", dash=[2, 3], dy=9))
    return _panels((*limits, *curves), data, columns="task", rows="rule", height=220)


def convergence_chart(table: pd.DataFrame) -> alt.FacetChart:
    """Share of seeds converged by n evaluations, down to its one-sided 95 % lower bound.

    A column per task type, a row per approval rule.

    Raises:
        ValueError: convergence/reached was not measured, or in several worlds.
    """
    rows = every_rule(one_world(select(table, "convergence", "reached")))
    data = rounded(rows, ("policy", "rule", "task", "n", "value", "lo"))
    pick = alt.selection_point(fields=["policy"], bind="legend")
    base = alt.Chart().encode(
        x=alt.X("n:O").title("by evaluation").axis(labelAngle=0),
        xOffset=alt.XOffset("policy:N").sort(list(policy_colours(data["policy"]))),
        color=_policy_colour(data),
        opacity=_faded(pick, 1.0),
    )
    y = alt.Y("value:Q").scale(domain=[0, 1]).axis(format="%").title("share of seeds converged")
    bound = base.mark_rule(strokeWidth=2).encode(y=y, y2="lo:Q")
    cap = base.mark_tick(thickness=2, size=9).encode(y="lo:Q")
    point = base.mark_point(filled=True, size=60, opacity=1).encode(y="value:Q", tooltip=_tips(data))
    layers = (bound, cap, point.add_params(pick))
    return _panels(layers, data, columns="task", rows="rule", height=190)


def estimates_chart(table: pd.DataFrame) -> alt.FacetChart:
    """Mean estimate by estimator and log size against the exact value, a panel per target policy.

    Bars are the measured intervals; without one, 1.96 standard errors to either side.

    Raises:
        ValueError: ope/value or ope/truth was not measured, or in several worlds.
    """
    rows = one_world(select(table, "ope", "value"))
    truth = select(table, "ope", "truth").groupby("policy")["value"].mean()
    data = with_bars(rows.assign(truth=rows["policy"].map(truth)))
    data = rounded(data, (*OPE_KEYS, "value", "lo", "hi", "truth"))
    line = alt.Chart().mark_rule(strokeDash=DASH, color=INK).encode(x="mean(truth):Q")
    return _panels(
        (line, *_estimators(data, "estimated value (reward units)")),
        data,
        columns="policy",
        height=150,
    )


def ope_errors_chart(table: pd.DataFrame, *, nominal_coverage: float = 0.95) -> alt.FacetChart:
    """Bias, root mean squared error and coverage of the estimators, as far as measured.

    A column per error, a row per target policy. Bars are 1.96 Monte Carlo standard errors to either
    side; dashed lines are what an honest estimator reaches (bias 0, nominal coverage).

    Raises:
        ValueError: none of ope/bias, ope/rmse, ope/coverage was measured, or in several worlds.
    """
    honest = {"bias": 0.0, "rmse": np.nan, "coverage": nominal_coverage}
    titles = {
        "bias": "bias (reward units)",
        "rmse": "root mean squared error (reward units)",
        "coverage": f"coverage (nominal {nominal_coverage:g})",
    }
    found = [name for name in honest if has(table, "ope", name)] or ["bias"]
    rows = with_bars(one_world(pd.concat([select(table, "ope", name) for name in found])))
    rows = rows.assign(error=rows["measure"].map(titles), nominal=rows["measure"].map(honest))
    data = rounded(rows, (*OPE_KEYS, "error", "value", "lo", "hi", "nominal"))
    line = alt.Chart().mark_rule(strokeDash=DASH, color=INK).encode(x="mean(nominal):Q")
    layers = (line, *_estimators(data, ""))
    chart = _panels(layers, data, columns="error", rows="policy", height=150)
    chart.resolve = alt.Resolve(scale=alt.ScaleResolveMap(x="independent"))
    return chart


def gate_chart(table: pd.DataFrame) -> alt.FacetChart:
    """Gain of each candidate over the baseline, down to the lower bound the gate reads.

    A row per world.

    Raises:
        ValueError: as `experiments.tables.gains`.
    """
    rows = gains(table)
    data = rounded(rows, rows.columns)
    data["label"] = [
        f"{gain:+.3g}, at least {bound:+.3g}" for gain, bound in zip(data["gain"], data["bound"], strict=True)
    ]
    base = alt.Chart().encode(y=alt.Y("candidate:N").title(None), color=_policy_colour(data, legend=False))
    x = alt.X("gain:Q").title("gain over the baseline (reward units)")
    zero = alt.Chart().mark_rule(strokeDash=DASH, color=INK).encode(x=alt.datum(0))
    bar = base.mark_rule(strokeWidth=2).encode(x=x, x2="bound:Q")
    cap = base.mark_tick(thickness=2, size=14).encode(x="bound:Q")
    point = base.mark_point(filled=True, size=80, opacity=1).encode(x="gain:Q", tooltip=_tips(data))
    label = base.mark_text(align="right", dy=-11).encode(x=alt.value("width"), text="label:N")
    height = 48 * data["candidate"].nunique()
    return _panels((zero, bar, cap, point, label), data, rows="world", height=height)


def propensity_chart(table: pd.DataFrame, measure: str) -> alt.FacetChart:
    """How the z-values of logged propensities are spread, beside the normal law they should follow.

    Args:
        table: the results; one row of the measure is one cell (an action or a window slot).
        measure: `z_action` or `z_slot`.

    Raises:
        ValueError: propensity/<measure> was not measured, or in several worlds.
    """
    rows = one_world(select(table, "propensity", measure))
    edges = np.arange(-5.0, 5.5, 0.5)
    parts = []
    for policy, cells in rows.groupby("policy"):
        counts, _ = np.histogram(np.clip(cells["value"], edges[0], edges[-1]), edges)
        shares = {"from": edges[:-1], "to": edges[1:], "share": counts / len(cells)}
        parts.append(pd.DataFrame({"policy": policy, **shares}))
    data = pd.concat(parts, ignore_index=True)
    data["z"] = (data["from"] + data["to"]) / 2
    data["normal"] = 0.5 * np.exp(-(data["z"] ** 2) / 2) / np.sqrt(2 * np.pi)
    base = alt.Chart()
    bar = base.mark_bar().encode(
        x=alt.X("from:Q").bin("binned").title("z (5: or beyond)").axis(values=[-4, -2, 0, 2, 4]),
        x2="to:Q",
        y=alt.Y("share:Q").axis(format="%").title("share of cells"),
        color=_policy_colour(data, legend=False),
        tooltip=_tips(data),
    )
    normal = base.mark_line(color=INK, strokeDash=[4, 3], interpolate="monotone")
    layers = (bar, normal.encode(x="z:Q", y="normal:Q"))
    return _panels(layers, data, columns="policy", height=130)


def _curves(data: pd.DataFrame, *, title: str) -> tuple[alt.Chart, alt.Chart]:
    """Band and line by evaluation, in the policy's colour."""
    pick = alt.selection_point(fields=["policy"], bind="legend")
    base = alt.Chart().encode(x=alt.X("t:Q").title("evaluation").scale(nice=False), color=_policy_colour(data))
    y = alt.Y("lo:Q").scale(zero=False).title(title)
    band = base.mark_area().encode(y=y, y2="hi:Q", opacity=_faded(pick, 0.2))
    line = base.mark_line(strokeWidth=2).encode(y="value:Q", opacity=_faded(pick, 1.0), tooltip=_tips(data))
    return band, line.add_params(pick)


def _limit(name: str, *, dash: list[int], dy: int) -> tuple[alt.Chart, alt.Chart]:
    """A level of the whole panel with its name at the left end."""
    base = alt.Chart().encode(y=f"mean({name}):Q")
    text = base.mark_text(align="left", dx=4, dy=dy, color=INK).encode(x=alt.value(0), text=alt.datum(name))
    return base.mark_rule(strokeDash=dash, color=INK), text


def _estimators(data: pd.DataFrame, title: str) -> tuple[alt.Chart, alt.Chart]:
    """A row per estimator, in it a mark with its error bar per log size."""
    sizes = sorted({int(n) for n in data["n"]})
    colours = [INK_PAIR[i * len(INK_PAIR) // len(sizes)] for i in range(len(sizes))]
    size = alt.Color("n:O").title("rows of the log").scale(domain=sizes, range=colours)
    shape = alt.Shape("n:O").title("rows of the log").scale(domain=sizes)
    base = alt.Chart().encode(
        y=alt.Y("estimator:N").title(None).sort(_order(data, "estimator")),
        yOffset=alt.YOffset("n:O").scale(paddingInner=0.6, paddingOuter=0.6),
        color=size,
    )
    x = alt.X("lo:Q").scale(zero=False).title(title)
    bar = base.mark_rule(strokeWidth=2).encode(x=x, x2="hi:Q")
    point = base.mark_point(filled=True, size=70, opacity=1).encode(x="value:Q", shape=shape, tooltip=_tips(data))
    return bar, point


def _policy_colour(data: pd.DataFrame, *, legend: bool = True) -> alt.Color:
    colours = policy_colours(data["policy"])
    colour = alt.Color("policy:N").scale(domain=list(colours), range=list(colours.values()))
    return colour.title("policy").legend(columns=LEGEND_COLUMNS) if legend else colour.legend(None)


def _faded(pick: alt.Parameter, opacity: float) -> alt.OpacityValue:
    """The opacity, but an eighth of it while another policy is picked."""
    return alt.OpacityValue(opacity / 8).condition(param=pick.name, value=opacity)


def _tips(data: pd.DataFrame) -> list[alt.Tooltip]:
    """Every column of the data, numbers to 4 digits."""
    floats = set(data.select_dtypes("float").columns)
    return [
        alt.Tooltip(name, type="quantitative", format=".4~g") if name in floats else alt.Tooltip(name, type="nominal")
        for name in data.columns
    ]


def _panels(
    layers: Sequence[alt.Chart],
    data: pd.DataFrame,
    *,
    columns: str = "",
    rows: str = "",
    height: int,
) -> alt.FacetChart:
    """Small multiples over one or two columns of the data, together as wide as the page.

    Panels stand in the data's order, each under the column's name and its value.
    """
    n_columns = data[columns].nunique() if columns else 1
    width = max(150, (WIDTH - 30 * bool(rows)) // n_columns - 20)
    chart = alt.layer(*layers, data=data).properties(width=width, height=height)
    column = alt.Column(columns).type("nominal").header(_header(columns)).title(None)
    row = alt.Row(rows).type("nominal").header(_header(rows)).title(None)
    return chart.facet(
        column=column.sort(_order(data, columns)) if columns else alt.Undefined,
        row=row.sort(_order(data, rows)) if rows else alt.Undefined,
    )


def _header(name: str) -> alt.Header:
    """Above or beside a panel: what the value is, unless that goes without saying."""
    if name in ("error", "policy", "world"):
        return alt.Header()
    # Vega-Lite puts an unbracketed conditional in the place of datum.label.
    return alt.Header(labelExpr=f"'{name}: ' + (datum.label)")


def _order(data: pd.DataFrame, name: str) -> list[str]:
    """Values of a column as first met, policies as in the legend."""
    return list(policy_colours(data[name]) if name == "policy" else dict.fromkeys(data[name]))
