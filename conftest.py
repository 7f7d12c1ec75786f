"""What pytest must know of the whole repository."""

from importlib.util import find_spec
from pathlib import Path

import pytest

# Modules are imported to find their examples; those that draw windows need napari.
collect_ignore_glob = [] if find_spec("napari") else ["spatial_til/plugin/widgets/*"]


def pytest_configure(config: pytest.Config) -> None:
    """Forget compiled kernels that may hold an older form of one they call, once for all processes of a run."""
    if not hasattr(config, "workerinput"):
        for path in stale_kernels(Path(__file__).parent / "spatial_til"):
            path.unlink(missing_ok=True)


def stale_kernels(package: Path) -> list[Path]:
    """Return all compiled kernels where one is older than a file with kernels; none where all are newer.

    numba compiles a kernel anew when its own file has changed, but not when that of one it calls has.
    """
    compiled = list(package.rglob("__pycache__/*.nb[ci]"))
    written = [path.stat().st_mtime for path in package.rglob("*.py") if "@njit" in path.read_text(encoding="utf-8")]
    return compiled if any(path.stat().st_mtime < max(written, default=0.0) for path in compiled) else []
