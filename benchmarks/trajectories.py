"""How often the longitudinal call is right, by simulation; writes docs/trajectories.md.

    python -m benchmarks.trajectories [--patients 500] [--out docs/trajectories.md]

Every number of the page comes from here: tile counts are drawn from stated densities and go through the
same functions as real slides.
"""

import argparse
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from scipy import stats

from spatial_til.metrics.groups import biopsies
from spatial_til.metrics.longitudinal import CALLS
from spatial_til.metrics.pooling import pool_slides
from spatial_til.metrics.simulate import simulate_slide
from spatial_til.metrics.transitions import transitions
from spatial_til.model import SlideMeta
from tests.longitudinal_keys import KEYS, RULES

TIMEPOINTS = ("baseline", "on_treatment", "progression")
PAIR = ("baseline", "progression")
VMRS = (1, 3, 10)
AREAS_MM2 = (0.25, 0.5, 1.0, 2.0)
#: Quantiles of CD8+ per mm² in 169 slides of 10 tumour types (Kather et al. 2018, doi:10.7554/eLife.36967).
QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
REFERENCE = {"core": (10, 53, 187, 440, 1430), "inner": (18, 90, 224, 551, 2042), "outer": (39, 178, 432, 823, 1685)}
#: Correlation of the logarithms that reproduces the published spread of the ratio core to outer margin.
CORRELATION = 0.35
STORIES = {
    "excluded → inflamed → excluded": ((150, 300, 500), (600, 500, 400), (30, 200, 700)),
    "inflamed → inflamed → excluded": ((500, 400, 400), (600, 500, 400), (60, 300, 500)),
    "inflamed → inflamed → desert": ((500, 400, 400), (600, 500, 400), (30, 40, 40)),
    "inflamed → inflamed → margin gain": ((400, 400, 400), (400, 400, 400), (400, 1600, 1600)),
    "desert → desert → inflamed": ((30, 60, 60), (40, 60, 60), (600, 500, 400)),
    "inflamed throughout": ((600, 500, 400),) * 3,
    "excluded throughout": ((40, 300, 700),) * 3,
    "desert throughout": ((30, 50, 70),) * 3,
    "in between throughout": ((250, 300, 400),) * 3,
}


def reference_densities(n, random):
    """Core, inner and outer margin of n tumours over the range of the reference slides, (n, 3)."""
    covariance = np.full((3, 3), CORRELATION) + (1 - CORRELATION) * np.eye(3)
    share = np.clip(stats.norm.cdf(random.multivariate_normal(np.zeros(3), covariance, n)), 0.05, 0.95)
    return np.exp(
        np.column_stack(
            [np.interp(share[:, i], QUANTILES, np.log(values)) for i, values in enumerate(REFERENCE.values())]
        )
    )


def patient(name, truths, timepoints, *, areas, vmr, random, block_sd=0.0, slides=1):
    """Slides of different blocks at each time point; `block_sd` is the spread of log2 density from block to block."""
    return [
        simulate_slide(
            SlideMeta(f"{name}-{when}-{i}", name, when, "A"),
            {"CD8+": tuple(np.asarray(truth) * 2 ** random.normal(0, block_sd, 3))},
            core_mm2=area,
            margin_mm2=area,
            vmr=vmr,
            random=random,
            keys=KEYS,
        )
        for when, truth, area in zip(timepoints, truths, areas, strict=True)
        for i in range(slides)
    ]


def calls_of(scores, timepoints):
    """The call of every patient and transition."""
    groups = biopsies(scores, timepoints=timepoints, pool=partial(pool_slides, keys=KEYS))
    return {(row.patient_id, row.transition): row.call for row in transitions(groups, timepoints=timepoints, **RULES)}


def percent(part, whole):
    """A share with its exact 95 % limits."""
    low, high = stats.binomtest(int(part), int(whole)).proportion_ci(0.95, "exact")
    return f"{100 * part / whole:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def any_reversion(calls):
    """Patients with a reversion at any of their transitions."""
    return len({name for (name, _), call in calls.items() if call == "reversion_to_excluded"})


def unchanged(n, *, vmr, area, random, **blocks):
    """False reversions among n patients whose three biopsies have one truth, drawn over the reference range."""
    truths = reference_densities(n, random)
    scores = []
    for i, truth in enumerate(truths):
        areas = 2 ** random.uniform(-2, 2, 3) if area is None else (area,) * 3
        scores += patient(f"P{i:04d}", (truth,) * 3, TIMEPOINTS, areas=areas, vmr=vmr, random=random, **blocks)
    return any_reversion(calls_of(scores, TIMEPOINTS))


def unchanged_at(truth, n, *, vmr, area, random):
    """False reversions among n patients that all have one truth at three biopsies."""
    scores = []
    for i in range(n):
        name = f"P{i:04d}"
        scores += patient(name, (truth,) * 3, TIMEPOINTS, areas=(area,) * 3, vmr=vmr, random=random)
    return any_reversion(calls_of(scores, TIMEPOINTS))


def pair_calls(before, after, n, *, vmr, area, random, **blocks):
    """The calls of n patients with two biopsies."""
    scores = []
    for i in range(n):
        scores += patient(f"P{i:04d}", (before, after), PAIR, areas=(area,) * 2, vmr=vmr, random=random, **blocks)
    return Counter(calls_of(scores, PAIR).values())


def story_calls(truths, n, *, vmr, area, random):
    """The calls of n patients from on_treatment to progression."""
    scores = []
    for i in range(n):
        scores += patient(f"P{i:04d}", truths, TIMEPOINTS, areas=(area,) * 3, vmr=vmr, random=random)
    calls = calls_of(scores, TIMEPOINTS)
    return Counter(call for (_, transition), call in calls.items() if transition == "on_treatment->progression")


def table(header, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])


def false_reversions(n, seed):
    """Nothing changed, over the reference range: by variance-to-mean ratio and area."""
    rows = []
    for area in (*AREAS_MM2, None):
        found = (unchanged(n, vmr=vmr, area=area, random=np.random.default_rng((seed, vmr))) for vmr in VMRS)
        rows.append(["0.25 to 4, drawn" if area is None else f"{area:g}", *(percent(part, n) for part in found)])
    return table(["core and margin, mm² each", *(f"VMR {vmr}" for vmr in VMRS)], rows)


def worst_cases(n, seed):
    """Nothing changed, at truths near the cut-offs: core just cold, ratio just excluded, margin just held."""
    truths = ((290,) * 3, (200, 390, 390), (290, 560, 560), (150, 290, 290), (320, 640, 640), (60, 110, 110))
    areas = (0.25, 0.5, 2.0)
    rows = []
    for i, truth in enumerate(truths):
        found = (unchanged_at(truth, n, vmr=3, area=area, random=np.random.default_rng((seed, i))) for area in areas)
        rows.append([f"{truth[0]} / {truth[1]}", *(percent(part, n) for part in found)])
    return table(["true core / margin per mm²", *(f"{area:g} mm² each" for area in areas)], rows)


def sensitivity(n, seed):
    """Reversions found: the core falls, the margin stays."""
    rows = []
    for level in (150, 400, 1000):
        for fold in (2, 4, 8):
            for vmr in VMRS:
                row = [f"{level}/{level} → {level / fold:g}/{level}", vmr]
                for area in AREAS_MM2:
                    random = np.random.default_rng((seed, level, fold, vmr))
                    found = pair_calls((level,) * 3, (level / fold, level, level), n, vmr=vmr, area=area, random=random)
                    row.append(f"{100 * found['reversion_to_excluded'] / n:.0f}")
                rows.append(row)
    return table(["true core/margin per mm²", "VMR", *(f"{area:g} mm² each" for area in AREAS_MM2)], rows)


def stories(n, seed):
    """All calls for stated trajectories."""
    names = [call for call in CALLS if call != "not_evaluable"]
    rows = []
    for i, (story, truths) in enumerate(STORIES.items()):
        for area in (0.5, 2.0):
            found = story_calls(truths, n, vmr=3, area=area, random=np.random.default_rng((seed, i)))
            rows.append([story, f"{area:g}", *(f"{100 * found[call] / n:.0f}" for call in names)])
    return table(["truth", "mm² each", *(name.replace("_", " ") for name in names)], rows)


def between_blocks(n, seed):
    """Every slide is another block of a tumour that varies: false reversions, and reversions found."""
    rows = []
    for sd in (0.0, 0.5, 1.0, 1.5):
        row = [f"{sd:g}"]
        for area, slides in ((0.5, 1), (2.0, 1), (0.5, 3)):
            random = np.random.default_rng((seed, int(10 * sd), slides))
            row.append(percent(unchanged(n, vmr=3, area=area, random=random, block_sd=sd, slides=slides), n))
        for slides in (1, 3):
            random = np.random.default_rng((seed, int(10 * sd), slides))
            found = pair_calls(
                (400,) * 3, (100, 400, 400), n, vmr=3, area=0.5, random=random, block_sd=sd, slides=slides
            )
            row.append(f"{100 * found['reversion_to_excluded'] / n:.0f}")
        rows.append(row)
    false = ("one slide, 0.5 mm² each", "one slide, 2 mm² each", "three slides, 0.5 mm² each")
    found = ("one slide, 0.5 mm² each", "three slides, 0.5 mm² each")
    return table(["SD of log2 density", *(f"false: {f}" for f in false), *(f"found: {f}" for f in found)], rows)


PAGE = """# Known-truth studies of the longitudinal call

Made by `make trajectories` ({n} patients a cell, {slides_note}). Tile counts are drawn from stated densities of
CD8+ cells and scored and compared by the same functions as real slides, with the default protocol. Counts are
negative binomial with the variance-to-mean ratio (VMR) given: 1 is cells strewn at random, 3 is the usual
clustering, 10 is heavy clustering. "mm² each" is the area of core, and of margin (inner and outer half of it each).
Figures are percent of patients; limits in brackets are exact 95 % limits of the simulation itself.

**What this does not show.** Every truth here is one tumour with one density. Real biopsies are also different
blocks of a tumour that varies; the last table says what that does.

## Nothing changed: false reversions

Three biopsies of one truth, drawn over the 5th to 95th percentile of 169 slides of ten tumour types (Kather et al.
2018, doi:10.7554/eLife.36967). A patient counts as soon as *any* of the three transitions is called
`reversion_to_excluded`. The bar is 5 %.

{false}

The same at truths chosen to be hardest: a core just below the cut-off for hot, a ratio just above or below excluded,
a margin just above its floor (VMR 3).

{worst}

## Reversion: how often it is found

Two biopsies; the core falls, the margin does not change. The bar is 90 % for 400/400 → 100/400 per mm² with
0.5 mm² each and VMR 3. **Low figures are in the table on purpose**: with little tissue, heavy clustering or a
two-fold fall the call is `indeterminate` or `stable` most of the time, and a missing reversion means nothing.
A core that falls to exactly half of the margin sits on the rule's own cut-off, so that more tissue does not help.
Falls from 1000 to 500 leave a core that is still hot (295 per mm² or more) and are no reversions by definition.

{sensitivity}

## Trajectories: every call

Three biopsies; the call from on treatment to progression, VMR 3, percent of patients.

{stories}

## When blocks differ

Every slide is another block, whose densities in core, inner and outer margin differ from the tumour's by independent
factors with this spread: at 1, a block has typically half or twice the density. *False*: nothing changed in the tumour,
drawn as above. *Found*: 400/400 → 100/400. **Intervals within a slide cannot see this**: at a spread of 0.5 false calls
reach the bar, beyond it they pass it, and more tissue of the same block does not help. Three slides of different
blocks, summed at each
time point, bring false calls down, at the price of power: three slides tell little about how much slides differ.

{blocks}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("docs/trajectories.md"))
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    n, seed, start = options.patients, options.seed, time.perf_counter()
    page = PAGE.format(
        n=n,
        slides_note=f"seed {seed}",
        false=false_reversions(n, seed),
        worst=worst_cases(n, seed),
        sensitivity=sensitivity(n, seed),
        stories=stories(n, seed),
        blocks=between_blocks(n, seed),
    )
    options.out.write_text(page, encoding="utf-8")
    print(f"{options.out} written in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
