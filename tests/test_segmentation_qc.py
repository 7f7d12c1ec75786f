"""Slide quality on phantoms: quiet on clean slides, a flag for each fault that is put in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely

from spatial_til.segmentation.artefacts import find_artefacts
from spatial_til.segmentation.constants import calibrate
from spatial_til.segmentation.focus import edge_widths_um
from spatial_til.segmentation.overview import read_overview
from spatial_til.segmentation.qc import judge
from spatial_til.segmentation.residual import (
    other_colour_fraction,
    saturated_channels,
    saturated_rgb,
    unexplained_od,
)
from spatial_til.segmentation.settings import NUCLEI, Channel, MeasureSettings, Stain
from spatial_til.segmentation.stains import stain_matrix
from spatial_til.synthetic import (
    HARD_STAINING,
    Camera,
    Microscope,
    render_brightfield,
    render_fluorescence,
    tilted_vectors,
    tissue_scene,
)
from spatial_til.units import PixelSize
from tests.array_source import ArraySource

VECTORS = ((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), (0.21, 0.85, 0.48))
BRIGHTFIELD = MeasureSettings(
    "brightfield",
    stains=(
        Stain("hematoxylin", NUCLEI, VECTORS[0]),
        Stain("dab", "CD8", VECTORS[1]),
        Stain("red", "PD-L1", VECTORS[2]),
    ),
)
FLUORESCENCE = MeasureSettings(
    "fluorescence", channels=(Channel("DAPI", NUCLEI), Channel("CD8", "CD8"), Channel("PD-L1", "PD-L1"))
)

SIZE = (520.0, 520.0)
WHITE = np.array([240.0, 238.0, 242.0])


def quality(image, um=0.5):
    brightfield = image.shape[2] == 3
    channels = ("red", "green", "blue") if brightfield else ("DAPI", "CD8", "PD-L1", "SOX10")
    source = ArraySource(image, PixelSize(um, um), channels)
    constants = calibrate(source, None, BRIGHTFIELD if brightfield else FLUORESCENCE, None)
    return judge(constants, source, picture=read_overview(source, None))


@cache
def clean(seed=21, um=0.5):
    return render_brightfield(tissue_scene(SIZE, seed=seed), um)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(clean, id="brightfield"),
        pytest.param(lambda: render_brightfield(tissue_scene(SIZE, seed=22, glass=False)), id="no glass"),
        pytest.param(lambda: render_brightfield(tissue_scene(SIZE, seed=23), staining=HARD_STAINING), id="hard"),
        pytest.param(
            lambda: render_brightfield(tissue_scene(SIZE, seed=24), vectors=tilted_vectors(4, 24)), id="tilted"
        ),
        pytest.param(
            lambda: render_brightfield(tissue_scene(SIZE, seed=25, cd8_per_mm2=(0, 0, 0, 0))), id="no positives"
        ),
        pytest.param(lambda: render_fluorescence(tissue_scene(SIZE, seed=26)), id="fluorescence"),
    ],
)
def test_a_clean_slide_carries_no_flag(image):
    found = quality(image())
    assert found.flags == ()
    assert not found.artefact_fraction


def test_a_clean_slide_at_a_quarter_micron_carries_no_flag():
    found = quality(render_brightfield(tissue_scene((350.0, 350.0), seed=27), 0.25), 0.25)
    assert found.flags == ()


def test_coarse_pixels_are_flagged():
    assert "pixel_size_coarse" in quality(clean(), 0.65).flags


@pytest.mark.parametrize("modality", ["brightfield", "fluorescence"])
def test_defocus_is_flagged_and_widens_edges(modality):
    scene, widths = tissue_scene(SIZE, seed=28), []
    for blur_um in (0.35, 1.7, 2.6):
        if modality == "brightfield":
            found = quality(render_brightfield(scene, camera=Camera(blur_um=blur_um, defocus_um=blur_um)))
        else:
            found = quality(render_fluorescence(scene, microscope=Microscope(blur_um=blur_um, defocus_um=blur_um)))
        widths.append(found.numbers["edge_width_um"])
        assert ("blurred" in found.flags) == (blur_um > 1)
    assert widths[0] < 0.8
    assert widths == sorted(widths)


def test_one_blurred_quarter_is_its_share_of_the_tissue():
    image = clean().copy()
    rows, cols = image.shape[0] // 2, image.shape[1] // 2
    image[:rows, :cols] = cv2.GaussianBlur(image[:rows, :cols], (0, 0), 4.0)
    found = quality(image)
    assert "blurred" in found.flags
    assert found.numbers["blurred_fraction"] == pytest.approx(0.26, abs=0.08)  # glass on the right: 0.25 / 0.95


@pytest.mark.parametrize("sigma_um", [0.8, 1.5, 2.5])
@pytest.mark.parametrize("um", [0.25, 0.5])
@pytest.mark.parametrize("pitch_um", [16, 64])
def test_the_width_of_a_step_edge_is_its_blur(sigma_um, um, pitch_um):
    bars = (np.arange(512) * um % pitch_um < pitch_um / 2) * np.float32(200)
    blurred = cv2.GaussianBlur(np.tile(bars, (512, 1)), (0, 0), sigma_um / um)
    widths = edge_widths_um(blurred, np.ones((512, 512), bool), px_um=um, least_range=10)
    assert np.median(widths) == pytest.approx(sigma_um, rel=0.2)


def test_overexposed_slides_are_saturated():
    scene = tissue_scene(SIZE, seed=29)
    assert "saturated" in quality(render_brightfield(scene, camera=Camera(white=(285.0, 283.0, 288.0)))).flags
    light = render_fluorescence(scene).astype(np.float64) * 30
    assert "saturated" in quality(np.minimum(light, 65535).astype(np.uint16)).flags


def test_white_gaps_are_not_saturated_and_lost_stain_is():
    pixels = np.array([[[255, 255, 255], [255, 240, 250], [5, 80, 60], [30, 40, 50]]], dtype=np.uint8)
    assert saturated_rgb(pixels).tolist() == [[False, True, True, False]]
    dim = np.array([[[4095, 10], [300, 200], [4095, 7]]], dtype=np.uint16)
    assert saturated_channels(dim).tolist() == [[True, False, True]]
    assert not saturated_channels(dim.astype(np.float32)).any()


def test_wrong_vectors_leave_a_high_residual():
    image = render_brightfield(tissue_scene(SIZE, seed=30), vectors=tilted_vectors(28, 1))
    assert "high_residual" in quality(image).flags


def two_stains(image):
    source = ArraySource(image, PixelSize(0.5, 0.5), ("red", "green", "blue"))
    settings = MeasureSettings("brightfield", stains=BRIGHTFIELD.stains[:2])
    return judge(calibrate(source, None, settings, None), source)


@pytest.mark.parametrize("cd8_per_mm2", [(150.0, 300.0, 700.0, 300.0), (0.0, 0.0, 0.0, 0.0)], ids=["many", "none"])
def test_a_third_stain_that_the_panel_does_not_name_is_told(cd8_per_mm2):
    found = two_stains(render_brightfield(tissue_scene(SIZE, seed=48, cd8_per_mm2=cd8_per_mm2)))
    assert "high_residual" in found.flags
    assert found.numbers["residual_od_95"] < 0.05  # over all of the tissue it hides


@pytest.mark.parametrize("turn_deg", [0, 4])
def test_a_slide_of_two_stains_has_no_other_colour(turn_deg):
    hematoxylin, brown, _ = tilted_vectors(turn_deg, 49) if turn_deg else VECTORS
    found = two_stains(render_brightfield(tissue_scene(SIZE, seed=49), vectors=(hematoxylin, brown, brown)))
    assert found.numbers["other_colour_fraction"] < 0.01
    assert "high_residual" not in found.flags


def test_vectors_with_red_and_green_exchanged_are_told():
    image = render_brightfield(tissue_scene(SIZE, seed=50), vectors=(VECTORS[0], VECTORS[1], VECTORS[1]))
    assert "high_residual" in two_stains(image[:, :, [1, 0, 2]]).flags


def test_colour_beside_two_stains_by_hand():
    matrix = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    marker = np.array([False, True])
    brown, green, blue = [0.2, 0.0, 0.4], [0.2, 0.1, 0.4], [1.0, 1.0, 0.1]  # green: 0.1 of 0.7 OD; blue: no marker
    od = np.array([brown] * 15 + [green] * 5 + [blue] * 100)
    assert other_colour_fraction(od, matrix, marker) == 0.25
    assert other_colour_fraction(od[1:], matrix, marker) is None  # 19 stained pixels say nothing
    assert other_colour_fraction(od, np.eye(3), np.array([False, True, True])) is None
    assert other_colour_fraction(od, matrix[:1], marker[:1]) is None


def test_the_residual_is_that_of_non_negative_least_squares():
    from scipy.optimize import nnls

    rng = np.random.default_rng(3)
    od = rng.uniform(0, 1, (60, 3))
    for size in (1, 2, 3):
        matrix = stain_matrix(VECTORS[:size])
        expected = [nnls(matrix.T, pixel)[1] for pixel in od]
        assert unexplained_od(od, matrix) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("vectors", [None, tilted_vectors(3, 31)], ids=["published", "tilted"])
def test_melanin_is_suspected(vectors):
    scene = tissue_scene(SIZE, seed=31, melanophages_per_mm2=100.0)
    found = quality(render_brightfield(scene, vectors=vectors))
    assert "melanin_suspected" in found.flags


def strip(shape, points, width_px):
    mask = np.zeros(shape, np.uint8)
    cv2.polylines(mask, [np.array([points])], False, 1, width_px)
    return mask > 0


PENS = {"green": (0.9, 0.25, 0.6), "blue": (0.9, 0.6, 0.15), "red": (0.05, 0.8, 0.8), "black": (1.2, 1.2, 1.2)}


@pytest.mark.parametrize("colour", PENS)
def test_pen_on_tissue_is_outlined_and_raises_no_other_flag(colour):
    image = clean()
    pen = strip(image.shape[:2], [(60, 200), (400, 500), (900, 380)], 90)
    inked = np.where(pen[..., None], image * 10 ** -np.array(PENS[colour]), image).round().astype(np.uint8)
    found = quality(inked)
    assert found.flags == ()
    yx = np.argwhere(pen[:, :960])[::50]
    assert shapely.contains_xy(found.artefact, (yx[:, 1] + 0.5) / 2, (yx[:, 0] + 0.5) / 2).mean() > 0.95
    grown = cv2.dilate(pen.astype(np.uint8), np.ones((121, 121), np.uint8))  # a rim of 20 µm and a pixel of 8
    assert found.artefact_fraction < grown[:, :988].mean()


def test_a_fold_is_outlined():
    image = clean()
    drawn = strip(image.shape[:2], [(200, 60), (330, 500), (280, 1000)], 110)
    fold = cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), 5)
    od = -np.log10(np.clip(image / WHITE, 0.004, 1))
    layers = [np.roll(od, shift, (0, 1)) for shift in [(330, -30), (-170, 20)]]
    folded = (image * 10 ** (-fold[..., None] * sum(layers))).clip(0, 255).round().astype(np.uint8)
    found = quality(folded)
    y, x = np.nonzero(fold > 0.8)
    inside = shapely.contains_xy(found.artefact, (x[::50] + 0.5) / 2, (y[::50] + 0.5) / 2)
    assert inside.mean() > 0.5
    assert found.artefact_fraction < 2 * (fold > 0.1).mean()


def test_artefacts_lie_in_tissue_and_small_specks_are_none():
    rgb = np.full((300, 400, 3), 230, np.uint8)
    rgb[100:104, 100:104] = 40  # 256 µm²
    rgb[200:240, 300:360] = 40
    tissue = shapely.MultiPolygon([shapely.box(0, 0, 1320, 1200)])
    found = find_artefacts(
        rgb, PixelSize(4.0, 4.0), white=(240.0, 240.0, 240.0), matrix=stain_matrix(VECTORS), tissue=tissue
    )
    assert len(found.geoms) == 1
    assert found.within(tissue.buffer(1e-6))
    assert found.bounds == pytest.approx((1180, 780, 1320, 980), abs=8)


def test_the_same_slide_gives_the_same_figures():
    first, again = quality(clean()), quality(clean())
    assert first.numbers == again.numbers
    assert first.artefact.equals(again.artefact)


def test_without_an_overview_the_artefact_share_is_unknown():
    source = ArraySource(clean(), PixelSize(0.5, 0.5), ("red", "green", "blue"))
    assert judge(calibrate(source, None, BRIGHTFIELD, None), source).artefact_fraction is None


def test_the_cost_does_not_grow_with_the_slide():
    """Boxes are read from a tile repeated over 0.4 gigapixels; at most 24 of 512 pixels are."""
    tile, read = clean(), []

    @dataclass(frozen=True)
    class Repeated:
        shape = (20000, 20000)
        pixel_size = PixelSize(0.5, 0.5)
        channels = ("red", "green", "blue")

        def read(self, row0, row1, col0, col1):
            read.append((row1 - row0) * (col1 - col0))
            rows, cols = (np.arange(a, b) % n for a, b, n in ((row0, row1, 1000), (col0, col1, 960)))
            return tile[np.ix_(rows, cols)]

    small = ArraySource(tile, PixelSize(0.5, 0.5), ("red", "green", "blue"))
    constants = calibrate(small, None, BRIGHTFIELD, None)
    from dataclasses import replace

    large = replace(constants, tissue=shapely.MultiPolygon([shapely.box(0, 0, 10000, 10000)]))
    judge(large, Repeated())
    assert sum(read) <= 24 * 512**2


def test_sample_slides_carry_no_flag_of_quality():
    from spatial_til.io.slides import open_slide

    path = Path(__file__).parents[1] / "sample_slides" / "slides" / "P02_progression.ome.tif"
    if not path.exists():
        pytest.skip("sample_slides is not here")
    with open_slide(path) as slide:
        grid, overview = slide.at(0.5), slide.at(4.0)
        constants = calibrate(grid, overview, BRIGHTFIELD, None)
        found = judge(constants, grid, picture=read_overview(grid, overview))
    assert found.flags == ()
    assert found.artefact_fraction == 0


def test_debris_on_tissue_is_outlined_and_specks_the_size_of_cells_are_not():
    image = clean().copy()
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    lump = np.hypot((y - 500) / 110, (x - 400) / 70) <= 1  # 110 x 70 µm, dark and grey
    speck = np.hypot(y - 800, x - 700) <= 10  # 10 µm
    image[lump | speck] = (38, 36, 40)
    found = quality(image)
    yx = np.argwhere(lump)[::50]
    assert shapely.contains_xy(found.artefact, (yx[:, 1] + 0.5) / 2, (yx[:, 0] + 0.5) / 2).mean() > 0.95
    assert not shapely.contains_xy(found.artefact, 350, 400)
    assert found.artefact_fraction < 2.5 * lump.mean()
