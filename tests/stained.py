"""Stored stains for the slides of `scored_folder`: nuclei large and dense in the tumour, small and sparse around it."""

import cv2
import numpy as np

from spatial_til.io.folder import ScoredFolder
from spatial_til.io.stain_planes import write_stain_planes
from spatial_til.segmentation.examples.planes import TILE_PX
from spatial_til.units import PixelSize
from tests.scored_folder import SIZE_UM, TISSUE, TUMOR

PX = PixelSize(2.0, 2.0)
CHANNELS = ("nuclei", "CD8", "PD-L1", "tumor")


def write_stains(root, slide_id, seed=0):
    """Write what `score` keeps of a slide's stains, and return where."""
    cols, rows = (round(side / PX.x_um) for side in SIZE_UM)
    random = np.random.default_rng(seed)
    image = np.zeros((rows, cols, len(CHANNELS)), np.float32)
    for box, sigma, level in ((TISSUE, 1.0, 60.0), (TUMOR, 3.0, 160.0)):
        c0, r0, c1, r1 = (round(v / PX.x_um) for v in box.bounds)
        speckle = cv2.GaussianBlur(random.normal(size=(r1 - r0, c1 - c0)).astype(np.float32), (0, 0), sigma)
        image[r0:r1, c0:c1, 0] = level * (1 + speckle / speckle.std() / 2)
    image = np.maximum(image, 0).astype(np.float16)
    padded = np.pad(image, ((0, -rows % TILE_PX), (0, -cols % TILE_PX), (0, 0)))
    tiles = (padded[r : r + TILE_PX, c : c + TILE_PX] for r in range(0, rows, TILE_PX) for c in range(0, cols, TILE_PX))
    path = ScoredFolder(root).stains(slide_id)
    write_stain_planes(path, tiles, shape=(rows, cols), channels=CHANNELS, modality="fluorescence", pixel_size=PX)
    return path
