"""HALO object data: boxes in pixels, dye-positive columns, classifier labels."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spatial_til.io.cell_tables.layout import Layout
from spatial_til.io.cell_tables.marker_names import find_marker

_POSITIVE = re.compile(r"^(.+?) positive(?: classification)?$")
_INTENSITY = re.compile(r"^(.+?) (nucleus|cytoplasm|membrane|cell) intensity$")


def halo_layout(columns: Sequence[str], markers: Sequence[str]) -> Layout | None:
    """Return the layout of a HALO object table; None where it is not one.

    R writes every sign of a header as a dot, so that ``CD8 (Opal 520) Positive`` may be
    ``CD8..Opal.520..Positive``; both are read.
    """
    plain = {_plain(name): name for name in columns}
    if not {"xmin", "xmax", "ymin", "ymax"} <= plain.keys():
        return None
    return Layout(
        name="HALO",
        x=(plain["xmin"], plain["xmax"]),
        y=(plain["ymin"], plain["ymax"]),
        unit="px",
        nucleus_area=_area(plain, "nucleus area"),
        cell_area=_area(plain, "cell area"),
        areas="um2",
        category=plain.get("classifier label", ""),
        image=next((plain[name] for name in ("image location", "image tag", "image file name") if name in plain), ""),
        positive=_by_marker(plain, markers),
        measurements=_measurements(plain, markers),
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s.]+", " ", name).strip().casefold()


def _area(plain: dict[str, str], start: str) -> str:
    """Return the column of an area in µm², whatever became of the signs of its unit."""
    return next((name for key, name in plain.items() if re.fullmatch(rf"{start}(?: [(µμ²^2) m]*)?", key)), "")


def _by_marker(plain: dict[str, str], markers: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, name in plain.items():
        match = _POSITIVE.match(key)
        marker = find_marker(match[1], markers) if match else None
        if marker:
            found.setdefault(marker, name)
    return found


def _measurements(plain: dict[str, str], markers: Sequence[str]) -> dict[str, str]:
    found = {}
    for key, name in plain.items():
        match = _INTENSITY.match(key)
        marker = find_marker(match[1], markers) if match else None
        if match and marker:
            found[f"{marker}_{match[2]}_mean"] = name
    return found
