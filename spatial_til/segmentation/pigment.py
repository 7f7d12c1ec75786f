"""Brown pigment that is no chromogen: melanin, told by its colour from DAB on membranes.

Melanin absorbs red more than DAB does, and green less than any mix of DAB and hematoxylin of the same hue.
Scanners turn colours by several degrees, which is as much as that difference; so colours are compared with
the slide's own hematoxylin and brown, and only how they vary over 2 µm, which leaves out haze and light.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import BoolArray, FloatArray
from spatial_til.segmentation.stains import PRESETS

#: Working pixel size: granules of 0.5 µm are still seen.
_WORK_UM = 0.5
_NOISE_UM, _LOCAL_UM = 0.4, 2.0
#: Least variation (OD, standard deviation) of blue to look for pigment, and of red and blue to fit the stains to.
_LEAST_BLUE, _SURE_RED, _SURE_BLUE = 0.05, 0.08, 0.1
#: Red over blue: DAB 0.35, melanin 0.65 to 1, hematoxylin 2.2. Project defaults, as what follows.
_WINDOW_RED = (0.65, 1.2)
#: Sine of the angle by which pigment lies off the plane of hematoxylin and brown, towards less green.
_LEAST_OFF_PLANE = 0.08
#: Windows from which the slide's own stain colours are read; with fewer the published ones are used.
_LEAST_WINDOWS = 200
#: More than this share of tissue is pigment: about 15 laden cells per mm².
MAX_PIGMENT_FRACTION = 5e-4


class ColourVariation(NamedTuple):
    """Local covariance of optical densities at places that vary: (n,) each; and how many places there were."""

    rr: NDArray[np.float32]
    rg: NDArray[np.float32]
    rb: NDArray[np.float32]
    gb: NDArray[np.float32]
    bb: NDArray[np.float32]
    places: int


def colour_variation(od: NDArray[np.float32], tissue: BoolArray, *, px_um: float) -> ColourVariation:
    """Return how colours vary within 2 µm, at every other working pixel of tissue where red or blue varies at all.

    Parameters
    ----------
    od
        (rows, cols, 3) optical density.
    tissue
        (rows, cols) bool.
    """
    import cv2

    step = max(int(_WORK_UM / px_um), 1)
    shape = (max(od.shape[1] // step, 1), max(od.shape[0] // step, 1))
    small = od if step == 1 else cv2.resize(od, shape, interpolation=cv2.INTER_AREA)
    um = px_um * step
    smooth = cv2.GaussianBlur(small, (0, 0), _NOISE_UM / um)
    varying = smooth - cv2.GaussianBlur(smooth, (0, 0), _LOCAL_UM / um)
    r, g, b = (varying[:, :, c] for c in range(3))
    products = [cv2.GaussianBlur(p, (0, 0), _LOCAL_UM / um)[::2, ::2] for p in (r * r, r * g, r * b, g * b, b * b)]
    on = tissue[::step, ::step][: shape[1] : 2, : shape[0] : 2]
    kept = on & ((products[4] > _LEAST_BLUE**2) | (products[0] > _SURE_RED**2))
    rr, rg, rb, gb, bb = (np.asarray(p[kept], dtype=np.float32) for p in products)
    return ColourVariation(rr, rg, rb, gb, bb, int(on.sum()))


def own_normal(parts: Sequence[ColourVariation]) -> FloatArray | None:
    """Return the unit direction across the slide's own hematoxylin and brown, towards green.

    None where too little tissue varies in colour to know the slide's hematoxylin.
    """
    if not parts:
        return None
    rr, rg, rb, gb, bb = _joined(parts)
    nuclei = (rr > _SURE_RED**2) & (rb < 0.7 * rr)
    if nuclei.sum() < _LEAST_WINDOWS:
        return None
    hematoxylin = _unit(rr[nuclei].sum(), rg[nuclei].sum(), rb[nuclei].sum())
    sure = (bb > _SURE_BLUE**2) & (rb < 0.55 * bb) & (gb < 1.15 * bb)
    enough = sure.sum() >= _LEAST_WINDOWS
    brown = _unit(rb[sure].sum(), gb[sure].sum(), bb[sure].sum()) if enough else _unit(*PRESETS["dab"])
    normal = np.cross(hematoxylin, brown)
    return np.asarray(normal * np.sign(normal[1]) / np.linalg.norm(normal))


def off_plane(direction: FloatArray, normal: FloatArray) -> FloatArray:
    """Return the sine of the angle by which colours (n, 3) lie off the plane of a slide's stains, to less green."""
    return np.asarray(-(direction @ normal) / np.linalg.norm(direction, axis=1))


def pigment_fraction(parts: Sequence[ColourVariation]) -> float | None:
    """Return the share of tissue with brown pigment that is no mix of the slide's hematoxylin and brown.

    None where the slide's hematoxylin is not known, see `own_normal`.
    """
    normal = own_normal(parts)
    if normal is None:
        return None
    _, _, rb, gb, bb = _joined(parts)
    seen = bb > _LEAST_BLUE**2
    direction = np.column_stack((rb[seen], gb[seen], bb[seen])) / bb[seen][:, None]
    low, high = _WINDOW_RED
    off = off_plane(direction, normal)
    pigment = (direction[:, 0] > low) & (direction[:, 0] < high) & (off > _LEAST_OFF_PLANE)
    return float(pigment.sum() / max(sum(part.places for part in parts), 1))


def _joined(parts: Sequence[ColourVariation]) -> list[FloatArray]:
    return [np.concatenate(arrays).astype(np.float64) for arrays in list(zip(*parts, strict=True))[:5]]


def _unit(*direction: Any) -> FloatArray:
    vector = np.array(direction, dtype=np.float64)
    return np.asarray(vector / np.linalg.norm(vector))
