"""Kill a run at random moments, go on, and compare the folder with that of a run nobody touched.

    python -m benchmarks.stress [--kills 100] [--seed 0] [--workers 1]

Each kill has a fresh folder. The moment is drawn by progress, so that the start of Python takes no more of the
kills than a write of a file does: the run gets SIGKILL once its folder holds a number of files drawn from none to
all but the last, and a random part of the usual time between two files later. It is started again, and its folder
must equal the reference byte for byte; of run.json all but times and memory. Exit status 1 where one differs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.batch_study import command, contents, files, kill, make_study, run


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
    rng, bad, live = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sheet = make_study(folder / "study", slides=2)
        run("score", sheet, "--out", folder / "warm", "--quiet").check_returncode()
        start, reference, out = time.perf_counter(), folder / "reference", folder / "killed"
        run("score", sheet, "--out", reference, "--workers", options.workers).check_returncode()
        total = files(reference)
        apart_s = (time.perf_counter() - start) / total
        score = command("score", sheet, "--out", out, "--workers", options.workers)
        for k in range(options.kills):
            wanted = rng.randrange(total)
            with subprocess.Popen(score, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
                hit = kill(started, out, wanted, rng.uniform(0, apart_s))
            left = files(out)
            run(*score[3:]).check_returncode()
            wrong = differences(reference, out)
            live, bad = live + hit, bad + bool(wrong)
            said = f"killed with {left} of {total} files" if hit else "had ended"
            print(f"{k + 1:3} {said}: {wrong or 'equal'}", flush=True)
            shutil.rmtree(out)
    print(f"{live} of {options.kills} kills met a run at work")
    print(f"{options.kills - bad} of {options.kills} folders equal the uninterrupted run")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
