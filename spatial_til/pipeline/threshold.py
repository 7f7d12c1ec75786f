"""Threshold: the measured cells of a staining batch to one cut-off per marker."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import CellTableError, ProtocolError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import Measured, read_measured
from spatial_til.io.tables import read_table
from spatial_til.model import Threshold
from spatial_til.pipeline.measure import settings_text
from spatial_til.pipeline.settings import measure_settings
from spatial_til.protocol import Protocol
from spatial_til.protocol_sections import Marker
from spatial_til.segmentation.positivity import score_columns, score_of
from spatial_til.segmentation.thresholds import draw_cells, find_threshold
from spatial_til.study import Job

Scores: TypeAlias = NDArray[np.floating[Any]]
#: (2, n) scores of cells: without what belongs to a neighbour, and as seen.
Both: TypeAlias = NDArray[np.floating[Any]]
#: The batch of slides for which the sheet names none.
ONE_BATCH = "study"


@dataclass(frozen=True, slots=True)
class Pool:
    """Slides that share a cut-off: one batch, stained and measured and called alike."""

    batch: str
    marker: str
    modality: str
    settings: Marker
    fingerprint: str


@dataclass(frozen=True, slots=True)
class PoolResult:
    """A pool's cut-off, and whether a control or a positive cell proves the stain."""

    threshold: Threshold
    stain_verified: bool


def pool_of(job: Job, marker: str) -> Pool:
    """Return the pool of one marker of one slide."""
    protocol = job.protocol
    text = settings_text(measure_settings(protocol)) + json.dumps(protocol.marker(marker).model_dump(mode="json"))
    return Pool(
        job.meta.batch or ONE_BATCH,
        marker,
        protocol.panel.modality,
        protocol.marker(marker),
        hashlib.sha256(text.encode()).hexdigest()[:8],
    )


def find_thresholds(jobs: Sequence[Job], folder: ScoredFolder) -> dict[Pool, PoolResult]:
    """Return the cut-off of every marker of every batch that has measured slides.

    Parameters
    ----------
    jobs
        The study's slides; those without a measured file (failed, not yet done) are left out.

    Raises
    ------
    ProtocolError
        Where a file named by `thresholds_from` cannot be used.

    Notes
    -----
    Scores of one staining batch are held at a time, at most 20,000 of 4 bytes a slide and marker (8 where a cell
    table has them), each as seen too, and those of one marker once more: 960 MB for 2,000 slides of two markers in
    one batch. Slides are taken by name, so that no sum depends on the order of the sheet.
    """
    members: dict[Pool, list[Job]] = defaultdict(list)
    for job in jobs:
        if folder.measured(job.slide_id).exists():
            for marker in job.protocol.panel.markers:
                members[pool_of(job, marker)].append(job)
    labels = _labels(list(members))
    found: dict[Pool, PoolResult] = {}
    for batch in dict.fromkeys(pool.batch for pool in members):
        of = {pool: sorted(jobs, key=_by_name) for pool, jobs in members.items() if pool.batch == batch}
        scores = _scores(of, folder)
        found |= {pool: _result(pool, labels[pool], jobs, scores) for pool, jobs in of.items()}
    return {pool: found[pool] for pool in members}


def _by_name(job: Job) -> str:
    return job.slide_id


def _scores(members: Mapping[Pool, Sequence[Job]], folder: ScoredFolder) -> dict[tuple[str, Pool], Both]:
    """Return the scores that some pools hold, by slide; each slide is read once."""
    pools: dict[str, list[Pool]] = defaultdict(list)
    by_id = {job.slide_id: job for jobs in members.values() for job in jobs}
    for pool, jobs in members.items():
        for job in jobs:
            pools[job.slide_id].append(pool)
    return {
        (slide_id, pool): scores
        for slide_id, of in pools.items()
        for pool, scores in _drawn(by_id[slide_id], of, folder).items()
    }


def _labels(pools: Sequence[Pool]) -> dict[Pool, str]:
    """Return the name of each pool in the table: its batch, told apart where a batch has several."""
    by_name: dict[tuple[str, str], list[Pool]] = defaultdict(list)
    for pool in pools:
        by_name[pool.batch, pool.marker].append(pool)
    alone = {p for of in by_name.values() if len(of) == 1 for p in of}
    return {p: p.batch if p in alone else f"{p.batch} ({p.modality} {p.fingerprint})" for p in pools}


def _drawn(job: Job, pools: Sequence[Pool], folder: ScoredFolder) -> dict[Pool, Both]:
    """Return the scores of the cells of one slide that enter each pool; calls that came along enter none."""
    columns = [name for pool in pools for name in score_columns(pool.marker, **_how(pool))]
    measured = read_measured(folder.measured(job.slide_id), markers=(), columns=columns)
    chosen = draw_cells(job.slide_id, measured.cells.x_um, measured.cells.y_um)
    found = {}
    for pool in pools:
        if pool.marker not in measured.cells.calls:
            with suppress(CellTableError):  # a table that lacks the marker fails alone, when it is scored
                found[pool] = np.stack([marker_score(measured, pool, own=own)[chosen] for own in (True, False)])
    return found


def marker_score(measured: Measured, pool: Pool, *, own: bool = True) -> Scores:
    """Return the (n,) score of every cell that is compared with the pool's cut-off; `own`: see `score_of`."""
    return score_of(measured.cells, pool.marker, **_how(pool), own=own)


def _how(pool: Pool) -> dict[str, str]:
    return {"compartment": pool.settings.compartment, "statistic": pool.settings.statistic}


def _result(pool: Pool, label: str, jobs: Sequence[Job], scores: Mapping[tuple[str, Pool], Both]) -> PoolResult:
    def of(*controls: str) -> tuple[list[Scores], list[Scores]]:
        found = [scores[j.slide_id, pool] for j in jobs if j.control in controls and (j.slide_id, pool) in scores]
        own, seen = ([both[k][np.isfinite(both[k])] for both in found] for k in range(2))  # NaN: nothing to compare
        return own, seen

    pooled, seen = of("", "positive")
    negative, _ = of("negative")
    settings = pool.settings
    if settings.threshold == "auto":
        threshold = find_threshold(
            pooled,
            seen=seen,
            batch=label,
            marker=pool.marker,
            modality=pool.modality,
            statistic=settings.statistic,
            negative_control=np.concatenate(negative) if negative else None,
            frozen=_frozen(settings.thresholds_from, label, pool.marker),
        )
    else:
        n = sum(len(s) for s in pooled)
        positive = sum(int((s >= settings.threshold).sum()) for s in pooled)
        threshold = Threshold(label, pool.marker, float(settings.threshold), "fixed", None, n, positive, n > 0)
    verified = _stain_verified(pool, threshold, pooled, *of("positive"))
    return PoolResult(replace(threshold, evaluable=verified), verified)


def _stain_verified(
    pool: Pool,
    threshold: Threshold,
    pooled: Sequence[Scores],
    controls: Sequence[Scores],
    controls_seen: Sequence[Scores] | None = None,
) -> bool:
    """Return whether positive cells show that the stain worked: in the batch, or in its positive controls alone.

    One control slide among hundreds without positive cells is too small a share of the pool to make a
    second population there; by itself it may still have one.
    """
    cut = threshold.threshold
    if cut is not None:
        return any(bool((scores >= cut).any()) for scores in pooled)
    if not controls:
        return False
    alone = find_threshold(
        controls,
        seen=controls_seen,
        batch=pool.batch,
        marker=pool.marker,
        modality=pool.modality,
        statistic=pool.settings.statistic,
    )
    return alone.threshold is not None


def frozen_problems(protocol: Protocol) -> list[str]:
    """Return which cut-offs that a protocol takes from an earlier run cannot be read, before anything is measured."""
    problems: list[str] = []
    for marker in protocol.panel.markers:
        path = protocol.marker(marker).thresholds_from
        try:
            if path and not _rows_of(path, marker):
                problems.append(f"markers.{marker}.thresholds_from: {path} has no row for {marker}: give one that has")
        except ProtocolError as error:
            problems += error.problems
    return problems


def _rows_of(path: str, marker: str) -> list[dict[str, str]]:
    """Return a marker's rows of a thresholds.csv; a reader's cut-off is of one slide, not of the batch."""
    try:
        return [row for row in read_table(Path(path)) if row["marker"] == marker and not row.get("slide_id")]
    except (OSError, KeyError, CellTableError):
        problem = f"markers.{marker}.thresholds_from: {path} is no thresholds.csv that can be read: correct the path"
        raise ProtocolError([problem]) from None


def _frozen(path: str, batch: str, marker: str) -> float | None:
    """Return the cut-off of an earlier thresholds.csv: of the same batch, or the only one of the marker."""
    if not path:
        return None
    where = f"markers.{marker}.thresholds_from"
    rows = _rows_of(path, marker)
    same = [row for row in rows if row["batch"] == batch] or rows
    if len(same) != 1:
        found = ", ".join(row["batch"] for row in rows) or "none"
        raise ProtocolError([f"{where}: {path} must have one row for {marker} (batches found: {found}): keep one"])
    try:
        value = float(same[0]["threshold"])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ProtocolError([f"{where}: {path} has no threshold for {marker}: give one that has"])
    return value
