"""The command line from end to end, on stand-in plug-ins and the project's own config.yaml."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from omegaconf import OmegaConf

from envs import presets
from experiments import compose, run, usage

PLUGINS = """
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

__all__ = ["Learner", "Params", "Recorded", "run"]
PROCESS = []


@dataclass(frozen=True)
class Learner:
    rate: float = field(default=0.5, metadata={"ge": 0.0, "le": 1.0, "unit": "share"})
    seen: bool = False


@dataclass(frozen=True)
class Recorded:
    path: str


@dataclass(frozen=True)
class Params:
    fault: str = ""
    n: int = 3


class Claim(NamedTuple):
    claim: str
    holds: bool | None


class Summary(NamedTuple):
    claims: tuple[Claim, ...]


def run(job):
    PROCESS.append(job)
    fault = job.pick("experiment", Params).fault
    if fault == "interrupt":
        raise KeyboardInterrupt
    if fault:
        raise {"value": ValueError, "bug": RuntimeError}[fault]("it went\\nwrong")
    if isinstance(job.groups["world"], Recorded):
        Path(job.groups["world"].path).read_text()
    (job.out / "done").write_text(job.choices["policy"])
    good = job.pick("policy", Learner).rate > 0.4
    return Summary((Claim("the rate is high", good), Claim("a fact", None)))
"""
NODES = {
    "experiment": {"vet": "Params", "benchmark": "Params"},
    "world": {"gsm8k_small": "Learner", "flat_null": "Learner", "replay": "Recorded\npath: ???"},
    "policy": {"thompson": "Learner\nrate: 0.7", "linucb": "Learner", "uniform": "Learner"},
    "constraints": {"mission": "Learner"},
    "approval": {"improve": "Learner", "two_sample": "Learner"},
    "logger": {"frozen_softmax": "Learner"},
    "gate": {"default": "Learner"},
    "drift": {"none": "Learner", "version_swap": "Learner"},
    "feedback": {"immediate": ""},
    "reward_model": {"ridge": "Learner"},
    "interval": {name: "Learner" for name in presets.names("interval")},
    "estimator": {name: "Learner" for name in ("ips", "snips", "direct", "doubly_robust")},
}
TARGET = "_target_: guardband_dummies"


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr."""
        assert self.err.count("\n") == 1, self.err
        return self.err.strip()


Go = Callable[..., Ended]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Go]:
    """Run a command line in this process, in an empty folder, on the stand-in plug-ins."""
    configs = tmp_path / "configs"
    for group, choices in NODES.items():
        (configs / group).mkdir(parents=True)
        for name, text in choices.items():
            head = f"# @package {group}.{name}\n" if group in ("estimator", "drift", "interval") else ""
            body = f"{TARGET}.{text}\n" if text else ""
            (configs / group / f"{name}.yaml").write_text(head + body)
    shutil.copy(compose.CONFIGS / "config.yaml", configs)
    (tmp_path / "guardband_dummies.py").write_text(PLUGINS)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(tmp_path)
    for module in (compose, usage):
        monkeypatch.setattr(module, "CONFIGS", configs)

    def _go(*words: str) -> Ended:
        code = run.main([*words, "allow_targets=[guardband_dummies]"])
        return Ended(code, *capsys.readouterr())

    yield _go
    sys.modules.pop("guardband_dummies", None)


def _runs(experiment: str = "vet") -> list[Path]:
    return sorted(Path("outputs", experiment).glob("*"))


def test_a_run_writes_its_whole_config_into_a_folder_of_its_own(go: Go) -> None:
    assert go("policy.rate=0.6", "horizon=50") == Ended(0, "", "")
    (folder,) = _runs()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
    text = (folder / "config.yaml").read_text()
    first, second = text.splitlines()[:2]
    assert first.startswith("# python -m experiments.run policy.rate=0.6 horizon=50 ")
    assert "world=gsm8k_small" in second
    config = OmegaConf.create(text)
    assert (config.horizon, config.seeds, config.precision) == (50, 256, "float64")
    assert config.policy == {"_target_": "guardband_dummies.Learner", "rate": 0.6, "seen": False}
    assert list(config.estimator) == ["ips", "snips", "direct", "doubly_robust"]
    assert config.feedback is None
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "done"}


def test_runs_of_the_same_second_never_share_a_folder(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = compose.CONFIGS / "config.yaml"
    fixed.write_text(fixed.read_text().replace("${now:%Y-%m-%d_%H-%M-%S}", "now"))
    for _ in range(3):
        assert go().code == 0
    assert [path.name for path in _runs()] == ["now", "now-2", "now-3"]
    assert go("--multirun", "seeds=1,2").code == 0
    assert sorted(path.name for path in Path("outputs/vet/now-4").glob("[0-9]")) == ["0", "1"]


@pytest.mark.parametrize(
    ("word", "line"),
    [
        (
            "policy=thomson",
            "policy: got 'thomson', need one of linucb, thompson, uniform; did you mean 'thompson'?",
        ),
        (
            "estimator=[ips,snip]",
            "estimator: got 'snip', need one of direct, doubly_robust, ips, snips; did you mean 'snips'?",
        ),
        ("polcy=linucb", r"polcy: got 'linucb', need one of the keys .*; did you mean 'policy'\?"),
        ("wrld.rate=1", r"wrld: got {'rate': 1}, need one .*; did you mean 'world'\?"),
        ("horizn=3", r"horizn: got 3, need one of the keys .*; did you mean 'horizon'\?"),
        ("rate=3", r"rate: got 3, need one of the keys .*; did you mean '\w+\.rate'\?"),
        (
            "policy.rte=1",
            "policy.rte: got 1, need one of the keys rate, seen of guardband_dummies; did you mean 'rate'?",
        ),
        ("policy.rate=1.5", "policy.rate: got 1.5, need a number >= 0.0 and <= 1.0 (share)"),
        ("policy.rate=high", "policy.rate: got 'high', need a number >= 0.0 and <= 1.0 (share)"),
        ("estimator.ips.rate=-1", r"estimator\.ips\.rate: got -1\.0, need a number .*"),
        (
            "estimator.snps.rate=0",
            "estimator.snps: got {'rate': 0}, need one of the choices made, "
            "ips, snips, direct, doubly_robust; did you mean 'snips'?",
        ),
        ("horizon=0", "horizon: got 0, need an int >= 1 and <= 1000000 (evaluations)"),
        ("horizon.x=1", r"horizon: got {'x': 1}, need an int .*"),
        (
            "precision=float46",
            "precision: got 'float46', need one of float64, float32; did you mean 'float64'?",
        ),
        ("policy=null", r"policy: got None, need one of linucb, .*"),
        ("feedback.rate=0.5", "feedback.rate: got 0.5, need nothing: this choice of 'feedback' has no keys"),
        ("world=replay", "world.path: missing, need a string (add world.path=VALUE)"),
        ("~experiment", "experiment: got None, need a choice that is not empty: experiment=NAME"),
        ("policy._target_=os.system", r"policy\._target_: got 'os\.system', need a module of .*"),
        ("seeds=${nowhere}", r"config: .*nowhere.*"),
        ("+hydra.callbacks.x={_target_: os.abort}", r"hydra\.callbacks: got .*, need none: .*"),
        ("hydra.jb=1", r"config: Could not override 'hydra\.jb'.*"),
        ("horizon=10,20", r"horizon: got 'horizon=10,20', need one value, or --multirun .*"),
        (
            "--multirn",
            r"command line: got '--multirn', need one of .*; did you mean '--multirun'\?",
        ),
        ("--policy=x", "command line: got '--policy=x', need one of .*, without dashes"),
        ("--config-dir=nowhere", "--config-dir: got 'nowhere', need a folder that exists"),
        (
            "hydra.searchpath=[nowhere]",
            "hydra.searchpath: got 'nowhere', need a folder that exists",
        ),
    ],
)
def test_a_fault_is_one_line_and_exit_code_2_and_leaves_no_folder(go: Go, word: str, line: str) -> None:
    ended = go(word)
    assert (ended.code, ended.out) == (2, "")
    got = ended.line.removeprefix("error: ")
    assert got == line or re.fullmatch(line, got), got
    assert not Path("outputs").exists()


def test_a_config_cannot_allow_itself_a_module(go: Go, tmp_path: Path) -> None:
    (tmp_path / "mine" / "policy").mkdir(parents=True)
    (tmp_path / "mine/policy/own.yaml").write_text(
        f"# @package _global_\nallow_targets: [os]\npolicy:\n  {TARGET}.Learner\n"
    )
    ended = go("--config-dir", str(tmp_path / "mine"), "policy=own")
    assert ended.line.startswith("error: allow_targets: got ['os'], need nothing in a config")


def test_a_users_own_folder_adds_choices_and_hides_none_of_ours(go: Go, tmp_path: Path) -> None:
    mine = tmp_path / "user's configs"
    (mine / "policy").mkdir(parents=True)
    (mine / "policy/own.yaml").write_text(f"{TARGET}.Learner\nrate: 0.9\n")
    assert go("--config-dir", str(mine), "policy=own").code == 0
    assert go(f'hydra.searchpath=["{mine}"]', "policy=own").code == 0
    assert "own" in go("--config-dir", str(mine), "--help").out
    ended = go("--config-dir", str(mine), "--multirun", "policy=glob(*n*)")
    assert re.findall(r"policy=(\w+)", ended.out) == ["linucb", "own", "thompson", "uniform"] or (
        re.findall(r"policy=(\w+)", ended.out) == ["linucb", "own", "uniform"]
    )
    (mine / "policy/linucb.yaml").write_text("")
    ended = go("--config-dir", str(mine))
    assert ended.code == 2
    assert "--config-dir: got 'policy/linucb.yaml', need another name" in ended.line


def test_a_sweep_covers_every_combination_in_one_process(go: Go) -> None:
    ended = go("--multirun", "policy=thompson,linucb", "world=flat_null", "horizon=range(1,4)")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == "job 1/6: policy=thompson world=flat_null horizon=1"
    assert len(ended.out.splitlines()) == 6
    jobs = sys.modules["guardband_dummies"].PROCESS
    assert {(job.choices["policy"], job.run.horizon) for job in jobs} == {
        (policy, horizon) for policy in ("thompson", "linucb") for horizon in (1, 2, 3)
    }
    (sweep,) = _runs()
    assert sorted(path.parent.name for path in sweep.glob("*/done")) == list("012345")
    assert all(job.out == (sweep / str(i)).resolve() for i, job in enumerate(jobs))


def test_in_a_sweep_a_bad_job_is_named_and_the_others_go_on(go: Go) -> None:
    ended = go(
        "--multirun",
        "policy=thomson,linucb",
        "policy.rate=0.5,7",
        "experiment.fault='',value",
    )
    assert ended.code == 1
    lines = ended.err.splitlines()
    assert lines[0].startswith("error: job policy=thomson policy.rate=0.5 experiment.fault='': policy: got 'thomson', ")
    table = lines[lines.index("7 of 8 jobs failed:") :]
    assert len(table) == 2 + 7
    assert all(re.fullmatch(r"  policy=.* +2  .+", row) for row in table[2:])
    assert "it went wrong" in table[-1]
    last = lines[lines.index("7 of 8 jobs failed:") - 1]
    assert last.startswith("error: job policy=linucb policy.rate=0.5 experiment.fault=value: it ")
    assert "Traceback" not in ended.err
    assert ended.out.count("\n") == 2
    assert len(list(_runs()[0].glob("*/done"))) == 1


def test_groups_chosen_as_a_list_can_be_swept(go: Go) -> None:
    assert go("--multirun", "estimator=ips,[ips,snips]").code == 0
    jobs = sys.modules["guardband_dummies"].PROCESS
    assert [job.choices["estimator"] for job in jobs] == ["ips", "ips,snips"]
    assert all(list(job.groups["estimator"])[0] == "ips" for job in jobs)


def test_strict_turns_a_failed_claim_into_exit_code_1(go: Go) -> None:
    assert go("policy.rate=0.1").code == 0
    ended = go("policy.rate=0.1", "strict=true")
    assert (ended.code, ended.line) == (1, "error: 1 of 2 claims fail: the rate is high")
    assert go("policy.rate=0.9", "strict=true").code == 0
    assert go("--multirun", "policy.rate=0.1,0.9", "strict=true").code == 1


def test_refused_input_is_one_line_and_its_trace_is_in_the_folder(go: Go) -> None:
    ended = go("experiment.fault=value")
    assert ended.code == 2
    assert ended.line.startswith("error: it went wrong (trace: ")
    assert ended.out == ""
    assert "ValueError: it went" in (_runs()[0] / "error.txt").read_text()


def test_a_bug_shows_its_trace_and_has_an_exit_code_of_its_own(go: Go) -> None:
    ended = go("experiment.fault=bug")
    assert ended.code == 3
    assert "Traceback" in ended.err
    assert ended.err.splitlines()[-1].startswith("error: it went wrong (trace: ")


@pytest.mark.parametrize("words", [(), ("--multirun", "seeds=1,2")])
def test_an_interrupt_is_one_line_and_exit_code_130(go: Go, words: tuple[str, ...]) -> None:
    ended = go(*words, "experiment.fault=interrupt")
    assert ended.code == 130
    assert ended.line.startswith("interrupted")


def test_a_data_path_is_relative_to_where_the_user_stands(go: Go) -> None:
    Path("data").mkdir()
    Path("data/log.csv").write_text("a\n")
    assert go("world=replay", "world.path=data/log.csv").code == 0
    ended = go("world=replay", "world.path=data/none.csv")
    assert ended.code == 2
    assert "data/none.csv" in ended.line


def test_cfg_shows_the_checked_config_and_runs_nothing(go: Go) -> None:
    ended = go("--cfg", "job", "policy=linucb")
    assert ended.code == 0
    assert OmegaConf.create(ended.out).policy.rate == 0.5
    assert go("--cfg", "job", "policy.rate=2").code == 2
    assert "leave out --multirun" in go("--cfg", "job", "--multirun", "seeds=1,2").line
    assert not Path("outputs").exists()


def test_a_recipe_overrides_groups_and_numbers_and_the_command_line_overrides_it(go: Go) -> None:
    (compose.CONFIGS / "experiment/deep.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /world: flat_null\n  - _self_\n"
        f"horizon: 7\nexperiment:\n  {TARGET}.Params\n"
    )
    assert go("--multirun", "experiment=deep", "seeds=2", "horizon=7,9").code == 0
    jobs = sys.modules["guardband_dummies"].PROCESS
    assert [(job.choices["world"], job.run.horizon) for job in jobs] == [
        ("flat_null", 7),
        ("flat_null", 9),
    ]
    assert go("experiment=deep", "world=gsm8k_small").code == 0
    assert jobs[-1].choices["world"] == "gsm8k_small"
    assert jobs[-1].run.horizon == 7


LOADED = """
import json, sys
from experiments.run import main
code = main(["--help"])
heavy = {"jax", "pandas", "matplotlib", "scipy", "numpy", "gymnasium", "rich", "duckdb"}
print(json.dumps([code, sorted(heavy & sys.modules.keys())]))
"""


def test_help_imports_nothing_heavy() -> None:
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run([sys.executable, "-c", LOADED], cwd=root, capture_output=True, text=True, check=True)
    code, heavy = json.loads(ended.stdout.splitlines()[-1])
    assert (code, heavy, ended.stderr) == (0, [], "")


def test_the_program_ends_with_the_exit_code_and_no_trace(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "experiments.run", "gate=defalt"]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: gate: got 'defalt', need one of ")
    assert ended.stderr.endswith("; did you mean 'default'?\n")
    assert list(tmp_path.iterdir()) == []
