"""The table of published against simulated numbers, as Markdown lines and as cells of a page."""

from collections.abc import Mapping

from envs.calibration import Compared, compare
from envs.lattice import AXES
from envs.surfaces.llm_outcome import Params

__all__ = ["HEADS", "cells", "published_lines"]

HEADS = ("task type", "number", "at", "published", "simulated", "allowed", "off by", "source")
_SHORT = {"temperature": "T", "max_tokens": "cap", "top_p": "top_p", "frequency_penalty": "f", "presence_penalty": "p"}


def _place(one: Compared) -> str:
    record = one.record
    known = [f"{_SHORT[name]} {getattr(record, name)}" for name in AXES if getattr(record, name)]
    known += [record.model] if record.model else []
    return ", ".join([*known, f"share {record.at:g}"] if record.measure == "first_token_quantile" else known)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


def cells(one: Compared) -> tuple[str, ...]:
    """One row of the table, as `HEADS` name its columns; "off by" is in units of what is allowed, 1 at most."""
    record = one.record
    off = (one.simulated - record.value) / record.allowed
    how = f"+-{_number(record.allowed)}" + ("" if record.tolerance else " (2 SE)")
    return (
        record.task,
        record.measure,
        _place(one),
        _number(record.value),
        _number(one.simulated),
        how,
        f"{off:+.2f}" + ("" if one.holds else " FAILS"),
        record.source,
    )


def published_lines(worlds: Mapping[str, Params]) -> list[str]:
    """The tables of all worlds that claim something, in Markdown."""
    records = [record for params in worlds.values() for record in params.published]
    stated = sum(record.tolerance > 0 for record in records)
    lines = [
        "# Published v simulated",
        "",
        "Made by `python -m experiments.run experiment=atlas`, which writes this file into its folder.",
        "Every number that a preset claims to reproduce, from the list `published` in its yaml; simulated",
        "numbers are exact means over its population. One may be off by two published standard errors, or by",
        'the tolerance stated where none was published; "off by" is in units of that allowance.',
        "",
        "A failed call has quality 0 and no tokens, here as in the data. `variance_ratio` is that of single answers,",
        "right or wrong, with 16 levels of hidden difficulty; presets leave difficulty off (`levels: 1`) unless",
        "their yaml says so. Times to the first token are set by published medians and spreads; what is compared",
        "is their published tail.",
        "",
        "This is agreement, not prediction: the presets' numbers were fitted to these same points. Of",
        f"{len(records)} allowances {len(records) - stated} are published standard errors and {stated} are tolerances"
        " of our own, most of them set",
        "when the misfit was known; they guard against change and say how close a preset is, no more.",
    ]
    for name, params in worlds.items():
        compared = compare(params)
        if not compared:
            continue
        lines += ["", f"## {name}", "", "| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
        lines += ["| " + " | ".join(cells(one)) + " |" for one in compared]
    silent = [name for name, params in worlds.items() if not params.published]
    return [*lines, "", f"No published number is claimed by: {', '.join(silent)}."] if silent else lines
