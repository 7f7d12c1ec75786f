"""Scores of a staining batch -> one cut-off a marker, or none where there is one population only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import FloatArray, Threshold

#: Most cells of one slide that enter a pool (rules: thresholds).
MAX_CELLS = 20_000
#: In brightfield no cell below this optical density is positive, and a positive population lies above it.
OD_FLOOR = 0.15
OD_POPULATION = 0.2
#: Scale of the arcsinh transform in brightfield, in OD: about the noise of an unmixed stain.
_OD_SCALE = 0.05
_BINS = 512
_MIN_POSITIVE = 10
#: The valley may hold this share of the density of the lower of its two peaks.
_VALLEY_SHARE = 0.7
_MIN_DELTA_BIC = 10.0
_MIN_ASHMAN_D = 2.0
_WEAK_ASHMAN_D = 3.0


def draw_cells(slide_id: str, x_um: FloatArray, y_um: FloatArray, limit: int = MAX_CELLS) -> NDArray[np.intp]:
    """Return the indices of the cells of one slide that enter the pool, ascending.

    The draw depends on the slide's name and the cells' positions only, so it is the same in any order.
    """
    if len(x_um) <= limit:
        return np.arange(len(x_um))
    seed = int.from_bytes(hashlib.blake2b(slide_id.encode(), digest_size=8).digest(), "little")
    key = np.round(x_um * 100).astype(np.int64).astype(np.uint64) << np.uint64(32)
    key = key ^ np.round(y_um * 100).astype(np.int64).astype(np.uint64) ^ np.uint64(seed)
    order = np.lexsort((y_um, x_um, _splitmix(key)))
    return np.sort(order[:limit])


def _splitmix(key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a well-mixed 64-bit hash of each key (splitmix64)."""
    z = key + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


class _Split(NamedTuple):
    """A cut between two populations on the transformed scale, and how far they are apart."""

    cut: float
    ashman_d: float
    delta_bic: float


def find_threshold(
    scores: Sequence[NDArray[np.floating[Any]]],
    *,
    batch: str,
    marker: str,
    modality: str,
    negative_control: NDArray[np.floating[Any]] | None = None,
    frozen: float | None = None,
) -> Threshold:
    """Return the cut-off of one marker in one staining batch.

    Parameters
    ----------
    scores
        One array a slide, the score of each drawn cell (see `draw_cells`); slides weigh equally. NaN is left out.
    modality
        ``brightfield`` (scores in OD) or ``fluorescence`` (intensity above background).
    negative_control
        Scores of the batch's negative control slides; their 99.9th percentile is the cut-off.
    frozen
        A cut-off of an earlier run, used as it is.

    Notes
    -----
    Order: negative control, frozen, unsupervised. Unsupervised: on the arcsinh scale, the deepest valley
    above the negative mode with a second mode behind it, accepted only where two Gaussians beat one
    (delta BIC > 10) and stand apart (Ashman's D > 2). Otherwise there is one population and no cut-off.
    """
    pool = [np.asarray(s, dtype=np.float64)[np.isfinite(s)] for s in scores]
    pool = [s for s in pool if len(s)]
    flags: list[str] = ["threshold_single_slide"] if len(pool) == 1 else []
    n_cells = sum(len(s) for s in pool)

    def result(cut: float | None, method: str, separation: float | None) -> Threshold:
        positive = 0 if cut is None else int(sum(int((s >= cut).sum()) for s in pool))
        return Threshold(batch, marker, cut, method, separation, n_cells, positive, n_cells > 0, tuple(flags))

    control = None if negative_control is None else np.asarray(negative_control, dtype=np.float64)
    control = None if control is None else control[np.isfinite(control)]
    if control is not None and len(control):
        flags = []
        cut = float(np.percentile(control, 99.9))
        return result(max(cut, OD_FLOOR) if modality == "brightfield" else cut, "negative_control", None)
    if frozen is not None:
        flags = []
        return result(float(frozen), "frozen", None)
    if not pool:
        return result(None, "none", None)
    split = _split(pool, modality)
    if split is None:
        flags.append("no_positive_population")
        return result(None, "unimodal", None)
    if split.ashman_d < _WEAK_ASHMAN_D:
        flags.append("threshold_weak")
    return result(split.cut, "valley", split.ashman_d)


def _split(pool: Sequence[FloatArray], modality: str) -> _Split | None:
    """Return the best accepted split of the pooled scores, on their own scale; None where there is none."""
    values = np.concatenate(pool)
    weights = np.concatenate([np.full(len(s), 1.0 / len(s)) for s in pool])
    weights *= len(values) / weights.sum()
    scale = _OD_SCALE if modality == "brightfield" else _noise_scale(values)
    z = np.arcsinh(values / scale)
    low, high = float(z.min()), float(z.max())
    if high - low < 1e-9:
        return None
    edges = np.linspace(low, high, _BINS + 1)
    counts = np.histogram(z, bins=edges, weights=weights)[0]
    centres = (edges[:-1] + edges[1:]) / 2
    floor = np.arcsinh(OD_FLOOR / scale) if modality == "brightfield" else -np.inf
    population = np.arcsinh(OD_POPULATION / scale) if modality == "brightfield" else -np.inf
    best: tuple[float, _Split] | None = None
    for depth, index in _valleys(counts, centres):
        split = _guard(counts, centres, index)
        above = centres[index:] * counts[index:]
        if split is None or above.sum() / counts[index:].sum() < population:
            continue
        if best is None or depth < best[0]:
            best = (depth, split)
    if best is None:
        return None
    cut = float(np.sinh(max(best[1].cut, floor)) * scale)
    return _Split(cut, best[1].ashman_d, best[1].delta_bic)


def _noise_scale(values: FloatArray) -> float:
    """Return the width of the lower half of the scores: the scale below which intensities are noise."""
    middle = float(np.median(values))
    low = values[values <= middle]
    return max(float(np.median(middle - low)) * 1.4826, float(np.abs(values).max()) * 1e-6, 1e-12)


def _valleys(counts: FloatArray, centres: FloatArray) -> list[tuple[float, int]]:
    """Return (valley density / lower peak density, index) of each valley that is deep enough."""
    width = float(centres[1] - centres[0])
    bandwidth = max(0.12 / width, 1.5)
    at = np.arange(-int(4 * bandwidth), int(4 * bandwidth) + 1)
    kernel = np.exp(-0.5 * (at / bandwidth) ** 2)
    density = np.convolve(counts, kernel / kernel.sum(), mode="same")
    rise = np.concatenate(([1.0], np.sign(np.diff(density)), [-1.0]))
    peaks = np.flatnonzero((rise[:-1] > 0) & (rise[1:] <= 0))
    found = []
    for a, b in zip(peaks[:-1], peaks[1:], strict=True):
        index = a + int(np.argmin(density[a : b + 1]))
        left, right = density[: index + 1].max(), density[index:].max()
        share = float(density[index] / min(left, right))
        if share <= _VALLEY_SHARE and counts[index:].sum() >= _MIN_POSITIVE:
            found.append((share, index))
    return found


def _guard(counts: FloatArray, centres: FloatArray, index: int) -> _Split | None:
    """Return the split if two Gaussians, started from it, explain the scores better than one and stand apart."""
    total = counts.sum()
    mean = (counts * centres).sum() / total
    spread = max((counts * (centres - mean) ** 2).sum() / total, 1e-12)
    one = -0.5 * total * (np.log(2 * np.pi * spread) + 1)
    part = np.zeros((2, len(counts)))
    part[0, :index], part[1, index:] = 1.0, 1.0
    two = -np.inf
    least = float((centres[1] - centres[0]) ** 2)
    for _ in range(200):
        mass = (part * counts).sum(axis=1)
        if mass.min() < 1:
            return None
        mu = (part * counts * centres).sum(axis=1) / mass
        var = np.maximum((part * counts * (centres - mu[:, None]) ** 2).sum(axis=1) / mass, least)
        log = np.log(mass / total)[:, None] - 0.5 * (
            np.log(2 * np.pi * var)[:, None] + (centres - mu[:, None]) ** 2 / var[:, None]
        )
        norm = np.logaddexp(log[0], log[1])
        part = np.exp(log - norm)
        before, two = two, float((counts * norm).sum())
        if two - before < 1e-6 * abs(two):
            break
    delta_bic = 2 * (two - one) - 3 * np.log(total)
    ashman_d = float(np.sqrt(2) * abs(mu[1] - mu[0]) / np.sqrt(var.sum()))
    if delta_bic <= _MIN_DELTA_BIC or ashman_d <= _MIN_ASHMAN_D:
        return None
    return _Split(float(centres[index]), ashman_d, float(delta_bic))
