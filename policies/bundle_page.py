"""Pages for readers of a bundle: what was checked, what it holds, laid out for 80 columns.

What stands in a file is shown with its control characters escaped, so that no bundle writes on a terminal what it
does not say.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from envs.lattice import MODEL
from policies.evidence import Evidence, Waiver, parse_time
from policies.loading import LoadedPolicy
from policies.manifest import GRAPH, MANIFEST
from policies.signing import Trust

__all__ = ["checked", "laid_out", "safe", "summary", "wrapped"]

WIDTH, LABEL = 80, 16  # columns of a page, and of its labels
Rows = Iterator[tuple[str, str]]
Sections = Mapping[str, Sequence[tuple[str, str]]]


def safe(text: str) -> str:
    r"""Text as a terminal may show it: what is not printable, and what turns the direction of writing, is escaped.

    >>> print(safe("a\x1b[31mb\n\u202e"))
    a\x1b[31mb\n\u202e
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _columns(text: str) -> int:
    return len(text) + sum(map(_is_wide, text))


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most so many columns, escaped as `safe`; a wide character takes two."""
    lines = [""]
    for word in safe(text).split():
        if lines[-1] and _columns(lines[-1]) + 1 + _columns(word) <= width:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        for c in word:  # a word wider than a line is broken
            if _columns(lines[-1] + c) > width:
                lines.append("")
            lines[-1] += c
    return lines


def laid_out(sections: Sections) -> str:
    """Sections of labelled lines as a page of 80 columns, every text escaped.

    >>> print(laid_out({"memory": [("process", "60 MB")]}))
    memory
      process       60 MB
    """
    lines: list[str] = []
    for heading, rows in sections.items():
        lines += wrapped(heading, WIDTH)
        lines += [line for label, text in rows for line in _row(label, text)]
    return "\n".join(line.rstrip() for line in lines)


def _row(label: str, text: str) -> Iterator[str]:
    """A label with its text beside it; a long label stands above."""
    head, body = wrapped(label, WIDTH - 2), wrapped(text, WIDTH - LABEL)
    is_short = len(head) == 1 and _columns(head[0]) + 3 <= LABEL
    first = f"  {head.pop()}" if is_short else ""
    yield from (f"  {line}" for line in head)
    yield first + " " * (LABEL - _columns(first)) + body[0]
    yield from (" " * LABEL + line for line in body[1:])


def checked(found: LoadedPolicy, trust: Trust, now: datetime) -> Rows:
    """What `load` has checked of a bundle, as labelled lines.

    Args:
        found: the bundle.
        trust: what it was held against.
        now: the time by which its waivers were judged.
    """
    manifest = found.manifest
    files, golden, n_tasks = manifest["files"], len(manifest["golden"]), len(manifest["task_types"])
    yield "folder", f"{MANIFEST}, {', '.join(files)}: plain files, nothing unknown beside them"
    yield "bytes", f"size and sha256 of {len(files)} files are those that {MANIFEST} names"
    yield "manifest", f"format {manifest['format_version']}; its digest holds; each field follows from the policy"
    yield "bounds", f"approved actions of {n_tasks} task types and the fallback are within hard limits and lattice"
    yield "graph", "default operators, no external data; --onnx replays it" if GRAPH in files else f"no {GRAPH}"
    yield "golden", f"{golden} recorded requests asked again: the same masses and actions"
    for section in ("features", "actions"):
        same = "the caller's" if getattr(trust, section) else f"not compared: no --{section} was given"
        yield section, f"{manifest[section]['fingerprint']} {same}"
    listed = f"neither digest is among the {len(trust.quarantined)} listed"
    yield "quarantine", listed if trust.quarantined else "no digest was listed"
    evidence = found.release.evidence
    yield "evidence", ("" if evidence.carries else "does NOT carry it, a waiver does: ") + _verdict(evidence)
    yield from _waivers(found.release.waivers, now)


def _verdict(evidence: Evidence) -> str:
    bound = f"lower bound {_told(evidence.lower_bound)} at alpha {evidence.alpha:g}, {evidence.n:,} rows"
    return f"{evidence.verdict}: {'; '.join(evidence.reasons)}; {bound}"


def _waivers(waivers: Sequence[Waiver], now: datetime) -> Rows:
    yield from (("waiver", _waiver(waiver, now)) for waiver in waivers)
    if not waivers:
        yield "waivers", "none"


def _waiver(waiver: Waiver, now: datetime) -> str:
    days = (parse_time(waiver.expires) - now).days
    left = f"{days} day{'s' * (days != 1)} left" if days else "less than a day left"
    return f"of {', '.join(waiver.waives)} by {waiver.identity} until {waiver.expires} ({left}): {waiver.reason}"


def summary(found: LoadedPolicy, now: datetime) -> Sections:
    """What a bundle holds, as headings with labelled lines.

    Args:
        found: the bundle.
        now: the time from which the days of its waivers are counted.
    """
    manifest, release = found.manifest, found.release
    fallback = _parameters(manifest["fallback"]["parameters"])
    files = [(name, f"{facts['bytes']:,} bytes, sha256 {facts['sha256']}") for name, facts in manifest["files"].items()]
    approvals = [("approved by", f"{one.identity}, {one.role}") for one in release.approvals]
    return {
        f"{release.name} {release.version}": list(_identity(found)),
        "approved parameters": [*map(_approved, manifest["task_types"]), ("(any other)", f"{fallback} (fallback)")],
        "bounds (hard limits; trust region around the approved parameters)": list(_bounds(manifest)),
        "evidence": list(_evidence(release.evidence)),
        "approvals": approvals or [("approved by", "nobody")],
        "waivers": list(_waivers(release.waivers, now)),
        "files": files,
    }


def _identity(found: LoadedPolicy) -> Rows:
    manifest = found.manifest
    policy, writer, features = manifest["policy"], manifest["created_by"], manifest["features"]
    numbers = ", ".join(f"{name} {value}" for name, value in policy["parameters"].items())
    models = f", models {', '.join(features['models'])}" if features["models"] else ""
    axes = [axis["name"] for axis in manifest["actions"]["axes"]]
    yield "kind", f"{policy['kind']} ({numbers})"
    yield "trust", found.trust
    yield "bundle", found.digest
    yield "policy", found.policy.digest
    yield "previous", manifest["previous"] or "none: the first"
    yield "written by", f"{writer['name']} {writer['version']}, format {manifest['format_version']}"
    yield "code", writer["code_sha256"] or "no digest"
    yield "features", f"{len(features['inputs'])} inputs, {found.policy.spec.d} entries{models}"
    yield "", features["fingerprint"]
    yield "actions", f"{found.policy.lattice.size:,} on {', '.join(axes)}"
    yield "", manifest["actions"]["fingerprint"]
    yield "golden", f"{len(manifest['golden'])} recorded requests"


def _approved(task_type: Mapping[str, Any]) -> tuple[str, str]:
    stops = ", ".join(map(repr, task_type["stop_sequences"]))
    text = _parameters(task_type["approved"]["parameters"])
    return task_type["name"], text + (f"; stops at {stops}" if stops else "")


def _parameters(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def _bounds(manifest: Mapping[str, Any]) -> Rows:
    fixed: list[str] = []
    for axis in manifest["actions"]["axes"]:
        name = axis["name"]
        limit, region = manifest["hard_limits"][name], manifest["trust_region"][name]
        span = f"{limit['lowest']} to {limit['highest']}" if limit["lowest"] != limit["highest"] else limit["lowest"]
        moves = f"at most {region['radius']} away" if region["steps"] else "never moves"
        relative = ", times the stride at each value" if "strides" in region else ""
        if name == MODEL:
            moves += f" among {', '.join(axis['values'])}"
        if len(axis["values"]) == 1:
            fixed.append(f"{name} {axis['values'][0] or 'not chosen'}")
        else:
            yield name, f"{span}; {moves}{relative} ({axis['unit']})"
    yield "fixed", ", ".join(fixed) or "none"


def _evidence(evidence: Evidence) -> Rows:
    yield "verdict", f"{evidence.verdict}: {'; '.join(evidence.reasons)}"
    yield "judged", f"{evidence.candidate or 'nobody'} on {evidence.world}, seed {evidence.master_seed}"
    if evidence.estimate is not None:
        yield from _estimate(evidence)
    for one in evidence.findings:
        holds = {True: "holds", False: "FAILS", None: "told"}[one.holds]
        required = f" (required: {one.required})" if one.required else ""
        yield f"finding {holds}", f"{one.claim}: {one.measured}{required}"
    for name, digest in asdict(evidence.digests).items():
        yield name.replace("_", " "), digest or "no digest"


def _estimate(evidence: Evidence) -> Rows:
    yield "lower bound", f"{_told(evidence.lower_bound)} at alpha {evidence.alpha:g} (reward units, as the next two)"
    yield "difference", f"{_told(evidence.estimate)}, standard error {_told(evidence.standard_error)}"
    yield "truth", _told(evidence.truth)
    yield "method", f"{evidence.estimator}, interval {evidence.interval}, {evidence.regime} logs"
    share = _told(evidence.max_weight_share)
    yield "rows", f"{evidence.n:,}, {_told(evidence.ess)} effective, largest weight {share} of them"


def _told(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
