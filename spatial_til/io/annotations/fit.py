"""Whether regions belong to their slide: a wrong scale or a wrong slide is found before it is scored."""

from __future__ import annotations

import shapely
from shapely.affinity import scale
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from spatial_til.errors import AnnotationError
from spatial_til.model import XY
from spatial_til.units import PixelSize

MIN_SHARE_IN_IMAGE = 0.5
MIN_SHARE_TISSUE = 0.01
#: Up to this share of a tumour on tissue, what is off it is told; outlines are drawn generously over a cut edge.
MIN_SHARE_UNSAID = 0.9
#: An outline may be in µm where so much more of it would be tissue.
UM_IS_BETTER = 0.05
_IN_UM = (
    "more of the tumour drawn would be tissue if its coordinates were µm: annotations must be in pixels of the "
    "full-resolution image, as QuPath exports them"
)
#: Cells that are looked at; the share of so many is known well enough.
MAX_CELLS = 20_000


def check_in_image(name: str, region: MultiPolygon, image_box: Polygon) -> None:
    """Refuse a region that lies mostly outside the image.

    Raises
    ------
    AnnotationError
        Less than half of it is inside.
    """
    share = _share(region, image_box)
    if share < MIN_SHARE_IN_IMAGE:
        msg = (
            f"The {name} annotation must lie in the image, but {100 * (1 - share):.0f} % of it is outside: it was "
            "drawn on another slide or at another scale. Give this slide's, in full-resolution pixels."
        )
        raise AnnotationError(msg)


def check_tumor_fits(
    tumor: MultiPolygon, tissue: MultiPolygon, image_box: Polygon | None, pixel_size: PixelSize | None = None
) -> tuple[str, ...]:
    """Refuse a tumour that is mostly outside the image, or that holds next to no tissue; say what looks wrong.

    Parameters
    ----------
    tumor, tissue
        In µm; tissue as detected or annotated.
    image_box
        The image's extent in µm; None where there is no image.
    pixel_size
        Of the full-resolution image, where it is known: an outline in µm is told by it.

    Returns
    -------
    tuple of str
        What a reader should look at: a tumour of which more than a tenth is off the tissue, and one that would cover
        tissue better if its coordinates were µm. Both are scored as drawn; the limits are project defaults.

    Raises
    ------
    AnnotationError
        Less than half of the tumour is in the image, or less than 1 % of it is tissue.
    """
    if image_box is not None:
        check_in_image("tumor", tumor, image_box)
    share = _share(tumor, tissue)
    if share < MIN_SHARE_TISSUE:
        msg = (
            f"The tumor annotation must cover tissue, but {100 * share:.2g} % of it does: it was drawn on another "
            "slide or at another scale, or tissue was not found. Check it, or add a Tissue annotation."
        )
        raise AnnotationError(msg)
    if share > MIN_SHARE_UNSAID:
        return ()
    said = f"{100 * (1 - share):.0f} % of the tumour drawn lies off the tissue and is not counted: look at the outline"
    if image_box is None or pixel_size is None:
        return (said,)
    in_um = scale(tumor, 1 / pixel_size.x_um, 1 / pixel_size.y_um, origin=(0, 0))
    better = _share(in_um, image_box) > MIN_SHARE_UNSAID and _share(in_um, tissue) > share + UM_IS_BETTER
    return (said, _IN_UM) if better else (said,)


def _share(region: BaseGeometry, of: BaseGeometry) -> float:
    """Return the share of a region that lies in another; 1 where it has no area."""
    return region.intersection(of).area / region.area if region.area > 0 else 1.0


def check_cells_fit(xy_um: XY, tissue: MultiPolygon) -> str:
    """Refuse cells of which next to none lie on the tissue; say how many do not where these are more than half.

    Parameters
    ----------
    xy_um
        (n, 2) x, y of the cells, in µm.
    tissue
        Before exclusions, in µm.

    Raises
    ------
    AnnotationError
        Less than 1 % of the cells lie on tissue.
    """
    some = xy_um[:: max(1, len(xy_um) // MAX_CELLS)]
    shapely.prepare(tissue)
    share = float(shapely.contains_xy(tissue, some).mean()) if len(some) else 1.0
    if share < MIN_SHARE_TISSUE:
        msg = (
            f"The cells must lie on the tissue, but {100 * share:.2g} % of them do: the annotation belongs to another "
            "slide, or pixel_size_um is not the µm in one of its pixels. Correct the sheet."
        )
        raise AnnotationError(msg)
    return f"{100 * (1 - share):.0f} % of the cells lie outside the tissue" if share < MIN_SHARE_IN_IMAGE else ""
