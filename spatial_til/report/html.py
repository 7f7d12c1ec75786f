"""A scored folder to one HTML file that needs no network: written from what the folder holds, nothing else."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from spatial_til.caveats import CAVEATS
from spatial_til.counted import counted
from spatial_til.errors import SpatialTilError
from spatial_til.flags import FLAGS
from spatial_til.io.atomic import write_text
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.limits import usable_cores
from spatial_til.io.measured import Measured, read_measured
from spatial_til.io.regions import read_regions
from spatial_til.io.schema import (
    AGREEMENT,
    COHORT,
    DENSITY,
    DEPTH_PROFILE,
    DISAGREEMENTS,
    ERRORS,
    LONGITUDINAL,
    PATIENTS,
    SENSITIVITY,
    SLIDE_SCORES,
    SPATIAL,
    STALE_EDITS,
    THRESHOLDS,
)
from spatial_til.io.scores import ScoredSlide
from spatial_til.io.tables import read_table
from spatial_til.pipeline.compare import Courses, follow
from spatial_til.protocol import Protocol
from spatial_til.region_colors import BORDER_COLORS, COMPARTMENT_COLORS, EXCLUDED_COLOR, as_hex
from spatial_til.report.cutoffs import cut_off_views, methods_in_words
from spatial_til.report.figures_cohort import cohort_figure
from spatial_til.report.inputs import Inputs, read_inputs
from spatial_til.report.methods import methods_paragraphs
from spatial_til.report.overview import Overview, draw_overview, plain_overview
from spatial_til.report.patients import PatientView, changes_shown, patient_views
from spatial_til.report.pictures import Picture, figure_png, png_uri
from spatial_til.report.slides import Explained, SlideView, slide_view
from spatial_til.report.stored_cells import ReportCells, read_report_cells
from spatial_til.report.words import (
    first_upper,
    in_words,
    level,
    metric_words,
    number,
    percent,
    setting,
    true_minus,
)

_TABLES = (
    *(SLIDE_SCORES, DENSITY, DEPTH_PROFILE, SPATIAL, SENSITIVITY, THRESHOLDS),
    *(LONGITUDINAL, PATIENTS, COHORT, AGREEMENT, DISAGREEMENTS),
)
_MOST_COHORT_ROWS = 400


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a scored folder and return its path.

    Parameters
    ----------
    folder
        A folder that ``score`` or ``rescore`` has written; only what it holds is read.

    Raises
    ------
    SpatialTilError
        Where the folder has no run.json of ours.
    """
    inputs = read_inputs(ScoredFolder(folder))
    slides, pools = _slides(inputs)
    courses = follow([s.score for s in inputs.scored], inputs.study.protocol)
    profiles = {s.score.meta.slide_id: s.rows.get("depth_profile", []) for s in inputs.scored}
    patients = patient_views(courses, profiles, inputs.study.protocol)
    context = _summary(inputs, slides, patients) | {
        "slides": slides,
        "patients": patients,
        "anchors": {view.score.meta.slide_id: view.anchor for view in slides},
        "patient_anchors": {view.row.patient_id: view.anchor for view in patients},
        "changes": changes_shown(),
        "cohort_picture": _cohort_picture(courses, inputs.study.protocol),
        "cohort": _table(inputs.folder, COHORT.name),
        "most_cohort_rows": _MOST_COHORT_ROWS,
        "thresholds": cut_off_views(_table(inputs.folder, THRESHOLDS.name), pools, inputs.study.jobs),
        "cut_off_methods": methods_in_words(_table(inputs.folder, THRESHOLDS.name)),
        "methods": methods_paragraphs(inputs.study.protocol, inputs.run, _protocols(inputs)),
        "flags": _flags(slides, patients),
        "tables": _links(inputs.folder),
    }
    write_text(inputs.folder.report, _render(context))
    return inputs.folder.report


def _slides(inputs: Inputs) -> tuple[list[SlideView], dict[tuple[str, str], list[np.ndarray]]]:
    """Return a view of every scored slide, and the scores of the pools: (batch, marker) -> one array a slide."""
    jobs = {job.slide_id: job for job in inputs.study.jobs}

    def view(scored: ScoredSlide, anchor: str) -> tuple[SlideView, Mapping[str, np.ndarray]]:
        slide_id = scored.score.meta.slide_id
        protocol = jobs[slide_id].protocol
        results = inputs.results(slide_id)
        cells = read_report_cells(results.cells(slide_id), slide_id, protocol)
        stored = inputs.base.measured(slide_id)
        measured = read_measured(stored, markers=()) if stored.exists() else None
        run = dict(inputs.run["slides"].get(slide_id, {}))
        run["numbers"] = {} if measured is None else measured.numbers
        overview = _overview(results, _photo(inputs.base, slide_id), slide_id, measured, cells)
        return slide_view(scored, protocol, overview, run, anchor, _files(inputs, slide_id)), cells.scores

    views: list[SlideView] = []
    pools: dict[tuple[str, str], list[np.ndarray]] = {}
    anchors = [f"slide-{i + 1}" for i in range(len(inputs.scored))]
    with ThreadPoolExecutor(usable_cores()) as pool:  # reading and pictures are most of it, and leave Python's lock
        for one, scores in pool.map(view, inputs.scored, anchors):
            views.append(one)
            for marker, found in scores.items():
                pools.setdefault((one.score.meta.batch, marker), []).append(found)
    return views, pools


def _files(inputs: Inputs, slide_id: str) -> dict[str, str]:
    """Return what there is of a slide, and where; a reader's folder holds only what the reader corrected."""
    results = inputs.results(slide_id)
    there = {
        "cells": results.cells(slide_id),
        "regions for QuPath": results.regions(slide_id),
        "thumbnail": results.thumbnail(slide_id),
    }
    root = inputs.folder.root.resolve()
    return {
        what: Path(os.path.relpath(path.resolve(), root)).as_posix() for what, path in there.items() if path.exists()
    }


def _protocols(inputs: Inputs) -> dict[str, Protocol]:
    """Return the protocol of every scored slide: a row of the sheet may name its own."""
    of = {job.slide_id: job.protocol for job in inputs.study.jobs}
    return {s.score.meta.slide_id: of[s.score.meta.slide_id] for s in inputs.scored}


def _photo(base: ScoredFolder, slide_id: str) -> Path:
    """Return the small photograph; the large one where an earlier version left none."""
    small = base.photo(slide_id)
    return small if small.exists() else base.overview(slide_id)


def _overview(
    folder: ScoredFolder, photo: Path, slide_id: str, measured: Measured | None, cells: ReportCells
) -> Overview | None:
    """Return the slide's picture: drawn over its photograph or on white, or else the thumbnail."""
    regions = folder.regions(slide_id)
    if measured is not None and measured.pixel_size is not None and regions.exists():
        shapes = read_regions(regions, pixel_size=measured.pixel_size)
        if photo.exists():
            wide, high = measured.numbers["overview_um"]
            return draw_overview(photo, (0.0, 0.0, wide, high), shapes, cells.cd8_xy_um)
        if "Tissue" in shapes:
            return draw_overview(None, shapes["Tissue"].bounds, shapes, cells.cd8_xy_um)
    thumbnail = folder.thumbnail(slide_id)
    return plain_overview(thumbnail) if thumbnail.exists() else None


def _summary(inputs: Inputs, slides: Sequence[SlideView], patients: Sequence[PatientView]) -> dict[str, Any]:
    sheet = inputs.study.path
    title = sheet.parent.name if sheet is not None else inputs.base.root.resolve().name
    return {
        "title": f"{title}, reviewed by {inputs.reader}" if inputs.reader else title,
        "run": inputs.run,
        "protocol": inputs.study.protocol,
        "controls": [job.slide_id for job in inputs.study.jobs if job.control],
        "failures": _failures(inputs),
        "caveats": CAVEATS,
        "classes": Counter(view.score.phenotype.call for view in slides).most_common(),
        "verdicts": Counter(view.verdict or "no evaluable change" for view in patients).most_common(),
        "markers": inputs.study.protocol.panel.markers,
    }


def _failures(inputs: Inputs) -> list[dict[str, str]]:
    """Return slides without a score, each with a reason."""
    failed = read_table(inputs.folder.errors) if inputs.folder.errors.exists() else []
    known = {s.score.meta.slide_id for s in inputs.scored} | {row["slide_id"] for row in failed}
    missing = [job.slide_id for job in inputs.study.jobs if not job.control and job.slide_id not in known]
    return [*failed, *({"slide_id": name, "stage": "", "message": "not scored in this folder"} for name in missing)]


def _cohort_picture(courses: Courses, protocol: Protocol) -> Picture | None:
    if not courses.biopsies:
        return None
    figure = cohort_figure(
        courses.biopsies,
        courses.patients,
        timepoints=protocol.longitudinal.timepoints,
        confidence=protocol.statistics.confidence,
    )
    return Picture(
        png_uri(figure_png(figure)), "CD8+ density in core and margin and their ratio, all lesions over time"
    )


def _table(folder: ScoredFolder, name: str) -> list[dict[str, str]]:
    path = folder.tables / f"{name}.csv"
    return read_table(path) if path.exists() else []


def _flags(slides: Sequence[SlideView], patients: Sequence[PatientView]) -> list[tuple[Explained, int, int]]:
    """Return every flag of the report in the order of the table, with how many slides and patients carry it."""
    of_slides, of_patients = (Counter(flag for one in views for flag in set(one.flags)) for views in (slides, patients))
    order = {code: i for i, code in enumerate(FLAGS)}
    flags = sorted(of_slides | of_patients, key=lambda flag: (order[flag.code.partition(":")[0]], flag.code))
    return [(flag, of_slides[flag], of_patients[flag]) for flag in flags]


def _links(folder: ScoredFolder) -> list[tuple[str, str]]:
    """Return files beside the report with what they hold."""
    links = [(f"tables/{t.name}.csv", f"one row: {t.row}") for t in _TABLES]
    links += [("tables/README.md", "every column, its unit and meaning"), ("errors.csv", f"one row: {ERRORS.row}")]
    links += [("run.json", "versions, protocol, inputs, timing")]
    readers = sorted(path.name for path in folder.root.glob("reviewed/*") if path.is_dir())
    links += [(f"reviewed/{name}/report.html", f"the same as {name} corrected it") for name in readers]
    links += [("stale_edits.csv", f"one row: {STALE_EDITS.row}")]
    return [link for link in links if (folder.root / link[0]).exists()]


def _render(context: Mapping[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spatial_til.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "level": level, "setting": setting, "words": in_words}
    environment.filters |= {"percent": percent, "minus": true_minus, "counted": counted}
    environment.filters |= {"metric": metric_words, "first_upper": first_upper}
    script = _page_file("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        context, style=_palette() + _page_file("report.css"), script=script, script_hash=digest
    )


def _palette() -> str:
    """Return the colours of regions and border as the style sheet names them."""
    colors = {**COMPARTMENT_COLORS, **{f"border_{kind}": color for kind, color in BORDER_COLORS.items()}}
    colors["excluded"] = EXCLUDED_COLOR
    named = {name.replace("_", "-"): as_hex(color) for name, color in colors.items()}
    return f":root {{ {' '.join(f'--{name}: {color};' for name, color in named.items())} }}\n"


def _page_file(name: str) -> str:
    path = Path(__file__).with_name("page") / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{path} is missing from this installation ({error.strerror}): install spatial-til again"
        raise SpatialTilError(msg) from None
