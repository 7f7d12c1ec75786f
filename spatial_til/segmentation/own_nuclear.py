"""The colour of the nuclear stain on a slide itself, beside which its chromogens are unmixed.

Colours of scanners and batches lie 2 to 4 degrees off the vectors that a panel names, and the nuclear stain is the
darkest and lies everywhere: 0.6 OD of it that is 3 degrees off is seen as up to 0.1 OD of a chromogen that is not
there, or hides as much that is. Its own colour is what stands out in nuclei: haze and light do not.
What nuclei have of a chromogen's colour is a median over their pixels, since stained membranes lie near some of them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.model import FloatArray, PixelSource
from spatial_til.segmentation.overview import sample_boxes
from spatial_til.segmentation.stains import picture_density
from spatial_til.segmentation.vectors import MAX_TURN_DEG, separable, turn_deg

#: µm. Noise is smoothed as for membranes, and nuclei stand out from the mean of squares of this side.
_FINE_UM, _AROUND_UM = 0.5, 8.5
#: Least OD by which a stain stands out; the others do so by at most this share of it. Project defaults.
LEAST_OD, MOST_OTHER = 0.1, 0.5
#: Pixels of nuclei, with fewer of which the panel's vector stands.
_LEAST_PX = 5000


def standing_out(
    source: PixelSource, tissue: MultiPolygon, white: tuple[float, float, float], matrix: FloatArray
) -> FloatArray:
    """Return the amounts (n, k) of stain by which pixels stand out, where any stain does so by 0.1 OD.

    Parameters
    ----------
    tissue
        In µm.
    white
        Grey levels of glass.
    matrix
        (k, 3) unit stain vectors of the panel.
    """
    weights = np.linalg.pinv(matrix)

    def of_box(box: tuple[int, int, int, int]) -> FloatArray:
        amounts = _standing_out(source.read(*box), white, source.pixel_size.mean_um) @ weights
        return np.asarray(amounts[(amounts > LEAST_OD).any(axis=1)])

    with ThreadPoolExecutor(2) as pool:
        seen = pool.map(of_box, sample_boxes(tissue, source.shape, source.pixel_size))
        return np.concatenate([np.empty((0, len(matrix))), *seen])


def with_own_nuclear(standing: FloatArray, matrix: FloatArray, nuclear: int) -> FloatArray:
    """Return the stain vectors (k, 3) with that of the nuclear stain as the nuclei of the slide have it.

    The panel's stands where too little is seen, where the slide's lies more than 20 degrees off it, or too near
    another stain's.

    Parameters
    ----------
    standing
        (n, k) amounts by which pixels stand out, see `standing_out`.
    matrix
        (k, 3) unit stain vectors of the panel.
    nuclear
        Index of the nuclear stain.
    """
    others = np.flatnonzero(np.arange(len(matrix)) != nuclear)
    amounts = standing[standing[:, nuclear] > LEAST_OD]
    pure = np.abs(amounts[:, others]) < MOST_OTHER * amounts[:, [nuclear]]
    amounts = amounts[pure.all(axis=1)]
    if len(amounts) < _LEAST_PX:
        return matrix
    own, stain = np.array(matrix), amounts[:, nuclear]
    for k in others:
        own[nuclear] += weighted_median(amounts[:, k] / stain, stain**2) * matrix[k]
    own[nuclear] = np.maximum(own[nuclear], 0)
    own[nuclear] /= np.linalg.norm(own[nuclear])
    return own if turn_deg(own, matrix).max() <= MAX_TURN_DEG and separable(own) else matrix


def weighted_median(values: FloatArray, weights: FloatArray) -> float:
    """Return the value that half of the weight lies below, in thousandths: counted, which is faster than sorting."""
    thousandths = np.rint(1000 * values).astype(np.int64)
    lowest = thousandths.min()
    below = np.cumsum(np.bincount(thousandths - lowest, weights))
    return float(lowest + np.searchsorted(below, below[-1] / 2)) / 1000


def _standing_out(rgb: NDArray[np.uint8], white: tuple[float, float, float], px_um: float) -> FloatArray:
    """Return the optical densities (n, 3) of a picture's pixels above those around."""
    import cv2

    od = picture_density(rgb, white)
    side = 2 * round((_AROUND_UM / px_um - 1) / 2) + 1
    out = cv2.GaussianBlur(od, (0, 0), _FINE_UM / px_um) - cv2.blur(od, (side, side))
    return np.asarray(out.reshape(-1, 3))
