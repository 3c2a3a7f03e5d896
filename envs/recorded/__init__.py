"""Recorded outcomes: from a table of answers to a world of them, for `surfaces/replay.py`."""
