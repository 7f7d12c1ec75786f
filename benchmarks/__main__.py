"""``make bench``: every speed figure, as ratios measured in one run."""

from __future__ import annotations

from benchmarks import density, geometry_bench, io_bench, patterns_bench, pipeline_bench

BENCHES = {
    "measure stage": pipeline_bench,
    "reading": io_bench,
    "geometry": geometry_bench,
    "densities": density,
    "point patterns": patterns_bench,
}

if __name__ == "__main__":
    for title, bench in BENCHES.items():
        print(f"\n{title}", flush=True)
        if hasattr(bench, "run"):
            found = bench.run()
            for label, value in found.items() if isinstance(found, dict) else found:
                print(f"  {label:60} {value:10.3f}", flush=True)
        else:
            bench.main()
