"""The scale of densities in drawings: 0, ten and thousands can all be read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from spatial_til.report.figure_style import DENSITY_TICKS

WIDTH = 560  # of a drawing; its unit is about a pixel
_LINEAR_TO, _LEAST, _ROOM = 10.0, 300.0, 1.3


@dataclass(frozen=True, slots=True)
class DensityScale:
    """Densities from 0 to a little above the highest, between the bottom and the top of a drawing (y points down)."""

    highest: float
    top: float
    bottom: float

    def y(self, density: float) -> float:
        """Return where a density stands."""
        return round(self.bottom - _height(density) / _height(self._end) * (self.bottom - self.top), 1)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Return y and text of each tick."""
        return tuple((self.y(tick), f"{tick:,}") for tick in DENSITY_TICKS if tick <= self._end)

    @property
    def _end(self) -> float:
        return max(self.highest, _LEAST) * _ROOM


def _height(density: float) -> float:
    """Return how high a density stands: linear up to ten, a decade a unit from there."""
    if density <= _LINEAR_TO:
        return 0.5 * density / _LINEAR_TO
    return 0.5 + math.log10(density / _LINEAR_TO)
