"""Journals as data: replay against a plain model, lines digit for digit, outlines repaired or refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box

from spatial_til.review import events as ev
from spatial_til.review.drawing import MAX_REPAIR_CHANGE, commit_polygon
from spatial_til.review.lines import event_line, parse_line
from spatial_til.review.state import ReviewState, apply, corrections_of, replay

NUMBER = st.floats(allow_nan=False, allow_infinity=False, width=64)
PLACE = st.sampled_from([(1.0, 2.0), (3.5, 4.25), (0.1 + 0.2, 1 / 3)])
MARKER = st.sampled_from(["CD8", "PD-L1"])
TEXT = st.text(max_size=8)
WHO = {"who": st.just("anna"), "why": TEXT, "before": st.dictionaries(TEXT, st.none() | NUMBER | TEXT, max_size=2)}


@st.composite
def squares(draw):
    x, y, side = (draw(st.floats(0.1, 5e4)) for _ in range(3))
    hole = Polygon([(x + f * side, y + g * side) for f, g in ((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7))])
    square = box(x, y, x + side, y + side)
    return MultiPolygon([square.difference(hole) if draw(st.booleans()) else square])


REGION = st.builds(
    ev.RegionEdit,
    **WHO,
    region=st.sampled_from(ev.REGION_NAMES),
    geometry=st.none() | st.just(MultiPolygon()) | squares(),
)
CUT = st.builds(ev.ThresholdEdit, **WHO, marker=MARKER, value=st.none() | NUMBER)


@st.composite
def cell_edits(draw):
    x, y = draw(PLACE)
    here = {"who": "anna", "x_um": x, "y_um": y}
    return draw(
        st.sampled_from(
            [
                ev.CallFlip(**here, marker=draw(MARKER), positive=draw(st.booleans())),
                ev.CellRemoved(**here),
                ev.CellAdded(**here, calls={"CD8": draw(st.booleans())}),
            ]
        )
    )


CLASS = st.builds(
    ev.ClassOverride,
    who=st.just("anna"),
    why=st.just("as seen"),
    phenotype=st.sampled_from([None, "inflamed", "desert"]),
)
EDIT = REGION | CUT | cell_edits() | CLASS
OTHER = st.sampled_from(
    [
        ev.SessionOpened(who="anna", slide_id="S", measure_key="k", blinded=True),
        ev.SessionClosed(who="anna"),
        ev.Unblinded(who="anna"),
        ev.LineSetAside(who="anna", line=3),
    ]
)
STEP = st.builds(ev.Undo, who=st.just("anna"), n=st.integers(1, 3)) | st.builds(
    ev.Redo, who=st.just("anna"), n=st.integers(1, 3)
)
EVENTS = st.lists(EDIT | STEP | OTHER, max_size=25)


class Model:
    """The same slide with its edits applied one by one to plain variables, every earlier state kept whole."""

    def __init__(self) -> None:
        self.now = {"regions": {}, "thresholds": {}, "flips": {}, "removed": set(), "added": {}, "override": None}
        self.past, self.future = [], []

    def take(self, event) -> None:
        match event:
            case ev.Undo(n=n):
                for _ in range(min(n, len(self.past))):
                    self.future.append(self.now)
                    self.now = self.past.pop()
            case ev.Redo(n=n):
                for _ in range(min(n, len(self.future))):
                    self.past.append(self.now)
                    self.now = self.future.pop()
            case ev.Edit():
                self.past.append(self.now)
                self.future.clear()
                self.now = self._edited(event)

    def _edited(self, event):
        new = {k: (v.copy() if hasattr(v, "copy") else v) for k, v in self.now.items()}
        match event:
            case ev.RegionEdit(region=region, geometry=geometry):
                new["regions"].pop(region, None)
                if geometry is not None:
                    new["regions"][region] = geometry
            case ev.ThresholdEdit(marker=marker, value=value):
                new["thresholds"].pop(marker, None)
                if value is not None:
                    new["thresholds"][marker] = value
            case ev.CallFlip(x_um=x, y_um=y, marker=marker, positive=positive):
                new["flips"][x, y, marker] = positive
            case ev.CellRemoved(x_um=x, y_um=y):
                if new["added"].pop((x, y), None) is None:
                    new["removed"].add((x, y))
            case ev.CellAdded(x_um=x, y_um=y, calls=calls):
                new["added"][x, y] = calls
            case ev.ClassOverride(phenotype=phenotype):
                new["override"] = phenotype
        return new


def seen(state: ReviewState) -> dict:
    return {
        "regions": state.regions,
        "thresholds": state.thresholds,
        "flips": {(e.x_um, e.y_um, e.marker): e.positive for e in state.flips},
        "removed": {(e.x_um, e.y_um) for e in state.removed},
        "added": {(e.x_um, e.y_um): e.calls for e in state.added},
        "override": state.override.phenotype if state.override else None,
    }


@given(EVENTS)
def test_replay_is_direct_application(events):
    model = Model()
    for event in events:
        model.take(event)
    assert seen(replay(events)) == model.now


@given(EVENTS, st.integers(1, 4))
def test_undo_then_redo_is_nothing(events, n):
    state = replay(events)
    n = min(n, len(state.done))
    if n:
        back = apply(apply(state, ev.Undo(who="anna", n=n)), ev.Redo(who="anna", n=n))
        assert back == state


@given(EVENTS)
@settings(max_examples=200)
def test_lines_bring_back_events_digit_for_digit(events):
    again = [parse_line(event_line(event)) for event in events]
    assert again == events
    assert replay(again) == replay(events)
    assert all("\n" not in event_line(event) for event in events)


def test_a_flip_of_an_added_cell_and_its_removal():
    here = {"who": "anna", "x_um": 1.0, "y_um": 2.0}
    state = replay([ev.CellAdded(**here, calls={"CD8": True}), ev.CellRemoved(**here)])
    assert state.added == ()
    assert state.removed == ()


def test_who_has_seen_the_patient_is_remembered():
    opened = ev.SessionOpened(who="anna", slide_id="S", measure_key="k", blinded=True)
    assert not replay([opened]).unblinded
    after = replay([opened, ev.Unblinded(who="anna"), opened])
    assert after.unblinded
    assert after.blinded


def test_edits_made_on_another_image_are_stale_all_of_them():
    old = ev.ThresholdEdit(who="anna", marker="CD8", value=0.2, image_sha256="aa")
    new = ev.ThresholdEdit(who="anna", marker="PD-L1", value=0.3, image_sha256="bb")
    found = corrections_of(replay([old, new]), "bb")
    assert found.thresholds == {"PD-L1": 0.3}
    assert [(s.what, s.marker) for s in found.stale] == [("ThresholdEdit", "CD8")]
    assert corrections_of(ReviewState(), "bb") is None


FLIP = json.loads(event_line(ev.CallFlip(who="anna", x_um=1.5, y_um=2.5, marker="CD8", positive=True)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": 2}, "schema 2 is not 1"),
        ({"event": "erase"}, "'erase' is no event"),
        ({"event": ["x"]}, "is no event"),
        ({"x_um": "1.5"}, "x_um must be a finite number"),
        ({"x_um": True}, "x_um must be a finite number"),
        ({"positive": 1}, "positive must be true or false"),
        ({"when": "yesterday"}, "when must be an ISO time"),
        ({"when": "2026-01-01T00:00:00"}, "when must be an ISO time with its offset"),
        ({"colour": "red"}, "colour is not known"),
        ({"before": {"a": [1]}}, "before must be numbers"),
    ],
)
def test_a_line_that_is_no_event_says_why(change, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        parse_line(json.dumps(FLIP | change))


def test_a_class_without_a_reason_is_refused():
    with pytest.raises(ValueError, match="needs a reason"):
        ev.ClassOverride(who="anna", phenotype="desert", why=" ")
    line = json.loads(event_line(ev.ClassOverride(who="anna", phenotype="desert", why="necrosis")))
    with pytest.raises(ValueError, match="needs a reason"):
        parse_line(json.dumps(line | {"why": ""}))
    ev.ClassOverride(who="anna", phenotype=None)


def test_geometry_that_is_none_is_refused():
    line = json.loads(event_line(ev.RegionEdit(who="anna", region="tumor", geometry=MultiPolygon([box(0, 0, 1, 1)]))))
    for wrong in (
        "POLYGON",
        {"type": "Point", "coordinates": [0, 0]},
        {"type": "MultiPolygon", "coordinates": [[[1]]]},
    ):
        with pytest.raises(ValueError, match="geometry must be a valid GeoJSON MultiPolygon"):
            parse_line(json.dumps(line | {"geometry": wrong}))
    bow = {"type": "MultiPolygon", "coordinates": [[[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]]}
    with pytest.raises(ValueError, match="geometry must be a valid"):
        parse_line(json.dumps(line | {"geometry": bow}))


TUMOR = MultiPolygon([box(0, 0, 1000, 1000)])


def square(x, y, side):
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


@pytest.mark.parametrize(
    ("operation", "outline", "area"),
    [
        ("draw", square(2000, 0, 500), 1_250_000),
        ("extend", square(900, 0, 500), 1_000_000 + 400 * 500),
        ("cut", square(400, 400, 200), 960_000),
        ("replace", square(0, 0, 300), 90_000),
    ],
)
def test_operations_give_the_area_drawn(operation, outline, area):
    made = commit_polygon(outline, operation, TUMOR)
    assert made.region.area == pytest.approx(area, rel=1e-12)
    assert made.message == ""


def test_a_hole_is_drawn_by_cutting():
    made = commit_polygon(square(400, 400, 200), "cut", TUMOR)
    assert len(made.region.geoms[0].interiors) == 1


@pytest.mark.parametrize("operation", ["cut", "extend"])
def test_an_outline_apart_is_refused(operation):
    made = commit_polygon(square(5000, 5000, 100), operation, TUMOR)
    assert made.refused
    assert operation in made.message


def test_a_slip_of_the_hand_is_repaired_and_said():
    loop = [(0, 0), (1000, 0), (1000, 1000), (0, 1000), (10, -30)]  # the last side crosses the first
    made = commit_polygon(loop, "replace", TUMOR)
    assert made.region.is_valid
    assert made.region.area == pytest.approx(1e6, rel=MAX_REPAIR_CHANGE)
    assert "crossed itself: repaired" in made.message


def test_a_figure_of_eight_is_refused_with_its_change():
    made = commit_polygon([(0, 0), (1000, 1000), (1000, 0), (0, 1000)], "draw", None)
    assert made.refused
    assert "100 %" in made.message


@pytest.mark.parametrize(
    ("outline", "says"),
    [
        ([(0, 0), (1, 1)], "three different points, this has 2"),
        ([(5, 5)] * 6, "three different points, this has 1"),
        ([(0, 0), (5, 5), (10, 10)], "encloses"),
        (square(0, 0, 2), "less than a cell"),
        ([(0, 0), (math.nan, 1), (1, 1)], "finite"),
        (np.empty((0, 2)), "this has 0"),
    ],
)
def test_what_is_no_outline_is_refused_with_the_reason(outline, says):
    made = commit_polygon(outline, "draw", TUMOR)
    assert made.refused
    assert says in made.message


def test_nothing_may_be_left_of_an_exclusion_but_not_of_the_tumour():
    everything = square(-10, -10, 2000)
    assert "nothing of the region would be left" in commit_polygon(everything, "cut", TUMOR).message
    assert commit_polygon(everything, "cut", TUMOR, may_be_empty=True).region.is_empty


def test_where_no_cells_were_measured_nothing_is_drawn():
    measured = MultiPolygon([box(0, 0, 1500, 1500)])
    made = commit_polygon(square(900, 0, 1000), "extend", TUMOR, within=measured)
    assert made.region.area == pytest.approx(1e6 + 500 * 1000, rel=1e-12)
    assert "0.4 mm² where no cells were measured" in made.message
    assert commit_polygon(square(4000, 0, 100), "draw", TUMOR, within=measured).refused
