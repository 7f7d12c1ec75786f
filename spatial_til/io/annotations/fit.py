"""Whether regions belong to their slide: a wrong scale or a wrong slide is found before it is scored."""

from __future__ import annotations

from shapely.geometry import MultiPolygon, Polygon

from spatial_til.errors import AnnotationError

MIN_SHARE_IN_IMAGE = 0.5
MIN_SHARE_TISSUE = 0.01


def check_in_image(name: str, region: MultiPolygon, image_box: Polygon) -> None:
    """Refuse a region that lies mostly outside the image.

    Raises
    ------
    AnnotationError
        Less than half of it is inside.
    """
    share = region.intersection(image_box).area / region.area if region.area > 0 else 1.0
    if share < MIN_SHARE_IN_IMAGE:
        msg = (
            f"The {name} annotation must lie in the image, but {100 * (1 - share):.0f} % of it is outside: it was "
            "drawn on another slide or at another scale. Give this slide's, in full-resolution pixels."
        )
        raise AnnotationError(msg)


def check_tumor_fits(tumor: MultiPolygon, tissue: MultiPolygon, image_box: Polygon) -> None:
    """Refuse a tumour that is mostly outside the image, or that holds next to no tissue.

    Parameters
    ----------
    tumor, tissue
        In µm; tissue as detected or annotated.
    image_box
        The image's extent in µm.

    Raises
    ------
    AnnotationError
        Less than half of the tumour is in the image, or less than 1 % of it is tissue.
    """
    check_in_image("tumor", tumor, image_box)
    share = tumor.intersection(tissue).area / tumor.area if tumor.area > 0 else 1.0
    if share < MIN_SHARE_TISSUE:
        msg = (
            f"The tumor annotation must cover tissue, but {100 * share:.2g} % of it does: it was drawn on another "
            "slide or at another scale, or tissue was not found. Check it, or add a Tissue annotation."
        )
        raise AnnotationError(msg)
