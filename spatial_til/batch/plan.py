"""How many slides are worked on at once: what a worker needs, and what the machine has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spatial_til.counted import counted
from spatial_til.errors import SpatialTilError
from spatial_til.io.limits import free_memory_mib, usable_cores
from spatial_til.io.slides import open_slide
from spatial_til.study import Job

# Peak of a worker that measured and scored one synthetic slide of 1.4, 5.8, 23 and 92 Mpx (800 cells per megapixel),
# stains at 2 µm stored beside: 572, 596, 584 and 636 MiB (of measuring alone 412, 504, 565 and 573); where cells grow
# along a stain 611, 677 and 707 from 5.8 Mpx on. What a megapixel takes is that of a slide packed with cells (1,500 in
# it, 25 columns, three copies while they are joined).
BASE_MIB = 420.0  # interpreter, libraries and compiled kernels
TILE_MIB = 240.0  # planes and labels of one tile with its halo, of three channels, and what they leave behind
GUIDED_MIB = 120.0  # the guide of a tile, and growth along it
OF_SLIDE_MIB_PER_MPX = 1.0  # cells, geometry and overview of a megapixel at the working size
DECODING_MIB = 64.0  # of a tiled slide; one stored in a single strip may take half a gibibyte
SHARE_OF_FREE = 0.85
LARGEST_LOOKED_AT = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """Workers, threads in each, and the memory one needs."""

    workers: int
    threads: int
    memory_mib: float
    cores: int
    free_mib: float

    def __str__(self) -> str:
        return (
            f"{counted(self.workers, 'worker')} of {counted(self.threads, 'thread')} and about "
            f"{self.memory_mib:.0f} MiB each ({counted(self.cores, 'core')}, {self.free_mib:.0f} MiB free)"
        )


def plan(jobs: Sequence[Job], workers: int | None) -> Plan:
    """Return how to work on some slides; `workers` is the user's wish, else cores and memory decide."""
    cores, free = usable_cores(), free_memory_mib()
    need = memory_of_largest(jobs)
    fit = max(1, int(free * SHARE_OF_FREE / need))
    chosen = workers or max(1, min(cores, fit))
    threads = max(1, chosen // max(1, len(jobs)))
    return Plan(min(chosen, len(jobs) or chosen), threads, need + (threads - 1) * TILE_MIB, cores, free)


def memory_of_largest(jobs: Sequence[Job]) -> float:
    """Return the memory in MiB that the largest slides need, from the headers of the largest files."""
    images = {job.image: job for job in jobs if job.image is not None and job.cells is None}
    largest = sorted(images, key=_size, reverse=True)[:LARGEST_LOOKED_AT]
    return max([_memory_of(images[path]) for path in largest], default=BASE_MIB)


def _memory_of(job: Job) -> float:
    guided = bool(job.protocol.segmentation.cytoplasm_markers)
    return memory_mib(*size_of(job), _channels(job), guided=guided)


def memory_mib(mpx: float, decoding_mib: float, channels: int, *, guided: bool = False) -> float:
    """Return the memory in MiB that a slide needs with one thread.

    Parameters
    ----------
    mpx
        Its megapixels at the working size.
    decoding_mib
        What decoding its file takes: up to `DECODING_MIB`, as for a tiled slide, is in the rest.
    guided
        Cells grow along a stain of their cytoplasm.
    """
    of_file = max(decoding_mib - DECODING_MIB, 0.0) + GUIDED_MIB * guided
    return BASE_MIB + TILE_MIB * max(channels, 3) / 3 + OF_SLIDE_MIB_PER_MPX * mpx + of_file


def megapixels(job: Job) -> float:
    """Return a slide's megapixels at the working pixel size, from its header; 0 where it cannot be read."""
    return size_of(job)[0]


def size_of(job: Job) -> tuple[float, float]:
    """Return a slide's megapixels at the working size and the MiB that decoding it takes; 0 where it cannot be read."""
    if job.image is None or job.cells is not None:
        return 0.0, 0.0
    try:
        with open_slide(job.image, pixel_size_um=job.pixel_size_um) as slide:
            grid = slide.at(job.protocol.segmentation.pixel_size_um)
            return grid.shape[0] * grid.shape[1] / 1e6, slide.decoding_bytes / 2**20
    except (SpatialTilError, OSError):
        return 0.0, 0.0  # it fails by itself, in its stage


def _channels(job: Job) -> int:
    panel = job.protocol.panel
    return 3 if panel.modality == "brightfield" else len(panel.channels)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*"))
    except OSError:
        return 0
