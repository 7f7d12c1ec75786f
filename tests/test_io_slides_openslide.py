"""The OpenSlide adapter, against a stand-in that answers as OpenSlide does: x first, RGBA, positions at level 0."""

import sys
import types

import numpy as np
import pytest

from spatial_til.errors import SlideError
from spatial_til.io.slides import open_slide, openslide_reader

RNG = np.random.default_rng(11)
LEVELS = [RNG.integers(0, 256, (1100, 1300, 4), dtype=np.uint8), RNG.integers(0, 256, (275, 325, 4), dtype=np.uint8)]
for level in LEVELS:
    level[..., 3] = 255
LEVELS[0][:40, :50] = 0  # nothing was scanned here


class StandIn:
    level_count = 2
    level_downsamples = (1.0, 4.0)
    level_dimensions = tuple((level.shape[1], level.shape[0]) for level in LEVELS)

    def __init__(self, path):
        self.properties = {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.26", "openslide.objective-power": "40"}
        if path.endswith("bad.mrxs"):
            raise sys.modules["openslide"].OpenSlideError("unsupported")

    def read_region(self, location, index, size):
        x, y = (round(v / self.level_downsamples[index]) for v in location)
        return LEVELS[index][y : y + size[1], x : x + size[0]]

    def close(self):
        pass


@pytest.fixture
def openslide(monkeypatch):
    module = types.ModuleType("openslide")
    module.OpenSlide, module.OpenSlideError = StandIn, type("OpenSlideError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "openslide", module)
    monkeypatch.setattr(openslide_reader, "has_openslide", lambda: True)


def test_pixels_levels_and_size(openslide, tmp_path):
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8\xff\xe0")  # an .mrxs begins like a JPEG
    with open_slide(tmp_path / "a.mrxs") as slide:
        assert (slide.shape, slide.channels) == ((1100, 1300), ("red", "green", "blue"))
        assert (slide.pixel_size.x_um, slide.pixel_size.y_um) == (0.25, 0.26)
        assert slide.flags == ("anisotropic_pixels",)
        full = slide.at(0.25).read(0, 1100, 0, 1300)
        assert (full[:40, :50] == 255).all()
        assert np.array_equal(full[40:], LEVELS[0][40:, :, :3])
        low = slide.at(1.0)
        assert np.array_equal(low.read(3, 270, 10, 300), LEVELS[1][3:270, 10:300, :3])


def test_what_it_cannot_read_is_an_error_with_a_remedy(openslide, tmp_path):
    (tmp_path / "bad.mrxs").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(SlideError, match=r"nor OpenSlide reads it.*OME-TIFF"):
        open_slide(tmp_path / "bad.mrxs")


def test_without_the_extra_the_message_names_it(monkeypatch, tmp_path):
    monkeypatch.setattr(openslide_reader, "has_openslide", lambda: False)
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(SlideError, match=r"spatial-til\[openslide\]"):
        open_slide(tmp_path / "a.mrxs")
