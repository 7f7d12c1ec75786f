"""A brightfield slide before any tile is cut: its white, its tissue, where its stains start, its nuclear plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.errors import ProtocolError
from spatial_til.segmentation import stains, white
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, Stain
from spatial_til.segmentation.tissue import require_tissue, tissue_brightfield
from spatial_til.units import PixelSize

#: Marker stain up to this OD does not darken the nuclear plane.
_MARKER_FLOOR = 10
#: Colours whose planes are worked out at once: they stay in the cache.
_AT_ONCE = 4096


def glass_and_tissue(
    picture: NDArray[Any], px: PixelSize, settings: MeasureSettings, region: MultiPolygon | None
) -> tuple[white.White, MultiPolygon]:
    """Return the white of a brightfield slide, and its tissue: as drawn, or found on the overview.

    Raises
    ------
    SlideError
        If no tissue is found.
    """
    glass = glass_of(picture, settings)
    return glass, tissue_of(picture, px, glass, settings, region)


def glass_of(picture: NDArray[Any], settings: MeasureSettings) -> white.White:
    """Return the white of a brightfield slide: as given, or read off the overview."""
    return white.White(settings.white, found=True) if settings.white else white.estimate_white(picture)


def tissue_of(
    picture: NDArray[Any], px: PixelSize, glass: white.White, settings: MeasureSettings, region: MultiPolygon | None
) -> MultiPolygon:
    """Return the tissue of a slide whose white is known: as drawn, or found on the overview.

    Raises
    ------
    SlideError
        If no tissue is found.
    """
    if region is None:
        region = tissue_brightfield(
            picture,
            px,
            glass.rgb,
            min_tissue_mm2=settings.min_tissue_mm2,
            max_hole_mm2=settings.max_tissue_hole_mm2,
        )
    return require_tissue(region)


def start_vector(stain: Stain) -> tuple[float, ...]:
    """Return a stain's vector as given, by its preset, or for ``auto`` the preset of the stain's name.

    Raises
    ------
    ProtocolError
        If there is no such preset.
    """
    if not isinstance(stain.vector, str):
        return stain.vector
    name = stain.name if stain.vector == "auto" and stain.name in stains.PRESETS else stain.vector
    if name not in stains.PRESETS:
        known = ", ".join(stains.PRESETS)
        msg = f"panel.stains.{stain.name}: vector is a preset or [r, g, b], found {name!r}; presets: {known}"
        if name == "auto":
            msg = f"panel.stains.{stain.name}: vector auto starts from the preset of the stain's name: name it {known}"
        raise ProtocolError([msg])
    return stains.PRESETS[name]


def nuclear_table(
    amounts: stains.UnmixTable, marked: stains.UnmixTable, settings: MeasureSettings
) -> stains.UnmixTable:
    """Return the table of the nuclear plane, from one table of amounts, and of the markers, from another.

    Half of strong membrane stain is taken off hematoxylin, so that membranes part touching nuclei, but no more than
    half of the hematoxylin itself, so that a nucleus under a membrane is not lost; the stain of a nuclear marker is
    added.
    """
    names = [s.marker for s in settings.stains]
    markers = [i for i, name in enumerate(names) if name != NUCLEI]
    added = np.array([name in settings.nuclear_markers for name in names])
    words = np.empty(len(amounts.table), dtype="<u4")
    _write_words(amounts.words, marked.words, names.index(NUCLEI), np.array(markers, dtype=np.int64), added, words)
    return stains.UnmixTable(amounts.lookup, words.view(np.uint8).reshape(-1, 4), 1 + len(markers))


@njit(cache=True, nogil=True)
def _write_words(amounts: Any, marked: Any, nuclear: int, markers: Any, added: Any, words: Any) -> None:
    """Write words of four bytes, some at a time: the nuclear plane, then the markers."""
    more, less = np.empty(_AT_ONCE, dtype=np.int32), np.empty(_AT_ONCE, dtype=np.int32)
    for first in range(0, len(words), _AT_ONCE):
        seen, out = amounts[first : first + _AT_ONCE], words[first : first + _AT_ONCE]
        out[:], more[:], less[:] = 0, 0, 0
        for k in range(len(markers)):
            shift = np.uint32(8 * markers[k])
            if added[markers[k]]:
                _add_strong(seen, shift, np.int32(0), more)
            else:
                _add_strong(seen, shift, np.int32(1), less)
            _put(marked[first : first + _AT_ONCE], shift, np.uint32(8 * (k + 1)), out)
        _put_nuclear(seen, np.uint32(8 * nuclear), more, less, out)


@njit(cache=True, nogil=True)
def _add_strong(words: Any, shift: Any, halvings: Any, strong: Any) -> None:
    """Add what a stain has above the floor, or half of it; like the two below apart so that it is vectorised."""
    for j in range(len(words)):
        stain = np.int32((words[j] >> shift) & np.uint32(255))
        strong[j] += max(stain - np.int32(_MARKER_FLOOR), np.int32(0)) >> halvings


@njit(cache=True, nogil=True)
def _put(words: Any, shift: Any, to: Any, out: Any) -> None:
    for j in range(len(words)):
        out[j] |= ((words[j] >> shift) & np.uint32(255)) << to


@njit(cache=True, nogil=True)
def _put_nuclear(words: Any, shift: Any, more: Any, less: Any, out: Any) -> None:
    for j in range(len(words)):
        stain = np.int32((words[j] >> shift) & np.uint32(255))
        stain += more[j] - min(less[j], stain >> 1)
        out[j] |= np.uint32(min(max(stain, np.int32(0)), np.int32(255)))
