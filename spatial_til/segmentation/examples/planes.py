"""Stains or channels of a whole slide at about 2 µm per pixel: all that tissue by example looks at.

They are stored with the measured slide, so that tissue can be found, and found anew by another model,
without the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.model import PixelSource
from spatial_til.segmentation.calibration import Calibration
from spatial_til.segmentation.examples.responses import TOP_LEVEL
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.stains import OD_STEP, apply_table
from spatial_til.segmentation.tissue import tissue_boxes
from spatial_til.units import PixelSize

#: Pixel size of the planes; slides between half and twice of it at full resolution come within a third of it.
PLANE_UM = 2.0
#: Tissue is stored with this much around it.
RIM_UM = 128.0
#: Side of the tiles that are stored.
TILE_PX = 512
#: Level of the reference intensity of a fluorescence channel.
_REFERENCE_LEVEL = 128
_MAX_INTENSITY = 65504.0  # of float16
#: A slide's brightness is evened out up to this factor; project default.
_MAX_STRETCH = 2.0


@dataclass(frozen=True, slots=True)
class StainPlanes:
    """Stains of one slide, 0 far from tissue.

    Attributes
    ----------
    planes
        (channels, rows, cols): uint8 in steps of 0.01 OD (brightfield), or float16 intensity above background.
    channels
        What each shows: its marker, or its own name where it has none.
    modality
        ``brightfield`` or ``fluorescence``.
    pixel_size
        Of the planes.
    brightness
        The usual high intensity of each fluorescence channel on this slide; none where slides are taken as they are.
    """

    planes: NDArray[Any]
    channels: tuple[str, ...]
    modality: str
    pixel_size: PixelSize
    brightness: tuple[float, ...] = ()

    def select(self, channels: tuple[str, ...], box: tuple[slice, slice]) -> NDArray[Any]:
        """Return a box of some of the planes, in the order asked for.

        Raises
        ------
        KeyError
            With those that are missing.
        """
        missing = [name for name in channels if name not in self.channels]
        if missing:
            raise KeyError(*missing)
        index = [self.channels.index(name) for name in channels]
        cut = self.planes[:, *box]
        return cut if index == list(range(len(self.channels))) else cut[index]

    def references(self, channels: tuple[str, ...], common: tuple[float, ...]) -> tuple[float, ...]:
        """Return the intensity of level 128 of some channels on this slide.

        Parameters
        ----------
        common
            Those of the slides learned from. A slide stained or exposed otherwise is brought to them by its own
            brightness, at most by a factor of two: what is dimmer than that may have nothing stained on it.
        """
        if not self.brightness or not common:
            return common
        shares = [min(max(s, 1 / _MAX_STRETCH), _MAX_STRETCH) for s in self.shares(channels, common)]
        return tuple(s * c for s, c in zip(shares, common, strict=True))

    def shares(self, channels: tuple[str, ...], common: tuple[float, ...]) -> tuple[float, ...]:
        """Return how many times as bright as on the slides learned from some channels are on this one."""
        own = [self.brightness[self.channels.index(name)] for name in channels] if self.brightness else common
        return tuple(o / c for o, c in zip(own, common, strict=True))

    def too_unlike(self, channels: tuple[str, ...], common: tuple[float, ...]) -> tuple[str, ...]:
        """Return the channels that are so much dimmer or brighter that the difference is not evened out."""
        shares = zip(channels, self.shares(channels, common), strict=False)  # brightfield has no references
        return tuple(name for name, share in shares if not 1 / _MAX_STRETCH <= share <= _MAX_STRETCH)


def plane_names(constants: Calibration) -> tuple[str, ...]:
    """Return what each plane of a slide shows: its marker, or the panel's key where it has none."""
    settings = constants.settings
    rows = settings.stains if constants.table is not None else settings.channels
    return tuple(row.name if row.marker == "none" else row.marker for row in rows)


def tiles_of_planes(source: PixelSource, constants: Calibration) -> Iterator[NDArray[Any]]:
    """Yield the planes of a slide tile by tile, (512, 512, channels), row by row; tiles far from tissue are 0.

    Parameters
    ----------
    source
        The slide at about 2 µm per pixel.
    constants
        Calibration of the slide.
    """
    rows, cols = source.shape
    corners = [(r, c) for r in range(0, rows, TILE_PX) for c in range(0, cols, TILE_PX)]
    px, side = source.pixel_size, np.array([-RIM_UM, -RIM_UM, RIM_UM, RIM_UM])
    boxes = np.array([(c * px.x_um, r * px.y_um, (c + TILE_PX) * px.x_um, (r + TILE_PX) * px.y_um) for r, c in corners])
    near, _ = tissue_boxes(constants.tissue, boxes + side)
    n = len(plane_names(constants))
    amounts = _Amounts(constants)
    for (row, col), read in zip(corners, near, strict=True):
        tile = np.zeros((TILE_PX, TILE_PX, n), dtype=amounts.dtype)
        if read:
            pixels = source.read(row, min(row + TILE_PX, rows), col, min(col + TILE_PX, cols))
            tile[: pixels.shape[0], : pixels.shape[1]] = amounts(pixels)
        yield tile


class _Amounts:
    """Pixels of a slide to amounts of stain (rows, cols, channels)."""

    def __init__(self, constants: Calibration) -> None:
        self.constants, self.scratch, self.table = constants, Scratch(), constants.amounts
        self.dtype = np.float16 if self.table is None else np.uint8

    def __call__(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if self.table is None:
            return np.clip(self.constants.channel_values(pixels), 0, _MAX_INTENSITY).astype(np.float16)
        import cv2

        planes = apply_table(pixels, self.table, self.scratch)[: self.table.n_planes - 1]
        return np.asarray(cv2.merge(list(planes))).reshape(*pixels.shape[:2], -1)  # a fifth of what NumPy takes


def levels_of(planes: NDArray[Any], references: tuple[float, ...], scratch: Scratch | None = None) -> NDArray[Any]:
    """Return planes as levels from 0 to 511: optical density in steps of 0.01, intensity by its square root.

    Parameters
    ----------
    planes
        (channels, rows, cols) of a slide.
    references
        The intensity of level 128 of each channel; none for brightfield.
    scratch
        Holds the levels until the next call with it; none to keep them.

    Notes
    -----
    Intensities are averaged over 3 x 3 pixels first (weights 1, 2, 1 along each axis), in one order, so that a pixel
    has the same level in every tile. The square root evens out the noise of counted light, so that dim and bright
    tissue weigh alike; the root of noise is less than that of its mean, hence the average.
    """
    if planes.dtype == np.uint8:
        return planes
    scratch = Scratch() if scratch is None else scratch
    levels = scratch.array("levels", planes.shape, np.int16)
    for plane, reference, out in zip(planes, references, levels, strict=True):
        _level(np.ascontiguousarray(plane).view(np.uint16), np.float32(reference), out)
    return levels


@njit(cache=True, nogil=True, error_model="numpy")
def _level(light: Any, reference: Any, out: Any) -> None:
    """Write the levels of intensities, given as the bits of float16; beyond the edges the last pixel is repeated."""
    rows, cols = out.shape
    bits = np.empty((3, cols + 2), dtype=np.int32)
    ring, down = bits.view(np.float32), np.empty(cols + 2, dtype=np.float32)
    two, share = np.float32(2), np.float32(1 / 16)
    middle, top = np.float32(_REFERENCE_LEVEL), np.float32(TOP_LEVEL)
    _intensities(light[0], bits[2], ring[2])
    _intensities(light[0], bits[0], ring[0])
    for i in range(rows):
        _intensities(light[min(i + 1, rows - 1)], bits[(i + 1) % 3], ring[(i + 1) % 3])
        above, here, below, line = ring[(i + 2) % 3], ring[i % 3], ring[(i + 1) % 3], out[i]
        for j in range(cols + 2):
            down[j] = above[j] + two * here[j] + below[j]
        for j in range(cols):
            mean = share * (down[j] + two * down[j + 1] + down[j + 2])
            line[j] = np.int16(np.int32(min(np.rint(middle * np.sqrt(mean / reference)), top)))


@njit(cache=True, nogil=True)
def _intensities(light: Any, bits: Any, out: Any) -> None:
    """Write numbers of at least 0, given as the bits of float16, with one more at each end.

    `bits` is the memory of `out`: a float32 keeps the same bits 13 places on, its exponent counted from 112 less.
    """
    cols, times = len(light), np.float32(2.0**112)
    for j in range(cols):
        bits[j + 1] = np.int32(light[j]) << np.int32(13)
    for j in range(1, cols + 1):
        out[j] *= times
    out[0], out[cols + 1] = out[1], out[cols]


def reference_intensity(plane: NDArray[Any]) -> float:
    """Return the 99th percentile of the intensity of one plane where it is not 0; 1 where it is nowhere else."""
    seen = plane[::3, ::3]
    seen = seen[seen > 0]
    return max(float(np.percentile(seen.astype(np.float32), 99)), 1e-6) if seen.size else 1.0


def unit_of(modality: str) -> str:
    """Return what one step of a stored plane is, in words."""
    return f"{OD_STEP:g} OD" if modality == "brightfield" else "intensity above background"
