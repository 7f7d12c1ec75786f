"""Scores of a staining batch -> one cut-off a marker, or none where there is one population only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import FloatArray, Threshold
from spatial_til.segmentation.modes import first_of_the_deepest, flanks_cross, held_by, shoulder, valleys

#: Most cells of one slide that enter a pool (rules: thresholds).
MAX_CELLS = 20_000
#: Least scale of the arcsinh transform in brightfield, in OD: the noise of an unmixed stain.
_OD_SCALE = 0.02
_BINS = 512
#: The side below a valley is the negatives only if it holds this share of all scores.
_LEAST_NEGATIVE = 0.02
_MIN_DELTA_BIC = 10.0
_MIN_ASHMAN_D = 2.0
_WEAK_ASHMAN_D = 3.0
#: Scores as seen stand apart at a cut-off from here on; continua of twelve shapes give at most 4.2 where 5 % or more
#: lie above, the three lung fields, which are one, 2.5.
_SEEN_ASHMAN_D = 4.3
#: Share of a cut that lies in no valley.
_NO_VALLEY = 1.0


class Floors(NamedTuple):
    """Brightfield, in OD: the least cut-off, also in a valley, and the least median of positives; project defaults."""

    cut: float
    valley: float  # what lies above a valley is another population, so that only noise has to be kept out
    population: float


#: A ridge (statistic ``robust``) is stain above its surroundings over 1.5 µm, about a quarter of a plain mean.
OD_FLOORS: Mapping[str, Floors] = MappingProxyType(
    {"robust": Floors(cut=0.02, valley=0.01, population=0.045), "other": Floors(cut=0.08, valley=0.08, population=0.15)}
)
_NO_FLOORS = Floors(0.0, 0.0, 0.0)


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

    at: int
    cut: float
    ashman_d: float
    valley_share: float


def find_threshold(
    scores: Sequence[NDArray[np.floating[Any]]],
    *,
    seen: Sequence[NDArray[np.floating[Any]]] | None = None,
    batch: str,
    marker: str,
    modality: str,
    statistic: str = "robust",
    negative_control: NDArray[np.floating[Any]] | None = None,
    frozen: float | None = None,
) -> Threshold:
    """Return the cut-off of one marker in one staining batch.

    Parameters
    ----------
    scores
        One array a slide, the score of each drawn cell (see `draw_cells`); slides weigh equally. NaN is left out.
    seen
        Scores of the same cells with what belongs to their neighbours. Where they show one population, and the
        cut-off does not leave two that stand apart, there is none: sharing stain out between neighbours parts what
        lies between negative and positive, and would make two populations of a continuum.
    modality
        ``brightfield`` (scores in OD) or ``fluorescence`` (intensity above background).
    statistic
        What the scores are (see `positivity.score_of`): decides the least cut-off in brightfield.
    negative_control
        Scores of the batch's negative control slides; their 99.9th percentile is the cut-off.
    frozen
        A cut-off of an earlier run, used as it is.

    Notes
    -----
    Order: negative control, frozen, unsupervised. Unsupervised: on the arcsinh scale, the deepest valley
    above the negative mode with a second mode behind it; without one, the place where a few cells part from
    the negatives' tail (see `modes`). The second mode must be more than chance, the two sides must be better
    described by two Gaussians than by one (delta BIC > 10) and stand apart (Ashman's D > 2), and in brightfield
    the upper side must be dark enough to be stain. Otherwise there is one population and no cut-off.
    """
    pool = _sorted(scores)
    flags: list[str] = ["threshold_single_slide"] if len(pool) == 1 else []
    n_cells = sum(len(s) for s in pool)
    floors = OD_FLOORS.get(statistic, OD_FLOORS["other"]) if modality == "brightfield" else _NO_FLOORS

    def result(cut: float | None, method: str, separation: float | None) -> Threshold:
        positive = 0 if cut is None else int(sum(int((s >= cut).sum()) for s in pool))
        return Threshold(batch, marker, cut, method, separation, n_cells, positive, n_cells > 0, tuple(flags))

    control = None if negative_control is None else np.asarray(negative_control, dtype=np.float64)
    control = None if control is None else control[np.isfinite(control)]
    if control is not None and len(control):
        flags = []
        return result(max(float(np.percentile(control, 99.9)), floors.cut), "negative_control", None)
    if frozen is not None:
        flags = []
        return result(float(frozen), "frozen", None)
    if not pool:
        return result(None, "none", None)
    scale = _OD_SCALE if modality == "brightfield" else 0.0
    split = _split(pool, scale, floors)
    if split is not None and seen is not None:
        alike = _sorted(seen)
        if _split(alike, scale, floors) is None and not _stand_apart(alike, split.cut, scale):
            split = None
    if split is None:
        flags.append("no_positive_population")
        return result(None, "unimodal", None)
    if split.ashman_d < _WEAK_ASHMAN_D or split.valley_share == _NO_VALLEY:
        flags.append("threshold_weak")
    return result(split.cut, "tail" if split.valley_share == _NO_VALLEY else "valley", split.ashman_d)


def _sorted(scores: Sequence[NDArray[np.floating[Any]]]) -> list[NDArray[np.floating[Any]]]:
    """Return the sorted finite scores of each slide that has any."""
    pool = [np.sort(s[np.isfinite(s)]) for s in scores]
    return [s for s in pool if len(s)]


class _Histogram(NamedTuple):
    """Pooled scores on the arcsinh scale."""

    counts: FloatArray
    centres: FloatArray
    scale: float
    effective: float  # of a cell: slides weigh equally, cells do not


def _histogram(pool: Sequence[NDArray[np.floating[Any]]], least_scale: float) -> _Histogram | None:
    """Return the histogram of each slide's sorted scores, slides weighted equally; None where all are the same.

    They are never joined: a pool may have tens of millions.
    """
    lowest, highest = float(min(s[0] for s in pool)), float(max(s[-1] for s in pool))
    low, quarter, usual = (_pooled_quantile(pool, q, lowest, highest) for q in (0.05, 0.25, 0.4))
    # Where a quarter lies at the very floor, it is clipped (an 8-bit picture): the edge of the clip is no valley.
    usual = low if quarter == low else usual
    scale = max(4 * (quarter - low), 2 * (usual - low), least_scale, 1e-9 * max(-lowest, highest), 1e-12)
    ends = _transformed(np.array([lowest, highest]), scale)
    if float(np.ptp(ends)) < 1e-9:
        return None
    edges = np.linspace(ends[0], ends[1], _BINS + 1)
    n = sum(len(s) for s in pool)
    counts = sum((np.histogram(_transformed(s, scale), bins=edges)[0] / len(s) for s in pool), np.zeros(_BINS))
    counts *= n / len(pool)
    if low == 0.0:
        counts[0 if edges[0] == 0.0 else int(np.searchsorted(edges, 0.0)) - 1] = 0.0  # exactly 0: nothing there to see
    effective = len(pool) ** 2 / sum(1 / len(s) for s in pool) / n
    return _Histogram(counts, (edges[:-1] + edges[1:]) / 2, scale, effective)


def _split(pool: Sequence[NDArray[np.floating[Any]]], least_scale: float, floors: Floors) -> _Split | None:
    """Return the best accepted split of the pooled scores, on their own scale; None where there is none."""
    histogram = _histogram(pool, least_scale)
    if histogram is None:
        return None
    counts, centres, scale, effective = histogram
    tail = shoulder(counts, centres, effective)
    least_median = floors.population / scale
    in_tail = [] if tail is None else [(_NO_VALLEY, tail)]
    for cuts, least in ((valleys(counts, centres, effective), floors.valley), (in_tail, floors.cut)):
        found = [s for share, index in cuts if (s := _accepted(counts, centres, index, share, least_median))]
        if found:
            best = found[first_of_the_deepest([held_by(counts, centres, s.at) * effective for s in found])]
            if best.valley_share < _NO_VALLEY:
                best = best._replace(cut=float(centres[flanks_cross(counts, centres, effective, best.at)]))
            return best._replace(cut=max(float(np.sinh(best.cut) * scale), least))
    return None


def _stand_apart(pool: Sequence[NDArray[np.floating[Any]]], cut: float, least_scale: float) -> bool:
    """Return whether the scores on both sides of a cut stand further apart than those of one population do."""
    histogram = _histogram(pool, least_scale)
    if histogram is None:
        return False
    counts, centres, scale, _ = histogram
    index = int(np.searchsorted(centres, _transformed(np.array([cut]), scale)[0]))
    if not counts[:index].any() or not counts[index:].any():
        return False
    return _apart(counts, centres, index)[0] >= _SEEN_ASHMAN_D


def _transformed(scores: NDArray[np.floating[Any]], scale: float) -> FloatArray:
    """Return scores on the arcsinh scale, linear below 0."""
    values = np.asarray(scores, dtype=np.float64) / scale
    return np.where(values > 0, np.arcsinh(values), values)


def _pooled_quantile(pool: Sequence[NDArray[np.floating[Any]]], q: float, low: float, high: float) -> float:
    """Return the least score at which a share `q` of the pool is reached, slides weighted equally."""

    def share(value: float) -> float:
        return sum(_at_most(s, value) / len(s) for s in pool) / len(pool)

    if share(low) >= q:
        return low
    while (middle := (low + high) / 2) not in {low, high}:  # share(low) < q <= share(high)
        low, high = (low, middle) if share(middle) >= q else (middle, high)
    return high


def _at_most(ordered: NDArray[np.floating[Any]], value: float) -> int:
    """Return how many scores are at most a value that their own type may not hold."""
    own = ordered.dtype.type(value)
    own = own if float(own) <= value else np.nextafter(own, ordered.dtype.type(-np.inf))
    return int(np.searchsorted(ordered, own, side="right"))


def _accepted(counts: FloatArray, centres: FloatArray, index: int, share: float, population: float) -> _Split | None:
    """Return the cut at a bin if two populations lie beside it, the upper with a median of at least `population`."""
    if counts[:index].sum() < _LEAST_NEGATIVE * counts.sum():
        return None
    ashman_d, delta_bic = _apart(counts, centres, index)
    if delta_bic <= _MIN_DELTA_BIC or ashman_d <= _MIN_ASHMAN_D:
        return None
    upper = np.cumsum(counts[index:])
    median = float(centres[index + int(np.searchsorted(upper, upper[-1] / 2))])
    return None if np.sinh(median) < population else _Split(index, float(centres[index]), ashman_d, share)


def _apart(counts: FloatArray, centres: FloatArray, index: int) -> tuple[float, float]:
    """Return Ashman's D of the two sides of a bin, and how much two Gaussians beat one (difference of BIC).

    The sides' own moments are used: a fit over all scores would spend its second Gaussian on the tail of
    the negatives where positives are rare (Ashman et al. 1994, doi:10.1086/117248).
    """
    total = counts.sum()
    log_one = _log_density(counts, centres)
    sides = (slice(0, index), slice(index, len(counts)))
    parts, means, variances = [], [], []
    for side in sides:
        mass = counts[side].sum()
        mean = (counts[side] * centres[side]).sum() / mass
        variance = (counts[side] * (centres[side] - mean) ** 2).sum() / mass + _least_variance(centres)
        means.append(mean)
        variances.append(variance)
        parts.append(np.log(mass / total) - 0.5 * (np.log(2 * np.pi * variance) + (centres - mean) ** 2 / variance))
    two = float((counts * np.logaddexp(*parts)).sum())
    ashman_d = float(np.sqrt(2) * abs(means[1] - means[0]) / np.sqrt(sum(variances)))
    return ashman_d, 2 * (two - log_one) - 3 * float(np.log(total))


def _log_density(counts: FloatArray, centres: FloatArray) -> float:
    """Return the log-likelihood of one Gaussian."""
    total = counts.sum()
    mean = (counts * centres).sum() / total
    variance = (counts * (centres - mean) ** 2).sum() / total + _least_variance(centres)
    return float(-0.5 * total * (np.log(2 * np.pi * variance) + 1))


def _least_variance(centres: FloatArray) -> float:
    return float((centres[1] - centres[0]) ** 2) / 12
