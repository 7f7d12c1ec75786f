"""Many small slides in one run: does anything grow? Memory, open files and temporary files, every fifty slides.

    python -m benchmarks.soak [--slides 500] [--workers 2] [--every 50] [--json PATH]

What is sampled is the run and all its processes, from outside: the memory that only they hold (USS), open file
descriptors, threads, and files in the folder for temporary ones, which is the run's own. Growth is the median of the
last third of the samples over that of the first third after the first sample, in which compiled kernels are loaded.
Threads are the most seen since the sample before: pools of one slide come and go, and a moment meets one or none.
Exit status 1 where memory grows by more than 10 %, or where files, descriptors or threads grow at all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import psutil

from tests.batch_study import command, make_study, table

SIDE_UM = 150.0
GROWTH = 0.10


@dataclass(frozen=True, slots=True)
class Sample:
    """What a run holds at one moment; `slides` are those whose measuring or scoring has ended.

    `threads` are the most since the sample before.
    """

    stage: str
    slides: int
    processes: int
    memory_mib: float
    descriptors: int
    threads: int
    temporary: int


def sample(run: psutil.Process, out: Path, scratch: Path) -> Sample:
    """Return what a run and its processes hold now."""
    memory, descriptors, threads, n = 0.0, 0, 0, 0
    for process in [run, *run.children(recursive=True)]:
        try:
            memory += process.memory_full_info().uss / 2**20
            descriptors += process.num_fds()
            threads += process.num_threads()
            n += 1
        except psutil.Error:  # ended meanwhile
            continue
    measured, scored = (
        len(list((out / name).glob(of))) for name, of in (("measured", "*.parquet"), ("scores", "*.json"))
    )
    parts = sum(1 for _ in out.rglob(".*.part*"))
    left = sum(1 for path in scratch.rglob("*") if path.is_file()) + parts
    return Sample("score" if scored else "measure", scored or measured, n, memory, descriptors, threads, left)


def watched(sheet: Path, out: Path, scratch: Path, workers: int, every: int) -> Iterator[Sample]:
    """Score a study and yield a sample each time another `every` slides are done."""
    environment = os.environ | {"TMPDIR": str(scratch)}
    started = command("score", sheet, "--out", out, "--workers", workers, "--quiet")
    with subprocess.Popen(started, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        process = psutil.Process(run.pid)
        due = {"measure": every, "score": every}
        threads = {"measure": 0, "score": 0}
        while run.poll() is None:
            time.sleep(0.5)
            try:
                found = sample(process, out, scratch)
            except psutil.Error:
                break
            threads[found.stage] = max(threads[found.stage], found.threads)
            if found.slides >= due[found.stage]:
                due[found.stage] = found.slides + every
                yield replace(found, threads=threads[found.stage])
                threads[found.stage] = 0


def growth(samples: list[Sample], name: str) -> float:
    """Return by what share a figure grew over a stage; the first sample is of processes that still begin."""
    values = [float(getattr(s, name)) for s in samples][1:]
    third = max(1, len(values) // 3)
    if len(values) < 2:
        return 0.0
    first, last = median(values[:third]), median(values[-third:])
    return last / first - 1 if first else last


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slides", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        scratch = folder / "tmp"
        scratch.mkdir()
        sheet = make_study(folder / "study", options.slides, SIDE_UM)
        samples = []
        print(
            f"{'stage':8} {'slides':>6} {'processes':>9} {'MiB':>8} {'files open':>10} {'threads':>7} {'temporary':>9}"
        )
        for s in watched(sheet, folder / "out", scratch, options.workers, options.every):
            samples.append(s)
            held = f"{s.processes:9} {s.memory_mib:8.0f} {s.descriptors:10} {s.threads:7} {s.temporary:9}"
            print(f"{s.stage:8} {s.slides:6} {held}", flush=True)
        scored = len(table(folder / "out" / "tables" / "slide_scores.csv"))
        left = sum(1 for path in scratch.rglob("*") if path.is_file())
    grown = {}
    for stage in ("measure", "score"):
        of = [s for s in samples if s.stage == stage]
        grown |= {f"{stage} {what}": growth(of, what) for what in ("memory_mib", "descriptors", "threads")}
    print(f"{scored} of {options.slides} slides scored, {left} temporary files left")
    for what, share in grown.items():
        print(f"{what}: {share:+.1%}")
    bad = scored < options.slides or left or any(v > (GROWTH if "memory" in k else 0) for k, v in grown.items())
    if options.json:
        told = {"slides": scored, "left": left, "growth": grown, "samples": [asdict(s) for s in samples]}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
