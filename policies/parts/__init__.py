"""What the decomposed learner is composed of: quality, length, the bill, and what watches them for change."""
