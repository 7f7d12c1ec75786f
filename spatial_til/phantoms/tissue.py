"""Tissue as it is met: regions with lobed outlines, and the populations of a tumour and its stroma."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon, box

from spatial_til.phantoms.layout import Crowding, Population, Scene, populate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shapely.geometry.base import BaseGeometry

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
) -> list[Population]:
    """Return the populations of a melanoma and its stroma, CD8+ cells at the stated densities first."""
    others = tuple(0.5 * d + 60.0 for d in cd8_per_mm2)
    t = tumor_per_mm2
    return [
        Population("lymphocyte", cd8_per_mm2, 3.1, cd8=True, pdl1=pdl1_cd8, cluster=0.4),
        Population("lymphocyte", others, 3.0, cluster=0.7),  # type: ignore[arg-type]
        Population("histiocyte", (40, 60, 160, 110), 4.0, aspect=1.4, expansion_um=(2.5, 4.5), pdl1=pdl1_histiocytes),
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
) -> Scene:
    """Return a field of tumour beside stroma, with a rim of glass on the right.

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
    """
    width, height = size_um
    tumor = blob(0.1 * width, 0.5 * height, 0.48 * max(size_um), lobes=0.07, seed=seed)
    tissue = box(-60, -60, 0.95 * width, height + 60)
    pigment = Population("melanophage", (melanophages_per_mm2,) * 4, 3.6, 0.15, 1.3, 0.06, (2.0, 4.0), cluster=0.6)
    return populate(
        *(width, height, MultiPolygon([tissue]), regions(tumor.intersection(tissue))),
        [*extra, pigment, *tumor_populations(cd8_per_mm2)],
        seed=seed,
        width_of_bands_um=bands_um,
        crowding=crowding,
        pdl1_near_cd8=pdl1_near_cd8,
    )
