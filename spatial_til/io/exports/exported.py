"""What exports write of one slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.io.cells import StoredCells
from spatial_til.model import SlideMeta
from spatial_til.units import PixelSize


@dataclass(frozen=True, slots=True)
class ExportSlide:
    """One scored slide: its cells, its regions in µm, and where its pictures are.

    `compartment_of` maps each marker to the part of the cell that it is read in; `extent_um` is the width and
    height of the image; what is not known is None.
    """

    meta: SlideMeta
    cells: StoredCells
    scores: Mapping[str, Any]  # its row of slide_scores.csv
    compartment_of: Mapping[str, str]
    pixel_size: PixelSize | None = None
    extent_um: tuple[float, float] | None = None
    regions: Path | None = None
    image: Path | None = None
    channels: tuple[str, ...] = ()  # of the panel, by their names in the image; empty for RGB

    @property
    def slide_id(self) -> str:
        """The slide's name."""
        return self.meta.slide_id


def phenotypes(cells: StoredCells) -> NDArray[np.object_]:
    """Return each cell's positive markers as text: ``CD8+``, ``CD8+PD-L1+``, ``negative``.

    Examples
    --------
    >>> from spatial_til.model import Cells, Placement
    >>> n = np.zeros(3)
    >>> cells = StoredCells(Cells(n, n, n, n), Placement(np.zeros(3, np.int8), n), positive={
    ...     "CD8": np.array([True, True, False]), "PD-L1": np.array([False, True, False])})
    >>> list(phenotypes(cells))
    ['CD8+', 'CD8+PD-L1+', 'negative']
    """
    text = np.full(len(cells.cells), "", dtype=object)
    for marker, positive in cells.positive.items():
        text[positive] += f"{marker}+"
    text[text == ""] = "negative"
    return text
