"""Tissue as it is met: regions with lobed outlines, and the populations of a tumour and its stroma."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely
from numba import njit
from shapely.geometry import MultiPolygon, Polygon, box

from spatial_til.phantoms.layout import ANGLES, KINDS, Crowding, Population, Scene, SceneCells, populate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from spatial_til.model import FloatArray

Zones = tuple[float, float, float, float]


def blob(x_um: float, y_um: float, radius_um: float, *, lobes: float, seed: int) -> Polygon:
    """Return a round region with a wavy outline of 240 vertices; `lobes` is the amplitude of the waves."""
    rng = np.random.default_rng([seed, 7])
    theta = np.arange(240) * (2 * np.pi / 240)
    wave = np.zeros_like(theta)
    for k in range(2, 9):
        wave += rng.standard_normal() / k * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
    r = radius_um * (1 + lobes * wave / max(wave.std(), 1e-9))
    return Polygon(np.column_stack((x_um + r * np.cos(theta), y_um + r * np.sin(theta))))


def regions(geometry: BaseGeometry) -> MultiPolygon:
    """Return the polygons of a geometry as one multi-polygon."""
    return MultiPolygon([g for g in shapely.get_parts(geometry) if g.geom_type == "Polygon"])


def tumor_populations(
    cd8_per_mm2: Zones,
    *,
    pdl1_far: float = 0.01,
    pdl1_cd8: float = 0.1,
    pdl1_histiocytes: float = 0.3,
    tumor_per_mm2: float = 4200.0,
    histiocytes_per_mm2: Zones = (40.0, 60.0, 160.0, 110.0),
) -> list[Population]:
    """Return the populations of a melanoma and its stroma, CD8+ cells at the stated densities first."""
    others = tuple(0.5 * d + 60.0 for d in cd8_per_mm2)
    t = tumor_per_mm2
    return [
        Population("lymphocyte", cd8_per_mm2, 3.1, cd8=True, pdl1=pdl1_cd8, cluster=0.4),
        Population("lymphocyte", others, 3.0, cluster=0.7),  # type: ignore[arg-type]
        Population("histiocyte", histiocytes_per_mm2, 4.0, 0.12, 1.4, 0.04, (2.5, 4.5), pdl1=pdl1_histiocytes),
        Population("fibroblast", (120, 200, 1100, 900), 3.3, 0.2, 3.4, 0.06, (0.5, 1.1)),
        Population("tumor", (t, t, 0, 0), 4.6, 0.16, 1.25, 0.06, (4.0, 8.0), pdl1=pdl1_far),
        Population("fibroblast", (0, 0, 500, 400), 2.6, 0.2, 4.2, 0.08, (0.4, 0.8)),
    ]


def tissue_scene(
    size_um: tuple[float, float] = (800.0, 800.0),
    *,
    seed: int = 0,
    cd8_per_mm2: Zones = (150.0, 300.0, 700.0, 300.0),
    pdl1_near_cd8: float = 0.35,
    melanophages_per_mm2: float = 0.0,
    bands_um: float = 100.0,
    crowding: Crowding | None = None,
    extra: Sequence[Population] = (),
    glass: bool = True,
) -> Scene:
    """Return a field of tumour beside stroma.

    Parameters
    ----------
    size_um
        Width and height of the field.
    seed
        Seed of the layout and of its looks.
    cd8_per_mm2
        CD8+ cells per mm² in core, inner margin, outer margin and outside.
    pdl1_near_cd8
        Share of tumour cells near CD8+ cells that are PD-L1+.
    melanophages_per_mm2
        Cells laden with brown pigment, everywhere.
    bands_um
        Width of the margins.
    crowding
        How close nuclei may lie.
    extra
        More populations, laid first.
    glass
        Whether a rim of glass is left free on the right.
    """
    width, height = size_um
    tumor = blob(0.1 * width, 0.5 * height, 0.48 * max(size_um), lobes=0.07, seed=seed)
    tissue = box(-60, -60, 0.95 * width if glass else width + 60, height + 60)
    pigment = Population("melanophage", (melanophages_per_mm2,) * 4, 3.6, 0.15, 1.3, 0.06, (2.0, 4.0), cluster=0.6)
    return populate(
        *(width, height, MultiPolygon([tissue]), regions(tumor.intersection(tissue))),
        [*extra, pigment, *tumor_populations(cd8_per_mm2)],
        seed=seed,
        width_of_bands_um=bands_um,
        crowding=crowding,
        pdl1_near_cd8=pdl1_near_cd8,
    )


def scene_from_outlines(
    outlines: Sequence[Polygon],
    kinds: Sequence[str],
    size_um: tuple[float, float],
    *,
    seed: int = 0,
    cd8: float = 0.5,
    pdl1: float = 0.15,
    pdl1_cd8: float = 0.1,
) -> Scene:
    """Return a scene of nuclei drawn by somebody else: real crowding and shapes.

    Nuclei are stored as seen from their centroid, so a crescent loses its hollow. Tumour is where tumour
    nuclei stand closer than 24 µm.

    Parameters
    ----------
    outlines
        Outlines of nuclei in µm.
    kinds
        One of KINDS for each.
    size_um
        Width and height of the field.
    seed
        Seed of markers and looks.
    cd8
        Share of lymphocytes that are CD8+.
    pdl1, pdl1_cd8
        Share of tumour cells, and of CD8+ cells, that are PD-L1+.
    """
    rng = np.random.default_rng([seed, 8])
    polygons = np.asarray(outlines, dtype=object)
    centre = shapely.get_coordinates(shapely.centroid(polygons))
    kind = np.array([KINDS.index(k) for k in kinds], np.int8)
    is_tumor = kind == KINDS.index("tumor")
    is_cd8 = (kind == KINDS.index("lymphocyte")) & (rng.random(len(kind)) < cd8)
    share = np.where(is_cd8, pdl1_cd8, np.where(is_tumor, pdl1, 0.0))
    growth = np.where(is_tumor, rng.uniform(3.0, 6.0, len(kind)), rng.uniform(0.8, 1.8, len(kind)))
    cells = SceneCells(
        x_um=centre[:, 0],
        y_um=centre[:, 1],
        kind=kind,
        cd8=is_cd8,
        pdl1=rng.random(len(kind)) < share,
        radii_um=radial_outlines(polygons),
        expansion_um=growth.astype(np.float32),
    )
    frame = box(-60, -60, size_um[0] + 60, size_um[1] + 60)
    nests = shapely.union_all(shapely.buffer(polygons[is_tumor], 12.0)).buffer(-8.0).intersection(frame)
    order = np.lexsort((cells.x_um, cells.y_um))
    return Scene(*size_um, regions(frame), regions(nests.simplify(1.0)), cells.take(order), seed)


def radial_outlines(polygons: NDArray[np.object_]) -> NDArray[np.float32]:
    """Return the distance from each polygon's centroid to its farthest outline in ANGLES directions."""
    rings = shapely.get_exterior_ring(polygons)
    centre = shapely.get_coordinates(shapely.centroid(polygons))
    coords, index = shapely.get_coordinates(rings, return_index=True)
    starts = np.searchsorted(index, np.arange(len(polygons) + 1))
    return _cast_rays(coords - centre[index], starts, ANGLES)


@njit(cache=True, nogil=True)
def _cast_rays(xy: FloatArray, starts: NDArray[np.intp], angles: int) -> NDArray[np.float32]:
    out = np.full((starts.shape[0] - 1, angles), 0.5, np.float32)
    for i in range(starts.shape[0] - 1):
        for k in range(angles):
            c, s = np.cos(2 * np.pi * k / angles), np.sin(2 * np.pi * k / angles)
            for j in range(starts[i], starts[i + 1] - 1):
                x0, y0 = xy[j, 0], xy[j, 1]
                dx, dy = xy[j + 1, 0] - x0, xy[j + 1, 1] - y0
                det = c * dy - s * dx
                if abs(det) < 1e-12:
                    continue
                t = (x0 * dy - y0 * dx) / det
                u = (x0 * s - y0 * c) / det
                if 0 <= u <= 1 and t > out[i, k]:
                    out[i, k] = t
    return out
