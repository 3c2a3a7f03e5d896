"""Certification of estimates and intervals against known truth: the pool, and one module per part."""
