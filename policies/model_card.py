"""MODEL_CARD.md of a bundle: its manifest for people, and nothing that is not in the manifest.

The card is a pure function of the manifest (but for `files` and `digest`, which name the card itself), so a reader can
render it again and compare. Every text that a person or a config wrote is escaped: it is shown, never markup.
Source: Mitchell et al. (2019), Model Cards for Model Reporting; the YAML header is Hugging Face's.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["render_card"]

_MARKUP = re.compile(  # what means something to Markdown, there where it does
    r"([\\`*{}\[\]#|~$@^]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.|^[-+=])", re.ASCII | re.IGNORECASE
)
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_TAGS = ("contextual-bandit", "llm-generation-parameters", "off-policy-evaluation", "guardband")
_NONE = "none"


def render_card(manifest: Mapping[str, Any]) -> str:
    """The card of a manifest, Markdown behind a YAML header, ASCII.

    Args:
        manifest: format 2.0, as plain values; `files` and `digest` are not looked at.

    Returns:
        Text that ends in a newline; equal manifests give equal texts.
    """
    policy = manifest["policy"]
    sections = (
        f"# {_text(policy['name'])} {_text(policy['version'])}",
        *_purpose(manifest),
        *_bounds(manifest),
        *_inputs(manifest["features"]),
        *_evidence(manifest["evidence"]),
        *_people(manifest),
        *_limitations(manifest),
        *_loading(manifest),
        *_digests(manifest),
    )
    return f"{_header(manifest)}\n" + "\n\n".join(sections) + "\n"


def _header(manifest: Mapping[str, Any]) -> str:
    """YAML, each value quoted."""
    policy = manifest["policy"]
    tags = "\n".join(f"- {_quoted(tag)}" for tag in (*_TAGS, policy["kind"]))
    lines = [f"{name}: {_quoted(value)}" for name, value in _facts(manifest).items()]
    return "\n".join(["---", "library_name: guardband", "tags:", tags, *lines, "---", ""])


def _facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    policy = manifest["policy"]
    return {
        "model_name": policy["name"],
        "version": policy["version"],
        "policy_kind": policy["kind"],
        "policy_digest": policy["digest"],
        "format_version": manifest["format_version"],
    }


def _line(value: object) -> str:
    """Text from outside on one line, without what can't be seen: control, joining and direction characters."""
    seen = "".join(c for c in " ".join(str(value).split()) if c.isprintable())
    return " ".join(seen.split())


def _text(value: object) -> str:
    r"""Text from outside as Markdown shows it: one line, no markup, no HTML, no characters beyond ASCII.

    >>> print(_text("a|b <i> `x`"))
    a\|b &lt;i&gt; \`x\`
    """
    shown = re.sub(r"^(\d+)(?=[.)](\s|$))", r"\1\\", _MARKUP.sub(r"\\\1", _line(value)))
    return "".join(_HTML.get(c, c) for c in shown).encode("ascii", "xmlcharrefreplace").decode()


def _quoted(value: object) -> str:
    r"""Text from outside as a YAML scalar in double quotes, in ASCII.

    >>> print(_quoted('say "no": #1'))
    "say \"no\": #1"
    """
    text = re.sub(r'([\\"])', r"\\\1", _line(value))
    text = re.sub("[<>&]", lambda found: f"\\x{ord(found[0]):02x}", text)  # for readers that know no header
    return f'"{text.encode("ascii", "backslashreplace").decode()}"'


def _number(value: float | int | None) -> str:
    return _NONE if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _code(value: str | None) -> str:
    """A digest, which holds hex digits alone; anything else is shown as text."""
    return _NONE if value is None else f"`{value}`" if re.fullmatch("[0-9a-f]+", value) else _text(value)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in row)} |" for row in lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _parameters(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{_text(name)} {_text(value)}" for name, value in point["parameters"].items())


def _purpose(manifest: Mapping[str, Any]) -> list[str]:
    policy, axes = manifest["policy"], manifest["actions"]["axes"]
    moved = [_text(axis["parameter"]) for axis in axes if len(axis["values"]) > 1]
    kinds = ", ".join(_text(one["name"]) for one in manifest["task_types"])
    numbers = ", ".join(f"{_text(name)} = {_text(json.dumps(value))}" for name, value in policy["parameters"].items())
    return [
        "## What it does",
        f"For each request it chooses generation parameters of a language model ({', '.join(moved) or _NONE}) from "
        f"what is known of the request, at most a trust region away from approved parameters. It is a frozen "
        f"{_text(policy['kind'])} policy ({numbers}); at least {_number(policy['exploration_floor'])} of its "
        "probability is spread over the actions that may be chosen. The same request id always gets the same answer, "
        "and every answer carries its probability.",
        "## Who may use it, for what",
        f"Services that send requests of these task types: {kinds}. Any other task type is answered by the fallback "
        "parameters, and says so. It is for tuning generation parameters within the bounds below, after an approval by "
        "the people named below; not for choosing content, users or prices, and not for traffic unlike that of its "
        "evidence.",
    ]


def _bounds(manifest: Mapping[str, Any]) -> list[str]:
    limits, radii = manifest["hard_limits"], manifest["trust_region"]
    axes = [
        [
            _text(axis["name"]),
            _text(axis["unit"]),
            *(_text(limits[axis["name"]][end]) or "not chosen" for end in ("lowest", "highest")),
            _radius(radii[axis["name"]]),
        ]
        for axis in manifest["actions"]["axes"]
    ]
    kinds = [
        [
            _text(one["name"]),
            _parameters(one["approved"]),
            ", ".join(_text(json.dumps(stop)) for stop in one["stop_sequences"]) or _NONE,
            _number(sum(last - first + 1 for first, last in one["unrecorded"])),
            _number(one.get("evaluations", 0)),
        ]
        for one in manifest["task_types"]
    ]
    return [
        "## Bounds",
        "Hard limits, and the largest change from the approved parameters:",
        _table(("parameter", "unit", "lowest", "highest", "trust region"), axes),
        "Approved parameters:",
        _table(("task type", "approved", "stop sequences", "actions never recorded", "evaluations before"), kinds),
        f"Fallback, where the task type is unknown: {_parameters(manifest['fallback'])}.",
    ]


def _radius(region: Mapping[str, Any]) -> str:
    wider = f", times up to {max(region['strides'])} around large values" if "strides" in region else ""
    steps = region["steps"]
    return f"{_text(region['radius'])} ({steps} step{'s' * (steps != 1)}){wider}" if steps else "fixed"


def _inputs(features: Mapping[str, Any]) -> list[str]:
    rows = []
    for one in features["inputs"]:
        span = f"{_number(one['lowest'])} to {_number(one['highest'])}" if "lowest" in one else ""
        rows.append([_text(one["name"]), _text(one["kind"]), _text(one["unit"]), span, _text(one["missing"])])
    models = ", ".join(map(_text, features["models"])) or _NONE
    n_entries = len(features["entries"]) + len(features["models"]) * (len(features["models"]) > 1)
    return [
        "## Inputs",
        _table(("feature", "kind", "unit", "range", "where it is missing"), rows),
        f"They become {n_entries} entries of a context vector, clipped to {_number(features['clip'])} in size; the "
        f"manifest has each transform. Models known: {models}; a model that is not known: "
        f"{_text(features['unknown_model'])}.",
    ]


def _evidence(evidence: Mapping[str, Any]) -> list[str]:
    names = ("estimate", "standard_error", "lower_bound", "alpha", "n", "ess", "max_weight_share")
    rows = [[name.replace("_", " "), _number(evidence[name])] for name in names]
    words = ("verdict", "candidate", "world", "estimator", "interval", "regime")
    told = [[name, _text(evidence[name])] for name in words]
    truth = evidence["truth"]
    findings = [
        [_text(one["claim"]), _text(one["measured"]), _text(one["required"]), _HOLDS[one["holds"]]]
        for one in evidence["findings"]
    ]
    return [
        "## Evidence",
        "The difference to the baseline, in reward units per request:",
        _table(("what", "value"), [*told, *rows]),
        f"The exact difference, known to the simulator alone: {_number(truth)}."
        if truth is not None
        else "The exact difference is not known.",
        "What the gate said:",
        _bullets(map(_text, evidence["reasons"])) or "Nothing.",
        "Claims of the vetting run, convergence among them:",
        _table(("claim", "measured", "required", "holds"), findings) if findings else "None.",
    ]


_HOLDS = {True: "yes", False: "no", None: "nothing was required"}


def _people(manifest: Mapping[str, Any]) -> list[str]:
    approvals = [f"{_text(one['identity'])}, as {_text(one['role'])}" for one in manifest["approvals"]]
    waivers = [
        f"{', '.join(map(_text, one['waives']))}: waived by {_text(one['identity'])} until {_text(one['expires'])}, "
        f"because: {_text(one['reason'])}"
        for one in manifest["waivers"]
    ]
    return [
        "## Approvals and waivers",
        "Approvals:",
        _bullets(approvals) or "None.",
        "Waivers; the bundle is refused from the moment that one has ended:",
        _bullets(waivers) or "None.",
    ]


def _limitations(manifest: Mapping[str, Any]) -> list[str]:
    evidence = manifest["evidence"]
    bound = evidence["lower_bound"]
    lines = [
        "It is frozen: it learns nothing from what it is asked, and does not notice when traffic, models or prices "
        "change.",
        f"Its evidence is {_number(evidence['n'])} rows of one world ({_text(evidence['world'])}), read under the "
        f"assumption that they are {_text(evidence['regime'])}; elsewhere nothing is known.",
        f"The lower bound may be wrong with probability {_number(evidence['alpha'])}, and holds for the average over "
        "task types, not for each.",
        "Actions that were never recorded for a task type are never chosen; what they are worth is not known.",
        "Rewards weigh quality, cost, latency and failures as the manifest says; what they leave out was not judged.",
    ]
    if bound is None:
        lines.insert(0, "There is no lower bound: nobody was judged.")
    elif bound < 0:
        lines.insert(0, f"Its lower bound is {_number(bound)}: it may be worse than the baseline.")
    if evidence["truth"] is None:
        lines.append("What it is truly worth is not known, only estimated.")
    if any(finding["holds"] is False for finding in evidence["findings"]):
        lines.append("Some claims of its vetting run do not hold; they are marked `no` above.")
    return ["## Limitations", _bullets(lines)]


def _loading(manifest: Mapping[str, Any]) -> list[str]:
    name = re.sub(r"[^A-Za-z0-9._ -]", "?", manifest["task_types"][0]["name"]) if manifest["task_types"] else ""
    return [
        "## How to load it",
        "NumPy is enough. Give the public keys that you trust; without a key, digests find accidents and no forgery.",
        "```python\n"
        "from policies.bundle import Trust, load\n\n"
        'bundle = load("DIR", trust=Trust(keys=(KEY,)))\n'
        f'bundle.recommend({{"title_length": 40}}, "{name}", "request-1").parameters\n'
        "```",
        "From a shell: `python -m policies.bundle verify DIR`.",
    ]


def _digests(manifest: Mapping[str, Any]) -> list[str]:
    evidence = manifest["evidence"]["digests"]
    rows = [
        ["policy", _code(manifest["policy"]["digest"])],
        ["previous bundle", _code(manifest["previous"])],
        ["code", _code(manifest["created_by"]["code_sha256"])],
        ["features", _code(manifest["features"]["fingerprint"])],
        ["actions", _code(manifest["actions"]["fingerprint"])],
        ["reward", _code(manifest["reward"]["fingerprint"])],
        *[[_text(name.replace("_", " ")), _code(digest)] for name, digest in evidence.items()],
    ]
    made = manifest["created_by"]
    return [
        "## Digests",
        _table(("of", "sha256"), rows),
        f"Written by {_text(made['name'])} {_text(made['version'])}. The files and the bundle's own digest are in the "
        "manifest.",
    ]
