"""Counts, areas and points to numbers and calls. Opens no file."""
