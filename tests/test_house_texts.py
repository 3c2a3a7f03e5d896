"""The house rules on what surrounds the code: tests, yaml, comments, pins, pages, notebooks.

Rules and planted violations as in `test_house.py`.
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

PACKAGES = ("envs", "policies", "evaluators", "experiments")
PAGES = {"README.md": 150, "CONTRIBUTING.md": 60, **{f"{name}/README.md": 25 for name in PACKAGES}}
LINES_PER_SUPPRESSION = 1000
OPEN_ENDS = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")

ROOT = Path(__file__).resolve().parents[1]

Sources = dict[str, str]
Rule = Callable[[Sources], list[str]]

_parse = cache(ast.parse)


def _texts(sources: Sources, start: str, end: str = "") -> Iterator[tuple[str, str]]:
    return ((p, text) for p, text in sources.items() if p.startswith(start) and p.endswith(end))


def _numbered(sources: Sources) -> Iterator[tuple[str, str]]:
    """Every line of every file, behind its place."""
    for path, text in sources.items():
        for number, line in enumerate(text.splitlines(), start=1):
            yield f"{path}:{number}", line


def _target_names(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (str(value) for key, value in node.items() if key == "_target_")
        node = list(node.values())
    if isinstance(node, list):
        yield from (name for inner in node for name in _target_names(inner))


def _targets(sources: Sources) -> Iterator[tuple[str, str, str]]:
    """Each `_target_` of each yaml, as (yaml, file, name)."""
    for path, text in _texts(sources, "configs/", ".yaml"):
        for target in _target_names(yaml.safe_load(text)):
            module, _, name = target.rpartition(".")
            yield path, module.replace(".", "/") + ".py", name


def _exported(text: str) -> set[str]:
    for node in _parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def targets_resolve(sources: Sources) -> list[str]:
    """Each `_target_` is a name in the `__all__` of a module of ours."""
    return [
        f"{path}: {name} is not in __all__ of {file}"
        for path, file, name in _targets(sources)
        if not file.startswith(PACKAGES) or name not in _exported(sources.get(file, ""))
    ]


def every_file_has_its_test(sources: Sources) -> list[str]:
    """`policies/x.py` has `tests/policies/test_x.py`, or a contract test runs its yaml."""
    contracts = " ".join(text for _, text in _texts(sources, "tests/contracts/test_", ".py"))
    covered = {file for path, file, _ in _targets(sources) if f'"{path.split("/")[1]}"' in contracts}
    wrong = []
    for package in PACKAGES:
        for path, _ in _texts(sources, f"{package}/", ".py"):
            folder, _, file = path.rpartition("/")
            tests = {f"tests/{folder}/test_{file}", f"tests/{package}/test_{file}"}
            if file != "__init__.py" and not (path in covered or tests & sources.keys()):
                wrong.append(f"{path} has neither tests/{folder}/test_{file} nor a contract test")
    return wrong


def nothing_is_left_open(sources: Sources) -> list[str]:
    """No note to self; nothing unwritten."""
    note = re.compile(rf"\b({'|'.join(OPEN_ENDS)})\b")
    return [f"{place} {line.strip()}" for place, line in _numbered(sources) if note.search(line)]


def skips_have_reasons(sources: Sources) -> list[str]:
    """A test that may not run says why."""
    wrong = []
    for path, text in _texts(sources, "", ".py"):
        nodes = list(ast.walk(_parse(text)))
        calls = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
        for node in (node for node in nodes if isinstance(node, ast.Attribute)):
            name = ast.unparse(node)
            call = calls.get(id(node))
            is_skip = re.fullmatch(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)", name)
            has_reason = call and any(keyword.arg == "reason" for keyword in call.keywords)
            first_is_reason = call and call.args and name in {"pytest.skip", "pytest.xfail"}
            if is_skip and not has_reason and not first_is_reason:
                wrong.append(f"{path}:{node.lineno} {name} without its reason")
    return wrong


def _suppressions(text: str) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
    return [(line, comment) for line, comment in comments if re.search(r"type: *ignore|noqa", comment)]


def suppressions_are_rare(sources: Sources) -> list[str]:
    """A lint or type suppression has a code and a reason; at most one per 1000 lines."""
    texts = dict(_texts(sources, "", ".py"))
    found = {path: _suppressions(text) for path, text in texts.items()}
    wrong = [
        f"{path}:{line} {comment}: write the code, then `# ` and the reason"
        for path, comments in found.items()
        for line, comment in comments
        if not re.search(r"(ignore\[[\w-]+\]|noqa: [A-Z]+\d+)  ?# \w+", comment)
    ]
    n_found = sum(map(len, found.values()))
    n_lines = sum(text.count("\n") for text in texts.values())
    allowed = -(-n_lines // LINES_PER_SUPPRESSION)
    return wrong + [f"{n_found} suppressions, at most {allowed}"] * (n_found > allowed)


def _pins(text: str) -> list[str]:
    """A requirements file, one requirement with its hashes an entry."""
    return [block for block in re.split(r"\n(?=\S)", text.strip()) if block]


def pins_are_hashed_and_name_no_host(sources: Sources) -> list[str]:
    """Every pin has a version and a hash, no file an address, and dev holds core's pins."""
    texts = dict(_texts(sources, "requirements/", ".txt"))
    pins = {path: {pin.split(" \\")[0]: pin for pin in _pins(text)} for path, text in texts.items()}
    wrong = [
        f"{path}: {name} has no version or no hash"
        for path, named in pins.items()
        for name, pin in named.items()
        if not re.match(r"[\w.-]+==[^\n]+\\\n +--hash=sha256:[0-9a-f]{64}", pin)
    ]
    core, dev = (pins.get(f"requirements/{name}.txt", {}).keys() for name in ("core", "dev"))
    wrong += [f"dev.txt has no {name}, core.txt has" for name in sorted(core - dev)]
    host = re.compile(r"://|^--?(extra-index-url|index-url|find-links|trusted-host|i|f)\b")
    lines = _numbered(dict(_texts(sources, "requirements/")))
    return wrong + [f"{place} names a host" for place, line in lines if host.search(line)]


def pages_are_short(sources: Sources) -> list[str]:
    """A page is read when it is short."""
    sizes = {path: sources[path].count("\n") for path in PAGES if path in sources}
    return [f"{path} has {n} lines, at most {PAGES[path]}" for path, n in sizes.items() if n > PAGES[path]]


def pages_name_what_exists(sources: Sources) -> list[str]:
    """A file that a page names in backticks stands beside it or under the root."""
    named = re.compile(r"`((?!\S*NAME)[\w./]+\.(?:py|md|toml|yaml))`")
    return [
        f"{path} names {file}, which does not exist"
        for path in PAGES
        for file in named.findall(sources.get(path, ""))
        if not sources.keys() & {file, path.replace("README.md", file)}
        and not any(known.startswith(path[:-9]) and known.endswith(f"/{file}") for known in sources)
    ]


def pages_are_filled_and_their_links_lead_somewhere(sources: Sources) -> list[str]:
    """No page holds a blank such as @@TABLE@@, and what it links to in the repository is there."""
    pages = {path: text for path, text in sources.items() if path.endswith(".md")}
    blanks = [f"{path} holds {blank}" for path, text in pages.items() for blank in re.findall(r"@@\w+@@", text)]
    linked = re.compile(r"\]\((?!https?:|#)([^)#]+)\)")
    return blanks + [
        f"{path} links to {link}, which does not exist"
        for path, text in pages.items()
        for link in linked.findall(text)
        if not sources.keys() & {link, f"{path.rpartition('/')[0]}/{link}"}
        and not (ROOT / path).parent.joinpath(link).exists()
    ]


def notebooks_hold_no_outputs(sources: Sources) -> list[str]:
    """Outputs are made by running, not kept."""
    return [
        f"{path}: cell {number} holds an output or a count"
        for path, text in _texts(sources, "notebooks/", ".ipynb")
        for number, cell in enumerate(json.loads(text)["cells"])
        if cell.get("outputs") or cell.get("execution_count")
    ]


_PIN = "a==1 \\\n    --hash=sha256:" + "0" * 64 + "\n"
_YAML = "base:\n  - _target_: envs.a.Params\n"
PLANTS: list[tuple[Rule, Sources]] = [
    (targets_resolve, {"configs/world/a.yaml": _YAML}),
    (targets_resolve, {"configs/world/a.yaml": _YAML, "envs/a.py": "class Params: pass\n"}),
    (targets_resolve, {"configs/world/a.yaml": "_target_: os.getcwd\n"}),
    (every_file_has_its_test, {"envs/a.py": ""}),
    (every_file_has_its_test, {"envs/a.py": "", "tests/policies/test_a.py": ""}),
    (every_file_has_its_test, {"envs/a.py": "", "configs/world/a.yaml": _YAML}),
    (nothing_is_left_open, {"envs/a.py": f"# {OPEN_ENDS[0]} later\n"}),
    (nothing_is_left_open, {"envs/a.py": f"raise {OPEN_ENDS[3]}\n"}),
    (skips_have_reasons, {"tests/test_a.py": "@pytest.mark.skip\ndef test_a(): pass\n"}),
    (skips_have_reasons, {"tests/test_a.py": "@pytest.mark.skipif(True)\ndef test_a(): pass\n"}),
    (skips_have_reasons, {"tests/test_a.py": "pytest.importorskip('onnx')\n"}),
    (suppressions_are_rare, {"envs/a.py": "x = 1  # noqa: E501\n"}),
    (suppressions_are_rare, {"envs/a.py": "x = 1  # type: ignore[misc]  # reason\n" * 2}),
    (pins_are_hashed_and_name_no_host, {"requirements/dev.txt": "a==1\n"}),
    (pins_are_hashed_and_name_no_host, {"requirements/dev.txt": _PIN.replace("==", ">=")}),
    (pins_are_hashed_and_name_no_host, {"requirements/core.txt": _PIN}),
    (pins_are_hashed_and_name_no_host, {"requirements/dev.in": "--index-url file\n"}),
    (pages_are_short, {"envs/README.md": "line\n" * 26}),
    (pages_name_what_exists, {"envs/README.md": "Read `gone.py`.\n", "policies/gone.py": ""}),
    (pages_are_filled_and_their_links_lead_somewhere, {"docs/a.md": "| @@" + "TABLE@@ |\n"}),
    (pages_are_filled_and_their_links_lead_somewhere, {"docs/a.md": "![a picture](gone.png)\n"}),
    (notebooks_hold_no_outputs, {"notebooks/a.ipynb": '{"cells": [{"outputs": [{}]}]}'}),
]
RULES = list(dict.fromkeys(rule for rule, _ in PLANTS))


def _identify(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize("rule", RULES, ids=_identify)
def test_the_house_keeps_its_rule(rule: Rule, sources: Sources) -> None:
    assert "\n".join(rule(sources)) == ""


@pytest.mark.parametrize(("rule", "planted"), PLANTS, ids=_identify)
def test_a_rule_finds_its_planted_violation(rule: Rule, planted: Sources) -> None:
    assert len(rule(planted)) == 1


def test_rules_let_what_is_right_pass() -> None:
    right = {
        "configs/world/a.yaml": _YAML,
        "envs/a.py": '__all__ = ["Params"]\nx = 1  # noqa: N816  # as in the paper\n',
        "tests/contracts/test_worlds.py": 'GROUP = "world"\npytest.skip("no display")\n',
        "envs/README.md": "Read `a.py`, then add `surfaces/NAME.py`.\n",
        "requirements/core.txt": _PIN,
        "requirements/dev.txt": _PIN * 2,
        "notebooks/a.ipynb": '{"cells": [{"outputs": [], "execution_count": null}]}',
    }
    assert {rule.__name__: rule(right) for rule in RULES if rule(right)} == {}
