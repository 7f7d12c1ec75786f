"""Pixel size as the file states it, never as we would guess it."""

from __future__ import annotations

from collections.abc import Sequence

from spatial_til.errors import SlideError
from spatial_til.io.slides.pyramid import SizeSource
from spatial_til.units import PixelSize

#: µm in one unit of length, as OME and OME-Zarr spell them.
UM_PER_UNIT = {
    "å": 1e-4, "angstrom": 1e-4,
    "pm": 1e-6, "picometer": 1e-6,
    "nm": 1e-3, "nanometer": 1e-3,
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "\\u00b5m": 1.0,
    "mm": 1e3, "millimeter": 1e3,
    "cm": 1e4, "centimeter": 1e4,
    "dm": 1e5, "decimeter": 1e5,
    "m": 1e6, "meter": 1e6,
    "in": 25400.0, "inch": 25400.0,
    "thou": 25.4, "mil": 25.4,
    "pt": 25400.0 / 72,
}  # fmt: skip
PLAUSIBLE_UM = (0.05, 5.0)
POSSIBLE_UM = (1e-3, 1e3)  # beyond that a number is damage or another unit, whatever the microscope
#: The side of a cell: a picture with larger pixels shows none, and is a number in another unit or a label picture.
LARGEST_UM = 10.0
CONFLICT = 0.05  # two sources may differ by rounding and nominal values, not by more
COARSE_UM = 0.6
ISOTROPIC = 1e-3  # a difference this small is rounding


def to_um(value: float, unit: str) -> float | None:
    """Return a length in µm; None where the unit is no length (``pixel``) or no pixel has such a size.

    Examples
    --------
    >>> to_um(497.1, "nm")
    0.4971
    """
    factor = UM_PER_UNIT.get(unit.strip().lower())
    if factor is None or not POSSIBLE_UM[0] <= value * factor <= POSSIBLE_UM[1]:
        return None
    return round(value * factor, 12)


def pixel_size_from(x: float | None, y: float | None) -> PixelSize | None:
    """Return the size from two sides; one that is missing is taken from the other."""
    x, y = x or y, y or x
    return PixelSize(x, y) if x and y else None


def is_plausible(size: PixelSize) -> bool:
    """Say whether a light microscope could have pixels of this size."""
    low, high = PLAUSIBLE_UM
    return low <= size.x_um <= high and low <= size.y_um <= high


def differ(a: PixelSize, b: PixelSize, tolerance: float) -> bool:
    """Say whether two sizes differ by more than a share of the first, on either side."""
    return abs(b.x_um / a.x_um - 1) > tolerance or abs(b.y_um / a.y_um - 1) > tolerance


def choose_pixel_size(
    sources: Sequence[SizeSource], override_um: float | None
) -> tuple[PixelSize | None, tuple[str, ...]]:
    """Return the pixel size and its flags: the sheet's, else the file's best source, else None.

    Parameters
    ----------
    sources
        What the file states, best first.
    override_um
        The sheet's value, for square pixels.

    Raises
    ------
    SlideError
        The sheet's value is no size of a pixel, or no cell can be seen at this size.
    """
    stated = sources[0].size if sources else None
    flags = []
    if override_um is not None:
        if not POSSIBLE_UM[0] <= override_um <= POSSIBLE_UM[1]:
            low, high = POSSIBLE_UM
            msg = f"pixel_size_um must lie between {low:g} and {high:g} µm; got {override_um}. Correct it in the sheet."
            raise SlideError(msg)
        size: PixelSize | None = PixelSize(float(override_um), float(override_um))
    else:
        size = stated
    if size is None:
        return None, ()
    if max(size.x_um, size.y_um) > LARGEST_UM:
        msg = f"pixels must be smaller than a cell ({LARGEST_UM:g} µm), found {size.x_um:g} x {size.y_um:g} µm: give "
        msg += "their size in µm (500 nm are 0.5 µm) as pixel_size_um in the study sheet, or as --pixel-size."
        raise SlideError(msg)
    if (override_um is None and any(differ(size, s.size, CONFLICT) for s in sources)) or not is_plausible(size):
        flags.append("pixel_size_conflict")
    if stated is not None and differ(stated, size, ISOTROPIC):
        flags.append("pixel_size_override")
    if abs(size.x_um / size.y_um - 1) > ISOTROPIC:
        flags.append("anisotropic_pixels")
    if size.mean_um > COARSE_UM:
        flags.append("pixel_size_coarse")
    return size, tuple(flags)
