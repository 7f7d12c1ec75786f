"""Studies that come without a sheet: one image, and the sample slides."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from spatial_til.errors import StudyError
from spatial_til.progress import say
from spatial_til.protocol import load_protocol
from spatial_til.study import Study, load_study, single

#: The folder above the package: a checkout of the project, where it is one.
CHECKOUT = Path(__file__).resolve().parents[2]


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


def sample_study(*, make: bool = False, quiet: bool = True) -> Study:
    """Return the study of the sample slides: of the checkout, else of `sample_slides/` in the current folder.

    Parameters
    ----------
    make
        Make them in the current folder where they are in neither, as in an installation without a checkout: the
        same bytes, in a minute or two.
    quiet
        Do not say so on standard error.

    Raises
    ------
    StudyError
        Where there are none, or they cannot be made.
    """
    here = Path.cwd() / "sample_slides"
    for folder in (CHECKOUT / "sample_slides", here):
        if (folder / "study.csv").exists():
            return load_study(folder / "study.csv")
    if not make:
        raise StudyError([f"no sample slides at {here}: run `spatial-til demo` in this folder, which makes them"])
    if not quiet:
        say(f"making sample slides in {here}: a minute or two, once")
    _make_samples(here)
    return load_study(here / "study.csv")


def _make_samples(folder: Path) -> None:
    """Make the sample slides, all of them or none."""
    from spatial_til.phantoms.study import make_sample_study

    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        make_sample_study(part)
        part.rename(folder)
    except OSError as error:
        raise StudyError([f"{folder}: sample slides cannot be made ({error.strerror}): go to another folder"]) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
