"""Tumour by example on three real fields, each found by strokes on the other two; what their pictures are read as."""

import numpy as np
import pytest

from benchmarks import lung_examples

SHOWN = {"blue": (0, 0, 200), "cyan": (0, 150, 180), "red": (200, 0, 0), "both": (200, 150, 150), "yellow": (90, 90, 0)}


@pytest.mark.parametrize(
    ("shown", "nuclei", "ck"),
    [("blue", 200, 0), ("cyan", 30, 150), ("red", 0, 0), ("both", 0, 150), ("yellow", 0, 0)],
)
def test_ck_is_what_is_green_and_blue_whatever_is_red(shown, nuclei, ck):
    picture = np.zeros((4, 8, 3), dtype=np.uint8)
    picture[:] = SHOWN[shown]
    names, planes = lung_examples.from_picture(picture, "stains", 4)
    assert names == ("DAPI", "CK")
    np.testing.assert_array_equal(planes, np.broadcast_to([[[nuclei]], [[ck]]], (2, 1, 2)))


@pytest.mark.slow
@pytest.mark.skipif(not lung_examples.DATA.exists(), reason="the lung fields of ../shared/data are not here")
def test_a_field_is_found_by_strokes_on_two_others():
    """The third field is at 0.80 on average, 0.78 to 0.81 by draws (docs/tumor_by_example.md): one is held here."""
    fields = [lung_examples.field(path, "colours") for path in sorted(lung_examples.DATA.glob("*.geojson"))]
    overlaps = []
    for k, found_on in enumerate(fields):
        learned = fields[:k] + fields[k + 1 :]
        overlaps.append(lung_examples.overlap(learned, found_on, 20, lung_examples.SEEDS[0])[0])
    assert min(overlaps) >= 0.80
