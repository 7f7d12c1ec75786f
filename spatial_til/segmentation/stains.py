"""Colours of a brightfield slide -> amounts of stain, in optical density.

Beer-Lambert: the optical density of a pixel is the sum of its stains, ``OD = C @ M`` with one unit vector
a row of M (Ruifrok & Johnston 2001). DAB scatters light and does not obey this law well, so its amount
serves to tell positive from negative, not as a level of expression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from spatial_til.errors import ProtocolError
from spatial_til.model import FloatArray
from spatial_til.segmentation.mixing import best_mixes, mixes_of
from spatial_til.segmentation.scratch import Scratch

#: Published optical-density vectors (R, G, B), as printed: normalised where they are used.
PRESETS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "hematoxylin": (0.65, 0.70, 0.29),
        "dab": (0.27, 0.57, 0.78),
        "aec": (0.2743, 0.6796, 0.6803),
        "fast_red": (0.21393921, 0.85112669, 0.47794022),
        "new_fuchsin": (0.0777851125, 0.804293475, 0.5886050475),
        "hrp_green": (0.8098939567, 0.4488181033, 0.3714423567),
        "fast_blue": (0.74890292, 0.60624161, 0.26731082),
        "methyl_green": (0.98003, 0.144316, 0.133146),
        "eosin": (0.2159, 0.8012, 0.5581),
    }
)
#: Above this condition number stains cannot be told apart; project default.
MAX_CONDITION = 20.0
#: Above this condition number, or below this angle, separation is noisy; project defaults.
WARN_CONDITION = 8.0
WARN_ANGLE_DEG = 15.0
#: One step of the stain planes in optical density.
OD_STEP = 0.01
#: Any channel at or below this grey level is saturated (OD above 1.7).
SATURATED_LEVEL = 5

_LEVELS = 128


def optical_density(rgb: ArrayLike, white: ArrayLike) -> FloatArray:
    """Return ``-log10(max(rgb, 1) / white)``, not below 0, for (..., 3) intensities.

    Examples
    --------
    >>> optical_density([255, 25.5, 255], [255, 255, 255]).round(3).tolist()
    [0.0, 1.0, 0.0]
    """
    levels = np.asarray(rgb)
    if levels.dtype == np.uint8:
        known = optical_density(np.arange(256.0)[:, None], white)
        return np.stack([known[levels[..., c], c] for c in range(3)], axis=-1)
    intensity = np.maximum(levels.astype(np.float64), 1.0)
    return np.asarray(np.maximum(-np.log10(intensity / np.asarray(white, dtype=np.float64)), 0.0))


def picture_density(rgb: NDArray[np.uint8], white: ArrayLike) -> NDArray[np.float32]:
    """Return `optical_density` of an 8-bit picture (rows, cols, 3) in single precision, looked up by grey level."""
    import cv2

    known = optical_density(np.arange(256)[None, :, None], white).astype(np.float32)
    return np.asarray(cv2.LUT(np.ascontiguousarray(rgb), known), dtype=np.float32)


def stain_matrix(vectors: ArrayLike) -> FloatArray:
    """Return the (k, 3) matrix of unit stain vectors, one a row, from k vectors of any length."""
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if rows.shape[1] != 3 or not 1 <= len(rows) <= 3:
        msg = f"A brightfield panel has one to three stains of three numbers each, found {rows.shape}"
        raise ProtocolError([msg])
    if not np.all(np.isfinite(rows)) or np.any(norms == 0) or np.any(rows < 0):
        msg = f"A stain vector has three finite numbers >= 0, not all 0, found {rows.tolist()}"
        raise ProtocolError([msg])
    return np.asarray(rows / norms)


def condition(matrix: FloatArray) -> float:
    """Return the condition number of a stain matrix; two stains are completed by their residual."""
    if len(matrix) == 2:
        residual = np.cross(matrix[0], matrix[1])
        length = float(np.linalg.norm(residual))
        if length < 1e-9:
            return float("inf")
        matrix = np.vstack((matrix, residual / length))
    return float(np.linalg.cond(matrix))


def check_stains(vectors: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """Return one warning for each poorly separable set or pair of stains.

    Parameters
    ----------
    vectors
        Stain name to optical-density vector (R, G, B); one to three stains.

    Raises
    ------
    ProtocolError
        If the stains cannot be told apart: condition number above 20, as DAB with AEC.
    """
    names = list(vectors)
    matrix = stain_matrix([vectors[name] for name in names])
    number = condition(matrix)
    if number > MAX_CONDITION:
        msg = (
            f"Stains must be separable (condition number <= {MAX_CONDITION:g}), found {number:.1f} for "
            f"{', '.join(names)}. Stain with chromogens further apart, or use fluorescence."
        )
        raise ProtocolError([msg])
    warnings = []
    if number > WARN_CONDITION:
        warnings.append(f"{', '.join(names)}: condition number {number:.1f}, amounts are noisy")
    for a, b in combinations(range(len(names)), 2):
        angle = float(np.degrees(np.arccos(np.clip(matrix[a] @ matrix[b], -1, 1))))
        if angle < WARN_ANGLE_DEG:
            warnings.append(f"{names[a]} and {names[b]} are {angle:.1f} degrees apart, amounts are noisy")
    return tuple(warnings)


def unmix_linear(rgb: ArrayLike, matrix: FloatArray, white: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return unconstrained least-squares amounts (..., k) and the signed residual (...,) for QC.

    The residual is the optical density along the direction no stain explains, for two stains their
    cross product; it is 0 for three stains, which explain any colour.
    """
    od = optical_density(rgb, white)
    amounts = od @ np.linalg.pinv(matrix)
    rest = od - amounts @ matrix
    if len(matrix) == 2:
        normal = np.cross(matrix[0], matrix[1])
        return amounts, np.asarray(rest @ (normal / np.linalg.norm(normal)))
    return amounts, np.asarray(np.linalg.norm(rest, axis=-1))


@njit(cache=True, nogil=True)
def _write_table(reds: Any, density: Any, solvers: Any, members: Any, matrix: Any, table: Any) -> None:
    """Fill (reds, L, L) words of four bytes: up to three amounts, and last what they leave."""
    levels, k = density.shape[1], len(matrix)
    od, amounts, left = np.empty((3, levels)), np.empty((k, levels)), np.empty(levels)
    words = np.empty(levels, dtype=np.int64)
    od[2] = density[2]
    for r in range(len(reds)):
        od[0] = reds[r]
        for g in range(levels):
            od[1] = density[1, g]
            best_mixes(od, solvers, members, matrix, amounts, left)
            words[:] = 0
            for j in range(k):
                _add_steps(amounts[j], 8 * j, words)
            for b in range(levels):
                left[b] = np.sqrt(left[b])
            _add_steps(left, 24, words)
            for b in range(levels):
                table[r, g, b] = np.uint32(words[b])


@njit(cache=True, nogil=True)
def _add_steps(od: Any, shift: int, words: Any) -> None:
    """Put optical densities in steps, at most 255, into a byte of each word; apart so that it is vectorised."""
    for b in range(len(words)):
        words[b] |= np.int64(min(od[b] / OD_STEP + 0.5, 255.0)) << shift


def _level_lookup(white: FloatArray) -> tuple[NDArray[np.uint8], FloatArray]:
    """Return grey level -> optical-density level (3, 256), and the density of each level (3, 128).

    128 levels suffice: each grey level below 35 keeps its own, and above it the steps of one grey level
    are finer than 0.01 OD.
    """
    lookup = np.zeros((3, 256), dtype=np.uint8)
    density = np.zeros((3, _LEVELS))
    for c in range(3):
        od = np.maximum(-np.log10(np.maximum(np.arange(256), 1) / white[c]), 0.0)
        own = np.arange(256) < 35
        coarse = np.round(od / 0.0095).astype(np.int64)
        key = np.where(own, 1000 - np.arange(256) + 1000, coarse)
        _, level = np.unique(key, return_inverse=True)
        lookup[c] = np.minimum(level, _LEVELS - 1)
        counts = np.bincount(lookup[c], minlength=_LEVELS)
        density[c] = np.bincount(lookup[c], weights=od, minlength=_LEVELS) / np.maximum(counts, 1)
    return lookup, density


@dataclass(frozen=True)
class UnmixTable:
    """A colour table from 8-bit RGB to planes; the same colour gives the same values in every tile.

    Attributes
    ----------
    lookup
        (3, 256) grey level to optical-density level of each channel.
    table
        (levels ** 3, 4) values of up to four planes.
    n_planes
        Planes in use.
    """

    lookup: NDArray[np.uint8]
    table: NDArray[np.uint8]
    n_planes: int

    @property
    def words(self) -> NDArray[np.uint32]:
        """The planes of each colour in one word of four bytes (levels ** 3,)."""
        return self.table.view("<u4").reshape(-1)


def amounts_table(matrix: FloatArray, white: ArrayLike) -> UnmixTable:
    """Return the table of non-negative stain amounts and, last, the residual, in 0.01 OD.

    Parameters
    ----------
    matrix
        (k, 3) unit stain vectors.
    white
        Background intensity of each channel.
    """
    lookup, density = _level_lookup(np.asarray(white, dtype=np.float64))
    words = np.zeros((_LEVELS, _LEVELS, _LEVELS), dtype="<u4")
    mixes, half = mixes_of(matrix), _LEVELS // 2
    with ThreadPoolExecutor(1) as beside:
        other = beside.submit(_write_table, density[0, half:], density, *mixes, words[half:])
        _write_table(density[0, :half], density, *mixes, words[:half])
        other.result()
    table = words.view(np.uint8).reshape(-1, 4)
    table[:, len(matrix)] = table[:, 3]
    return UnmixTable(lookup, table, len(matrix) + 1)


def apply_table(rgb: NDArray[np.uint8], table: UnmixTable, scratch: Scratch) -> NDArray[np.uint8]:
    """Return the planes (n_planes, rows, cols) of an RGB image (rows, cols, 3)."""
    planes = scratch.array("planes", (table.n_planes, *rgb.shape[:2]), np.uint8)
    _apply(rgb, table.lookup, table.words, planes)
    return planes


@njit(cache=True, nogil=True)
def _apply(rgb: Any, lookup: Any, table: Any, planes: Any) -> None:
    """Look colours up; `table` holds four values in each 32-bit word."""
    n, rows, cols = planes.shape
    words = np.empty(cols, dtype=np.uint32)
    for i in range(rows):
        for j in range(cols):
            red, green, blue = rgb[i, j, 0], rgb[i, j, 1], rgb[i, j, 2]
            at = (np.uint64(lookup[0, red]) << np.uint64(14)) | (np.uint64(lookup[1, green]) << np.uint64(7))
            words[j] = table[at | np.uint64(lookup[2, blue])]
        for s in range(n):
            shift = np.uint32(8 * s)
            for j in range(cols):
                planes[s, i, j] = np.uint8(words[j] >> shift)
