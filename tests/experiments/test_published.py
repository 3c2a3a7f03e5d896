"""The table of published v simulated numbers, and the copy of it in the docs."""

from pathlib import Path

from envs.calibration import Compared
from envs.published import Published
from experiments.published import HEADS, cells, published_lines
from experiments.world_validation import simulated_worlds

DOCS = Path(__file__).resolve().parents[2] / "docs" / "published.md"


def test_the_page_in_the_docs_is_what_the_command_writes():
    assert DOCS.read_text(encoding="utf-8") == "\n".join(published_lines(simulated_worlds())) + "\n"


def test_a_row_says_where_what_and_how_far_off():
    one = Compared(Published("quality", 0.6, "a table", task="exam", temperature="0.5", top_p="0.9", stderr=0.05), 0.65)
    row = dict(zip(HEADS, cells(one), strict=True))
    assert row["at"] == "T 0.5, top_p 0.9"
    assert (row["published"], row["simulated"], row["allowed"], row["off by"]) == (
        "0.600",
        "0.650",
        "+-0.100 (2 SE)",
        "+0.50",
    )


def test_a_row_that_is_off_says_so():
    row = cells(Compared(Published("first_token_quantile", 100.0, "a table", at=0.95, tolerance=10.0), 120.0))
    assert (row[2], row[6]) == ("share 0.95", "+2.00 FAILS")
