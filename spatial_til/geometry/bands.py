"""Bands of signed distance, by the definition that makes the compartments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spatial_til.geometry.pieces import group_lines, group_parts
from spatial_til.geometry.polygons import buffer_lines, shared
from spatial_til.model import Compartments, FloatArray
from spatial_til.units import UM2_PER_MM2


def band_areas(compartments: Compartments, *, edges_um: Sequence[float]) -> FloatArray:
    """Return the area of evaluable tissue in each band of signed distance, in mm².

    Tissue without distance (holes that are no border, pieces without border) is in no band. Bands
    whose edges are the widths of the margins sum to the margins' areas.

    Parameters
    ----------
    compartments
        The divided tissue.
    edges_um
        (b + 1,) increasing edges, negative inside the tumour.

    Returns
    -------
    areas_mm2
        (b,) areas.
    """
    widths = sorted({abs(float(edge)) for edge in edges_um} | {0.0})
    inside, outside = _areas_within(compartments, widths)
    below = [-inside[-edge] if edge < 0 else outside[edge] for edge in map(float, edges_um)]
    return np.diff(below) / UM2_PER_MM2


def _areas_within(compartments: Compartments, widths: Sequence[float]) -> tuple[dict[float, float], dict[float, float]]:
    """Return the area within each width of the border, in tumour and outside the filled tumour, in µm²."""
    inside, outside = dict.fromkeys(widths, 0.0), dict.fromkeys(widths, 0.0)
    tissue = compartments.tissue
    for piece, tumor, holes, border in zip(
        compartments.pieces,
        group_parts(compartments.tumor, tissue),
        group_parts(compartments.hole_tissue, tissue),
        group_lines(compartments.border.evaluable, tissue),
        strict=True,
    ):
        for width in () if border.is_empty else widths:
            band = buffer_lines(border, width)
            in_tumor = shared(tumor, band).area
            inside[width] += in_tumor
            outside[width] += shared(piece, band).area - in_tumor - shared(holes, band).area
    return inside, outside


def band_of(border_distance_um: FloatArray, edges_um: Sequence[float]) -> NDArray[np.intp]:
    """Return the index of the band that holds each signed distance, -1 where none does.

    As in the compartments, a band holds its edge that is farther from the border, and 0 is inside:
    the bands -500…-50, -50…0, 0…50 hold -500 <= d < -50, -50 <= d <= 0 and 0 < d <= 50.

    Parameters
    ----------
    border_distance_um
        (n,) signed distances; NaN is in no band.
    edges_um
        (b + 1,) increasing edges.
    """
    edges = np.asarray(edges_um, dtype=np.float64)
    distance = np.asarray(border_distance_um, dtype=np.float64)
    outer = np.searchsorted(edges, distance, side="left")
    index = np.where(distance < 0, np.searchsorted(edges, distance, side="right"), outer)
    index[index >= len(edges)] = 0
    return index - 1
