"""Small studies of cell tables with known positions, scored in this process as a user would."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Polygon, mapping

from spatial_til import cli

PIXEL_UM = 0.5
PROTOCOL = """
[panel]
modality = "fluorescence"
[panel.channels]
DAPI = { marker = "nuclei" }
Opal570 = { marker = "CD8" }
Opal690 = { marker = "PD-L1" }
[compartments]
inner_um = 100
outer_um = 100
[gates]
min_core_mm2 = 0.01
min_margin_mm2 = 0.01
min_border_um = 100
min_tiles = 4
[statistics]
bootstrap = 100
permutations = 19
tile_um = 100
radii_um = [20]
[cells.positive]
CD8 = "Classification=CD8"
"PD-L1" = "Classification=PD-L1"
"""
TISSUE = shapely.box(0, 0, 1200, 1000)
TUMOR = shapely.Point(500, 450).buffer(350, quad_segs=512)


def protocol(folder: Path, name: str, *changes: tuple[str, str]) -> str:
    """Write the protocol with pieces of text replaced; return its name."""
    text = PROTOCOL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text)
    return name


def scatter(region: Polygon | MultiPolygon, per_mm2: float, seed: int) -> np.ndarray:
    """Return (n, 2) random positions in a region."""
    random = np.random.default_rng(seed)
    x0, y0, x1, y1 = region.bounds
    n = random.poisson(per_mm2 * (x1 - x0) * (y1 - y0) / 1e6)
    xy = np.column_stack((random.uniform(x0, x1, n), random.uniform(y0, y1, n)))
    return xy[shapely.contains_xy(region, xy)]


def write_qupath(path: Path, xy_um: np.ndarray, classes: np.ndarray | list[str]) -> str:
    """Write a QuPath measurement table in µm; return its name."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Image", "Object type", "Classification", "Centroid X µm", "Centroid Y µm"])
        cells = zip(np.asarray(xy_um).tolist(), classes, strict=True)
        writer.writerows(["a.tif", "Cell", name, x, y] for (x, y), name in cells)
    return path.name


def write_regions(path: Path, move: Callable[[np.ndarray], np.ndarray] = lambda xy: xy, **regions: Polygon) -> str:
    """Write annotations, given in µm, in pixels as QuPath does; return the file's name."""
    features = [
        {
            "type": "Feature",
            "geometry": mapping(shapely.transform(region, lambda xy: move(xy) / PIXEL_UM)),
            "properties": {"objectType": "annotation", "classification": {"name": name.replace("_", " ")}},
        }
        for name, region in regions.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path.name


def write_sheet(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write a study sheet; columns that a row lacks are empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def command(*arguments: object, status: int) -> None:
    """Run one command in this process."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    assert ended.value.code == status


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
