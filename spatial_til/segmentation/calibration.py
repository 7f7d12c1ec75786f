"""The constants of one slide, and how with them its pixels become planes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.model import FloatArray, PixelSource
from spatial_til.segmentation import fluorescence, stains, white
from spatial_til.segmentation.foreground import SCALE, nuclear_contrast, nuclear_floor
from spatial_til.segmentation.guided import combined_guide
from spatial_til.segmentation.pigment import is_brown
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings
from spatial_til.segmentation.smooth import smooth
from spatial_til.units import PixelSize

#: Membranes in fluorescence are looked for in up to 4095 levels, so that sums stay exact (see `smooth`).
_TOP_LEVEL, _LEVEL_SCALE = 4095, 8
#: Membranes are smoothed over this many pixels at least: of larger pixels each has more noise of its own.
_LEAST_BLUR_PX = 0.8


@dataclass(frozen=True)
class Calibration:
    """Constants of one slide, and how its pixels become planes."""

    settings: MeasureSettings
    tissue: MultiPolygon
    typical: float = 1.0  # contrast of a typical nucleus, in the unit of the nuclear plane
    floor: NDArray[np.int16] = field(default_factory=lambda: np.zeros((1, 1), dtype=np.int16))
    white: white.White | None = None
    vectors: Mapping[str, tuple[float, ...]] | None = None
    amounts: stains.UnmixTable | None = None  # every stain of the panel, and the residual
    table: stains.UnmixTable | None = None  # the nuclear plane and the markers, these beside the slide's own nuclei
    own_nuclear: tuple[float, ...] | None = None  # unit vector of the nuclear stain that markers are unmixed beside
    brown_lent: float | None = None  # share of brown that is seen as the other chromogen, see `own_leak`
    channel_index: tuple[int, ...] = ()
    background: NDArray[np.floating[Any]] | None = None
    autofluorescence: fluorescence.Autofluorescence | None = None
    unmix: FloatArray | None = None
    nuclear_unit: float = 1.0
    #: Fluorescence: one level of each marker where membranes are looked for.
    marker_level: NDArray[np.floating[Any]] | None = None
    #: Brightfield: share of each chromogen (column) that may be seen as another (row), in the order of the markers.
    leak: FloatArray | None = None
    warnings: tuple[str, ...] = ()
    #: Where stain of each of the settings' cytoplasm markers begins, in the unit of its membrane plane.
    guide_levels: FloatArray | None = None

    @property
    def guided(self) -> bool:
        """Whether stain of cytoplasm guides the growth of cells on this slide."""
        return self.guide_levels is not None and bool(np.isfinite(self.guide_levels).any())

    @property
    def brown(self) -> list[int]:
        """Markers, by number, whose stain is brown and lies outside nuclei: melanin may look like it."""
        rows = [s for s in self.settings.stains if s.marker != NUCLEI]
        return [
            k
            for k, stain in enumerate(rows)
            if stain.marker not in self.settings.nuclear_markers and is_brown((self.vectors or {})[stain.name])
        ]

    @property
    def density(self) -> NDArray[np.uint8] | None:
        """Optical density of every grey level (256, 3) in steps of the stain planes; None in fluorescence."""
        if self.white is None:
            return None
        od = stains.optical_density(np.arange(256)[:, None], self.white.rgb)
        return np.minimum(np.round(od / stains.OD_STEP), 255).astype(np.uint8)

    def guide(self, markers: NDArray[Any], px_um: float, scratch: Scratch) -> NDArray[np.int16] | None:
        """Return the guide of cells (rows, cols) from the marker planes of a box; None where growth is blind."""
        if self.guide_levels is None or not self.guided:
            return None
        at = [self.settings.markers.index(name) for name in self.settings.cytoplasm_markers]
        with scratch.aside():
            return combined_guide(self.membrane_planes(markers, px_um, scratch)[at], self.guide_levels)

    def planes(self, pixels: NDArray[Any], scratch: Scratch | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the nuclear plane and the marker planes of a box of pixels."""
        if self.table is not None:
            planes = stains.apply_table(pixels, self.table, scratch or Scratch())
            return planes[0], planes[1:]
        return self._channel_planes(pixels)

    def contrast(
        self, nuclear: NDArray[Any], corner: tuple[int, int], px: PixelSize, scratch: Scratch
    ) -> NDArray[np.int16]:
        """Return the nuclear plane of a box above its local background; `corner` is its first row and column."""
        return nuclear_contrast(nuclear, self.floor, corner, px, self.settings.nucleus, scratch)

    def with_floor(self, picture: NDArray[Any], size: PixelSize, source: PixelSource) -> Calibration:
        """Return the calibration with the local background of the nuclear plane, from the overview."""
        nuclear, _ = self.planes(picture)
        floor = nuclear_floor(nuclear, size, source.pixel_size, source.shape, self.settings.nucleus)
        return replace(self, floor=floor)

    def membrane_planes(self, markers: NDArray[Any], px_um: float, scratch: Scratch) -> NDArray[np.int16]:
        """Return marker planes (markers, rows, cols) smoothed for membranes, in steps of `membrane_unit`."""
        sigma = max(self.settings.membrane_blur_um / px_um, _LEAST_BLUR_PX)
        out = scratch.array("membranes", markers.shape, np.int16)
        for k, plane in enumerate(markers):
            if self.marker_level is None:
                smooth(plane, sigma, SCALE, out=out[k])
            else:
                levels = np.minimum(np.round(plane / self.marker_level[k]), _TOP_LEVEL).astype(np.int16)
                smooth(levels, sigma, _LEVEL_SCALE, out=out[k])
        return out

    @property
    def marker_unit(self) -> float:
        """Size of one step of the marker planes: OD in brightfield, intensity in fluorescence."""
        return stains.OD_STEP if self.table is not None else 1.0

    @property
    def membrane_unit(self) -> NDArray[np.floating[Any]]:
        """Size of one step of the membrane planes of each marker."""
        if self.marker_level is None:
            return np.full(len(self.settings.markers), stains.OD_STEP / SCALE)
        return self.marker_level / _LEVEL_SCALE

    def channel_values(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return the intensities (rows, cols, channels of the panel) of a box of pixels above background, corrected."""
        assert self.background is not None  # noqa: S101  narrowing only
        values: NDArray[np.float32] = pixels[:, :, self.channel_index].astype(np.float32) - self.background
        if self.autofluorescence is not None:  # as seen, so before spill-over is undone
            values -= fluorescence.glow(pixels, self.autofluorescence)
        return values if self.unmix is None else np.asarray(values @ self.unmix, dtype=np.float32)

    def _channel_planes(self, pixels: NDArray[Any]) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        values = self.channel_values(pixels)
        names = [c.marker for c in self.settings.channels]
        nuclear = values[:, :, names.index(NUCLEI)] / np.float32(self.nuclear_unit)
        plane = np.clip(np.round(nuclear), -511, 511).astype(np.int16)
        marked = [i for i, name in enumerate(names) if name != NUCLEI]
        markers = np.maximum(values[:, :, marked], 0).astype(np.float32)
        return plane, np.ascontiguousarray(np.moveaxis(markers, 2, 0))
