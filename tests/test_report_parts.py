"""Parts of the report against numbers worked out by hand."""

import io

import cv2
import numpy as np
import pytest
import shapely
from PIL import Image

from spatial_til.flags import FLAGS
from spatial_til.io.overview import read_overview, small_photo
from spatial_til.metrics.groups import Biopsy
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore
from spatial_til.protocol import parse_protocol
from spatial_til.report.course_svg import draw_course
from spatial_til.report.cutoffs import methods_in_words
from spatial_til.report.depth_svg import HEIGHT, draw_depth
from spatial_til.report.figure_style import BLUE, VERMILLION
from spatial_til.report.histograms import histogram_figure
from spatial_til.report.methods import methods_paragraphs
from spatial_til.report.overview import draw_overview
from spatial_til.report.pictures import figure_png
from spatial_til.report.slides import explain

PANEL = {"panel": {"modality": "fluorescence", "channels": {"DAPI": {"marker": "nuclei"}, "A": {"marker": "CD8"}}}}
RUN = {
    "versions": {"spatial-til": "1.2.3", "python": "3.11.0", "numpy": "2.0"},
    "protocol_fingerprint": "abc",
    "finished": "2026-01-02T03:04:05+00:00",
}


@pytest.fixture
def photo(tmp_path):
    """A wide picture: 800 x 400 px of 2400 x 1200 µm."""
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.full((400, 800, 3), (10, 120, 240), np.uint8))
    return path


def test_overview_puts_regions_and_cells_where_they_are(photo):
    regions = {
        "inner_margin": shapely.MultiPolygon([shapely.box(600, 200, 1200, 800)]),
        "Border stroma": shapely.MultiLineString([[(600, 200), (600, 800)]]),
    }
    drawing = draw_overview(photo, (0.0, 0.0, 2400.0, 1200.0), regions, np.array([[1200.0, 300.0], [0.0, 1200.0]]))
    assert (drawing.width, drawing.height) == (1200, 600)  # half a unit a µm
    assert set(drawing.regions[0].path.strip("MZ").split("L")) == {"300,100", "600,100", "600,400", "300,400"}
    assert drawing.borders[0].path == "M300,100L300,400"
    assert drawing.regions[0].amount == "0.36 mm²"
    assert drawing.borders[0].amount == "0.60 mm"
    assert drawing.cells == "M600,150h0M0,600h0"
    assert (drawing.scale_units, drawing.scale_label) == (100.0, "200 µm")


def test_overview_without_photograph_shows_its_frame_only():
    regions = {"inner_margin": shapely.MultiPolygon([shapely.box(9000, 5000, 9600, 5300)])}
    drawing = draw_overview(None, (8800.0, 4900.0, 10000.0, 5500.0), regions, np.array([[8800.0, 5500.0]]))
    assert (drawing.photo, drawing.width, drawing.height) == ("", 1200, 600)
    assert set(drawing.regions[0].path.strip("MZ").split("L")) == {"200,100", "800,100", "800,400", "200,400"}
    assert drawing.cells == "M0,600h0"


def test_overview_says_when_it_leaves_cells_out(photo):
    cells = np.random.default_rng(0).uniform(0, 1000, (5001, 2))
    drawing = draw_overview(photo, (0.0, 0.0, 2400.0, 1200.0), {}, cells)
    assert drawing.cells.count("M") == 1667  # every third
    assert drawing.cells_note == "1,667 of 5,001 CD8+ cells drawn"


def test_photograph_keeps_colours_and_shape(photo):
    data, size = small_photo(read_overview(photo), 200, 60_000)
    assert size == (200, 100)
    image = np.asarray(Image.open(io.BytesIO(data)))
    assert image.shape == (100, 200, 3)
    np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), (240, 120, 10), atol=3)  # red first


def test_photograph_fits_where_it_can(tmp_path):
    path = tmp_path / "noise.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (600, 600, 3), dtype=np.uint8))
    large, small = (len(small_photo(read_overview(path), 600, most)[0]) for most in (10_000_000, 1000))
    assert small < 0.5 * large  # the lowest quality, though it does not fit


def band(start, density, *, population="CD8+", area=0.1, low=None, high=None):
    row = {"population": population, "from_um": start, "to_um": start + 50, "area_mm2": area}
    return row | {"density_per_mm2": density, "ci_low": low, "ci_high": high}


def test_depth_profile_stands_at_its_distances_and_densities():
    rows = [band(-100, 10.0), band(-50, 100.0), band(0, 1000.0), band(50, 0.0)]
    drawing = draw_depth({"CD8+": rows}, inner_um=80, outer_um=40)
    (curve,) = drawing.curves
    x = [point[0] for point in curve.points]
    assert np.ptp(np.diff(x)) < 0.21  # equal bands, equal steps; the drawing has tenths of a pixel
    assert drawing.border_x == pytest.approx((x[1] + x[2]) / 2, abs=0.2)
    up = [HEIGHT - point[1] for point in curve.points]
    assert up[2] - up[1] == pytest.approx(up[1] - up[0], abs=0.2)  # a decade is a decade
    assert up[0] - up[3] == pytest.approx((up[1] - up[0]) / 2, abs=0.2)  # 0 to 10 takes half of one
    per_um = (x[1] - x[0]) / 50
    assert drawing.margin == pytest.approx((drawing.border_x - 80 * per_um, drawing.border_x + 40 * per_um), abs=0.2)
    assert drawing.words == "CD8+ densest 0 to 50 µm outside the tumour: 1,000 per mm²"


def test_a_profile_looks_the_same_where_another_is_missing():
    rows = [band(-50, 10.0)]
    both = draw_depth({"a": rows, "b": rows, "c": rows}, inner_um=80, outer_um=40)
    one = draw_depth({"a": rows, "b": [], "c": rows}, inner_um=80, outer_um=40)
    assert [curve.look for curve in both.curves] == [0, 1, 2]
    assert [(curve.label, curve.look) for curve in one.curves] == [("a", 0), ("c", 2)]


def test_depth_profile_leaves_out_slivers_and_the_unknown():
    rows = [band(-50, 50.0), band(0, 5000.0, area=0.001), band(50, None)]
    profiles = {"CD8+": rows, "PD-L1+": [band(0, 9.0)], "missing": []}
    drawing = draw_depth(profiles, inner_um=100, outer_um=100)
    assert {curve.label: len(curve.points) for curve in drawing.curves} == {"CD8+": 1, "PD-L1+": 1}
    assert draw_depth({"CD8+": [band(0, None)]}, inner_um=1, outer_um=1) is None


def biopsy(timepoint, core, margin, call="inflamed"):
    estimates = {
        ("CD8+", part): Estimate(round(2 * n), 2.0, n, n / 2, 2 * n, 0.3, 20)
        for part, n in (("core", core), ("margin", margin))
    }
    meta = SlideMeta(f"s-{timepoint}", "P1", timepoint, "L1")
    score = SlideScore(
        meta=meta, tiles={}, estimates=estimates, values={}, phenotype=Call(call, call, {}), activity={}, gates={},
        settings={},
    )  # fmt: skip
    return Biopsy(score, (meta.slide_id,))


def test_course_stands_at_its_time_points_and_densities():
    groups = [biopsy("baseline", 100.0, 1000.0), biopsy("progression", 1000.0, 100.0, call="not_evaluable")]
    when = ("baseline", "on_treatment", "progression")
    drawing = draw_course(groups, timepoints=when, hot_cd8_per_mm2=100.0)
    (panel,) = drawing.panels  # PD-L1 was not counted
    x = [at for at, _ in drawing.under]
    assert np.diff(x) == pytest.approx([(drawing.right - drawing.left) / 3] * 2, abs=0.2)
    (x0, y0, solid0), (x1, y1, solid1) = panel.core.marks
    assert (x0 + panel.margin.marks[0][0]) / 2 == pytest.approx(x[0], abs=0.1)
    assert (x1 + panel.margin.marks[1][0]) / 2 == pytest.approx(x[2], abs=0.1)
    assert (solid0, solid1) == (True, False)
    assert (y0, y1) == (panel.margin.marks[1][1], panel.margin.marks[0][1])
    assert panel.cut_y == y0 > y1
    decade = {text: y for y, text in panel.y_ticks}
    assert (decade["100"], decade["1,000"]) == (y0, y1)
    assert panel.core.lines == ""  # the time point between has no biopsy
    assert panel.core.gaps == f"M{x0},{y0}L{x1},{y1}"
    assert panel.core.whiskers.count("V") == 2
    assert [text for _, text in drawing.under[1][1]] == ["on treatment", "not sampled"]
    assert drawing.words.startswith("baseline: CD8+ per mm² core 100, margin 1,000; progression: ")


def test_histogram_counts_both_sides_of_the_cut_off():
    scores = np.concatenate([np.linspace(0, 0.4, 900), np.linspace(0.6, 0.993, 100), [np.nan]])
    axes = histogram_figure(scores, 0.5).axes[0]
    height = dict.fromkeys((BLUE.lower(), "#b8b8b8"), 0.0)
    from matplotlib.colors import to_hex

    for bar in axes.patches:
        height[to_hex(bar.get_facecolor())] += bar.get_height()
    assert sum(height.values()) == pytest.approx(1000, abs=4)  # but the outermost 0.05 % on each side
    assert height[BLUE.lower()] == pytest.approx(100, abs=2)
    for bar in axes.patches:  # no bar lies on both sides
        left, right = bar.get_x(), bar.get_x() + bar.get_width()
        assert (left >= 0.5 - 1e-9) == (to_hex(bar.get_facecolor()) == BLUE.lower())
        assert left >= 0.5 - 1e-9 or right <= 0.5 + 1e-9
    (line,) = [line for line in axes.get_lines() if to_hex(line.get_color()) == VERMILLION.lower()]
    assert line.get_xdata()[0] == 0.5


@pytest.mark.parametrize(("scores", "cut"), [([], 0.5), ([0.3] * 50, None), ([np.nan], None)])
def test_histogram_of_little_or_nothing(scores, cut):
    picture = figure_png(histogram_figure(np.array(scores, dtype=float), cut, title="$x$ <b>"))
    assert Image.open(io.BytesIO(picture)).size[0] > 300


def test_pictures_of_figures_are_the_same_bytes():
    scores = np.linspace(0, 1, 500)
    first, second = (figure_png(histogram_figure(scores, 0.5)) for _ in range(2))
    assert first == second
    assert len(first) < 30_000


def test_methods_state_what_the_protocol_says():
    changed = PANEL | {
        "compartments": {"inner_um": 250, "outer_um": 400},
        "scores": {"hot_cd8_per_mm2": 200},
        "statistics": {"confidence": 0.9, "seed": 7},
        "longitudinal": {"allow_cross_batch": True},
    }
    text = " ".join(methods_paragraphs(parse_protocol(changed, "test"), RUN))
    for part in ("spatial_til 1.2.3", "250 µm into the tumour", "400 µm out of it", "200 CD8+", "90 %", "seed 7"):
        assert part in text
    assert "across batches was allowed" in text
    assert "cut-off of Kather" not in text  # 200 is not theirs
    default = " ".join(methods_paragraphs(parse_protocol(PANEL, "test"), RUN))
    assert "295 CD8+ cells per mm² in the core (cut-off of Kather" in default


def test_methods_say_whether_artefacts_were_looked_for():
    stains = {"H": {"marker": "nuclei", "vector": "hematoxylin"}, "D": {"marker": "CD8", "vector": "dab"}}
    panels = PANEL, {"panel": {"modality": "brightfield", "stains": stains}}
    dark, bright = (" ".join(methods_paragraphs(parse_protocol(panel, "test"), RUN)) for panel in panels)
    assert "are not evaluable; folds, bubbles and dirt were not looked for. Cut-offs" in dark
    assert "% artefacts" not in dark
    assert "or with more than 30 % artefacts, are not evaluable. Cut-offs" in bright


def test_methods_say_which_slides_were_done_another_way():
    mine, other = (parse_protocol(PANEL | {"compartments": {"inner_um": um}}, "test") for um in (500, 250))
    paragraphs = methods_paragraphs(mine, RUN, {"s1": mine, "s2": other, "s3": mine})
    regions = [text for text in paragraphs if "into the tumour" in text]
    assert regions[0].startswith("2 of 3 slides: ")
    assert "500 µm into" in regions[0]
    assert regions[1].startswith("s2: ")
    assert "250 µm into" in regions[1]
    assert len(paragraphs) == len(methods_paragraphs(mine, RUN)) + 1
    assert methods_paragraphs(mine, RUN, {"s1": mine}) == methods_paragraphs(mine, RUN)


@pytest.mark.parametrize("rule", ["density_ratio", "kather2018", "grid"])
@pytest.mark.parametrize("edge", ["margin", "not_margin"])
def test_methods_know_every_rule(rule, edge):
    changed = PANEL | {"scores": {"rule": rule}, "compartments": {"tissue_edge": edge}}
    if rule == "grid":
        changed = changed | {
            "panel": {**PANEL["panel"], "channels": {**PANEL["panel"]["channels"], "T": {"marker": "tumor"}}}
        }
    assert all(methods_paragraphs(parse_protocol(changed, "test"), RUN))


def test_every_flag_can_be_explained():
    codes = [f"{code}:HLA-I" if code == "marker_loss" else code for code in FLAGS]
    assert [(e.code, bool(e.meaning), bool(e.remedy)) for e in explain(codes)] == [(c, True, True) for c in codes]


def test_cut_offs_are_explained_where_they_were_used():
    rows = [{"method": "tail"}, {"method": "valley"}, {"method": "tail"}]
    assert [text.partition(":")[0] for text in methods_in_words(rows)] == ["Valley", "Tail"]
    assert methods_in_words([{"method": "none"}]) == []


def test_methods_say_what_a_robust_score_is_and_what_was_taken_off_it():
    stains = {"H": {"marker": "nuclei", "vector": "hematoxylin"}, "D": {"marker": "CD8", "vector": "dab"}}
    two = stains | {"R": {"marker": "PD-L1", "vector": "fast_red"}}
    one, both = (
        methods_paragraphs(parse_protocol({"panel": {"modality": "brightfield", "stains": of}}, "test"), RUN)[0]
        for of in (stains, two)
    )
    assert "Robust: how far stain of the rim stands above" in one
    assert "was taken off the other" not in one  # one chromogen lends nothing
    assert "showed of one chromogen as another was taken off the other" in both


def test_counts_of_a_histogram_are_numbers_and_not_powers():
    figure = histogram_figure(np.repeat([0.1, 0.9], [5000, 500]), 0.5)
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "1,000" in labels
    assert not [text for text in labels if "$" in text]
