"""Run tests against one mutant in a child of this process, which has the heavy libraries loaded already."""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

from benchmarks.mutants.mutate import Mutant

#: What the tests import and no mutant changes. `spatial_til` itself must not be among it.
LIBRARIES = (
    "pytest", "hypothesis", "numpy", "scipy.stats", "scipy.spatial", "scipy.sparse.csgraph", "scipy.ndimage",
    "scipy.optimize", "scipy.interpolate", "shapely", "numba", "pandas", "pyarrow", "cv2", "contourpy", "pydantic",
    "statsmodels.stats.api", "statsmodels.stats.proportion", "esda", "libpysal", "matplotlib.figure",
    "skimage.measure", "tifffile", "zarr", "sklearn.ensemble",
)  # fmt: skip
SLOWEST_S = 120.0
MEMORY_BYTES = 12 * 1024**3
#: Only the plugins that these tests need: those of the viewer start a screen each time.
PLUGINS = ("pytest_timeout", "_hypothesis_pytestplugin", "no:cacheprovider")
QUIET = [word for name in PLUGINS for word in ("-p", name)] + ["-q", "-x", "--timeout=0"]
QUIET += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]


class Outcome(NamedTuple):
    status: str  # killed, survived, broken
    seconds: float
    killer: str  # the first test that failed


def load_libraries() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    assert "spatial_til" not in sys.modules


class Clock:
    """A pytest plugin: a test that takes more CPU seconds than it is allowed ends the process, compiled loop or not."""

    def __init__(self, allowed_s: Mapping[str, float]) -> None:
        self.allowed_s = allowed_s

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        signal.setitimer(signal.ITIMER_PROF, self.allowed_s.get(item.nodeid, SLOWEST_S))
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)


def run_tests(copy: Path, allowed_s: Mapping[str, float], *, cache: Path, log: Path, warm: bool = False) -> Outcome:
    """Run tests in `copy`, stopping at the first that fails.

    Parameters
    ----------
    copy
        The folder that holds the mutated package.
    allowed_s
        Node ids in the order to run, and the CPU seconds that each may take.
    cache
        Folder of numba's compiled kernels. A changed kernel needs an empty one: callers compile it in.
    warm
        Only import the tests, and keep their compiled form, so that each mutant does not do it again.
    """
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        _test_and_exit(copy, allowed_s, cache, log, warm=warm)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seconds = time.perf_counter() - start
    if code == 0:
        return Outcome("survived", seconds, "")
    if code == -signal.SIGPROF:
        return Outcome("killed", seconds, "a test went on and on")
    text = log.read_text(encoding="utf-8", errors="replace")
    failed = [line.split(" ")[1] for line in text.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    # 2 to 4: the tests, which run without the change, cannot even be imported with it
    killed = failed or code < 0 or code in {1, 2, 3, 4}
    return Outcome("killed" if killed else "broken", seconds, failed[0] if failed else f"exit {code}")


def _test_and_exit(copy: Path, allowed_s: Mapping[str, float], cache: Path, log: Path, *, warm: bool) -> NoReturn:
    code = 70
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(copy)
        sys.path[:] = [str(copy), *(p for p in sys.path if p and not (Path(p) / "spatial_til").is_dir())]
        os.environ |= {"PYTHONPATH": str(copy), "NUMBA_CACHE_DIR": str(cache), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        sys.dont_write_bytecode = not warm
        import hypothesis
        import numba

        numba.config.CACHE_DIR = str(cache)
        hypothesis.settings.register_profile("mutants", derandomize=True, database=None, max_examples=20, deadline=None)
        hypothesis.settings.load_profile("mutants")
        options = [*QUIET, *(["--collect-only"] if warm else [])]
        code = int(pytest.main([*options, *allowed_s], [Clock(allowed_s)]))
        import spatial_til

        assert Path(spatial_til.__file__).is_relative_to(copy), spatial_til.__file__
    except BaseException:  # noqa: BLE001 - a child must end here, whatever a mutant raised
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def forget(path: Path) -> None:
    """Delete the compiled form of one source file: its stamp cannot tell two writes of one second apart."""
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def kernels_without(mutant: Mutant, copy: Path, warm: Path, fresh: Path) -> Path:
    """Return a cache of compiled kernels without those of the mutated module and of modules that import from it."""
    changed = mutant.file.removesuffix(".py").replace("/", ".")
    users = (
        p for p in (copy / "spatial_til").rglob("*.py") if f"from {changed} import" in p.read_text(encoding="utf-8")
    )
    stale = {Path(mutant.file).stem, *(p.stem for p in users)}
    cache = fresh / "numba"
    if warm.is_dir():
        shutil.copytree(
            warm, cache, ignore=lambda _, names: [n for n in names if n.partition(".")[0] in stale and ".nb" in n]
        )
    return cache


def copy_of(root: Path, folder: Path) -> Path:
    """Return a private copy of what the tests need."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    names = [p for p in root.iterdir() if not p.name.startswith(".") and p.name not in {"demo_results", "notebooks"}]
    copy.mkdir(parents=True)
    for path in names:
        if path.is_dir():
            shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
        else:
            shutil.copy2(path, copy / path.name)
    shared, beside = root.parent / "shared", folder / "shared"
    if shared.is_dir() and not beside.exists():
        beside.symlink_to(shared.resolve())  # the tests on real data look beside the checkout
    return copy
