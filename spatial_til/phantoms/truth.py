"""Truth in pixels: which nucleus, and which cell, each pixel belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spatial_til.phantoms.blocks import blocks, image_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_til.phantoms.layout import Scene


def label_images(scene: Scene, pixel_size_um: float = 0.5) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return label images (rows, cols) of nuclei and of whole cells; label k is cell k - 1 of the scene.

    Where nuclei overlap, a pixel belongs to the one it lies deeper in.
    """
    shape = image_shape(scene, pixel_size_um)
    nuclei, cells = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for block in blocks(scene, pixel_size_um):
        distance, _, owner, _ = block.claim()
        label = np.where(owner >= 0, block.index.astype(np.int32)[owner] + 1, 0)[block.inner]
        cells[block.place] = label
        nuclei[block.place] = np.where(distance[block.inner] < 0, label, 0)
    return nuclei, cells
