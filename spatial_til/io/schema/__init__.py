"""What every table holds: the one list of columns that writes the CSV files and their dictionary."""

from spatial_til.io.schema.columns import Column, Table
from spatial_til.io.schema.patients import COHORT, LONGITUDINAL, PATIENTS
from spatial_til.io.schema.readers import AGREEMENT, BY_READER, DISAGREEMENTS, REVIEWED_THRESHOLDS, STALE_EDITS
from spatial_til.io.schema.slides import (
    DENSITY,
    DEPTH_PROFILE,
    ERRORS,
    PHENOTYPES,
    SENSITIVITY,
    SLIDE_SCORES,
    SPATIAL,
    THRESHOLDS,
)

__all__ = [
    "AGREEMENT",
    "BY_READER",
    "COHORT",
    "DENSITY",
    "DEPTH_PROFILE",
    "DISAGREEMENTS",
    "ERRORS",
    "LONGITUDINAL",
    "PATIENTS",
    "PHENOTYPES",
    "REVIEWED_THRESHOLDS",
    "SENSITIVITY",
    "SLIDE_SCORES",
    "SPATIAL",
    "STALE_EDITS",
    "THRESHOLDS",
    "Column",
    "Table",
]
