"""Slide formats of which there is no sample, written here in the layout their scanners use."""

import struct

import imagecodecs
import numpy as np
import pytest
import tifffile

from spatial_til.errors import SlideError
from spatial_til.io.slides import open_slide

OME = '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 60_000, (3, 300, 500), dtype=np.uint16)
COLOUR = RNG.integers(0, 256, (300, 500, 3), dtype=np.uint8)


def whole(slide, pixel_size_um):
    grid = slide.at(pixel_size_um)
    return grid.read(0, grid.shape[0], 0, grid.shape[1])


def ome_metadata(x=0.5, unit="µm", y=None):
    return {
        "axes": "CYX",
        "Channel": {"Name": ["DAPI", "CD8", "PD-L1"]},
        "PhysicalSizeX": x,
        "PhysicalSizeXUnit": unit,
        "PhysicalSizeY": x if y is None else y,
        "PhysicalSizeYUnit": unit,
    }


# --- OME-TIFF


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    "layout", [{"tile": (128, 128)}, {"rowsperstrip": 32}, {"tile": (64, 128), "compression": "lzw"}]
)
def test_ome_channels_of_every_type_and_layout(tmp_path, dtype, layout):
    image = (GREY // 256 if dtype == "uint8" else GREY).astype(dtype)
    tifffile.imwrite(tmp_path / "a.ome.tif", image, photometric="minisblack", metadata=ome_metadata(), **layout)
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert slide.channels == ("DAPI", "CD8", "PD-L1")
        assert slide.dtype == dtype
        assert not slide.is_rgb
        assert np.array_equal(whole(slide, 0.5), np.moveaxis(image, 0, -1))


@pytest.mark.parametrize("bigtiff", [False, True])
def test_ome_subifd_pyramid_reads_the_level_that_is_fine_enough(tmp_path, bigtiff):
    half = GREY[:, ::2, ::2] // 2  # unlike the full level, so that it shows which one is read
    with tifffile.TiffWriter(tmp_path / "p.ome.tif", bigtiff=bigtiff, ome=True) as tif:
        tif.write(GREY, subifds=1, tile=(64, 64), photometric="minisblack", metadata=ome_metadata(0.25))
        tif.write(half, subfiletype=1, tile=(64, 64), photometric="minisblack")
    with open_slide(tmp_path / "p.ome.tif") as slide:
        assert [level.shape for level in slide.levels] == [(300, 500), (150, 250)]
        assert slide.levels[1].downsample == (2.0, 2.0)
        assert np.array_equal(whole(slide, 0.25), np.moveaxis(GREY, 0, -1))
        assert np.array_equal(whole(slide, 0.5), np.moveaxis(half, 0, -1))
        assert np.array_equal(whole(slide, 0.3), np.moveaxis(GREY, 0, -1))


@pytest.mark.parametrize(
    ("value", "unit", "um"),
    [(0.5, "µm", 0.5), (497.1, "nm", 0.4971), (0.0005, "mm", 0.5), (5e-5, "cm", 0.5), (5e-7, "m", 0.5),
     (5000, "Å", 0.5), (0.5 / 25400, "in", 0.5), (0.5 / 25.4, "thou", 0.5),
     (0.5, "pixel", None), (0.5, "reference frame", None), (0, "µm", None)],
)  # fmt: skip
def test_ome_pixel_size_in_any_unit(tmp_path, value, unit, um):
    xml = (
        f'{OME}<Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="500" SizeY="300" '
        'SizeC="1" SizeZ="1" SizeT="1" '
        f'PhysicalSizeX="{value}" PhysicalSizeXUnit="{unit}" PhysicalSizeY="{value}" PhysicalSizeYUnit="{unit}">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY[0], photometric="minisblack", metadata=None, description=xml.encode())
    with open_slide(tmp_path / "a.ome.tif") as slide:
        if um is None:
            assert slide.pixel_size is None
        else:
            assert slide.pixel_size.x_um == pytest.approx(um, rel=1e-9)


def write_multifile(folder, size_z=1):
    pages = ""
    for c in range(3):
        tifffile.imwrite(
            folder / f"c{c}.ome.tif", GREY[c], photometric="minisblack", metadata=None, tile=(64, 64),
            description=f'{OME}<BinaryOnly MetadataFile="m.companion.ome" UUID="urn:uuid:1"/></OME>',
        )  # fmt: skip
        uuid = f'<UUID FileName="c{c}.ome.tif">urn:uuid:{c}</UUID>'
        pages += f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1">{uuid}</TiffData>'
    channels = "".join(f'<Channel ID="Channel:0:{c}" Name="{name}"/>' for c, name in enumerate(("DAPI", "CD8", "CK")))
    (folder / "m.companion.ome").write_text(
        f'{OME}<Image ID="Image:0">'
        '<Pixels ID="Pixels:0" Type="uint16" DimensionOrder="XYCZT" SizeX="500" SizeY="300" '
        f'SizeC="3" SizeZ="{size_z}" SizeT="1" '
        f'PhysicalSizeX="0.5" PhysicalSizeY="0.5">{channels}{pages}</Pixels></Image></OME>',
        "utf-8",
    )


@pytest.mark.parametrize("name", ["m.companion.ome", "c0.ome.tif", "c2.ome.tif"])
def test_multifile_ome_opens_from_its_companion_or_any_part(tmp_path, name):
    write_multifile(tmp_path)
    with open_slide(tmp_path / name) as slide:
        assert slide.channels == ("DAPI", "CD8", "CK")
        assert slide.pixel_size.x_um == 0.5
        assert np.array_equal(whole(slide, 0.5), np.moveaxis(GREY, 0, -1))


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"compression": "zlib"}, {"rowsperstrip": 300}])
def test_channels_in_files_of_their_own_may_be_stored_in_ways_of_their_own(tmp_path, options):
    """The first lies unbroken in its file and is read as it lies: the others are not, or in another byte order."""
    write_multifile(tmp_path)
    for c in range(3):
        ways = {"rowsperstrip": 300} | (options if c else {})
        with tifffile.TiffFile(tmp_path / f"c{c}.ome.tif") as tif:
            text = tif.pages.first.description.encode()
        order = {"byteorder": ways.pop("byteorder", "<")}
        tifffile.imwrite(
            tmp_path / f"c{c}.ome.tif", GREY[c], photometric="minisblack", metadata=None, description=text,
            **order, **ways,
        )  # fmt: skip
    with open_slide(tmp_path / "m.companion.ome") as slide:
        assert np.array_equal(whole(slide, 0.5), np.moveaxis(GREY, 0, -1))


def test_a_channel_of_another_size_than_declared_is_refused(tmp_path):
    write_multifile(tmp_path)
    with tifffile.TiffFile(tmp_path / "c1.ome.tif") as tif:
        text = tif.pages.first.description.encode()
    tifffile.imwrite(tmp_path / "c1.ome.tif", GREY[1][:200], photometric="minisblack", metadata=None, description=text)
    with pytest.raises(SlideError, match=r"c1\.ome\.tif: the page is not of the size m\.companion\.ome declares"):
        open_slide(tmp_path / "m.companion.ome")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('FirstC="2"', 'FirstC="1"', "declared: 3 channels; with pages: 2"),
        ('SizeX="500"', 'SizeX="five"', "the OME metadata are damaged"),
        ("</OME>", '<Image ID="Image:1"><Pixels SizeX="500" SizeY="300"/></Image></OME>', "describes 2 images"),
    ],
)
def test_a_companion_that_contradicts_itself_is_refused(tmp_path, old, new, says):
    write_multifile(tmp_path)
    path = tmp_path / "m.companion.ome"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(SlideError, match=says):
        open_slide(path)


def test_multifile_ome_with_a_part_missing_says_which(tmp_path):
    write_multifile(tmp_path)
    (tmp_path / "c1.ome.tif").unlink()
    with pytest.raises(SlideError, match=r"c1\.ome\.tif"):
        open_slide(tmp_path / "m.companion.ome")


# --- scanners


def write_svs(path, compression, mpp="0.2527"):
    text = f"Aperio Image Library v12\r\n500x300 [0,0 500x300] (64x64) JPEG/RGB Q=90|AppMag = 40|MPP = {mpp}"
    options = {"photometric": "rgb", "compression": compression, "metadata": None}
    with tifffile.TiffWriter(path) as tif:
        tif.write(COLOUR, tile=(64, 64), description=text, **options)
        tif.write(COLOUR[::3, ::3], rowsperstrip=32, description="Aperio Image Library v12\r\nthumbnail", **options)
        tif.write(COLOUR[::4, ::4], tile=(64, 64), description="Aperio Image Library v12\r\nlevel", **options)
        tif.write(COLOUR[:50, :50], subfiletype=1, description="Aperio Image Library v12\r\nlabel 50x50", **options)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "aperio_jp2000_rgb"])
def test_svs_levels_and_mpp_whatever_the_compression(tmp_path, compression):
    try:
        write_svs(tmp_path / "a.svs", compression)
    except (ValueError, KeyError, NotImplementedError) as error:
        pytest.skip(f"tifffile does not write {compression}: {error}")
    with open_slide(tmp_path / "a.svs") as slide:
        assert slide.is_rgb
        assert (slide.pixel_size.x_um, slide.flags) == (0.2527, ())
        assert [level.shape for level in slide.levels] == [(300, 500), (75, 125)]
        assert np.array_equal(whole(slide, 0.25), tifffile.imread(tmp_path / "a.svs", series=0, level=0))
        assert np.array_equal(whole(slide, 1.0), tifffile.imread(tmp_path / "a.svs", series=0, level=1))


def test_svs_without_mpp_has_no_size_although_it_names_its_objective(tmp_path):
    write_svs(tmp_path / "a.svs", "jpeg", mpp="")
    with open_slide(tmp_path / "a.svs") as slide:
        assert slide.pixel_size is None


def qptiff_text(name, nominal_um):
    return (
        '<?xml version="1.0" encoding="utf-16"?>\r\n<PerkinElmer-QPI-ImageDescription>'
        "<ImageType>FullResolution</ImageType>"
        f"<Name>{name}</Name><ScanProfile><root><ScanResolution><PixelSizeMicrons>{nominal_um}</PixelSizeMicrons>"
        "</ScanResolution></root></ScanProfile></PerkinElmer-QPI-ImageDescription>"
    )


@pytest.mark.parametrize(("nominal_um", "flags"), [(0.5, ()), (0.25, ("pixel_size_conflict",))])
def test_qptiff_names_levels_and_measured_size_before_nominal(tmp_path, nominal_um, flags):
    options = {
        "photometric": "minisblack",
        "metadata": None,
        "software": "PerkinElmer-QPI",
        "tile": (64, 64),
        "compression": "lzw",
    }
    names = ("DAPI", "Opal 570", "Opal 690")
    with tifffile.TiffWriter(tmp_path / "a.qptiff") as tif:
        for name, plane in zip(names, GREY, strict=True):
            tif.write(
                plane,
                description=qptiff_text(name, nominal_um),
                resolution=(1e4 / 0.4965, 1e4 / 0.4965),
                resolutionunit=3,
                **options,
            )
        tif.write(COLOUR[::4, ::4], photometric="rgb", metadata=None, description=qptiff_text("thumb", 0.5))
        for plane in GREY:
            tif.write(plane[::2, ::2], resolution=(1e4 / 0.993, 1e4 / 0.993), resolutionunit=3, **options)
    with open_slide(tmp_path / "a.qptiff") as slide:
        assert slide.channels == names
        assert slide.pixel_size.x_um == pytest.approx(0.4965, rel=1e-6)
        assert slide.flags == flags
        assert [level.shape for level in slide.levels] == [(300, 500), (150, 250)]
        assert np.array_equal(whole(slide, 0.5), np.moveaxis(GREY, 0, -1))
        assert np.array_equal(whole(slide, 1.0), np.moveaxis(GREY[:, ::2, ::2], 0, -1))


def write_ndpi(path, image, per_cm):
    """Write one uncompressed strip in NDPI's layout: 32-bit entries, 64-bit offsets, high words after the directory."""
    rows, cols = image.shape[:2]
    at_bits, at_res, at_pixels = 16, 32, 64
    at_ifd = at_pixels + image.nbytes
    lens = struct.unpack("<I", struct.pack("<f", 40.0))[0]  # the objective's power, of no use here
    entries = [
        (254, 4, 1, 0), (256, 4, 1, cols), (257, 4, 1, rows), (258, 3, 3, at_bits), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, at_pixels), (277, 3, 1, 3), (278, 4, 1, rows), (279, 4, 1, image.nbytes), (282, 5, 1, at_res),
        (283, 5, 1, at_res), (284, 3, 1, 1), (296, 3, 1, 3), (65420, 4, 1, 1), (65421, 11, 1, lens),
    ]  # fmt: skip
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    ifd += struct.pack("<Q", 0) + b"\0\0\0\0" * len(entries)
    head = b"II*\0" + struct.pack("<Q", at_ifd) + b"\0" * 4 + struct.pack("<HHH", 8, 8, 8)
    body = head.ljust(at_res, b"\0") + struct.pack("<II", round(per_cm), 1)
    path.write_bytes(body.ljust(at_pixels, b"\0") + image.tobytes() + ifd)


def test_ndpi_size_comes_from_its_tags_not_from_its_lens(tmp_path):
    write_ndpi(tmp_path / "a.ndpi", COLOUR, 1e4 / 0.2208)
    with open_slide(tmp_path / "a.ndpi") as slide:
        assert slide.is_rgb
        assert slide.pixel_size.x_um == pytest.approx(0.2208, rel=1e-4)
        assert np.array_equal(whole(slide, 0.22), COLOUR)


SCN = (
    '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
    '<collection name="s" sizeX="26000000" sizeY="76000000">'
    '<image name="macro"><pixels sizeX="100" sizeY="80"><dimension sizeX="100" sizeY="80" r="0" ifd="0"/></pixels>'
    '<view sizeX="26000000" sizeY="20800000" offsetX="0" offsetY="0"/></image>'
    '<image name="scan"><pixels sizeX="500" sizeY="300"><dimension sizeX="500" sizeY="300" r="0" ifd="1"/>'
    '<dimension sizeX="125" sizeY="75" r="1" ifd="2"/></pixels>'
    '<view sizeX="250000" sizeY="150000" offsetX="1" offsetY="2"/></image>'
    "</collection></scn>"
)


def test_scn_takes_the_scan_and_its_size_from_the_view(tmp_path):
    options = {"photometric": "rgb", "metadata": None, "tile": (64, 64)}
    with tifffile.TiffWriter(tmp_path / "a.scn", bigtiff=True) as tif:
        tif.write(COLOUR[:80, :100], description=SCN, **options)
        tif.write(COLOUR, **options)
        tif.write(COLOUR[::4, ::4], **options)
    with open_slide(tmp_path / "a.scn") as slide:
        assert slide.pixel_size.x_um == pytest.approx(0.5)
        assert [level.shape for level in slide.levels] == [(300, 500), (75, 125)]
        assert np.array_equal(whole(slide, 0.5), COLOUR)


def write_bif(path, overlap):
    joint = f'<TileJointInfo OverlapX="{overlap}" OverlapY="0"/>'
    xmp = f'<Metadata><iScan ScanRes="0.2325" Magnification="40"/>{joint}</Metadata>'.encode()
    options = {"photometric": "rgb", "metadata": None, "tile": (64, 64), "software": "ScanOutputManager 1.1"}
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        tif.write(
            COLOUR[:50, :40],
            description="Label_Image",
            extratags=[(700, 1, len(xmp), xmp, True)],
            photometric="rgb",
            metadata=None,
        )
        tif.write(COLOUR, description="level=0 mag=40 quality=95", **options)
        tif.write(COLOUR[::2, ::2], description="level=1 mag=20 quality=95", **options)


def test_bif_reads_where_tiles_do_not_overlap(tmp_path):
    write_bif(tmp_path / "a.bif", 0)
    with open_slide(tmp_path / "a.bif") as slide:
        assert slide.pixel_size.x_um == 0.2325
        assert [level.shape for level in slide.levels] == [(300, 500), (150, 250)]
        assert np.array_equal(whole(slide, 0.23), COLOUR)


def test_bif_with_overlapping_tiles_is_refused(tmp_path):
    write_bif(tmp_path / "a.bif", 12)
    with pytest.raises(SlideError, match="tiles overlap"):
        open_slide(tmp_path / "a.bif")


# --- plain TIFF: colours, sizes


@pytest.mark.parametrize(
    "options",
    [{"tile": (64, 64)}, {"rowsperstrip": 32}, {"rowsperstrip": 300}, {"tile": (64, 64), "compression": "zlib"},
     {"tile": (64, 64), "planarconfig": "separate"},
     {"rowsperstrip": 32, "planarconfig": "separate", "compression": "lzw"}],
)  # fmt: skip
def test_rgb_interleaved_and_planar_tiled_and_stripped(tmp_path, options):
    planar = options.get("planarconfig") == "separate"
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(COLOUR, -1, 0) if planar else COLOUR,
        photometric="rgb",
        metadata=None,
        **options,
    )
    with open_slide(tmp_path / "a.tif", pixel_size_um=0.5) as slide:
        assert slide.is_rgb
        assert np.array_equal(whole(slide, 0.5), COLOUR)


@pytest.mark.parametrize("subfiletype", [0, 1])
def test_page_pyramid_with_or_without_the_reduced_mark(tmp_path, subfiletype):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for step in (1, 2, 4):
            kind = subfiletype if step > 1 else 0
            tif.write(COLOUR[::step, ::step], tile=(64, 64), photometric="rgb", metadata=None, subfiletype=kind)
    with open_slide(tmp_path / "a.tif", pixel_size_um=0.25) as slide:
        assert [level.downsample for level in slide.levels] == [(1, 1), (2, 2), (4, 4)]
        assert np.array_equal(whole(slide, 0.5), COLOUR[::2, ::2])


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [((20000, 20000), 3, (0.5, 0.5)), ((50800, 101600), 2, (0.5, 0.25)), ((72, 72), 2, None), ((1, 1), 2, None),
     ((300, 300), 3, None), ((10000, 10000), 3, None), ((20000, 20000), 1, None)],
)  # fmt: skip
def test_tiff_resolution_is_a_pixel_size_only_where_a_microscope_could_have_it(tmp_path, resolution, unit, size):
    tifffile.imwrite(
        tmp_path / "a.tif", COLOUR, photometric="rgb", metadata=None, resolution=resolution, resolutionunit=unit
    )
    with open_slide(tmp_path / "a.tif") as slide:
        found = None if slide.pixel_size is None else (slide.pixel_size.x_um, slide.pixel_size.y_um)
        assert found == (None if size is None else pytest.approx(size))


@pytest.mark.parametrize(("alpha", "white"), [(255, False), (0, True)])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_transparent_pixels_are_white_not_black(tmp_path, alpha, white, kind):
    rgba = np.dstack((COLOUR if alpha else np.zeros_like(COLOUR), np.full((300, 500), alpha, np.uint8)))
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", metadata=None, extrasamples=[kind])
    with open_slide(tmp_path / "a.tif", pixel_size_um=0.5) as slide:
        assert np.array_equal(whole(slide, 0.5), np.full_like(COLOUR, 255) if white else COLOUR)


def test_a_tile_the_scanner_did_not_store_is_glass(tmp_path):
    tiles = [COLOUR[:64, :64], None, COLOUR[:64, 64:128], COLOUR[64:128, :64]]
    encoded = (imagecodecs.zlib_encode(t.tobytes()) if t is not None else b"" for t in tiles)
    tifffile.imwrite(
        tmp_path / "a.tif", encoded, shape=(128, 128, 3), dtype="uint8", tile=(64, 64),
        photometric="rgb", compression="zlib", metadata=None,
    )  # fmt: skip
    with open_slide(tmp_path / "a.tif", pixel_size_um=0.5) as slide:
        image = whole(slide, 0.5)
        assert (image[:64, 64:] == 255).all()
        assert np.array_equal(image[:64, :64], tiles[0])


# --- pictures


def test_png_grey_16_bit_and_rgba(tmp_path):
    (tmp_path / "g.png").write_bytes(imagecodecs.png_encode(GREY[0]))
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.dstack((COLOUR, np.zeros((300, 500), np.uint8)))))
    with open_slide(tmp_path / "g.png", pixel_size_um=0.5) as slide:
        assert (slide.channels, slide.dtype) == (("0",), np.uint16)
        assert np.array_equal(whole(slide, 0.5)[..., 0], GREY[0])
    with open_slide(tmp_path / "a.png", pixel_size_um=0.5) as slide:
        assert (whole(slide, 0.5) == 255).all()


def test_jpeg_equals_its_decoder(tmp_path):
    data = imagecodecs.jpeg_encode(COLOUR, level=90)
    (tmp_path / "a.jpg").write_bytes(data)
    with open_slide(tmp_path / "a.jpg", pixel_size_um=0.5) as slide:
        assert np.array_equal(whole(slide, 0.5), imagecodecs.jpeg_decode(data))
