"""Is there anything of the size of a nucleus in the nuclear plane? In the noise of a blank one cells would be found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import SlideError
from spatial_til.model import PixelSource
from spatial_til.segmentation.calibration import Calibration
from spatial_til.segmentation.overview import sample_boxes
from spatial_til.segmentation.scratch import Scratch

#: Blocks whose means are compared, and how far those lie apart that may belong to other nuclei.
_BLOCK_UM, _APART_UM = 2.0, (6.0, 8.0, 10.0, 12.0, 16.0)
#: Blanks give 0.96 to 1.01; seven real fields 0.24 to 0.35; a phantom whose noise is its nuclei's signal 0.83.
MAX_LIKENESS = 0.9
_MIN_BLOCKS = 2_000


def check_not_blank(source: PixelSource, constants: Calibration) -> None:
    """Refuse a slide whose nuclear plane is noise: a blank, failed or wrong channel.

    Raises
    ------
    SlideError
        Where it is. Slides too small to tell are not refused.
    """
    likeness = noise_likeness(source, constants)
    if likeness is not None and likeness > MAX_LIKENESS:
        msg = (
            f"the nuclear stain must show nuclei, but {_BLOCK_UM:g} µm away it differs as much as 6 to 16 µm away "
            f"({likeness:.0%}), as noise does: check which channel is `nuclei` in the protocol, and look at the slide"
        )
        raise SlideError(msg)


def noise_likeness(source: PixelSource, constants: Calibration) -> float | None:
    """Return how alike the nuclear plane is to noise: mean square of its change over 2 µm over that over 6 to 16 µm.

    1 where neighbours are independent, less where something is larger than 2 µm; None where there is too little.
    """
    block = max(1, round(_BLOCK_UM / source.pixel_size.mean_um))
    size = block * source.pixel_size.mean_um
    steps = sorted({1, *(round(um / size) for um in _APART_UM)})
    changes = dict.fromkeys(steps, 0.0)
    counts = dict.fromkeys(steps, 0)
    scratch = Scratch()
    for box in sample_boxes(constants.tissue, source.shape, source.pixel_size):
        means = _block_means(constants.planes(np.ascontiguousarray(source.read(*box)), scratch)[0], block)
        for step in steps:
            for change in (means[step:] - means[:-step], means[:, step:] - means[:, :-step]):
                changes[step] += float((change**2).sum())
                counts[step] += change.size
    if counts[steps[-1]] < _MIN_BLOCKS:
        return None
    near, *far = (changes[step] / counts[step] for step in steps)
    return near / max(far) if max(far) > 0 else None


def _block_means(plane: NDArray[Any], block: int) -> NDArray[np.float64]:
    rows, cols = (n // block for n in plane.shape)
    whole = plane[: rows * block, : cols * block].reshape(rows, block, cols * block)
    down = whole.sum(axis=1, dtype=np.int64)  # of whole numbers, so in any order the same
    return np.asarray(sum(down[:, k::block] for k in range(block)) / block**2)
