"""Whether a window can be opened here. Qt ends the whole process where it cannot, so another process tries first."""

from __future__ import annotations

import subprocess
import sys

from spatial_til.errors import SpatialTilError

_TRIAL = "from qtpy.QtWidgets import QApplication; QApplication([])"
_PATIENCE_S = 60


def require_screen() -> None:
    """Pass where Qt can open a window.

    Raises
    ------
    SpatialTilError
        There is no screen, or libraries that Qt needs for it are missing; with what Qt said.
    """
    try:
        trial = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _TRIAL],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return  # slow, not refused: the window itself will tell
    if trial.returncode == 0:
        return
    said = next((line.strip() for line in trial.stderr.splitlines() if line.strip()), "nothing")
    msg = "review needs a screen, and Qt can open no window here: use a machine with one, `ssh -X`, or a remote "
    msg += f"desktop; on a screen, install what Qt misses (it said: {said})"
    raise SpatialTilError(msg)
