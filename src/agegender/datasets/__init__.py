"""One reader per data set: its files -> one row per face, and what was left out."""

Dropped = dict[str, list[str]]
"""Reason -> names of the files that were left out for it, at least one."""
