"""Packed nuclei part at the dark lines between them; chromatin of lone nuclei does not part."""

import numpy as np

from spatial_til.segmentation.clefts import open_clefts
from spatial_til.segmentation.settings import NucleusSettings

PX_UM = 0.5
SIDE = 120


def opened(contrast, share=0.15):
    """Return which foreground pixels were opened; the foreground is what has contrast at all."""
    above = np.where(contrast > 0, contrast, -1).astype(np.int16)
    before = above > 0
    open_clefts(contrast.astype(np.int16), above, px_um=PX_UM, share=share, settings=NucleusSettings())
    return before & (above <= 0)


def packed(line, depth):
    """Draw a sheet of stain with a valley one pixel wide at each `line`, `depth` of the level deep."""
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    valley = np.zeros((SIDE, SIDE))
    for across in line:
        valley = np.maximum(valley, np.exp(-0.5 * (across(rows, cols) / 0.8) ** 2))
    return np.round(4000 * (1 - depth * valley))


def test_lines_in_every_direction_are_opened_and_nothing_else():
    for across in (
        lambda r, c: r - 60,
        lambda r, c: c - 60,
        lambda r, c: (r - c) / np.sqrt(2),
        lambda r, c: (r + c - SIDE) / np.sqrt(2),
    ):
        rows, cols = np.mgrid[0:SIDE, 0:SIDE]
        away = np.abs(across(rows, cols))
        inside = (np.minimum(rows, cols) > 20) & (np.maximum(rows, cols) < SIDE - 20)
        found = opened(packed([across], 0.4))
        assert found[inside & (away < 0.1)].all()
        assert not found[inside & (away > 3)].any()


def test_a_shallow_line_stays_closed():
    assert not opened(packed([lambda r, c: r - 60], 0.1)).any()


def test_a_line_within_a_lone_nucleus_stays_closed():
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    nucleus = np.hypot(rows - 60, cols - 60) < 8
    assert not opened(packed([lambda r, c: r - 60], 0.4) * nucleus).any()
    assert opened(packed([lambda r, c: r - 60], 0.4)).any()
