"""What is fixed once a slide before any tile is cut: white, stain vectors, backgrounds, typical contrast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.errors import ProtocolError, SlideError
from spatial_til.model import FloatArray, PixelSource
from spatial_til.segmentation import fluorescence, stains, tissue, white
from spatial_til.segmentation.foreground import block_px, nuclear_contrast
from spatial_til.segmentation.overview import read_overview, sample_boxes
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, NucleusSettings, Stain
from spatial_til.segmentation.smooth import SCALE, block_mean
from spatial_til.units import PixelSize

#: Marker stain up to this OD does not darken the nuclear plane.
_MARKER_FLOOR = 10
#: Level of a typical nucleus in the nuclear plane of fluorescence.
_TYPICAL_LEVEL = 100


@dataclass(frozen=True)
class Calibration:
    """Constants of one slide, and how its pixels become planes."""

    settings: MeasureSettings
    tissue: MultiPolygon
    typical: float  # contrast of a typical nucleus, in the unit of the nuclear plane
    white: white.White | None = None
    vectors: Mapping[str, tuple[float, ...]] | None = None
    table: stains.UnmixTable | None = None
    channel_index: tuple[int, ...] = ()
    background: FloatArray | None = None
    unmix: FloatArray | None = None
    nuclear_unit: float = 1.0
    warnings: tuple[str, ...] = ()

    def planes(self, pixels: NDArray[Any]) -> tuple[NDArray[np.int16], NDArray[Any]]:
        """Return the nuclear plane (int16) and the marker planes of a box of pixels."""
        if self.table is not None:
            return self._stain_planes(pixels)
        return self._channel_planes(pixels)

    @property
    def marker_unit(self) -> float:
        """Size of one step of the marker planes: OD in brightfield, intensity in fluorescence."""
        return stains.OD_STEP if self.table is not None else 1.0

    def _stain_planes(self, pixels: NDArray[Any]) -> tuple[NDArray[np.int16], NDArray[Any]]:
        assert self.table is not None  # noqa: S101  narrowing only
        amounts = self.table.apply(pixels)
        names = [s.marker for s in self.settings.stains]
        nuclear = amounts[names.index(NUCLEI)].astype(np.int16)
        marked = [i for i, name in enumerate(names) if name != NUCLEI]
        for i in marked:
            strong = np.maximum(amounts[i].astype(np.int16) - _MARKER_FLOOR, 0)
            nuclear += strong if names[i] in self.settings.nuclear_markers else -(strong >> 1)
        return nuclear, amounts[marked]

    def _channel_planes(self, pixels: NDArray[Any]) -> tuple[NDArray[np.int16], NDArray[Any]]:
        values = pixels[:, :, self.channel_index].astype(np.float32) - self.background
        if self.unmix is not None:
            values = values @ self.unmix
        names = [c.marker for c in self.settings.channels]
        nuclear = values[:, :, names.index(NUCLEI)] / np.float32(self.nuclear_unit)
        plane = np.clip(np.round(nuclear), -511, 511).astype(np.int16)
        marked = [i for i, name in enumerate(names) if name != NUCLEI]
        markers = np.maximum(values[:, :, marked], 0).astype(np.float32)
        return plane, np.ascontiguousarray(np.moveaxis(markers, 2, 0))


def calibrate(
    source: PixelSource, overview: PixelSource | None, settings: MeasureSettings, region: MultiPolygon | None
) -> Calibration:
    """Return the constants of one slide.

    Parameters
    ----------
    region
        Annotated tissue in µm; with None tissue is detected on the overview.

    Raises
    ------
    SlideError
        If no tissue is found.
    """
    picture, px = read_overview(source, overview)
    if settings.modality == "brightfield":
        return _brightfield(source, picture, px, settings, region)
    return _fluorescence(source, picture, px, settings, region)


def _brightfield(
    source: PixelSource,
    picture: NDArray[Any],
    px: PixelSize,
    settings: MeasureSettings,
    region: MultiPolygon | None,
) -> Calibration:
    glass = white.White(settings.white, found=True) if settings.white else white.estimate_white(picture)
    if region is None:
        region = tissue.tissue_brightfield(
            picture,
            px,
            glass.rgb,
            min_tissue_mm2=settings.min_tissue_mm2,
            max_hole_mm2=settings.max_tissue_hole_mm2,
        )
    _require_tissue(region)
    vectors = {s.name: _vector(s) for s in settings.stains}
    warnings = stains.check_stains(vectors)
    table = stains.UnmixTable(stains.stain_matrix(list(vectors.values())), glass.rgb)
    draft = Calibration(settings, region, 1.0, glass, vectors, table, warnings=warnings)
    return replace(draft, typical=_typical(source, draft))


def _vector(stain: Stain) -> tuple[float, ...]:
    if not isinstance(stain.vector, str):
        return stain.vector
    name = stain.name if stain.vector == "auto" and stain.name in stains.PRESETS else stain.vector
    if name not in stains.PRESETS:
        known = ", ".join(stains.PRESETS)
        msg = f"panel.stains.{stain.name}: vector is a preset or [r, g, b], found {name!r}; presets: {known}"
        raise ProtocolError([msg])
    return stains.PRESETS[name]


def _fluorescence(
    source: PixelSource,
    picture: NDArray[Any],
    px: PixelSize,
    settings: MeasureSettings,
    region: MultiPolygon | None,
) -> Calibration:
    index = channel_indices(source.channels, [c.name for c in settings.channels])
    names = [c.marker for c in settings.channels]
    chosen = picture[:, :, index]
    if region is None:
        region = tissue.tissue_fluorescence(
            chosen[:, :, names.index(NUCLEI)],
            px,
            min_tissue_mm2=settings.min_tissue_mm2,
            max_hole_mm2=settings.max_tissue_hole_mm2,
        )
    _require_tissue(region)
    glass = ~tissue.mask_of(region, chosen.shape[:2], px)
    background = np.array(
        [fluorescence.channel_background(chosen[:, :, k], glass) for k in range(len(index))], dtype=np.float32
    )
    unmix = None if settings.spillover is None else fluorescence.spillover_inverse(settings.spillover)
    unmix = None if unmix is None else unmix.astype(np.float32)
    nuclear = chosen[:, :, names.index(NUCLEI)].astype(np.float64) - background[names.index(NUCLEI)]
    unit = max(float(np.percentile(nuclear, 99)), 1e-9) / _TYPICAL_LEVEL
    draft = Calibration(
        settings,
        region,
        float(_TYPICAL_LEVEL),
        channel_index=index,
        background=background,
        unmix=unmix,
        nuclear_unit=unit,
    )
    return replace(draft, nuclear_unit=unit * max(_typical(source, draft), 1.0) / _TYPICAL_LEVEL)


def channel_indices(available: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Return the index of each wanted channel: by name, else by a number that is an index."""
    found = []
    for name in wanted:
        if name in available:
            found.append(list(available).index(name))
        elif name.isdigit() and int(name) < len(available):
            found.append(int(name))
        else:
            msg = f"panel.channels: no channel {name!r} in the image; it has {', '.join(available)}"
            raise ProtocolError([msg])
    return tuple(found)


def _require_tissue(region: MultiPolygon) -> None:
    if region.is_empty:
        msg = "A slide needs tissue, none was found; draw a Tissue annotation or check white and channels"
        raise SlideError(msg)


def _typical(source: PixelSource, draft: Calibration) -> float:
    """Return the typical contrast of a nucleus: the median of 4 µm means above background, weighted by them.

    The weights make it independent of how densely nuclei lie.
    """
    px_um = source.pixel_size.mean_um
    settings: NucleusSettings = draft.settings.nucleus
    block = block_px(settings, px_um)
    side = 512 // block * block
    means = []
    for box in sample_boxes(draft.tissue, source.shape, source.pixel_size, side_px=side):
        nuclear, _ = draft.planes(source.read(*box))
        contrast = nuclear_contrast(nuclear, px_um=px_um, settings=settings)
        means.append(block_mean(contrast, block).ravel())
    if not means:
        return 1.0
    levels = np.sort(np.maximum(np.concatenate(means), 0))
    weight = np.cumsum(levels, dtype=np.float64)
    if weight[-1] <= 0:
        return 1.0
    return float(levels[np.searchsorted(weight, weight[-1] / 2)]) / SCALE**2


def tissue_boxes(region: MultiPolygon, boxes: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which boxes (n, 4: x0, y0, x1, y1 in µm) touch the tissue, and which lie inside it."""
    shapes = shapely.box(*boxes.T)
    shapely.prepare(region)
    return np.asarray(shapely.intersects(region, shapes)), np.asarray(shapely.contains(region, shapes))
