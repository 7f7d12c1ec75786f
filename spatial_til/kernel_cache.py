"""Where compiled kernels are kept on a machine that lets nobody write beside the package or in a home folder.

numba keeps them beside the code, or else in the user's cache folder, and refuses to load a kernel where it can do
neither: in a container run by an unknown user, say, or from a service without a home.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import MutableMapping, Sequence
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"


def provide_kernel_cache(environment: MutableMapping[str, str], places: Sequence[Path]) -> Path | None:
    """Name a folder of this process's own in `environment` where kernels can be kept in none of `places`.

    Worker processes inherit it, so that a run compiles once. It is private, since what lies in it is executed, and it
    is removed when the process ends: the next run compiles again.
    """
    if environment.get(VARIABLE) or any(_can_be_written(place) for place in places):
        return None
    try:
        folder = Path(tempfile.mkdtemp(prefix="spatial_til_kernels_"))
    except OSError:  # no folder for temporary files either: numba says what it misses
        return None
    environment[VARIABLE] = str(folder)
    atexit.register(_remove, folder, os.getpid())
    return folder


def usual_places(package: Path, environment: MutableMapping[str, str]) -> tuple[Path, Path]:
    """Return where numba looks: beside the code, and in the user's cache folder."""
    cache = environment.get("XDG_CACHE_HOME", "")
    return package, Path(cache) if cache else Path("~/.cache").expanduser()


def _can_be_written(folder: Path) -> bool:
    """Whether a file can be made in a folder, or the folder itself where it is not there yet."""
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    except OSError:  # a part of the path may not even be looked into
        return False


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a child that was forked
        shutil.rmtree(folder, ignore_errors=True)
