"""Which cell lies under the pointer, and all that is known of it. No window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spatial_til.io.cells import EXCLUDED_NAME
from spatial_til.model import COMPARTMENTS, EXCLUDED
from spatial_til.plugin.desk import Found
from spatial_til.plugin.words import cell_words
from spatial_til.review.session import nearest_cell

#: A click counts for the cell whose centre is this near: about a large nucleus.
REACH_UM = 8.0


@dataclass(frozen=True, slots=True)
class Picked:
    """One cell: where it is, what it was called, and its description, a line each."""

    index: int
    x_um: float
    y_um: float
    calls: Mapping[str, bool]
    lines: tuple[str, ...]


def pick_cell(found: Found, x_um: float, y_um: float) -> Picked | None:
    """Return the cell at a place; None where none is near."""
    scene = found.numbers.scene
    cells = scene.measured.cells
    index = nearest_cell(cells, x_um, y_um, within_um=REACH_UM)
    if index is None:
        return None
    code = int(scene.placement.compartment[index])
    place = EXCLUDED_NAME if code == EXCLUDED else COMPARTMENTS[code]
    calls = {name: bool(called[index]) for name, called in scene.calls.positive.items()}
    values = {
        "nucleus area (µm²)": float(cells.nucleus_area_um2[index]),
        "cell area (µm²)": float(cells.cell_area_um2[index]),
        **{name: float(column[index]) for name, column in cells.measurements.items() if name.endswith("_mean")},
    }
    lines = cell_words(values, calls, place, float(scene.placement.border_distance_um[index]))
    return Picked(index, float(cells.x_um[index]), float(cells.y_um[index]), calls, tuple(lines))
