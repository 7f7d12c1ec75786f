"""PD-L1 scores, induction near CD8+ cells and marker loss of one slide."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spatial_til.metrics.deltas import column_name
from spatial_til.metrics.induction import Induction, InductionCells, distance_to_um, induction
from spatial_til.metrics.loss import Loss, marker_loss
from spatial_til.metrics.pdl1 import IMMUNE_MARKERS, OVERALL, HScore, Pdl1Cells, Score, h_score, pdl1_scores
from spatial_til.metrics.ratios import Gates
from spatial_til.metrics.regions import REGIONS
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.model import Value
from spatial_til.pipeline.calls import immune_cells
from spatial_til.pipeline.numbers import Scene
from spatial_til.segmentation.positivity import score_of

#: Markers whose induction near CD8+ cells is asked for, where the panel has them.
INDUCED = ("PD-L1", "HLA-I", "HLA-ABC", "HLA class I", "TAP1", "pSTAT1", "IRF1")


@dataclass(frozen=True, slots=True)
class TumorCellNumbers:
    """What is known of tumour cells of one slide."""

    scores: tuple[Score, ...] = ()
    inductions: dict[str, Induction] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()
    h_scores: tuple[HScore, ...] = ()
    flags: tuple[str, ...] = ()

    def overall(self, metric: str) -> Score | None:
        """Return the score that stands for the slide."""
        return next((s for s in self.scores if s.metric == metric and s.compartment == OVERALL[metric]), None)


def tumor_cell_numbers(scene: Scene, pdl1_cut: float | None) -> TumorCellNumbers:
    """Return TPS, CPS, IC, H-score, induction and loss; without a tumour marker each is empty with the reason.

    Parameters
    ----------
    pdl1_cut
        The cut-off of PD-L1; None where there is none, and then there is no H-score.
    """
    calls, protocol = scene.calls, scene.protocol
    gates = Gates(protocol.gates.min_tumor_cells, protocol.gates.min_tiles, protocol.statistics.confidence)
    inductions = {marker: _induction(scene, marker, gates) for marker in INDUCED if _can_induce(scene, marker)}
    losses = [
        loss
        for marker, positive in calls.positive.items()
        if protocol.marker(marker).loss
        for loss in marker_loss(
            marker, positive, calls.tumor_cell, scene.placement.compartment, scene.tiles.tile, gates
        )
    ]
    cells = _pdl1_cells(scene)
    scores: tuple[Score, ...] = ()
    h_scores: tuple[HScore, ...] = ()
    if cells is not None:
        scores = pdl1_scores(cells, {name: t.area_mm2 for name, t in scene.tiles.counts.items()}, gates)
        h_scores = _h_scores(scene, cells, pdl1_cut, gates)
    flags = [flag for score in scores if score.compartment == OVERALL[score.metric] for flag in score.value.flags]
    flags += [flag for loss in losses if loss.compartment == "tumor" for flag in loss.percent.flags]
    pdl1 = inductions.get("PD-L1")
    if pdl1 is not None and pdl1.absent_despite_contact and not calls.failures.get("PD-L1"):
        flags.append("pdl1_absent_despite_contact")
    keep = {"tumor_cells_unknown", "few_tumor_cells", "pdl1_absent_despite_contact"}
    kept = tuple(f for f in dict.fromkeys(flags) if f in keep or f.startswith("marker_loss:"))
    return TumorCellNumbers(scores, inductions, tuple(losses), h_scores, kept)


def _pdl1_cells(scene: Scene) -> Pdl1Cells | None:
    """Return what the scores need; None without PD-L1, or where its stain is not shown to have worked."""
    calls = scene.calls
    if "PD-L1" not in calls.positive or calls.failures.get("PD-L1"):
        return None
    return Pdl1Cells(
        compartment=scene.placement.compartment,
        tile=scene.tiles.tile,
        pdl1=calls.positive["PD-L1"],
        tumor_cell=calls.tumor_cell,
        immune=immune_cells(calls, IMMUNE_MARKERS),
        cell_area_um2=scene.measured.cells.cell_area_um2,
    )


def _h_scores(scene: Scene, cells: Pdl1Cells, cut: float | None, gates: Gates) -> tuple[HScore, ...]:
    """Return the H-score of every region: 1+ from the cut-off, 2+ from twice, 3+ from three times it."""
    if cut is None or "PD-L1" in scene.measured.cells.calls:
        return ()
    how = scene.protocol.marker("PD-L1")
    signal = score_of(scene.measured.cells, "PD-L1", compartment=how.compartment, statistic=how.statistic)
    # A call that was resolved away is no weak positive; one that a reader made is at least that.
    intensity = np.where(cells.pdl1, np.fmax(np.asarray(signal, dtype=np.float64), cut), 0.0)
    return tuple(h_score(cells, intensity, (cut, 2 * cut, 3 * cut), region, gates) for region in REGIONS)


def _can_induce(scene: Scene, marker: str) -> bool:
    return marker in scene.calls.positive and "CD8" in scene.calls.positive


def _induction(scene: Scene, marker: str, gates: Gates) -> Induction:
    xy, code = scene.measured.cells.xy_um, scene.placement.compartment
    positive, tumor = scene.calls.positive, scene.calls.tumor_cell
    other = positive[marker] if tumor is None else positive[marker] & ~tumor
    cells = InductionCells(
        compartment=code,
        tile=scene.tiles.tile,
        tumor_cell=tumor,
        cd8=positive["CD8"],
        positive=positive[marker],
        cd8_distance_um=distance_to_um(xy, positive["CD8"], code),
        spill_distance_um=distance_to_um(xy, other, code),
    )
    statistics = scene.protocol.statistics
    random = seeded_generator(statistics.seed, scene.slide_id, marker, "induction")
    return induction(cells, gates, draws=statistics.bootstrap, random=random)


def tumor_cell_values(numbers: TumorCellNumbers) -> dict[str, Value]:
    """Return the slide's values by the names that columns and changes between time points use."""
    values = {s.metric: s.value for metric in ("tps_percent", "cps", "ic_percent") if (s := numbers.overall(metric))}
    for marker, found in numbers.inductions.items():
        name = f"{column_name(marker)}_induction_log2"
        values |= {name: found.log2, f"{name}_sensitivity": found.log2_without_spill}
    for loss in numbers.losses:
        if loss.compartment == "tumor":
            values[f"{column_name(loss.marker)}_loss_percent"] = loss.percent
    return values
