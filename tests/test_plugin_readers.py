"""Worklist, blinded reading and two readers at the desk, without a window."""

import json

import pytest

from spatial_til.errors import SpatialTilError
from spatial_til.io.folder import ScoredFolder
from spatial_til.plugin.comparing import compare_readers, open_consensus
from spatial_til.plugin.desk import Desk
from spatial_til.plugin.waiting import entries, waiting_slides
from spatial_til.review.consensus import CONSENSUS
from spatial_til.review.journal import read_journal
from spatial_til.review.session import Cancelled
from spatial_til.review.worklist import Waiting

SLIDES = ["A_base", "A_on", "A_prog"]
NAMES = ("A_base", "A_on", "A_prog", "baseline", "on_treatment", "progression", "none.tif", "drawn.geojson")


def never():
    return False


def test_slides_are_listed_by_time_and_by_what_needs_eyes(folder):
    desk = Desk(folder, "anna")
    waiting = waiting_slides(folder, cancelled=never)
    given = entries(desk, waiting, "given")
    assert [entry.slide_id for entry in given] == [*SLIDES, "never_measured"]
    assert [entry.can_open for entry in given] == [True, True, True, False]
    assert given[0].title == "A · baseline · L1 (A_base)"
    assert given[0].why.endswith("not read yet")
    by_need = entries(desk, waiting, "need")
    assert [entry.slide_id for entry in by_need] == [w.slide_id for w in waiting]
    assert by_need[0].why.startswith("100 points; ")
    with pytest.raises(Cancelled):
        waiting_slides(folder, cancelled=lambda: True)


def test_a_blinded_reader_sees_cases_and_no_names(folder):
    desk = Desk(folder, "anna", blinded=True)
    order = [meta.slide_id for meta in desk.slides]
    assert sorted(order) == SLIDES
    assert order == [meta.slide_id for meta in Desk(folder, "anna", blinded=True).slides]
    shuffled = {tuple(m.slide_id for m in Desk(folder, f"r{k}", blinded=True).slides) for k in range(12)}
    assert len(shuffled) > 2  # every reader has an order of their own
    waiting = [Waiting(i, 7.0, (f"{i} of A at baseline: none.tif",), ("ben",)) for i in SLIDES]
    for kind in ("given", "need"):  # equal points must not fall back on the order of the tables
        listed = entries(desk, waiting, kind)
        assert [entry.slide_id for entry in listed] == order
        assert all(name not in entry.title + entry.why for entry in listed for name in NAMES)
    desk.open(order[0])
    assert desk.state.blinded
    assert not desk.state.unblinded
    said = desk.hide(f"{folder}/review/{order[0]}.anna.jsonl: Opening {order[0]} …")
    assert all(name not in said for name in NAMES)
    assert said.endswith(f"Opening {desk.name_of(order[0])} …")


def test_unblinding_is_of_one_slide_needs_a_reason_and_is_in_the_journal(folder):
    desk = Desk(folder, "anna", blinded=True)
    first, second = (meta.slide_id for meta in desk.slides[:2])
    desk.open(first)
    with pytest.raises(SpatialTilError, match="write why"):
        desk.unblind("  ")
    assert desk.state.blinded
    assert desk.unblind("query of the sponsor").endswith(f"({first})")
    assert not desk.state.blinded
    desk.open(second)
    assert desk.name_of(second).startswith("case ")
    assert "(" not in desk.name_of(second)
    desk.open(first)  # known at this desk: the journal must not say blinded again
    assert not desk.state.blinded
    desk.close()
    lines = [json.loads(line) for line in (folder / "review" / f"{first}.anna.jsonl").read_text().splitlines()]
    opened = [line["blinded"] for line in lines if line["event"] == "session_opened"]
    assert opened == [True, False]
    assert [line["why"] for line in lines if line["event"] == "unblinded"] == ["query of the sponsor"]
    again = Desk(folder, "anna", blinded=True)
    again.open(first)
    assert again.state.blinded
    assert again.state.unblinded  # and this can be read
    again.close()


def test_what_readers_see_differently_has_words_and_a_place(folder, read_folder):
    assert compare_readers(folder).differences == ()
    found = compare_readers(read_folder)
    assert {difference.slide_id for difference in found.differences} == {"A_base"}
    (border,) = [difference for difference in found.differences if difference.place_um is not None]
    assert border.readers == ("anna", "ben")
    assert border.words == "Border: up to 100 µm apart"
    assert border.place_um[0] == pytest.approx(1100, abs=5)
    assert any(line.startswith("anna and ben: same class") for line in found.agreement)
    open_consensus(read_folder, border, blinded=True)
    open_consensus(read_folder, border, blinded=True)  # it has begun
    events = read_journal(ScoredFolder(read_folder).review("A_base", CONSENSUS)).events
    assert [event.blinded for event in events if hasattr(event, "blinded")] == [True]
    with pytest.raises(Cancelled):
        compare_readers(read_folder, cancelled=lambda: True)
