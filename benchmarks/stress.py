"""Kill a run at random moments, go on, and compare the folder with that of a run nobody touched.

    python -m benchmarks.stress [--kills 100] [--seed 0] [--workers 1]

Each kill has a fresh folder: the run gets SIGKILL at a moment drawn evenly from the length of an
uninterrupted run, is started again, and its folder must equal the reference byte for byte; of
run.json all but times and memory. Exit status 1 where one differs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.batch_study import command, contents, make_study


def kill_and_resume(sheet: Path, out: Path, after_s: float, workers: int) -> str:
    """Start a run, kill it after some seconds, run again; return what the kill met."""
    score = command("score", sheet, "--out", out, "--workers", workers)
    started = subprocess.Popen(score, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    os.kill(started.pid, signal.SIGKILL)
    killed = started.wait() == -signal.SIGKILL
    left = sum(1 for p in out.rglob("*") if p.is_file()) if out.exists() else 0
    again = subprocess.run(score, capture_output=True, text=True, check=False)
    if again.returncode:
        msg = f"the second run failed with status {again.returncode}: {again.stderr}"
        raise SystemExit(msg)
    return f"killed with {left} files" if killed else "had ended"


def differences(one: Path, other: Path) -> list[str]:
    """Return the files in which two scored folders differ."""
    a, b = contents(one), contents(other)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    rng, bad = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sheet = make_study(folder / "study", slides=2)
        subprocess.run(command("score", sheet, "--out", folder / "warm", "--quiet"), check=True, capture_output=True)
        start = time.perf_counter()
        reference = folder / "reference"
        score = command("score", sheet, "--out", reference, "--workers", options.workers)
        subprocess.run(score, check=True, capture_output=True)
        length = time.perf_counter() - start
        for k in range(options.kills):
            out, moment = folder / "killed", rng.uniform(0, length)
            said = kill_and_resume(sheet, out, moment, options.workers)
            wrong = differences(reference, out)
            bad += bool(wrong)
            print(f"{k + 1:3} at {moment:5.1f} of {length:.1f} s, {said}: {wrong or 'equal'}", flush=True)
            shutil.rmtree(out)
    print(f"{options.kills - bad} of {options.kills} folders equal the uninterrupted run")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
