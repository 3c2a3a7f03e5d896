"""A preset fitted to recorded answers: `experiment=calibrate data=FILE`.

Reads an outcome table or a decision log, fits every number of a preset that the table can
tell (quality and failure by temperature, lengths, latency, noise, difficulty), writes a yaml
that runs, and shows data against fit with the error on problems that were held out. It says
of each number whether it was fitted, held or assumed; what was never recorded stays assumed.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import OmegaConf

from envs.reward import RewardWeights
from envs.surfaces import llm_outcome
from envs.targets import refuse
from experiments.calibration.charts import save_charts
from experiments.calibration.fit_claims import fit_claims
from experiments.calibration.fit_quality import QUALITY
from experiments.calibration.outcome_table import Columns, Names, Outcomes, Selection, read_outcomes
from experiments.calibration.preset_check import Agreement, agreement
from experiments.calibration.preset_grids import grids_of
from experiments.calibration.preset_points import published_points
from experiments.calibration.preset_yaml import Preset, preset_text
from experiments.calibration.rows import add_rows
from experiments.calibration.task_fit import WorldFit, fit_world
from experiments.compose import CONFIGS
from experiments.exporting import finish
from experiments.results import Claim, Results, Summary
from experiments.settings import Job, build
from experiments.terminal import Progress
from experiments.vetting import Ledger

__all__ = ["Params", "run"]

ROUNDING = 1e-3  # the yaml carries six digits


@dataclass(frozen=True)
class Params:
    """What to read, how, and what to call the preset.

    Attributes:
        name: of the preset and its file, lower-case letters, digits and underscores.
        columns: which column holds what.
        where: rows to keep: column -> value or values.
        token_unit: recorded units of length per token; about 4 where characters were counted.
        max_bad_share: more unusable rows than this are refused.
        split_seed: which random half of the problems is held out.
        reward: of the written preset.
    """

    name: str = "calibrated"
    columns: Columns = field(default_factory=Columns)
    where: dict[str, Names] = field(default_factory=dict)
    token_unit: float = field(default=1.0, metadata={"gt": 0.0, "le": 1000.0, "unit": "recorded units per token"})
    max_bad_share: float = field(default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "share of rows"})
    split_seed: int = field(default=0, metadata={"ge": 0, "le": 2**31 - 1})
    reward: RewardWeights = field(default_factory=RewardWeights)


def run(job: Job) -> Summary:
    """Fit, write the preset, read it back, and report.

    Raises:
        ConfigError: no data, a name that cannot be used, or a table that cannot be read.
        ValueError: the table says nothing about any part of a preset.
    """
    params, results = job.pick("experiment", Params), Results()
    _check_name(params.name)
    if not job.run.data:
        raise refuse("data", "", "a table of outcomes or a decision log: data=FILE")
    chosen = Selection(params.columns, params.where, params.token_unit, params.max_bad_share)
    with Progress() as progress:
        with progress.stage("read", 1, unit="files") as advance:
            table = read_outcomes(Path(job.run.data).expanduser(), chosen)
            advance(1)
        with progress.stage("fit", len(table.tasks), unit="task types") as advance:
            fit = fit_world(table, split_seed=params.split_seed, advance=advance)
    made = f"configs/world/{params.name}.yaml"
    preset = _preset(params, table, fit)
    agreement = _written(job.out / made, preset, params.name)
    add_rows(results, params.name, table, fit)
    claims = [*fit_claims(fit, named="problem" in table.given), *_preset_claims(agreement)]
    results.write(job.out)
    figures = save_charts(job.out)
    hint = f"To run the preset: python -m experiments.run --config-dir {job.out / 'configs'} world={params.name}"
    return finish(
        job,
        Ledger(results, claims),
        verdict=None,
        files=[made, *figures],
        timings=progress.timings,
        notes=(*table.notes, *_remarks(table, fit), hint),
    )


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise refuse("experiment.name", name, "lower-case letters, digits and underscores, a letter first")
    if (CONFIGS / "world" / f"{name}.yaml").exists():
        raise refuse("experiment.name", name, "a name that no world of the project has")


def _preset(params: Params, table: Outcomes, fit: WorldFit) -> Preset:
    grids = grids_of(table)
    points = published_points(table, fit, grids)
    return Preset(params.name, table.source, table.notes, grids, fit, params.reward, points)


def _written(file: Path, preset: Preset, name: str) -> Agreement:
    """Write the yaml, read it back as a world, and hold that against the fit and the record."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(preset_text(preset), encoding="utf-8")
    params = build(OmegaConf.load(file), f"world={name}")  # type: ignore[arg-type]  # a mapping, as we wrote it
    assert isinstance(params, llm_outcome.Params)
    return agreement(params, preset.fit.tasks)


def _preset_claims(found: Agreement) -> list[Claim]:
    claims = [
        Claim(
            "The written preset, read back, gives the fitted curves",
            f"largest gap {found.gap:.2g}", f"<= {ROUNDING:g}", "exact", found.gap <= ROUNDING,
        )
    ]  # fmt: skip
    if found.total:
        words = f"{found.within:,} of {found.total:,}"
        claims.append(
            Claim("Recorded means within what they allow of the preset's", words, "reported", "2 standard errors", None)
        )
    return claims


def _remarks(table: Outcomes, fit: WorldFit) -> list[str]:
    """What a reader must know of the fit."""
    notes = [f"Columns read: {', '.join(f'{part} = {name}' for part, name in sorted(table.given.items()))}."]
    if fit.noise is not None and fit.noise.kind == "binomial":
        notes.append("Answers are right or wrong." if fit.noise.checks == 1 else f"Scores: {fit.noise.checks} checks.")
    if table.given.get("temperature", "").startswith("gen_ai."):
        notes.append(
            "A decision log: where the policy looked at the task, settings and difficulty go together, and a curve "
            "is partly the choice of tasks. Logs of a frozen logger (selection, judgement) are safer to fit."
        )
    by_form: dict[tuple[str, ...], list[str]] = {}
    for one in fit.tasks:
        if one.quality is not None:
            by_form.setdefault(one.quality.fit.free, []).append(one.name)
        if one.length is not None and one.length.n_empty:
            notes.append(f"{one.name}: {one.length.n_empty:,} answers of 0 tokens say nothing about lengths.")
    for free, names in by_form.items():
        held = ", ".join(name for name in QUALITY.names if name not in free)
        notes.append(f"Quality, fitted {', '.join(free)}; held {held or 'nothing'}: {', '.join(names)}.")
    return notes
