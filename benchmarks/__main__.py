"""``make bench``: every speed figure, as ratios measured in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from benchmarks import (
    density,
    estimate_bench,
    examples_bench,
    geometry_bench,
    io_bench,
    patterns_bench,
    pipeline_bench,
    report_bench,
    review_bench,
    startup_bench,
    whole_slide_bench,
)


def show(found: Mapping[str, float] | Iterable[tuple[str, float]]) -> None:
    """Print what a benchmark returned, a line each."""
    for label, value in found.items() if isinstance(found, Mapping) else found:
        print(f"  {label:60} {value:10.3f}", flush=True)


BENCHES: Mapping[str, Callable[[], object]] = {
    "start-up": lambda: show(startup_bench.run()),
    "measure stage": lambda: show(pipeline_bench.run()),
    "whole slides": lambda: show(whole_slide_bench.run()),
    "estimate": lambda: print(estimate_bench.run()),
    "reading": lambda: show(io_bench.run()),
    "geometry": lambda: show(geometry_bench.run()),
    "densities": density.main,
    "tissue by example": lambda: show(examples_bench.run() | examples_bench.wait()),
    "report": lambda: show(report_bench.run()),
    "review": lambda: show(review_bench.run()),
    "point patterns": lambda: patterns_bench.speed(1_000_000),
}

if __name__ == "__main__":
    for title, bench in BENCHES.items():
        print(f"\n{title}", flush=True)
        bench()
