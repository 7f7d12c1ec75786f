"""Samples under strokes to a classifier, and how well it does on strokes it has not seen.

The classifier is Fisher's linear discriminant: even odds lie halfway between what two classes look like on
average. That is what draws a border where it is. A place at the border is looked at with its neighbourhood, half
of it the one tissue and half the other, so its features are about halfway too. Nobody paints such places, and a
classifier that only has to tell strokes apart (logistic regression was tried) may put even odds anywhere in the
gap between them: from one draw of strokes to the next the tumour's area then varied twice as much.

The average of stroma with and without lymphocytes is neither. So the strokes of a class are divided into two looks,
and even odds lie halfway between tumour and the look that is near.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import TrainingError
from spatial_til.model import FloatArray
from spatial_til.segmentation.examples.classifier import Painted, TissueModel, class_scores
from spatial_til.segmentation.examples.features import POOLS_UM
from spatial_til.segmentation.examples.strokes import Samples

#: Least to learn a class from: strokes, so that some can be held out, and squares of 4 µm. Project defaults.
MIN_STROKES, MIN_SQUARES = 3, 60
#: A class painted with so many strokes or more is divided into so many looks. Project defaults.
_MIN_TO_DIVIDE, _LOOKS = 4, 2
#: Strokes are dealt to so many parts, each held out in turn; no more than a class has strokes.
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How a classifier did on strokes that were left out of its training, each once.

    Attributes
    ----------
    confusion
        (painted, found) squares.
    accuracy
        Mean over classes of the share found right; each class weighs alike.
    by
        What was held out: ``strokes`` or ``slides``.
    """

    confusion: NDArray[np.int64]
    accuracy: float
    by: Literal["strokes", "slides"]


def check_samples(samples: Samples, classes: Sequence[str]) -> None:
    """Refuse samples that are too few to learn from.

    Raises
    ------
    TrainingError
        With all that is missing.
    """
    problems = []
    if len(classes) < 2:
        found = ", ".join(classes) or "none"
        problems.append(f"at least two classes must be painted, found {found}: paint what is not tumour too")
    for k, name in enumerate(classes):
        mine = samples.class_index == k
        strokes, squares = len(np.unique(samples.stroke[mine])), int(mine.sum())
        if strokes < MIN_STROKES:
            problems.append(
                f"{name}: at least {MIN_STROKES} strokes are needed to hold some out, found {strokes} on the slide: "
                f"paint {MIN_STROKES - strokes} more, elsewhere"
            )
        if squares < MIN_SQUARES:
            problems.append(f"{name}: at least {MIN_SQUARES} squares of 4 µm are needed, found {squares}: paint more")
    if problems:
        raise TrainingError(problems)


def fit(
    samples: Samples, classes: Sequence[str], *, modality: str, channels: tuple[str, ...], references: tuple[float, ...]
) -> TissueModel:
    """Return the classifier of some samples; the same samples give the same numbers.

    Classes weigh alike, however much of each was painted, and the looks of a class as much as was painted of them.
    The covariance within looks is shrunk as far as the number of samples asks for (Ledoit and Wolf 2004,
    doi:10.1016/S0047-259X(03)00096-4).
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    x = samples.features.astype(np.float64)
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    with _thread_pools().limit(limits=1):  # sums in one order
        look, look_of = _looks((x - mean) / scale, samples, len(classes))
        painted = np.bincount(look) / np.bincount(samples.class_index)[look_of]
        learner = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=painted / len(classes))
        learner.fit((x - mean) / scale, look)
    weights, intercepts = _per_look(learner, len(look_of))
    return TissueModel(
        modality=modality,
        channels=channels,
        references=references,
        classes=tuple(classes),
        look_of=look_of,
        weights=weights / scale,
        intercepts=intercepts - (weights / scale) @ mean,
        low=samples.features.min(axis=0),
        high=samples.features.max(axis=0),
        painted=_painted(x, look, painted / len(classes), len(channels)) if modality == "brightfield" else None,
    )


@cache
def _thread_pools() -> Any:
    """Return the thread pools of the libraries that are loaded once a learner is: looking for them takes a while."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _looks(x: FloatArray, samples: Samples, n_classes: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the look of each square, and the class of each look.

    The strokes of a class are parted by what they look like on average (Ward 1963, doi:10.1080/01621459.1963.10500845).
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    look = np.zeros(len(x), dtype=np.intp)
    look_of: list[int] = []
    for k in range(n_classes):
        strokes, owner = np.unique(samples.stroke[samples.class_index == k], return_inverse=True)
        part = np.zeros(len(strokes), dtype=np.intp)
        if len(strokes) >= _MIN_TO_DIVIDE:
            mine = x[samples.class_index == k]
            means = np.array([mine[owner == s].mean(axis=0) for s in range(len(strokes))])
            part = fcluster(linkage(means, "ward"), _LOOKS, "maxclust").astype(np.intp) - 1
        look[samples.class_index == k] = part[owner] + len(look_of)
        look_of += [k] * (int(part.max()) + 1)
    return look, np.array(look_of, dtype=np.intp)


def _per_look(learner: Any, n_looks: int) -> tuple[FloatArray, FloatArray]:
    """Return weights and intercepts of each look; of two looks the first scores 0."""
    weights, intercepts = learner.coef_, learner.intercept_
    if n_looks == 2:
        weights, intercepts = np.vstack((0 * weights, weights)), np.append(0.0, intercepts)
    return np.asarray(weights, dtype=np.float64), np.asarray(intercepts, dtype=np.float64)


def _painted(x: FloatArray, look: NDArray[np.intp], share: FloatArray, channels: int) -> Painted:
    """Return what the looks were painted like, stain by stain: covariances of one shape, as wide as each look is.

    Of few strokes a covariance of its own is too narrow; one for all is too wide for a look with hardly any stain.
    """
    per, pools = Painted.per_channel(), len(POOLS_UM)
    wide = x[:, pools - 1 :: pools].reshape(len(x), channels, per)
    mine = [wide[look == k] for k in range(len(share))]
    own = np.array([[np.cov(part[:, c], rowvar=False, bias=True) for c in range(channels)] for part in mine])
    own += np.eye(per) / 12  # of whole numbers: they are rounded
    common = np.tensordot(share, own, 1)
    width = np.trace(np.linalg.solve(common[None], own), axis1=-2, axis2=-1) / per
    return Painted(share, np.array([part.mean(axis=0) for part in mine]), width[..., None, None] * common)


def hold_out(
    samples: Samples,
    classes: Sequence[str],
    by: Literal["strokes", "slides"] = "strokes",
    step: Callable[[], None] = lambda: None,
) -> HeldOut | None:
    """Return how well strokes are found by classifiers trained without them; None where that cannot be told.

    Parameters
    ----------
    by
        ``strokes``: whole strokes are held out, never single squares, whose neighbours would give them away.
        ``slides``: one whole slide after the other.
    step
        Called before each part; what it raises ends the work.
    """
    part = _dealt(samples, len(classes)) if by == "strokes" else samples.slide
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for held in np.unique(part):
        step()
        out = part == held
        rest = Samples(*(array[~out] for array in samples))
        if len(np.unique(rest.class_index)) < len(classes):
            return None
        model = fit(rest, classes, modality="", channels=(), references=())
        found = class_scores(samples.features[out], model).argmax(axis=1)
        np.add.at(confusion, (samples.class_index[out], found), 1)
    right = np.diag(confusion) / np.maximum(confusion.sum(axis=1), 1)
    return HeldOut(confusion, float(right.mean()), by)


def _dealt(samples: Samples, n_classes: int) -> NDArray[np.intp]:
    """Return the part of each sample: the strokes of each class dealt in turn, so that no part holds all of a class."""
    strokes = [np.unique(samples.stroke[samples.class_index == k]) for k in range(n_classes)]
    parts = min(_FOLDS, *(len(of) for of in strokes))
    part_of = {int(stroke): k % parts for of in strokes for k, stroke in enumerate(of)}
    return np.array([part_of[int(stroke)] for stroke in samples.stroke], dtype=np.intp)
