"""Large slides for measuring speed and memory: a few painted blocks, laid side by side many times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spatial_til.phantoms.brightfield import render_brightfield
from spatial_til.phantoms.camera import Camera
from spatial_til.phantoms.files import TILE, SlideFormat, encode_tile, halve, write_levels
from spatial_til.phantoms.tissue import tissue_scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spatial_til.phantoms.layout import Population


def make_large_slide(
    path: Path,
    size_px: tuple[int, int] = (40_000, 40_000),
    *,
    pixel_size_um: float = 0.25,
    tissue_fraction: float = 0.6,
    painted_blocks: int = 3,
    levels: int = 4,
    level_step: int = 1,
    quality: int = 90,
    extra: Sequence[Population] = (),
    seed: int = 0,
) -> int:
    """Write a large brightfield slide and return the number of cells on it, cells of cut blocks included.

    Distinct blocks are painted and compressed once, as they are and mirrored, and their tiles are written
    again and again: memory does not grow with the slide. A block is a single tile at the coarsest level.

    Parameters
    ----------
    path
        OME-TIFF to write.
    size_px
        Rows and columns.
    pixel_size_um
        Side of a pixel in µm.
    tissue_fraction
        Share of blocks that hold tissue; they lie together in a disc.
    painted_blocks
        Number of distinct blocks.
    levels
        Number of pyramid levels, each half the one before.
    level_step
        Only every so many of them are written: with 2 each has a quarter of the side, as scanners do.
    quality
        JPEG quality.
    extra
        Populations beside those of `tissue_scene`, for more cellular tissue.
    seed
        Seed of everything random.
    """
    rows, cols = size_px
    if not (0 < tissue_fraction <= 1 and painted_blocks >= 1):
        msg = (
            "a large slide needs a tissue fraction above 0 and up to 1 and at least one painted block, "
            f"found {tissue_fraction} and {painted_blocks}: change them"
        )
        raise ValueError(msg)
    block_px = TILE * 2 ** (levels - 1)
    compressed, counts = _compress(pixel_size_um, painted_blocks, levels, quality, extra, seed)
    plan = _plan(-(-rows // block_px), -(-cols // block_px), tissue_fraction, len(compressed) - 1, seed)

    written = range(0, levels, level_step)

    def tiles(index: int) -> Iterator[bytes]:
        level = written[index]
        per_block = 2 ** (levels - 1 - level)
        for row in range(-(-(rows >> level) // TILE)):
            for col in range(-(-(cols >> level) // TILE)):
                block = plan[row // per_block, col // per_block]
                yield compressed[block][level][row % per_block][col % per_block]

    shapes = [(rows >> level, cols >> level) for level in written]
    write_levels(path, shapes, tiles, SlideFormat(pixel_size_um, quality=quality))
    return sum(counts[block] for block in plan.ravel())


def _compress(
    um: float, painted: int, levels: int, quality: int, extra: Sequence[Population], seed: int
) -> tuple[list[list[list[list[bytes]]]], list[int]]:
    """Return tiles by block, level, row and column, and cells by block; block 0 is glass."""
    camera = Camera(jpeg_quality=None)
    block_px = TILE * 2 ** (levels - 1)
    side_um = block_px * um
    rng = np.random.default_rng([seed, 12])
    glass = np.asarray(camera.white) + camera.noise * rng.standard_normal((block_px, block_px, 3), np.float32)
    compressed = [_pyramid_tiles(np.clip(np.rint(glass), 0, 255).astype(np.uint8), levels, quality)]
    counts = [0]
    for i in range(painted):
        scene = tissue_scene((side_um, side_um), seed=seed + i, glass=False, extra=extra)
        image = render_brightfield(scene, um, camera=camera)
        for view in (image, image[::-1], image[:, ::-1]):
            compressed.append(_pyramid_tiles(view, levels, quality))
            counts.append(len(scene.cells))
    return compressed, counts


def _pyramid_tiles(image: NDArray[np.uint8], levels: int, quality: int) -> list[list[list[bytes]]]:
    pyramid = []
    for _ in range(levels):
        starts = range(0, image.shape[0], TILE)
        pyramid.append([[encode_tile(image[r : r + TILE, c : c + TILE], quality) for c in starts] for r in starts])
        image = halve(image)
    return pyramid


def _plan(rows: int, cols: int, fraction: float, kinds: int, seed: int) -> NDArray[np.intp]:
    """Return which block lies where: tissue nearest the middle, glass (0) elsewhere."""
    rng = np.random.default_rng([seed, 13])
    y, x = np.mgrid[0:rows, 0:cols]
    away = np.hypot(y - (rows - 1) / 2, x - (cols - 1) / 2).ravel()
    plan = np.zeros(rows * cols, np.intp)
    count = max(1, round(fraction * rows * cols))
    plan[np.argsort(away, kind="stable")[:count]] = rng.integers(1, kinds + 1, count)
    return plan.reshape(rows, cols)
