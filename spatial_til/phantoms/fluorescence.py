"""Fluorescence images of a scene: DAPI, CD8, PD-L1 and SOX10 (nuclei of melanoma cells)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spatial_til.phantoms import camera as cam
from spatial_til.phantoms import paint
from spatial_til.phantoms.blocks import Block, DepthMaps, blocks, depth_maps, image_shape
from spatial_til.phantoms.layout import KINDS
from spatial_til.phantoms.look import Looks, Staining, draw_looks
from spatial_til.phantoms.textures import textures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from spatial_til.phantoms.fields import Plane
    from spatial_til.phantoms.layout import Scene

CHANNELS = ("DAPI", "CD8", "PD-L1", "SOX10")


@dataclass(frozen=True, slots=True)
class Microscope:
    """Exposure of one fluorescence scan; intensities in grey levels of 16 bits."""

    gain: tuple[float, float, float, float] = (5200.0, 3400.0, 3000.0, 3600.0)  # per unit of stain
    autofluorescence: tuple[float, float, float, float] = (300.0, 450.0, 400.0, 300.0)  # of tissue
    offset: float = 180.0
    haze: float = 0.14  # share of light that comes from out of focus
    electrons_per_grey: float = 0.5
    read_noise: float = 14.0
    sox10_positive: float = 0.98  # share of tumour cells that show SOX10
    blur_um: float = 0.32
    defocus_um: float = 0.7


def render_fluorescence(
    scene: Scene,
    pixel_size_um: float = 0.5,
    *,
    staining: Staining | None = None,
    microscope: Microscope | None = None,
) -> NDArray[np.uint16]:
    """Return a 16-bit image (rows, cols, 4) of a scene in the order of CHANNELS.

    Parameters
    ----------
    scene
        Cells, tissue and tumour.
    pixel_size_um
        Side of a pixel in µm.
    staining, microscope
        How the slide was stained and scanned.
    """
    image = np.empty((*image_shape(scene, pixel_size_um), len(CHANNELS)), np.uint16)
    for block, pixels in fluorescence_blocks(scene, pixel_size_um, staining=staining, microscope=microscope):
        image[block.place] = pixels
    return image


def fluorescence_blocks(
    scene: Scene,
    pixel_size_um: float,
    *,
    staining: Staining | None = None,
    microscope: Microscope | None = None,
) -> Iterator[tuple[Block, NDArray[np.uint16]]]:
    """Yield the blocks of the image, see `render_fluorescence`."""
    staining, microscope = staining or Staining(), microscope or Microscope()
    looks, maps = draw_looks(scene, staining), depth_maps(scene)
    for block in blocks(scene, pixel_size_um):
        planes, tissue = _fluorophores(scene, block, looks, maps, microscope)
        yield block, _photograph(scene, block, planes, tissue, microscope)


def _fluorophores(
    scene: Scene, block: Block, looks: Looks, maps: DepthMaps, microscope: Microscope
) -> tuple[Plane, Plane]:
    """Return dye amounts (4, rows, cols) and the amount of tissue that shines by itself."""
    t, um, i = textures(), block.um, block.index
    row0, col0 = block.origin
    d1, d2, i1, i2 = block.claim()
    tissue = 10 * paint.ground(*maps.at(block), t.fibres, t.slow, um, col0, row0)
    paint.cytoplasm(tissue, d1, d2, i1, block.growth, 5 * looks.tint[i], t.grain, um, col0, row0)
    planes = np.zeros((len(CHANNELS), *block.shape), np.float32)
    shape = (block.x, block.y, block.radii)
    rng = np.random.default_rng([scene.seed, 6])
    shows = (scene.cells.kind == KINDS.index("tumor")) & (rng.random(len(scene.cells)) < microscope.sox10_positive)
    sox10 = 0.6 * shows * np.exp(0.25 * rng.standard_normal(len(scene.cells)))
    soft = looks.soft_um[i] / np.float32(um)
    for plane, amount, clump in ((planes[0], looks.amount, 0.7), (planes[3], sox10.astype(np.float32), 0.4)):
        inside = (amount[i], looks.vesicular[i] * np.float32(0.6), looks.clump[i] * np.float32(clump), soft)
        none = np.zeros_like(looks.nucleoli[i])
        paint.nuclei(plane, *shape, *inside, none, looks.offset[i], t.chromatin, um)
    width = np.full(len(i), 0.45 / um, np.float32)
    for plane, amount, arc, fill in (
        (planes[1], looks.cd8, looks.arc_cd8, looks.fill_cd8),
        (planes[2], looks.pdl1, looks.arc_pdl1, looks.fill_pdl1),
    ):
        stain = (amount[i], arc[i], fill[i], width, looks.offset[i])
        paint.membranes(plane, d1, d2, i1, i2, *shape, block.growth, *stain, t.grain, um)
    return planes, tissue


def _photograph(scene: Scene, block: Block, planes: Plane, tissue: Plane, microscope: Microscope) -> NDArray[np.uint16]:
    import cv2

    t, (row0, col0), m = textures(), block.origin, microscope
    optics = cam.Camera(blur_um=m.blur_um, defocus_um=m.defocus_um)
    blend = cam.focus_map(t.slow, block.um, col0, row0, *block.shape)
    rng = np.random.default_rng([scene.seed, 4, block.row0, block.col0])
    rows, cols = block.inner
    lamp = cam.lamp(t.slow, optics.uneven, block.um, col0, row0, *block.shape)[block.inner]
    out = np.empty((*lamp.shape, len(CHANNELS)), np.uint16)
    for k, plane in enumerate(planes):
        light = m.gain[k] * plane + m.autofluorescence[k] * tissue
        haze = cv2.GaussianBlur(light, (0, 0), 5.0 / block.um)
        light = (1 - m.haze) * cam.focus(light, optics, blend, block.um) + m.haze * haze
        light = np.maximum(light[rows, cols] * lamp, 0)
        shot = np.sqrt(light / m.electrons_per_grey + m.read_noise**2)
        noisy = m.offset + light + shot * rng.standard_normal(light.shape, dtype=np.float32)
        out[..., k] = np.clip(np.rint(noisy), 0, 65535)
    return out
