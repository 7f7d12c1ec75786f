"""The methods paragraph: what was done, with which versions and settings, ready for a paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from spatial_til.counted import counted
from spatial_til.pipeline.settings import measure_settings
from spatial_til.protocol import Protocol
from spatial_til.report.words import setting

_KATHER = 295.0
_MOST_NAMED = 12
_PART = {"nucleus": "nuclei", "cytoplasm": "cytoplasm", "membrane": "membranes", "cell": "whole cells"}


def methods_paragraphs(
    protocol: Protocol, run: Mapping[str, Any], slides: Mapping[str, Protocol] | None = None
) -> list[str]:
    """Return the methods of a run in sentences.

    Parameters
    ----------
    protocol
        Of the study, as resolved.
    run
        run.json.
    slides
        slide_id -> the slide's own protocol. Where slides were not all done alike, a paragraph says which are meant.
    """
    of_slides = slides or {"": protocol}
    sections = (partial(_staining, versions=run["versions"]), _regions, _statistics, _classes)
    done = [text for section in sections for text in _said(section, of_slides)]
    return [*done, _comparison(protocol), _closing(run)]


def _said(section: Callable[[Protocol], str], slides: Mapping[str, Protocol]) -> Iterator[str]:
    """Yield what a section says of the slides, once where it says the same of all; else what most share comes first."""
    said: dict[str, list[str]] = {}
    for slide_id, protocol in slides.items():
        said.setdefault(section(protocol), []).append(slide_id)
    for i, (text, of) in enumerate(sorted(said.items(), key=lambda item: -len(item[1]))):
        named = ", ".join(of[:_MOST_NAMED]) + (f" and {len(of) - _MOST_NAMED} more" if len(of) > _MOST_NAMED else "")
        whose = f"{len(of)} of {counted(len(slides), 'slide')}" if i == 0 else named
        yield text if len(said) == 1 else f"{whose}: {text}"


def _n(value: float) -> str:
    return setting(float(value))


def _staining(protocol: Protocol, versions: Mapping[str, str]) -> str:
    panel, seg = protocol.panel, protocol.segmentation
    colours = "read channel by channel"
    if panel.modality == "brightfield":
        colours = "separated by colour deconvolution (markers beside each slide's own nuclear colour where it was seen)"
    markers = "; ".join(
        f"{name} in {_PART[protocol.marker(name).compartment]} ({protocol.marker(name).statistic})"
        for name in panel.markers
    )
    guided = (
        f"; where {' or '.join(seg.cytoplasm_markers)} told filled cells apart, these were grown through it by up to "
        f"{_n(seg.guided_expansion_um)} µm and all others by {_n(seg.cell_expansion_um)} µm"
        if seg.cytoplasm_markers
        else ""
    )
    cell_um = seg.pixel_size_um
    if seg.method == "watershed":
        cell_um = measure_settings(protocol).cell_pixel_um(cell_um)
    return (
        f"Whole-slide images ({panel.modality}) were scored with spatial_til {versions['spatial-til']} "
        f"(Python {versions['python']}). Stains were {colours}. Nuclei of {_n(seg.min_nucleus_area_um2)} to "
        f"{_n(seg.max_nucleus_area_um2)} µm² were segmented in tissue ({seg.method}) at about {_n(cell_um)} µm "
        f"per pixel and grown by {_n(seg.cell_expansion_um)} µm to cells (nuclei above {_n(seg.large_nucleus_um2)} "
        f"µm²: {_n(seg.large_expansion_um)} µm){guided}. "
        f"Markers were measured as follows: {markers}.{_robust(protocol)} "
        "Cut-offs of markers were found once for each staining batch, and applied to all slides of it; they are "
        "listed with their method."
    )


def _robust(protocol: Protocol) -> str:
    """Return what a robust score is and, where several chromogens have one, what is taken off it."""
    panel = protocol.panel
    robust = [name for name in panel.markers if protocol.marker(name).statistic == "robust"]
    text = " Robust: how far stain of the rim stands above what lies before and beyond it, over the rim's better half."
    if panel.modality == "brightfield" and len(robust) > 1:
        text += " What a slide's cells usually showed of one chromogen as another was taken off the other."
    return text if robust else ""


def _regions(protocol: Protocol) -> str:
    keys = protocol.compartments
    source = {
        "annotation": "annotated by hand",
        "marker": "outlined from the density of tumour-marker-positive cells",
        "classifier": "outlined by a classifier trained on examples",
    }[protocol.tumor.method]
    edge = (
        f"Stretches of the tumour boundary within {_n(keys.edge_tolerance_um)} µm of a cut tissue edge, the image "
        "frame or an exclusion were not taken for invasive margin."
        if keys.tissue_edge == "not_margin"
        else "The whole tumour boundary, cut edges included, was taken for invasive margin."
    )
    return (
        f"Tumour was {source}. The invasive margin reached {_n(keys.inner_um)} µm into the tumour and "
        f"{_n(keys.outer_um)} µm out of it from the border that faces stroma; the core is tumour farther in. {edge} "
        "Distances were measured within connected pieces of tissue."
    )


def _statistics(protocol: Protocol) -> str:
    keys = protocol.statistics
    return (
        f"Densities are cells per mm² of evaluable tissue. Intervals ({_n(100 * keys.confidence)} %) allow for the "
        f"clustering of cells: the wider of a quasi-Poisson interval and a bootstrap of {_n(keys.tile_um)} µm tiles "
        f"({_n(keys.bootstrap)} draws, seed {keys.seed}), never narrower than the exact Poisson interval. Ratios of "
        "densities are log2 with half a cell added to each count."
    )


def _classes(protocol: Protocol) -> str:
    keys, gates = protocol.scores, protocol.gates
    published = " (cut-off of Kather et al. 2018, doi:10.7554/eLife.36967)" if keys.hot_cd8_per_mm2 == _KATHER else ""
    rule = {
        "density_ratio": (
            f"inflamed: at least {_n(keys.hot_cd8_per_mm2)} CD8+ cells per mm² in the core{published}; "
            f"excluded: otherwise, at least as many in the margin and a log2 "
            f"core:margin ratio of {_n(keys.excluded_log2_ratio)} or less; desert: fewer in the margin; intermediate: "
            "the rest"
        ),
        "kather2018": (
            f"hot, excluded or cold by {_n(keys.hot_cd8_per_mm2)} CD8+ cells per mm² in core and outer margin "
            "(Kather et al. 2018, doi:10.7554/eLife.36967)"
        ),
        "grid": "by the share of grid squares of tumour cells with CD8+ cells in them",
    }[keys.rule]
    artefacts = f", or with more than {_n(100 * gates.max_artefact_fraction)} % artefacts, are not evaluable."
    if protocol.panel.modality == "fluorescence":
        artefacts = " are not evaluable; folds, bubbles and dirt were not looked for."
    return (
        f"Immunophenotypes: {rule}. A class was called where its probability by resampling reached "
        f"{_n(keys.min_class_probability)}, else the slide is indeterminate. Slides with less than "
        f"{_n(gates.min_core_mm2)} mm² of core, {_n(gates.min_margin_mm2)} mm² of inner or outer margin or "
        f"{_n(gates.min_border_um)} µm of evaluable border{artefacts} "
        "Cut-offs without a source are defaults of the software."
    )


def _comparison(protocol: Protocol) -> str:
    return (
        "Time points of one lesion were compared where they were stained in one batch and scored alike"
        + (" (comparison across batches was allowed)" if protocol.longitudinal.allow_cross_batch else "")
        + ". A change counts where it is at least a factor of 1.4 in a density or 2 in the core:margin ratio, and its "
        "interval excludes none. Groups of patients were compared by exact permutation rank tests with patients as "
        "the unit; p values of one comparison were adjusted by Benjamini and Hochberg."
    )


def _closing(run: Mapping[str, Any]) -> str:
    versions = ", ".join(
        f"{name} {version}" for name, version in run["versions"].items() if name not in {"spatial-til", "python"}
    )
    return f"Protocol fingerprint {run['protocol_fingerprint']}. Software: {versions}. Scored {run['finished'][:10]}."
