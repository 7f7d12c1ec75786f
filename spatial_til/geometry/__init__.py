"""Polygons and points to tissue, tumour, border, compartments and distance. Opens no file."""
