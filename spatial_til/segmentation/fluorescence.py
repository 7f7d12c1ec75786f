"""Fluorescence channels -> intensity above background, free of spill-over and autofluorescence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_til.errors import ProtocolError
from spatial_til.model import BoolArray, FloatArray

#: The slope of autofluorescence is not read off fewer pixels.
_LEAST_PIXELS = 100
#: Light this many times the step from pixel to pixel is more than noise.
_NOISE_TIMES = 5.0


def channel_indices(available: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Return the index of each wanted channel: by name, else by a number that is an index."""
    found = []
    for name in wanted:
        if name in available:
            found.append(list(available).index(name))
        elif name.isdigit() and int(name) < len(available):
            found.append(int(name))
        else:
            msg = f"no channel {name!r} in the image, which has {', '.join(available)}: correct [panel.channels] or "
            msg += "fluorescence.autofluorescence"
            raise ProtocolError([msg])
    return tuple(found)


def channel_background(image: NDArray[Any], glass: BoolArray | None = None) -> float:
    """Return the slide-wide background of one channel: the median outside tissue.

    Parameters
    ----------
    image
        (rows, cols) intensities of an overview or sample.
    glass
        (rows, cols) True outside tissue; with None, or fewer than 100 pixels, the 1st percentile is used.
    """
    if glass is not None and int(glass.sum()) >= 100:
        return float(np.median(image[glass]))
    return float(np.percentile(image, 1))


def spillover_inverse(spillover: ArrayLike) -> FloatArray:
    """Return the matrix that undoes bleed-through: ``observed @ inverse = true``.

    Parameters
    ----------
    spillover
        (c, c), row = true channel, column = where it is seen, unit diagonal: ``observed = true @ spillover``.

    Raises
    ------
    ProtocolError
        If the matrix is not square with a unit diagonal, or channels cannot be told apart.

    Examples
    --------
    >>> inverse = spillover_inverse([[1, 0.1], [0, 1]])
    >>> (np.array([100, 60]) @ inverse).tolist()
    [100.0, 50.0]
    """
    matrix = np.asarray(spillover, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.allclose(np.diag(matrix), 1):
        msg = f"A spill-over matrix is square with 1 on its diagonal, found shape {matrix.shape}"
        raise ProtocolError([msg])
    if float(np.linalg.cond(matrix)) > 20:
        msg = f"Channels must be separable (condition number <= 20), found {np.linalg.cond(matrix):.1f}"
        raise ProtocolError([msg])
    return np.asarray(np.linalg.inv(matrix))


class Autofluorescence(NamedTuple):
    """The channel that shows only what tissue shines by itself, and its share in each channel of the panel."""

    channel: int
    background: float
    share: FloatArray


def find_autofluorescence(
    values: FloatArray, picture: NDArray[Any], index: int, *, tissue: BoolArray
) -> Autofluorescence:
    """Return the share of autofluorescence in each channel of a slide.

    Parameters
    ----------
    values
        (rows, cols, channels) intensities of the panel's channels above background, on an overview, whose large
        pixels have little noise.
    picture
        (rows, cols, all channels) the overview itself.
    index
        The channel of `picture` that carries no marker.
    tissue
        (rows, cols) True in tissue.

    Notes
    -----
    Of the brighter half of tissue, where the slope is well known, and only what stands above noise: where the channel
    shows nothing, nothing is taken off.
    """
    reference = picture[:, :, index].astype(np.float64)
    background = channel_background(reference, ~tissue)
    noise = np.median(np.abs(np.diff(reference, axis=1)))
    light = reference[tissue] - background
    bright = light > max(float(np.median(light)), _NOISE_TIMES * float(noise)) if len(light) else light > 0
    shares = [autofluorescence_share(values[:, :, k][tissue][bright], light[bright]) for k in range(values.shape[2])]
    return Autofluorescence(index, background, np.array(shares))


def glow(pixels: NDArray[Any], own: Autofluorescence) -> NDArray[np.float32]:
    """Return what autofluorescence adds to each channel of the panel, (rows, cols, channels)."""
    reference = pixels[:, :, own.channel, None].astype(np.float32) - np.float32(own.background)
    return np.asarray(reference * own.share.astype(np.float32), dtype=np.float32)


def autofluorescence_share(marker: ArrayLike, reference: ArrayLike) -> float:
    """Return k of ``marker - k * reference``: the slope through 0 of pixels without marker; at least 0.

    Parameters
    ----------
    marker, reference
        (n,) background-corrected intensities of the same pixels; the reference channel carries no marker.

    Notes
    -----
    The line starts at the tenth percentile of the
    ratio, the lower envelope, and is fitted again to the pixels within two standard deviations until it stays; the
    deviation is that of pixels below the line, which carry no marker. So it stops at the first crowd of
    pixels from below, and marker above it does not pull.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.linspace(50, 150, 400)
    >>> marker = 0.5 * reference + np.where(np.arange(400) % 4 == 0, 300, 0)
    >>> round(autofluorescence_share(marker, reference), 3)
    0.5
    """
    m, r = (np.asarray(a, dtype=np.float64).reshape(-1) for a in (marker, reference))
    m, r = m[r > 0], r[r > 0]
    if len(r) < _LEAST_PIXELS:
        return 0.0
    share = float(np.percentile(m / r, 10))
    for _ in range(100):
        off = m / r - share
        below = off[off <= 0]
        spread = max(float(np.sqrt(np.mean(below**2))), 1e-6) if len(below) else 1e-6
        near = np.abs(off) <= 2 * spread
        before, share = share, float((m[near] @ r[near]) / (r[near] @ r[near]))
        if abs(share - before) <= 1e-6 * max(abs(share), 1e-6):
            break
    return max(share, 0.0)
