"""Colours of populations and stains, as napari takes them: plain values, no napari."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spatial_til.region_colors import Color

#: Seen on brown, on blue and on black alike. Green and magenta, not green and red: colour-blind readers see both.
_KNOWN: Mapping[str, Color] = {
    "CD8+": (0, 230, 118),
    "PD-L1+": (255, 0, 220),
    "CD8+PD-L1+": (255, 234, 0),
    "tumor": (124, 77, 255),
    "all": (130, 145, 155),
}
_OTHERS: tuple[Color, ...] = (
    (0, 184, 212),
    (255, 145, 0),
    (213, 0, 249),
    (100, 221, 23),
    (141, 110, 99),
    (255, 128, 171),
)


def population_colors(names: Sequence[str]) -> dict[str, Color]:
    """Return a colour for each population; the same names give the same colours."""
    others = [name for name in names if name not in _KNOWN]
    return {name: _KNOWN.get(name) or _OTHERS[others.index(name) % len(_OTHERS)] for name in names}


def steps(name: str, colors: Sequence[Color], alphas: Sequence[float] | None = None) -> dict[str, Any]:
    """Return a colour map of whole numbers from 0 to 255: clear at 0, then these colours, then clear."""
    alphas = [1.0] * len(colors) if alphas is None else alphas
    table = np.zeros((256, 4), np.float32)
    for i, (color, alpha) in enumerate(zip(colors, alphas, strict=True), start=1):
        table[i] = (*(c / 255 for c in color), alpha)
    controls = np.concatenate(([0.0], (np.arange(255) + 0.5) / 255, [1.0]))
    return {"name": name, "colors": table, "controls": controls, "interpolation": "zero"}


def ramp(name: str, color: tuple[float, float, float], *, on_white: bool) -> dict[str, Any]:
    """Return a colour map from black, or from white, to a colour."""
    start = (1.0, 1.0, 1.0, 1.0) if on_white else (0.0, 0.0, 0.0, 1.0)
    return {"name": f"{name} on {'white' if on_white else 'black'}", "colors": np.array([start, (*color, 1.0)])}
