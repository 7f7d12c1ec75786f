"""How well small slides fill the workers, and how long comparing a large study takes.

    python -m benchmarks.throughput [--slides 200] [--broken 5] [--workers 2] [--compared 2000]

Throughput: the wall time of a study of small slides, some of them broken, against the time that one slide
takes alone (the stages' own seconds in a run with one worker, median of a sample) times slides, over workers.
1.0 is twice one slide alone with two workers; the budget is 1.15. The machine must be left alone: where it
is not, the share of the workers' time that went into slides still tells how well they are kept busy.
Compare: stored scores of a study, copied to many patients, read and turned into tables; budget 60 s.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from spatial_til.batch.estimate import estimate
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.scores import read_score
from spatial_til.pipeline.compare import compare
from spatial_til.protocol import load_protocol
from spatial_til.study import load_study
from tests.batch_study import command, make_study, table

SAMPLE = 12
SIDE_UM = 600.0
BUDGET, COMPARE_BUDGET_S = 1.15, 60.0


def score(sheet: Path, out: Path, workers: int) -> float:
    """Score a study and return the seconds from start to end."""
    start = time.perf_counter()
    done = subprocess.run(command("score", sheet, "--out", out, "--workers", workers), capture_output=True, check=False)
    if done.returncode == 2:
        raise SystemExit(done.stderr.decode())
    return time.perf_counter() - start


def stage_seconds(out: Path) -> list[float]:
    """Return what each slide took in all its stages."""
    slides = json.loads((out / "run.json").read_text())["slides"]
    times = [[s["seconds"] for s in slide["stages"].values()] for slide in slides.values() if slide["stages"]]
    return [sum(t) for t in times]


def throughput(folder: Path, slides: int, broken: int, workers: int) -> float:
    """Return wall time of the study over the time its slides need by themselves, spread over the workers."""
    score(make_study(folder / "warm", 2, SIDE_UM), folder / "warm-out", 1)
    score(make_study(folder / "few", SAMPLE, SIDE_UM), folder / "few-out", 1)
    alone = sorted(stage_seconds(folder / "few-out"))[SAMPLE // 2]
    sheet = make_study(folder / "many", slides, SIDE_UM, broken)
    said = estimate(load_study(sheet).jobs, workers).seconds
    wall = score(sheet, folder / "many-out", workers)
    print(f"estimated {said:.0f} s, took {wall:.0f} s: {said / wall:.2f} of it (budget 0.5 to 2)")
    failed = len(table(folder / "many-out" / "errors.csv"))
    ratio = wall / ((slides - broken) * alone / workers)
    filled = sum(stage_seconds(folder / "many-out")) / (wall * workers)
    print(f"one slide alone: {alone:.2f} s (median of {SAMPLE} in a worker that does nothing else)")
    print(f"{slides} slides, {failed} failed, {workers} workers: {wall:.1f} s, {ratio:.2f} of ideal (budget {BUDGET})")
    print(f"  {100 * filled:.0f} % of the workers' time, from start to end, went into slides")
    return ratio


def comparing(folder: Path, wanted: int) -> float:
    """Return the seconds of reading and comparing many stored scores."""
    scored = ScoredFolder(folder / "many-out")
    known = [row["slide_id"] for row in table(scored.tables / "slide_scores.csv")]
    many = ScoredFolder(folder / "compare")
    many.score("x").parent.mkdir(parents=True)
    for k in range(wanted):
        text = scored.score(known[k % len(known)]).read_text()
        old = json.loads(text)["meta"]
        new = old | {
            "slide_id": f"C{k:05d}",
            "patient_id": f"P{k // 2:05d}",
            "timepoint": ("baseline", "on_treatment")[k % 2],
            "response": ("yes", "no")[k // 2 % 2],
        }
        values = json.loads(text) | {"meta": new}
        for tiles in values["tiles"].values():
            tiles["slide_id"] = new["slide_id"]
        many.score(new["slide_id"]).write_text(json.dumps(values))
    start = time.perf_counter()
    scores = [read_score(path).score for path in sorted((many.root / "scores").iterdir())]
    read = time.perf_counter() - start
    rows = compare(scores, load_protocol(folder / "many" / "protocol.toml"))
    seconds = time.perf_counter() - start
    print(f"compare {wanted} slides: {seconds:.1f} s, {read:.1f} s of them reading (budget {COMPARE_BUDGET_S:.0f})")
    print(f"  {len(rows.transitions)} transitions, {len(rows.patients)} patients, {len(rows.cohort)} comparisons")
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--broken", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--compared", type=int, default=2000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        ratio = throughput(folder, options.slides, options.broken, options.workers)
        seconds = comparing(folder, options.compared)
    finally:
        shutil.rmtree(folder)
    return int(ratio > BUDGET or seconds > COMPARE_BUDGET_S)


if __name__ == "__main__":  # worker processes import this file
    sys.exit(main())
