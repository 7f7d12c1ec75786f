"""What other commands measured: faults survived, speed and memory. Their files are read; nothing is run here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.validation.page import Bar, Run, Section, table

NOT_RUN = "not run here"
_HELD = ("memory_mib", "descriptors", "threads", "temporary")
COMMANDS = {
    "fuzz.json": "make fuzz: python -m benchmarks.fuzz --json RESULTS/fuzz.json",
    "soak.json": "make soak: python -m benchmarks.soak --json RESULTS/soak.json",
    "stress.txt": "python -m benchmarks.stress > RESULTS/stress.txt",
    "mutants.json": "python -m benchmarks.mutants --json RESULTS/mutants.json",
    "coverage.json": "coverage json -o RESULTS/coverage.json, after the tests under coverage with branches",
    "speed.txt": "python -m benchmarks.pipeline_bench > RESULTS/speed.txt",
    "memory.txt": "python -m benchmarks.whole_slide_bench > RESULTS/memory.txt",
}


def _read(run: Run, name: str) -> str | None:
    path = run.results / name if run.results else Path("/nowhere")
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _missing(name: str) -> str:
    return f"{NOT_RUN} (`{COMMANDS[name]}`)"


def faults(run: Run) -> Section:
    """Return the section of hostile input, kills, long runs, and of what the tests would notice."""
    parts: list[str] = [
        "Runs of the commands named; a part that says *not run here* was not given to the command that made this page."
    ]
    bars: list[Bar] = []
    readers: dict[str, tuple[str, Callable[[str], tuple[str, list[Bar]]]]] = {
        "fuzz.json": ("Mutated input", _fuzz),
        "stress.txt": ("Runs killed and resumed", _stress),
        "soak.json": ("Many slides in one run", _soak),
        "mutants.json": ("Wrong code that the tests notice", _mutants),
        "coverage.json": ("Lines and branches that the tests run", _coverage),
    }
    for name, (title, reader) in readers.items():
        given = _read(run, name)
        text, more = reader(given) if given else (_missing(name), [])
        parts.append(f"**{title}.** {text}")
        bars += more
    limits = [f"{title}: {NOT_RUN}." for name, (title, _) in readers.items() if _read(run, name) is None]
    return Section("Faults survived", "\n\n".join(parts), tuple(bars), tuple(limits))


def _fuzz(given: str) -> tuple[str, list[Bar]]:
    told = json.loads(given)
    total = told["table"][-1]
    names = ("parser", "inputs", "results", "refused", "faults", "slowest_s", "most_mib")
    rows = [[f"{row[n]:.3g}" if isinstance(row[n], float) else row[n] for n in names] for row in told["table"]]
    bars = [
        Bar("Mutated inputs", "≥ 100,000", f"{total['inputs']:,}", total["inputs"] >= 100_000),
        Bar(
            "Mutated inputs that end in anything but a result or an error of ours",
            "0",
            str(total["faults"]),
            total["faults"] == 0,
        ),
        Bar("Memory of a mutated input", "≤ 1024 MiB", f"{total['most_mib']:.0f} MiB", total["most_mib"] <= 1024),
    ]
    note = f" {told['note']}" if "note" in told else ""
    return f"Seed {told.get('seed')}.{note}\n\n" + table(names, rows), bars


def _stress(given: str) -> tuple[str, list[Bar]]:
    found = re.search(r"(\d+) of (\d+) folders equal", given)
    last = " ".join(line.strip() + "." for line in given.strip().splitlines()[-2:])
    equal = (int(found[1]), int(found[2])) if found else (0, 0)
    return last, [
        Bar("Runs killed and resumed: folders equal", "all", f"{equal[0]} of {equal[1]}", equal[0] == equal[1] > 0)
    ]


def _soak(given: str) -> tuple[str, list[Bar]]:
    told = json.loads(given)
    samples, growth = told["samples"], told["growth"]
    stages = {s["stage"]: [t for t in samples if t["stage"] == s["stage"]] for s in samples}
    ranges = [
        (stage, len(of), *(f"{min(s[k] for s in of):.0f} to {max(s[k] for s in of):.0f}" for k in _HELD))
        for stage, of in stages.items()
    ]
    text = (
        f"{told['slides']} small slides in one run, looked at from outside {len(samples)} times. Growth is that of the "
        "median of the last third of a stage over that of its first third; "
        + ", ".join(f"{what.replace('_mib', '')} {share:+.1%}" for what, share in growth.items())
        + ".\n\n"
        + table(("stage", "samples", "MiB", "files open", "threads", "temporary files"), ranges)
    )
    memory = max(share for what, share in growth.items() if "memory" in what)
    others = max(share for what, share in growth.items() if "memory" not in what)
    return text, [
        Bar("Slides of one long run that were scored", "≥ 500", str(told["slides"]), told["slides"] >= 500),
        Bar("Memory over a long run", "≤ +10 %", f"{memory:+.1%}", memory <= 0.1),
        Bar("Open files and threads over a long run", "no growth", f"{others:+.1%}", others <= 0),
        Bar("Temporary files left", "0", str(told["left"]), told["left"] == 0),
    ]


def _mutants(given: str) -> tuple[str, list[Bar]]:
    told = json.loads(given)
    text = (
        f"{told['n']} of {told['population']:,} small wrong changes to `geometry/` and `metrics/`, drawn with "
        f"seed {told['seed']}: {told['killed']} noticed, "
        f"{told['survived']} not, {told['equivalent']} change no result (`benchmarks/mutants/equivalent.toml` "
        "says why of each)."
    )
    text += f" {told['note']}" if "note" in told else ""
    survived = [
        (f"{r['file']}:{r['line']}", f"`{r['mutant'].partition(': ')[2]}`")
        for r in told["mutants"]
        if r["status"] == "survived"
    ]
    if survived:
        text += "\n\n" + table(("not noticed", "change"), survived)
    share = told["share_killed"]
    return text, [
        Bar(
            "Wrong changes to geometry and metrics noticed",
            "≥ 90 %",
            f"{100 * share:.1f} % of {told['n'] - told['equivalent']}",
            share >= 0.9,
        )
    ]


def _coverage(given: str) -> tuple[str, list[Bar]]:
    told = json.loads(given)
    total = told["totals"]
    lines = 100 * total["covered_lines"] / total["num_statements"]
    branches = 100 * total["covered_branches"] / max(total["num_branches"], 1)
    text = f"{lines:.1f} % of {total['num_statements']:,} statements and {branches:.1f} % of "
    text += f"{total['num_branches']:,} branches ({total['percent_covered']:.1f} % of both). "
    text += "Kernels compiled by numba are not seen by this and left out."
    return text + (f" {told['note']}" if "note" in told else ""), []


def speed(run: Run) -> Section:
    """Return speed and memory as ratios of one run."""
    parts, bars, limits = [], [], []
    rates = _lines(_read(run, "speed.txt"))
    if rates:
        parts += [
            (
                "File to cell table, cellular tissue at 0.5 µm per pixel, two threads, beside decoding alone and "
                "a plain scikit-image pipeline; ratios of one run."
            ),
            _values(rates),
        ]
        for label, wanted, good in (("ours / plain", 30.0, 1), ("decoding / ours", 12.0, -1)):
            if label in rates:
                bars.append(
                    Bar(
                        f"Speed, {label}",
                        f"{'≥' if good > 0 else '≤'} {wanted:g}",
                        f"{rates[label]:.1f}",
                        (rates[label] - wanted) * good >= 0,
                    )
                )
    else:
        parts.append(f"Speed: {_missing('speed.txt')}")
        limits.append(f"Speed: {NOT_RUN}.")
    sizes = _lines(_read(run, "memory.txt"))
    if sizes:
        mib = {k: v for k, v in sizes.items() if k.endswith("MiB")}
        least = min(mib.values())
        parts += [
            (
                "One slide scored from the command line, two workers, 0.25 µm per pixel: seconds, and the peak "
                "memory of all processes."
            ),
            _values(sizes),
        ]
        parts.append(
            "Memory relative to the smallest slide: "
            + ", ".join(f"{k.partition(',')[0]} {v / least:.2f}" for k, v in mib.items())
            + "."
        )
        bars.append(
            Bar(
                "Peak memory of the process tree",
                "≤ 2048 MiB",
                f"{max(mib.values()):.0f} MiB",
                max(mib.values()) <= 2048,
            )
        )
        bars.append(
            Bar(
                "Memory from the smallest to the largest slide",
                "flat",
                f"× {max(mib.values()) / least:.2f}",
                max(mib.values()) / least <= 1.1,
            )
        )
        seconds = sizes.get("1.6 gigapixels, s")
        if seconds is not None:
            bars.append(Bar("1.6 gigapixels", "< 60 s", f"{seconds:.0f} s", seconds < 60))
    else:
        parts.append(f"Memory: {_missing('memory.txt')}")
        limits.append(f"Memory: {NOT_RUN}.")
    return Section("Speed and memory", "\n\n".join(parts), tuple(bars), tuple(limits))


def _lines(given: str | None) -> dict[str, float]:
    """Return the values of a benchmark's lines: a label, spaces, a number."""
    found = (re.fullmatch(r"\s*(\S.*?)\s{2,}(-?[\d.]+)\s*", line) for line in (given or "").splitlines())
    return {m[1]: float(m[2]) for m in found if m}


def _values(values: dict[str, Any]) -> str:
    return table(("what", "found"), [(k, f"{v:.4g}") for k, v in values.items()])
