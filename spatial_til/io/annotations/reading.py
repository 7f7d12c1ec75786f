"""Annotation files of every kind to regions in µm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from spatial_til.errors import AnnotationError
from spatial_til.geometry.polygons import polygonal
from spatial_til.geometry.validity import make_valid_polygon
from spatial_til.io.annotations.asap import asap_regions
from spatial_til.io.annotations.classes import UNCLASSIFIED, meaning_of
from spatial_til.io.annotations.drawn import Drawn
from spatial_til.io.annotations.fit import check_in_image
from spatial_til.io.annotations.layers import layer_regions
from spatial_til.io.annotations.qupath import read_qupath
from spatial_til.model import Annotations
from spatial_til.units import PixelSize, corners_to_um

MAX_FILE_BYTES = 256 << 20
#: No slide has coordinates beyond this; such numbers come from damaged files or other units.
MAX_COORDINATE_PX = 1e7
MAX_AREA_CHANGE = 0.01
_XML_READERS = {"Annotations": layer_regions, "ASAP_Annotations": asap_regions}


def read_annotations(
    paths: Sequence[str | Path], *, pixel_size: PixelSize, image_shape: tuple[int, int] | None
) -> Annotations:
    """Read the regions drawn on one slide.

    Parameters
    ----------
    paths
        QuPath GeoJSON, ImageScope XML, HALO .annotations or ASAP XML, in pixel corners of the
        full-resolution image. Regions of one class are joined, over all files.
    pixel_size
        Of the full-resolution image.
    image_shape
        Its rows and columns; None where there is no image, and nothing can be checked against it.

    Returns
    -------
    annotations
        In µm, valid. Classes without meaning here, and lines and points, are in `ignored_classes`.

    Raises
    ------
    AnnotationError
        A file cannot be read; a repair would change an area by more than 1 %; tumour or tissue lies
        mostly outside the image.
    """
    parts: dict[str, list[BaseGeometry]] = {}
    ignored: set[str] = set()
    repairs: list[str] = []
    for path in map(Path, paths):
        for number, drawn in enumerate(_read(path), start=1):
            meaning = meaning_of(drawn.name)
            if meaning is None or drawn.polygon is None:
                ignored.add(_ignored_name(drawn, meaning))
                continue
            where = f"{path}: region {number} ({drawn.name})"
            region = _repaired(drawn.polygon, where, repairs)
            cuts = [_repaired(cut, f"{where}, negative region", repairs) for cut in drawn.cuts]
            parts.setdefault(meaning, []).append(region.difference(shapely.union_all(cuts)) if cuts else region)
    regions = {meaning: _joined(polygons, pixel_size) for meaning, polygons in parts.items()}
    if image_shape is not None:
        for meaning in ("tumor", "tissue"):
            if meaning in regions:
                check_in_image(meaning, regions[meaning], _image_box(image_shape, pixel_size))
    return Annotations(**regions, ignored_classes=tuple(sorted(ignored)), repairs=tuple(repairs))


def _ignored_name(drawn: Drawn, meaning: str | None) -> str:
    name = drawn.name or UNCLASSIFIED
    return name if meaning is None else f"{name} ({drawn.kind}, no area)"


def _read(path: Path) -> list[Drawn]:
    """Return the regions of one file, whose kind is told by its first character and root."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(64).lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    except OSError as error:
        msg = f"{path}: the annotation cannot be opened ({error.strerror}). Correct the path in the sheet."
        raise AnnotationError(msg) from error
    if size > MAX_FILE_BYTES:
        msg = f"{path}: {size >> 20} MiB are too much for regions. Export annotations only, without cells."
        raise AnnotationError(msg)
    if start.startswith((b"{", b"[")):
        return read_qupath(path)
    if start.startswith(b"<"):
        return _read_xml(path)
    msg = (
        f"{path}: it is neither GeoJSON nor XML. Export QuPath GeoJSON, ImageScope XML, HALO .annotations or ASAP XML."
    )
    raise AnnotationError(msg)


def _read_xml(path: Path) -> list[Drawn]:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import parse

    try:
        root: Element | None = parse(path).getroot()
    except DefusedXmlException as error:
        msg = f"{path}: it declares entities ({type(error).__name__}); that is refused as unsafe."
        raise AnnotationError(msg) from None
    except (ParseError, ValueError) as error:
        msg = f"{path}: it is not valid XML ({error}). Export the annotations again."
        raise AnnotationError(msg) from error
    reader = _XML_READERS.get(root.tag) if root is not None else None
    if root is None or reader is None:
        msg = f"{path}: the XML is neither ImageScope, HALO nor ASAP. Export one of these, or QuPath GeoJSON."
        raise AnnotationError(msg)
    try:
        return reader(root, path)
    except ValueError as error:
        msg = f"{path}: a region has a coordinate that is no number ({error}). Export the annotations again."
        raise AnnotationError(msg) from error


def _repaired(polygon: Polygon, where: str, repairs: list[str]) -> MultiPolygon:
    """Return a valid region, telling `repairs` what changed and refusing more than 1 % of the area."""
    farthest = max((abs(v) for v in polygon.bounds), default=0.0)
    if farthest > MAX_COORDINATE_PX:
        msg = f"{where}: a coordinate of {farthest:.3g} px lies on no slide. Draw it again."
        raise AnnotationError(msg)
    try:
        region, change = make_valid_polygon(polygon)
    except AnnotationError as error:
        msg = f"{where}: {error}"
        raise AnnotationError(msg) from None
    if change > MAX_AREA_CHANGE:
        msg = (
            f"{where}: the outline crosses itself, and making it valid would change its area by {100 * change:.1f} % "
            "(at most 1 %). Draw it again."
        )
        raise AnnotationError(msg)
    if not polygon.is_valid:
        repairs.append(f"{where} was made valid; its area changed by {100 * change:.2g} %.")
    return region


def _joined(polygons: list[BaseGeometry], px: PixelSize) -> MultiPolygon:
    joined = polygons[0] if len(polygons) == 1 else shapely.union_all(polygons)
    return polygonal(shapely.transform(joined, lambda xy: corners_to_um(xy, px)))


def _image_box(shape: tuple[int, int], px: PixelSize) -> Polygon:
    return shapely.box(0.0, 0.0, shape[1] * px.x_um, shape[0] * px.y_um)
