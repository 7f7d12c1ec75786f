"""The floor: reading and decompressing every tile of the finest level, and nothing else."""

from __future__ import annotations

from pathlib import Path

import tifffile


def run(path: Path, threads: int = 2) -> int:
    """Return the number of pixels decoded from the finest level of a TIFF, with a number of threads."""
    with tifffile.TiffFile(path) as tif:
        page = tif.series[0].levels[0].pages[0]
        return sum(
            segment.shape[-3] * segment.shape[-2]
            for segment, _, _ in page.segments(maxworkers=threads)
            if segment is not None
        )
