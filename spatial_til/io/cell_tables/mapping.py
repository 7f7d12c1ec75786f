"""Columns that the protocol names, where a table cannot be recognised or says it otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spatial_til.errors import CellTableError
from spatial_til.io.cell_tables.layout import Layout


def mapped_layout(mapping: Mapping[str, Any]) -> Layout | None:
    """Return the layout that the protocol's `[cells]` gives; None where it names no positions."""
    if not (mapping.get("x") and mapping.get("y")):
        return None
    return Layout(
        name="mapped",
        x=(mapping["x"],),
        y=(mapping["y"],),
        nucleus_area=mapping.get("nucleus_area_um2", ""),
        cell_area=mapping.get("cell_area_um2", ""),
        areas="um2",
    )


def with_mapping(layout: Layout, mapping: Mapping[str, Any], columns: Sequence[str], path: Path) -> Layout:
    """Return a layout with the protocol's category and calls in place of recognised ones.

    `positive` maps a marker to a column of calls, or to ``column=value``: ``Phenotype=CK+``.

    Raises
    ------
    CellTableError
        A column that the layout or the protocol names is not in the table.
    """
    named: Mapping[str, str] = mapping.get("positive") or {}
    split = {
        m: tuple(part.strip() for part in c.split("=", 1)) for m, c in named.items() if c not in columns and "=" in c
    }
    layout = replace(
        layout,
        category=mapping.get("category") or layout.category,
        positive={**layout.positive, **{m: c for m, c in named.items() if m not in split}},
        values={marker: (parts[0], parts[1]) for marker, parts in split.items()},
    )
    missing = sorted({*layout.text_columns, *layout.number_columns} - set(columns))
    if missing:
        shown = ", ".join(columns[:20]) + (" …" if len(columns) > 20 else "")
        msg = f"{path}: column {', '.join(missing)} is not in the cell table. Present: {shown}. Correct [cells]."
        raise CellTableError(msg)
    return layout
