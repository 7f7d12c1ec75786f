"""Flags with a limit of the protocol are said anew when stored cells are scored."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from spatial_til.pipeline.score import quality_flags
from spatial_til.protocol_sections import QcKeys


def flags_of(numbers, flags=(), **limits):
    protocol = SimpleNamespace(qc=QcKeys(**limits))
    return quality_flags(SimpleNamespace(numbers=numbers, flags=flags), protocol)


@pytest.mark.parametrize(
    ("flag", "number", "key", "value"),
    [
        ("blurred", "blurred_fraction", "max_blurred_fraction", 0.11),
        ("saturated", "saturated_fraction", "max_saturated_fraction", 0.011),
        ("high_residual", "residual_od_95", "max_residual_od", 0.151),
    ],
)
def test_the_protocols_limit_decides(flag, number, key, value):
    assert flags_of({number: value}) == (flag,)
    assert flags_of({number: value}, flags=(flag, "overlaps"), **{key: 0.5}) == ("overlaps",)
    assert flags_of({number: None}) == flags_of({}) == ()


def test_a_stain_that_the_panel_does_not_name_is_flagged_once():
    assert flags_of({"other_colour_fraction": 0.051}) == ("high_residual",)
    assert flags_of({"other_colour_fraction": 0.049}) == ()
    assert flags_of({"other_colour_fraction": 0.9, "residual_od_95": 0.3}) == ("high_residual",)
