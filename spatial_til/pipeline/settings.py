"""The protocol's keys as the kernels take them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spatial_til.errors import ProtocolError
from spatial_til.io.slides.channels import find_channels
from spatial_til.metrics.pooling import PoolingKeys
from spatial_til.metrics.populations import parse_population
from spatial_til.protocol import Protocol
from spatial_til.protocol_panel import Panel, marker_called
from spatial_til.segmentation.brightfield import start_vector
from spatial_til.segmentation.networks import weights_problem
from spatial_til.segmentation.settings import Channel, MeasureSettings, NucleusSettings, Stain
from spatial_til.segmentation.stains import check_stains


def measure_settings(protocol: Protocol) -> MeasureSettings:
    """Return all that decides which cells come out of a slide: `[panel]`, `[fluorescence]`, `[segmentation]`."""
    panel, seg = protocol.panel, protocol.segmentation
    brightfield = panel.modality == "brightfield"
    return MeasureSettings(
        modality=panel.modality,
        stains=tuple(Stain(k, s.marker, s.vector) for k, s in panel.stains.items()) if brightfield else (),
        channels=() if brightfield else tuple(Channel(k, c.marker) for k, c in panel.channels.items()),
        white=None if panel.white == "auto" else panel.white,
        nuclear_markers=frozenset(m for m in panel.markers if protocol.marker(m).compartment == "nucleus"),
        spillover=protocol.fluorescence.spillover or None,
        autofluorescence=protocol.fluorescence.autofluorescence or None,
        nucleus=NucleusSettings(
            min_area_um2=seg.min_nucleus_area_um2,
            max_area_um2=seg.max_nucleus_area_um2,
            threshold=None if seg.threshold == "auto" else seg.threshold,
        ),
        coarser_grid=seg.coarser_grid,
        cell_expansion_um=seg.cell_expansion_um,
        large_nucleus_um2=seg.large_nucleus_um2,
        large_expansion_um=seg.large_expansion_um,
        cytoplasm_markers=seg.cytoplasm_markers,
        guided_expansion_um=seg.guided_expansion_um,
    )


def stain_problems(protocol: Protocol) -> list[str]:
    """Return why a brightfield panel cannot be separated: no such preset, or stains of nearly one colour."""
    settings = measure_settings(protocol)
    if settings.modality != "brightfield":
        return []
    try:
        check_stains({stain.name: start_vector(stain) for stain in settings.stains})
    except ProtocolError as error:
        return [p if p.startswith("panel.") else f"panel.stains: {p}" for p in error.problems]
    return []


def network_problems(protocol: Protocol) -> list[str]:
    """Return why a network cannot find nuclei with this protocol: it has no weights."""
    seg = protocol.segmentation
    problem = None if seg.method == "watershed" else weights_problem(seg.method, seg.weights)
    return [problem] if problem else []


def population_problems(protocol: Protocol) -> list[str]:
    """Return which of the protocol's own populations is no expression over the panel's markers."""
    problems: list[str] = []
    for name, text in protocol.populations.items():
        try:
            parse_population(text, protocol.panel.markers)
        except ProtocolError as error:
            problems += [f"populations.{name}: {problem}" for problem in error.problems]
    return problems


def pooling_keys(protocol: Protocol) -> PoolingKeys:
    """Return the keys that judge several slides of one biopsy together."""
    gates, scores, statistics = protocol.gates, protocol.scores, protocol.statistics
    return PoolingKeys(
        min_core_mm2=gates.min_core_mm2,
        min_margin_mm2=gates.min_margin_mm2,
        min_border_um=gates.min_border_um,
        min_tiles=gates.min_tiles,
        max_artefact_fraction=gates.max_artefact_fraction,
        rule=scores.rule,
        hot_cd8_per_mm2=scores.hot_cd8_per_mm2,
        excluded_log2_ratio=scores.excluded_log2_ratio,
        activity_cd8_per_mm2=scores.activity_cd8_per_mm2,
        activity_pdl1_per_mm2=scores.activity_pdl1_per_mm2,
        min_class_probability=scores.min_class_probability,
        confidence=statistics.confidence,
        bootstrap=statistics.bootstrap,
        seed=statistics.seed,
    )


def renamed_channels(panel: Panel, channels: Sequence[str]) -> list[str]:
    """Return which channels, given by their index, are another marker's by their name in the file.

    An index may be meant so, where a file's names are wrong; one counted from 1 looks the same.

    Examples
    --------
    >>> panel = Panel(modality="fluorescence", channels={"0": {"marker": "nuclei"}, "1": {"marker": "PD-L1"}})
    >>> renamed_channels(panel, ["DAPI", "PD-L1"]), len(renamed_channels(panel, ["DAPI", "CD8", "PD-L1"]))
    ([], 1)
    """
    told = []
    for key, channel in panel.channels.items():
        (at,) = find_channels(channels, [key])
        says = marker_called(channels[at])
        if says not in {None, channel.marker} and channel.marker != "none":
            told.append(
                f"channel {key} is named {channels[at]} in the file and given to {channel.marker} in the protocol: "
                "correct the index, which counts from 0, unless the name in the file is wrong"
            )
    return told


def no_picture(path: str | Path, channels: Sequence[str]) -> str:
    """Return what is wrong where a brightfield panel meets an image of channels."""
    found = f"the panel is brightfield, but the image is no RGB picture (channels {', '.join(channels)})"
    return f"{path}: {found}: set panel.modality to fluorescence, or give the right image"
