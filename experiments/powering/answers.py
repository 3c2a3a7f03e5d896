"""What `experiment=power` says: the answer in a sentence, what it costs, and whether prediction and gate agree."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from evaluators.shares import Bounds, clopper_pearson
from experiments.measurement import Measurement
from experiments.powering.contests import Loss
from experiments.results import Claim

__all__ = [
    "TOLERANCE",
    "Answer",
    "Checked",
    "Wish",
    "agreement",
    "false_approvals",
    "measurements",
    "recommended",
    "sentence",
    "sentences",
]

TOLERANCE = 0.05  # of a power, beside two standard errors; named before anything was measured
ENOUGH = 100  # logs below which a share is reported, not judged


class Wish(NamedTuple):
    """What is to be detected, and where."""

    world: str
    difference: float  # reward units
    power: float
    alpha: float
    most: int  # largest log size thought of
    is_pilot: bool = False


class Checked(NamedTuple):
    """How many of the gate's answers on simulated logs were approvals."""

    n: int
    hits: int
    total: int

    @property
    def share(self) -> float:
        """Approved."""
        return self.hits / self.total

    @property
    def stderr(self) -> float:
        """Monte Carlo standard error of the share."""
        return float(np.sqrt(max(self.share * (1 - self.share), 1 / self.total) / self.total))

    @property
    def bounds(self) -> Bounds:
        """Exact 95 % interval of the share."""
        return clopper_pearson(self.hits, self.total)

    def words(self) -> str:
        """Interval and number of logs."""
        return f"[{self.bounds.lo:.3f}, {self.bounds.hi:.3f}], {self.total:,} logs"


class Answer(NamedTuple):
    """One floor of exploration: its power by log size and the smallest log that suffices."""

    floor: float
    loss: Loss  # of a decision
    curve: Mapping[int, float]  # predicted power by log size
    sizes: tuple[int, ...]  # of them, those asked for
    n: int | None = None  # smallest size with the wanted power; None: none up to the largest
    predicted: float = 0.0  # power there
    checked: Checked | None = None

    @property
    def cost(self) -> float:
        """What the whole log costs, reward units; infinite where no log suffices."""
        return float("inf") if self.n is None else self.loss.value * self.n

    @property
    def feared(self) -> float:
        """What it may cost, two standard errors of the loss further; never less than nothing."""
        return float("inf") if self.n is None else max(self.loss.value + 2 * self.loss.stderr, 0.0) * self.n


def recommended(answers: Sequence[Answer]) -> Answer | None:
    """The floor whose whole log may cost least, the shorter log where none costs anything; None if no log suffices."""
    found = [one for one in answers if one.n is not None]
    return min(found, key=lambda one: (one.feared, one.n)) if found else None


def sentences(wish: Wish, answers: Sequence[Answer]) -> list[Claim]:
    """The answer, then every floor's power and cost; nothing is required of them."""
    best = recommended(answers)
    if best is None:
        top = max(answers, key=lambda one: max(one.curve.values()))
        measured = f"at most {max(top.curve.values()):.2f}, with floor {top.floor:g}"
        return [Claim(sentence(wish, answers), measured, "reported", "predicted", None), *map(_floor_claim, answers)]
    measured = f"predicted {best.predicted:.3f}"
    interval = "not simulated"
    if best.checked is not None:
        measured += f", measured {best.checked.share:.3f}"
        interval = best.checked.words()
    return [Claim(sentence(wish, answers), measured, "reported", interval, None), *map(_floor_claim, answers)]


def sentence(wish: Wish, answers: Sequence[Answer]) -> str:
    """The answer as one line."""
    best = recommended(answers)
    if best is None:
        return f"No log up to {wish.most:,} decisions detects {wish.difference:+.4g} with power {wish.power:g}"
    return f"{best.n:,} decisions with floor {best.floor:g} detect {wish.difference:+.4g} with power {wish.power:g}"


def _floor_claim(one: Answer) -> Claim:
    sizes = " / ".join(f"{n:,}" for n in one.sizes)
    powers = " / ".join(f"{100 * one.curve[n]:.0f}" for n in one.sizes)
    loss = f"loses {one.loss.value:.4f}{f' +- {one.loss.stderr:.4f}' if one.loss.stderr else ''} a decision"
    cost = f"none suffices; {loss}" if one.n is None else f"{one.n:,} needed; {loss}, {one.cost:.3g} in all"
    return Claim(f"Floor {one.floor:g}: power at {sizes}", f"{powers} %", "reported", cost, None)


def agreement(wish: Wish, one: Answer) -> Claim:
    """The gate's measured power beside the predicted one."""
    assert one.checked is not None
    if_true = " (if the pilot's model is true)" if wish.is_pilot else ""
    gap = abs(one.checked.share - one.predicted)
    limit = TOLERANCE + 2 * one.checked.stderr
    is_judged = one.checked.total >= ENOUGH
    return Claim(
        f"Predicted power is what the gate shows{if_true}, floor {one.floor:g}, n = {one.checked.n:,}",
        f"{one.checked.share:.3f} (predicted {one.predicted:.3f})",
        f"within {TOLERANCE:g} + 2 standard errors = {limit:.3f}" if is_judged else "reported",
        one.checked.words(),
        gap <= limit if is_judged else None,
    )


def false_approvals(wish: Wish, floor: float, checked: Checked) -> Claim:
    """At a true difference of 0 the gate approves no more often than it may."""
    limit = wish.alpha + 2 * float(np.sqrt(wish.alpha * (1 - wish.alpha) / checked.total))
    is_judged = checked.total >= ENOUGH
    return Claim(
        f"A candidate that is no better is approved, floor {floor:g}, n = {checked.n:,}",
        f"{checked.share:.3f}",
        f"<= {wish.alpha:g} + 2 standard errors = {limit:.3f}" if is_judged else "reported",
        checked.words(),
        checked.share <= limit if is_judged else None,
    )


def measurements(wish: Wish, answers: Sequence[Answer], null: tuple[float, Checked] | None) -> Iterator[Measurement]:
    """Every number as a tidy measurement; the floor stands in `rule`, the difference in `task`.

    Args:
        wish: what was asked.
        answers: per floor.
        null: floor and answers at a true difference of 0.
    """
    row = partial(Measurement, section="gate", world=wish.world, policy="candidate", task=f"{wish.difference:+.4g}")
    for one in answers:
        here = partial(row, rule=f"floor_{one.floor:g}")
        for n, value in one.curve.items():
            yield here(measure="predicted_power", n=n, value=value)
        yield here(measure="loss", value=one.loss.value, stderr=one.loss.stderr)
        if one.n is not None:
            yield here(measure="needed", value=one.n)
            yield here(measure="cost", value=one.cost)
        if one.checked is not None:
            yield _share(partial(here, measure="measured_power"), one.checked)
    if null is not None:
        floor, checked = null
        yield _share(partial(row, measure="false_approvals", rule=f"floor_{floor:g}", task="+0"), checked)


def _share(row: "partial[Measurement]", checked: Checked) -> Measurement:
    lo, hi = checked.bounds
    return row(n=checked.n, value=checked.share, stderr=checked.stderr, lo=lo, hi=hi)
