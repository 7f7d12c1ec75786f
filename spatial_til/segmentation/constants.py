"""What is fixed once a slide before any tile is cut: white, stain vectors, backgrounds, typical contrast."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.model import FloatArray, PixelSource
from spatial_til.segmentation import fluorescence, stains
from spatial_til.segmentation.brightfield import glass_of, nuclear_table, start_vector, tissue_of
from spatial_til.segmentation.calibration import Calibration
from spatial_til.segmentation.foreground import SCALE
from spatial_til.segmentation.guided import stain_level
from spatial_til.segmentation.leak import leaked_share
from spatial_til.segmentation.overview import read_overview, sample_boxes
from spatial_til.segmentation.own_leak import brown_seen_as_other, own_leaked_share
from spatial_til.segmentation.own_nuclear import standing_out, with_own_nuclear
from spatial_til.segmentation.scratch import Scratch, lent_scratch
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings
from spatial_til.segmentation.tissue import mask_of, require_tissue, tissue_fluorescence
from spatial_til.units import PixelSize

#: Level of a typical nucleus in the nuclear plane of fluorescence.
_TYPICAL_LEVEL = 100
#: Levels below the 99.9th percentile of a marker.
_USUAL_LEVELS = 512
#: Blocks over which the contrast of a nucleus is averaged.
_TYPICAL_UM = 4.0


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
    constants_of = _brightfield if settings.modality == "brightfield" else _fluorescence
    return _with_guide(constants_of(source, seen, px, settings, region), source)


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
    names = [s.marker for s in settings.stains]
    nuclear, own, lent = names.index(NUCLEI), None, None
    marked = [i for i in range(len(names)) if i != nuclear]
    with ThreadPoolExecutor(1) as beside:
        tabled = beside.submit(_tables, matrix, glass.rgb, settings)
        region = tissue_of(picture, px, glass, settings, region)
        if not settings.nuclear_markers:  # else the colour of nuclei is not that of their stain alone
            standing = standing_out(source, region, glass.rgb, matrix)
            own = with_own_nuclear(standing, matrix, nuclear)
            lent = brown_seen_as_other(standing, matrix, own, marked)
    amounts, table = tabled.result()
    draft = Calibration(
        settings,
        region,
        white=glass,
        vectors=vectors,
        amounts=amounts,
        table=table,
        leak=leaked_share(matrix)[np.ix_(marked, marked)],
        warnings=warnings,
    ).with_floor(picture, px, source)
    with ThreadPoolExecutor(1) as beside:
        typical = beside.submit(_typical, source, draft)
        if own is not None:  # markers are unmixed beside it
            table = nuclear_table(amounts, stains.amounts_table(own, glass.rgb), settings)
            leak, told = own_leaked_share(own, marked, lent), tuple(float(x) for x in own[nuclear])
            draft = replace(draft, table=table, leak=leak, own_nuclear=told, brown_lent=lent)
    return replace(draft, typical=typical.result())


def _tables(
    matrix: FloatArray, glass: tuple[float, float, float], settings: MeasureSettings
) -> tuple[stains.UnmixTable, stains.UnmixTable]:
    """Return the tables of every stain and of the planes that cells are found in."""
    amounts = stains.amounts_table(matrix, glass)
    return amounts, nuclear_table(amounts, amounts, settings)


def _fluorescence(
    source: PixelSource,
    picture: NDArray[Any],
    px: PixelSize,
    settings: MeasureSettings,
    region: MultiPolygon | None,
) -> Calibration:
    index = fluorescence.channel_indices(source.channels, [c.name for c in settings.channels])
    nuclei = [c.marker for c in settings.channels].index(NUCLEI)
    chosen = picture[:, :, index]
    if region is None:
        least, most = settings.min_tissue_mm2, settings.max_tissue_hole_mm2
        region = tissue_fluorescence(chosen[:, :, nuclei], px, min_tissue_mm2=least, max_hole_mm2=most)
    inside = mask_of(require_tissue(region), chosen.shape[:2], px)
    background = np.array(
        [fluorescence.channel_background(chosen[:, :, k], ~inside) for k in range(len(index))], dtype=np.float32
    )
    own_light = None
    if settings.autofluorescence:
        (at,) = fluorescence.channel_indices(source.channels, [settings.autofluorescence])
        own_light = fluorescence.find_autofluorescence(chosen - background, picture, at, tissue=inside)
    unmix = None if settings.spillover is None else fluorescence.spillover_inverse(settings.spillover)
    nuclear = chosen[:, :, nuclei].astype(np.float64) - background[nuclei]
    draft = Calibration(
        settings,
        region,
        typical=float(_TYPICAL_LEVEL),
        channel_index=index,
        background=background,
        autofluorescence=own_light,
        unmix=None if unmix is None else unmix.astype(np.float32),
        nuclear_unit=max(float(np.percentile(nuclear, 99)), 1e-9) / _TYPICAL_LEVEL,
    ).with_floor(picture, px, source)
    unit = draft.nuclear_unit * (max(_typical(source, draft), 1.0) / _TYPICAL_LEVEL)
    level = _marker_level(source, draft)
    return replace(draft, nuclear_unit=unit, marker_level=level).with_floor(picture, px, source)


def _marker_level(source: PixelSource, draft: Calibration) -> NDArray[np.floating[Any]]:
    """Return one level of each marker of a fluorescence slide, where membranes are looked for."""
    n = len(draft.settings.markers)
    boxes = sample_boxes(draft.tissue, source.shape, source.pixel_size)
    seen = [draft.planes(source.read(*box))[1].reshape(n, -1) for box in boxes]
    high = np.percentile(np.concatenate(seen, axis=1), 99.9, axis=1) if seen else np.ones(n)
    return np.maximum(high / _USUAL_LEVELS, 1e-9).astype(np.float32)


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


def _typical(source: PixelSource, draft: Calibration) -> float:
    """Return the typical contrast of a nucleus: the median of 4 µm means above background, weighted by them.

    The weights make it independent of how densely nuclei lie.
    """
    boxes = sample_boxes(draft.tissue, source.shape, source.pixel_size)
    with ThreadPoolExecutor(2) as pool:
        means = list(pool.map(lambda box: _contrast_means(source, draft, box), boxes))
    levels = np.sort(np.maximum(np.concatenate(means), 0)) if means else np.zeros(1)
    weight = np.cumsum(levels)
    if weight[-1] <= 0:
        return 1.0
    return float(levels[np.searchsorted(weight, weight[-1] / 2)]) / SCALE


def _contrast_means(source: PixelSource, draft: Calibration, box: tuple[int, int, int, int]) -> FloatArray:
    """Return the nuclear contrast of a box above background, averaged over squares of 4 µm (n,)."""
    side = max(round(_TYPICAL_UM / source.pixel_size.mean_um), 1)
    with lent_scratch() as scratch:
        nuclear, _ = draft.planes(source.read(*box), scratch)
        contrast = draft.contrast(nuclear, (box[0], box[2]), source.pixel_size, scratch)
        rows, cols = (n // side * side for n in contrast.shape)
        blocks = contrast[:rows, :cols].reshape(rows // side, side, cols // side, side)
        down = blocks.sum(axis=1, dtype=np.int64)  # of whole numbers, so in any order the same
        return np.asarray(down.sum(axis=2).ravel() / side**2)
