"""Regions drawn in QuPath, ImageScope, HALO and ASAP."""

from spatial_til.io.annotations.fit import check_cells_fit, check_in_image, check_tumor_fits
from spatial_til.io.annotations.reading import read_annotations

__all__ = ["check_cells_fit", "check_in_image", "check_tumor_fits", "read_annotations"]
