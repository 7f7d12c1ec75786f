"""A folder of this process that goes with it; where it was killed, the next one that asks takes it away."""

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

#: A folder as young as this may not have been locked yet.
YOUNG_S = 60.0


def own_folder(prefix: str, parent: Path | None = None) -> Path:
    """Return a new folder, and remove those of the same prefix whose processes are gone.

    The kernel's lock on a folder ends with its process, however that ends.
    """
    parent = parent or Path(tempfile.gettempdir())
    for left in parent.glob(f"{prefix}*"):
        _remove_where_nobody_is(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)  # never closed: held until the process ends
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _remove_where_nobody_is(folder: Path) -> None:
    try:
        if time.time() - folder.stat().st_mtime < YOUNG_S:
            return
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # gone meanwhile, or another user's
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # somebody is there
    finally:
        os.close(descriptor)
