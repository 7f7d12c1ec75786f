"""StarDist: star-convex polygons (Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Tiles are scaled to the pixel size of the published models.
MODEL_UM = 0.5


def load(models: Any, weights: str) -> Callable[[NDArray[np.float32], float], Any]:
    """Return the labelling function of a model folder (config.json, weights_best.h5, thresholds.json)."""
    folder, name = os.path.split(os.path.abspath(weights))  # noqa: PTH100  StarDist wants both apart
    model = models.StarDist2D(None, name=name, basedir=folder)

    def label(tile: NDArray[np.float32], px_um: float) -> Any:
        axes = "YX" if tile.ndim == 2 else "YXC"
        scale = None if abs(px_um / MODEL_UM - 1) < 0.1 else px_um / MODEL_UM
        factors = scale if scale is None or tile.ndim == 2 else (scale, scale, 1)
        return model.predict_instances(tile, axes=axes, scale=factors, show_tile_progress=False)[0]

    return label
