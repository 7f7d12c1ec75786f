"""The worst slides that `make fuzz` found, as small files: each is refused with a reason, at once, in little memory."""

import bz2
import gzip
import lzma
import struct
import zlib
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import tifffile
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from spatial_til.errors import SlideError
from spatial_til.io.slides import open_slide
from spatial_til.io.slides.ome_zarr import ZarrLevel
from spatial_til.io.slides.tiff_series import check_alike
from spatial_til.io.slides.zarr_chunks import check_unpacked
from tests.test_io_slides_refused import patch_tag, write_array


def slide(path: Path) -> None:
    with open_slide(path, pixel_size_um=0.5) as opened:
        grid = opened.at(0.5)
        grid.read(0, min(grid.shape[0], 100), 0, min(grid.shape[1], 100))


@pytest.mark.parametrize("n", [3, 150])
def test_directories_that_run_in_a_circle(tmp_path, n):
    """A chain of more than a hundred before the circle is not seen by tifffile, which then goes round for hours."""
    data = bytearray(struct.pack("<2sHI", b"II", 42, 8))
    for k in range(n):
        data += struct.pack("<HI", 0, 8 + 6 * ((k + 1) if k + 1 < n else n - 1))
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(SlideError, match="run in a circle"):
        slide(tmp_path / "a.tif")


def test_more_channels_than_any_slide_has(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((64, 64), np.uint8), photometric="minisblack", tile=(16, 16), metadata=None
    )
    patch_tag(tmp_path / "a.tif", 277, 65_535)
    with pytest.raises(SlideError, match="65535 channels"):
        slide(tmp_path / "a.tif")


def test_a_tile_of_a_few_bytes_that_unpacks_to_a_gibibyte(tmp_path):
    """The bomb: a deflate stream of zeros, a thousandth of what its tile declares."""
    side = 17_920  # x 17,920 x 3 bytes: 0.9 GiB
    image = np.zeros((64, 64, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", tile=(64, 64), metadata=None, compression="zlib")
    for code in (256, 257, 322, 323):
        patch_tag(tmp_path / "a.tif", code, side)
    with pytest.raises(SlideError, match=r"0\.9 GiB each"):
        slide(tmp_path / "a.tif")


def test_a_picture_that_is_not_as_large_as_it_says(tmp_path):
    import imagecodecs

    jpeg = bytearray(imagecodecs.jpeg_encode(np.zeros((40, 50, 3), np.uint8)))
    at = jpeg.index(b"\xff\xc0")
    # a frame inside a comment comes first for one reader and not for another
    fake = b"\xff\xc1" + struct.pack(">HBHHB", 8, 8, 9, 9, 3)
    (tmp_path / "a.jpg").write_bytes(
        bytes(jpeg[:at]) + b"\xff\xfe" + struct.pack(">H", 2 + len(fake)) + fake + bytes(jpeg[at:])
    )
    slide(tmp_path / "a.jpg")  # a comment is skipped
    (tmp_path / "b.jpg").write_bytes(bytes(jpeg[:2]) + fake + bytes(jpeg[2:]))
    with pytest.raises(SlideError, match=r"are declared and|cannot be decoded"):
        slide(tmp_path / "b.jpg")


def test_a_png_bomb_is_refused_by_its_header(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = 20_000
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(3 * side + 1) * 20, 9))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))
    with pytest.raises(SlideError, match="too much for one picture"):
        slide(tmp_path / "a.png")


@pytest.mark.parametrize("name", [".zattrs", "0/.zarray"])
@pytest.mark.parametrize(
    "text", ["[]", "5", "[" * 100_000, '{"multiscales": [1], "chunks": 7}', '{"multiscales": [{"datasets": {}}]}']
)
def test_zarr_metadata_of_another_kind(tmp_path, name, text):
    write_array(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / name).write_text(text)
    with pytest.raises(SlideError):
        slide(tmp_path / "a.zarr")


def test_zarr_chunks_of_more_than_any_number(tmp_path):
    write_array(tmp_path / "a.zarr", chunks=[1, 10**200, 10**200])
    with pytest.raises(SlideError):
        slide(tmp_path / "a.zarr")


def test_half_precision_pixels_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.float16))
    with pytest.raises(SlideError, match="float16"):
        open_slide(path)


def test_channels_that_are_not_stored_alike(tmp_path):
    """The third page's tiles are 4 billion pixels long; with the first page's size they would be read as if not."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((3, 128, 128), np.uint16), photometric="minisblack", tile=(64, 64), metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tag = tif.pages[2].aspage().tags[323]
        at = tag.offset
    data = bytearray(path.read_bytes())
    data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 2**32 - 1)
    path.write_bytes(data)
    with tifffile.TiffFile(path) as tif:
        pages = [tif.pages[k].aspage() for k in range(3)]
        check_alike([pages[:2]], path)
        with pytest.raises(SlideError, match="not of one size and type"):
            check_alike([pages], path)


def test_a_level_of_another_type(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(np.zeros((128, 128), np.uint16), photometric="minisblack", metadata=None)
        tif.write(np.zeros((64, 64), np.uint8), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tif:
        levels = [[tif.pages[0]], [tif.pages[1]]]
        check_alike(levels[:1], path)
        with pytest.raises(SlideError, match="level 1 of the pyramid is not of the type of the first"):
            check_alike(levels, path)


def test_more_pages_declared_than_a_list_can_hold(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((2, 64, 64), np.uint8), photometric="minisblack", metadata={"axes": "CYX"})
    with tifffile.TiffFile(path, mode="r+b") as tif:
        text = tif.pages.first.description.replace('SizeX="64"', 'SizeX="9000000000"')
        tif.pages.first.tags["ImageDescription"].overwrite(text)
    with pytest.raises(SlideError, match="pages of 64 x 64 px are declared"):
        slide(path)


@pytest.mark.parametrize(
    ("codec", "head"),
    [
        ({"id": "blosc"}, b"\x02\x01\x21\x02" + struct.pack("<III", 2_000_000_000, 8192, 40)),
        ({"id": "lz4"}, struct.pack("<I", 2_000_000_000)),
        ({"id": "zstd"}, b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", 2_000_000_000)),
        ({"id": "gzip"}, gzip.compress(bytes(10_000_000))),
        ({"id": "bz2"}, bz2.compress(bytes(10_000_000))),
        ({"id": "lzma"}, lzma.compress(bytes(10_000_000))),
    ],
    ids=lambda value: value.get("id") if isinstance(value, dict) else "",
)
def test_a_chunk_that_unpacks_to_more_than_its_pixels(tmp_path, codec, head):
    (tmp_path / "0.0.0").write_bytes(head + bytes(200))
    with pytest.raises(SlideError, match=r"unpacks to .* bytes, and its pixels take 8192"):
        check_unpacked(tmp_path / "0.0.0", ["shuffle", codec["id"]], 8192)


@pytest.mark.parametrize("data", [b"\x02\x01\x21\x02" + struct.pack("<III", 8192, 8192, 10**9) + bytes(200), b"\x02"])
def test_a_blosc_chunk_that_ends_before_it_says(tmp_path, data):
    """The library believes its header and would read on behind the bytes of the file: the process would die."""
    (tmp_path / "0.0.0").write_bytes(data)
    with pytest.raises(SlideError, match="cut short or damaged"):
        check_unpacked(tmp_path / "0.0.0", ["blosc"], 8192)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", ["blosc", "zstd", "gzip"])
def test_chunks_that_hold_their_pixels_are_read(tmp_path, version, codec):
    import zarr

    image = np.random.default_rng(0).integers(0, 9000, (2, 100, 90), np.uint16)
    if version == 2:
        packed = {"blosc": numcodecs.Blosc(), "zstd": numcodecs.Zstd(), "gzip": numcodecs.GZip()}[codec]
    else:
        packed = {"blosc": BloscCodec(), "zstd": ZstdCodec(checksum=True), "gzip": GzipCodec()}[codec]
    array = zarr.create_array(
        tmp_path / "0", shape=image.shape, chunks=(2, 64, 64), dtype="u2", zarr_format=version, compressors=packed
    )
    array[:] = image
    level = ZarrLevel(tmp_path / "0", array, "cyx", [codec])
    np.testing.assert_array_equal(level.decode(1, 1, 1)[:36, :26, 0], image[1, 64:, 64:])


def test_a_slide_that_is_cut_short_while_it_is_open_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((600, 600), np.uint16), photometric="minisblack", metadata=None, rowsperstrip=600)
    with open_slide(path, pixel_size_um=0.5) as opened:
        with path.open("r+b") as file:
            file.truncate(5000)
        with pytest.raises(SlideError, match=r"the file ends before byte .* cut short"):
            opened.at(0.5).read(0, 600, 0, 600)


def test_a_picture_of_less_than_a_header_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(SlideError, match="the PNG has no header"):
        slide(tmp_path / "a.png")
