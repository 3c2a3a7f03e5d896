"""The Open Bandit format: items, positions and clicks are found by their names."""

from pathlib import Path

import numpy as np

from evaluators.reading.open_bandit import columns_of, is_open_bandit, open_bandit
from tests.other_logs import draw, open_bandit_columns, write_table

DRAWN = draw(120)


def test_a_header_is_known_by_its_names() -> None:
    assert is_open_bandit(list(open_bandit_columns(DRAWN)))
    assert not is_open_bandit(["item_id", "position", "click"])
    assert columns_of(list(open_bandit_columns(DRAWN))).categories == ("user_feature_0", "position")


def test_clicks_are_rewards_items_are_actions_and_positions_are_groups(tmp_path: Path) -> None:
    reader = open_bandit(write_table(tmp_path / "a.csv", open_bandit_columns(DRAWN)))
    list(reader.batches())
    facts = reader.facts()
    (batch,) = reader.batches(facts)
    assert facts.labels == ("0", "1", "2", "3")
    assert facts.groups == ("1", "2", "3")
    assert np.array_equal(batch.reward, DRAWN.reward)
    assert np.array_equal(batch.slot, DRAWN.slot)
    assert batch.behavior is None
