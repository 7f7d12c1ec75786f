"""Figures show what they say: every biopsy in its place, class and site under it, nothing by colour alone."""

import subprocess
import sys
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from matplotlib.image import imsave

from spatial_til.metrics.groups import biopsies
from spatial_til.metrics.patients import PatientRow
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore
from spatial_til.report.figure_style import COMPARTMENT_LINES, TIMEPOINT_LINES
from spatial_til.report.figures_cohort import CALL_LINES, cohort_figure
from spatial_til.report.figures_depth import depth_figure
from spatial_til.report.figures_longitudinal import patient_figure

TIMEPOINTS = ("baseline", "on_treatment", "progression")


def density(per_mm2):
    return Estimate(round(2 * per_mm2), 2.0, per_mm2, per_mm2 * 0.8, per_mm2 * 1.25, 0.1, 40)


def slide(timepoint, core, margin, *, call="inflamed", patient="P1", lesion="A", **changes):
    score = SlideScore(
        meta=SlideMeta(f"{patient}-{lesion}-{timepoint}", patient, timepoint, lesion, biopsy_date=date(2024, 1, 15)),
        tiles={},
        estimates={("CD8+", "core"): density(core), ("CD8+", "margin"): density(margin)},
        values={},
        phenotype=Call(call, call, {call: 1.0}),
        activity={"combined": Call("margin", "margin", {})},
        gates={},
        settings={},
    )
    return replace(score, **changes)


def groups_of(*scores):
    return biopsies(scores, timepoints=TIMEPOINTS, pool=lambda s: s[0])


def all_axes(figure):
    return [axes for axes in figure.get_axes() if axes.get_ylabel()]


def labels(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def points(axes):
    """Markers by colour: (x, y, filled)."""
    return {
        (line.get_color(), round(float(line.get_xdata()[0]), 2)): (
            float(line.get_ydata()[0]),
            line.get_markerfacecolor() != "white",
        )
        for line in axes.get_lines()
        if line.get_marker() not in {"", "None"} and len(line.get_xdata()) == 1
    }


def test_patient_densities_stand_at_their_time_points():
    groups = groups_of(
        slide("baseline", 150, 417, call="excluded"), slide("progression", 30, 492, call="not_evaluable")
    )
    (axes,) = all_axes(patient_figure(groups, timepoints=TIMEPOINTS, hot_cd8_per_mm2=295))
    core, margin = COMPARTMENT_LINES["core"].color, COMPARTMENT_LINES["margin"].color
    assert points(axes) == {
        (core, -0.07): (150, True),
        (margin, 0.07): (417, True),
        (core, 1.93): (30, False),  # hollow: cannot be evaluated
        (margin, 2.07): (492, False),
    }
    assert axes.get_ylabel() == "CD8+ per mm²"


def test_class_date_and_site_stand_under_each_time_point():
    gone = slide("progression", 0, 0, call="not_evaluable", flags=("no_tumor_region",), gates={"tumor_mm2": 0.0})
    (axes,) = all_axes(
        patient_figure(groups_of(slide("baseline", 150, 417, call="excluded"), gone), timepoints=TIMEPOINTS)
    )
    first, second, third = labels(axes)
    assert first == "baseline\n2024-01-15\nexcluded\nactivity: margin"
    assert "not sampled" in second
    assert "no tumour left" in third


def test_a_missing_time_point_is_bridged_by_dots():
    (axes,) = all_axes(
        patient_figure(groups_of(slide("baseline", 150, 417), slide("progression", 30, 492)), timepoints=TIMEPOINTS)
    )
    bridges = [
        line
        for line in axes.get_lines()
        if len(line.get_xdata()) == 2 and line.get_xdata()[1] - line.get_xdata()[0] == 2
    ]
    assert {line.get_linestyle() for line in bridges} == {":"}


def test_every_lesion_and_every_population_has_a_panel():
    scores = [slide("baseline", 150, 417, lesion=lesion) for lesion in ("A", "B")]
    more = {("PD-L1+", part): density(50) for part in ("core", "margin")}
    scores[0] = replace(scores[0], estimates=scores[0].estimates | more)
    figure = patient_figure(groups_of(*scores), timepoints=TIMEPOINTS)
    assert [axes.get_ylabel() for axes in all_axes(figure)] == ["CD8+ per mm²", "PD-L1+ per mm²"] * 2


def test_thumbnails_are_shown_where_they_exist(tmp_path):
    imsave(tmp_path / "a.png", np.zeros((4, 6, 3)))
    paths = {"P1-A-baseline": tmp_path / "a.png", "P1-A-progression": tmp_path / "missing.png"}
    groups = groups_of(slide("baseline", 150, 417), slide("progression", 30, 492))
    figure = patient_figure(groups, timepoints=TIMEPOINTS, thumbnails=paths)
    assert [len(axes.get_images()) for axes in figure.get_axes() if axes not in all_axes(figure)] == [1, 0, 0]


def test_hostile_names_are_shown_as_they_stand(tmp_path):
    groups = groups_of(
        slide("baseline", 150, 417, patient="$\\frac{a$ <script>", lesion="$x_"),
        slide("baseline", 1, 2, patient="$\\frac{a$ <script>", lesion="$y"),
    )
    patient_figure(groups, timepoints=TIMEPOINTS, pattern="excluded → $inflamed").savefig(tmp_path / "f.png")


def test_cohort_shows_every_course_and_the_median():
    scores = [slide(when, core, 400, patient=f"P{i}") for i, core in enumerate((100, 200, 400)) for when in TIMEPOINTS]
    row = PatientRow("P0", 3, {}, {}, {}, {"A": "on_treatment->progression: reversion_to_excluded"}, "", "", "", ())
    figure = cohort_figure(groups_of(*scores), [row], timepoints=TIMEPOINTS)
    core, _, ratio = figure.get_axes()
    courses = {tuple(line.get_ydata()): line.get_color() for line in core.get_lines()}
    assert courses[100.0, 100.0, 100.0] == CALL_LINES["reversion_to_excluded"].color
    assert tuple(core.get_lines()[-1].get_ydata()) == (200.0, 200.0, 200.0)  # the median, drawn last
    assert labels(core)[0] == "baseline\nn = 3"
    assert [line.get_ydata()[0] for line in ratio.get_lines()][-1] == pytest.approx(-1, abs=0.01)
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert texts == ["reversion to excluded (1)", "other (2)", "median of patients"]


def test_depth_profiles_lie_over_each_other():
    def rows(density_per_mm2):
        return [
            {
                "population": "CD8+",
                "from_um": a,
                "to_um": a + 50,
                "area_mm2": area,
                "density_per_mm2": density_per_mm2,
                "ci_low": 1.0,
                "ci_high": None,
            }
            for a, area in ((-100, 0.2), (-50, 0.2), (0, 0.2), (50, 0.001))
        ]

    figure = depth_figure({"baseline": rows(100.0), "progression": rows(20.0), "empty": []})
    (axes,) = figure.get_axes()
    curves = {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}
    assert list(curves) == ["baseline", "progression"]
    assert curves["baseline"].get_xdata().tolist() == [-75, -25, 25]  # the last band has hardly any tissue
    assert set(curves["progression"].get_ydata()) == {20.0}


@pytest.mark.parametrize("lines", [COMPARTMENT_LINES.values(), TIMEPOINT_LINES, CALL_LINES.values()])
def test_lines_differ_in_marker_and_dash(lines):
    lines = list(lines)
    assert len({line.marker for line in lines}) == len({line.dash for line in lines}) == len(lines)


def test_no_window_is_prepared():
    modules = "spatial_til.report.figures_longitudinal, spatial_til.report.figures_cohort"
    code = f"import sys, {modules}; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
