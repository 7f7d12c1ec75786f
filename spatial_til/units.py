"""The one place where pixels become micrometres and (row, col) becomes (x, y).

Outside the pixel kernels every length is in µm, with x to the right, y down and the origin at the
top-left *corner* of the full-resolution image. The centre of pixel (row, col) is therefore at
((col + 0.5) * px, (row + 0.5) * px).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

UM2_PER_MM2 = 1e6


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Width and height of one pixel, in µm."""

    x_um: float
    y_um: float

    @property
    def area_um2(self) -> float:
        """Area of one pixel in µm²."""
        return self.x_um * self.y_um

    @property
    def mean_um(self) -> float:
        """Side of the square pixel with the same area, in µm."""
        return float(np.sqrt(self.area_um2))

    def scaled(self, factor_x: float, factor_y: float) -> PixelSize:
        """Return the size of a pixel that is `factor_x` by `factor_y` of these."""
        return PixelSize(self.x_um * factor_x, self.y_um * factor_y)


def centres_to_um(rows: ArrayLike, cols: ArrayLike, px: PixelSize) -> NDArray[np.float64]:
    """Return the (n, 2) x, y positions in µm of pixel centres given as (row, col) indices.

    Fractional indices are centroids over pixel indices, as `regionprops` gives them.
    """
    rows = np.asarray(rows, dtype=np.float64)
    cols = np.asarray(cols, dtype=np.float64)
    return np.column_stack(((cols + 0.5) * px.x_um, (rows + 0.5) * px.y_um))


def corners_to_um(xy_px: ArrayLike, px: PixelSize) -> NDArray[np.float64]:
    """Return x, y in µm of points given as (x, y) in pixel corners, as annotations are drawn."""
    return np.asarray(xy_px, dtype=np.float64) * (px.x_um, px.y_um)


def um_to_corners(xy_um: ArrayLike, px: PixelSize) -> NDArray[np.float64]:
    """Return (x, y) in pixel corners of points in µm: the inverse of `corners_to_um`."""
    return np.asarray(xy_um, dtype=np.float64) / (px.x_um, px.y_um)


def mm2(area_um2: float) -> float:
    """Return an area in mm² from µm²."""
    return area_um2 / UM2_PER_MM2
