"""Surfaces: one file per way in which parameters and context make an outcome."""
