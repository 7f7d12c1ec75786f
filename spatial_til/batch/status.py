"""What is done, running and failed in a scored folder, seen from another shell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from spatial_til.errors import CellTableError, SpatialTilError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.journal import Event, read_events, read_tiles
from spatial_til.io.lock import holder
from spatial_til.io.tables import read_table
from spatial_til.run_record import jobs_from_record


def status_lines(path: Path) -> tuple[str, ...]:
    """Return the state of a folder: of the run under way or killed, else of the last complete one.

    Raises
    ------
    SpatialTilError
        Where the folder is none of ours.
    """
    folder = ScoredFolder(path)
    who = holder(folder.lock)
    if who or folder.journal.exists():
        head = f"running: {who}" if who else "stopped before its end: run the same command to go on"
        return (head, *_of_journal(folder, live=who is not None))
    if not folder.run.exists():
        msg = f"{path}: no run.json: give a folder that score has written"
        raise SpatialTilError(msg)
    return _of_record(folder)


def _of_journal(folder: ScoredFolder, *, live: bool) -> list[str]:
    last: dict[str, Event] = {}
    counts: dict[str, Counter[str]] = {}
    latest: dict[tuple[str, str], str] = {}
    for event in read_events(folder.journal):
        last[event.slide_id] = event
        latest[event.stage, event.slide_id] = event.what
    for (stage, _), what in latest.items():
        counts.setdefault(stage, Counter())[what] += 1
    lines = [f"{stage}: {', '.join(f'{n} {what}' for what, n in sorted(of.items()))}" for stage, of in counts.items()]
    for slide_id, event in last.items():
        if event.what == "failed":
            lines.append(f"{slide_id}  failed at {event.stage}: {event.message}")
        elif event.what == "started" and live:
            tiles = read_tiles(folder.tiles(slide_id)) if event.stage == "measure" else None
            lines.append(f"{slide_id}  {event.stage} running" + (f", tile {tiles[0]} of {tiles[1]}" if tiles else ""))
    return lines


def _of_record(folder: ScoredFolder) -> tuple[str, ...]:
    failed = read_failures(folder)
    lines = []
    for job in jobs_from_record(folder.run).jobs:
        if job.slide_id in failed:
            lines.append(f"{job.slide_id}  failed at {failed[job.slide_id][0]}")
        else:
            done = folder.score(job.slide_id).exists()
            lines.append(f"{job.slide_id}  {'scored' if done else 'control' if job.control else 'not scored'}")
    return tuple(lines)


def read_failures(folder: ScoredFolder) -> dict[str, tuple[str, str]]:
    """Return stage and message of every slide that failed in the last run, one killed on its way included."""
    failed: dict[str, tuple[str, str]] = {}
    try:
        failed = {row["slide_id"]: (row["stage"], row["message"]) for row in read_table(folder.errors)}
    except (OSError, KeyError, CellTableError):
        failed = {}
    for event in read_events(folder.journal):
        if event.what == "failed":
            failed[event.slide_id] = (event.stage, event.message)
        elif event.what != "started":
            failed.pop(event.slide_id, None)
    return failed
