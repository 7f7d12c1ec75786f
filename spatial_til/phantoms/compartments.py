"""What is true of a scene: compartments by their definition, worked out apart from the code under test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

from spatial_til.phantoms.fields import distance_to_lines

if TYPE_CHECKING:
    import pandas as pd
    from shapely.geometry import MultiPolygon
    from shapely.geometry.base import BaseGeometry

    from spatial_til.phantoms.layout import Scene

NAMES = ("core", "inner_margin", "outer_margin", "outside")
_QUAD_SEGS = 64


def evaluable_border(tissue: MultiPolygon, tumor: MultiPolygon, edge_tolerance_um: float) -> BaseGeometry:
    """Return the tumour's boundary less the stretches within the tolerance of the end of tissue."""
    return tumor.boundary.intersection(tissue.buffer(-edge_tolerance_um, quad_segs=_QUAD_SEGS))


def areas_mm2(scene: Scene, bands_um: float, edge_tolerance_um: float) -> dict[str, float]:
    """Return the area of each compartment, for one piece of tissue and a tumour without holes."""
    band = evaluable_border(scene.tissue, scene.tumor, edge_tolerance_um).buffer(bands_um, quad_segs=_QUAD_SEGS)
    tumor = scene.tumor.intersection(scene.tissue)
    rest = scene.tissue.difference(tumor)
    inner, outer = tumor.intersection(band), rest.intersection(band)
    parts = (tumor.area - inner.area, inner.area, outer.area, rest.area - outer.area)
    return {name: area / 1e6 for name, area in zip(NAMES, parts, strict=True)}


def cell_table(scene: Scene, bands_um: float, edge_tolerance_um: float) -> pd.DataFrame:
    """Return every cell: position, kind, markers, compartment and signed distance to the border."""
    import pandas as pd

    cells = scene.cells
    xy = cells.centroids_um
    distance = distance_to_lines(xy, evaluable_border(scene.tissue, scene.tumor, edge_tolerance_um))
    inside = shapely.covers(scene.tumor, shapely.points(xy))
    near = distance <= bands_um
    code = np.where(inside, np.where(near, 1, 0), np.where(near, 2, 3))
    table = pd.DataFrame(
        {
            "x_um": xy[:, 0].round(2),
            "y_um": xy[:, 1].round(2),
            "nucleus_area_um2": cells.nucleus_area_um2.round(1),
            "kind": cells.kinds(),
            "CD8": cells.cd8.astype(int),
            "PD-L1": cells.pdl1.astype(int),
            "compartment": np.array(NAMES)[code],
            "border_distance_um": np.where(inside, -distance, distance).round(2),
        }
    )
    return table.sort_values(["y_um", "x_um"], ignore_index=True)
