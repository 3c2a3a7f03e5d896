"""The Open Bandit format: one row per item shown at a position, with click and propensity score.

Actions are the items; the logger's probability is that of the item at its position, so positions are judged
together and apart. The logger's whole distribution is not in the file: the log is partial.
Source: Saito, Aihara, Matsutani & Narita (2021), table 1.
"""

from collections.abc import Sequence
from pathlib import Path

from evaluators.reading.mapped import Columns, Mapped
from evaluators.reading.tables import names_of

__all__ = ["NEEDED", "columns_of", "is_open_bandit", "open_bandit"]

NEEDED = ("item_id", "position", "click", "propensity_score")


def is_open_bandit(names: Sequence[str]) -> bool:
    """Whether a header is one of this format."""
    return set(NEEDED) <= set(names)


def columns_of(names: Sequence[str]) -> Columns:
    """What the columns mean; user features and the position are what a reward model may look at.

    The affinities of all items stand in every row (80 columns of the published data); they are not read.

    >>> columns_of(["item_id", "position", "click", "propensity_score", "user_feature_0"]).categories
    ('user_feature_0', 'position')
    """
    users = tuple(sorted(name for name in names if name.startswith("user_feature_")))
    return Columns(
        reward="click",
        propensity="propensity_score",
        action="item_id",
        group="position",
        categories=(*users, "position"),
    )


def open_bandit(file: Path, *, target: str = "") -> Mapped:
    """A reader of this format; `target` as in `Mapped`.

    Raises:
        FileNotFoundError: no file there.
        ValueError: a column is missing.
    """
    return Mapped(file, columns_of(names_of(file)), target=target)
