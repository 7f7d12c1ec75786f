"""Synthetic slides with exact truth, for the sample study, tests and benchmarks.

A `Scene` says where every cell lies and what it is; `render_brightfield` and `render_fluorescence` paint
it; `label_images` and `Scene.cells` are the truth. `make_sample_study` writes the study of
`sample_slides/`; ``python -m spatial_til.synthetic OUT`` does the same from the shell.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spatial_til.phantoms.brightfield import PRESET_VECTORS, render_brightfield, tilted_vectors
from spatial_til.phantoms.camera import Camera
from spatial_til.phantoms.fluorescence import CHANNELS, Microscope, render_fluorescence
from spatial_til.phantoms.large import make_large_slide
from spatial_til.phantoms.layout import KINDS, Crowding, Population, Scene, SceneCells, populate
from spatial_til.phantoms.look import HARD_STAINING, Staining
from spatial_til.phantoms.study import make_sample_study
from spatial_til.phantoms.tissue import scene_from_outlines, tissue_scene
from spatial_til.phantoms.truth import label_images

__all__ = [
    "CHANNELS",
    "HARD_STAINING",
    "KINDS",
    "PRESET_VECTORS",
    "Camera",
    "Crowding",
    "Microscope",
    "Population",
    "Scene",
    "SceneCells",
    "Staining",
    "label_images",
    "make_large_slide",
    "make_sample_study",
    "populate",
    "render_brightfield",
    "render_fluorescence",
    "scene_from_outlines",
    "tilted_vectors",
    "tissue_scene",
]


def main(arguments: list[str]) -> int:
    """Write the sample study to the folder named; return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m spatial_til.synthetic OUT\n")
        return 2
    make_sample_study(Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
