"""Which columns of a vendor's table mean what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of one kind of table.

    `x` and `y` name one column, or two whose mean is meant. `unit` is ``um`` where the table says so,
    ``px`` where it is known to count pixels, else "". `areas` is the unit of both areas: ``um2`` or ``px2``.
    """

    name: str
    x: tuple[str, ...]
    y: tuple[str, ...]
    unit: str = ""
    pixel_centres: bool = False  # whole numbers are centres of pixels, not corners
    nucleus_area: str = ""
    cell_area: str = ""
    areas: str = "px2"
    category: str = ""
    image: str = ""  # names the image of each row, of which there must be one
    object_type: str = ""  # rows that are not cells or detections are left out
    labels: tuple[str, ...] = ()  # phenotypes or classes that name markers
    own_labels: Mapping[str, str] = field(default_factory=dict)  # marker -> phenotype column of its own
    positive: Mapping[str, str] = field(default_factory=dict)  # marker -> column of 0 and 1
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # marker -> column and its positive value
    measurements: Mapping[str, str] = field(default_factory=dict)  # CD8_membrane_mean -> column

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns of words."""
        named = (self.category, self.image, self.object_type, *self.labels, *self.own_labels.values())
        named += tuple(column for column, _ in self.values.values())
        return tuple(name for name in named if name)

    @property
    def number_columns(self) -> tuple[str, ...]:
        """Columns of numbers, and calls, which may be words as well."""
        named = (*self.x, *self.y, self.nucleus_area, self.cell_area)
        named += (*self.measurements.values(), *self.positive.values())
        return tuple(name for name in named if name)
