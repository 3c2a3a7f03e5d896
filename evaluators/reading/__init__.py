"""Logs that others wrote, read in batches: one file per format, and what is refused on the way."""
