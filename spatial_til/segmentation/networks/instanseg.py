"""InstanSeg: instances by embeddings, one TorchScript file (Goldsborough 2024, doi:10.48550/arXiv.2408.15954)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Pixel size of the published models.
MODEL_UM = 0.5
#: Their sides must be multiples of this: five halvings.
SIDE_PX = 32


def load(torch: Any, weights: str) -> Callable[[NDArray[np.float32], float], Any]:
    """Return the labelling function of a TorchScript file; of a model of nuclei and cells, the nuclei."""
    import cv2

    model = torch.jit.load(weights, map_location="cpu").eval()

    def label(tile: NDArray[np.float32], px_um: float) -> Any:
        rows, cols = tile.shape[:2]
        size = max(round(cols * px_um / MODEL_UM), 1), max(round(rows * px_um / MODEL_UM), 1)
        scaled = cv2.resize(tile, size, interpolation=cv2.INTER_AREA if px_um < MODEL_UM else cv2.INTER_LINEAR)
        below, right = (-n % SIDE_PX for n in size[::-1])
        padded = cv2.copyMakeBorder(scaled, 0, below, 0, right, cv2.BORDER_REFLECT)
        planes = padded[None, None] if padded.ndim == 2 else np.moveaxis(padded, 2, 0)[None]
        with torch.no_grad():
            found = model(torch.from_numpy(np.ascontiguousarray(planes)))
        labels = np.asarray(found.numpy()[0, 0, : size[1], : size[0]], dtype=np.int32)
        return cv2.resize(labels.astype(np.float32), (cols, rows), interpolation=cv2.INTER_NEAREST_EXACT)

    return label
