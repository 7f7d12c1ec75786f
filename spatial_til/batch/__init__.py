"""A study from sheet to scored folder: stages in worker processes, resume, failures as rows, run.json."""

from spatial_til.batch.checks import CheckReport, check_study
from spatial_til.batch.rescoring import rescore
from spatial_til.batch.runs import score_study
from spatial_til.batch.stages import Failure
from spatial_til.batch.status import status_lines
from spatial_til.batch.studies import sample_study, single_study
from spatial_til.batch.tables import Summary

__all__ = [
    "CheckReport",
    "Failure",
    "Summary",
    "check_study",
    "rescore",
    "sample_study",
    "score_study",
    "single_study",
    "status_lines",
]
