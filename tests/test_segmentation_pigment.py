"""Cells laden with pigment are told from stained ones by their colour, whatever that pigment's exact colour."""

from __future__ import annotations

import numpy as np
import pytest

from spatial_til.model import Cells
from spatial_til.segmentation.cell_pigment import colour_sums
from spatial_til.segmentation.laden import (
    MOST_PIGMENT,
    colours_of,
    has_rim,
    laden_apart,
    likeness,
    many_laden,
    most_pigment,
    much_laden,
    pigment_of,
)
from spatial_til.segmentation.pigment import ColourVariation, brown_of, off_plane, own_normal, pigment_fraction
from spatial_til.segmentation.positivity import call_positive, count_pigment, score_of
from spatial_til.segmentation.stains import PRESETS, optical_density, stain_matrix

WHITE = (240.0, 238.0, 242.0)
DENSITY = np.minimum(np.round(100 * optical_density(np.arange(256)[:, None], WHITE)), 255).astype(np.uint8)
STAINS = stain_matrix([PRESETS["hematoxylin"], PRESETS["dab"]])
ACROSS = np.cross(STAINS[0], STAINS[1])
NORMAL = ACROSS * np.sign(ACROSS[1]) / np.linalg.norm(ACROSS)
#: Absorption at 620, 540 and 460 nm that rises to blue with a negative power of the wavelength, from nearly grey.
PIGMENTS = {power: tuple((460.0 / nm) ** power for nm in (620.0, 540.0, 460.0)) for power in (0.3, 1.0, 1.5, 2.0)}


def cell(brown, granules, seed=4):
    """Return keys, centre and picture of one cell of 12 µm: a nucleus, with brown on its membrane or in granules."""
    y, x = np.mgrid[0:61, 0:61]
    r = np.hypot(y - 30, x - 30)
    rng = np.random.default_rng(seed)
    od = 0.5 * (1 / (1 + np.exp(2 * (r - 7))))[..., None] * STAINS[0]
    where = np.exp(-0.5 * ((r - 10) / 1.2) ** 2)
    if granules:
        where = np.zeros(r.shape)
        for angle, away in zip(rng.uniform(0, 2 * np.pi, 60), 11 * np.sqrt(rng.random(60)), strict=True):
            where += np.exp(-0.5 * ((y - 30 - away * np.sin(angle)) ** 2 + (x - 30 - away * np.cos(angle)) ** 2))
    colour = np.array(brown) / np.linalg.norm(brown)
    light = np.array(WHITE) * 10.0 ** -(od + 0.5 * where[..., None] * colour)
    rgb = np.clip(np.rint(light + rng.normal(0, 2, light.shape)), 0, 255).astype(np.uint8)
    keys = np.where(r < 12, np.uint32(2), np.uint32(1300 << 20)).astype(np.uint32)
    return keys, np.array([[30 * 256 + 128, 30 * 256 + 128]]), rgb


def pigment(brown, granules, chosen=True):
    keys, centre, rgb = cell(brown, granules)
    return taken(colour_sums(keys, centre, np.array([chosen]), rgb, DENSITY, px_um=0.5))[0]


def taken(sums, normal=NORMAL):
    """Return the pigment of cells, all of which say what is usual."""
    return pigment_of(sums, normal, np.ones(len(sums), dtype=bool))


@pytest.mark.parametrize("power", PIGMENTS)
def test_granules_of_any_melanin_are_pigment(power):
    assert pigment(PIGMENTS[power], granules=True) > MOST_PIGMENT


def test_dab_is_none_on_the_membrane_or_in_granules():
    assert pigment(PRESETS["dab"], granules=False) == 0
    assert pigment(PRESETS["dab"], granules=True) < MOST_PIGMENT


def test_cells_not_looked_at_and_slides_of_unknown_colours_are_missing():
    assert np.isnan(pigment(PIGMENTS[1.0], granules=True, chosen=False))
    keys, centre, rgb = cell(PIGMENTS[1.0], granules=True)
    sums = colour_sums(keys, centre, np.array([True]), rgb, DENSITY, px_um=0.5)
    assert np.isnan(taken(sums, None)).all()


def test_sums_do_not_depend_on_where_the_array_begins():
    keys, centre, rgb = cell(PIGMENTS[1.0], granules=True)
    padded = colour_sums(
        np.pad(keys, 40, constant_values=1300 << 20),
        centre + 40 * 256,
        np.array([True]),
        np.pad(rgb, ((40, 40), (40, 40), (0, 0)), mode="edge"),
        DENSITY,
        px_um=0.5,
    )
    assert np.array_equal(padded, colour_sums(keys, centre, np.array([True]), rgb, DENSITY, px_um=0.5))


def test_a_cell_with_pigment_has_no_score_and_is_not_called():
    ridge, zeros = np.array([0.3, 0.3, 0.3], np.float32), np.zeros(3)
    columns = {"CD8_membrane_own_ridge": ridge, "CD8_membrane_ridge": ridge}
    columns["CD8_membrane_pigment"] = np.array([0.1, 0.0, np.nan], np.float32)
    cells = Cells(zeros, zeros, zeros, zeros, measurements=columns)
    how = {"compartment": "membrane", "statistic": "robust"}
    assert np.isnan(score_of(cells, "CD8", **how)).tolist() == [True, False, False]
    for calls in call_positive(cells, "CD8", 0.1, **how):
        assert calls.tolist() == [False, True, True]


def test_cells_taken_for_pigment_are_counted_and_those_that_stain_alone_would_have_called():
    own = np.array([0.3, 0.3, 0.05, 0.3, 0.3, 0.3], np.float32)
    seen = np.array([0.3, 0.3, 0.05, 0.05, 0.3, 0.3], np.float32)
    pigment = np.array([1.0, 0.2, 1.0, 1.0, 0.0, np.nan], np.float32)
    columns = {"CD8_membrane_own_ridge": own, "CD8_membrane_ridge": seen, "CD8_membrane_pigment": pigment}
    cells = Cells(*(np.zeros(6) for _ in range(4)), measurements=columns)
    how = {"compartment": "membrane", "statistic": "robust"}
    assert count_pigment(cells, "CD8", 0.1, **how) == (5, 4, 2)
    assert count_pigment(cells, "CD8", None, **how) == (5, 4, None)
    assert np.isnan(score_of(cells, "CD8", **how)).sum() == 4
    without = Cells(*(np.zeros(6) for _ in range(4)), measurements={**columns, "CD8_membrane_pigment": pigment * 0})
    called = [call_positive(of, "CD8", 0.1, **how)[1].sum() for of in (cells, without)]
    assert np.diff(called) == 2  # what is counted as above the cut-off is what pigment takes away
    mean = {"compartment": "membrane", "statistic": "mean"}
    assert count_pigment(cells, "CD8", 0.1, **mean) is None  # pigment is looked at by the robust score alone


def sums_of(off, itself, together, hematoxylin=0.5):
    """Return the sums of a cell whose detail, and whose brown itself, lie off the slide's stains by these sines.

    `hematoxylin`: its share of the brown itself; half and half has 0.86 as much red as blue.
    """
    mixes = STAINS.sum(axis=0), np.array([hematoxylin, 1 - hematoxylin]) @ STAINS
    bases = (mix / np.linalg.norm(mix) for mix in mixes)
    pairs = zip(bases, (off, itself), strict=True)
    detail, brown = (base * np.sqrt(1 - sine**2) - sine * NORMAL for base, sine in pairs)
    return np.round(1e6 * np.array([[1.0, together, 1.0, *detail, *brown]])).astype(np.int64)


@pytest.mark.parametrize(
    ("off", "itself", "together", "is_pigment"),
    [
        (0.06, 0.03, 0.92, True),
        (0.06, 0.01, 0.92, False),  # beside a red chromogen brown stands out less green than it is
        (0.06, 0.01, 0.96, True),  # no two stains vary together like that
        (0.06, -0.01, 0.96, False),
        (0.06, 0.03, 0.89, False),
        (0.01, 0.03, 0.96, False),
    ],
)
def test_pigment_is_off_the_stains_in_its_detail_and_by_itself(off, itself, together, is_pigment):
    found = taken(sums_of(off, itself, together))[0]
    assert found == pytest.approx(off if is_pigment else 0, abs=1e-4)


def windows(colours, weights, seed=0):
    """Return as many places as weights whose optical densities vary along colours, 0.15 in each, with some noise."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(colours)), weights)
    r, g, b = 0.15 * np.array(colours)[rows].T + rng.normal(0, 0.003, (3, len(rows)))
    return ColourVariation(*(p.astype(np.float32) for p in (r * r, r * g, r * b, g * b, b * b)), places=len(rows))


@pytest.mark.parametrize("beside", [0, 300, 900])
@pytest.mark.parametrize("turned", [-0.05, 0.0, 0.05])
def test_the_slides_brown_is_found_where_more_of_it_lies_beside_red(beside, turned):
    brown = STAINS[1] + turned * NORMAL
    mixed = 0.7 * brown + 0.3 * np.array([0.21, 0.85, 0.48])
    part = windows((STAINS[0], brown, mixed), (600, 300, beside))
    normal = own_normal([part], PRESETS["dab"])
    assert abs(off_plane(brown[None], normal)[0]) < 0.02
    assert abs(off_plane(STAINS[:1], normal)[0]) < 0.02


def test_a_slide_with_hardly_any_brown_has_the_panels():
    part = windows((STAINS[0], STAINS[1] + 0.05 * NORMAL), (600, 20))
    assert own_normal([part], PRESETS["dab"]) == pytest.approx(NORMAL, abs=0.01)


@pytest.mark.parametrize(("together", "is_pigment"), [(1.0, True), (0.9, True), (0.75, False)])
def test_windows_off_the_stains_are_pigment_where_red_and_blue_vary_as_one_substance(together, is_pigment):
    """JPEG that keeps colour coarsely leaves haloes of such a colour around brown membranes: there they vary apart."""
    r, g, b = STAINS[1] + 0.6 * STAINS[0] - 0.15 * NORMAL
    assert 0.65 < r / b < 1.2
    rr = (r / together) ** 2
    part = ColourVariation(*(np.full(50, 0.04 * v, np.float32) for v in (rr, r * g, r * b, g * b, b * b)), places=1000)
    assert pigment_fraction([part], NORMAL) == (0.05 if is_pigment else 0.0)


def test_the_panels_brown_takes_away_blue_most():
    assert brown_of({"hematoxylin": (0.65, 0.7, 0.29), "x": (0.3, 0.5, 0.8)}) == (0.3, 0.5, 0.8)
    assert brown_of({"hematoxylin": (0.65, 0.7, 0.29)}) == PRESETS["dab"]


@pytest.mark.parametrize(("pigmented", "most"), [(0, 0.05), (2, 0.05), (3, 0.02)])
def test_where_more_than_a_fiftieth_are_pigment_less_is_evidence_enough(pigmented, most):
    """Of 100 cells looked at; the others had hardly any brown. Cells told by more than their colour do not count."""
    looked_at = np.where(np.arange(100) < pigmented, 0.06, 0.04)
    looked_at[-10:] = 1.0
    assert most_pigment(np.concatenate((looked_at, np.full(900, np.nan)))) == most


def population(middle, spread, of=(), seed=0):
    """Return the sums of 200 cells whose correlations spread about a middle (Fisher's z), and of others."""
    z = np.random.default_rng(seed).normal(np.arctanh(middle), spread, 200)
    return np.concatenate([sums_of(0.0, 0.0, together) for together in (*np.tanh(z), *of)])


def test_pigment_of_the_stains_own_colour_is_told_where_stained_cells_show_two_substances():
    sharp = taken(population(0.75, 0.3, of=(0.98, 0.97, 0.8)))
    assert sharp[-3:].tolist() == [1, 1, 0]
    assert (sharp[:200] > 0).mean() < 0.02  # normal tails
    blurred = taken(population(0.94, 0.21, of=(0.97, 0.96)))  # the limit is 0.979
    assert blurred[-2:].tolist() == [0, 0]
    few = taken(population(0.75, 0.3, of=(0.98,))[-49:])
    assert not few.any()


@pytest.mark.parametrize(("n_stained", "told"), [(200, 1), (40, 0)])
def test_cells_with_a_rim_say_what_is_usual_where_there_are_enough(n_stained, told):
    """Beside a red chromogen many cells have a trace of brown whose red and blue go together."""
    sums = np.concatenate((population(0.7, 0.25), population(0.93, 0.1, of=(0.955, 0.99), seed=1)))
    rim = np.where(np.arange(len(sums)) < n_stained, 0.1, 0.03)
    assert pigment_of(sums, NORMAL, has_rim(rim))[-2:].tolist() == [told, 1]


def test_where_a_slide_has_no_melanin_cells_are_pigment_by_their_colour_alone():
    sums = np.concatenate((population(0.75, 0.3, of=(0.98, 0.98)), sums_of(0.06, 0.06, 0.92)))
    either, alone = taken(sums), pigment_of(sums, NORMAL, None)
    assert either[-3:] == pytest.approx([1, 1, 0.06], abs=1e-4)
    assert alone[-3:] == pytest.approx([0, 0, 0.06], abs=1e-4)


def test_nuclei_with_a_trace_of_brown_are_no_pigment():
    sums = population(0.75, 0.3, of=(0.98, 0.98))
    sums[-1, 3:6] = np.round(1e6 * np.array([0.72, 0.28]) @ STAINS)  # 1.3 times as much red as blue
    assert taken(sums)[-2:].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("laden", "with_rim", "mm2", "many"),
    [(4, 100, 0.3, True), (4, 100, 0.5, False), (4, 200, 0.3, False)],
)
def test_a_slide_has_melanin_where_many_cells_with_a_rim_are_pigment(laden, with_rim, mm2, many):
    number = np.arange(500)
    pigment = np.where(number < laden, 1.0, 0.0)
    pigment[-50:] = 1.0  # hardly stained: no positive cell
    assert many_laden(pigment, np.where(number < with_rim, 0.1, 0.01), mm2) == many


@pytest.mark.parametrize(
    ("off", "itself", "together", "hematoxylin", "value"),
    [
        (0.03, 0.01, 0.9, 0.6, 1),
        (0.01, -0.01, 0.9, 0.6, 1),
        (-0.02, -0.04, 0.9, 0.6, 1),  # the stains are known to some hundredths
        (-0.04, -0.01, 0.9, 0.6, 0),
        (0.01, -0.06, 0.9, 0.6, 0),
        (0.01, -0.01, 0.79, 0.6, 0),
        (0.01, -0.01, 0.9, 0.5, 0),  # brown with as little red as that of stained cells
        (0.06, 0.03, 0.92, 0.6, 0.06),  # its colour tells
    ],
)
def test_where_much_of_the_brown_is_pigment_cells_like_it_are(off, itself, together, hematoxylin, value):
    sums = sums_of(off, itself, together, hematoxylin)
    assert pigment_of(sums, NORMAL, None, together=0.8)[0] == pytest.approx(value, abs=1e-4)
    assert pigment_of(sums, NORMAL, None, together=0.95)[0] == pytest.approx(value if value < 1 else 0, abs=1e-4)
    assert pigment_of(sums, NORMAL, None)[0] == pytest.approx(value if value < 1 else 0, abs=1e-4)


@pytest.mark.parametrize(
    ("off", "pigmented", "stained", "much"),
    [
        (0.03, 10, 20, True),
        (0.03, 10, 40, False),
        (0.03, 4, 0, False),
        (0.01, 10, 20, False),  # of the stains' own colour: more than half have to be like it
        (0.01, 25, 20, True),
    ],
)
def test_pigment_is_much_of_the_brown_where_many_of_the_cells_with_a_rim_show_it(off, pigmented, stained, much):
    cells = [sums_of(off, off / 3, 0.94, 0.6)] * pigmented + [sums_of(0.03, 0.01, 0.7)] * stained
    sums = np.concatenate([*cells, *[sums_of(0.03, 0.01, 0.94, 0.6)] * 50])
    rim = np.arange(len(sums)) < pigmented + stained  # of the last fifty none: no positive cells
    least = much_laden(colours_of(sums, NORMAL), rim)
    assert least == (pytest.approx(0.94, abs=1e-4) if much else None)
    assert likeness(sums, None, rim, 1.0) is None


def test_how_well_red_and_blue_go_together_in_pigment_is_the_slides_own():
    z = np.random.default_rng(0).normal(np.arctanh(0.96), 0.1, 400)
    sums = np.concatenate([sums_of(0.03, 0.01, together, 0.6) for together in np.tanh(z)])
    least = much_laden(colours_of(sums, NORMAL), np.ones(len(sums), dtype=bool))
    assert np.arctanh(least) == pytest.approx(np.arctanh(0.96) - 0.4, abs=0.05)


def test_pigment_whose_red_and_blue_are_one_is_taken_as_a_whole():
    sums = np.concatenate([sums_of(0.03, 0.01, 1.0, 0.6)] * 6)
    least = likeness(sums, NORMAL, np.ones(len(sums), dtype=bool), 1.0)
    assert least == pytest.approx(1.0)
    assert (pigment_of(sums, NORMAL, None, together=least) > 0).all()


def test_widely_spread_pigment_is_taken_down_to_a_limit():
    together = np.linspace(0.885, 0.985, 40)
    sums = np.concatenate([sums_of(0.03, 0.01, one, 0.6) for one in together])
    assert much_laden(colours_of(sums, NORMAL), np.ones(len(sums), dtype=bool)) == 0.84


def desert(stained, laden, *, off=0.0, hematoxylin=0.6, n_stained=30, n_laden=12, seed=3):
    """Return sums of stained cells and of laden ones about two middles (correlation, spread of Fisher's z)."""
    rng, cells = np.random.default_rng(seed), []
    for (middle, spread), n, *colour in ((stained, n_stained, 0.0, 0.5), (laden, n_laden, off, hematoxylin)):
        z = rng.normal(np.arctanh(middle), spread, n)
        cells += [sums_of(colour[0], colour[0], one, colour[1]) for one in np.tanh(z)]
    return np.concatenate(cells)


@pytest.mark.parametrize(
    ("stained", "laden", "kind", "tissue_mm2", "told"),
    [
        ((0.65, 0.2), (0.95, 0.15), {}, 1.0, True),
        ((0.5, 0.2), (0.88, 0.15), {}, 1.0, True),  # blurred
        ((0.65, 0.2), (0.95, 0.15), {"off": -0.02}, 1.0, True),
        ((0.65, 0.2), (0.95, 0.15), {"off": -0.06}, 1.0, False),  # a trace of brown beside red is greener
        ((0.65, 0.2), (0.95, 0.15), {"hematoxylin": 0.5}, 1.0, False),  # as little red as stained cells
        ((0.65, 0.2), (0.95, 0.15), {}, 3.0, False),  # four to a mm²
        ((0.65, 0.2), (0.95, 0.15), {"n_laden": 4}, 0.5, False),
        ((0.65, 0.2), (0.95, 0.15), {"n_stained": 4, "off": -0.01}, 1.0, False),  # no stained cells to stand apart from
        ((0.92, 0.2), (0.95, 0.15), {}, 1.0, False),  # all blurred alike, as in real fields
        ((0.8, 0.25), (0.9, 0.2), {}, 1.0, False),  # JPEG
        ((0.2, 0.1), (0.75, 0.1), {}, 1.0, False),  # two kinds of stained cells, neither of one substance
    ],
)
def test_pigment_that_stands_apart_from_few_stained_cells_is_told(stained, laden, kind, tissue_mm2, told):
    sums = desert(stained, laden, **kind)
    rim = np.ones(len(sums), dtype=bool)
    assert much_laden(colours_of(sums, NORMAL), rim) is None
    least = laden_apart(colours_of(sums, NORMAL), rim, tissue_mm2)
    assert (least is not None) == told
    assert likeness(sums, NORMAL, rim, tissue_mm2) == least
    if told:
        taken = pigment_of(sums, NORMAL, None, together=least) > 0
        assert not taken[:30].any()
        assert taken[30:].mean() > 0.9


def test_one_cell_of_a_single_colour_is_no_population_and_cells_without_a_rim_are_not_asked():
    sums = np.concatenate((desert((0.65, 0.2), (0.95, 0.15)), sums_of(0.0, 0.0, 1.0, 0.6)))
    colours = colours_of(sums, NORMAL)
    least = laden_apart(colours, np.ones(len(sums), dtype=bool), 1.0)
    assert 0.7 < least < 0.93
    assert laden_apart(colours, np.arange(len(sums)) < 30, 1.0) is None
    assert laden_apart(colours, np.zeros(len(sums), dtype=bool), 1.0) is None


def test_whether_pigment_stands_apart_does_not_depend_on_the_order_of_cells():
    sums = desert((0.65, 0.2), (0.95, 0.15))
    rim, seen = np.ones(len(sums), dtype=bool), set()
    for seed in range(20):
        shuffled = np.random.default_rng(seed).permutation(sums)
        seen.add(likeness(shuffled, NORMAL, rim, 1.0))
    assert len(seen) == 1
    assert None not in seen
