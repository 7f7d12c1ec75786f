"""Every table again from the stored cells: with another protocol, and with a reader's corrections beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spatial_til.batch.plan import plan
from spatial_til.batch.reviews import Review, load_review, with_agreement
from spatial_til.batch.runs import run_folder, start_run
from spatial_til.batch.scoring import cut_slides, finish
from spatial_til.batch.stages import Failure
from spatial_til.batch.status import read_failures
from spatial_til.batch.tables import Summary
from spatial_til.checking import model_problems
from spatial_til.counted import counted
from spatial_til.errors import ProtocolError, SpatialTilError
from spatial_til.io.folder import ScoredFolder
from spatial_til.pipeline.measure import settings_text
from spatial_til.pipeline.settings import measure_settings
from spatial_til.protocol import Protocol, load_protocol
from spatial_til.run_record import jobs_from_record
from spatial_til.study import Study


def rescore(
    source: Path,
    protocol_path: Path | None,
    *,
    out: Path | None = None,
    reader: str | None = None,
    review: bool = True,
    workers: int | None = None,
    quiet: bool = False,
) -> Summary:
    """Score the stored cells of a folder again, with another protocol where one is given. Reads no image.

    As in scoring, rows of the sheet that name a protocol of their own keep it. ``tables/`` holds the numbers as
    computed; where a reader has corrected slides, the same tables with the corrections go to
    ``reviewed/<reader>/``.

    Parameters
    ----------
    reader
        Whose corrections to apply; needed where several readers have journals in the folder.
    review
        False: no corrections at all.

    Raises
    ------
    ReviewError
        Where it is not clear whose corrections are meant, or a journal cannot be read.
    ProtocolError
        Where the protocol differs in what the stored cells were measured with.
    SpatialTilError
        Where the folder is none of ours or has no measured cells, or a run is under way in it.
    """
    stored = ScoredFolder(source)
    study = jobs_from_record(stored.run)
    _require_measured(stored, study)
    reviewed = load_review(stored, study, reader) if review else None
    if protocol_path is not None:
        protocol = load_protocol(protocol_path)
        problems = _measure_problems(study, protocol, protocol_path)
        if problems:
            raise ProtocolError(problems)
        jobs = (job if job.own_protocol else replace(job, protocol=protocol) for job in study.jobs)
        study = replace(study, protocol=protocol, jobs=tuple(jobs))
    if problems := model_problems(study.jobs):
        raise ProtocolError(problems)
    with run_folder(out or source) as folder, start_run(folder, plan([], workers), None, quiet=quiet) as run:
        unmeasured = {i: of for i, of in read_failures(stored).items() if of[0] == "measure"}
        run.failures = {i: Failure(i, *of) for i, of in unmeasured.items()}
        cut = cut_slides(run, study, stored)
        result = finish(run, study, stored, cut)
    if reviewed is None:
        return with_agreement(result, folder)
    reviewed = replace(reviewed, base=folder)
    own_root = folder.reviewed(reviewed.reader).root
    with run_folder(own_root) as own, start_run(own, plan([], workers), None, quiet=quiet) as run:
        failures = (f for f in result.failures if f.stage != "score" or f.slide_id not in reviewed.corrections)
        run.failures = {failure.slide_id: failure for failure in failures}
        corrected = finish(run, study, stored, cut, review=reviewed)
    return with_agreement(_together(result, corrected, reviewed), folder)


def _require_measured(stored: ScoredFolder, study: Study) -> None:
    """Refuse a folder without one measured slide, as `rescore --out` writes: its tables would be emptied."""
    failed = read_failures(stored)
    wanted = [job.slide_id for job in study.jobs if job.slide_id not in failed]
    if wanted and not any(stored.measured(job.slide_id).exists() for job in study.jobs):
        msg = (
            f"{stored.root}: rescore needs the measured cells of a run, found none of {counted(len(wanted), 'slide')}; "
            "`rescore --out` writes none: rescore the folder that `score` has written"
        )
        raise SpatialTilError(msg)


def _together(computed: Summary, reviewed: Summary, review: Review) -> Summary:
    """Return the closing lines as computed, then those that the review changed; and who failed in either."""
    n = len(review.corrections)
    head = f"reviewed by {review.reader}, {counted(n, 'slide')} corrected:"
    other = [line for line in reviewed.lines if line not in computed.lines]
    failures = dict.fromkeys((*computed.failures, *reviewed.failures))
    folder = review.base.reviewed(review.reader).root
    return Summary((*computed.lines, *review.notices, head, *other), tuple(failures), folder)


def _measure_problems(study: Study, protocol: Protocol, path: Path) -> list[str]:
    """Return the keys of the measure stage that a protocol changes."""
    new = protocol.resolved()
    problems = []
    jobs = [job for job in study.jobs if not job.own_protocol]
    for section in ("panel", "fluorescence", "segmentation"):
        for job in jobs:
            old = job.protocol.resolved()[section]
            changed = sorted(key for key in new[section] if new[section][key] != old[key])
            if changed and job.cells is None:
                problems += [
                    f"{path}: key '{section}.{key}' differs from what the cells were measured with: "
                    "run score, which measures again"
                    for key in changed
                ]
    if not problems:
        for job in jobs:
            if settings_text(measure_settings(job.protocol)) != settings_text(measure_settings(protocol)):
                problems.append(f"{path}: a marker moved into or out of the nucleus, so cells must be measured again")
    return list(dict.fromkeys(problems))
