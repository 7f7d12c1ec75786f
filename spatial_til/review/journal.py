"""A reader's journal of one slide: appended only, whole lines, safe at once from a crash.

A line is written and forced to disk before the viewer goes on, so that a crash loses at most the edit in
hand. What a crash tore off stays where it is; the next session says with an event of its own that the line
counts for nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from spatial_til.errors import ReviewError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.lock import locked
from spatial_til.review.events import Event, LineSetAside, SessionOpened
from spatial_til.review.lines import event_line, parse_line

# No dot: in <slide_id>.<reader>.jsonl the last one must tell where the slide ends.
MAX_BYTES = 256 << 20  # a correction takes some hundred bytes, a redrawn region some hundred thousand
_READER = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_reader(reader: str) -> str:
    """Return a reader's name if it can be part of a file's name.

    Raises
    ------
    ReviewError
        Otherwise.
    """
    if not _READER.fullmatch(reader):
        raise ReviewError(
            [f"a reader's name has 1 to 64 letters, digits, `_` or `-`, found {reader!r}: choose another"]
        )
    return reader


@dataclass(frozen=True, slots=True)
class JournalRead:
    """The events of a journal in order, what was noticed in words, and whether the last of its lines is whole."""

    events: tuple[Event, ...]
    notices: tuple[str, ...]
    lines: int
    torn: int | None
    ends_in_line: bool


def read_journal(path: Path) -> JournalRead:
    """Read a journal; one that does not exist has no events.

    A last line that a crash tore off is left out with a notice.

    Raises
    ------
    ReviewError
        Naming file and line of every other line that is no event of ours.
    """
    data = _data(path)
    lines = data.split(b"\n")
    events: dict[int, Event] = {}
    faults: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                events[number] = _of_this_file(path, parse_line(line.decode("utf-8")))
            except ValueError as error:
                faults[number] = str(error)
    torn = len(lines) if len(lines) in faults else None  # the only line without a line break
    aside = {torn, *(event.line for event in events.values() if isinstance(event, LineSetAside))}
    problems = [f"{path}, line {n}: {text}" for n, text in faults.items() if n not in aside]
    if problems:
        raise ReviewError([*problems, f"{path}: restore it from a backup; nothing of it was applied"])
    notices = tuple(f"{path}, line {n}: torn off by a crash, set aside" for n in faults)
    return JournalRead(
        tuple(event for n, event in events.items() if n not in aside),
        notices,
        len(lines) - (not lines[-1]),
        torn,
        not lines[-1],
    )


def _of_this_file(path: Path, event: Event) -> Event:
    """Return the event if it is of the reader and the slide that the file is named after.

    Raises
    ------
    ValueError
        Otherwise: the file was renamed, or lines were copied into it.
    """
    slide_id, _, reader = path.stem.rpartition(".")
    if event.who != reader:
        msg = f"it is by {event.who}, and the file is {reader}'s"
        raise ValueError(msg)
    if isinstance(event, SessionOpened) and event.slide_id != slide_id:
        msg = f"it is of slide {event.slide_id}, and the file is of {slide_id}"
        raise ValueError(msg)
    return event


def _data(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReviewError([f"{path}: more than {MAX_BYTES >> 20} MiB are no journal: restore it from a backup"])
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ReviewError([f"{path}: cannot be read ({error.strerror}): check the file's permissions"]) from None


@dataclass(slots=True)
class Journal:
    """An open journal: what it holds, and the one way to add to it."""

    path: Path
    events: list[Event]
    notices: tuple[str, ...]
    _descriptor: int = field(repr=False)
    _lines: int = field(repr=False)  # that are whole
    _broken: bool = field(repr=False)  # something may follow them that is none

    def append(self, event: Event) -> None:
        """Write one event; when this returns it is on the disk.

        Raises
        ------
        ReviewError
            Where it could not be written: the edit is not in the journal.
        """
        line = event_line(_of_this_file(self.path, event))
        if self._broken:
            self.set_aside(event.who)
        self._put(f"{line}\n".encode())
        self._lines += 1
        self.events.append(event)

    def set_aside(self, who: str) -> None:
        """Say of what a crash or a full disk left behind the last whole line that it counts for nothing."""
        data = _data(self.path)
        if data and not data.endswith(b"\n"):
            self._put(b"\n")
            data += b"\n"
        n_lines = data.count(b"\n")
        left = [LineSetAside(who=who, line=n + 1, why="torn off by a crash") for n in range(self._lines, n_lines)]
        for event in left:
            self._put(f"{event_line(event)}\n".encode())
        self.events += left
        self._lines, self._broken = n_lines + len(left), False

    def _put(self, data: bytes) -> None:
        self._broken = True
        try:
            written = os.write(self._descriptor, data)
            os.fsync(self._descriptor)
        except OSError as error:
            msg = f"{self.path}: the edit was not saved ({error.strerror}): make room and repeat it"
            raise ReviewError([msg]) from None
        if written < len(data):
            raise ReviewError([f"{self.path}: the edit was not saved (the disk is full): make room and repeat it"])
        self._broken = False


@contextmanager
def open_journal(folder: ScoredFolder, slide_id: str, reader: str) -> Iterator[Journal]:
    """Open a reader's journal of a slide for writing; one writer at a time.

    Raises
    ------
    ReviewError
        Where the reader's name is no name, or the journal cannot be read or written.
    SpatialTilError
        Where the same reader has the slide open elsewhere; the message says where.
    """
    path = folder.review(slide_id, check_reader(reader))
    with locked(path.with_name(f".{path.name}.lock"), f"{reader} has {slide_id} open elsewhere"):
        read = read_journal(path)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            _keep_name(path)
        except OSError as error:
            raise ReviewError([f"{path}: cannot be written ({error.strerror}): check the folder"]) from None
        try:
            broken = read.torn is not None
            journal = Journal(path, list(read.events), read.notices, descriptor, read.lines - broken, broken)
            if broken or not read.ends_in_line:
                journal.set_aside(reader)
            yield journal
        finally:
            os.close(descriptor)


def _keep_name(path: Path) -> None:
    """Force the name of a file that may be new to disk."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def journals(folder: ScoredFolder) -> dict[tuple[str, str], Path]:
    """Return every journal of a folder by (slide, reader), in the order of their names."""
    found = {}
    for path in sorted((folder.root / "review").glob("*.jsonl")):
        slide_id, _, reader = path.stem.rpartition(".")
        if slide_id and _READER.fullmatch(reader):
            found[slide_id, reader] = path
    return found


def readers(folder: ScoredFolder) -> tuple[str, ...]:
    """Return everyone who has a journal in a folder."""
    return tuple(sorted({reader for _, reader in journals(folder)}))
