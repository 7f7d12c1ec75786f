"""Coverage of intervals, and calls of stated trajectories, by simulation with the package's own functions."""

from __future__ import annotations

import subprocess
from typing import Any

import numpy as np
from scipy import stats

from benchmarks import interval_coverage as coverage
from benchmarks import trajectories
from benchmarks.validation.page import ROOT, Bar, Run, Section, panels, table

#: What the simulations load of the metrics.
_MODULES = [
    "activity", "autocorrelation", "changes", "comparability", "deltas", "density", "groups", "intervals", "levels",
    "log_ratios", "longitudinal", "merging", "observations", "phenotype", "pooled_estimates", "pooled_values",
    "pooling", "reasons", "seeding", "simulate", "squares", "tiles", "timing", "transitions",
]  # fmt: skip
CODE = (
    *(f"spatial_til/metrics/{name}.py" for name in _MODULES),
    "spatial_til/model.py",
    "benchmarks/interval_coverage.py",
    "benchmarks/trajectories.py",
    "benchmarks/validation/intervals.py",
)
SEED = 20261126
MULTIPLES = (1, 5, 15, 100)


def _densities(repeats: int) -> list[dict[str, float]]:
    random = np.random.default_rng(SEED)
    rows = []
    for ratio in coverage.RATIOS:
        for tiles in (8, 20, 50):
            for multiple in MULTIPLES:
                ours, poisson, low = coverage.density_coverage(ratio, tiles, multiple * ratio, repeats, random)
                rows.append(
                    {"ratio": ratio, "tiles": tiles, "multiple": multiple, "ours": ours, "poisson": poisson, "low": low}
                )
    return rows


def intervals(run: Run) -> Section:
    repeats, spatial = (60, 10) if run.quick else (1000, 200)
    rows = run.kept("coverage", lambda: _densities(repeats), of=CODE)
    clustered = run.kept(
        "coverage-space", lambda: coverage.spatial_section(spatial, np.random.default_rng(SEED)), of=CODE
    )
    figure, axes = panels(len(coverage.RATIOS))
    for ax, ratio in zip(axes, coverage.RATIOS, strict=True):
        for tiles, line in ((8, "o-"), (20, "s--"), (50, "^:")):
            of = [r for r in rows if (r["ratio"], r["tiles"]) == (ratio, tiles)]
            ax.semilogx(
                [r["multiple"] for r in of], [r["ours"] for r in of], line, markersize=4, label=f"{tiles} tiles"
            )
        of = [r for r in rows if (r["ratio"], r["tiles"]) == (ratio, 50)]
        ax.semilogx([r["multiple"] for r in of], [r["poisson"] for r in of], "k:", label="exact Poisson alone")
        ax.axhspan(0.92, 0.99, alpha=0.15)
        ax.set(
            title=f"variance / mean {ratio}",
            xlabel="expected count / (variance / mean)",
            ylim=(0.4, 1.0),
            ylabel="coverage",
        )
    axes[0].legend(fontsize=7)
    picture = run.save("coverage", figure, "Coverage of 95 % intervals against expected count; figures in the table")
    error = 2 * np.sqrt(0.95 * 0.05 / repeats)
    shown = [
        (
            r["ratio"],
            r["tiles"],
            r["multiple"] * r["ratio"],
            f"{r['ours']:.3f}",
            f"{r['poisson']:.3f}",
            f"{r['low']:.2f}",
        )
        for r in rows
    ]
    head = ("variance / mean", "tiles", "expected count", "coverage", "exact Poisson alone", "flagged low_count")
    promised = [r["ours"] for r in rows if r["multiple"] >= coverage.PROMISED]
    bar = Bar(
        "95 % intervals of density, expected count ≥ 15 × variance / mean",
        f"0.92 to 0.99, give or take the simulation's ± {error:.3f}",
        f"{min(promised):.3f} to {max(promised):.3f}", 0.92 - error <= min(promised) and max(promised) <= 0.99 + error,
    )  # fmt: skip
    text = (
        f"{repeats} simulated compartments a row ({spatial} where cells are laid out in space), so that a "
        f"coverage of 0.95 is known to ± {error:.3f}. "
        "The page with 4,000 repeats is docs/coverage.md (committed "
        f"{_date('docs/coverage.md')}).\n\n{picture}\n\n{table(head, shown)}\n\n"
        f"Cells clustered in space, 300 per mm², tiled as in a slide:\n\n{clustered}"
    )
    limits = (
        (
            "Where clusters of cells are as wide as tiles, 95 % intervals of density cover less (last table of "
            "*Intervals*); the flag is `tiles_enlarged`."
        ),
        "Below 15 times the variance-to-mean ratio intervals may cover less than they say; the flag is `low_count`.",
    )
    return Section("Intervals", text, (bar,), limits)


def _courses(patients: int) -> dict[str, Any]:
    found: dict[str, Any] = {"false": [], "found": []}
    for vmr in trajectories.VMRS:
        for area in trajectories.AREAS_MM2:
            n = trajectories.unchanged(patients, vmr=vmr, area=area, random=np.random.default_rng((SEED, vmr)))
            found["false"].append((vmr, area, n))
            for fold in (2, 4, 8):
                calls = trajectories.pair_calls(
                    (400,) * 3,
                    (400 / fold, 400, 400),
                    patients,
                    vmr=vmr,
                    area=area,
                    random=np.random.default_rng((SEED, fold, vmr)),
                )
                found["found"].append((vmr, area, fold, calls["reversion_to_excluded"]))
    found["blocks"] = [
        (sd, trajectories.unchanged(patients, vmr=3, area=0.5, random=np.random.default_rng((SEED, k)), block_sd=sd))
        for k, sd in enumerate((0.0, 0.5, 1.0, 1.5))
    ]
    found["stories"] = trajectories.stories(max(patients // 4, 5), SEED)
    return found


def courses(run: Run) -> Section:
    n = 10 if run.quick else 200
    found = run.kept("courses", lambda: _courses(n), of=CODE)
    false = {(vmr, area): count for vmr, area, count in found["false"]}
    power = {(vmr, area, fold): count for vmr, area, fold, count in found["found"]}
    areas, vmrs = trajectories.AREAS_MM2, trajectories.VMRS
    figure, axes = panels(2)
    for vmr, marker in zip(vmrs, "os^Dv", strict=False):
        axes[0].plot(
            areas,
            [100 * power[vmr, a, 4] / n for a in areas],
            f"{marker}-",
            markersize=4,
            label=f"variance / mean {vmr}",
        )
        axes[1].plot(areas, [100 * false[vmr, a] / n for a in areas], f"{marker}-", markersize=4)
    axes[1].axhline(5, color="k", linestyle=":")
    axes[0].set(
        title="400/400 → 100/400", xlabel="core and margin, mm² each", ylabel="called reversion, %", ylim=(0, 103)
    )
    axes[1].set(
        title="nothing changed", xlabel="core and margin, mm² each", ylabel="called reversion, %", ylim=(-0.2, None)
    )
    axes[0].legend(fontsize=7)
    picture = run.save(
        "trajectories", figure, "Reversions found and falsely called against the area of tissue; figures in the tables"
    )
    rows = [
        (vmr, f"{a:g}", _share(false[vmr, a], n), *(f"{100 * power[vmr, a, fold] / n:.0f}" for fold in (2, 4, 8)))
        for vmr in vmrs for a in areas
    ]  # fmt: skip
    head = (
        "variance / mean",
        "mm² each",
        "false reversion, % (exact limits)",
        "found: core halved",
        "core to a quarter",
        "core to an eighth",
    )
    blocks = table(
        ("spread between blocks, SD of log2 density", "false reversion, %"),
        [(f"{sd:g}", _share(k, n)) for sd, k in found["blocks"]],
    )
    worst, at_half = max(false.values()) / n, power[3, 0.5, 4] / n
    bars = (
        Bar(
            "False reversion where nothing changed, any area and clustering",
            "≤ 5 %",
            f"{100 * worst:.1f} % at worst",
            worst <= 0.05,
        ),
        Bar(
            "400/400 → 100/400 per mm², 0.5 mm² each, variance / mean 3: found",
            "≥ 90 %",
            f"{100 * at_half:.0f} %",
            at_half >= 0.9,
        ),
    )
    spread = dict(found["blocks"])
    limits = (
        (
            "Blocks of one tumour that differ look like a change: with a spread of 1 (half or twice the density) "
            f"{100 * spread[1.0] / n:.0f} % of unchanged patients are called reversion."
        ),
        (
            "With heavy clustering (variance / mean 10) and 0.25 mm² each, a fall to a quarter is found in "
            f"{100 * power[10, 0.25, 4] / n:.0f} % only: no call of reversion means little there."
        ),
    )
    text = (
        f"{n} patients a cell, with the default protocol, from tile counts to call; truths of unchanged patients "
        "are drawn over the range of 169 published slides (Kather et al. 2018, "
        "doi:10.7554/eLife.36967). Core 400 per mm² falls, margin stays 400. The page with 500 patients a cell "
        "is docs/trajectories.md (committed "
        f"{_date('docs/trajectories.md')}).\n\n{picture}\n\n{table(head, rows)}\n\n"
        "When every slide is another block of a tumour that varies (0.5 mm² each, variance / mean 3), nothing "
        f"changed:\n\n{blocks}\n\nEvery call of stated courses, {max(n // 4, 5)} patients each, variance / mean "
        f"3, %:\n\n{found['stories']}"
    )
    return Section("Trajectories", text, bars, limits)


def _share(count: int, n: int) -> str:
    low, high = stats.binomtest(int(count), int(n)).proportion_ci(0.95, "exact")
    return f"{100 * count / n:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def _date(path: str) -> str:
    said = subprocess.run(
        ["git", "log", "-1", "--format=%cs", "--", path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "date unknown"
