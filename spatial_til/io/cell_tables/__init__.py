"""Cell tables of other programs."""

from spatial_til.io.cell_tables.reading import read_cell_table

__all__ = ["read_cell_table"]
