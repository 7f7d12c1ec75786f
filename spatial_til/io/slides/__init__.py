"""Slides of every format, at any pixel size, without loading the image."""

from spatial_til.io.slides.opening import open_slide
from spatial_til.io.slides.slide import LevelInfo, Overview, Slide, WorkingGrid, select_channels

__all__ = ["LevelInfo", "Overview", "Slide", "WorkingGrid", "open_slide", "select_channels"]
