"""Run the tests as another machine would: in a fresh virtual environment, on a wheel, from another folder.

    python .ci/clean_room.py wheel|lowest|newest [--python PYTHON] [pytest arguments]

`wheel` installs the built wheel with the versions of constraints.txt, `lowest` with the lowest versions that
pyproject.toml allows, `newest` with the newest there are. The tests, and what they read, are copied beside it: the
checkout is not on the path. Home and caches are new and empty; `lowest` fails where a bound of pyproject.toml cannot
be had, so that the bounds say what is tested. The viewer is left out: its tests skip. Needs nothing but Python; uv,
which knows how to find the lowest versions, goes into the fresh environment.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("tests", "benchmarks", "sample_slides", "notebooks", "docs", "pyproject.toml", "conftest.py", "README.md")
ONLY_SOURCE = shutil.ignore_patterns("__pycache__", "*.nbc", "*.nbi", ".*")


def run(*command: object, **options: object) -> None:
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, **options)  # type: ignore[call-overload]


def bounds() -> dict[str, str]:
    """Return the lowest version that pyproject.toml allows of every package that is always installed."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return dict(re.fullmatch(r"([\w.-]+)>=([\w.]+)", text).groups() for text in asked)  # type: ignore[union-attr]


def resolve(uv: Path, how: str, out: Path, python: Path) -> Path:
    """Write exact versions of the package's requirements and the tests' to a file."""
    project = ROOT / "pyproject.toml"
    strategy = {"lowest": "lowest-direct", "newest": "highest"}[how]
    run(uv, "pip", "compile", "-q", project, "--group", f"{project}:test", "--resolution", strategy, "--python", python,
        "--only-binary", ":all:", "--no-header", "--no-annotate", "-o", out, stdout=subprocess.DEVNULL)  # fmt: skip
    return out


def raised(versions: Path) -> list[str]:
    """Return the bounds that no environment with the test group can have."""
    found = dict(line.split("==") for line in versions.read_text().split() if "==" in line)
    return [
        f"{name}>={low}: {found[name]} is the lowest that goes with the rest"
        for name, low in bounds().items()
        if not f"{found[name]}.".startswith(f"{low}.")
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("how", choices=("wheel", "lowest", "newest"))
    parser.add_argument("--python", default=sys.executable)
    options, pytest_arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="spatial-til-") as name:
        folder = Path(name)
        home = folder / "home"
        home.mkdir()
        os.environ |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "NUMBA_CACHE_DIR": str(home / "numba")}
        os.environ.pop("PYTHONPATH", None)
        run(options.python, "-m", "venv", folder / "venv")
        python = folder / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pip>=25.1", "uv")
        run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
        (wheel,) = folder.glob("*.whl")
        if options.how == "wheel":
            versions = ROOT / "constraints.txt"
            run(
                python,
                "-m",
                "pip",
                "install",
                "-q",
                "-c",
                versions,
                wheel,
                "--group",
                f"{ROOT / 'pyproject.toml'}:test",
            )
        else:
            uv = python.with_name("uv")
            versions = resolve(uv, options.how, folder / "versions.txt", python)
            run(uv, "pip", "install", "-q", "--python", python, wheel, "-r", versions)
            if options.how == "lowest" and (wrong := raised(versions)):
                print("bounds of pyproject.toml that cannot be had:", *wrong, sep="\n  ")
                return 1
            print(versions.read_text())
        for part in COPIED:
            source, target = ROOT / part, folder / "elsewhere" / part
            target.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=ONLY_SOURCE)
            else:
                shutil.copyfile(source, target)
        where = {"cwd": folder / "elsewhere"}
        run(
            python,
            "-c",
            "import spatial_til; print(spatial_til.__file__); assert 'elsewhere' not in spatial_til.__file__",
            **where,
        )
        # What other packages of other years deprecate in each other is no fault here; what we call is.
        ours = [] if options.how == "wheel" else ["-o", "filterwarnings=default\nerror:::spatial_til"]
        return subprocess.run([python, "-m", "pytest", *ours, *pytest_arguments], check=False, **where).returncode


if __name__ == "__main__":
    sys.exit(main())
