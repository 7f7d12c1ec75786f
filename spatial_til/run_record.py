"""A study's jobs in run.json and back: what lets a folder be scored again without its sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from spatial_til.errors import SpatialTilError
from spatial_til.io.json_text import parse_object
from spatial_til.model import SlideMeta
from spatial_til.protocol import parse_protocol
from spatial_til.study import Control, Job, Study, is_slide_id

_Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def record_job(job: Job) -> dict[str, Any]:
    """Return one job as plain values, its paths absolute."""

    def text(path: Path | None) -> str | None:
        return None if path is None else str(path.resolve())

    return {
        "meta": asdict(job.meta),
        "image": text(job.image),
        "annotations": [text(path) for path in job.annotations],
        "labels": text(job.labels),
        "cells": text(job.cells),
        "tissue_area_mm2": job.tissue_area_mm2,
        "control": job.control,
        "pixel_size_um": job.pixel_size_um,
        "own_protocol": job.own_protocol,
        "protocol": job.protocol.resolved(),
    }


def jobs_from_record(path: Path) -> Study:
    """Return the study that a scored folder was made from.

    Raises
    ------
    SpatialTilError
        Where there is no run.json of ours.
    """
    record = read_record(path)
    try:
        jobs = tuple(_job(values) for values in record["study"]["jobs"])
        sheet = record["study"]["path"]
        extra = tuple(record["study"]["extra_columns"])
        return Study(jobs, parse_protocol(record["protocol"], str(path)), extra, Path(sheet) if sheet else None)
    except (ValueError, KeyError, TypeError) as error:
        raise _not_ours(path, error) from None


def job_from_record(path: Path, record: Mapping[str, Any], slide_id: str) -> Job:
    """Return one slide's job; `record` is what `read_record` gave for `path`.

    Raises
    ------
    SpatialTilError
        Where the folder has no such slide.
    """
    try:
        found = [values for values in record["study"]["jobs"] if values["meta"]["slide_id"] == slide_id]
        known = [values["meta"]["slide_id"] for values in record["study"]["jobs"]]
        if not found:
            near = ", ".join(get_close_matches(slide_id, known, n=3)) or ", ".join(known[:3])
            msg = f"{path.parent}: no slide {slide_id} (there are {near} …): correct the slide_id"
            raise SpatialTilError(msg)
        return _job(found[0])
    except (ValueError, KeyError, TypeError) as error:
        raise _not_ours(path, error) from None


def read_record(path: Path) -> dict[str, Any]:
    """Return run.json as it is.

    Raises
    ------
    SpatialTilError
        Where there is none, or it is no JSON object.
    """
    try:
        return parse_object(path.read_bytes())
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}): give a folder that score has written"
        raise SpatialTilError(msg) from None
    except ValueError as error:
        raise _not_ours(path, error) from None


def _not_ours(path: Path, error: Exception) -> SpatialTilError:
    return SpatialTilError(f"{path}: is no run.json of ours ({type(error).__name__}: {error}): score the study again")


class _Recorded(BaseModel):
    """One job as `record_job` gives it, but for its protocol."""

    meta: SlideMeta
    image: Path | None
    annotations: tuple[Path, ...]
    labels: Path | None
    cells: Path | None
    tissue_area_mm2: _Size | None
    control: Control
    pixel_size_um: _Size | None
    own_protocol: bool


def _job(values: dict[str, Any]) -> Job:
    found = _Recorded.model_validate(values)
    if not is_slide_id(found.meta.slide_id):
        msg = f"{found.meta.slide_id!r} is no slide_id"
        raise ValueError(msg)
    fields = {name: getattr(found, name) for name in _Recorded.model_fields}
    return Job(protocol=parse_protocol(values["protocol"], "run.json"), **fields)
