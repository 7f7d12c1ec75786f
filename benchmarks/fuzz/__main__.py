"""Damage valid files in every way we can think of, and see that each is read or refused, and nothing else.

    python -m benchmarks.fuzz [--inputs 110000] [--seed 0] [--workers 2] [--only NAME ...] [--json PATH]
    python -m benchmarks.fuzz --show NAME INDEX         one input again, with its traceback

A parser may give a result or one of our errors. Another exception, more than 10 s of the processor, more than 1 GiB
beyond what the process held, or its death is a fault. An input depends on seed, parser and number alone.
Exit status 1 where there is a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # address space is limited, and an arena takes much of it

from benchmarks.fuzz.pool import Task, run
from benchmarks.fuzz.targets import TARGETS, Target
from benchmarks.fuzz.worker import Tally, place_of

CHUNK = 250


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=110_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=[t.name for t in TARGETS], metavar="NAME")
    parser.add_argument("--show", nargs=2, metavar=("NAME", "INDEX"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        if options.show:
            return _show(Path(name), options.seed, *options.show)
        chosen = [t for t in TARGETS if not options.only or t.name in options.only]
        start = time.perf_counter()
        tallies = fuzz(chosen, options.inputs, options.seed, options.workers, Path(name))
        seconds = time.perf_counter() - start
    return _told(tallies, seconds, options)


def fuzz(targets: list[Target], inputs: int, seed: int, workers: int, folder: Path) -> dict[str, Tally]:
    """Return what the inputs of each parser came to."""
    parts = sum(target.share for target in targets)
    tasks: list[Task] = []
    for target in targets:
        made = folder / "made" / target.name.replace("/", "-")
        made.mkdir(parents=True)
        names = target.make(made)
        n = -(-inputs * target.share // parts)
        tasks += [(target.name, names, at, min(at + CHUNK, n)) for at in range(0, n, CHUNK)]
    tallies = {target.name: Tally() for target in targets}

    def told(task: Task, tally: Tally) -> None:
        tallies[task[0]].add(tally)

    run(tasks, workers, folder / "made", folder / "scratch", seed, told)
    return tallies


def _told(tallies: dict[str, Tally], seconds: float, options: argparse.Namespace) -> int:
    rows = []
    for name, tally in tallies.items():
        n = tally.results + tally.refused + len(tally.faults)
        rows.append((name, n, tally.results, tally.refused, len(tally.faults), tally.slowest_s, tally.most_mib))
    last = [max(row[k] for row in rows) for k in (5, 6)]
    rows.append(("all", *(sum(row[k] for row in rows) for k in range(1, 5)), *last))
    print(f"{'parser':20} {'inputs':>8} {'results':>8} {'refused':>8} {'faults':>7} {'slowest s':>10} {'most MiB':>9}")
    for name, n, results, refused, faults, slowest, most in rows:
        print(f"{name:20} {n:8} {results:8} {refused:8} {faults:7} {slowest:10.2f} {most:9.0f}")
    print(f"seed {options.seed}, {options.workers} workers, {seconds:.0f} s")
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    for (target, kind, what), n in Counter((f.target, f.kind, f.what) for f in faults).most_common():
        first = min(f.index for f in faults if (f.target, f.kind, f.what) == (target, kind, what))
        print(f"{n:5} x {target}, {kind}: {what} (input {first})")
    if options.json:
        names = ("parser", "inputs", "results", "refused", "faults", "slowest_s", "most_mib")
        table = [dict(zip(names, row, strict=True)) for row in rows]
        told = {"seed": options.seed, "seconds": round(seconds), "table": table}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return int(bool(faults))


def _show(folder: Path, seed: int, name: str, index: str) -> int:
    target = next(t for t in TARGETS if t.name == name)
    (folder / "made").mkdir()
    place = place_of(target, target.make(folder / "made"), folder / "made", folder / "placed")
    path, data = place.damaged(seed, int(index))
    path.write_bytes(data)
    print(f"{path.relative_to(folder / 'placed')}, {len(data)} bytes: {data[:2000]!r}")
    target.read(path)
    print("a result")
    return 0


if __name__ == "__main__":  # worker processes import this file
    sys.exit(main())
