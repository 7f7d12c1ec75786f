"""Tissue divided into tumour core, inner and outer margin, and the rest, exactly.

The definition, piece of tissue by piece (B is the evaluable border inside the piece):

- inner margin = tumour within `inner_um` of B;
- outer margin = tissue outside the hole-filled tumour within `outer_um` of B;
- core = the rest of the tumour; outside = the rest of the tissue;
- a piece without B has no distances: its tumour is unresolved, its other tissue outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shapely.geometry import MultiLineString, MultiPolygon

from spatial_til.flags import FLAGS
from spatial_til.geometry.border import find_thin_rim, type_border
from spatial_til.geometry.pieces import Piece, group_lines, split_pieces
from spatial_til.geometry.polygons import boundary_lines, buffer_lines, linear, polygonal, shared, without
from spatial_til.geometry.regions import Box, clip_region, clip_tissue
from spatial_til.model import COMPARTMENTS, Border, Compartments
from spatial_til.units import mm2


def build_compartments(
    *,
    tissue: MultiPolygon,
    tumor: MultiPolygon | None,
    exclude: MultiPolygon | None = None,
    no_margin: MultiPolygon | None = None,
    image_box: Box | None,
    inner_um: float,
    outer_um: float,
    tissue_edge: str = "not_margin",
    edge_tolerance_um: float,
    holes: str = "ignore",
) -> Compartments:
    """Divide tissue by its distance to the evaluable border of the tumour.

    Parameters
    ----------
    tissue
        Tissue before exclusions, in µm.
    tumor, exclude, no_margin
        Regions as drawn or found, in µm; None where there are none. They are made valid and clipped.
    image_box
        x0, y0, x1, y1 of the image in µm; None where there is no image.
    inner_um, outer_um
        Widths of the margin inside and outside the border.
    tissue_edge
        ``not_margin``: tumour outline along cut edges is no border; ``margin``: it is.
    edge_tolerance_um
        How near to an edge the outline counts as lying on it.
    holes
        ``ignore``: the edge of a hole is no border and its tissue is outside, without distance;
        ``border``: it is a border, and the hole its outer side.

    Raises
    ------
    AnnotationError
        If a region is not finite or encloses no area.
    """
    tissue = clip_tissue(tissue, image_box)
    tumor, exclude = clip_region(tumor, tissue), clip_region(exclude, tissue)
    pieces = split_pieces(tissue, tumor, exclude, fill=holes == "ignore")
    typed = type_border(
        linear(line for piece in pieces for line in boundary_lines(piece.filled).geoms),
        tissue=tissue,
        exclude=exclude,
        no_margin=clip_region(no_margin, tissue),
        image_box=image_box,
        tissue_edge=tissue_edge,
        edge_tolerance_um=edge_tolerance_um,
    )
    borders = group_lines(typed["stroma"], tissue)
    divided = [_divide(*pair, inner_um, outer_um) for pair in zip(pieces, borders, strict=True)]
    regions = {name: polygonal(part[name] for part in divided) for name in COMPARTMENTS}
    evaluable = tuple(piece.tissue for piece in pieces)
    filled = polygonal(piece.filled for piece in pieces)
    border = Border(typed, find_thin_rim(typed["stroma"], filled, polygonal(evaluable)))
    hole_tissue = polygonal(piece.holes for piece in pieces)
    censored = _censored_fraction(regions["core"], border, inner_um)
    return Compartments(
        regions=regions,
        excluded=exclude,
        tissue=tissue,
        tumor=polygonal(piece.tumor for piece in pieces),
        border=border,
        pieces=evaluable,
        inner_um=inner_um,
        outer_um=outer_um,
        hole_area_mm2=mm2(hole_tissue.area),
        core_censored_fraction=censored,
        closure_error=_closure_error([*regions.values(), exclude], tissue),
        flags=_in_table_order(_flags(pieces, borders, border, censored)),
        hole_tissue=hole_tissue,
    )


def _divide(piece: Piece, border: MultiLineString, inner_um: float, outer_um: float) -> Mapping[str, MultiPolygon]:
    """Return the compartments of one piece."""
    regions = dict.fromkeys(COMPARTMENTS, MultiPolygon())
    if border.is_empty:
        regions["tumor_unresolved"] = piece.tumor
        regions["outside"] = polygonal([piece.open_rest, piece.holes])
        return regions
    inner_band = buffer_lines(border, inner_um)
    outer_band = inner_band if outer_um == inner_um else buffer_lines(border, outer_um)
    regions["inner_margin"] = polygonal(shared(piece.tumor, inner_band))
    regions["core"] = polygonal(without(piece.tumor, inner_band))
    regions["outer_margin"] = polygonal(shared(piece.open_rest, outer_band))
    regions["outside"] = polygonal([without(piece.open_rest, outer_band), piece.holes])
    return regions


def _censored_fraction(core: MultiPolygon, border: Border, inner_um: float) -> float:
    """Return the part of the core that lies nearer than the inner width to a cut edge."""
    if core.is_empty:
        return 0.0
    cut = linear([border.by_type["image_edge"], border.by_type["tissue_edge"]])
    return float(shared(core, buffer_lines(cut, inner_um)).area / core.area)


def _closure_error(parts: Sequence[MultiPolygon], tissue: MultiPolygon) -> float:
    if tissue.is_empty:
        return 0.0
    return float(abs(sum(part.area for part in parts) - tissue.area) / tissue.area)


def _flags(
    pieces: Sequence[Piece], borders: Sequence[MultiLineString], border: Border, censored: float
) -> Iterator[str]:
    with_tumor = [line for piece, line in zip(pieces, borders, strict=True) if not piece.tumor.is_empty]
    if not with_tumor:
        yield "no_tumor_region"
    elif border.evaluable.is_empty:
        yield "no_border"
    elif any(line.is_empty for line in with_tumor):
        yield "piece_without_border"
    if not border.thin_rim.is_empty:
        yield "thin_rim"
    if censored > 0:
        yield "core_censored"
    if any(not piece.holes.is_empty for piece in pieces):
        yield "tumor_holes"


def _in_table_order(codes: Iterator[str]) -> tuple[str, ...]:
    found = set(codes)
    return tuple(code for code in FLAGS if code in found)
