"""Pixels to cells: stains, nuclei, cells, measurements and thresholds. Opens no file."""
