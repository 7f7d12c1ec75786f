"""What is fixed once a slide before any tile is cut: white, stain vectors, backgrounds, typical contrast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.errors import ProtocolError, SlideError
from spatial_til.model import FloatArray, PixelSource
from spatial_til.segmentation import fluorescence, stains, tissue, white
from spatial_til.segmentation.foreground import SCALE, nuclear_contrast, nuclear_floor
from spatial_til.segmentation.guided import combined_guide, stain_level
from spatial_til.segmentation.leak import leaked_share
from spatial_til.segmentation.overview import read_overview, sample_boxes
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, Stain
from spatial_til.segmentation.smooth import smooth
from spatial_til.units import PixelSize

#: Marker stain up to this OD does not darken the nuclear plane.
_MARKER_FLOOR = 10
#: Level of a typical nucleus in the nuclear plane of fluorescence.
_TYPICAL_LEVEL = 100
#: Membranes in fluorescence are looked for in up to 4095 levels, so that sums stay exact (see `smooth`).
_TOP_LEVEL, _LEVEL_SCALE = 4095, 8
#: Levels below the 99.9th percentile of a marker.
_USUAL_LEVELS = 512


#: Blocks over which the contrast of a nucleus is averaged.
_TYPICAL_UM = 4.0


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
    table: stains.UnmixTable | None = None  # the nuclear plane and the markers
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
        """Markers, by number, whose stain takes away blue most and lies outside nuclei: melanin may look like it."""
        rows = [s for s in self.settings.stains if s.marker != NUCLEI]
        return [
            k
            for k, stain in enumerate(rows)
            if stain.marker not in self.settings.nuclear_markers and np.argmax((self.vectors or {})[stain.name]) == 2
        ]

    @property
    def density(self) -> NDArray[np.uint8] | None:
        """Optical density of every grey level (256, 3) in steps of the stain planes; None in fluorescence."""
        if self.white is None:
            return None
        od = stains.optical_density(np.arange(256)[:, None], self.white.rgb)
        return np.minimum(np.round(od / stains.OD_STEP), 255).astype(np.uint8)

    def guide(self, membranes: NDArray[np.int16]) -> NDArray[np.int16] | None:
        """Return the guide of cells (rows, cols) from the membrane planes of a box; None where growth is blind."""
        if self.guide_levels is None or not self.guided:
            return None
        at = [self.settings.markers.index(name) for name in self.settings.cytoplasm_markers]
        return combined_guide(membranes[at], self.guide_levels)

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
        sigma = self.settings.membrane_blur_um / px_um
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


def _nuclear_table(amounts: stains.UnmixTable, settings: MeasureSettings) -> stains.UnmixTable:
    """Return the table of the nuclear plane and the markers.

    Half of strong membrane stain is taken off hematoxylin, so that membranes part touching nuclei; the stain
    of a nuclear marker is added.
    """
    names = [s.marker for s in settings.stains]
    nuclear = amounts.table[:, names.index(NUCLEI)].astype(np.int16)
    marked = [i for i, name in enumerate(names) if name != NUCLEI]
    for i in marked:
        strong = np.maximum(amounts.table[:, i].astype(np.int16) - _MARKER_FLOOR, 0)
        nuclear += strong if names[i] in settings.nuclear_markers else -(strong >> 1)
    table = np.zeros_like(amounts.table)
    table[:, 0] = np.clip(nuclear, 0, 255)
    table[:, 1 : 1 + len(marked)] = amounts.table[:, marked]
    return stains.UnmixTable(amounts.lookup, table, 1 + len(marked))


def calibrate(
    source: PixelSource,
    overview: PixelSource | None,
    settings: MeasureSettings,
    region: MultiPolygon | None,
    picture: tuple[NDArray[Any], PixelSize] | None = None,
) -> Calibration:
    """Return the constants of one slide.

    Parameters
    ----------
    region
        Annotated tissue in µm; with None tissue is detected on the overview.
    picture
        The overview where it was read before, and its pixel size.

    Raises
    ------
    SlideError
        If no tissue is found.
    """
    seen, px = read_overview(source, overview) if picture is None else picture
    if settings.modality == "brightfield":
        return _brightfield(source, seen, px, settings, region)
    return _fluorescence(source, seen, px, settings, region)


def _brightfield(
    source: PixelSource,
    picture: NDArray[Any],
    px: PixelSize,
    settings: MeasureSettings,
    region: MultiPolygon | None,
) -> Calibration:
    glass = glass_of(picture, settings)
    vectors = {s.name: start_vector(s) for s in settings.stains}
    warnings = stains.check_stains(vectors)
    matrix = stains.stain_matrix(list(vectors.values()))
    with ThreadPoolExecutor(1) as beside:
        tabled = beside.submit(stains.amounts_table, matrix, glass.rgb)
        region = _brightfield_tissue(picture, px, glass, settings, region)
    amounts = tabled.result()
    table = _nuclear_table(amounts, settings)
    marked = [i for i, s in enumerate(settings.stains) if s.marker != NUCLEI]
    leak = leaked_share(matrix)[np.ix_(marked, marked)]
    draft = Calibration(
        settings,
        region,
        white=glass,
        vectors=vectors,
        amounts=amounts,
        table=table,
        leak=leak,
        warnings=warnings,
    ).with_floor(picture, px, source)
    return _with_guide(replace(draft, typical=_typical(source, draft)), source)


def glass_and_tissue(
    picture: NDArray[Any], px: PixelSize, settings: MeasureSettings, region: MultiPolygon | None
) -> tuple[white.White, MultiPolygon]:
    """Return the white of a brightfield slide, and its tissue: as drawn, or found on the overview.

    Raises
    ------
    SlideError
        If no tissue is found.
    """
    glass = glass_of(picture, settings)
    return glass, _brightfield_tissue(picture, px, glass, settings, region)


def glass_of(picture: NDArray[Any], settings: MeasureSettings) -> white.White:
    """Return the white of a brightfield slide: as given, or read off the overview."""
    return white.White(settings.white, found=True) if settings.white else white.estimate_white(picture)


def _brightfield_tissue(
    picture: NDArray[Any], px: PixelSize, glass: white.White, settings: MeasureSettings, region: MultiPolygon | None
) -> MultiPolygon:
    if region is None:
        region = tissue.tissue_brightfield(
            picture,
            px,
            glass.rgb,
            min_tissue_mm2=settings.min_tissue_mm2,
            max_hole_mm2=settings.max_tissue_hole_mm2,
        )
    _require_tissue(region)
    return region


def start_vector(stain: Stain) -> tuple[float, ...]:
    """Return a stain's vector as given, by its preset, or for ``auto`` the preset of the stain's name.

    Raises
    ------
    ProtocolError
        If there is no such preset.
    """
    if not isinstance(stain.vector, str):
        return stain.vector
    name = stain.name if stain.vector == "auto" and stain.name in stains.PRESETS else stain.vector
    if name not in stains.PRESETS:
        known = ", ".join(stains.PRESETS)
        msg = f"panel.stains.{stain.name}: vector is a preset or [r, g, b], found {name!r}; presets: {known}"
        if name == "auto":
            msg = f"panel.stains.{stain.name}: vector auto starts from the preset of the stain's name: name it {known}"
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
    own_light = None
    if settings.autofluorescence:
        (at,) = channel_indices(source.channels, [settings.autofluorescence])
        own_light = fluorescence.find_autofluorescence(chosen - background, picture, at, tissue=~glass)
    unmix = None if settings.spillover is None else fluorescence.spillover_inverse(settings.spillover)
    unmix = None if unmix is None else unmix.astype(np.float32)
    nuclear = chosen[:, :, names.index(NUCLEI)].astype(np.float64) - background[names.index(NUCLEI)]
    unit = max(float(np.percentile(nuclear, 99)), 1e-9) / _TYPICAL_LEVEL
    draft = Calibration(
        settings,
        region,
        typical=float(_TYPICAL_LEVEL),
        channel_index=index,
        background=background,
        autofluorescence=own_light,
        unmix=unmix,
        nuclear_unit=unit,
    ).with_floor(picture, px, source)
    unit *= max(_typical(source, draft), 1.0) / _TYPICAL_LEVEL
    boxes = [source.read(*box) for box in sample_boxes(region, source.shape, source.pixel_size)]
    markers = [draft.planes(box)[1].reshape(len(settings.markers), -1) for box in boxes]
    high = np.percentile(np.concatenate(markers, axis=1), 99.9, axis=1) if markers else np.ones(len(settings.markers))
    level = np.maximum(high / _USUAL_LEVELS, 1e-9).astype(np.float32)
    draft = replace(draft, nuclear_unit=unit, marker_level=level).with_floor(picture, px, source)
    return _with_guide(draft, source)


def _with_guide(draft: Calibration, source: PixelSource) -> Calibration:
    """Return the calibration with the levels of stain that fills cells, where the settings name such markers."""
    names, px = draft.settings.cytoplasm_markers, source.pixel_size
    if not names:
        return draft
    at = [draft.settings.markers.index(name) for name in names]
    values: list[NDArray[np.int16]] = [np.zeros((len(names), 1), dtype=np.int16)]
    for box in sample_boxes(draft.tissue, source.shape, px):
        planes = np.ascontiguousarray(draft.planes(source.read(*box))[1])
        values.append(draft.membrane_planes(planes, px.mean_um, Scratch())[at].reshape(len(names), -1))
    levels = np.array([stain_level(plane) for plane in np.concatenate(values, axis=1)])
    blind = [name for name, level in zip(names, levels, strict=True) if not np.isfinite(level)]
    notes = tuple(
        f"{name} has no stained and unstained parts here that differ by 3: it guides no cells" for name in blind
    )
    return replace(draft, guide_levels=levels, warnings=(*draft.warnings, *notes))


def channel_indices(available: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Return the index of each wanted channel: by name, else by a number that is an index."""
    found = []
    for name in wanted:
        if name in available:
            found.append(list(available).index(name))
        elif name.isdigit() and int(name) < len(available):
            found.append(int(name))
        else:
            msg = f"no channel {name!r} in the image, which has {', '.join(available)}: correct [panel.channels] or "
            msg += "fluorescence.autofluorescence"
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
    px = source.pixel_size
    side = max(round(_TYPICAL_UM / px.mean_um), 1)
    means = []
    scratch = Scratch()
    boxes = sample_boxes(draft.tissue, source.shape, px)
    with ThreadPoolExecutor(2) as pool:
        pixels = pool.map(lambda box: source.read(*box), boxes)
    for box, read in zip(boxes, pixels, strict=True):
        nuclear, _ = draft.planes(read, scratch)
        contrast = draft.contrast(nuclear, (box[0], box[2]), px, scratch)
        rows, cols = (n // side * side for n in contrast.shape)
        blocks = contrast[:rows, :cols].reshape(rows // side, side, cols // side, side)
        means.append(blocks.mean(axis=(1, 3), dtype=np.float64).ravel())
    levels = np.sort(np.maximum(np.concatenate(means), 0)) if means else np.zeros(1)
    weight = np.cumsum(levels)
    if weight[-1] <= 0:
        return 1.0
    return float(levels[np.searchsorted(weight, weight[-1] / 2)]) / SCALE


def tissue_boxes(region: MultiPolygon, boxes: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which boxes (n, 4: x0, y0, x1, y1 in µm) touch the tissue, and which lie inside it."""
    shapes = shapely.box(*boxes.T)
    shapely.prepare(region)
    return np.asarray(shapely.intersects(region, shapes)), np.asarray(shapely.contains(region, shapes))
