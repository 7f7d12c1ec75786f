"""A calculation stops in between when asked; how long it takes is measured by `benchmarks.review_bench`."""

import pytest
from shapely.geometry import MultiPolygon, box

from spatial_til.review.events import RegionEdit
from spatial_til.review.session import Cancelled, edited, numbers, open_session
from spatial_til.review.state import replay


def test_a_calculation_asks_often_whether_to_go_on_and_stops_at_once(patient_folder):
    opened = open_session(patient_folder, "A_base")
    edit = edited(opened, RegionEdit, who="r", region="tumor", geometry=MultiPolygon([box(500, 400, 1100, 900)]))
    asked = []

    def stop_at(step: int) -> bool:
        asked.append(step)
        return len(asked) == step

    numbers(opened, replay([edit]), cancelled=lambda: stop_at(0))
    steps = len(asked)
    assert steps >= 4
    for step in range(1, steps + 1):
        asked.clear()
        with pytest.raises(Cancelled):
            numbers(opened, replay([edit]), cancelled=lambda at=step: stop_at(at))
        assert len(asked) == step
