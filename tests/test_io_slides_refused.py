"""What is damaged, hostile or ambiguous is refused with a reason and a remedy, before memory is asked for."""

import json
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile

from spatial_til.errors import SlideError
from spatial_til.io.slides import open_slide
from spatial_til.io.slides.pixel_size import choose_pixel_size
from spatial_til.io.slides.pyramid import SizeSource
from spatial_til.units import PixelSize

COLOUR = np.random.default_rng(7).integers(0, 256, (200, 300, 3), dtype=np.uint8)


def write(path, image=COLOUR, **options):
    defaults = {"photometric": "rgb", "metadata": None, "tile": (64, 64), "compression": "zlib"}
    tifffile.imwrite(path, image, **(defaults | options))


def patch_tag(path, code, value):
    """Overwrite the value of a tag in the first directory of a little-endian classic TIFF."""
    data = bytearray(path.read_bytes())
    at = struct.unpack_from("<I", data, 4)[0]
    for i in range(struct.unpack_from("<H", data, at)[0]):
        entry = at + 2 + 12 * i
        if struct.unpack_from("<H", data, entry)[0] == code:
            struct.pack_into("<HII", data, entry + 2, 4, 1, value)
    path.write_bytes(data)


def test_standard_error_is_left_to_one_line_of_ours(tmp_path):
    import subprocess
    import sys

    write(tmp_path / "a.tif")
    patch_tag(tmp_path / "a.tif", 325, 2**31)
    code = f"""
from spatial_til.errors import SlideError
from spatial_til.io.slides import open_slide
try:
    open_slide({str(tmp_path / "a.tif")!r})
except SlideError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "a.tif" in done.stdout


def test_missing_file_says_so(tmp_path):
    with pytest.raises(SlideError, match=r"cannot be opened.*Correct the path"):
        open_slide(tmp_path / "none.tif")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98])
@pytest.mark.parametrize("options", [{}, {"tile": None, "compression": None, "rowsperstrip": 200}])
def test_file_that_was_cut_short(tmp_path, share, options):
    write(tmp_path / "a.tif", **options)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: int(share * len(data))])
    with pytest.raises(SlideError, match=r"cut short|cannot be read as TIFF|damaged|no image"):
        open_slide(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("width", "length"), [(2**31, 200), (300, 2**31), (2**31, 2**31), (3_000_000, 3_000_000), (0, 200)]
)
def test_header_of_absurd_size_is_refused_before_memory_is_asked_for(tmp_path, width, length):
    import tracemalloc

    write(tmp_path / "a.tif")
    patch_tag(tmp_path / "a.tif", 256, width)
    patch_tag(tmp_path / "a.tif", 257, length)
    tracemalloc.start()
    with pytest.raises(SlideError):
        open_slide(tmp_path / "a.tif")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_strip_of_more_than_a_gibibyte_is_refused(tmp_path):
    write(tmp_path / "a.tif", tile=None, rowsperstrip=200)
    patch_tag(tmp_path / "a.tif", 256, 900_000)
    patch_tag(tmp_path / "a.tif", 257, 900)
    patch_tag(tmp_path / "a.tif", 278, 900)
    with pytest.raises(SlideError, match="GiB each"):
        open_slide(tmp_path / "a.tif")


def test_damaged_tile_is_an_error_not_a_grey_patch(tmp_path):
    write(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        offset = tif.pages[0].dataoffsets[5]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[offset : offset + 40] = b"\xff" * 40
    (tmp_path / "a.tif").write_bytes(data)
    with (
        open_slide(tmp_path / "a.tif", pixel_size_um=0.5) as slide,
        pytest.raises(SlideError, match="tile 5 cannot be decoded"),
    ):
        slide.at(0.5).read(0, 200, 0, 300)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of tifffile, over numbers that overflow
@pytest.mark.parametrize("kind", ["ome", "plain"])
def test_no_damage_to_a_header_gets_past_a_slide_error(tmp_path, kind):
    """Random bytes in the directory: the file opens and reads, or a SlideError says why not; nothing else."""
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5} if kind == "ome" else None
    tifffile.imwrite(path, COLOUR, photometric="rgb", tile=(64, 64), metadata=metadata, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        start = tif.pages[0].offset
    data, rng, refused = path.read_bytes(), np.random.default_rng(1), 0
    for _ in range(300):
        damaged = bytearray(data)
        for at, value in zip(rng.integers(0, 250, 3), rng.integers(0, 256, 3), strict=True):
            damaged[start + at] = value
        path.write_bytes(damaged)
        try:
            with open_slide(path, pixel_size_um=0.5) as slide:
                grid = slide.at(0.5)
                grid.read(0, min(grid.shape[0], 70), 0, min(grid.shape[1], 70))
        except SlideError:
            refused += 1
    assert 50 < refused < 300


@pytest.mark.parametrize(
    ("image", "options", "reason"),
    [
        (COLOUR.astype(np.uint16) * 257, {}, "colour pixels must be 8-bit"),
        (np.dstack((COLOUR, COLOUR[..., :1])), {"photometric": "separated"}, "CMYK"),
        (COLOUR[..., 0], {"photometric": "miniswhite"}, "white-is-zero"),
        (COLOUR[..., 0], {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}, "colour table"),
        (COLOUR[..., 0] > 9, {"photometric": "minisblack", "compression": None}, "cannot be scored"),
        (COLOUR[..., 0].astype(np.complex64), {"photometric": "minisblack"}, "cannot be scored"),
    ],
    ids=["16-bit RGB", "CMYK", "white is zero", "palette", "1 bit", "complex"],
)
def test_pixels_that_do_not_mean_intensity_or_colour(tmp_path, image, options, reason):
    write(tmp_path / "a.tif", image, **options)
    with pytest.raises(SlideError, match=reason):
        open_slide(tmp_path / "a.tif")


def test_two_images_of_like_size_are_ambiguous(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(COLOUR, photometric="rgb", metadata=None)
        tif.write(COLOUR[:, :200], photometric="rgb", metadata=None)
    with pytest.raises(SlideError, match="2 images of like size"):
        open_slide(tmp_path / "a.tif")


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><OME>&b;</OME>'
)
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><OME>&a;</OME>'


@pytest.mark.parametrize("xml", [BOMB, OUTSIDE], ids=["expansion", "external"])
@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
def test_entities_in_a_header_are_refused(tmp_path, xml, name):
    write(tmp_path / name, description=xml)
    with pytest.raises(SlideError, match="entities"):
        open_slide(tmp_path / name)


def test_entities_in_a_companion_are_refused(tmp_path):
    (tmp_path / "a.companion.ome").write_text(BOMB)
    with pytest.raises(SlideError, match="entities"):
        open_slide(tmp_path / "a.companion.ome")


def test_broken_pictures(tmp_path):
    png = imagecodecs.png_encode(COLOUR)
    (tmp_path / "cut.png").write_bytes(png[: len(png) // 2])
    (tmp_path / "huge.png").write_bytes(png[:16] + struct.pack(">II", 2**30, 2**30) + png[24:])
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(COLOUR.astype(np.uint16) * 257))
    jpeg = imagecodecs.jpeg_encode(COLOUR)
    at = jpeg.index(b"\xff\xc0")
    (tmp_path / "huge.jpg").write_bytes(jpeg[: at + 5] + b"\xff\xff\xff\xff" + jpeg[at + 9 :])
    (tmp_path / "head.jpg").write_bytes(jpeg[:10])
    for name, reason in [("cut.png", "cannot be decoded"), ("huge.png", "too much"), ("deep.png", "8-bit"),
                         ("huge.jpg", "too much"), ("head.jpg", "cut short")]:  # fmt: skip
        with pytest.raises(SlideError, match=reason):
            open_slide(tmp_path / name)


def write_array(path, **changes):
    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", shape=(2, 8, 8), chunks=(1, 8, 8), dtype="u2")[...] = 1
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in changes.pop("axes", "cyx")]
    scale = [{"type": "scale", "scale": [1, 0.5, 0.5]}]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    meta = json.loads((path / "0" / ".zarray").read_text())
    (path / "0" / ".zarray").write_text(json.dumps(meta | changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"filters": [{"id": "pickle"}]}, "codec pickle"),
        ({"compressor": {"id": "unknown"}}, "codec unknown"),
        ({"axes": "zyx"}, "focal planes"),
        ({"axes": "tyx"}, "times"),
        ({"axes": "byx"}, "axes"),
        ({"shape": [2, 8_000_000, 8]}, "no slide has"),
        ({"shape": [2, 900_000, 900_000], "chunks": [1, 900_000, 900_000]}, "GiB each"),
    ],
    ids=["pickle", "codec", "z", "t", "axis", "absurd", "chunk"],
)
def test_zarr_that_is_unsafe_or_no_flat_image(tmp_path, changes, reason):
    write_array(tmp_path / "a.zarr", **changes)
    with pytest.raises(SlideError, match=reason):
        open_slide(tmp_path / "a.zarr")


def test_zarr_level_outside_its_folder_is_refused(tmp_path):
    write_array(tmp_path / "a.zarr")
    attrs = json.loads((tmp_path / "a.zarr" / ".zattrs").read_text())
    attrs["multiscales"][0]["datasets"][0]["path"] = "../../other"
    (tmp_path / "a.zarr" / ".zattrs").write_text(json.dumps(attrs))
    with pytest.raises(SlideError, match="outside the folder"):
        open_slide(tmp_path / "a.zarr")


def test_unknown_kind_names_the_extra(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"what is this")
    with pytest.raises(SlideError, match=r"openslide|OpenSlide"):
        open_slide(tmp_path / "a.xyz")


@pytest.mark.parametrize(
    ("sources", "override", "size", "flags"),
    [
        ([], None, None, ()),
        ([0.5], None, 0.5, ()),
        ([0.5, 0.52], None, 0.5, ()),
        ([0.5, 0.53], None, 0.5, ("pixel_size_conflict",)),
        ([0.5, 0.5, 0.25], None, 0.5, ("pixel_size_conflict",)),
        ([0.5, 0.25], 0.5, 0.5, ()),
        ([0.5], 0.25, 0.25, ("pixel_size_override",)),
        ([], 0.25, 0.25, ()),
        ([0.7], None, 0.7, ("pixel_size_coarse",)),
        ([6.0], None, 6.0, ("pixel_size_conflict", "pixel_size_coarse")),
        ([0.02], None, 0.02, ("pixel_size_conflict",)),
        ([], 0.01, 0.01, ("pixel_size_conflict",)),
    ],
)
def test_pixel_size_and_its_flags(sources, override, size, flags):
    stated = [SizeSource(str(i), PixelSize(um, um)) for i, um in enumerate(sources)]
    found, found_flags = choose_pixel_size(stated, override)
    assert (found and found.x_um) == size
    assert found_flags == flags


@pytest.mark.parametrize("bad", [0, -0.5, float("nan"), float("inf")])
def test_override_must_be_a_size(tmp_path, bad):
    write(tmp_path / "a.tif")
    with pytest.raises(SlideError, match="must lie between"):
        open_slide(tmp_path / "a.tif", pixel_size_um=bad)


@pytest.mark.parametrize("box", [(-1, 5, 0, 5), (0, 201, 0, 5), (5, 5, 0, 5), (0, 5, 0, 301)])
def test_box_outside_the_grid_is_refused(tmp_path, box):
    write(tmp_path / "a.tif")
    with open_slide(tmp_path / "a.tif", pixel_size_um=0.5) as slide, pytest.raises(SlideError, match="inside"):
        slide.at(0.5).read(*box)
