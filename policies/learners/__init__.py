"""Learners: one file per way to turn what is known into a probability vector."""
