"""Several slides of one biopsy: sums, the variance between slides, gates on the sums."""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.groups import biopsies
from spatial_til.metrics.pooling import pool_slides
from spatial_til.metrics.simulate import score_tiles, simulate_slide
from spatial_til.metrics.transitions import transitions
from spatial_til.model import Call, SlideMeta, TileCounts, Value
from tests.longitudinal_keys import KEYS, RULES


def meta(name, **changes):
    return replace(SlideMeta(name, "P1", "baseline", "A", batch="run1", biopsy_date=date(2024, 1, 15)), **changes)


def even_slide(name, core, margin, *, tiles=10, tile_mm2=0.04, population="CD8+", **changes):
    """A slide with the same count in every tile of a compartment."""
    counts = {"core": core, "inner_margin": margin, "outer_margin": margin}
    made = {
        part: TileCounts(
            name,
            part,
            200.0,
            np.full(tiles, tile_mm2),
            {population: np.full(tiles, n)},
            np.zeros(tiles),
            np.zeros(tiles),
        )
        for part, n in counts.items()
    }
    return score_tiles(meta(name, **changes), made, KEYS, settings={"inner_um": "500"})


def overridden(score, call):
    return replace(score, phenotype=replace(score.phenotype, call=call), flags=(*score.flags, "call_overridden"))


def test_a_readers_class_holds_for_a_biopsy_where_all_its_slides_have_it():
    slides = [even_slide("a", 16, 16), even_slide("b", 16, 16)]
    computed = pool_slides(slides, KEYS).phenotype
    assert computed.call == "inflamed"
    both = pool_slides([overridden(s, "desert") for s in slides], KEYS).phenotype
    assert (both.call, both.point, both.probabilities) == ("desert", computed.point, computed.probabilities)
    assert both.reason.startswith("the reader's class of all slides; computed: inflamed, ")
    for others in ([overridden(slides[0], "desert"), slides[1]],
                   [overridden(slides[0], "desert"), overridden(slides[1], "excluded")]):  # fmt: skip
        assert pool_slides(others, KEYS).phenotype == computed


def test_counts_areas_and_border_are_summed():
    slides = [even_slide("a", 8, 4), even_slide("b", 16, 4, tiles=20)]
    pooled = pool_slides(slides, KEYS)
    core = pooled.estimates["CD8+", "core"]
    assert core.n_cells == 8 * 10 + 16 * 20
    assert core.area_mm2 == pytest.approx(0.04 * 30)
    assert core.density_per_mm2 == pytest.approx(400 / 1.2)  # of sums, never the mean of 200 and 400
    assert pooled.gates["core_mm2"] == pytest.approx(1.2)
    assert pooled.gates["border_um"] == sum(s.gates["border_um"] for s in slides)
    assert "between_slide_unknown" in pooled.flags
    assert pooled.meta.slide_id == "a+b"


def test_one_slide_pooled_is_the_slide():
    slide = even_slide("a", 8, 4)
    pooled = pool_slides([slide], KEYS)
    assert pooled.estimates == slide.estimates
    assert pooled.phenotype == slide.phenotype
    assert "between_slide_unknown" not in pooled.flags


def test_three_slides_that_differ_widen_the_interval_by_the_ratio_estimator():
    # 100, 200, 300 cells on 1 mm² each: density 200, variance of the sum 3/2 (100² + 0 + 100²)
    slides = [even_slide(name, n, 8, tile_mm2=0.1) for name, n in (("a", 10), ("b", 20), ("c", 30))]
    core = pool_slides(slides, KEYS).estimates["CD8+", "core"]
    sigma = math.sqrt(30000) / 600
    reach = math.exp(sigma * stats.t.ppf(0.975, 2))
    assert core.sigma_ln == pytest.approx(sigma)
    assert core.dof == 2
    assert (core.ci_low, core.ci_high) == pytest.approx((200 / reach, 200 * reach))


def test_three_slides_that_agree_keep_the_interval_of_their_tiles():
    slides = [even_slide(name, 10, 8) for name in "abc"]
    pooled = pool_slides(slides, KEYS)
    assert pooled.estimates["CD8+", "core"].dof > 2
    assert "between_slide_unknown" not in pooled.flags


def test_unequal_slides_follow_the_formula():
    random = np.random.default_rng(5)
    sizes, levels = (0.4, 1.2, 2.0, 0.8), (100, 400, 150, 700)
    slides = [
        simulate_slide(
            meta(f"s{i}"), {"CD8+": (d, 300, 300)}, core_mm2=a, margin_mm2=1, vmr=1, random=random, keys=KEYS
        )
        for i, (a, d) in enumerate(zip(sizes, levels, strict=True))
    ]
    core = pool_slides(slides, KEYS).estimates["CD8+", "core"]
    n = np.array([s.estimates["CD8+", "core"].n_cells for s in slides])
    residual = n - np.array(sizes) * n.sum() / sum(sizes)
    assert core.sigma_ln == pytest.approx(math.sqrt(4 / 3 * (residual**2).sum()) / n.sum())
    assert core.dof == 3


def test_a_population_is_summed_the_same_whatever_else_is_counted():
    """Three slides that differ the other way round for either population."""
    levels = {"CD8+": (100, 400, 800), "PD-L1+": (900, 300, 50)}

    def slides(*names):
        made = [
            {name: np.random.default_rng(7 + k).poisson(levels[name][k] / 25, 20) for name in levels} for k in range(3)
        ]
        return [
            score_tiles(
                meta(f"s{k}"),
                {
                    part: TileCounts(
                        f"s{k}", part, 200.0, np.full(20, 0.04), {n: counts[n] for n in names}, *np.zeros((2, 20))
                    )
                    for part in ("core", "inner_margin", "outer_margin")
                },
                KEYS,
                settings={},
            )
            for k, counts in enumerate(made)
        ]

    both = pool_slides(slides(*levels), KEYS).estimates
    for name in levels:
        alone = pool_slides(slides(name), KEYS).estimates
        assert alone[name, "core"].dof == 2  # what lies between the slides is the wider
        assert {key: both[key] for key in alone} == alone


def test_a_slide_without_any_tile_opens_no_gate():
    slide = even_slide("a", 16, 16)
    bare = replace(even_slide("b", 16, 16), tiles={})  # no tissue of it was counted
    assert pool_slides([slide, bare], KEYS).gates == pool_slides([slide], KEYS).gates


def test_gates_apply_to_the_sums():
    small = [even_slide(name, 16, 16, tiles=4) for name in "ab"]  # core 0.16 mm² each, 0.25 needed
    assert {s.phenotype.call for s in small} == {"not_evaluable"}
    pooled = pool_slides(small, KEYS)
    assert pooled.phenotype.call == "inflamed"
    assert "core_too_small" not in pooled.flags
    assert "core_too_small" in pool_slides(small[:1], KEYS).flags


def test_serial_sections_with_one_marker_each_serve():
    cd8, pdl1 = even_slide("a", 16, 16), even_slide("b", 4, 4, population="PD-L1+")
    pooled = pool_slides([cd8, pdl1], KEYS)
    assert pooled.estimates["CD8+", "core"] == cd8.estimates["CD8+", "core"]
    assert pooled.estimates["PD-L1+", "core"] == pdl1.estimates["PD-L1+", "core"]
    assert pooled.gates["core_mm2"] == pytest.approx(0.4)


def test_the_area_of_a_slide_without_the_marker_opens_no_gate_for_it():
    cd8, pdl1 = even_slide("a", 16, 16, tiles=4), even_slide("b", 16, 16, population="PD-L1+")
    assert pdl1.gates["core_mm2"] == pytest.approx(0.4)  # alone, where no slide counts CD8
    pooled = pool_slides([cd8, pdl1], KEYS)
    assert pooled.gates["core_mm2"] == pytest.approx(0.16)
    assert pooled.phenotype.call == "not_evaluable"
    assert "core_too_small" in pooled.flags
    assert [pooled.activity[marker].call == "not_evaluable" for marker in ("cd8", "pdl1")] == [True, False]


def test_what_no_slide_knows_stays_unknown():
    unknown = [replace(even_slide(name, 16, 16), tiles={}, gates={"tumor_mm2": None}) for name in "ab"]
    pooled = pool_slides(unknown, KEYS)
    assert pooled.gates["tumor_mm2"] is None
    assert pooled.phenotype.call == "not_evaluable"


def test_a_stain_that_cannot_be_judged_stays_so():
    failed = Call("not_evaluable", "not_evaluable", {}, "no positive control", ("stain_unverified",))
    pooled = pool_slides([even_slide("a", 16, 16), replace(even_slide("b", 0, 0), phenotype=failed)], KEYS)
    assert pooled.phenotype.call == "not_evaluable"
    assert "stain_unverified" in pooled.flags


def test_one_doubtful_stain_leaves_the_sum_in_doubt():
    sure, doubtful = even_slide("a", 16, 16), even_slide("b", 0, 0)
    marked = {key: replace(e, flags=(*e.flags, "stain_unverified")) for key, e in doubtful.estimates.items()}
    pooled = pool_slides([sure, replace(doubtful, estimates=marked)], KEYS)
    assert "stain_unverified" in pooled.estimates["CD8+", "core"].flags


def test_ratios_are_not_averaged():
    slides = [replace(even_slide(name, 16, 16), values={"log2_core_margin_cd8": Value(1.0)}) for name in "ab"]
    assert "log2_core_margin_cd8" not in pool_slides(slides, KEYS).values


def test_artefact_share_is_weighted_by_tissue():
    clean, dirty = even_slide("a", 16, 16, tiles=30), even_slide("b", 16, 16, tiles=10)
    dirty = replace(dirty, gates={**dirty.gates, "artefact_fraction": 0.4})
    assert pool_slides([clean, dirty], KEYS).gates["artefact_fraction"] == pytest.approx(0.1)
    unknown = replace(dirty, gates={**dirty.gates, "artefact_fraction": None})
    assert pool_slides([unknown, unknown], KEYS).gates["artefact_fraction"] is None


def test_slides_of_two_batches_in_one_biopsy_are_not_comparable():
    slides = [
        even_slide("a", 16, 16),
        even_slide("b", 16, 16, batch="run2"),
        even_slide("c", 2, 16, timepoint="progression", biopsy_date=date(2025, 1, 1)),
    ]
    groups = biopsies(slides, timepoints=("baseline", "progression"), pool=lambda s: pool_slides(s, KEYS))
    (row,) = transitions(
        groups,
        timepoints=("baseline", "progression"),
        **RULES,
    )
    assert row.call == "indeterminate"
    assert "run1 | run2 against run1" in row.reason
    assert {"cross_batch", "between_slide_unknown"} <= set(row.flags)


def test_penetration_is_weighted_by_cells_and_induction_by_precision():
    def valued(slide, pdi, induction, sigma):
        values = {
            "pdi_cd8": Value(pdi, sigma=0.05, dof=20),
            "pdl1_induction_log2": Value(induction, sigma=sigma, dof=20),
        }
        tumor = slide.estimates["CD8+", "tumor"]
        return replace(slide, values=values), tumor.n_cells

    (one, n_one), (two, n_two) = (
        valued(even_slide("a", 8, 8), 0.2, 1.0, 0.1),
        valued(even_slide("b", 24, 24), 0.6, 3.0, 0.2),
    )
    assert n_two == 3 * n_one
    values = pool_slides([one, two], KEYS).values
    assert values["pdi_cd8"].value == pytest.approx(0.25 * 0.2 + 0.75 * 0.6)
    assert values["pdi_cd8"].sigma == pytest.approx(math.hypot(0.25 * 0.05, 0.75 * 0.05))
    assert values["pdl1_induction_log2"].value == pytest.approx((100 * 1.0 + 25 * 3.0) / 125)


def test_a_value_that_one_slide_lacks_comes_from_the_others():
    having = replace(even_slide("a", 8, 8), values={"tps_percent": Value(40.0, sigma=3.0, dof=9)})
    lacking = replace(even_slide("b", 8, 8), values={"tps_percent": Value(None, reason="12 tumour cells, 100 needed")})
    assert pool_slides([having, lacking], KEYS).values["tps_percent"].value == 40.0
    assert pool_slides([lacking, lacking], KEYS).values["tps_percent"].value is None


def test_grid_needs_agreement():
    keys = replace(KEYS, rule="grid")
    inflamed, desert = (Call(name, name, {name: 1.0}) for name in ("inflamed", "desert"))
    same = [replace(even_slide(name, 16, 16), phenotype=inflamed) for name in "ab"]
    assert pool_slides(same, keys).phenotype.call == "inflamed"
    differ = [same[0], replace(same[1], phenotype=desert)]
    assert pool_slides(differ, keys).phenotype.call == "indeterminate"
