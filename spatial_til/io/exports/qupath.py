"""Detections with measurements, and annotations, as GeoJSON that QuPath opens on the same image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spatial_til.errors import SlideError
from spatial_til.io.atomic import writing
from spatial_til.io.cells import StoredCells, compartment_names
from spatial_til.io.exports.exported import ExportSlide
from spatial_til.units import um_to_corners

_COLORS = ((200, 0, 0), (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233))
_NEGATIVE = (150, 150, 150)
_BLOCK = 50_000
#: What QuPath does not know of a measurement it must not be told as 0: the entry is left out.
_UNKNOWN = r'"(?:[^"\\]|\\.)*":null,?'


def write_qupath(path: Path, slide: ExportSlide) -> None:
    """Write one slide as a GeoJSON FeatureCollection, whole or not at all.

    Annotations are the regions as scored; each cell is a detection: a point at the centre of its nucleus
    (outlines are not stored), in pixel corners of the full-resolution image. A cell's class is its positive
    markers, ``CD8: PD-L1`` as QuPath joins them; its measurements are areas, distance to the border, the mean of
    every marker in every part of the cell, and 0 or 1 for each call. Unknown measurements are left out.

    Raises
    ------
    SlideError
        The pixel size of the image is not known.
    """
    if slide.pixel_size is None:
        msg = (
            f"{slide.slide_id}: QuPath works in pixels, and no pixel size is stored for this slide. "
            "Score the slide from its image, or give pixel_size_um in the study sheet; a folder of `rescore --out` "
            "has none: export the one that `score` has written."
        )
        raise SlideError(msg)
    with writing(path) as part, part.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [\n')
        between = ""
        for text in (*_annotations(slide), *_detections(slide)):
            file.write(between + text)
            between = ",\n"
        file.write("\n]}\n")


def _annotations(slide: ExportSlide) -> Iterator[str]:
    if slide.regions is not None and slide.regions.exists():
        features = json.loads(slide.regions.read_text("utf-8"))["features"]
        yield from (json.dumps(feature, ensure_ascii=False) for feature in features)


def _detections(slide: ExportSlide) -> Iterator[str]:
    """Yield blocks of features. Texts are joined column by column: a slide may have millions of cells."""
    import pyarrow as pa
    import pyarrow.compute as pc

    assert slide.pixel_size is not None  # noqa: S101 - checked by the caller
    xy = pd.DataFrame(np.round(um_to_corners(slide.cells.cells.xy_um, slide.pixel_size), 3))
    looks = _looks(slide.cells)
    where = compartment_names(slide.cells.placement.compartment)
    measurements = _measurements(slide)
    for start in range(0, len(measurements), _BLOCK):
        rows = slice(start, start + _BLOCK)
        numbers = measurements.iloc[rows].to_json(orient="records", lines=True, double_precision=6).splitlines()
        known = pc.replace_substring_regex(pa.array(numbers), _UNKNOWN, "")
        known = pc.replace_substring(known, ",}", "}")
        ids = [str(i) for i in range(start + 1, start + 1 + len(numbers))]
        texts = pc.binary_join_element_wise(
            '{"type":"Feature","geometry":{"type":"Point","coordinates":[',
            pa.array(xy[0].iloc[rows].astype(str)),
            ",",
            pa.array(xy[1].iloc[rows].astype(str)),
            ']},"properties":{"objectType":"detection","name":"',
            pa.array(ids),
            '","classification":',
            pa.array(looks[rows]),
            ',"metadata":{"compartment":"',
            pa.array(where[rows]),
            '"},"measurements":',
            known,
            "}}",
            "",
        )
        yield ",\n".join(texts.to_pylist())


def _looks(stored: StoredCells) -> NDArray[np.object_]:
    """Return the class of each cell as QuPath writes it: one for each combination of positive markers."""
    markers = list(stored.positive)
    bits = [values.astype(np.int64) << i for i, values in enumerate(stored.positive.values())]
    codes, which = np.unique(np.sum(bits, axis=0, dtype=np.int64, initial=0), return_inverse=True)
    texts = [json.dumps(_look([m for i, m in enumerate(markers) if code >> i & 1], code)) for code in codes.tolist()]
    return np.array(texts, dtype=object)[which]


def _look(positive: list[str], code: int) -> dict[str, Any]:
    if not positive:
        return {"name": "Negative", "color": list(_NEGATIVE)}
    return {"name": ": ".join(positive), "color": list(_COLORS[(code - 1) % len(_COLORS)])}


def _measurements(slide: ExportSlide) -> pd.DataFrame:
    stored = slide.cells
    cells = stored.cells
    columns: dict[str, Any] = {
        "nucleus_area_um2": cells.nucleus_area_um2,
        "cell_area_um2": cells.cell_area_um2,
        "border_distance_um": stored.placement.border_distance_um,
    }
    columns |= {n: v.astype(np.float64) for n, v in cells.measurements.items() if n.endswith("_mean")}
    columns |= {f"{marker}_positive": v.astype(np.int64) for marker, v in stored.positive.items()}
    if stored.tumor_cell is not None:
        columns["tumor_cell"] = stored.tumor_cell.astype(np.int64)
    return pd.DataFrame(columns)
