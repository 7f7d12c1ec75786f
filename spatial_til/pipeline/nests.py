"""Nests of tumour cells and the stroma between them: another question than core and margin, never mixed with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.geometry.coverage import Grid, covered_area, grid_over
from spatial_til.geometry.locate import locate
from spatial_til.geometry.tumor import find_nests
from spatial_til.metrics.grid import SQUARE_UM, GridCounts, grid_phenotype
from spatial_til.metrics.levels import Failure, not_evaluable
from spatial_til.metrics.nests import NestDensities, NestSettings, nest_densities
from spatial_til.model import XY, Call
from spatial_til.pipeline.numbers import SCORED, Scene
from spatial_til.units import UM2_PER_MM2

#: Standard deviation of the kernel that finds nests: about the spacing of tumour cells (project default).
NEST_BANDWIDTH_UM = 17.5


def find_scene_nests(scene: Scene) -> MultiPolygon:
    """Return the nests of tumour cells in the tumour; empty where tumour cells or the tumour are not known."""
    tumor_cell = scene.calls.tumor_cell
    if tumor_cell is None or not tumor_cell.any() or scene.compartments.tumor.is_empty:
        return MultiPolygon()
    xy = scene.measured.cells.xy_um[tumor_cell]
    inside = locate(xy, [scene.compartments.tumor]) == 0
    return find_nests(xy[inside], scene.compartments.tumor, bandwidth_um=NEST_BANDWIDTH_UM)


def nests_of(scene: Scene) -> tuple[NestDensities, ...]:
    """Return densities in nests and stroma; nothing where there are no nests."""
    nests = find_scene_nests(scene)
    if nests.is_empty:
        return ()
    xy = scene.measured.cells.xy_um
    inside = locate(xy, [scene.compartments.tumor]) == 0
    statistics = scene.protocol.statistics
    return nest_densities(
        scene.compartments.tumor,
        nests,
        xy[inside],
        locate(xy[inside], [nests]) == 0,
        {name: scene.populations[name][inside] for name in SCORED.values() if name in scene.populations},
        NestSettings(
            slide_id=scene.slide_id,
            tile_um=statistics.tile_um,
            min_tiles=scene.protocol.gates.min_tiles,
            confidence=statistics.confidence,
            bootstrap=statistics.bootstrap,
            seed=statistics.seed,
        ),
    )


def grid_call(scene: Scene, failures: Sequence[Failure]) -> Call:
    """Return the immunophenotype by the rule `grid`, which needs nests of tumour cells."""
    if failures:
        return not_evaluable(failures)
    nests = find_scene_nests(scene)
    if nests.is_empty:
        return not_evaluable([Failure("tumor_cells_unknown", "the rule `grid` needs tumour cells in nests")])
    statistics = scene.protocol.statistics
    return grid_phenotype(
        _squares(scene, nests),
        min_squares=scene.protocol.gates.min_tiles,
        min_class_probability=scene.protocol.scores.min_class_probability,
        draws=statistics.bootstrap,
        seed=statistics.seed,
        key=scene.slide_id,
    )


def _squares(scene: Scene, nests: MultiPolygon) -> GridCounts:
    """Return CD8+ cells and areas of nests and stroma in squares of 1 mm² over the tumour."""
    tumor = scene.compartments.tumor
    grid = grid_over(tumor, pitch_um=SQUARE_UM)
    nest_um2 = covered_area(nests, grid)
    stroma_um2 = np.maximum(covered_area(tumor, grid) - nest_um2, 0.0)
    xy = scene.measured.cells.xy_um[scene.calls.positive["CD8"]]
    xy = xy[locate(xy, [tumor]) == 0]
    in_nest = shapely.contains_xy(nests, xy)
    return GridCounts(
        _count(xy[in_nest], grid),
        nest_um2.ravel() / UM2_PER_MM2,
        _count(xy[~in_nest], grid),
        stroma_um2.ravel() / UM2_PER_MM2,
    )


def _count(xy_um: XY, grid: Grid) -> NDArray[np.intp]:
    cols, rows = np.floor((xy_um - (grid.x0_um, grid.y0_um)) / grid.pitch_um).astype(np.intp).T
    return np.bincount(rows * grid.n_cols + cols, minlength=grid.n_rows * grid.n_cols)
