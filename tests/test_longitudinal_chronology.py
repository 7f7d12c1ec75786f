"""Dates that contradict the time points are named, one line each; all others are let through."""

from datetime import date

import pytest

from spatial_til.chronology import date_problems
from spatial_til.model import SlideMeta

START = date(2024, 3, 1)
DAYS = {"baseline": date(2024, 2, 1), "on_treatment": date(2024, 4, 1), "progression": date(2025, 6, 1)}


def row(timepoint, day, *, lesion="A", start=START, patient="P1"):
    return SlideMeta(
        f"{patient}-{lesion}-{timepoint}", patient, timepoint, lesion, biopsy_date=day, treatment_start=start
    )


def test_dates_in_order_are_accepted():
    assert date_problems([row(t, d) for t, d in DAYS.items()]) == []


def test_unknown_dates_say_nothing():
    assert date_problems([row(t, None, start=None) for t in DAYS]) == []


@pytest.mark.parametrize(
    ("timepoint", "day", "words"),
    [
        pytest.param("baseline", date(2024, 3, 2), "must not be after treatment_start 2024-03-01", id="late baseline"),
        pytest.param("on_treatment", date(2024, 2, 20), "must not be before treatment_start", id="early on treatment"),
        pytest.param("progression", date(2024, 3, 20), "progression must be after on_treatment", id="swapped"),
        pytest.param("progression", DAYS["on_treatment"], "progression must be after on_treatment", id="same day"),
    ],
)
def test_a_contradiction_is_named(timepoint, day, words):
    problems = date_problems([row(t, day if t == timepoint else d) for t, d in DAYS.items()])
    assert len(problems) == 1
    assert words in problems[0]
    assert str(day) in problems[0]
    assert problems[0].startswith("patient P1: ")


def test_baseline_on_the_day_of_treatment_start_is_accepted():
    assert date_problems([row("baseline", START), row("on_treatment", DAYS["on_treatment"])]) == []


def test_lesions_may_progress_at_different_times_but_share_their_baseline():
    lesions = [row("progression", date(2024, 5, 1)), row("on_treatment", date(2024, 8, 1), lesion="B")]
    assert date_problems(lesions) == []
    late_baseline = row("baseline", date(2024, 6, 1), lesion="C", start=None)
    unknown_start = [row("progression", date(2024, 5, 1), start=None), late_baseline]
    assert len(date_problems(unknown_start)) == 1


def test_two_treatment_starts_are_named():
    rows = [row("baseline", DAYS["baseline"]), row("progression", DAYS["progression"], start=date(2024, 3, 8))]
    (problem,) = date_problems(rows)
    assert "2024-03-01 and 2024-03-08" in problem


def test_patients_and_control_rows_are_kept_apart():
    rows = [
        row("progression", DAYS["baseline"], start=None),
        row("baseline", DAYS["progression"], patient="P2", start=None),
    ]
    controls = [row("baseline", DAYS["progression"], patient="")]
    assert date_problems(rows + controls) == []


def test_the_protocols_own_time_points_are_ordered():
    rows = [row("week4", date(2024, 6, 1)), row("week12", date(2024, 4, 1))]
    assert date_problems(rows) == []  # not among the default time points
    assert len(date_problems(rows, ["baseline", "week4", "week12"])) == 1
