"""Cellpose: flows to the centre of each cell (Stringer et al. 2021, doi:10.1038/s41592-020-01018-x)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Diameter that tiles are scaled by: that of a usual nucleus. Given, so that no tile estimates its own.
NUCLEUS_UM = 8.0


def load(models: Any, weights: str) -> Callable[[NDArray[np.float32], float], Any]:
    """Return the labelling function of a model file."""
    model = models.CellposeModel(gpu=False, pretrained_model=weights)

    def label(tile: NDArray[np.float32], px_um: float) -> Any:
        return model.eval(tile, diameter=NUCLEUS_UM / px_um, normalize=False)[0]

    return label
