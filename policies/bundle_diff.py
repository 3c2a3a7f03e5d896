"""What changed between two bundles, in words: bounds first, then who answers, why it was let out, and what it answers.

The manifests say what they say; behaviour is asked: both policies answer the old bundle's golden requests, and
their probabilities are compared action by action. Equal words do not make equal policies, equal digests do.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Protocol

import numpy as np

from envs.lattice import MODEL
from policies.digest import leaves
from policies.frozen import FrozenPolicy
from policies.masses import TOTAL
from policies.request import read_task

__all__ = ["SAME", "Bundle", "differences"]

SAME = "no difference"
_SHOWN = 60  # characters of a value that a line shows
Manifest = Mapping[str, Any]


class Bundle(Protocol):
    """What is compared; `policies.bundle.LoadedPolicy` is one."""

    @property
    def manifest(self) -> Manifest:
        """As plain values."""

    @property
    def policy(self) -> FrozenPolicy:
        """What answers."""

    @property
    def digest(self) -> str:
        """Of the manifest."""


def differences(old: Bundle, new: Bundle) -> list[str]:
    """What changed, a line each, the most important first; one line that says so where nothing did.

    Args:
        old: the bundle that answers now.
        new: the one that would follow it.
    """
    if old.digest == new.digest:
        return [SAME]
    parts = (_limits, _region, _approved, _task_types, _fallback, _evidence, _waivers, _policy, _reward, _spaces)
    lines = [line for part in parts for line in part(old.manifest, new.manifest)]
    lines += [*_learned(old.policy, new.policy), *_answers(old, new), *_line(old, new)]
    return [*lines, *_rest(old.manifest, new.manifest)] or [SAME]


def _shown(value: object) -> str:
    """A value on one line; control characters as Python writes them."""
    text = value if isinstance(value, str) and value.isprintable() and value else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _change(what: str, old: object, new: object) -> Iterator[str]:
    if old != new:
        yield f"{what}: {_shown(old)} -> {_shown(new)}"


def _place(axis: str, value: str, manifest: Manifest) -> Decimal:
    """A value of an axis as a number; of the model its place in the list."""
    if axis != MODEL:
        return Decimal(value)
    listed = next(one["values"] for one in manifest["actions"]["axes"] if one["name"] == axis)
    return Decimal(listed.index(value))


def _wider(is_wider: bool, is_narrower: bool) -> str:
    return "wider on one side and narrower on the other" if is_wider and is_narrower else _SIZE[is_wider, is_narrower]


_SIZE = {(True, False): "wider", (False, True): "narrower", (False, False): "the same reach"}


def _limits(old: Manifest, new: Manifest) -> Iterator[str]:
    for axis, was, now in _pairs(old["hard_limits"], new["hard_limits"]):
        if was == now:
            continue
        if was is None or now is None:
            yield f"hard limit of {axis}: {'new' if was is None else 'gone'}"
            continue
        lows, highs = (
            [_place(axis, one[end], manifest) for one, manifest in ((was, old), (now, new))]
            for end in ("lowest", "highest")
        )
        size = _wider(lows[1] < lows[0] or highs[1] > highs[0], lows[1] > lows[0] or highs[1] < highs[0])
        ends = [f"{_shown(one['lowest'])} to {_shown(one['highest'])}" for one in (was, now)]
        yield f"hard limit of {axis} is {size}: {ends[0]} -> {ends[1]}"


def _pairs(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """What stands under each name, None where it does not."""
    for name in dict.fromkeys((*old, *new)):
        yield name, old.get(name), new.get(name)


def _region(old: Manifest, new: Manifest) -> Iterator[str]:
    for axis, was, now in _pairs(old["trust_region"], new["trust_region"]):
        if was == now:
            continue
        if was is None or now is None:
            yield f"trust region of {axis}: {'new' if was is None else 'gone'}"
            continue
        words = [one["radius"] + (" (strides differ)" if _strides(was) != _strides(now) else "") for one in (was, now)]
        reaches = [_reach(one) for one in (was, now)]
        yield f"trust region of {axis} is {_compared(*reaches)}: {words[0]} -> {words[1]}"


def _strides(region: Mapping[str, Any]) -> list[int]:
    listed: list[int] = region.get("strides", [])
    return listed


def _reach(region: Mapping[str, Any]) -> Decimal:
    """The largest radius anywhere, in the axis's unit where it has one, else in lattice steps."""
    words = region["radius"]
    return (Decimal(region["steps"]) if "lattice" in words else Decimal(words)) * max(_strides(region), default=1)


def _compared(old: Decimal, new: Decimal) -> str:
    return _SIZE[new > old, new < old]


def _kinds(manifest: Manifest) -> dict[str, Any]:
    return {one["name"]: one for one in manifest["task_types"]}


def _approved(old: Manifest, new: Manifest) -> Iterator[str]:
    for name, was, now in _pairs(_kinds(old), _kinds(new)):
        if was is None or now is None:
            continue
        here, there = was["approved"]["parameters"], now["approved"]["parameters"]
        moved = [_moved(axis, a, b) for axis, a, b in _pairs(here, there) if a != b]
        if moved:
            yield f"approved parameters of {_shown(name)}: {', '.join(moved)}; {_within(old, here, there)}"


def _moved(axis: str, old: Any, new: Any) -> str:
    words = f"{axis} {_shown(old)} -> {_shown(new)}"
    if isinstance(old, int | float) and isinstance(new, int | float):
        words += f" ({Decimal(str(new)) - Decimal(str(old)):+})"
    return words


def _within(old: Manifest, here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """Whether new approved parameters lie in the trust region and hard limits around the old ones."""
    far = []
    for axis in old["actions"]["axes"]:
        values, region, limits = (
            axis["values"],
            old["trust_region"][axis["name"]],
            old["hard_limits"][axis["name"]],
        )
        at, to = (_at(axis, point.get(axis["name"], "")) for point in (here, there))
        if at is None or to is None:
            far.append(f"{axis['name']} is off the old lattice")
            continue
        if abs(to - at) > region["steps"] * (region["strides"][at] if "strides" in region else 1):
            far.append(f"{axis['name']} leaves the old trust region")
        if not values.index(limits["lowest"]) <= to <= values.index(limits["highest"]):
            far.append(f"{axis['name']} leaves the old hard limits")
    return ", ".join(far) or "within the old trust region"


def _at(axis: Mapping[str, Any], value: Any) -> int | None:
    """The place of a sent value on an axis; None where it is not on it."""
    if axis["name"] == MODEL:
        return axis["values"].index(value) if value in axis["values"] else None
    return next((i for i, v in enumerate(axis["values"]) if value != "" and float(v) == float(value)), None)


def _task_types(old: Manifest, new: Manifest) -> Iterator[str]:
    for name, was, now in _pairs(_kinds(old), _kinds(new)):
        if was is None or now is None:
            yield f"task type {_shown(name)}: {'new' if was is None else 'gone, answered by the fallback from here on'}"
            continue
        yield from _change(f"stop sequences of {_shown(name)}", was["stop_sequences"], now["stop_sequences"])
        counts = [sum(b - a + 1 for a, b in one["unrecorded"]) for one in (was, now)]
        if was["unrecorded"] != now["unrecorded"]:
            yield f"actions never recorded for {_shown(name)}: {counts[0]} -> {counts[1]}"
        yield from _change(
            f"evaluations of {_shown(name)} before it froze", was.get("evaluations", 0), now.get("evaluations", 0)
        )


def _fallback(old: Manifest, new: Manifest) -> Iterator[str]:
    pairs = _pairs(old["fallback"]["parameters"], new["fallback"]["parameters"])
    moved = [_moved(axis, a, b) for axis, a, b in pairs if a != b]
    if moved:
        yield f"fallback parameters: {', '.join(moved)}"


_TOLD = (
    "verdict",
    "candidate",
    "world",
    "estimator",
    "interval",
    "regime",
    "estimate",
    "standard_error",
    "lower_bound",
)


def _evidence(old: Manifest, new: Manifest) -> Iterator[str]:
    was, now = old["evidence"], new["evidence"]
    for name in (*_TOLD, "alpha", "n", "ess", "max_weight_share", "truth", "master_seed"):
        yield from _change(f"evidence, {name.replace('_', ' ')}", was[name], now[name])
    claims = ({one["claim"]: (one["measured"], one["holds"]) for one in said["findings"]} for said in (was, now))
    for claim, before, after in _pairs(*claims):
        yield from _change(f"evidence, claim {_shown(claim)}", before and before[0], after and after[0])
        if before and after and before[1] != after[1]:
            yield f"evidence, claim {_shown(claim)} {'holds now' if after[1] else 'does not hold any more'}"
    for name, before, after in _pairs(was["digests"], now["digests"]):
        if before != after:
            yield f"evidence rests on another {name.replace('_', ' ')}"


def _waivers(old: Manifest, new: Manifest) -> Iterator[str]:
    for who, was, now in _pairs(*({(one["identity"], one["reason"]): one for one in m["waivers"]} for m in (old, new))):
        one = now or was
        what = f"waiver of {', '.join(one['waives'])} by {_shown(who[0])} ({_shown(who[1])})"
        if was is None or now is None:
            yield f"{what}: {'new, until ' + now['expires'] if was is None else 'gone'}"
            continue
        yield from _change(f"{what}, its end", was["expires"], now["expires"])
        yield from _change(f"{what}, what it waives", was["waives"], now["waives"])
    people = [[f"{one['identity']}, as {one['role']}" for one in manifest["approvals"]] for manifest in (old, new)]
    yield from _change("approvals", *("; ".join(names) for names in people))


def _policy(old: Manifest, new: Manifest) -> Iterator[str]:
    was, now = old["policy"], new["policy"]
    for name in ("name", "version", "kind", "exploration_floor"):
        yield from _change(f"policy, {name.replace('_', ' ')}", was[name], now[name])
    for name, before, after in _pairs(was["parameters"], now["parameters"]):
        yield from _change(f"policy, parameter {name}", before, after)


def _reward(old: Manifest, new: Manifest) -> Iterator[str]:
    was, now = old["reward"], new["reward"]
    yield from _change("reward, span", was["span"], now["span"])
    if (was["parts"], was["weights"]) != (now["parts"], now["weights"]):
        yield "reward: its parts or weights differ, so rewards and bounds of the two do not compare"


def _spaces(old: Manifest, new: Manifest) -> Iterator[str]:
    """Inputs, context entries, models and the lattice."""
    was, now = old["features"], new["features"]
    for part, what in (("inputs", "feature"), ("entries", "context entry")):
        named = ({one["name"]: one for one in features[part]} for features in (was, now))
        for name, before, after in _pairs(*named):
            if before is None or after is None:
                yield f"{what} {_shown(name)}: {'new' if before is None else 'gone'}"
                continue
            for field, here, there in _pairs(before, after):
                yield from _change(f"{what} {_shown(name)}, {field}", here, there)
    for name in ("models", "clip", "unknown_model"):
        yield from _change(f"features, {name.replace('_', ' ')}", was[name], now[name])
    axes = ({one["name"]: one for one in manifest["actions"]["axes"]} for manifest in (old, new))
    for name, before, after in _pairs(*axes):
        yield from _change(
            f"values of {name}", *(one and ", ".join(map(_shown, one["values"])) for one in (before, after))
        )


def _learned(old: FrozenPolicy, new: FrozenPolicy) -> Iterator[str]:
    """Euclidean norms of what was learned, array by array."""
    for name, was, now in _pairs(leaves(old.state), leaves(new.state)):
        if was is None or now is None:
            yield f"learned {name}: {'new' if was is None else 'gone'}"
        elif was.shape != now.shape:
            yield f"learned {name}: shapes differ, {list(was.shape)} -> {list(now.shape)}"
        elif not np.array_equal(was, now):
            a, b, gap = (float(np.linalg.norm(np.asarray(x, np.float64).ravel())) for x in (was, now, now - was * 1.0))
            share = f", {gap / a:.3g} of the old norm" if a else ""
            yield f"learned {name}: norm {a:.6g} -> {b:.6g}, norm of the difference {gap:.3g}{share}"


def _answers(old: Bundle, new: Bundle) -> Iterator[str]:
    """How far the answers to the old bundle's golden requests moved."""
    cases = old.manifest["golden"]
    found = [(_chances(old.policy, case), _chances(new.policy, case)) for case in cases]
    both = [(a, b) for a, b in found if a is not None and b is not None]
    if len(both) < len(cases):
        yield f"golden requests: {len(cases) - len(both)} of {len(cases)} can't be put to both policies"
    moves = [sum(abs(a.get(key, 0) - b.get(key, 0)) for key in a | b) / 2 / TOTAL for a, b in both]
    if any(moves):
        n_other = sum(max(a, key=a.__getitem__) != max(b, key=b.__getitem__) for a, b in both)
        yield (
            f"golden requests: {n_other} of {len(both)} get another most likely action; total variation "
            f"{sum(moves) / len(moves):.3g} in the mean, {max(moves):.3g} at worst"
        )


def _chances(policy: FrozenPolicy, case: Mapping[str, Any]) -> dict[tuple[Any, ...], int] | None:
    """Mass of each action by its parameters, lowest id first; None for a request that the policy can't be asked."""
    if case["task_type"] not in policy.task_types:
        return None
    try:
        asked = policy.decision(read_task(case["features"]), policy.task_types.index(case["task_type"]), np.ones(2))
    except (TypeError, ValueError):
        return None
    pairs = sorted(zip(asked.window.action_ids.tolist(), policy.masses(asked).tolist(), strict=True))
    return {tuple(policy.lattice.parameters(action).items()): mass for action, mass in pairs if mass}


def _line(old: Bundle, new: Bundle) -> Iterator[str]:
    """Whether the new bundle names the old one as the one that it follows."""
    previous = new.manifest["previous"]
    if previous != old.digest:
        what = "names no predecessor" if previous is None else f"follows {previous[:12]}..."
        yield f"predecessor: the new bundle {what}, not the old one ({old.digest[:12]}...)"


def _rest(old: Manifest, new: Manifest) -> Iterator[str]:
    """What no line above is about."""
    yield from _change("format version", old["format_version"], new["format_version"])
    if old["created_by"] != new["created_by"]:
        yield from _change("code", *(f"{one['version']}" for one in (old["created_by"], new["created_by"])))
        if old["created_by"]["code_sha256"] != new["created_by"]["code_sha256"]:
            yield "code: its sha256 differs"
    if old["policy"]["digest"] != new["policy"]["digest"]:  # golden requests follow from it, so others are no news
        yield f"policy digest: {old['policy']['digest'][:12]}... -> {new['policy']['digest'][:12]}..."
    asked = [[(case["task_type"], case["features"], case["request_id"]) for case in m["golden"]] for m in (old, new)]
    if old["policy"]["digest"] == new["policy"]["digest"] and asked[0] != asked[1]:
        yield f"golden requests: others, {len(asked[0])} -> {len(asked[1])}"
    yield from _change("files", *(", ".join(sorted(one.get("files", ()))) for one in (old, new)))
