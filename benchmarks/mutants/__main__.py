"""``make mutants``: would the tests notice if geometry or metrics computed something else?

    python -m benchmarks.mutants [--n 200] [--seed 0] [--work DIR] [--json PATH]

Draws mutants of `spatial_til/geometry/` and `spatial_til/metrics/` evenly among all there are, applies each in a
private copy and runs the tests that reach the changed line, the quickest first, until one fails or 90 s of them have
passed. Which tests reach which line is measured once. A line that no test reaches counts as survived. Those in
`equivalent.toml` change no result, and it says why; the share killed leaves them out. Exit status 1 where it is below
the bar. With `--json` the command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from benchmarks.mutants.mutate import Mutant, mutants_of
from benchmarks.mutants.run import Outcome, copy_of, forget, kernels_without, load_libraries, run_tests

ROOT = Path(__file__).parents[2]
BAR = 0.9
#: A mutant survives when it has passed so many seconds of tests, the quickest first: what kills does so in far less.
ENOUGH_S = 90.0
#: CPU seconds that a test may take: these, more where kernels are compiled anew, and twice what it took unchanged.
LONGEST_S, COMPILING_S = 10.0, 40.0


def all_mutants(root: Path) -> list[Mutant]:
    files = (path for part in ("geometry", "metrics") for path in sorted((root / "spatial_til" / part).rglob("*.py")))
    return [mutant for path in files for mutant in mutants_of(path, root)]


def equivalents() -> Mapping[str, str]:
    """Return why a mutant changes no result, by its key."""
    listed = tomllib.loads(Path(__file__).with_name("equivalent.toml").read_text(encoding="utf-8"))
    return {entry["mutant"]: entry["why"] for entry in listed["equivalent"]}


def tests_for(mutant: Mutant, covering: Mapping[str, dict[str, dict[str, list[str]]]]) -> list[str]:
    """Return the tests that reach a mutant, quickest first, as many as `ENOUGH_S` holds.

    Coverage does not see inside a compiled kernel, and what runs at import belongs to no test: there it is
    the tests that reach anything of the module.
    """
    seconds, lines = covering["seconds"], covering["lines"].get(mutant.file, {})
    ran = [lines[str(line)] for line in range(mutant.statement[0], mutant.statement[1] + 1) if str(line) in lines]
    tests = {test for line in ran for test in line}
    if mutant.compiled or (ran and not tests):
        tests = {test for line in lines.values() for test in line}
    quickest = sorted(tests, key=lambda test: (seconds.get(test, 0.0), test))
    taken = accumulate(seconds.get(test, 0.0) for test in quickest)
    return [test for test, total in zip(quickest, taken, strict=True) if total <= ENOUGH_S or test == quickest[0]]


def main() -> int:
    options = _options()
    work: Path = options.work or Path(tempfile.mkdtemp(prefix="mutants-"))
    work.mkdir(parents=True, exist_ok=True)
    copy = copy_of(ROOT, work)
    covering_path = work / "covering.json"
    if not covering_path.exists():
        command = [sys.executable, "-m", "benchmarks.mutants.covering", str(covering_path)]
        subprocess.run(command, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)}, check=True)
    covering = json.loads(covering_path.read_text(encoding="utf-8"))
    population = all_mutants(copy)
    sample = random.Random(options.seed).sample(population, options.n)
    print(f"{len(sample)} of {len(population)} mutants, seed {options.seed}", flush=True)
    load_libraries()
    files = sorted({test.partition("::")[0] for test in covering["seconds"]})
    run_tests(copy, dict.fromkeys(files, 0.0), cache=work / "numba", log=work / "warm.log", warm=True)
    done = _done(options.json)
    why = equivalents()
    rows = []
    for k, mutant in enumerate(sample, start=1):
        row = done.get(mutant.key) or _row(mutant, _try(mutant, copy, work, covering))
        if row["status"] == "survived" and mutant.key in why:
            row |= {"status": "equivalent", "why": why[mutant.key]}
        rows.append(row)
        print(f"{k:4} {row['status']:10} {mutant.file}:{mutant.line} {_short(mutant)}", flush=True)
        if options.json:
            _keep(options.json, summary(rows, options.seed, len(population)))
    found = summary(rows, options.seed, len(population))
    _print(found)
    return int(found["share_killed"] < BAR)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=lambda name: Path(name).resolve(), help="keeps what tests reach which line")
    parser.add_argument(
        "--json", type=lambda name: Path(name).resolve(), help="where the outcomes are kept, and gone on from"
    )
    return parser.parse_args()


def _keep(path: Path, found: Mapping[str, object]) -> None:
    """Write the outcomes, whole or not at all: the next run goes on from them."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1), encoding="utf-8")
    part.replace(path)


def _done(path: Path | None) -> dict[str, dict[str, object]]:
    if path is None or not path.exists():
        return {}
    return {row["mutant"]: row for row in json.loads(path.read_text(encoding="utf-8"))["mutants"]}


def _try(mutant: Mutant, copy: Path, work: Path, covering: Mapping[str, dict[str, dict[str, list[str]]]]) -> Outcome:
    """Return what the tests say of one mutant."""
    tests = tests_for(mutant, covering)
    if not tests:
        return Outcome("survived", 0.0, "no test reaches it")
    least = COMPILING_S if mutant.compiled else LONGEST_S
    allowed_s = {test: least + 2 * covering["seconds"].get(test, 0.0) for test in tests}
    path = copy / mutant.file
    text, times = path.read_text(encoding="utf-8"), path.stat()
    with tempfile.TemporaryDirectory(dir=work) as fresh:
        cache = kernels_without(mutant, copy, work / "numba", Path(fresh)) if mutant.compiled else work / "numba"
        path.write_text(mutant.apply(text), encoding="utf-8")
        forget(path)
        try:
            return run_tests(copy, allowed_s, cache=cache, log=work / "last.log")
        finally:
            path.write_text(text, encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            forget(path)


def _row(mutant: Mutant, outcome: Outcome) -> dict[str, object]:
    return {
        "mutant": mutant.key, "file": mutant.file, "line": mutant.line, "kind": mutant.kind, "status": outcome.status,
        "seconds": round(outcome.seconds, 2), "killer": outcome.killer,
    }  # fmt: skip


def _short(mutant: Mutant) -> str:
    old, new = (" ".join(side.split()) for side in (mutant.old, mutant.new))
    return f"{old}  ->  {new}"


def summary(rows: Sequence[dict[str, object]], seed: int, population: int) -> dict[str, object]:
    """Return counts and the share killed of those that are not equivalent."""
    count = {
        s: sum(str(row["status"]).startswith(s) for row in rows) for s in ("killed", "survived", "equivalent", "broken")
    }
    different = len(rows) - count["equivalent"]
    share = count["killed"] / different if different else float("nan")
    return {
        "seed": seed,
        "population": population,
        "n": len(rows),
        **count,
        "share_killed": share,
        "mutants": list(rows),
    }


def _print(found: Mapping[str, object]) -> None:
    print(
        f"\nkilled {found['killed']}, survived {found['survived']}, equivalent {found['equivalent']}, broken "
        f"{found['broken']}"
    )
    print(f"killed of those not equivalent: {100 * found['share_killed']:.1f} %")
    for row in found["mutants"]:
        if row["status"] != "killed":
            print(
                f"  {row['status']:10} {row['file']}:{row['line']}  {row['mutant'].partition(': ')[2]}  "
                f"{row.get('why', '')}"
            )


if __name__ == "__main__":
    sys.exit(main())
