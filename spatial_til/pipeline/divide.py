"""Tissue and tumour of one slide to compartments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import shapely
from shapely.geometry import MultiPolygon

from spatial_til.errors import AnnotationError
from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.polygons import polygonal, shared
from spatial_til.geometry.tumor import FoundRegion, find_tumor
from spatial_til.io.annotations import check_cells_fit, check_tumor_fits, read_annotations
from spatial_til.io.measured import Measured
from spatial_til.model import Annotations, BoolArray, Compartments
from spatial_til.protocol import Protocol
from spatial_til.study import Job
from spatial_til.units import PixelSize, mm2


@dataclass(frozen=True, slots=True)
class Regions:
    """Tissue and tumour of one slide before they are divided, in µm, and what was noticed about them."""

    tissue: MultiPolygon
    tumor: MultiPolygon | None
    exclude: MultiPolygon | None
    no_margin: MultiPolygon | None
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = ()  # that these are the slide's regions at all: told wherever its figures are


def no_region(job: Job, drawn: Annotations) -> str:
    """Say that nothing is known of a slide's tumour, and what was found instead of one."""
    if not job.annotations:
        found = "no annotation file"
    elif drawn.ignored_classes:
        found = f"classes {', '.join(drawn.ignored_classes)}"
    elif drawn.exclude is not None or drawn.no_margin is not None:
        found = "regions to leave out only"
    else:
        found = "no region with a class"
    return (
        f"neither `Tumor` nor `Tissue` is annotated and tumor.method is annotation, found {found}: "
        "draw the tumour as an area of the class Tumor, or set tumor.method to marker or classifier"
    )


def find_regions(
    job: Job,
    measured: Measured,
    tumor_cell: BoolArray | None,
    edited: Mapping[str, Any] = MappingProxyType({}),
    drawn: Annotations | None = None,
) -> Regions:
    """Return the regions of one slide: drawn, or the tumour found from its cells.

    Parameters
    ----------
    edited
        Regions by a reader, in place of those drawn or found: `tumor`, `tissue`, `exclude`, `no_margin`. Tissue
        is limited to where cells were measured: elsewhere there would be area without cells.
    drawn
        The slide's annotations, where they have been read before.

    Raises
    ------
    AnnotationError
        Where there is neither tissue nor tumour to score, or the drawn tumour lies off the tissue.
    """
    drawn = replace(drawn or read_drawn(job, measured), **edited)
    tissue = drawn.tissue if drawn.tissue is not None else measured.tissue
    if tissue is None or tissue.is_empty:
        msg = f"{job.slide_id}: no tissue is known: add a `Tissue` annotation"
        raise AnnotationError(msg)
    left_out = ""
    if "tissue" in edited and measured.tissue is not None:
        tissue, left_out = _where_measured(tissue, measured.tissue)
    flags = ["annotation_repaired"] if drawn.repairs else []
    notes = [*drawn.repairs, *filter(None, [left_out])]
    doubts = [*filter(None, [check_cells_fit(measured.cells.xy_um, tissue)])]
    if drawn.ignored_classes:
        notes.append(f"annotation classes without meaning here were ignored: {', '.join(drawn.ignored_classes)}")
    tumor = drawn.tumor
    method = job.protocol.tumor.method
    if "tumor" in edited:
        method = "annotation"
    if method == "marker":
        found = _from_cells(job, measured, tumor_cell, tissue)
        tumor, flags, notes = found[0], [*flags, *found[1]], [*notes, *found[2]]
    elif method == "classifier":
        found = _from_examples(job, measured, tissue)
        tumor, flags, notes = found[0], [*flags, *found[1]], [*notes, *found[2]]
    elif tumor is None and drawn.tissue is None:
        msg = f"{job.slide_id}: {no_region(job, drawn)}"
        raise AnnotationError(msg)
    elif tumor is not None:
        box = measured.image_box
        frame = None if box is None else shapely.box(*box)
        # A reader draws in µm on the picture itself.
        drawn_px = None if "tumor" in edited else measured.pixel_size
        doubts += check_tumor_fits(tumor, tissue, frame, drawn_px)
    return Regions(tissue, tumor, drawn.exclude, drawn.no_margin, tuple(flags), tuple(notes), tuple(doubts))


def _where_measured(tissue: MultiPolygon, measured: MultiPolygon) -> tuple[MultiPolygon, str]:
    """Return the tissue where cells were measured, and in words what was left out."""
    kept = polygonal(shared(tissue, measured))
    lost_mm2 = mm2(tissue.area - kept.area)
    return kept, f"{lost_mm2:.3g} mm² of the tissue drawn were left out: no cells were measured there" * (
        lost_mm2 > 1e-6
    )


class Widths(NamedTuple):
    """Widths of the margin inside and outside the border, in µm."""

    inner_um: float
    outer_um: float


def protocol_widths(protocol: Protocol) -> Widths:
    """Return the widths that the protocol asks for."""
    return Widths(protocol.compartments.inner_um, protocol.compartments.outer_um)


def divide(regions: Regions, measured: Measured, protocol: Protocol, widths: Widths) -> Compartments:
    """Return the compartments with margins of the given widths."""
    keys = protocol.compartments
    return build_compartments(
        tissue=regions.tissue,
        tumor=regions.tumor,
        exclude=regions.exclude,
        no_margin=regions.no_margin,
        image_box=measured.image_box,
        inner_um=widths.inner_um,
        outer_um=widths.outer_um,
        tissue_edge=keys.tissue_edge,
        edge_tolerance_um=keys.edge_tolerance_um,
        holes=keys.holes,
    )


def read_drawn(job: Job, measured: Measured) -> Annotations:
    """Return the slide's annotations in µm; none where it has no file of them.

    Raises
    ------
    AnnotationError
        Where a file cannot be read.
    """
    if not job.annotations:
        return Annotations()
    px = measured.pixel_size or PixelSize(1.0, 1.0)
    shape = None
    if measured.image_box is not None:
        x0, y0, x1, y1 = measured.image_box
        shape = (round((y1 - y0) / px.y_um), round((x1 - x0) / px.x_um))
    return read_annotations(job.annotations, pixel_size=px, image_shape=shape)


def _from_cells(
    job: Job, measured: Measured, tumor_cell: BoolArray | None, tissue: MultiPolygon
) -> tuple[MultiPolygon | None, list[str], list[str]]:
    if tumor_cell is None:
        msg = f'{job.slide_id}: tumor.method is marker, but tumour cells are not known: add a marker = "tumor"'
        raise AnnotationError(msg)
    keys = job.protocol.tumor
    found = find_tumor(
        measured.cells.xy_um[tumor_cell],
        tissue,
        bandwidth_um=keys.bandwidth_um,
        min_area_mm2=keys.min_area_mm2,
        max_hole_mm2=keys.max_hole_mm2,
    )
    notes = [f"tumour found from cells; cleaning changed its area by {100 * found.area_change:.2g} %"]
    return found.region, *_cleaned(found, notes)


def _from_examples(
    job: Job, measured: Measured, tissue: MultiPolygon
) -> tuple[MultiPolygon | None, list[str], list[str]]:
    from spatial_til.pipeline.examples import notes_on, tumor_of_slide

    if measured.stains is None or job.image is None:
        msg = f"{job.slide_id}: tumor.method is classifier, which needs an image; this slide has cells only: "
        msg += "annotate its tumour"
        raise AnnotationError(msg)
    tumor, trained = tumor_of_slide(measured.stains, job.protocol.tumor, tissue)
    flags, notes = _cleaned(tumor.found, notes_on(tumor, trained))
    return tumor.found.region, [*flags, *(["tissue_unlike_examples"] if tumor.is_unlike else [])], notes


def _cleaned(found: FoundRegion, notes: list[str]) -> tuple[list[str], list[str]]:
    """Return the flags of a found region, and the notes with what was dropped and filled."""
    if found.dropped_islands_mm2:
        notes = [*notes, f"islands dropped (mm²): {', '.join(f'{a:.4g}' for a in found.dropped_islands_mm2)}"]
    if found.filled_holes_mm2:
        notes = [*notes, f"holes filled (mm²): {', '.join(f'{a:.4g}' for a in found.filled_holes_mm2)}"]
    return ["small_islands"] if found.dropped_islands_mm2 else [], notes
