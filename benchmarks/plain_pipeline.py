"""The yardstick: nuclei and CD8+ cells the way a short scikit-image script finds them.

FROZEN. Speed and accuracy of the package are stated as ratios to, and beside, this script; changing it
would change the ruler. It is what the tutorials do, with their parameters in µm.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops_table
from skimage.segmentation import expand_labels, watershed

SIGMA_UM = 0.75
MIN_AREA_UM2 = 10.0
MIN_DISTANCE_UM = 2.5
EXPANSION_UM = 2.0
DAB_OD = 0.2  # mean over the cell
LN1E6_PER_LN10 = 6.0  # rgb2hed divides optical densities by 6


def run(rgb: np.ndarray, pixel_size_um: float = 0.5) -> dict[str, np.ndarray]:
    """Return x_um, y_um, area_um2, dab_od and CD8_positive of every nucleus in an RGB image."""
    um = pixel_size_um
    hed = rgb2hed(rgb) * LN1E6_PER_LN10
    smooth = gaussian(hed[..., 0], SIGMA_UM / um)
    mask = smooth > threshold_otsu(smooth)
    objects = label(mask)
    mask &= (np.bincount(objects.ravel()) * um**2 > MIN_AREA_UM2)[objects]
    mask = ndi.binary_fill_holes(mask)
    distance = ndi.distance_transform_edt(mask)
    peaks = peak_local_max(distance, min_distance=round(MIN_DISTANCE_UM / um), labels=label(mask))
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    nuclei = watershed(-distance, markers, mask=mask)
    cells = expand_labels(nuclei, EXPANSION_UM / um)
    shape = regionprops_table(nuclei, properties=("label", "centroid", "area"))
    stain = regionprops_table(cells, intensity_image=hed[..., 2], properties=("label", "mean_intensity"))
    return {
        "x_um": (shape["centroid-1"] + 0.5) * um,
        "y_um": (shape["centroid-0"] + 0.5) * um,
        "area_um2": shape["area"] * um**2,
        "dab_od": stain["mean_intensity"],
        "CD8_positive": stain["mean_intensity"] > DAB_OD,
    }
