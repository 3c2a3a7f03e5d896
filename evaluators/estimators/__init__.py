"""Estimators: one file per way to value a policy from another's log."""
