"""What `check --estimate` says of a study against what scoring it takes: time and memory, budget 0.5 to 2.

    python -m benchmarks.estimate_bench

Both are whole commands, one after the other, as a user waits for them: on a machine with other work both see it,
but not always the same of it.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.batch_study import command, make_study

#: Name -> slides and their side in µm.
STUDIES = {"tiny": (4, 300.0), "small": (8, 600.0), "larger": (3, 2500.0)}
WORKERS = 2
_LINE = re.compile(r"estimate: (?:(\d+) h )?(?:(\d+) min )?(?:(\d+) s )?with \d+ workers?, (\d+) MiB each")


class Compared(NamedTuple):
    """What was said, and what it took."""

    said_s: float
    took_s: float
    said_mib: float
    peak_mib: float


def estimated_and_taken(folder: Path, slides: int, side_um: float, workers: int = WORKERS) -> Compared:
    """Estimate a study, then score it."""
    sheet = make_study(folder / "in", slides, side_um)
    said = subprocess.run(
        command("check", sheet, "--estimate", "--workers", workers), capture_output=True, text=True, check=True
    )
    words = _LINE.search(said.stdout)
    if words is None:
        raise SystemExit(said.stdout)
    hours, minutes, seconds, mib = (float(text or 0) for text in words.groups())
    start = time.perf_counter()
    scored = command("score", sheet, "--out", folder / "out", "--workers", workers)
    subprocess.run(scored, capture_output=True, check=True)
    took = time.perf_counter() - start
    stages = [s["stages"] for s in json.loads((folder / "out" / "run.json").read_text())["slides"].values()]
    peak = max(stage["peak_mib"] for of_slide in stages for stage in of_slide.values())
    return Compared(3600 * hours + 60 * minutes + seconds, took, mib, peak)


def run() -> str:
    """Return a line for each study."""
    lines = []
    for name, (slides, side_um) in STUDIES.items():
        with tempfile.TemporaryDirectory() as folder:
            found = estimated_and_taken(Path(folder), slides, side_um)
        lines.append(
            f"{name}, {slides} slides of {side_um:g} µm: said {found.said_s:.0f} s, took {found.took_s:.0f} s"
            f" ({found.said_s / found.took_s:.2f}); said {found.said_mib:.0f} MiB, peak {found.peak_mib:.0f} MiB"
            f" ({found.said_mib / found.peak_mib:.2f})"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(run())
