"""Synthetic slides with exact truth, for the sample study, tests and benchmarks.

A `Scene` says where every cell lies and what it is; `render_brightfield` and `render_fluorescence` paint
it; `label_images` and `Scene.cells` are the truth. `make_sample_study` writes the study of
`sample_slides/`; ``python -m spatial_til.synthetic OUT`` does the same from the shell.
"""

from __future__ import annotations

from spatial_til.phantoms.brightfield import PRESET_VECTORS, render_brightfield, tilted_vectors
from spatial_til.phantoms.camera import Camera
from spatial_til.phantoms.fluorescence import CHANNELS, Microscope, render_fluorescence
from spatial_til.phantoms.layout import KINDS, Crowding, Population, Scene, SceneCells, populate
from spatial_til.phantoms.look import HARD_STAINING, Staining
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
    "populate",
    "render_brightfield",
    "render_fluorescence",
    "scene_from_outlines",
    "tilted_vectors",
    "tissue_scene",
]
