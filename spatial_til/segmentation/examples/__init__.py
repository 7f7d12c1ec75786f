"""Tissue by example: what some painted strokes look like, found again all over a slide and on other slides."""
