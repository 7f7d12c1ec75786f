"""Background, autofluorescence and spill-over: closed forms, and a phantom whose dyes are known apart."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial import cKDTree

from spatial_til.checking import slide_problems
from spatial_til.errors import ProtocolError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_measured
from spatial_til.model import SlideMeta
from spatial_til.phantoms.files import SlideFormat, write_slide
from spatial_til.pipeline.measure import MeasureTask, measure
from spatial_til.protocol import parse_protocol
from spatial_til.segmentation.constants import calibrate
from spatial_til.segmentation.fluorescence import (
    autofluorescence_share,
    channel_background,
    find_autofluorescence,
    spillover_inverse,
)
from spatial_til.segmentation.settings import NUCLEI, Channel, MeasureSettings
from spatial_til.segmentation.slide import measure_slide
from spatial_til.study import Job
from spatial_til.synthetic import Microscope, render_fluorescence, tissue_scene
from tests.array_source import ArraySource

OFFSET = 180.0
#: What autofluorescence adds to each channel, a unit of it in its own; and what each dye sends to the others.
SHARE = np.array((0.3, 0.9, 0.6, 0.4))
SPILLOVER = ((1.0, 0.05, 0.0, 0.0), (0.0, 1.0, 0.15, 0.0), (0.0, 0.08, 1.0, 0.1), (0.0, 0.0, 0.0, 1.0))
DYES = ("DAPI", "CD8", "PD-L1", "SOX10")
SETTINGS = MeasureSettings(
    "fluorescence",
    channels=(Channel("DAPI", NUCLEI), Channel("CD8", "CD8"), Channel("PD-L1", "PD-L1"), Channel("SOX10", "tumor")),
)

CORRECTED = replace(SETTINGS, spillover=SPILLOVER, autofluorescence="AF")


@cache
def dyes(seed=71):
    """Return the light of the dyes alone (rows, cols, 4)."""
    scene = tissue_scene((400.0, 400.0), seed=seed)
    return render_fluorescence(scene, microscope=Microscope(autofluorescence=(0.0,) * 4)).astype(np.float64) - OFFSET


@cache
def own_light(seed=71, granules=60):
    """Return what tissue shines by itself, with bright granules of the size of cells."""
    scene = tissue_scene((400.0, 400.0), seed=seed)
    glow = Microscope(gain=(0.0,) * 4, autofluorescence=(700.0,) * 4)
    light = render_fluorescence(scene, microscope=glow)[..., 0].astype(np.float64) - OFFSET
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : light.shape[0], 0 : light.shape[1]]
    for _ in range(granules):
        row, col = rng.uniform(20, light.shape[0] - 20), rng.uniform(20, 0.9 * light.shape[1])
        radius = rng.uniform(3, 8)
        light += rng.uniform(1500, 5000) * np.clip(radius + 0.5 - np.hypot(y - row, x - col), 0, 1)
    return light


def photograph(light):
    return np.clip(np.rint(light + OFFSET), 0, 65535).astype(np.uint16)


def seen():
    own = own_light()[..., None]
    image = photograph(np.concatenate((dyes() @ np.array(SPILLOVER) + own * SHARE, own), axis=2))
    return ArraySource(image, channels=(*DYES, "AF"))


def test_the_background_of_a_channel_is_the_median_of_glass():
    image = np.full((60, 80), 300.0)
    image[20:40, 20:50] = 900.0
    glass = image == 300.0
    assert channel_background(image, glass) == 300.0
    assert channel_background(image) == 300.0  # without glass the lowest percentile


def test_spill_over_is_undone_exactly():
    true = np.array([100.0, 50.0])
    matrix = np.array([[1, 0.1], [0, 1]])
    assert (true @ matrix).tolist() == [100.0, 60.0]
    assert (true @ matrix @ spillover_inverse(matrix)).tolist() == [100.0, 50.0]


@pytest.mark.parametrize("positive", [0.0, 0.02, 0.2, 0.5])
@pytest.mark.parametrize("noise", [0.03, 0.1])
def test_the_share_is_the_slope_of_pixels_without_marker(positive, noise):
    rng = np.random.default_rng(5)
    reference = rng.gamma(8, 50, 20000)
    marker = 0.8 * reference * (1 + noise * rng.standard_normal(20000)) + 10 * rng.standard_normal(20000)
    marker += (rng.random(20000) < positive) * rng.gamma(1.5, 400, 20000)
    assert autofluorescence_share(marker, reference) == pytest.approx(0.8, rel=0.02)


def test_no_share_is_negative_and_none_is_read_off_a_few_pixels():
    reference = np.linspace(1, 2, 1000)
    assert autofluorescence_share(-reference, reference) == 0.0
    assert autofluorescence_share(reference[:50], reference[:50]) == 0.0


def test_an_empty_autofluorescence_channel_takes_nothing_off():
    rng = np.random.default_rng(6)
    tissue = np.zeros((200, 200), bool)
    tissue[50:150, 50:150] = True
    picture = np.stack((500 * tissue + rng.normal(100, 5, (200, 200)), rng.normal(100, 5, (200, 200))), axis=2)
    found = find_autofluorescence(picture[:, :, :1] - 100, picture, 1, tissue=tissue)
    assert found.share.tolist() == [0.0]


def test_known_autofluorescence_and_known_bleed_come_off():
    source, truth = seen(), np.maximum(np.moveaxis(dyes()[..., 1:], 2, 0), 0)

    def error(settings):
        constants = calibrate(source, None, settings, None)
        return np.sqrt(((constants.planes(source.image)[1] - truth) ** 2).mean(axis=(1, 2))), constants

    before, _ = error(SETTINGS)
    after, constants = error(CORRECTED)
    assert constants.autofluorescence.share == pytest.approx(SHARE, rel=0.1)
    assert constants.autofluorescence.share[1:] == pytest.approx(SHARE[1:], rel=0.02)
    assert (after < 0.02 * before).all()
    for part in (replace(CORRECTED, autofluorescence=None), replace(CORRECTED, spillover=None)):
        assert (error(part)[0] > 0.05 * before).all()  # both are needed: the test can fail


def test_the_same_cells_are_called_as_without_autofluorescence_and_bleed():
    """Granules make false positives of some cells beside them; the correction takes them back."""
    clean = measure_slide(ArraySource(photograph(dyes()), channels=DYES), settings=SETTINGS).cells
    wrong = {}
    for name, settings in (("seen", SETTINGS), ("corrected", CORRECTED)):
        found = measure_slide(seen(), settings=settings).cells
        distance, partner = cKDTree(clean.xy_um).query(found.xy_um)
        wrong[name] = sum(
            int((called(found, m) != (called(clean, m)[partner] & (distance < 2))).sum()) for m in ("CD8", "PD-L1")
        )
    assert wrong["seen"] >= 10
    assert wrong["corrected"] <= 1


def called(cells, marker):
    return cells.measurements[f"{marker}_membrane_own_ridge"] > 175


def test_corrected_cells_do_not_depend_on_tiles():
    whole = measure_slide(seen(), settings=CORRECTED, tile_px=2048).cells
    tiled = measure_slide(seen(), settings=CORRECTED, tile_px=256, threads=2).cells
    assert np.array_equal(whole.xy_um, tiled.xy_um)
    for name, values in whole.measurements.items():
        assert np.array_equal(values, tiled.measurements[name], equal_nan=True), name


def test_quality_tells_the_shares():
    numbers = measure_slide(seen(), settings=CORRECTED).qc.numbers
    assert numbers["autofluorescence_CD8"] == pytest.approx(SHARE[1], rel=0.02)
    assert not any(name.startswith("autofluorescence") for name in measure_slide(seen(), settings=SETTINGS).qc.numbers)


PANEL = {"modality": "fluorescence", "channels": {"DAPI": {"marker": "nuclei"}, "A": {"marker": "CD8"}}}


@pytest.mark.parametrize(
    ("fluorescence", "words"),
    [
        ({"spillover": [[1, 0.1]]}, "must be square, found 1 row of 2 numbers"),
        ({"spillover": [[1, 0.1], [0.1, 1], [0, 0]]}, "must be square"),
        ({"spillover": [[1, 0.1], [0.1, 0.9]]}, "must have 1 all along its diagonal"),
        ({"spillover": [[1, 1], [1, 1]]}, "cannot be undone"),
        ({"spillover": [[1, 0.95], [0.95, 1]]}, "cannot be undone: its condition number is 39"),
        ({"spillover": [[1, -0.1], [0, 1]]}, "greater than or equal to 0"),
        ({"spillover": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "must be 2 x 2, one row and column a channel"),
        ({"autofluorescence": "dapi"}, "is a channel of the panel"),
    ],
)
def test_corrections_that_cannot_be_made_are_refused(fluorescence, words):
    with pytest.raises(ProtocolError, match="fluorescence") as caught:
        parse_protocol({"panel": PANEL, "fluorescence": fluorescence})
    assert words in "\n".join(caught.value.problems)


def test_corrections_that_can_be_made_are_taken():
    protocol = parse_protocol(
        {"panel": PANEL, "fluorescence": {"spillover": [[1, 0.1], [0, 1]], "autofluorescence": "Empty"}}
    )
    assert protocol.fluorescence.spillover == ((1.0, 0.1), (0.0, 1.0))


def test_corrections_of_a_brightfield_panel_are_refused():
    panel = {"modality": "brightfield", "stains": {"h": {"marker": "nuclei", "vector": "hematoxylin"}}}
    with pytest.raises(ProtocolError, match="does nothing for a brightfield panel"):
        parse_protocol({"panel": panel, "fluorescence": {"autofluorescence": "AF"}})


def test_an_autofluorescence_channel_that_the_image_lacks_is_refused():
    with pytest.raises(ProtocolError, match="no channel 'Own' in the image"):
        calibrate(seen(), None, replace(SETTINGS, autofluorescence="Own"), None)


@pytest.mark.parametrize(
    "matrix", [[[1, 0.1]], [[1, 0.1], [0.1, 0.5]], [[1, 1], [1, 1]], [[1, 0.95], [0.95, 1]]], ids=str
)
def test_kernels_refuse_matrices_that_cannot_be_undone(matrix):
    with pytest.raises(ProtocolError):
        spillover_inverse(matrix)


def test_a_slide_file_is_measured_with_its_autofluorescence_channel(tmp_path):
    """From protocol and file to cells; `check` names a channel that the file lacks."""
    channels = ("DAPI", "CD8", "PD-L1", "SOX10", "AF")
    planes = np.moveaxis(np.clip(seen().image / 24, 0, 255).astype(np.uint8), 2, 0)
    write_slide(tmp_path / "S.ome.tif", planes, SlideFormat(0.5, channels=channels), levels=2)
    panel = {
        "modality": "fluorescence",
        "channels": {"DAPI": {"marker": "nuclei"}, "CD8": {"marker": "CD8"}, "PD-L1": {"marker": "PD-L1"}},
    }
    found = {}
    for name in ("", "AF", "Own"):
        protocol = parse_protocol({"panel": panel, "fluorescence": {"autofluorescence": name}})
        job = Job(SlideMeta("S", "P", "baseline"), tmp_path / "S.ome.tif", protocol)
        problems = slide_problems(replace(job, control="positive"))  # which needs no region
        if name == "Own":
            assert len(problems) == 1
            assert "'Own' is not in the slide" in problems[0]
            continue
        assert problems == []
        folder = ScoredFolder(tmp_path / f"out{name}")
        folder.running.mkdir(parents=True)
        measure(MeasureTask(job, folder))
        found[name] = read_measured(folder.measured("S"))
    assert found["AF"].numbers["autofluorescence_CD8"] == pytest.approx(SHARE[1], rel=0.1)
    assert found["AF"].key != found[""].key
    cd8 = {name: np.nanmean(m.cells.measurements["CD8_cell_mean"]) for name, m in found.items()}
    assert cd8["AF"] < 0.7 * cd8[""]
