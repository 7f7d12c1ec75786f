"""The study sheet: one CSV row a slide becomes one job. Every problem is found before any is told."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from spatial_til.chronology import date_problems
from spatial_til.errors import ProtocolError, StudyError
from spatial_til.io.schema import SLIDE_SCORES
from spatial_til.model import SlideMeta
from spatial_til.protocol import Protocol, load_protocol
from spatial_til.sheet import SheetRow, sheet_problems, spelled_otherwise

REQUIRED = ("slide_id", "patient_id", "timepoint", "image")
KNOWN = (
    *REQUIRED,
    *("annotation", "labels", "cells", "tissue_area_mm2", "batch", "control", "protocol", "pixel_size_um"),
    *("lesion", "site", "biopsy_date", "treatment_start", "biopsy_type", "therapy", "tumor_type"),
    *("interval_therapy", "response", "response_months"),
)
#: Columns of slide_scores.csv, whose values are computed: a sheet's own column goes by another name.
COMPUTED = frozenset(SLIDE_SCORES.names) - frozenset(KNOWN)
#: More is no study, but a damaged or a wrong file; 2,000 slides are a large night.
MAX_ROWS = 100_000
MAX_SHEET_BYTES = 256 << 20
_SLIDE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,149}")  # files are named by it: names have at most 255 characters

Control = Literal["", "negative", "positive"]


@dataclass(frozen=True, slots=True)
class Job:
    """One slide to score: where its files are and what the sheet says of it."""

    meta: SlideMeta
    image: Path | None
    protocol: Protocol
    annotations: tuple[Path, ...] = ()
    labels: Path | None = None
    cells: Path | None = None
    tissue_area_mm2: float | None = None
    control: Control = ""
    pixel_size_um: float | None = None
    own_protocol: bool = False  # the row names one, so the command's does not apply to it

    @property
    def slide_id(self) -> str:
        """The slide's unique name."""
        return self.meta.slide_id


@dataclass(frozen=True, slots=True)
class Study:
    """All jobs of a sheet, in its order, with the protocol that compares them."""

    jobs: tuple[Job, ...]
    protocol: Protocol
    extra_columns: tuple[str, ...] = ()
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a sheet says before it is known to be right: rows whose files can be looked at, and every problem."""

    jobs: tuple[Job, ...]
    protocol: Protocol | None
    extra_columns: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Row:
    """One row being read; it collects its own problems."""

    line: int
    values: Mapping[str, str]
    folder: Path
    problems: list[str] = field(default_factory=list)

    def text(self, column: str) -> str:
        return (self.values.get(column) or "").strip()

    def problem(self, column: str, text: str) -> None:
        self.problems.append(f"row {self.line}, column {column}: {text}")

    def number(self, column: str, *, above: float | None = 0.0) -> float | None:
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not math.isfinite(value) or (above is not None and value <= above):
            limit = "a number" if above is None else f"a number above {above:g}"
            self.problem(column, f"must be {limit}, found {text!r}: correct it or leave it empty")
            return None
        return value

    def date(self, column: str) -> date | None:
        text = self.text(column)
        if not text:
            return None
        try:
            return date.fromisoformat(text)
        except ValueError:
            self.problem(column, f"must be an ISO date (YYYY-MM-DD), found {text!r}: rewrite it")
            return None

    def file(self, column: str, text: str | None = None) -> Path | None:
        text = self.text(column) if text is None else text
        if not text:
            return None
        path = self.folder / text
        try:
            found = path.exists()
        except (OSError, ValueError):  # names no file system accepts
            found = False
        if not found:
            advice = "write / between folders, not \\" if "\\" in text else "correct the path, relative to the sheet"
            self.problem(column, f"file not found: {path}: {advice}")
            return None
        return path


def load_study(path: Path, protocol_path: Path | None = None) -> Study:
    """Read a study sheet and its protocols.

    Parameters
    ----------
    path
        The sheet, a CSV in UTF-8 with a header row.
    protocol_path
        The study's protocol; without it, ``protocol.toml`` beside the sheet.

    Raises
    ------
    StudyError
        With every problem of sheet and protocols at once.
    """
    sheet = read_sheet(path, protocol_path)
    if sheet.problems:
        raise StudyError(sheet.problems)
    return Study(sheet.jobs, sheet.protocol or sheet.jobs[0].protocol, sheet.extra_columns, path)


def read_sheet(path: Path, protocol_path: Path | None = None) -> Sheet:
    """Read a study sheet as `load_study` does, but return its problems, beside the rows whose files can be looked at.

    Raises
    ------
    StudyError
        If the file is no study sheet.
    """
    problems: list[str] = []
    header, rows = _read_rows(path)
    protocols = _Protocols(path.parent, problems)
    main = protocols.main(protocol_path, needed=not rows or not all(r.text("protocol") for r in rows))
    missing = [c for c in REQUIRED if c not in header]
    if missing:
        problems.append(_header_problem(header, missing))
        raise StudyError([_at(path, p) for p in problems])
    taken = [c for c in header if c in COMPUTED]
    if taken:
        problems.append(f"column {', '.join(taken)} is one that slide_scores.csv computes: rename it in the sheet")
    problems += spelled_otherwise(header, KNOWN)
    if not rows:
        problems.append("no rows: add one row a slide")
    jobs = [_job(row, protocols, main) for row in rows]
    problems += [p for row in rows for p in row.problems]
    problems += sheet_problems([SheetRow(row.line, row.text) for row in rows])
    found = [job for job in jobs if job is not None]
    metas = [job.meta for row, job in zip(rows, jobs, strict=True) if job and not row.problems and not job.control]
    if main or found:
        keys = (main or found[0].protocol).longitudinal
        problems += date_problems(metas, timepoints=keys.timepoints)
    extra = tuple(c for c in header if c not in KNOWN)
    return Sheet(tuple(found), main, extra, tuple(_at(path, p) for p in problems))


def single(image: Path, protocol: Protocol, *, annotations: Iterable[Path] = (), pixel_size_um: float | None) -> Study:
    """Return the study of one image without a sheet."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", image.name.split(".")[0]) or "slide"
    slide_id = stem if is_slide_id(stem) else f"s{stem}"
    meta = SlideMeta(slide_id=slide_id, patient_id=slide_id, timepoint=protocol.longitudinal.timepoints[0])
    job = Job(meta, image, protocol, annotations=tuple(annotations), pixel_size_um=pixel_size_um)
    return Study((job,), protocol)


def is_slide_id(text: str) -> bool:
    """Say whether a name can be a slide's: it names files in the output folder and can lead nowhere else."""
    return _SLIDE_ID.fullmatch(text) is not None


def _at(path: Path, problem: str) -> str:
    return problem if problem.startswith(str(path.parent)) else f"{path}: {problem}"


def _header_problem(header: list[str], missing: list[str]) -> str:
    """Say which columns are not there, and why where the file tells: no sheet, or one saved as Excel likes."""
    if not header:
        return f"is empty: give a study sheet with the columns {', '.join(REQUIRED)}"
    if header[0].startswith("PK"):
        return "is a spreadsheet (xlsx), not a CSV table: save it as CSV UTF-8, with commas between the fields"
    for sign, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and set(REQUIRED) <= {field.strip() for field in header[0].split(sign)}:
            return f"has {name} between the fields, not commas: save it as CSV with commas, and write 0.5 not 0,5"
    spelled = "".join(f"; {problem}" for problem in spelled_otherwise(header, missing))
    return f"column {', '.join(missing)} missing in the header, found {', '.join(header)}: add it{spelled}"


def _read_rows(path: Path) -> tuple[list[str], list[_Row]]:
    try:
        if path.stat().st_size > MAX_SHEET_BYTES:
            raise StudyError([f"{path}: more than {MAX_SHEET_BYTES >> 20} MiB: give a study sheet, one row a slide"])
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = [c.strip() for c in reader.fieldnames or []]
            reader.fieldnames = header
            rows: list[_Row] = []
            for values in reader:
                if not any(cell.strip() for cell in _cells(values)):
                    continue  # commas only, as Excel writes below a table that was longer once
                if len(rows) >= MAX_ROWS:
                    raise StudyError([f"{path}: more than {MAX_ROWS} rows: split the study"])
                row = _Row(reader.line_num, {k: v or "" for k, v in values.items() if k is not None}, path.parent)
                if None in values:
                    row.problems.append(f"row {row.line}: more cells than the header has columns: quote commas")
                rows.append(row)
    except OSError as error:
        raise StudyError([f"{path}: cannot be read ({error.strerror}): give the path of a study sheet"]) from None
    except UnicodeDecodeError as error:
        raise StudyError([f"{path}: is not UTF-8 (byte {error.start}): save it as CSV UTF-8"]) from None
    except csv.Error as error:
        raise StudyError([f"{path}: is not a CSV table: {error}: save it as CSV UTF-8"]) from None
    _refuse_header(path, header)
    return header, rows


def _refuse_header(path: Path, header: list[str]) -> None:
    """Refuse what csv reads without a word: UTF-16 without its mark, and two columns of one name."""
    if any("\0" in name for name in header):
        raise StudyError([f"{path}: holds NUL characters, as UTF-16 does: save it as CSV UTF-8"])
    twice = sorted({c for c in header if header.count(c) > 1})
    if twice:
        raise StudyError([f"{path}: column {', '.join(twice)} stands twice in the header: remove one"])


def _cells(values: Mapping[str | Any, str | Any]) -> Iterator[str]:
    """Yield every cell of a row: the reader puts those beyond the header in a list, and None where there is none."""
    for value in values.values():
        yield from value if isinstance(value, list) else [value or ""]


class _Protocols:
    """Protocols by path, each read once; problems go to the sheet's list."""

    def __init__(self, folder: Path, problems: list[str]) -> None:
        self.folder = folder
        self.problems = problems
        self.loaded: dict[Path, Protocol | None] = {}

    def load(self, path: Path) -> Protocol | None:
        if path not in self.loaded:
            try:
                self.loaded[path] = load_protocol(path)
            except ProtocolError as error:
                self.problems += error.problems
                self.loaded[path] = None
        return self.loaded[path]

    def main(self, path: Path | None, *, needed: bool) -> Protocol | None:
        beside = self.folder / "protocol.toml"
        if path is not None:
            return self.load(path)
        if beside.exists():
            return self.load(beside)
        if needed:
            self.problems.append(f"no protocol: give --protocol, or put protocol.toml beside the sheet ({beside})")
        return None


def _job(row: _Row, protocols: _Protocols, main: Protocol | None) -> Job | None:
    """Return the job of a row; None where its files cannot be looked at, for want of a name, a protocol or a path."""
    own = row.file("protocol")
    protocol = protocols.load(own) if own else None if row.problems else main
    control = _control(row)
    meta = _meta(row, protocol, control)
    told = len(row.problems)
    image, cells = row.file("image"), row.file("cells")
    if not row.text("image") and not row.text("cells"):
        row.problem("image", "may be empty only where `cells` is given: fill one of them")
    annotations = [row.file("annotation", part.strip()) for part in row.text("annotation").split(";") if part.strip()]
    labels, area, pixel_size = row.file("labels"), row.number("tissue_area_mm2"), row.number("pixel_size_um")
    if protocol is None or len(row.problems) > told or not is_slide_id(meta.slide_id):
        return None
    return Job(
        meta=meta,
        image=image,
        protocol=protocol,
        annotations=tuple(a for a in annotations if a),
        labels=labels,
        cells=cells,
        tissue_area_mm2=area,
        control=control,
        pixel_size_um=pixel_size,
        own_protocol=own is not None,
    )


def _control(row: _Row) -> Control:
    text = row.text("control").lower()
    if text not in {"", "negative", "positive"}:
        row.problem("control", f"must be negative, positive or empty, found {text!r}: correct it")
    return "negative" if text == "negative" else "positive" if text == "positive" else ""


def _meta(row: _Row, protocol: Protocol | None, control: Control) -> SlideMeta:
    slide_id, timepoint = row.text("slide_id"), row.text("timepoint")
    if not is_slide_id(slide_id):
        row.problem(
            "slide_id",
            "must be 1 to 150 letters, digits, `.`, `_`, `-`, not starting with `.` or `-`, "
            f"found {slide_id!r}: rename it",
        )
    if not row.text("patient_id") and not control:
        row.problem("patient_id", "may be empty only in control rows: fill it")
    known = protocol.longitudinal.timepoints if protocol else ()
    if known and timepoint not in known and not (control and not timepoint):
        advice = "write it as there, or add it to longitudinal.timepoints of the protocol"
        row.problem("timepoint", f"must be one of {', '.join(known)}, found {timepoint!r}: {advice}")
    return SlideMeta(
        slide_id=slide_id,
        patient_id=row.text("patient_id"),
        timepoint=timepoint,
        lesion=row.text("lesion"),
        site=row.text("site"),
        batch=row.text("batch"),
        biopsy_date=row.date("biopsy_date"),
        treatment_start=row.date("treatment_start"),
        biopsy_type=row.text("biopsy_type"),
        therapy=row.text("therapy"),
        tumor_type=row.text("tumor_type"),
        interval_therapy=row.text("interval_therapy"),
        response=row.text("response"),
        response_months=row.number("response_months", above=None),
        extra={k: v for k, v in row.values.items() if k not in KNOWN},
    )
