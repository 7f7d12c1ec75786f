"""The scored folder: where everything is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ScoredFolder:
    """Paths inside one scored folder.

    `measured` and `scores` are the stores that make resuming and re-scoring cheap; the rest is for people.
    """

    root: Path

    def measured(self, slide_id: str) -> Path:
        """Cells as measured, before any cut-off: the only thing that took reading pixels."""
        return self.root / "measured" / f"{slide_id}.parquet"

    def score(self, slide_id: str) -> Path:
        """One slide's score, as the compare stage reads it."""
        return self.root / "scores" / f"{slide_id}.json"

    def cells(self, slide_id: str) -> Path:
        """One row a cell, with calls and compartments."""
        return self.root / "cells" / f"{slide_id}.parquet"

    def regions(self, slide_id: str) -> Path:
        """Tissue, tumour, compartments, exclusions and typed border."""
        return self.root / "regions" / f"{slide_id}.geojson"

    def thumbnail(self, slide_id: str) -> Path:
        """Overview with tumour border, margin band and CD8+ cells."""
        return self.root / "thumbnails" / f"{slide_id}.png"

    def overview(self, slide_id: str) -> Path:
        """Picture of the slide under the thumbnail, kept so that re-scoring reads no image."""
        return self.root / "measured" / f"{slide_id}.png"

    def photo(self, slide_id: str) -> Path:
        """Smaller overview as the report shows it, so that whoever writes the report need not decode the other."""
        return self.root / "measured" / f"{slide_id}.jpg"

    def colours(self, slide_id: str) -> Path:
        """Colours of some stained pixels, in which a batch finds its stain vectors without reading images again."""
        return self.root / "measured" / f"{slide_id}.colours.npz"

    def stains(self, slide_id: str) -> Path:
        """Stains at 2 µm per pixel, kept so that tissue can be found by example without the image."""
        return self.root / "measured" / f"{slide_id}.stains.tif"

    @property
    def tables(self) -> Path:
        """The CSV tables."""
        return self.root / "tables"

    @property
    def run(self) -> Path:
        """Versions, protocol, input hashes, timing."""
        return self.root / "run.json"

    @property
    def errors(self) -> Path:
        """Slides that failed."""
        return self.root / "errors.csv"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.root / "report.html"

    def review(self, slide_id: str, reader: str) -> Path:
        """Journal of one reader on one slide."""
        return self.root / "review" / f"{slide_id}.{reader}.jsonl"

    def strokes(self, reader: str) -> Path:
        """Examples of tissue that one reader painted, a file `<slide_id>.geojson` a slide, as `train` takes them."""
        return self.root / "review" / "strokes" / reader

    def reviewed(self, reader: str) -> ScoredFolder:
        """Results with a reader's corrections."""
        return ScoredFolder(self.root / "reviewed" / reader)

    @property
    def running(self) -> Path:
        """What a run under way tells of itself; gone when it has ended."""
        return self.root / ".running"

    @property
    def lock(self) -> Path:
        """Who runs here now."""
        return self.running / "lock"

    @property
    def journal(self) -> Path:
        """What the run has done so far."""
        return self.running / "events.jsonl"

    def tiles(self, slide_id: str) -> Path:
        """How far the slide being measured is."""
        return self.running / f"{slide_id}.tiles"

    def attempts(self, stage: str, slide_id: str) -> Path:
        """One byte for each time a cluster has begun on the slide."""
        return self.running / f"{slide_id}.{stage}.attempts"

    def outputs(self, slide_id: str) -> tuple[Path, ...]:
        """Every file that claims that a slide was scored."""
        return (self.score(slide_id), self.cells(slide_id), self.regions(slide_id), self.thumbnail(slide_id))
