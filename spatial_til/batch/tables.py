"""The tables of a study, and the closing lines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spatial_til.batch.stages import Failure, Run
from spatial_til.caveats import CAVEATS
from spatial_til.counted import counted
from spatial_til.flags import join_flags
from spatial_til.io import schema
from spatial_til.io.atomic import write_text
from spatial_til.io.scores import ScoredSlide
from spatial_til.io.tables import dictionary_text, write_table
from spatial_til.pipeline.compare import Comparison
from spatial_til.pipeline.rows import threshold_row
from spatial_til.pipeline.threshold import Pool, PoolResult
from spatial_til.repeated import repeated_slides
from spatial_til.study import Study

TABLES = (
    schema.DENSITY,
    schema.SLIDE_SCORES,
    schema.DEPTH_PROFILE,
    schema.SPATIAL,
    schema.SENSITIVITY,
    schema.THRESHOLDS,
    schema.LONGITUDINAL,
    schema.PATIENTS,
    schema.COHORT,
)
#: Beside them where two readers reviewed.
READERS_TABLES = (schema.AGREEMENT, schema.DISAGREEMENTS)
REVIEWED_TABLES = (
    *(schema.REVIEWED_THRESHOLDS if table is schema.THRESHOLDS else table for table in TABLES),
    schema.STALE_EDITS,
)
#: Slides whose doubtful regions are told one by one at the end of a run.
_MOST_DOUBTS = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to: lines for standard output, the slides that failed, and the folder with a reader's results."""

    lines: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    reviewed: Path | None = None


def write_slide_tables(
    run: Run,
    study: Study,
    scored: Sequence[ScoredSlide],
    pools: Mapping[Pool, PoolResult],
    extra_biopsies: Collection[str],
    *,
    reviewed: bool,
) -> None:
    """Write the tables of slides, and errors.csv. Slides that no comparison uses are flagged so.

    Parameters
    ----------
    reviewed
        With a reader's corrections: cut-offs they moved, and corrections that were not applied, are listed.
    """
    tables = run.folder.tables
    for table in (schema.DENSITY, schema.DEPTH_PROFILE, schema.SPATIAL, schema.SENSITIVITY):
        write_table(tables, table, (row for s in scored for row in s.rows.get(table.name, [])))
    slides = [{**row, **s.score.meta.extra} for s in scored for row in s.rows["slide_scores"]]
    for row in slides:
        if row["slide_id"] in extra_biopsies:
            row["flags"] = join_flags([*filter(None, str(row["flags"]).split(";")), "extra_biopsy"])
    write_table(tables, schema.SLIDE_SCORES, slides, study.extra_columns)
    cuts = [threshold_row(p.threshold) for p in pools.values()]
    moved = [row for s in scored for row in s.rows.get("thresholds", [])]
    stale = [row for s in scored for row in s.rows.get(schema.STALE_EDITS.name, [])]
    write_table(tables, schema.REVIEWED_THRESHOLDS if reviewed else schema.THRESHOLDS, [*cuts, *moved])
    if reviewed:
        write_table(run.folder.root, schema.STALE_EDITS, stale)
    write_text(tables / "README.md", dictionary_text(REVIEWED_TABLES if reviewed else (*TABLES, *READERS_TABLES)))
    write_table(run.folder.root, schema.ERRORS, [asdict(failure) for failure in in_order(run, study)])


def write_comparison(run: Run, comparison: Comparison) -> None:
    """Write the tables of patients and cohort."""
    tables = run.folder.tables
    known = set(schema.LONGITUDINAL.names)
    more = [name for name in dict.fromkeys(k for row in comparison.transitions for k in row) if name not in known]
    write_table(tables, schema.LONGITUDINAL, comparison.transitions, more)
    write_table(tables, schema.PATIENTS, comparison.patients)
    write_table(tables, schema.COHORT, comparison.cohort)


def in_order(run: Run, study: Study) -> list[Failure]:
    """Return the failures in the order of the sheet, whatever the order they came in."""
    return [run.failures[job.slide_id] for job in study.jobs if job.slide_id in run.failures]


def summary(run: Run, study: Study, comparison: Comparison, scored: Sequence[ScoredSlide]) -> Summary:
    """Return one line a patient, then what was scored and where it is."""
    failures = in_order(run, study)
    controls = sum(1 for job in study.jobs if job.control and job.slide_id not in run.failures)
    missing = len(study.jobs) - len(scored) - len(failures) - controls
    lines = [_patient_line(row) for row in comparison.patients]
    lines += run.notes
    lines += repeated_slides(study.jobs)
    lines += _doubts(scored)
    lines += CAVEATS
    lines.append(
        f"{counted(len(scored), 'slide')} scored, {len(failures)} failed" + (f", {missing} not yet" if missing else "")
    )
    lines.append(f"tables: {run.folder.tables}")
    if failures:
        lines.append(f"failures: {run.folder.errors}")
    return Summary(tuple(lines), tuple(failures))


def _doubts(scored: Sequence[ScoredSlide]) -> list[str]:
    """Return one line for each slide whose regions may not be its own; of many the first, and how many more."""
    found = {s.score.meta.slide_id: [d for row in s.rows.get("run", []) for d in row.get("doubts", ())] for s in scored}
    lines = [f"{slide_id}, scored all the same: {'; '.join(doubts)}" for slide_id, doubts in found.items() if doubts]
    if len(lines) > _MOST_DOUBTS:
        more = counted(len(lines) - _MOST_DOUBTS, "slide")
        lines[_MOST_DOUBTS:] = [f"{more} more with doubtful outlines: see doubts in run.json"]
    return lines


def _patient_line(row: Mapping[str, Any]) -> str:
    """Return what happened to one patient: classes over time, and the call that decides."""
    call = str(row["decisive_call"]).rpartition(": ")[2].replace("_", " ")
    if row["n_lesions"] != 1 or not call:
        return f"{row['patient_id']}  {row['pattern']}"
    return f"{row['patient_id']}  {row['immunophenotype_trajectory']}   {call}"
