"""Numbers at their limits, through the command line: each slide is right, or refused with a reason."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import tifffile

from spatial_til import cli
from spatial_til.errors import CellTableError
from spatial_til.io.cell_tables import read_cell_table
from tests.batch_study import PROTOCOL, table
from tests.inline import stages_here  # noqa: F401

SIDE = 400  # pixels of 0.5 µm
FLUORESCENCE = """
[panel]
modality = "fluorescence"
[panel.channels]
DAPI = { marker = "nuclei" }
CD8 = { marker = "CD8" }
[markers."CD8"]
threshold = 500
compartment = "cell"
statistic = "mean"
"""
REST = PROTOCOL[PROTOCOL.index("[compartments]") :]
RNG = np.random.default_rng(5)
#: Nuclei a good distance apart, half of them CD8+: every second row.
CENTRES = np.array([(y, x) for y in range(25, SIDE, 25) for x in range(25, SIDE, 25)])
CD8 = CENTRES[:, 0] % 50 == 0


def picture(nuclei: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return (2, rows, cols): discs of nuclei, and of the cells that are CD8+, over tissue that shines a little."""
    image = RNG.normal(300, 10, (2, SIDE, SIDE))
    rows, cols = np.mgrid[:SIDE, :SIDE]
    for (y, x), is_positive in zip(nuclei, positive, strict=True):
        far = np.hypot(rows - y, cols - x).clip(0, 100)
        image[0] += 3000 / (1 + np.exp(2 * (far - 6)))
        image[1] += is_positive * 2000 / (1 + np.exp(2 * (far - 9)))
    return image.clip(0, 60_000)


def changed(image: np.ndarray, where: object, value: float) -> np.ndarray:
    image = image.astype(np.float32)
    image[where] = value
    return image


PLAIN = picture(CENTRES, CD8).astype(np.uint16)
EMPTY = picture(CENTRES[:0], CD8[:0]).astype(np.uint16)
ONE = picture(CENTRES[100:101], CD8[100:101]).astype(np.uint16)
COLOUR = np.full((SIDE, SIDE, 3), 240, np.uint8)
FILES = {
    "plain": PLAIN,
    "float": PLAIN.astype(np.float32),
    "swapped": PLAIN[::-1],
    "no_cell": EMPTY,
    "one_cell": ONE,
    "constant": np.full_like(PLAIN, 300),
    "zero": np.zeros_like(PLAIN),
    "full": np.full_like(PLAIN, 65_535),
    "saturated": np.where(PLAIN > 1500, 65_535, PLAIN).astype(np.uint16),
    "one_nan": changed(PLAIN, np.s_[:, 212:216, 212:216], np.nan),
    "one_inf": changed(PLAIN, np.s_[:, 212:214, 212:214], np.inf),
    "minus_inf": changed(PLAIN, np.s_[:, 212:214, 212:214], -np.inf),
    "all_nan": changed(PLAIN, np.s_[:], np.nan),
    "half_nan": changed(PLAIN, np.s_[:, 200:], np.nan),
    "one_row": PLAIN[:, 25:26],
    "one_column": PLAIN[:, :, 25:26],
    "one_pixel": PLAIN[:, :1, :1],
    "white": np.full_like(COLOUR, 255),
    "grey": COLOUR - 80,
    "black": np.zeros_like(COLOUR),
    "grain": RNG.normal(230, 4, COLOUR.shape).clip(0, 255).astype(np.uint8),
    "rgb_row": COLOUR[:1],
}


def write(folder, name: str, image: np.ndarray) -> None:
    names = ["CD8", "DAPI"] if name == "swapped" else ["DAPI", "CD8"]
    colour = image.shape[-1] == 3
    rows, cols = image.shape[:2] if colour else image.shape[1:]
    channels = '<Channel ID="Channel:0:0" SamplesPerPixel="3"/>'
    if not colour:
        channels = "".join(f'<Channel ID="Channel:0:{k}" Name="{of}"/>' for k, of in enumerate(names))
    kind = {"uint8": "uint8", "uint16": "uint16", "float32": "float"}[image.dtype.name]
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" Type="{kind}" DimensionOrder="XYCZT" SizeX="{cols}" '
        f'SizeY="{rows}" SizeC="{3 if colour else 2}" SizeZ="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5">'
        f"{channels}<TiffData/></Pixels></Image></OME>"
    )
    photometric = "rgb" if colour else "minisblack"
    tifffile.imwrite(folder / f"{name}.ome.tif", image, photometric=photometric, metadata=None, description=xml)
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [w, 0], [w, rows], [0, rows], [0, 0]]]},
            "properties": {"classification": {"name": kind}},
        }
        for kind, w in (("Tissue", cols), ("Tumor", cols / 2))
    ]
    (folder / f"{name}.geojson").write_text(json.dumps(features))


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """All of them as one study, each with all its image as tissue; and three whose tissue is to be found."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "protocol.toml").write_text(FLUORESCENCE + REST)
    (folder / "bright.toml").write_text(PROTOCOL)
    (folder / "crowd.csv").write_text("X_centroid,Y_centroid,CD8_positive\n" + "100,100,1\n" * 500)
    lines = ["slide_id,patient_id,timepoint,image,annotation,protocol,cells,pixel_size_um"]
    for name, image in FILES.items():
        write(folder, name, image)
        own = "bright.toml" if image.shape[-1] == 3 else ""
        lines.append(f"{name},{name},baseline,{name}.ome.tif,{name}.geojson,{own},,")
    lines += [f"{n}_found,{n},on_treatment,{n}.ome.tif,,,," for n in ("constant", "all_nan")]
    lines.append("white_found,white,on_treatment,white.ome.tif,,bright.toml,,")
    lines.append("crowd,crowd,baseline,,plain.geojson,,crowd.csv,0.5")
    (folder / "study.csv").write_text("\n".join(lines))
    with pytest.raises(SystemExit) as ended:
        cli.main(["score", str(folder / "study.csv"), "--out", str(folder / "out"), "--quiet", "--workers", "1"])
    assert ended.value.code == 1
    return folder / "out"


RIGHT = ("plain", "float", "swapped", "saturated")
NOISE = "as noise does: check which channel is `nuclei`"
NONE = "not one cell was found: a failed stain, focus or export"
NOT_FINITE = r"every pixel must be a finite number, and \d+ of \d+ .* Export the image again"
NO_TISSUE = "A slide needs tissue, none was found; draw a Tissue annotation or check white and channels"
REFUSED = {
    **dict.fromkeys(("no_cell", "one_cell", "grain"), NOISE),
    **dict.fromkeys(("constant", "zero", "full", "white", "grey", "black"), NONE),
    **dict.fromkeys(("one_row", "one_column", "one_pixel", "rgb_row"), NONE),
    **dict.fromkeys(("one_nan", "one_inf", "minus_inf", "all_nan", "half_nan", "all_nan_found"), NOT_FINITE),
    **dict.fromkeys(("constant_found", "white_found"), NO_TISSUE),
    "crowd": r"500 cells lie within 10 µm at x \d+, y \d+ µm; at most 100 can. Correct pixel_size_um",
}


def test_every_slide_is_right_or_refused(scored):
    failed = {row["slide_id"]: row["message"] for row in table(scored / "errors.csv")}
    assert set(failed) == set(REFUSED)
    assert {row["slide_id"] for row in table(scored / "tables" / "slide_scores.csv")} == set(RIGHT)


@pytest.mark.parametrize(("name", "reason"), REFUSED.items(), ids=REFUSED)
def test_what_is_refused_says_the_rule_and_what_to_do(scored, name, reason):
    failed = {row["slide_id"]: row["message"] for row in table(scored / "errors.csv")}
    assert re.search(reason, failed[name])


@pytest.mark.parametrize("name", RIGHT)
def test_counts_are_those_that_were_painted_whatever_the_type_and_order_of_channels(scored, name):
    rows = [
        r for r in table(scored / "tables" / "density.csv") if r["slide_id"] == name and r["compartment"] == "tissue"
    ]
    found = {row["population"]: row for row in rows}
    assert int(found["all"]["n_cells"]) == len(CENTRES)
    assert int(found["CD8+"]["n_cells"]) == int(CD8.sum())
    assert float(found["CD8+"]["density_per_mm2"]) == pytest.approx(CD8.sum() / (SIDE * 0.5e-3) ** 2)


def test_the_end_of_the_scale_is_flagged(scored):
    flags = {row["slide_id"]: row["flags"].split(";") for row in table(scored / "tables" / "slide_scores.csv")}
    assert {name for name, of in flags.items() if "saturated" in of} == {"saturated"}


@pytest.mark.parametrize("spread_um", [1, 3000])
def test_a_million_cells(tmp_path, spread_um):
    """In one place they are damage or a wrong unit, with 10^12 pairs of neighbours; over 9 mm² they are cells."""
    xy = RNG.integers(0, spread_um, (1_000_000, 2))
    pd.DataFrame(xy, columns=["X_centroid", "Y_centroid"]).to_csv(tmp_path / "a.csv", index=False)
    if spread_um > 10:
        assert len(read_cell_table(tmp_path / "a.csv", markers=["CD8"], um_per_unit=1.0)) == 1_000_000
    else:
        with pytest.raises(CellTableError, match=r"1000000 cells lie within 10 µm .* Correct pixel_size_um"):
            read_cell_table(tmp_path / "a.csv", markers=["CD8"], um_per_unit=1.0)
