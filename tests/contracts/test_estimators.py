"""Every yaml of configs/estimator: one suite of promises about what a log may look like and what changes nothing.

Each estimator meets three logs: an ordinary one; one whose logger left some slots out; and one of a
uniform logger with a target that is certain of its action, which is all that replay can read. Where
it cannot read a log it says so in words that name it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from scipy import stats

from envs import presets
from evaluators import estimation
from evaluators.estimation import Estimator, estimate, finish, summarise, summarise_logs
from evaluators.intervals import t
from evaluators.rows import Estimate, RewardRange, Rows
from evaluators.sums import Sums, merge
from evaluators.support import assess
from experiments.compose import compose, open_book
from experiments.settings import build

N, CONTEXTS, SLOTS = 240, 12, 6
NAMES = presets.names("estimator")
LOGS = ("ordinary", "masked", "certain")
FIGURES = ("value", "stderr", "lo", "hi")

every_estimator = pytest.mark.parametrize("name", NAMES)
every_log = pytest.mark.parametrize("log", LOGS)


@cache
def estimators() -> dict[str, Estimator]:
    """Every choice of the group, as the command line builds it."""
    with open_book() as book:
        cfg = compose(book, (f"estimator=[{','.join(NAMES)}]",))
    return {name: cast(Estimator, build(cfg.estimator[name], f"estimator.{name}")) for name in NAMES}


def read_by(name: str, interval: object, change: Mapping[str, Any] | None = None) -> Any:
    """The estimator with another interval, and other numbers of its own."""
    params: Any = estimators()[name]
    return replace(params, interval=interval, **(change or {}))


def _probabilities(rng: np.random.Generator, scale: float) -> Any:
    raw = np.exp(scale * rng.normal(size=(CONTEXTS, SLOTS)))
    return 0.95 * raw / raw.sum(axis=1, keepdims=True) + 0.05 / SLOTS


def _points() -> Any:
    """Coordinates of 24 actions: temperature, doublings of tokens, top_p, two penalties, model."""
    temperature, doublings, top_p, model = np.indices((3, 2, 2, 2)).reshape(4, -1).astype(np.float64)
    none = np.zeros_like(model)
    return np.stack([0.6 + 0.1 * temperature, 8 + 0.5 * doublings, 0.9 + 0.1 * top_p, none, none, model], axis=1)


@cache
def tables(log: str) -> Rows:
    """A log as tables of its contexts."""
    rng = np.random.default_rng(LOGS.index(log))
    behavior, target = _probabilities(rng, 1.0), _probabilities(rng, 2.0)
    if log == "masked":
        mask = rng.random((CONTEXTS, SLOTS)) < 0.3
        mask[np.arange(CONTEXTS), rng.integers(SLOTS, size=CONTEXTS)] = False
        behavior = np.where(mask, 0.0, behavior)
        behavior /= behavior.sum(axis=1, keepdims=True)
        target[::2] = np.where(mask, 0.0, target)[::2] * 0.9  # half of the rows: no mass without support, some missing
    if log == "certain":
        behavior, target = np.full((CONTEXTS, SLOTS), 1 / SLOTS), np.eye(SLOTS)[rng.integers(SLOTS, size=CONTEXTS)]
    row = np.concatenate([np.arange(CONTEXTS), rng.integers(CONTEXTS, size=N - CONTEXTS)])
    slot = (behavior.cumsum(axis=1)[row] < rng.random((N, 1))).sum(axis=1).clip(0, SLOTS - 1)
    mean, points = rng.uniform(1.2, 2.8, size=(CONTEXTS, SLOTS)), _points()
    return Rows(
        reward=np.clip(mean[row, slot] + rng.normal(scale=0.3, size=N), 1.0, 3.0),
        slot=slot,
        behavior=behavior,
        target=target,
        predicted=np.clip(mean + rng.normal(scale=0.2, size=mean.shape), 1.0, 3.0),
        reward_range=RewardRange(1.0, 3.0),
        row=row,
        action_ids=np.argsort(rng.random((CONTEXTS, len(points))), axis=1)[:, :SLOTS],
        points=points,
    )


def _present(part: Any) -> Any:
    assert part is not None
    return part


def written_out(rows: Rows) -> Rows:
    """The same log with a table row for every log row."""
    names = ("behavior", "target", "predicted", "action_ids")
    return rows._replace(**{name: getattr(rows, name)[rows.row] for name in names}, row=None)


def known_in_part(rows: Rows) -> Rows:
    """The same log without the propensities of what was not taken."""
    taken = np.arange(SLOTS) == rows.slot[:, None]
    return rows._replace(behavior=np.where(taken, rows.behavior, np.nan), is_partial=True)


def refusal(name: str, act: Callable[[], Any]) -> str:
    """What the estimator, or its interval, says of rows that it cannot read; nothing if it can."""
    kind = type(estimators()[name]).__module__.split(".")[-1]
    try:
        act()
    except ValueError as error:
        assert re.search(rf"estimator {kind}\b|the interval needs", str(error)), str(error)
        return str(error)
    return ""


@cache
def reads(name: str, log: str) -> bool:
    """Whether the estimator can judge this log."""
    return not refusal(name, partial(estimate, estimators()[name], written_out(tables(log))))


def figures(found: Estimate) -> list[float]:
    return [getattr(found, figure) for figure in FIGURES]


def same(found: Estimate, wanted: Estimate, rtol: float) -> None:
    np.testing.assert_allclose(figures(found), figures(wanted), rtol=rtol)


def test_the_group_is_not_empty() -> None:
    assert len(NAMES) >= 12
    assert set(estimators()) == set(NAMES)


@every_estimator
def test_every_estimator_reads_some_log_and_gives_numbers(name: str) -> None:
    readable = [log for log in LOGS if reads(name, log)]
    assert readable
    for log in readable:
        found = estimate(estimators()[name], written_out(tables(log)))
        assert np.isfinite(figures(found)).all()
        assert found.lo < found.value < found.hi
        assert 0 < found.ess <= N


@every_log
@every_estimator
def test_the_order_of_the_rows_does_not_matter(name: str, log: str) -> None:
    if not reads(name, log):
        return
    rows, order = tables(log), np.random.default_rng(0).permutation(N)
    moved = rows._replace(reward=rows.reward[order], slot=rows.slot[order], row=_present(rows.row)[order])
    params = estimators()[name]
    same(estimate(params, moved), estimate(params, rows), 1e-12)
    same(estimate(params, written_out(moved)), estimate(params, written_out(rows)), 1e-12)


@every_log
@every_estimator
def test_the_order_of_the_slots_does_not_matter(name: str, log: str) -> None:
    if not reads(name, log):
        return
    rows = tables(log)
    order = np.argsort(np.random.default_rng(0).random((CONTEXTS, SLOTS)), axis=1)
    place = np.argsort(order, axis=1)
    names = ("behavior", "target", "predicted", "action_ids")
    moved: dict[str, Any] = {part: np.take_along_axis(getattr(rows, part), order, axis=1) for part in names}
    params = estimators()[name]
    shuffled = rows._replace(**moved, slot=place[rows.row, rows.slot])
    same(estimate(params, shuffled), estimate(params, rows), 1e-12)


@every_log
@every_estimator
def test_shards_merge_to_what_one_pass_gives(name: str, log: str) -> None:
    if not reads(name, log):
        return
    for rows in (tables(log), written_out(tables(log)), written_out(tables(log))._replace(cluster=np.arange(N) // 7)):
        params, ends = estimators()[name], [0, 1, 38, 39, 120, N]
        parts = [summed(params, rows.part(*pair)) for pair in zip(ends, ends[1:], strict=False)]
        left = merge(merge(parts[0], parts[1]), parts[2])
        whole = summarise({name: params}, rows)[name]
        same(finish(params, merge(left, merge(parts[3], parts[4]))), finish(params, whole), 1e-10)


def summed(params: Estimator, rows: Rows) -> Sums:
    return summarise({"one": params}, rows)["one"]


@every_estimator
def test_the_size_of_a_block_does_not_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for rows in (tables(log) for log in LOGS if reads(name, log)):
        params, wanted = estimators()[name], estimate(estimators()[name], written_out(rows))
        with monkeypatch.context() as patch:
            patch.setattr(estimation, "BLOCK_ENTRIES", 1)
            same(estimate(params, written_out(rows)), wanted, 1e-10)


@every_log
@every_estimator
def test_shared_tables_are_the_log_written_out(name: str, log: str) -> None:
    if not reads(name, log):
        return
    params = estimators()[name]
    same(estimate(params, tables(log)), estimate(params, written_out(tables(log))), 1e-12)


@every_log
@every_estimator
def test_many_logs_at_once_are_those_logs_one_by_one(name: str, log: str) -> None:
    if not reads(name, log):
        return
    params, rows = estimators()[name], tables(log)
    at_once = finish(params, summarise_logs({name: params}, rows, n_logs=3)[name])
    one_by_one = [estimate(params, rows.part(begin, begin + N // 3)) for begin in range(0, N, N // 3)]
    for figure in FIGURES:
        wanted = [getattr(found, figure) for found in one_by_one]
        np.testing.assert_allclose(getattr(at_once, figure), wanted, rtol=1e-10)


@every_log
@every_estimator
def test_value_and_error_scale_with_the_unit_of_the_reward(name: str, log: str) -> None:
    if not reads(name, log):
        return
    params, rows = estimators()[name], tables(log)
    model = 50 * _present(rows.predicted)
    scaled = rows._replace(reward=50 * rows.reward, predicted=model, reward_range=RewardRange(50, 150))
    found, wanted = estimate(params, scaled), estimate(params, rows)
    np.testing.assert_allclose(figures(found), 50 * np.array(figures(wanted)), rtol=1e-9)


SHIFTED = {  # what follows a shift of rewards and model exactly, where the target's probabilities sum to 1
    "direct": True,
    "doubly_robust": True,
    "self_normalised_dr": True,
    "shrunk_dr": True,
    "snips": True,
    "sub_gaussian_dr": True,
    "switch_dr": True,
    "adaptive_blending": False,
    "clipped_ips": False,
    "ips": False,
    "sub_gaussian_ips": False,
}


@pytest.mark.parametrize("name", SHIFTED)
def test_a_shift_of_the_rewards_is_followed_by_what_promises_it_and_not_by_the_others(name: str) -> None:
    params, rows = read_by(name, t.Params()), tables("ordinary")
    model = _present(rows.predicted) + 5
    moved = rows._replace(reward=rows.reward + 5, predicted=model, reward_range=RewardRange(6, 8))
    before, after = estimate(params, rows), estimate(params, moved)
    assert (abs(after.value - before.value - 5) <= 1e-12 * after.value) == SHIFTED[name]
    if SHIFTED[name]:
        assert after.stderr == pytest.approx(before.stderr, rel=1e-9)


def _without_propensity(rows: Rows) -> Rows:
    behavior = rows.behavior.copy()
    behavior[7] = np.eye(SLOTS)[(rows.slot[7] + 1) % SLOTS]
    return rows._replace(behavior=behavior)


def _with(rows: Rows, part: str, index: Any, value: float) -> Rows:
    changed = getattr(rows, part).copy()
    changed[index] = value
    return rows._replace(**{part: changed})


RUBBISH: dict[str, tuple[Callable[[Rows], Rows], str]] = {
    "a reward that is no number": (lambda r: _with(r, "reward", 7, np.nan), r"reward\[7\] = nan, need a finite"),
    "an infinite reward": (lambda r: _with(r, "reward", 7, np.inf), r"reward\[7\] = inf, need a finite"),
    "a reward outside its range": (lambda r: _with(r, "reward", 7, 3.5), r"reward\[7\] = 3.5, need 1 <= value <= 3"),
    "a propensity of zero": (_without_propensity, r"propensity\[7\] = 0, need 0 < p <= 1"),
    "a propensity above one": (lambda r: _with(r, "behavior", (7, 0), 1.5), r"sum of behavior\[7\] = "),
    "a negative propensity": (lambda r: _with(r, "behavior", (7, 0), -0.5), r"behavior\[7, 0\] = -0.5, need"),
    "a propensity that is no number": (lambda r: _with(r, "behavior", (7, 0), np.nan), r"behavior\[7, 0\] = nan"),
    "a slot beyond the window": (lambda r: _with(r, "slot", 7, SLOTS), r"slot\[7\] = 6, need 0 <= slot < 6"),
    "a slot before the window": (lambda r: _with(r, "slot", 7, -1), r"slot\[7\] = -1, need 0 <= slot < 6"),
    "a target above one": (lambda r: _with(r, "target", (7, 0), 1.5), r"sum of target\[7\] = "),
    "a model outside the range": (lambda r: _with(r, "predicted", (7, 0), 9.0), r"predicted\[7, 0\] = 9, need 1 <="),
    "a model that is no number": (lambda r: _with(r, "predicted", (7, 0), np.nan), r"predicted\[7, 0\] = nan"),
    "no rows": (lambda r: r.part(0, 0), r"is the log empty\?"),
}


@pytest.mark.parametrize("rubbish", RUBBISH)
@every_estimator
def test_rubbish_is_refused_by_name_and_place_and_never_gives_a_number(name: str, rubbish: str) -> None:
    spoil, message = RUBBISH[rubbish]
    with pytest.raises(ValueError, match=message):
        estimate(estimators()[name], spoil(written_out(tables(next(log for log in LOGS if reads(name, log))))))


@every_estimator
def test_a_row_of_the_tables_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"row\[7\] = 12, need 0 <= row < 12"):
        estimate(estimators()[name], _with(tables("ordinary"), "row", 7, CONTEXTS))


@every_estimator
def test_target_mass_that_the_logger_never_took_is_flagged(name: str) -> None:
    rows = tables("masked")
    if not reads(name, "masked"):
        return
    found = assess(summed(estimators()[name], rows).weights)
    missing = 1 - (rows.target * (rows.behavior > 0)).sum(axis=1)[rows.row].mean()
    assert missing > 0.1
    assert found.unsupported_mass == pytest.approx(missing, rel=1e-9)
    assert not found.sufficient
    assert any("where the logger never goes" in reason for reason in found.reasons)


@every_log
@every_estimator
def test_a_logger_known_in_part_gives_the_same_value_or_a_refusal_in_words(name: str, log: str) -> None:
    if not reads(name, log):
        return
    rows = written_out(tables(log))
    for params in (estimators()[name], read_by(name, t.Params())):
        for whole in (rows, rows._replace(cluster=np.arange(N) // 7)):
            if not refusal(name, partial(estimate, params, known_in_part(whole))):
                same(estimate(params, known_in_part(whole)), estimate(params, whole), 1e-12)


@every_estimator
def test_without_a_model_it_works_or_says_what_is_missing(name: str) -> None:
    for rows in (tables(log) for log in LOGS if reads(name, log)):
        bare, params = rows._replace(predicted=None), estimators()[name]
        said = refusal(name, partial(estimate, params, bare))
        assert not said or "needs rows.predicted" in said
        assert said or np.isfinite(estimate(params, bare).value)


class Terms(NamedTuple):
    """One row of a textbook: what needs no reward, the weight, and the error that it multiplies."""

    part: float
    weight: float
    error: float


class Row(NamedTuple):
    """One log row in plain numbers."""

    reward: float
    slot: int
    behavior: list[float]
    target: list[float]
    model: list[float]


def opinion(row: Row) -> float:
    """Sum over actions of target times model."""
    total = 0.0
    for action in range(SLOTS):
        total += row.target[action] * row.model[action]
    return total


def ratio(row: Row, action: int) -> float:
    """Importance weight of an action that the logger could take."""
    return row.target[action] / row.behavior[action]


def error(row: Row) -> float:
    """Reward minus the model's prediction."""
    return row.reward - row.model[row.slot]


def _direct(_: Any, row: Row) -> Terms:
    return Terms(opinion(row), 0.0, 0.0)


def _ips(_: Any, row: Row) -> Terms:
    return Terms(0.0, ratio(row, row.slot), row.reward)


def _doubly_robust(_: Any, row: Row) -> Terms:
    return Terms(opinion(row), ratio(row, row.slot), error(row))


def _clipped_ips(params: Any, row: Row) -> Terms:
    weight = ratio(row, row.slot)
    return Terms(0.0, params.max_weight if weight > params.max_weight else weight, row.reward)


def _switch_dr(params: Any, row: Row) -> Terms:
    weight = ratio(row, row.slot)
    return Terms(opinion(row), weight if weight <= params.threshold else 0.0, error(row))


def _shrunk_dr(params: Any, row: Row) -> Terms:
    weight = ratio(row, row.slot)
    if params.kind == "pessimistic":
        return Terms(opinion(row), min(weight, params.shrinkage), error(row))
    return Terms(opinion(row), params.shrinkage / (weight**2 + params.shrinkage) * weight, error(row))


def _sub_gaussian_ips(params: Any, row: Row) -> Terms:
    weight = ratio(row, row.slot)
    return Terms(0.0, weight / (1 - params.correction + params.correction * weight), row.reward)


def _sub_gaussian_dr(params: Any, row: Row) -> Terms:
    return _sub_gaussian_ips(params, row)._replace(part=opinion(row), error=error(row))


def _adaptive_blending(params: Any, row: Row) -> Terms:
    part = 0.0
    for action in range(SLOTS):
        if row.target[action] > 0:
            infinite = row.behavior[action] == 0
            by_reward = 0.0 if infinite else min(params.max_weight / ratio(row, action), 1.0)
            part += row.target[action] * (1 - by_reward) * row.model[action]
    weight = ratio(row, row.slot)
    by_reward = min(params.max_weight / weight, 1.0) if weight > 0 else 1.0
    return Terms(part, by_reward * weight, row.reward)


def _replay(_: Any, row: Row) -> Terms:
    return Terms(0.0, 1.0 if row.target[row.slot] == 1.0 else 0.0, row.reward)


TEXTBOOK: dict[str, Callable[[Any, Row], Terms]] = {
    "adaptive_blending": _adaptive_blending,
    "clipped_ips": _clipped_ips,
    "direct": _direct,
    "doubly_robust": _doubly_robust,
    "ips": _ips,
    "replay": _replay,
    "self_normalised_dr": _doubly_robust,
    "shrunk_dr": _shrunk_dr,
    "snips": _ips,
    "sub_gaussian_dr": _sub_gaussian_dr,
    "sub_gaussian_ips": _sub_gaussian_ips,
    "switch_dr": _switch_dr,
}
RATIOS = ("replay", "self_normalised_dr", "snips")
CUTS: dict[str, list[dict[str, Any]]] = {  # tuning numbers that bite on these logs, beside the defaults
    "adaptive_blending": [{"max_weight": 0.7}, {"max_weight": 2.0}],
    "clipped_ips": [{"max_weight": 0.7}, {"max_weight": 2.0}],
    "shrunk_dr": [{"shrinkage": 1.5}, {"kind": "pessimistic", "shrinkage": 1.5}],
    "sub_gaussian_dr": [{"correction": 0.3}],
    "sub_gaussian_ips": [{"correction": 0.3}],
    "switch_dr": [{"threshold": 0.7}, {"threshold": 2.0}],
}
VARIANTS = [(name, change) for name in TEXTBOOK for change in ({}, *CUTS.get(name, []))]


def textbook(name: str, params: Any, rows: Rows) -> tuple[float, float, float]:
    """Value and t interval of one estimator, row by row in plain Python."""
    terms = []
    for i in range(N):
        c = int(_present(rows.row)[i])
        lists = (table[c].tolist() for table in (rows.behavior, rows.target, _present(rows.predicted)))
        terms.append(TEXTBOOK[name](params, Row(float(rows.reward[i]), int(rows.slot[i]), *lists)))
    part = sum(term.part for term in terms) / N
    weighted = sum(term.weight * term.error for term in terms)
    if name not in RATIOS:
        value = part + weighted / N
        scores = [term.part + term.weight * term.error for term in terms]
    else:
        total = sum(term.weight for term in terms)
        value = part + weighted / total
        scores = [term.part + (term.error - weighted / total) * term.weight * N / total for term in terms]
    lo, hi = stats.t.interval(0.95, N - 1, loc=value, scale=stats.sem(scores))
    return value, float(lo), float(hi)


@every_log
@pytest.mark.parametrize(("name", "change"), VARIANTS, ids=str)
def test_value_and_t_interval_agree_with_a_textbook_loop(name: str, change: dict[str, Any], log: str) -> None:
    if not reads(name, log):
        return
    params = read_by(name, t.Params(), change)
    found = estimate(params, tables(log))
    np.testing.assert_allclose((found.value, found.lo, found.hi), textbook(name, params, tables(log)), rtol=1e-9)
