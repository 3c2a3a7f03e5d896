"""Intervals: one file per way from sums of scores to two ends."""
