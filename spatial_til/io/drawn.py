"""A figure as pixels, without a file in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image


def drawn(figure: Figure, ground: Image | None = None) -> Image:
    """Return a figure drawn at its own resolution, in RGB; the same pixels for the same figure.

    Parameters
    ----------
    ground
        A picture of the figure's size to draw over where the figure is transparent; it is changed in place.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    if ground is None:
        return Image.fromarray(pixels[:, :, :3])
    ground.paste(Image.fromarray(pixels[:, :, :3]), mask=Image.fromarray(pixels[:, :, 3]))
    return ground
