"""``make validation``: VALIDATION.md, from the code and the data present.

    python -m benchmarks.validation [--quick] [--work DIR] [--results DIR] [--out VALIDATION.md]

Slow parts are kept under `--work` and used again while the code they rest on is the same, so that the command can be
stopped and goes on. `--results` names a folder with what other commands measured (fuzz.json, soak.json, stress.txt,
mutants.json, coverage.json, speed.txt, memory.txt); what is not there is said to be not run. `--quick` takes two or
three minutes and is no validation: it shows that the pieces assemble.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from benchmarks.validation import closed_forms, intervals, invariance, measured, phantom_fields, real_data
from benchmarks.validation.page import ROOT, Run, Section, table

SECTIONS: Mapping[str, Callable[[Run], Section]] = {
    "kinds": phantom_fields.kinds,
    "sweeps": phantom_fields.sweeps,
    "real": real_data.fields,
    "published": real_data.published,
    "closed": closed_forms.section,
    "intervals": intervals.intervals,
    "courses": intervals.courses,
    "invariance": invariance.section,
    "faults": measured.faults,
    "speed": measured.speed,
}
LEFT = {
    "kinds": "Synthetic fields by kind of slide",
    "sweeps": "Accuracy against stain strength, crowding, blur, noise, JPEG quality and pixel size",
    "real": "Real fields",
    "published": "Published figures",
    "closed": "Closed forms",
    "intervals": "Intervals",
    "courses": "Trajectories",
    "invariance": "Invariance",
    "faults": "Faults survived",
    "speed": "Speed and memory",
}
LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-image",
    "opencv-python-headless",
    "numba",
    "shapely",
    "tifffile",
    "imagecodecs",
    "zarr",
    "pandas",
    "pyarrow",
)
PURPOSE = """**Research software.** It gives no diagnosis and is no medical device. What stands here says how the code
behaves on synthetic slides with known truth and on a few public fields; it does not show that a cut-off, a class or a
call is right for a patient, a stain or a scanner. Check the overlays and histograms of your own slides."""
STANDING = (
    (
        "No cut-off was validated clinically: 295 CD8+ per mm² comes from one published cohort, the others are "
        "project defaults."
    ),
    (
        "Synthetic fields are painted by this project. Real stain, crowding and pigment differ, and accuracy on "
        "your slides may be lower."
    ),
    "No trained network (StarDist, Cellpose, InstanSeg) was tried; no real NDPI, SCN, BIF or MRXS file was at hand.",
)


def page(sections: list[Section], *, quick: bool, left: int = 0) -> str:
    """Return the page: what is not reached first, then what was found."""
    bars = [bar for section in sections for bar in section.bars]
    missed = [bar for bar in bars if not bar.reached]
    parts = ["# Validation", PURPOSE, _made(quick=quick), "## What it does not reach"]
    if left:
        parts.append(
            f"**Incomplete: {left} of {len(SECTIONS)} parts were not run for this page and have bars of their own, "
            "some of which are known to be missed** (docs/segmentation.md). Of the parts that were run:"
        )
    parts.append(f"{len(missed)} of {len(bars)} bars are missed:" if missed else f"All {len(bars)} bars are reached.")
    if missed:
        parts.append(table(("what", "wanted", "found"), [(b.what, b.wanted, f"**{b.found}**") for b in missed]))
    limits = [limit for section in sections for limit in section.limits]
    parts += ["And, without a bar:", "\n".join(f"- {limit}" for limit in [*STANDING, *limits])]
    parts += [
        "## What it reaches",
        table(("what", "wanted", "found"), [(b.what, b.wanted, b.found) for b in bars if b.reached]),
    ]
    for section in sections:
        parts += [f"## {section.title}", section.text]
    return "\n\n".join(parts) + "\n"


def _made(*, quick: bool) -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    memory_gib = psutil.virtual_memory().total / 2**30
    machine = f"{platform.system()}, {platform.machine()}, {psutil.cpu_count()} cores, {memory_gib:.0f} GiB"
    warning = " **Made with `--quick`: too few fields and repeats to rest anything on.**" if quick else ""
    return (
        f"Made by `make validation` on {datetime.now(UTC).date()} from {_commit()}; spatial_til "
        f"{metadata.version('spatial-til')}, Python {platform.python_version()}, {versions}; "
        f"{machine}.{warning} Do not edit: the command writes it anew."
    )


def _commit() -> str:
    def said(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    head = said("rev-parse", "--short", "HEAD")
    changed = said("status", "--porcelain", "--", "spatial_til", "benchmarks")
    return (f"commit {head}" if head else "a folder without a commit") + (" with changes" if changed else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work", type=Path, default=ROOT / ".validation", help="keeps slow results")
    parser.add_argument("--results", type=Path, help="what other commands measured")
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images" / "validation")
    parser.add_argument("--out", type=Path, default=ROOT / "VALIDATION.md")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    options = parser.parse_args()
    run = Run(options.work, options.images, options.results, quick=options.quick)
    sections = []
    for name in options.only:
        start = time.perf_counter()
        sections.append(SECTIONS[name](run))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    left = [name for name in SECTIONS if name not in options.only]
    if left:
        limits = tuple(f"{LEFT[name]}: not run for this page." for name in left)
        sections.append(Section("Left out", "By `--only`: " + ", ".join(LEFT[n] for n in left) + ".", limits=limits))
    options.out.write_text(page(sections, quick=options.quick, left=len(left)), encoding="utf-8")
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
