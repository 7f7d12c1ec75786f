"""Tables of what readers changed, and how far they agree."""

from __future__ import annotations

from spatial_til.io.schema.columns import (
    SLIDE,
    Table,
    columns,
)
from spatial_til.io.schema.slides import THRESHOLDS

#: What thresholds.csv says besides where a reader moved cut-offs: one more row for each slide and marker.
BY_READER = columns(
    ("slide_id", "text", "the slide on which a reader moved the cut-off; empty: of the whole batch"),
    ("author", "text", "who moved it"),
)
REVIEWED_THRESHOLDS = Table(
    "thresholds", "batch x marker, and slide x marker where a reader moved it", (*THRESHOLDS.columns, *BY_READER)
)

STALE_EDITS = Table(
    "stale_edits",
    "correction that was not applied",
    (
        SLIDE,
        *columns(
            ("edit", "word", "flip, remove, add, call, threshold; or any edit made on another image"),
            ("marker", "text", "the marker it is about"),
            ("x_um", "µm", "where the cell was"),
            ("y_um", "µm", "where the cell was"),
            ("when", "time", "when the edit was made, UTC"),
            ("reason", "words", "why it was not applied"),
        ),
    ),
)

AGREEMENT = Table(
    "agreement",
    "pair of readers x measure, where two readers reviewed",
    columns(
        ("reader_a", "text", "first reader"),
        ("reader_b", "text", "second reader"),
        ("measure", "text", "what is compared"),
        ("unit", "unit", "of value and limits; differences are b - a"),
        ("n", "slides", "slides that both reviewed and that have this measure"),
        ("value", "", "kappa, share, mean difference, or mean over slides of the distance between tumour outlines"),
        ("ci_low", "", "lower end"),
        ("ci_high", "", "upper end"),
        ("limit_low", "", "lower limit of agreement: most differences lie above it"),
        ("limit_high", "", "upper limit of agreement: most differences lie below it"),
        ("reason", "words", "why a value is missing"),
    ),
)

DISAGREEMENTS = Table(
    "disagreements",
    "slide x pair of readers x what they see differently, where two readers reviewed",
    (
        SLIDE,
        *columns(
            ("reader_a", "text", "first reader"),
            ("reader_b", "text", "second reader"),
            ("what", "word", "class, border, threshold, call, removed, added"),
            ("marker", "text", "the marker it is about"),
            ("value_a", "", "by the first reader; empty: as computed"),
            ("value_b", "", "by the second reader; empty: as computed"),
            ("distance_um", "µm", "how far the tumour outlines lie apart at most"),
            ("x_um", "µm", "where to look"),
            ("y_um", "µm", "where to look"),
        ),
    ),
)
