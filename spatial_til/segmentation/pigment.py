"""Brown pigment that is no chromogen: melanin, told by its colour from DAB on membranes.

Melanin absorbs red more than DAB does, and green less than any mix of DAB and hematoxylin of the same hue.
Scanners turn colours by several degrees, which is as much as that difference; so colours are compared with
the slide's own hematoxylin and brown, and only how they vary over 2 µm, which leaves out haze and light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import BoolArray, FloatArray
from spatial_til.segmentation.stains import PRESETS

#: Working pixel size: granules of 0.5 µm are still seen.
_WORK_UM = 0.5
_NOISE_UM, _LOCAL_UM = 0.4, 2.0
#: Least variation (OD, standard deviation) of blue to look for pigment, and of red and blue to fit the stains to.
_LEAST_BLUE, _SURE_RED, _SURE_BLUE = 0.05, 0.08, 0.08
#: Red over blue: DAB 0.35, melanin 0.65 to 1, hematoxylin 2.2. Project defaults, as what follows.
_WINDOW_RED = (0.65, 1.2)
#: Sine of the angle by which pigment lies off the plane of hematoxylin and brown, towards less green.
_LEAST_OFF_PLANE = 0.06
#: Least correlation of red and blue in a window: pigment is one substance. JPEG that keeps colour more coarsely than
#: brightness leaves haloes of a colour off the stains around sharp brown membranes, too, but there red and blue vary
#: apart. Project default.
_ONE_SUBSTANCE = 0.85
#: Windows from which the slide's own hematoxylin is read, and its brown; with fewer the panel's is used.
_LEAST_WINDOWS, _LEAST_BROWN = 200, 30
#: Sines of angles off the plane of hematoxylin and the panel's brown: how far scanners turn it, how finely and with
#: what width (standard deviation) colours are counted, and how near those of a mode lie, which are this share of all.
_MOST_TURNED, _BIN, _MODE_WIDTH, _NEAR_MODE, _MODE_SHARE = 0.12, 0.005, 0.02, 0.03, 0.1
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
    """Return how colours vary within 2 µm, over 2 x 2 working pixels of tissue where red or blue varies at all.

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
    r, g, b = cv2.split(varying)
    half = (-(-shape[0] // 2), -(-shape[1] // 2))
    means = (cv2.resize(p, half, interpolation=cv2.INTER_AREA) for p in (r * r, r * g, r * b, g * b, b * b))
    products = [cv2.GaussianBlur(p, (0, 0), _LOCAL_UM / (2 * um)) for p in means]
    on = tissue[::step, ::step][: shape[1] : 2, : shape[0] : 2]
    kept = on & ((products[4] > _LEAST_BLUE**2) | (products[0] > _SURE_RED**2))
    rr, rg, rb, gb, bb = (np.asarray(p[kept], dtype=np.float32) for p in products)
    return ColourVariation(rr, rg, rb, gb, bb, int(on.sum()))


def own_normal(parts: Sequence[ColourVariation], brown: Sequence[float] = PRESETS["dab"]) -> FloatArray | None:
    """Return the unit direction across the slide's own hematoxylin and brown, towards green.

    None where too little tissue varies in colour to know the slide's hematoxylin.

    Parameters
    ----------
    brown
        Stain vector of the panel: the slide's own is looked for near it, and where too little is brown it is taken.

    Notes
    -----
    Places where a red chromogen lies beside brown look brown, too, but greener, and may outnumber those of brown
    alone. So of the colours that are most frequent, the least green one near the panel's brown is the slide's.
    """
    if not parts:
        return None
    rr, rg, rb, gb, bb = _joined(parts)
    nuclei = (rr > _SURE_RED**2) & (rb < 0.7 * rr)
    if nuclei.sum() < _LEAST_WINDOWS:
        return None
    hematoxylin = _unit(rr[nuclei].sum(), rg[nuclei].sum(), rb[nuclei].sum())
    sure = (bb > _SURE_BLUE**2) & (rb < 0.55 * bb) & (gb < 1.15 * bb)
    normal = _across(hematoxylin, _unit(*brown))
    own = _least_green(np.column_stack((rb[sure], gb[sure], bb[sure])), normal)
    return normal if own is None else _across(hematoxylin, own)


def _least_green(colours: FloatArray, normal: FloatArray) -> FloatArray | None:
    """Return the mean of the colours (n, 3) about the first mode of how they lie off a plane; None where there is none.

    Colours count by how much they vary. A mode has a share of them near it, and lies near the plane.
    """
    lies, weight = -off_plane(colours, normal), np.linalg.norm(colours, axis=1)
    bins = np.round(np.arange(-_MOST_TURNED, _MOST_TURNED + _BIN / 2, _BIN), 3)
    counted = np.histogram(lies, bins=np.append(bins, bins[-1] + _BIN) - _BIN / 2, weights=weight)[0]
    reach = round(4 * _MODE_WIDTH / _BIN)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _BIN / _MODE_WIDTH) ** 2)
    height = np.convolve(counted, kernel, mode="same")
    for k in range(1, len(bins) - 1):
        if height[k] > height[k + 1] and height[k] >= height[k - 1]:
            near = np.abs(lies - bins[k]) < _NEAR_MODE
            if near.sum() >= _LEAST_BROWN and weight[near].sum() >= _MODE_SHARE * weight.sum():
                return np.asarray(colours[near].sum(axis=0))
    return None


def is_brown(vector: Sequence[float]) -> bool:
    """Return whether a stain takes away blue most: melanin may look like it."""
    return int(np.argmax(vector)) == 2


def brown_of(vectors: Mapping[str, Sequence[float]] | None) -> Sequence[float]:
    """Return the panel's brown stain, the published one of DAB where there is none."""
    return next(filter(is_brown, (vectors or {}).values()), PRESETS["dab"])


def _across(hematoxylin: FloatArray, brown: FloatArray) -> FloatArray:
    normal = np.cross(hematoxylin, brown)
    return np.asarray(normal * np.sign(normal[1]) / np.linalg.norm(normal))


def off_plane(direction: FloatArray, normal: FloatArray) -> FloatArray:
    """Return the sine of the angle by which colours (n, 3) lie off the plane of a slide's stains, to less green."""
    return np.asarray(-(direction @ normal) / np.linalg.norm(direction, axis=1))


def pigment_fraction(parts: Sequence[ColourVariation], normal: FloatArray | None) -> float | None:
    """Return the share of tissue with brown pigment: of one substance, and no mix of the slide's hematoxylin and brown.

    None where those are not known (`normal`, see `own_normal`).
    """
    if normal is None:
        return None
    rr, _, rb, gb, bb = _joined(parts)
    seen = (bb > _LEAST_BLUE**2) & (rb > _ONE_SUBSTANCE * np.sqrt(rr * bb))
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
