"""An image in memory, read as a slide is."""

from dataclasses import dataclass

import numpy as np

from spatial_til.units import PixelSize

RGB = ("red", "green", "blue")
HALF_UM = PixelSize(0.5, 0.5)


@dataclass(frozen=True)
class ArraySource:
    """A `model.PixelSource`; a box outside it, which NumPy would cut in silence, is a fault of who asks."""

    image: np.ndarray
    pixel_size: PixelSize = HALF_UM
    channels: tuple[str, ...] = RGB

    @property
    def shape(self):
        return self.image.shape[:2]

    def read(self, row0, row1, col0, col1):
        assert 0 <= row0 < row1 <= self.shape[0]
        assert 0 <= col0 < col1 <= self.shape[1]
        return self.image[row0:row1, col0:col1]
