"""Quality of one slide in numbers and flags, from boxes spread over its tissue and from its overview."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.model import EMPTY_POLYGON, BoolArray, FloatArray, PixelSource
from spatial_til.segmentation.artefacts import filled, find_artefacts, regions_of
from spatial_til.segmentation.focus import BLURRED_UM, edge_widths_um
from spatial_til.segmentation.overview import sample_boxes
from spatial_til.segmentation.pigment import (
    MAX_PIGMENT_FRACTION,
    ColourVariation,
    brown_of,
    colour_variation,
    own_normal,
    pigment_fraction,
)
from spatial_til.segmentation.residual import (
    MAX_OTHER_COLOUR,
    other_colour_fraction,
    saturated_channels,
    saturated_rgb,
    unexplained_od,
)
from spatial_til.segmentation.settings import NUCLEI
from spatial_til.segmentation.stains import picture_density, stain_matrix
from spatial_til.units import PixelSize

#: Flags whose limit a protocol can set: `flags_over` says them anew when a slide is scored.
LIMITED_FLAGS = ("blurred", "saturated", "high_residual")
#: Pixels above this size do not resolve membranes.
COARSE_UM = 0.6
#: Least range of a block in which edges are judged: grey levels, and share of a typical nucleus.
_LEAST_GREY, _LEAST_NUCLEAR = 12.0, 0.3
#: Tissue of a box is drawn in pixels of this many.
_MASK_STEP = 8
#: The residual is read at every fifth pixel of rows and columns.
_RESIDUAL_STEP = 5


@dataclass(frozen=True, slots=True)
class QC:
    """What was found about the quality of one slide.

    Attributes
    ----------
    flags
        Codes of the flag table.
    numbers
        Named figures behind the flags; None where one could not be measured.
    white
        Grey levels of glass (brightfield).
    vectors
        Stain name to the unit vector that was used (brightfield).
    own_nuclear
        Unit vector of the nuclear stain as the slide has it, beside which markers are unmixed (see `own_nuclear`).
    brown_lent
        Share of brown that is seen as the other chromogen (see `own_leak`); None where it was not read.
    crosstalk
        Shares of ridges taken off, as ``"<marker> seen as <marker>"`` (see `crosstalk`); those not known are left out.
    artefact
        Pen, folds and debris, in µm; part of `tissue`.
    artefact_fraction
        Share of tissue that is artefact; None where it was not looked for.
    warnings
        Sentences about the stains.
    stain_normal
        Direction across the slide's own hematoxylin and brown (brightfield), see `pigment.own_normal`; None where
        they are not known.
    """

    flags: tuple[str, ...] = ()
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    white: tuple[float, float, float] | None = None
    vectors: Mapping[str, Any] = field(default_factory=dict)
    own_nuclear: tuple[float, ...] | None = None
    brown_lent: float | None = None
    crosstalk: Mapping[str, float] = field(default_factory=dict)
    artefact: MultiPolygon = EMPTY_POLYGON
    artefact_fraction: float | None = None
    warnings: tuple[str, ...] = ()
    stain_normal: tuple[float, ...] | None = None

    def with_flag(self, flag: str) -> QC:
        """Return it with a flag that its cells have raised."""
        return self if flag in self.flags else replace(self, flags=(*self.flags, flag))


class _BoxFigures(NamedTuple):
    """What one box of pixels tells."""

    tissue_px: int
    saturated_px: int
    edge_um: FloatArray
    od: NDArray[np.floating[Any]]  # (n, 3) of some of its pixels of tissue
    variation: ColourVariation | None


def judge(
    constants: Any,
    source: PixelSource,
    *,
    picture: tuple[NDArray[Any], PixelSize] | None = None,
) -> QC:
    """Return the quality of one slide.

    Parameters
    ----------
    constants
        Calibration of the slide.
    source
        The slide at the pixel size it is read at.
    picture
        Overview of the slide and its pixel size, see `read_overview`; with None artefacts are not looked for.

    Notes
    -----
    Everything but artefacts comes from at most 24 boxes of 256 pixels, the same ones each time, so the cost
    does not grow with the slide.
    """
    white, px = constants.white, source.pixel_size
    matrix = None if white is None else stain_matrix(list(constants.vectors.values()))
    artefact, share = EMPTY_POLYGON, None
    if matrix is not None and picture is not None:
        artefact = find_artefacts(*picture, white=white.rgb, matrix=matrix, tissue=constants.tissue)
        share = float(artefact.area / constants.tissue.area)
    clean = regions_of(constants.tissue.difference(artefact))  # ink is neither stain nor pigment
    boxes = [_figures(constants, source, box, clean) for box in sample_boxes(clean, source.shape, px)]
    normal = own_normal([b.variation for b in boxes if b.variation is not None], brown_of(constants.vectors))
    numbers: dict[str, float | None] = {"typical_nuclear_contrast": float(constants.typical)}
    numbers |= _numbers(boxes, normal) | _unexplained(boxes, matrix, constants.settings) | _own_light(constants)
    flags = flags_over(numbers)
    if (numbers["pigment_fraction"] or 0.0) > MAX_PIGMENT_FRACTION:
        flags.append("melanin_suspected")
    if px.mean_um > COARSE_UM:
        flags.append("pixel_size_coarse")
    return QC(
        flags=tuple(flags),
        numbers=numbers,
        white=None if white is None else white.rgb,
        vectors=constants.vectors or {},
        own_nuclear=constants.own_nuclear,
        brown_lent=constants.brown_lent,
        artefact=artefact,
        artefact_fraction=share,
        warnings=constants.warnings,
        stain_normal=None if normal is None else tuple(map(float, normal)),
    )


def flags_over(
    numbers: Mapping[str, Any],
    *,
    max_blurred_fraction: float = 0.1,
    max_saturated_fraction: float = 0.01,
    max_residual_od: float = 0.15,
) -> list[str]:
    """Return the flags of figures above the limits that a protocol can set; one that is missing raises none."""
    limits = (
        ("blurred", "blurred_fraction", max_blurred_fraction),
        ("saturated", "saturated_fraction", max_saturated_fraction),
        ("high_residual", "residual_od_95", max_residual_od),
        ("high_residual", "other_colour_fraction", MAX_OTHER_COLOUR),
    )
    found = ((flag, numbers.get(name), limit) for flag, name, limit in limits)
    return list(dict.fromkeys(flag for flag, value, limit in found if value is not None and value > limit))


def _figures(
    constants: Any,
    source: PixelSource,
    box: tuple[int, int, int, int],
    clean: MultiPolygon,
) -> _BoxFigures:
    """Return the figures of one box."""
    import cv2

    pixels, px = source.read(*box), source.pixel_size
    tissue = _tissue_in(clean, box, px)
    if constants.white is None:
        saturated = saturated_channels(pixels[:, :, list(constants.channel_index)])
        plane, least = constants.planes(pixels)[0], _LEAST_NUCLEAR * constants.typical
        stained, variation = np.empty((0, 3), dtype=np.float32), None
    else:
        saturated = saturated_rgb(pixels)
        plane, least = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), _LEAST_GREY
        od = picture_density(pixels, constants.white.rgb)
        step = (slice(None, None, _RESIDUAL_STEP),) * 2
        stained = od[step][tissue[step]]
        variation = colour_variation(od, tissue, px_um=px.mean_um)
    edges = edge_widths_um(plane, tissue, px_um=px.mean_um, least_range=least)
    return _BoxFigures(int(tissue.sum()), int((saturated & tissue).sum()), edges, stained, variation)


def _own_light(constants: Any) -> dict[str, float | None]:
    """Return the share of the autofluorescence channel that was taken off each channel of the panel."""
    if constants.autofluorescence is None:
        return {}
    markers = [channel.marker for channel in constants.settings.channels]
    shares = constants.autofluorescence.share
    return {f"autofluorescence_{marker}": float(k) for marker, k in zip(markers, shares, strict=True)}


def _tissue_in(tissue: MultiPolygon, box: tuple[int, int, int, int], px: PixelSize) -> BoolArray:
    """Return which pixels (rows, cols) of a box are tissue, drawn in steps of 8 pixels."""
    row0, row1, col0, col1 = box
    x0, y0 = col0 * px.x_um, row0 * px.y_um
    part = shapely.clip_by_rect(tissue, x0, y0, col1 * px.x_um, row1 * px.y_um)
    shifted = shapely.transform(part, lambda xy: xy - (x0, y0))
    rows, cols = (-(-n // _MASK_STEP) for n in (row1 - row0, col1 - col0))
    coarse = filled(regions_of(shifted), (rows, cols), px.scaled(_MASK_STEP, _MASK_STEP))
    return coarse.repeat(_MASK_STEP, axis=0).repeat(_MASK_STEP, axis=1)[: row1 - row0, : col1 - col0]


def _numbers(boxes: list[_BoxFigures], normal: FloatArray | None) -> dict[str, float | None]:
    """Return the slide's figures from those of its boxes; None where nothing could be judged."""
    edges = np.concatenate([np.empty(0), *(b.edge_um for b in boxes)])
    tissue_px = sum(b.tissue_px for b in boxes)
    return {
        "edge_width_um": float(np.median(edges)) if len(edges) else None,
        "blurred_fraction": float((edges > BLURRED_UM).mean()) if len(edges) else None,
        "saturated_fraction": sum(b.saturated_px for b in boxes) / tissue_px if tissue_px else None,
        "pigment_fraction": pigment_fraction([b.variation for b in boxes if b.variation is not None], normal),
    }


def _unexplained(boxes: list[_BoxFigures], matrix: FloatArray | None, settings: Any) -> dict[str, float | None]:
    """Return how much colour the stains leave; None in fluorescence, or without tissue."""
    od = np.concatenate([np.empty((0, 3)), *(b.od for b in boxes)])
    if matrix is None or not len(od):
        return {"residual_od_95": None, "other_colour_fraction": None}
    marker = np.array([stain.marker != NUCLEI for stain in settings.stains])
    return {
        "residual_od_95": float(np.percentile(unexplained_od(od, matrix), 95)),
        "other_colour_fraction": other_colour_fraction(od, matrix, marker),
    }
