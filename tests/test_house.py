"""The house rules on code: arrows, circles, sizes, arguments, docstrings.

A rule takes sources (path -> text) and returns what is wrong, as sentences. Each is held
against this repository and against a planted violation: a check that cannot fail is worth
nothing. Rules read folders, so a new file is under them from its first day.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import pytest

CLOCK_HOME = "policies/evidence.py"
LAYERS = ("envs", "policies", "evaluators", "experiments")  # arrows run to the left
NOBODY_IMPORTS = {"tests", "notebooks", "conftest"}
HOMES = {  # heavy packages, and who may import them when a module is loaded
    "altair": ("experiments/",),
    "duckdb": ("evaluators/", "experiments/"),
    "gymnasium": ("envs/gym", "experiments/"),
    "hydra": ("experiments/",),
    "jax": ("envs/randomness.py", "envs/gym", "experiments/"),
    "matplotlib": ("experiments/",),
    "omegaconf": ("envs/fields.py", "envs/presets.py", "experiments/"),  # the typing of configs
    "pandas": ("experiments/",),
    "sklearn": ("evaluators/models/trees.py",),
}
MAX_FILE, MAX_FUNCTION, MAX_NESTING = 500, 60, 3  # lines, lines, blocks
MAX_ARGUMENTS, MAX_POSITIONAL = 6, 5  # `Policy.update` has five, all by position

Sources = dict[str, str]
Rule = Callable[[Sources], list[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)


class Import(NamedTuple):
    """One name brought in: `from a import b` gives both `a` and `a.b`."""

    module: str
    line: int
    is_local: bool  # inside a function


_parse = cache(ast.parse)


def _python(sources: Sources, *folders: str) -> Iterator[tuple[str, ast.Module]]:
    """The parsed Python files of some folders; of the four packages when none is named."""
    for path, text in sources.items():
        if path.endswith(".py") and path.split("/")[0] in (folders or LAYERS):
            yield path, _parse(text)


def _functions(tree: ast.AST) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def _inside_functions(tree: ast.AST) -> set[int]:
    return {id(node) for function in _functions(tree) for node in ast.walk(function)}


def _imports(tree: ast.Module) -> Iterator[Import]:
    local = _inside_functions(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (Import(name, node.lineno, id(node) in local) for name in names)


def arrows_run_left(sources: Sources) -> list[str]:
    """A file imports from its own folder or one to the left, by the whole name."""
    wrong = set()
    for path, tree in _python(sources):
        mine = path.split("/")[0]
        refused = NOBODY_IMPORTS | {*LAYERS[LAYERS.index(mine) + 1 :], ""}
        tops = {(found.line, found.module.split(".")[0]) for found in _imports(tree)}
        wrong |= {f"{path}:{line} imports {top or '.'}" for line, top in tops if top in refused}
    return sorted(wrong)


def _circles(name: str, arrows: dict[str, list[str]], trail: tuple[str, ...]) -> list[str]:
    """Circles met from a module on; a finished module loses its arrows, so each is met once."""
    if name in trail:
        return [" -> ".join((*trail[trail.index(name) :], name))]
    found = [line for step in arrows[name] for line in _circles(step, arrows, (*trail, name))]
    arrows[name] = []
    return found


def no_circles(sources: Sources) -> list[str]:
    """No file reaches itself through its imports, those for types included."""
    trees = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): tree for path, tree in _python(sources)
    }
    arrows = {
        name: sorted({found.module for found in _imports(tree)} & trees.keys() - {name}) for name, tree in trees.items()
    }
    return [circle for name in trees for circle in _circles(name, arrows, ())]


def local_imports_say_why(sources: Sources) -> list[str]:
    """An import inside a function has a comment there that says `optional` or `slow`."""
    wrong = []
    for path, tree in _python(sources):
        lines = sources[path].splitlines()
        for line in sorted({found.line for found in _imports(tree) if found.is_local}):
            if not re.search(r"#.*\b(optional|slow)\b", " ".join(lines[line - 2 : line])):
                wrong.append(f"{path}:{line} an import inside a function, without its reason")
    return wrong


def heavy_packages_stay_home(sources: Sources) -> list[str]:
    """What production and log readers load imports no heavy package."""
    wrong = set()
    for path, tree in _python(sources):
        tops = {(f.line, f.module.split(".")[0]) for f in _imports(tree) if not f.is_local}
        wrong |= {
            f"{path}:{line} imports {top}; only {' '.join(HOMES[top])} may"
            for line, top in tops
            if not path.startswith(HOMES.get(top, ("",)))
        }
    return sorted(wrong)


def files_and_functions_are_short(sources: Sources) -> list[str]:
    """A file has at most 500 lines, a function 60."""
    wrong = []
    for path, tree in _python(sources, *LAYERS, "tests"):
        sizes = {path: (sources[path].count("\n"), MAX_FILE)}
        for function in _functions(tree):
            n_lines = (function.end_lineno or 0) - function.lineno + 1
            sizes[f"{path}:{function.lineno} {function.name}"] = (n_lines, MAX_FUNCTION)
        wrong += [f"{what} has {n} lines, at most {top}" for what, (n, top) in sizes.items() if n > top]
    return wrong


def _depth(node: ast.AST) -> int:
    """Blocks within blocks below a statement; an `elif` is as deep as its `if`."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.ClassDef | ast.Lambda):
            is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and [child] == node.orelse
            deepest = max(deepest, _depth(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


def blocks_are_shallow(sources: Sources) -> list[str]:
    """At most three blocks stand within each other."""
    return [
        f"{path}:{function.lineno} {function.name} nests {_depth(function)} blocks"
        for path, tree in _python(sources)
        for function in _functions(tree)
        if _depth(function) > MAX_NESTING
    ]


def _argument_faults(function: Function) -> Iterator[str]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if positional and positional[0].arg in {"self", "cls"}:
        positional = positional[1:]
    n_all = len(positional) + len(arguments.kwonlyargs)
    if n_all > MAX_ARGUMENTS:
        yield f"takes {n_all} arguments, at most {MAX_ARGUMENTS}"
    if len(positional) > MAX_POSITIONAL:
        yield f"takes {len(positional)} by position, at most {MAX_POSITIONAL}"
    for late in positional[max(2, len(positional) - len(arguments.defaults)) :]:
        yield f"should take {late.arg}, which has a default, by keyword only"
    if arguments.kwarg:
        yield f"hides its arguments in **{arguments.kwarg.arg}"


def arguments_are_few(sources: Sources) -> list[str]:
    """At most 6, 5 by position; a default after the second is keyword-only; no `**kwargs`."""
    return [
        f"{path}:{function.lineno} {function.name} {fault}"
        for path, tree in _python(sources)
        for function in _functions(tree)
        for fault in _argument_faults(function)
    ]


def _raised(function: Function) -> set[str]:
    """The error classes that a function raises itself, not through one it defines or calls."""
    nested = {id(node) for inner in _functions(function)[1:] for node in ast.walk(inner)}
    raises = [node for node in ast.walk(function) if isinstance(node, ast.Raise)]
    errors = [node.exc for node in raises if id(node) not in nested]
    names = [error.func if isinstance(error, ast.Call) else error for error in errors]
    return {name.id for name in names if isinstance(name, ast.Name) and name.id[0].isupper()}


def raises_are_documented(sources: Sources) -> list[str]:
    """A public function names in its docstring each error that it raises itself."""
    return [
        f"{path}:{function.lineno} {function.name} raises {error}; its docstring does not say so"
        for path, tree in _python(sources)
        for function in _functions(tree)
        if not function.name.startswith("_")
        for error in sorted(_raised(function) - {"SystemExit"})
        if error not in (ast.get_docstring(function) or "")
    ]


def inits_hold_one_docstring(sources: Sources) -> list[str]:
    """`__init__.py` is one docstring (but for the shadow guard); tests have none at all."""
    wrong = []
    for path, tree in _python(sources, *LAYERS, "configs", "tests"):
        if path.endswith("/__init__.py") and path != "experiments/__init__.py":
            is_docstring = len(tree.body) == 1 and ast.get_docstring(tree) is not None
            if path.startswith("tests/") or not is_docstring:
                wrong.append(f"{path}: one docstring and nothing else; under tests no such file")
    return wrong


def clocks_and_dice_are_passed_in(sources: Sources) -> list[str]:
    """No wall clock left of experiments, but where waivers end; no generator is made when a module is loaded."""
    wrong = []
    for path, tree in _python(sources):
        inside = _inside_functions(tree)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            called = ast.unparse(call.func).split(".")[-2:]
            is_clock = called[-1] == "utcnow" or called in (["time", "time"], ["datetime", "now"])
            if is_clock and not path.startswith("experiments/") and path != CLOCK_HOME:
                wrong.append(f"{path}:{call.lineno} reads the clock")
            if called[-1] == "default_rng" and id(call) not in inside:
                wrong.append(f"{path}:{call.lineno} makes a generator when loaded")
    return wrong


def _function(signature: str, *lines: str) -> str:
    return "\n    ".join([f"def {signature}:", *lines, "pass\n"])


PLANTS: list[tuple[Rule, Sources]] = [
    (arrows_run_left, {"envs/a.py": "from policies.base import Policy\n"}),
    (arrows_run_left, {"policies/a.py": "def f():\n    import experiments\n"}),
    (arrows_run_left, {"experiments/a.py": "import tests.envs\n"}),
    (arrows_run_left, {"envs/a.py": "from . import b\n"}),
    (no_circles, {"envs/a.py": "import envs.b\n", "envs/b.py": "from envs import a\n"}),
    (local_imports_say_why, {"envs/a.py": _function("f()", "import json")}),
    (heavy_packages_stay_home, {"envs/world.py": "from jax import numpy\n"}),
    (heavy_packages_stay_home, {"evaluators/log.py": "import pandas\n"}),
    (files_and_functions_are_short, {"tests/a.py": "x = 1\n" * 501}),
    (files_and_functions_are_short, {"envs/a.py": _function("f()", *["x = 1"] * 59)}),
    (
        blocks_are_shallow,
        {"envs/a.py": _function("f()", *(f"{' ' * i}if i:" for i in range(4)), "    0")},
    ),
    (arguments_are_few, {"envs/a.py": _function("f(a, b, *, c, d, e, f, g)")}),
    (arguments_are_few, {"envs/a.py": _function("f(self, a, b, c, d, e, f)")}),
    (arguments_are_few, {"envs/a.py": _function("f(a, b, c=1)")}),
    (arguments_are_few, {"envs/a.py": _function("f(a, **options)")}),
    (
        raises_are_documented,
        {"envs/a.py": _function("f()", '"""Say nothing."""', "raise ValueError('a')")},
    ),
    (inits_hold_one_docstring, {"envs/__init__.py": '"""Envs."""\nimport envs.a\n'}),
    (inits_hold_one_docstring, {"tests/envs/__init__.py": '"""Envs."""\n'}),
    (clocks_and_dice_are_passed_in, {"policies/a.py": "import time\nx = time.time()\n"}),
    (clocks_and_dice_are_passed_in, {"experiments/a.py": "rng = np.random.default_rng(0)\n"}),
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
        "envs/a.py": '"""A."""\nimport numpy\n',
        "policies/a.py": "import envs.a\n" + _function("f(a, b, c, d, e, *, g=1)"),
        "evaluators/a.py": _function("f(a, b=1)", "import scipy.stats  # slow to load"),
        "experiments/a.py": "import jax\nimport evaluators.a\nfrom envs import a\n",
        "envs/__init__.py": '"""Envs."""\n',
    }
    assert {rule.__name__: rule(right) for rule in RULES if rule(right)} == {}
