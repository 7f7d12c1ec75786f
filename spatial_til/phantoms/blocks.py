"""A scene cut into blocks of pixels, each with the cells and fields that reach it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spatial_til.phantoms import fields, paint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_til.phantoms.fields import Plane
    from spatial_til.phantoms.layout import Scene

PAD_UM = 24.0  # farther than any cell reaches and any blur spreads
_COARSE_UM = 8.0


@dataclass(frozen=True, slots=True)
class Block:
    """One block: rows and columns with their padding, and the cells in reach of it, in pixels."""

    row0: int
    row1: int
    col0: int
    col1: int
    pad: int
    um: float
    index: NDArray[np.intp]  # cells of the scene
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radii: NDArray[np.float32]
    growth: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns with padding."""
        return self.row1 - self.row0 + 2 * self.pad, self.col1 - self.col0 + 2 * self.pad

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the padded block's first pixel."""
        return self.row0 - self.pad, self.col0 - self.pad

    @property
    def inner(self) -> tuple[slice, slice]:
        """The block without its padding."""
        return slice(self.pad, self.shape[0] - self.pad), slice(self.pad, self.shape[1] - self.pad)

    @property
    def place(self) -> tuple[slice, slice]:
        """Where the block belongs in the image."""
        return slice(self.row0, self.row1), slice(self.col0, self.col1)

    def claim(self) -> tuple[Plane, Plane, NDArray[np.int32], NDArray[np.int32]]:
        """Return distances and indices of the two nearest nuclei, see `paint.claim`."""
        texture = fields.noise_texture(5, 5.0, 16.0)
        offset = (self.index[:, None] * (37.7, 91.3)) % fields.TEXTURE_SIDE
        cells = (self.x, self.y, self.radii, self.growth, offset, texture, self.um)
        return paint.claim(*cells, *self.shape)


def image_shape(scene: Scene, um: float) -> tuple[int, int]:
    """Return rows and columns of a scene at a pixel size."""
    return round(scene.height_um / um), round(scene.width_um / um)


def blocks(scene: Scene, um: float, side: int = 1024) -> Iterator[Block]:
    """Yield the blocks of a scene from top to bottom, left to right."""
    rows, cols = image_shape(scene, um)
    pad = int(np.ceil(PAD_UM / um))
    cells = scene.cells
    reach = (cells.radii_um.max(axis=1, initial=0) + cells.expansion_um) + 4.0
    for row0 in range(0, rows, side):
        for col0 in range(0, cols, side):
            row1, col1 = min(rows, row0 + side), min(cols, col0 + side)
            near = (
                (cells.x_um + reach > (col0 - pad) * um)
                & (cells.x_um - reach < (col1 + pad) * um)
                & (cells.y_um + reach > (row0 - pad) * um)
                & (cells.y_um - reach < (row1 + pad) * um)
            )
            index = np.flatnonzero(near)
            yield Block(
                *(row0, row1, col0, col1, pad, um, index),
                x=cells.x_um[index] / um - (col0 - pad),
                y=cells.y_um[index] / um - (row0 - pad),
                radii=cells.radii_um[index] / np.float32(um),
                growth=cells.expansion_um[index] / np.float32(um),
            )


@dataclass(frozen=True, slots=True)
class DepthMaps:
    """Signed distances in µm to the tumour and to the end of tissue, on a coarse grid over the slide."""

    tumor: Plane
    tissue: Plane

    def at(self, block: Block) -> tuple[Plane, Plane]:
        """Return both at the pixels of a padded block."""
        return _upsample(self.tumor, block), _upsample(self.tissue, block)


def depth_maps(scene: Scene) -> DepthMaps:
    """Return the distance maps of a scene."""
    margin = 2 * PAD_UM
    x = np.arange(-margin, scene.width_um + margin, _COARSE_UM)
    y = np.arange(-margin, scene.height_um + margin, _COARSE_UM)
    xy = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    both = (fields.signed_distance(xy, region) for region in (scene.tumor, scene.tissue))
    maps = (np.clip(d, -1e4, 1e4).astype(np.float32).reshape(len(y), len(x)) for d in both)
    return DepthMaps(*maps)


def _upsample(coarse: Plane, block: Block) -> Plane:
    import cv2

    rows, cols = block.shape
    row0, col0 = block.origin
    scale = block.um / _COARSE_UM
    shift = 2 * PAD_UM / _COARSE_UM
    matrix = np.array([[scale, 0, (col0 + 0.5) * scale + shift], [0, scale, (row0 + 0.5) * scale + shift]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(coarse, matrix, (cols, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(fine, np.float32)
