"""Stain vectors from the colours of slides, kept near the presets, and taken only where they explain more.

A picture does not say what its stains are: any vectors that lie further apart explain it too. So a preset is
moved only as far as the colours ask. Of all vectors that explain them the nearest to the preset is also nearer
to the true ones, which are among them.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.errors import ProtocolError
from spatial_til.model import BoolArray, FloatArray, PixelSource
from spatial_til.segmentation.overview import sample_boxes
from spatial_til.segmentation.stains import check_stains, optical_density
from spatial_til.segmentation.tissue import mask_of

#: Fainter colours (length of the optical density) say little of their direction. Project defaults, as what follows.
STAINED_OD = 0.2
#: Colours of a slide, and of a pool, that are looked at.
PER_SLIDE, PER_POOL = 5000, 8000
#: A colour is explained where the best mix of stains comes within this many grey levels of it.
EXPLAINED_LEVELS = 8.0
#: Beyond this distance a colour is foreign (pigment, blood, ink) and pulls no harder.
_FOREIGN_LEVELS = 28.0
#: How vectors of other scanners and batches scatter around the presets, and how much the colours weigh against that.
_PRIOR_DEG, _WEIGHT, _LEVELS = 5.0, 50.0, 2.0
#: A vector moves where this share of colours is mostly of its stain.
_LEAST_MARKED = 0.01
#: The nuclear stain: colours at least this strong, mostly of it; of these the purest share, and at least this many.
_PURE_OD, _PURE_MOST, _PUREST, _LEAST_PURE = 0.3, 0.6, 0.1, 40
#: No vector moves further than this.
MAX_TURN_DEG = 20.0
#: An estimate is taken where the preset leaves this share unexplained, and the estimate at most half as much.
_LEAST_UNEXPLAINED, _BETTER = 0.02, 0.5


class VectorEstimate(NamedTuple):
    """Stain vectors of a pool of slides, and how well they and the presets explain its colours.

    Attributes
    ----------
    vectors
        (k, 3) unit vectors: the estimate where it was taken, else the presets.
    accepted
        Whether the estimate was taken.
    unexplained_preset, unexplained
        Share of stained colours that lie more than 8 grey levels from any mix of the presets, of the estimate.
    """

    vectors: FloatArray
    accepted: bool
    unexplained_preset: float
    unexplained: float


def sample_colours(source: PixelSource, tissue: MultiPolygon, white: tuple[float, float, float]) -> NDArray[np.float16]:
    """Return up to 5000 optical densities (n, 3) of stained tissue, the same ones each time.

    Parameters
    ----------
    source
        The slide at the pixel size it is measured at.
    tissue
        In µm.
    white
        Grey levels of glass.
    """
    px, parts = source.pixel_size, [np.empty((0, 3))]
    for row0, row1, col0, col1 in sample_boxes(tissue, source.shape, px):
        od = optical_density(source.read(row0, row1, col0, col1), white)
        shifted = _shifted(tissue, col0 * px.x_um, row0 * px.y_um)
        stained = mask_of(shifted, od.shape[:2], px) & (np.linalg.norm(od, axis=2) > STAINED_OD)
        parts.append(od[stained])
    colours = np.concatenate(parts)
    return colours[:: max(-(-len(colours) // PER_SLIDE), 1)].astype(np.float16)


def estimate_vectors(colours: FloatArray, presets: FloatArray, free: BoolArray, nuclear: int) -> VectorEstimate:
    """Return stain vectors for colours pooled over slides.

    Parameters
    ----------
    colours
        (n, 3) optical densities of stained tissue, see `sample_colours`.
    presets
        (k, 3) unit vectors to start from.
    free
        (k,) which of them may move.
    nuclear
        Index of the nuclear stain.

    Notes
    -----
    The nuclear stain is read off its purest tenth of pixels: it is everywhere. Marker stains lie on top of
    it and are seldom pure; they move from their preset as far as is needed to explain what is seen (exact
    non-negative least squares), against a prior of 5 degrees. Vectors are rounded to hundredths.
    """
    colours = colours[:: max(-(-len(colours) // PER_POOL), 1)]
    before = _unexplained(colours, presets)
    estimate = presets.copy()
    if free[nuclear]:
        estimate[nuclear] = _purest(colours, presets, nuclear)
    movable = free & _marked(colours, estimate, nuclear)
    if movable.any():
        estimate = _moved(colours, estimate, movable)
    estimate = np.round(estimate, 2)
    estimate /= np.linalg.norm(estimate, axis=1, keepdims=True)
    after = _unexplained(colours, estimate)
    better = before >= _LEAST_UNEXPLAINED and after <= _BETTER * before
    accepted = bool(better and turn_deg(estimate, presets).max() <= MAX_TURN_DEG and separable(estimate))
    return VectorEstimate(estimate if accepted else presets, accepted, before, after)


def unexplained_levels(colours: FloatArray, vectors: FloatArray) -> FloatArray:
    """Return how many grey levels (n,) lie between each colour and the nearest non-negative mix of stains.

    Measured in grey levels, since that is where noise is the same for pale and dark colours.
    """
    nearest = colours.copy()
    least = np.einsum("ij,ij->i", colours, colours)
    for size in range(1, len(vectors) + 1):
        for chosen in combinations(range(len(vectors)), size):
            part = vectors[list(chosen)]
            amounts = colours @ np.linalg.pinv(part)
            rest = colours - amounts @ part
            length = np.einsum("ij,ij->i", rest, rest)
            better = (amounts.min(axis=1) >= 0) & (length < least)
            nearest[better], least[better] = rest[better], length[better]
    return np.asarray(np.linalg.norm(nearest * np.log(10) * 255 * 10.0**-colours, axis=1))


def _unexplained(colours: FloatArray, vectors: FloatArray) -> float:
    return float((unexplained_levels(colours, vectors) > EXPLAINED_LEVELS).mean()) if len(colours) else 0.0


def _purest(colours: FloatArray, presets: FloatArray, nuclear: int) -> FloatArray:
    """Return the direction of the colours with the largest share of nuclear stain."""
    vectors, strength = presets.copy(), np.linalg.norm(colours, axis=1)
    for _ in range(5):
        amounts = colours @ np.linalg.pinv(vectors)
        share = amounts[:, nuclear] / np.maximum(amounts.sum(axis=1), 1e-6)
        mostly = (strength > _PURE_OD) & (share > _PURE_MOST)
        if mostly.sum() < max(_LEAST_MARKED * len(colours), _LEAST_PURE):
            return np.asarray(presets[nuclear])
        purest = max(_PUREST, _LEAST_PURE / int(mostly.sum()))
        pure = mostly & (share >= np.quantile(share[mostly], 1 - purest))
        middle = np.median(colours[pure] / strength[pure, None], axis=0)
        vectors[nuclear] = middle / np.linalg.norm(middle)
    return np.asarray(vectors[nuclear])


def _marked(colours: FloatArray, vectors: FloatArray, nuclear: int) -> BoolArray:
    """Return which stains (k,) are markers whose own colour is seen, more than all others', in enough places."""
    if not len(colours):
        return np.zeros(len(vectors), dtype=np.bool_)
    amounts = np.maximum(colours @ np.linalg.pinv(vectors), 0)
    mostly = (amounts > STAINED_OD) & (2 * amounts > amounts.sum(axis=1, keepdims=True))
    return np.asarray((mostly.mean(axis=0) >= _LEAST_MARKED) & (np.arange(len(vectors)) != nuclear))


def _moved(colours: FloatArray, start: FloatArray, movable: BoolArray) -> FloatArray:
    """Return the vectors nearest to `start` that explain the colours."""
    from scipy.optimize import least_squares

    across = np.array([_tangents(v) for v in start[movable]])
    weight = np.sqrt(_WEIGHT / len(colours)) / _LEVELS

    def vectors(turns: FloatArray) -> FloatArray:
        moved = start.copy()
        moved[movable] += np.einsum("jt,jtc->jc", turns.reshape(-1, 2), across)
        moved = np.maximum(moved, 0)
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True))

    def misfit(turns: FloatArray) -> FloatArray:
        beyond = np.clip(unexplained_levels(colours, vectors(turns)), EXPLAINED_LEVELS, _FOREIGN_LEVELS)
        return np.concatenate((weight * (beyond - EXPLAINED_LEVELS), np.degrees(turns) / _PRIOR_DEG))

    still = np.zeros(2 * int(movable.sum()))
    found = least_squares(misfit, still, diff_step=np.full(len(still), 1e-3), x_scale=0.05, max_nfev=20)
    return vectors(found.x)


def _tangents(vector: FloatArray) -> FloatArray:
    """Return two unit vectors (2, 3) at right angles to one."""
    first = np.cross(vector, np.eye(3)[int(np.argmin(vector))])
    first /= np.linalg.norm(first)
    return np.array((first, np.cross(vector, first)))


def turn_deg(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the angles (k,) between unit vectors (k, 3)."""
    return np.asarray(np.degrees(np.arccos(np.clip(np.einsum("ij,ij->i", a, b), -1, 1))))


def separable(vectors: FloatArray) -> bool:
    """Return whether stains of these vectors (k, 3) can be told apart."""
    try:
        check_stains({str(i): tuple(v) for i, v in enumerate(vectors)})
    except ProtocolError:
        return False
    return True


def _shifted(tissue: MultiPolygon, x_um: float, y_um: float) -> MultiPolygon:
    moved: MultiPolygon = shapely.transform(tissue, lambda xy: xy - (x_um, y_um))
    return moved
