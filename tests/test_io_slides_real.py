"""Every file of the shared data opens with the right shape, channels and pixel size, or is refused for a reason."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from spatial_til.errors import SlideError
from spatial_til.io.slides import open_slide, select_channels

DATA = Path(__file__).parents[1].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not there")

RGB = ("red", "green", "blue")
OPAL = ("DAPI", "PD-L1", "CD8", "FOXP3", "CD68", "PD-1", "CK")
#: file, shape, channels, µm per px (None: the file does not say), dtype. Read off the files' own headers.
OPENS = [
    ("readers/small_vectra.qptiff", (1440, 1920), ("DAPI", "FITC", "Cy3"), 1e4 / 20139.582176685737, "uint8"),
    ("readers/small_HE.svs", (2967, 2220), RGB, 0.499, "uint8"),
    ("readers/cells.ome.tif", (131, 93), RGB, 0.25, "uint8"),
    ("readers/cells.tif", (131, 93), RGB, 0.25, "uint8"),
    ("readers/cells-2c.ome.tif", (131, 93), ("0", "1"), 0.25, "uint8"),
    ("readers/cells-gray16.tif", (131, 93), ("0",), 0.25, "uint16"),
    ("readers/cells-gray32.tif", (131, 93), ("0",), 0.25, "float32"),
    ("readers/multi-channel.ome.tif", (167, 439), ("0", "1", "2"), None, "int8"),
    ("readers/blobs_image_v04.ome.zarr", (12, 12), ("0", "1", "2"), None, "float64"),
    ("readers/blobs_image_v05.ome.zarr", (12, 12), ("0", "1", "2"), None, "float64"),
    (
        "component_field/FIHC4__0929309_HP_IM3_2_component_data.tif",
        (260, 348),
        ("Alexa 594", "Cy3", "Cy5", "DAPI", "FITC"),
        1e4 / 20114.775902361805,
        "float32",
    ),
    ("component_field/FIHC4__0929309_HP_IM3_2_composite_image.jpg", (260, 348), RGB, None, "uint8"),
    ("lung_fields/Set4_1-6plex_15206_60541.ome.tif", (1400, 1868), OPAL, 0.5, "uint16"),
    ("whole_cell/image0.tif", (400, 400), ("0", "1"), 1 / 2.005063, "float32"),
    ("brightfield/lymphocyte_ihc_ROI_1.png", (949, 1381), RGB, None, "uint8"),
    ("brightfield/ihc.png", (512, 512), RGB, None, "uint8"),
]
REFUSED = [
    ("readers/cells-2z.ome.tif", "2 focal planes"),
    ("readers/cells-2t.ome.tif", "2 times"),
    ("readers/multi-channel-z-series.ome.tif", "5 focal planes"),
    ("readers/multifile/multifile.companion.ome", "5 focal planes"),
    ("readers/multifile/multifile-Z1.ome.tiff", "5 focal planes"),
    ("readers/multifile/multifile-Z5.ome.tiff", "5 focal planes"),
    ("readers/multifile", "no OME-Zarr image"),
]


@pytest.mark.parametrize(("name", "shape", "channels", "um", "dtype"), OPENS, ids=[row[0] for row in OPENS])
def test_opens_with_shape_channels_and_pixel_size(name, shape, channels, um, dtype):
    with open_slide(DATA / name) as slide:
        assert slide.shape == shape
        assert slide.channels == channels
        assert slide.is_rgb == (channels == RGB)
        assert slide.dtype == dtype
        assert slide.flags == ()
        if um is None:
            assert slide.pixel_size is None
            with pytest.raises(SlideError, match=r"does not say how large its pixels are.*pixel_size_um"):
                slide.at(0.5)
        else:
            assert (slide.pixel_size.x_um, slide.pixel_size.y_um) == pytest.approx((um, um), rel=1e-9)


@pytest.mark.parametrize(("name", "reason"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused_for_a_stated_reason(name, reason):
    with pytest.raises(SlideError, match=reason):
        open_slide(DATA / name)


def test_every_reader_file_is_in_one_of_the_two_lists():
    inside = {path for path in (DATA / "readers").iterdir() if path.name != "multifile"}
    assert inside == {DATA / row[0] for row in (*OPENS, *REFUSED) if row[0].startswith("readers/")} & inside


@pytest.mark.parametrize(
    "name",
    [
        "readers/small_vectra.qptiff",
        "readers/cells-2c.ome.tif",
        "readers/multi-channel.ome.tif",
        OPENS[10][0],
        OPENS[12][0],
    ],
)
def test_pixels_equal_tifffile_whole_and_in_boxes(name):
    expected = np.moveaxis(tifffile.imread(DATA / name, series=0), 0, -1)
    with open_slide(DATA / name, pixel_size_um=0.5) as slide:
        grid = slide.at(0.5)
        assert np.array_equal(grid.read(0, grid.shape[0], 0, grid.shape[1]), expected)
        assert np.array_equal(grid.read(17, 101, 33, 90), expected[17:101, 33:90])


@pytest.mark.parametrize("name", ["readers/small_HE.svs", "readers/cells.tif"])
def test_colours_equal_tifffile(name):
    expected = tifffile.imread(DATA / name)
    with open_slide(DATA / name, pixel_size_um=0.5) as slide:
        grid = slide.at(0.5)
        assert np.array_equal(grid.read(0, grid.shape[0], 0, grid.shape[1]), expected)


def test_planar_colours_equal_tifffile():
    expected = np.moveaxis(tifffile.imread(DATA / "readers/cells.ome.tif"), 0, -1)
    with open_slide(DATA / "readers/cells.ome.tif") as slide:
        grid = slide.at(0.25)
        assert np.array_equal(grid.read(0, 131, 0, 93), expected)


@pytest.mark.parametrize("version", ["v04", "v05"])
def test_zarr_versions_hold_the_same_pixels(version):
    import zarr

    path = DATA / f"readers/blobs_image_{version}.ome.zarr"
    expected = np.moveaxis(np.asarray(zarr.open_array(str(path / "0"), mode="r")), 0, -1)
    assert expected.std() > 0
    with open_slide(path, pixel_size_um=1.0) as slide:
        assert np.array_equal(slide.at(1.0).read(0, 12, 0, 12), expected)


def test_channels_are_found_by_name_without_case_and_by_index():
    with open_slide(DATA / "readers/small_vectra.qptiff") as slide:
        assert select_channels(slide, ["cy3", "dapi", "1", 1]) == (2, 0, 1, 1)
        with pytest.raises(SlideError, match=r"small_vectra.*'CD8' is not in the slide.*0: DAPI, 1: FITC, 2: Cy3"):
            select_channels(slide, ["DAPI", "CD8"])
