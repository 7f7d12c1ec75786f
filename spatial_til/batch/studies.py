"""Studies that come without a sheet: one image, and the sample slides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spatial_til.errors import StudyError
from spatial_til.protocol import load_protocol
from spatial_til.study import Study, load_study, single


def single_study(
    image: Path, protocol_path: Path | None, annotations: Sequence[Path], pixel_size_um: float | None
) -> Study:
    """Return the study of one image; without a protocol, the one beside the image.

    Raises
    ------
    StudyError
        Where a file is missing.
    """
    beside = image.parent / "protocol.toml"
    path = protocol_path or beside
    missing = [f"file not found: {p}: correct the path" for p in (image, *annotations) if not p.exists()]
    if protocol_path is None and not beside.exists():
        missing.append(f"no protocol: give --protocol, or put protocol.toml beside the image ({beside})")
    if missing:
        raise StudyError(missing)
    return single(image, load_protocol(path), annotations=annotations, pixel_size_um=pixel_size_um)


def sample_study() -> Study:
    """Return the study of the sample slides that come with the project.

    Raises
    ------
    StudyError
        Where this installation has none.
    """
    path = Path(__file__).resolve().parents[2] / "sample_slides" / "study.csv"
    if not path.exists():
        raise StudyError([f"no sample slides at {path.parent}: run demo from a checkout of the project"])
    return load_study(path)
