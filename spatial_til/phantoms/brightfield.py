"""Brightfield images of a scene: hematoxylin, CD8 in brown (DAB), PD-L1 in red."""

from __future__ import annotations

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

#: Rows hematoxylin, DAB, red: the published vectors (Ruifrok & Johnston; red as in the example protocol).
PRESET_VECTORS = ((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), (0.21, 0.85, 0.48))
_MELANIN = (0.48, 0.58, 0.66)  # flatter than DAB


def tilted_vectors(degrees: float, seed: int) -> NDArray[np.float64]:
    """Return the preset vectors, each turned by an angle in a random direction: another scanner's stains."""
    rng = np.random.default_rng([seed, 5])
    base = np.array(PRESET_VECTORS)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    away = np.cross(base, rng.standard_normal((3, 3)))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    angle = np.deg2rad(degrees)
    turned = np.abs(np.cos(angle) * base + np.sin(angle) * away)
    return turned / np.linalg.norm(turned, axis=1, keepdims=True)  # type: ignore[no-any-return]


def render_brightfield(
    scene: Scene,
    pixel_size_um: float = 0.5,
    *,
    vectors: NDArray[np.float64] | None = None,
    staining: Staining | None = None,
    camera: cam.Camera | None = None,
) -> NDArray[np.uint8]:
    """Return an RGB image (rows, cols, 3) of a scene; the same scene gives the same pixels.

    Parameters
    ----------
    scene
        Cells, tissue and tumour.
    pixel_size_um
        Side of a pixel in µm.
    vectors
        (3, 3) optical-density vectors of hematoxylin, CD8 and PD-L1; PRESET_VECTORS by default.
    staining, camera
        How the slide was stained and scanned.
    """
    camera = camera or cam.Camera()
    rgb = np.empty((*image_shape(scene, pixel_size_um), 3), np.uint8)
    for block, pixels in brightfield_blocks(scene, pixel_size_um, vectors=vectors, staining=staining, camera=camera):
        rgb[block.place] = pixels
    return rgb if camera.jpeg_quality is None else cam.through_jpeg(rgb, camera.jpeg_quality)


def brightfield_blocks(
    scene: Scene,
    pixel_size_um: float,
    *,
    vectors: NDArray[np.float64] | None = None,
    staining: Staining | None = None,
    camera: cam.Camera | None = None,
) -> Iterator[tuple[Block, NDArray[np.uint8]]]:
    """Yield the blocks of the image before JPEG, see `render_brightfield`."""
    staining, camera = staining or Staining(), camera or cam.Camera()
    unit = np.asarray(PRESET_VECTORS if vectors is None else vectors, dtype=np.float64)
    unit = np.vstack((unit, _MELANIN))
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    looks, maps, dirt = draw_looks(scene, staining), depth_maps(scene), _dirt(scene, staining)
    for block in blocks(scene, pixel_size_um):
        planes = _stains(block, looks, maps, staining, dirt)
        yield block, _photograph(scene, block, planes, unit, camera)


def _stains(block: Block, looks: Looks, maps: DepthMaps, staining: Staining, dirt: NDArray[np.float64]) -> Plane:
    """Return stain amounts (4, rows, cols): hematoxylin, brown, red, pigment."""
    t, um = textures(), block.um
    (row0, col0), i = block.origin, block.index
    d1, d2, i1, i2 = block.claim()
    depth, edge = maps.at(block)
    planes = np.zeros((4, *block.shape), np.float32)
    planes[0] = paint.ground(depth, edge, t.fibres, t.slow, um, col0, row0)
    shape = (block.x, block.y, block.radii)
    where = (d1, d2, i1, block.growth)
    for plane, tint in zip(planes, (looks.tint, looks.brown_haze, looks.red_haze), strict=False):
        paint.cytoplasm(plane, *where, tint[i], t.grain, um, col0, row0)
    nucleus = (looks.amount[i], looks.vesicular[i], looks.clump[i], looks.soft_um[i] / np.float32(um))
    paint.nuclei(planes[0], *shape, *nucleus, looks.nucleoli[i], looks.offset[i], t.chromatin, um)
    width = np.full(len(i), 0.45 / um, np.float32)
    for plane, amount, arc, fill in (
        (planes[1], looks.cd8, looks.arc_cd8, looks.fill_cd8),
        (planes[2], looks.pdl1, looks.arc_pdl1, looks.fill_pdl1),
    ):
        stain = (amount[i], arc[i], fill[i], width, looks.offset[i])
        paint.membranes(plane, d1, d2, i1, i2, *shape, block.growth, *stain, t.grain, um)
        _smear(plane, staining.smear, um)
    _sprinkle(planes, dirt, block)
    return planes


def _smear(plane: Plane, share: float, um: float) -> None:
    """Let a share of the chromogen diffuse over 2 µm."""
    import cv2

    plane += share * (cv2.GaussianBlur(plane, (0, 0), 2.0 / um) - plane)


def _dirt(scene: Scene, staining: Staining) -> NDArray[np.float64]:
    """Return spots (n, 5) of debris and pigment: plane, x, y and radius in µm, amount."""
    rng = np.random.default_rng([scene.seed, 3])
    n = rng.poisson(staining.debris_per_mm2 * scene.width_um * scene.height_um / 1e6)
    debris = np.column_stack(
        (
            rng.choice([0, 1, 2, 3], n, p=[0.4, 0.25, 0.1, 0.25]),
            rng.uniform(0, scene.width_um, n),
            rng.uniform(0, scene.height_um, n),
            rng.uniform(0.5, 1.6, n),
            rng.uniform(0.15, 0.7, n),
        )
    )
    laden = np.flatnonzero(scene.cells.kind == KINDS.index("melanophage"))
    count = rng.integers(40, 110, len(laden))
    cell = np.repeat(laden, count)
    away = (scene.cells.radii_um.mean(axis=1) + scene.cells.expansion_um)[cell] * np.sqrt(rng.random(len(cell)))
    turn = rng.uniform(0, 2 * np.pi, len(cell))
    pigment = np.column_stack(
        (
            np.full(len(cell), 3),
            scene.cells.x_um[cell] + away * np.cos(turn),
            scene.cells.y_um[cell] + away * np.sin(turn),
            rng.uniform(0.3, 0.75, len(cell)),
            rng.uniform(0.2, 0.8, len(cell)),
        )
    )
    return np.vstack((debris, pigment))


def _sprinkle(planes: Plane, dirt: NDArray[np.float64], block: Block) -> None:
    row0, col0 = block.origin
    x, y = dirt[:, 1] / block.um - col0, dirt[:, 2] / block.um - row0
    near = (x > -10) & (x < block.shape[1] + 10) & (y > -10) & (y < block.shape[0] + 10)
    for k in range(4):
        on = near & (dirt[:, 0] == k)
        paint.spots(planes[k], x[on], y[on], dirt[on, 3] / block.um, dirt[on, 4])


def _photograph(
    scene: Scene, block: Block, planes: Plane, unit: NDArray[np.float32], camera: cam.Camera
) -> NDArray[np.uint8]:
    t, (row0, col0) = textures(), block.origin
    white = np.array(camera.white, np.float32)
    lamp = cam.lamp(t.slow, camera.uneven, block.um, col0, row0, *block.shape)
    lit = cam.transmit(planes, unit, white, lamp)
    blend = cam.focus_map(t.slow, block.um, col0, row0, *block.shape)
    sharp = cam.focus(lit, camera, blend, block.um)[block.inner]
    rng = np.random.default_rng([scene.seed, 4, block.row0, block.col0])
    return cam.expose(sharp, camera.noise, rng)
