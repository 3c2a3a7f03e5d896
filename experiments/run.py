"""The one entry point: `python -m experiments.run [group=choice ...] [key=value ...]`.

Compose, check, make the folder, write config.yaml, call the experiment's `run(job)`. A job
is refused before anything is computed; a sweep runs in one process, so compiled programs
are reused, and one job's failure leaves the others alone. `--help` loads Hydra only.
"""

import dataclasses
import itertools
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hydra._internal.callbacks import Callbacks
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from envs.targets import ConfigError, function_of, refuse
from experiments import usage
from experiments.compose import Book, Request, check, compose, open_book, overrides_of, read, spread
from experiments.settings import Job

__all__ = ["main"]

VALID, FAILED, REFUSED, BROKEN, INTERRUPTED = 0, 1, 2, 3, 130


class Outcome(NamedTuple):
    """How one job ended: its exit code, and one line that says why it is not 0."""

    code: int
    why: str = ""


class Plan(NamedTuple):
    """What a job needs beyond its config, in this process or another."""

    groups: tuple[str, ...]
    allow: tuple[str, ...]
    labels: tuple[str, ...]  # one per job of a sweep, empty for a single run


def main(argv: Sequence[str] | None = None) -> int:
    """Do what a command line asks and return the exit code.

    Args:
        argv: the words after the program's name; those of this process by default.
    """
    try:
        return _obey(sys.argv[1:] if argv is None else argv)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("interrupted: what was written so far stays in outputs/", file=sys.stderr)
        return INTERRUPTED


def _obey(argv: Sequence[str]) -> int:
    options, words = usage.parse(argv)
    if options.version:
        print(f"guardband {usage.version()}")
        return VALID
    request = read(words, options.config_dir)
    with open_book(request.search) as book:
        if options.help:
            print(usage.help_text(book), end="")
            return VALID
        if options.cfg and options.multirun:
            raise ConfigError("command line: --cfg shows one config; leave out --multirun")
        if options.multirun:
            return _many(book, request)
        return _single(book, request, show=options.cfg)


def _single(book: Book, request: Request, *, show: str | None) -> int:
    for override in request.overrides:
        if override.is_sweep_override():
            need = "one value, or --multirun (a list is written [1,2])"
            raise refuse(override.key_or_group, override.input_line, need)
    words = [str(override.input_line) for override in request.overrides]
    cfg = compose(book, words)
    plan = Plan(tuple(book.groups), request.allow, ())
    job = _checked(cfg, cfg.hydra.runtime.choices, plan)
    if show:
        shown = cfg.hydra if show == "hydra" else OmegaConf.create(dict(job.config))
        print(OmegaConf.to_yaml(shown), end="")
        return VALID
    if not _is_given("hydra.run.dir", words):
        cfg.hydra.run.dir = str(_claim(Path(cfg.hydra.run.dir)))
    ended = run_job(
        task_function=partial(_work, plan=plan),
        config=cfg,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
        hydra_context=HydraContext(config_loader=book.loader, callbacks=Callbacks()),
    )
    return _outcome(ended).code


def _many(book: Book, request: Request) -> int:
    """Run every combination; those that cannot be composed are refused, the others go on."""
    plan = Plan(tuple(book.groups), request.allow, ())
    failed: list[tuple[str, Outcome]] = []
    good: list[tuple[str, ...]] = []
    places: list[str] = []
    for words in spread(request, book):
        try:
            cfg = compose(book, words)
            _checked(cfg, cfg.hydra.runtime.choices, plan)
            good.append(words)
            places.append(str(cfg.hydra.sweep.dir))
        except ConfigError as error:
            failed.append((_label(words), Outcome(REFUSED, str(error))))
            print(f"error: job {_label(words)}: {error}", file=sys.stderr)
    n_jobs = len(good) + len(failed)
    if good:
        plan = plan._replace(labels=tuple(_label(words) for words in good))
        ends = zip(plan.labels, _launch(book, good, place=places[0], plan=plan), strict=True)
        failed += [(label, outcome) for label, outcome in ends if outcome.code != VALID]
    if failed:
        print(_table(failed, n_jobs), file=sys.stderr)
    return FAILED if failed else VALID


def _launch(book: Book, jobs: Sequence[tuple[str, ...]], *, place: str, plan: Plan) -> list[Outcome]:
    """Hand the jobs to Hydra's launcher: the basic one runs them in this process, in turn."""
    ours = [word for word in jobs[0] if _is_hydra(word)]
    master = compose(book, ours, mode=RunMode.MULTIRUN)
    if not _is_given("hydra.sweep.dir", ours):
        place = str(_claim(Path(place)))
    master.hydra.sweep.dir = place
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(config_loader=book.loader, callbacks=Callbacks()),
        task_function=partial(_work, plan=plan),
        config=master,
    )
    there = "hydra.sweep.dir='" + place.replace("'", "\\'") + "'"
    settings = [[*overrides_of(book, [word for word in words if not _is_hydra(word)]), there] for words in jobs]
    return [_outcome(ended) for ended in launcher.launch(settings, initial_job_idx=0)]


def _is_hydra(word: str) -> bool:
    return word.lstrip("+~").startswith(("hydra.", "hydra/"))


def _is_given(key: str, words: Sequence[str]) -> bool:
    return any(word.lstrip("+").split("=")[0] == key for word in words)


def _label(words: Sequence[str]) -> str:
    return " ".join(word for word in words if not _is_hydra(word)) or "(defaults)"


def _claim(wanted: Path) -> Path:
    """Make a new folder, numbered if another run has taken the name in the same second."""
    for n in itertools.count(1):
        folder = wanted if n == 1 else wanted.with_name(f"{wanted.name}-{n}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("itertools.count ended")


def _work(cfg: DictConfig, *, plan: Plan) -> Outcome:
    """One job, in its folder: whatever happens becomes an exit code and a line."""
    hydra = HydraConfig.get()
    label = plan.labels[hydra.job.num] if plan.labels else ""
    if label:
        print(f"job {hydra.job.num + 1}/{len(plan.labels)}: {label}", flush=True)
    outcome = _attempt(cfg, hydra, plan)
    if outcome.why:
        print(f"error: {f'job {label}: ' if label else ''}{outcome.why}", file=sys.stderr)
    return outcome


def _attempt(cfg: DictConfig, hydra: HydraConf, plan: Plan) -> Outcome:
    out = Path(hydra.runtime.output_dir)
    try:
        job = dataclasses.replace(_checked(cfg, hydra.runtime.choices, plan), out=out)
        _write_config(job, list(hydra.overrides.task), plan.allow)
        return _verdict(job)
    except ConfigError as error:
        return Outcome(REFUSED, str(error))
    except (ValueError, OSError) as error:
        return Outcome(REFUSED, _noted(error, out))
    except Exception as error:
        traceback.print_exc()
        return Outcome(BROKEN, _noted(error, out))


def _checked(cfg: DictConfig, chosen: Mapping[str, str], plan: Plan) -> Job:
    job = check(cfg, chosen, groups=plan.groups, allow=plan.allow)
    function_of(job.pick("experiment", object), "run")
    return job


def _verdict(job: Job) -> Outcome:
    summary = function_of(job.groups["experiment"], "run")(job)
    broken = [claim.claim for claim in summary.claims if claim.holds is False]
    if broken and job.run.strict:
        n_claims = len(summary.claims)
        return Outcome(FAILED, f"{len(broken)} of {n_claims} claims fail: {'; '.join(broken)}")
    return Outcome(VALID)


def _noted(error: Exception, out: Path) -> str:
    """The error on one line; its trace goes to a file in the run's folder."""
    file = out / "error.txt"
    file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return f"{' '.join(str(error).split()) or type(error).__name__} (trace: {file})"


def _write_config(job: Job, task: Sequence[str], allow: Sequence[str]) -> None:
    """The whole config, below the command and the choices that it came from."""
    words = [word.removeprefix("++") for word in task]
    words += [f"allow_targets=[{','.join(allow)}]"] if allow else []
    text = OmegaConf.to_yaml(OmegaConf.create(dict(job.config)))
    command = shlex.join(["python", "-m", "experiments.run", *words])
    choices = " ".join(f"{group}={name}" for group, name in job.choices.items())
    head = f"# {command}\n# {choices}\n"
    (job.out / "config.yaml").write_text(head + text, encoding="utf-8")


def _outcome(ended: JobReturn) -> Outcome:
    """What a job returned; a launcher's own failure counts as a broken program."""
    if ended.status is JobStatus.COMPLETED and isinstance(ended.return_value, Outcome):
        return ended.return_value
    return Outcome(BROKEN, " ".join(repr(ended._return_value).split()))


def _table(failed: Sequence[tuple[str, Outcome]], n_jobs: int) -> str:
    width = max(len(label) for label, _ in failed)
    rows = [f"  {'job'.ljust(width)}  exit  why"]
    rows += [f"  {label.ljust(width)}  {end.code:>4}  {end.why}" for label, end in failed]
    return "\n".join([f"{len(failed)} of {n_jobs} jobs failed:", *rows])


if __name__ == "__main__":
    raise SystemExit(main())
