"""One palette of regions and border, wherever they are drawn, that colour-blind readers tell apart."""

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

import spatial_til.report
from spatial_til.geometry.compartments import build_compartments
from spatial_til.io.regions import write_regions
from spatial_til.model import BORDER_TYPES, COMPARTMENTS
from spatial_til.plugin.region_picture import PAINTS
from spatial_til.region_colors import BORDER_COLORS, COMPARTMENT_COLORS, TUMOR_COLOR, as_hex
from spatial_til.report.html import _palette
from spatial_til.units import PixelSize

#: Linear red, green, blue as seen without one kind of receptor, doi:10.1109/TVCG.2009.113 (severity 1).
SEEN = {
    "all receptors": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.412456, 0.357576, 0.180438], [0.212673, 0.715152, 0.072175], [0.019334, 0.119192, 0.950304]])


def lab(color, seen):
    value = np.array(color) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(np.array(seen) @ linear, 0, 1) / (0.95047, 1, 1.08883)
    fx, fy, fz = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


@pytest.mark.parametrize("eyes", SEEN)
def test_any_two_areas_and_any_two_lines_are_told_apart(eyes):
    areas, lines = COMPARTMENT_COLORS, {**BORDER_COLORS, "tumor": TUMOR_COLOR}
    del lines["thin_rim"]  # a wide band along a border, not a line among others
    for colors in (areas, BORDER_COLORS, lines):
        for a, b in combinations(colors, 2):
            apart = np.linalg.norm(lab(colors[a], SEEN[eyes]) - lab(colors[b], SEEN[eyes]))
            assert apart > 15, (a, b, apart)


def test_distances_of_colours_are_those_of_the_book():
    """Black and white are 100 apart; sRGB red is L* 53.2, a* 80.1, b* 67.2."""
    assert np.linalg.norm(lab((0, 0, 0), np.eye(3)) - lab((255, 255, 255), np.eye(3))) == pytest.approx(100, abs=0.1)
    assert lab((255, 0, 0), np.eye(3)) == pytest.approx((53.2, 80.1, 67.2), abs=0.1)


def test_every_region_has_a_colour():
    assert set(COMPARTMENT_COLORS) == set(COMPARTMENTS)
    assert set(BORDER_COLORS) == {*BORDER_TYPES, "thin_rim"}


def test_viewer_and_report_use_the_palette():
    painted = {paint.region: paint.color for paint in PAINTS if paint.region in COMPARTMENTS}
    assert painted == {name: color for name, color in COMPARTMENT_COLORS.items() if name != "outside"}
    lines = {paint.region: paint.color for paint in PAINTS if paint.region.startswith("Border ")}
    assert lines == {f"Border {kind}": color for kind, color in BORDER_COLORS.items()}
    css = (Path(spatial_til.report.__file__).parent / "page" / "report.css").read_text(encoding="utf-8")
    used = re.findall(r"^\.[rb]-[a-z-]+ \{ (?:fill|stroke): ([^;]+);", css, re.MULTILINE)
    assert len(used) == 5 + len(BORDER_COLORS)
    known = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", _palette()))
    assert [value for value in used if value.removeprefix("var(--").removesuffix(")") not in known] == []
    assert known["outer-margin"] == as_hex(COMPARTMENT_COLORS["outer_margin"])
    assert known["border-stroma"] == as_hex(BORDER_COLORS["stroma"])


def test_qupath_gets_the_palette(tmp_path):
    tissue, tumor = (MultiPolygon([box(*sides)]) for sides in ((0, 0, 3000, 2000), (0, 500, 2000, 1500)))
    divided = build_compartments(
        tissue=tissue, tumor=tumor, image_box=None, inner_um=200, outer_um=200, edge_tolerance_um=30
    )
    write_regions(tmp_path / "regions.geojson", divided, pixel_size=PixelSize(1, 1))
    features = json.loads((tmp_path / "regions.geojson").read_text())["features"]
    found = {f["properties"]["name"]: tuple(f["properties"]["classification"]["color"]) for f in features}
    named = {**COMPARTMENT_COLORS, **{f"Border {kind}": color for kind, color in BORDER_COLORS.items()}}
    assert {"core", "inner_margin", "outer_margin", "outside", "Border stroma", "Border tissue_edge"} <= set(found)
    assert {name: color for name, color in found.items() if name in named} == {n: named[n] for n in found if n in named}
    assert found["Tumor"] == TUMOR_COLOR
